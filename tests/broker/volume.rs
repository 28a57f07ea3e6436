// SPDX-License-Identifier: Apache-2.0
//! A file system of its own: an image file, a loop device on it, mounted below a temporary folder.
//! Nobody else writes there, so the counters of its device tell what one program did. Everything is
//! undone when the value is dropped, whatever the test said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A file system to be made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// The command that makes it on a device, which is added; empty if it needs none.
    pub make: &'a [&'a str],
    /// Its kind, for mount(8).
    pub kind: &'a str,
    /// The options to mount it with.
    pub options: &'a str,
    /// Whether every block of the image is written first. Measurements want that: in an image that
    /// only seems to have its length, each first write makes the file system below look for space,
    /// which takes milliseconds.
    pub is_written: bool,
}

/// With a journal, as Debian makes it.
pub const EXT4: Recipe<'static> = Recipe {
    make: &[
        "mkfs.ext4",
        "-q",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
    ],
    kind: "ext4",
    options: "rw",
    is_written: false,
};

/// Without shared extents, which the broker trusts.
pub const XFS: Recipe<'static> = Recipe {
    make: &["mkfs.xfs", "-q", "-K", "-m", "reflink=0"],
    kind: "xfs",
    options: "rw",
    is_written: false,
};

/// A mounted file system; unmounted, detached and removed when dropped.
pub struct Volume {
    folder: tempfile::TempDir,
    /// `loopN`, once it is attached.
    device: Option<String>,
    is_mounted: bool,
}

impl Volume {
    /// Makes an image of so many bytes below `parent`, formats and mounts it.
    ///
    /// # Errors
    /// A sentence that says what this machine refuses: it takes root, loop devices, and the
    /// programs that make file systems.
    pub fn make(parent: &Path, recipe: Recipe<'_>, bytes: u64) -> Result<Volume, String> {
        let folder = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
        let mut volume = Volume {
            folder,
            device: None,
            is_mounted: false,
        };
        let mut source = recipe.kind.to_owned();
        if let Some((program, arguments)) = recipe.make.split_first() {
            source = volume.attach(bytes, recipe.is_written)?;
            run(program, &[arguments, &[&*source]].concat())?;
        }
        let place = volume.path();
        fs::create_dir(&place).map_err(|error| error.to_string())?;
        let place = place.to_string_lossy();
        let options = ["-t", recipe.kind, "-o", recipe.options];
        run("mount", &[&options[..], &[&*source, &*place]].concat())?;
        volume.is_mounted = true;
        Ok(volume)
    }

    /// Makes the image and a loop device on it; the path of the device.
    fn attach(&mut self, bytes: u64, is_written: bool) -> Result<String, String> {
        let image = self.folder.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(bytes).map_err(|error| error.to_string())?;
        let image = image.to_string_lossy();
        if is_written {
            let (to, count) = (format!("of={image}"), format!("count={}", bytes >> 20));
            let how = "oflag=direct conv=notrunc,fsync bs=1M status=none if=/dev/zero";
            let arguments: Vec<&str> = how.split(' ').chain([&*to, &*count]).collect();
            run("dd", &arguments)?;
        }
        let device = run("losetup", &["--find", "--show", "--direct-io=on", &*image])?;
        let device = device.trim().to_owned();
        self.device = device.rsplit('/').next().map(str::to_owned);
        Ok(device)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The flushes that its device has completed since it was attached. The kernel may serve
    /// several that wait at the same time by one; flushes one after another it counts one by one.
    pub fn flushes(&self) -> u64 {
        let device = self.device.as_deref().expect("it is attached");
        let path = format!("/sys/block/{device}/stat");
        let stat = fs::read_to_string(&path).expect("Linux counts for every block device");
        let count = stat.split_whitespace().nth(15);
        let count = count.expect("Linux 5.5 and later count flushes");
        count.parse().expect("a number")
    }

    /// Sectors that were written to its device since it was attached. A flush counts among the
    /// writes too, as one of no sectors (Documentation/block/stat.rst).
    pub fn sectors_written(&self) -> u64 {
        let device = self.device.as_deref().expect("it is attached");
        let path = format!("/sys/block/{device}/stat");
        let stat = fs::read_to_string(&path).expect("Linux counts for every block device");
        let count = stat.split_whitespace().nth(6).expect("sectors written");
        count.parse().expect("a number")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            let place = self.path().to_string_lossy().into_owned();
            // The last file of a program that was just killed may take a moment to close.
            let is_gone = (0..50).any(|_| {
                let is_gone = run("umount", &[&place]).is_ok();
                if !is_gone {
                    thread::sleep(Duration::from_millis(100));
                }
                is_gone
            });
            if !is_gone {
                eprintln!("{place} is still mounted: end what uses it, then `umount` it");
            }
        }
        let Some(device) = &self.device else { return };
        if let Err(sentence) = run("losetup", &["--detach", &format!("/dev/{device}")]) {
            eprintln!("/dev/{device} is still attached: {sentence}");
        }
    }
}

/// What a program prints; what it says when it fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(format!("{program} ended with {}: {said}", done.status))
}
