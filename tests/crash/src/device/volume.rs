// SPDX-License-Identifier: Apache-2.0
//! A file system on a loop device on one of our files.
//!
//! The loop device is told to detach itself as soon as the file system is mounted, so that it goes
//! with the mount, and the mount goes with the mount namespace that `tests/crash/run` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system that the broker is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileSystem {
    /// ext4 with its journal.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs, which copies on write.
    Btrfs,
}

impl FileSystem {
    /// Its name for `mount`.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    /// Makes one on a device. Nothing is discarded: the whole disk is known to be zeros.
    fn make(self, device: &str, reflink: bool) -> Result<(), String> {
        let reflink = format!("reflink={}", u8::from(reflink));
        let arguments: Vec<&str> = match self {
            FileSystem::Ext4 => vec!["-q", "-F", "-E", "nodiscard,lazy_itable_init=0"],
            FileSystem::Xfs => vec!["-q", "-f", "-K", "-m", &reflink],
            FileSystem::Btrfs => vec!["-q", "-f", "-K"],
        };
        let program = format!("mkfs.{}", self.name());
        run(Command::new(program).args(arguments).arg(device)).map(|_| ())
    }

    /// Whether the file system on a file, which is not mounted, is sound.
    pub fn verify(self, file: &Path) -> Result<(), String> {
        let mut command = match self {
            FileSystem::Ext4 => Command::new("e2fsck"),
            FileSystem::Xfs => Command::new("xfs_repair"),
            FileSystem::Btrfs => Command::new("btrfs"),
        };
        match self {
            FileSystem::Ext4 => command.args(["-f", "-n"]),
            FileSystem::Xfs => command.args(["-n", "-f"]),
            FileSystem::Btrfs => command.args(["check", "--readonly"]),
        };
        let checked = run(command.arg(file));
        checked
            .map(|_| ())
            .map_err(|error| format!("the file system is damaged: {error}"))
    }
}

/// A mounted file system; dropped, it is unmounted and its loop device goes.
pub struct Volume {
    directory: PathBuf,
}

impl Volume {
    /// Makes a file system on a file and mounts it.
    pub fn create(
        file: &Path,
        directory: &Path,
        kind: FileSystem,
        reflink: bool,
    ) -> Result<Volume, String> {
        let device = attach(file)?;
        let made = kind.make(&device, reflink);
        let volume = made.and_then(|()| Volume::mount_device(&device, directory, kind));
        detach(&device);
        volume
    }

    /// Mounts the file system that is on a file.
    pub fn mount(file: &Path, directory: &Path, kind: FileSystem) -> Result<Volume, String> {
        let device = attach(file)?;
        let volume = Volume::mount_device(&device, directory, kind);
        detach(&device);
        volume
    }

    fn mount_device(device: &str, directory: &Path, kind: FileSystem) -> Result<Volume, String> {
        fs::create_dir_all(directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        let mut command = Command::new("mount");
        command.args(["-t", kind.name()]);
        if kind == FileSystem::Xfs {
            // Two disks of one run may be mounted at once.
            command.args(["-o", "nouuid"]);
        }
        run(command.arg(device).arg(directory))?;
        Ok(Volume {
            directory: directory.to_path_buf(),
        })
    }

    /// Copies every segment of a data directory in such a way that the copy shares its blocks.
    pub fn share_blocks_of(&self, data: &Path) -> Result<(), String> {
        let copies = self.directory.join("copies");
        fs::create_dir_all(&copies)
            .map_err(|error| format!("cannot make {}: {error}", copies.display()))?;
        let list = |directory: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(directory).into_iter().flatten();
            entries.flatten().map(|entry| entry.path()).collect()
        };
        for directory in list(data).into_iter().filter(|path| path.is_dir()) {
            let name = directory.file_name().unwrap_or_default().to_os_string();
            let of_log = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "log");
            // The one that is written to.
            let Some(log) = list(&directory).into_iter().filter(of_log).max() else {
                continue;
            };
            let mut command = Command::new("cp");
            command.arg("--reflink=always").arg(&log);
            // It may have been removed meanwhile.
            if let Err(sentence) = run(command.arg(copies.join(name)))
                && log.exists()
            {
                return Err(sentence);
            }
        }
        Ok(())
    }

    /// Where it is mounted.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(sentence) = run(Command::new("umount").arg(&self.directory)) {
            eprintln!("furlong-crash: {sentence}");
            // It may be that the file system is past saving; the mount point must be free anyway.
            let _ = run(Command::new("umount").arg("-l").arg(&self.directory));
        }
    }
}

fn attach(file: &Path) -> Result<String, String> {
    let mut command = Command::new("losetup");
    command.args(["--find", "--show", "--direct-io=on"]);
    let device = run(command.arg(file))?.trim().to_owned();
    let is_direct = run(Command::new("losetup").args(["-n", "-O", "DIO", &device]))?;
    if is_direct.trim() != "1" {
        detach(&device);
        return Err(format!("{device} does no direct I/O on {}", file.display()));
    }
    Ok(device)
}

/// Now, or when the mount goes.
fn detach(device: &str) {
    if let Err(sentence) = run(Command::new("losetup").args(["-d", device])) {
        eprintln!("furlong-crash: {sentence}");
    }
}

/// Runs a program and gives what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| {
        format!(
            "cannot run {:?}: {error}; is it installed?",
            command.get_program()
        )
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{command:?} failed ({}): {}",
        output.status,
        said.trim()
    ))
}
