// SPDX-License-Identifier: Apache-2.0
//! The probe on real file systems, each made in an image and mounted for one test. It needs root
//! and loop devices, and says loudly where it has to be left out.

use std::path::Path;

use furlong::io::file_system::{DeviceFlush, Journal, Kind};
use furlong::io::flush_file;
use furlong::io::storage_probe::{DirectIo, Storage};

use crate::durability::skip;
use crate::volume::{EXT4, Recipe, Volume, XFS};

/// Enough for the smallest XFS; the image is sparse.
const IMAGE_BYTES: u64 = 320 << 20;

/// One file system, mounted until it is dropped. None, loudly, if this machine cannot.
fn mounted(recipe: Recipe<'_>) -> Option<Volume> {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    match Volume::make(parent, recipe, IMAGE_BYTES) {
        Ok(volume) => Some(volume),
        Err(sentence) => {
            skip(&sentence);
            None
        }
    }
}

fn probe(volume: &Volume) -> Storage {
    let storage = Storage::probe(&volume.path()).expect("root can write there");
    println!("{storage:?}");
    storage
}

#[track_caller]
fn refused(storage: &Storage, word: &str) {
    match &storage.device_flush {
        DeviceFlush::Refused(reason) => assert!(reason.contains(word), "{reason}"),
        DeviceFlush::Allowed => panic!("allowed: {storage:?}"),
    }
}

/// One fdatasync of the flush file is one flush of the device and nothing else.
#[track_caller]
fn flushes_alone(volume: &Volume) {
    let file = flush_file::open(&volume.path()).expect("it can be made");
    let counts = || (volume.sectors_written(), volume.flushes());
    let before = counts();
    for _ in 0..10 {
        file.sync_data().expect("a flush");
    }
    let after = counts();
    assert_eq!((after.0 - before.0, after.1 - before.1), (0, 10));
}

#[test]
fn ext4_with_a_journal_is_seen_and_one_flush_covers_it() {
    let Some(mounted) = mounted(Recipe {
        options: "commit=300",
        ..EXT4
    }) else {
        return;
    };
    let storage = probe(&mounted);
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
    let make = [EXT4.make, &["-O", "^has_journal"]].concat();
    let Some(mounted) = mounted(Recipe {
        make: &make,
        ..EXT4
    }) else {
        return;
    };
    let storage = probe(&mounted);
    assert_eq!(storage.file_system.journal, Journal::None);
    assert_eq!(storage.device_flush, DeviceFlush::Allowed);
    flushes_alone(&mounted);
}

#[test]
fn ext4_without_barriers_or_with_its_data_in_the_journal_is_refused() {
    for (options, word) in [("nobarrier", "barriers"), ("data=journal", "data=journal")] {
        let Some(mounted) = mounted(Recipe { options, ..EXT4 }) else {
            return;
        };
        refused(&probe(&mounted), word);
    }
}

#[test]
fn a_directory_whose_files_are_journaled_is_refused() {
    // What `chattr +j` does (the flag beside that of extents), without the right that it takes.
    const WITH_JOURNALED_FILES: &str = "mkfs.ext4 -q -E nodiscard \"$1\" && \
         debugfs -w -R 'set_inode_field / flags 0x84000' \"$1\" 2>/dev/null";
    let Some(mounted) = mounted(Recipe {
        make: &["sh", "-c", WITH_JOURNALED_FILES, "sh"],
        // With delayed allocation the kernel passes over the flag.
        options: "nodelalloc",
        ..EXT4
    }) else {
        return;
    };
    let storage = probe(&mounted);
    refused(&storage, "journal");
    assert_eq!(storage.direct, DirectIo::Buffered);
}

#[test]
fn xfs_is_allowed_by_its_geometry() {
    for (reflink, allowed) in [("reflink=0", true), ("reflink=1", false)] {
        let make = ["mkfs.xfs", "-q", "-m", reflink];
        let Some(mounted) = mounted(Recipe { make: &make, ..XFS }) else {
            return;
        };
        let storage = probe(&mounted);
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
    let btrfs = mounted(Recipe {
        make: &["mkfs.btrfs", "-q"],
        kind: "btrfs",
        options: "rw",
        is_written: false,
    });
    let memory = mounted(Recipe {
        make: &[],
        kind: "tmpfs",
        options: "size=16m",
        is_written: false,
    });
    for (mounted, kind) in [(btrfs, Kind::Btrfs), (memory, Kind::Memory)] {
        let Some(mounted) = mounted else { continue };
        let storage = probe(&mounted);
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
