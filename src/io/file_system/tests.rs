// SPDX-License-Identifier: Apache-2.0
//! The verdict on each kind of file system, and what a real directory gives.

use super::*;

fn mount(kind: &str, options: &str) -> Mount {
    let line = format!("1 0 8:1 / / {options} - {kind} /dev/sda1 rw");
    mounts::parse(&line).remove(0)
}

fn system(kind: Kind, name: &str, options: &str) -> FileSystem {
    FileSystem {
        kind,
        mount: Some(mount(name, options)),
        journal: Journal::Metadata,
        xfs: None,
        has_other_devices: false,
    }
}

fn ext4(options: &str) -> FileSystem {
    system(Kind::Ext4, "ext4", options)
}

#[track_caller]
fn refused(system: &FileSystem, word: &str) {
    match system.device_flush(true) {
        DeviceFlush::Refused(reason) => assert!(reason.contains(word), "{reason}"),
        DeviceFlush::Allowed => panic!("allowed: {system:?}"),
    }
    assert!(!system.device_flush(true).is_allowed());
}

#[test]
fn ext4_is_allowed_with_and_without_a_journal() {
    for journal in [Journal::Metadata, Journal::None, Journal::Unknown] {
        let mut system = ext4("rw,relatime");
        system.journal = journal;
        assert_eq!(system.device_flush(true), DeviceFlush::Allowed);
        assert!(system.device_flush(true).is_allowed());
    }
}

#[test]
fn ext4_is_refused_where_a_flush_or_a_write_is_another_thing() {
    let mut journaled = ext4("rw");
    journaled.journal = Journal::Data;
    refused(&journaled, "data=journal");
    refused(&ext4("rw,nobarrier"), "barriers");
    refused(&ext4("rw,barrier=0"), "barriers");
    refused(&ext4("rw,dax=always"), "dax");
    let mut spread = ext4("rw");
    spread.has_other_devices = true;
    refused(&spread, "another device");
    let mut unlisted = ext4("rw");
    unlisted.mount = None;
    refused(&unlisted, "not known");
    assert!(matches!(
        ext4("rw").device_flush(false),
        DeviceFlush::Refused(_)
    ));
}

#[test]
fn xfs_is_allowed_only_where_it_cannot_share_blocks() {
    let mut system = system(Kind::Xfs, "xfs", "rw");
    refused(&system, "does not say");
    for (reflink, realtime, word) in [(true, false, "reflink"), (false, true, "realtime")] {
        system.xfs = Some(XfsGeometry { reflink, realtime });
        refused(&system, word);
    }
    system.xfs = Some(XfsGeometry {
        reflink: false,
        realtime: false,
    });
    assert_eq!(system.device_flush(true), DeviceFlush::Allowed);
    system.has_other_devices = true;
    refused(&system, "another device");
}

#[test]
fn everything_else_is_refused() {
    for (kind, word) in [
        (Kind::Btrfs, "btrfs"),
        (Kind::Memory, "memory"),
        (Kind::Overlay, "overlay"),
        (Kind::Fuse, "user space"),
        (Kind::of(0x6969, "nfs4"), "ext4 and XFS only"),
        (Kind::of(0xef53, "ext2"), "ext4 and XFS only"),
        (Kind::of(0xef53, ""), "ext4 and XFS only"),
    ] {
        refused(&system(kind, "x", "rw"), word);
    }
}

#[test]
fn the_journal_shows_in_the_options_of_ext4() {
    assert_eq!(journal_of("rw\nbarrier\ndata=ordered\n"), Journal::Metadata);
    assert_eq!(journal_of("rw\ndata=writeback\n"), Journal::Metadata);
    assert_eq!(journal_of("rw\ndata=journal\nbarrier\n"), Journal::Data);
    assert_eq!(
        journal_of("rw\nnojournal_checksum\nbarrier\n"),
        Journal::None
    );
    assert_eq!(journal_of(""), Journal::Unknown);
}

#[test]
fn a_link_to_another_device_is_seen() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let device = fs::metadata(directory.path()).expect("metadata").dev();
    fs::create_dir(directory.path().join("here-0")).expect("directory");
    assert!(!has_other_devices(directory.path(), device));
    std::os::unix::fs::symlink("/proc", directory.path().join("there-0")).expect("link");
    assert!(has_other_devices(directory.path(), device));
}

#[test]
fn a_real_directory_is_on_something() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let system = FileSystem::inspect(directory.path()).expect("it can be opened");
    assert!(!system.kind.name().is_empty());
    let missing = directory.path().join("missing");
    assert!(FileSystem::inspect(&missing).is_err());
    let proc = FileSystem::inspect(Path::new("/proc")).expect("proc is there");
    assert_eq!(proc.kind, Kind::Other("proc".into()));
}
