// SPDX-License-Identifier: Apache-2.0
//! The probe on real file systems, each made in an image and mounted for one test. It needs root
//! and loop devices, and says loudly where it has to be left out.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use furlong::io::file_system::{DeviceFlush, Journal, Kind};
use furlong::io::flush_file;
use furlong::io::storage_probe::{DirectIo, Storage};

/// Enough for the smallest XFS; the image is sparse.
const IMAGE_BYTES: u64 = 320 << 20;

/// A file system in an image, mounted until it is dropped.
struct Mounted {
    point: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mounted {
    /// Makes and mounts one. `make` is the command for it, `kind` and `options` are those of
    /// mount(8). None if this machine cannot.
    fn new(make: &[&str], kind: &str, options: &str) -> Option<Mounted> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let image = directory.path().join("image");
        let point = directory.path().join("mounted");
        fs::create_dir(&point).expect("it was just made");
        let file = File::create(&image).expect("it was just made");
        file.set_len(IMAGE_BYTES).expect("a sparse file");
        let mut source = kind.to_owned();
        if let Some((program, arguments)) = make.split_first() {
            let mut command = Command::new(program);
            command.args(arguments).arg(&image);
            ran(program, command.output())?;
            source = image.display().to_string();
        }
        let mut command = Command::new("mount");
        command
            .args(["-t", kind, "-o", options, &source])
            .arg(&point);
        ran("mount", command.output())?;
        Some(Mounted {
            point,
            _directory: directory,
        })
    }

    fn probe(&self) -> Storage {
        let storage = Storage::probe(&self.point).expect("root can write there");
        println!("{storage:?}");
        storage
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The loop device was set up by mount and goes with it.
        let status = Command::new("umount").arg(&self.point).status();
        let unmounted = status.is_ok_and(|status| status.success());
        assert!(unmounted || std::thread::panicking(), "{:?}", self.point);
    }
}

/// None, loudly, if a command is missing or refused.
fn ran(program: &str, output: std::io::Result<Output>) -> Option<()> {
    let why = match output {
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    println!("SKIPPED: {program} does not work here: {}", why.trim());
    None
}

const EXT4: &[&str] = &[
    "mkfs.ext4",
    "-q",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0",
];

#[track_caller]
fn refused(storage: &Storage, word: &str) {
    match &storage.device_flush {
        DeviceFlush::Refused(reason) => assert!(reason.contains(word), "{reason}"),
        DeviceFlush::Allowed => panic!("allowed: {storage:?}"),
    }
}

/// Sectors written and flushes done by a device (Documentation/block/stat.rst). A flush counts
/// among the writes too, as one of no sectors.
fn counts(directory: &Path) -> (u64, u64) {
    let device = fs::metadata(directory).expect("it is mounted").dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let stat = stat.expect("a block device has counters");
    let mut numbers = stat
        .split_whitespace()
        .map(|word| word.parse().expect("a number"));
    let sectors = numbers.nth(6).expect("sectors written");
    (sectors, numbers.nth(8).expect("flushes, since Linux 5.5"))
}

/// One fdatasync of the flush file is one flush of the device and nothing else.
#[track_caller]
fn flushes_alone(mounted: &Mounted) {
    let file = flush_file::open(&mounted.point).expect("it can be made");
    let before = counts(&mounted.point);
    for _ in 0..10 {
        file.sync_data().expect("a flush");
    }
    let after = counts(&mounted.point);
    assert_eq!((after.0 - before.0, after.1 - before.1), (0, 10));
}

#[test]
fn ext4_with_a_journal_is_seen_and_one_flush_covers_it() {
    let Some(mounted) = Mounted::new(EXT4, "ext4", "loop,commit=300") else {
        return;
    };
    let storage = mounted.probe();
    assert_eq!(storage.file_system.kind, Kind::Ext4);
    assert_eq!(storage.file_system.journal, Journal::Metadata);
    assert_eq!(storage.direct, DirectIo::Direct);
    assert_eq!(storage.device_flush, DeviceFlush::Allowed);
    assert!(
        storage
            .disks
            .iter()
            .any(|disk| disk.name.starts_with("loop"))
    );
    flushes_alone(&mounted);
}

#[test]
fn ext4_without_a_journal_is_seen() {
    let make = [EXT4, &["-O", "^has_journal"]].concat();
    let Some(mounted) = Mounted::new(&make, "ext4", "loop") else {
        return;
    };
    let storage = mounted.probe();
    assert_eq!(storage.file_system.journal, Journal::None);
    assert_eq!(storage.device_flush, DeviceFlush::Allowed);
    flushes_alone(&mounted);
}

#[test]
fn ext4_without_barriers_or_with_its_data_in_the_journal_is_refused() {
    for (options, word) in [("nobarrier", "barriers"), ("data=journal", "data=journal")] {
        let options = format!("loop,{options}");
        let Some(mounted) = Mounted::new(EXT4, "ext4", &options) else {
            return;
        };
        refused(&mounted.probe(), word);
    }
}

#[test]
fn a_directory_whose_files_are_journaled_is_refused() {
    let Some(mounted) = Mounted::new(EXT4, "ext4", "loop") else {
        return;
    };
    let mut command = Command::new("chattr");
    let Some(()) = ran("chattr", command.arg("+j").arg(&mounted.point).output()) else {
        return;
    };
    let storage = mounted.probe();
    refused(&storage, "journal");
    assert_eq!(storage.direct, DirectIo::Buffered);
}

#[test]
fn xfs_is_allowed_by_its_geometry() {
    for (reflink, allowed) in [("reflink=0", true), ("reflink=1", false)] {
        let make = ["mkfs.xfs", "-q", "-m", reflink];
        let Some(mounted) = Mounted::new(&make, "xfs", "loop") else {
            return;
        };
        let storage = mounted.probe();
        assert_eq!(storage.file_system.kind, Kind::Xfs);
        assert_eq!(storage.direct, DirectIo::Direct);
        assert_eq!(storage.rules().device_flush, allowed);
        if allowed {
            flushes_alone(&mounted);
        } else {
            refused(&storage, "reflink=1");
        }
    }
}

#[test]
fn btrfs_and_memory_are_refused_and_not_always_direct() {
    let btrfs = Mounted::new(&["mkfs.btrfs", "-q"], "btrfs", "loop");
    let memory = Mounted::new(&[], "tmpfs", "size=16m");
    for (mounted, kind) in [(btrfs, Kind::Btrfs), (memory, Kind::Memory)] {
        let Some(mounted) = mounted else { continue };
        let storage = mounted.probe();
        assert_eq!(storage.file_system.kind, kind);
        assert_eq!(storage.direct, DirectIo::Buffered);
        refused(
            &storage,
            if kind == Kind::Btrfs {
                "btrfs"
            } else {
                "memory"
            },
        );
    }
}
