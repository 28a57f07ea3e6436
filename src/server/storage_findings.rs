// SPDX-License-Identifier: Apache-2.0
//! What was found of the storage under the data directory, in plain words.
//!
//! Owns: nothing. Invariants: the promise about power cuts is never left unmentioned where the
//! storage cannot keep it.
//! Runs on: boot, and the command that checks a machine. Bounded by: some ten lines.

use std::path::Path;
use std::time::Duration;

use super::findings::Finding;
use crate::io::block_device::Disk;
use crate::io::file_system::{DeviceFlush, FileSystem, Journal, Kind};
use crate::io::storage_probe::{DirectIo, Storage};
use crate::limits::BLOCK_BYTES;

/// A flush that takes longer is worth a warning.
const FLUSH_SLOW: Duration = Duration::from_millis(10);

/// What was found of the storage, facts first.
#[must_use]
pub fn of_storage(directory: &Path, storage: &Storage) -> Vec<Finding> {
    let mut found = vec![
        Finding::fact(place(directory, storage)),
        Finding::fact(commits(storage)),
    ];
    found.extend(latency(storage));
    found.extend(kind_warning(&storage.file_system));
    found.extend(direct_warning(storage));
    found.extend(mount_warnings(&storage.file_system));
    found.extend(flush_warning(storage));
    found.extend(scheduler_note(storage));
    found
}

fn place(directory: &Path, storage: &Storage) -> String {
    let system = &storage.file_system;
    let journal = match (&system.kind, system.journal) {
        (Kind::Ext4, Journal::None) => " without a journal",
        (Kind::Ext4, Journal::Metadata) => " with a journal",
        (Kind::Ext4, Journal::Data) => " with data=journal",
        (Kind::Ext4, Journal::Unknown) => " (journal unknown)",
        _ => "",
    };
    let on = system.mount.as_ref().map_or(String::new(), |mount| {
        format!(" on {} (mounted at {})", mount.source, mount.point)
    });
    let alignment = match storage.told_alignment {
        Some(told) => format!("in units of {} bytes", told.offset_bytes),
        None => format!(
            "alignment not told, {} bytes tried",
            storage.tried_alignment_bytes
        ),
    };
    let direct = match storage.direct {
        DirectIo::Direct => format!("direct I/O {alignment}"),
        DirectIo::Buffered => "direct I/O is accepted but not always direct".to_owned(),
        DirectIo::Refused => "no direct I/O".to_owned(),
    };
    let name = system.kind.name();
    format!(
        "data in {}: {name}{journal}{on}; {direct}",
        directory.display()
    )
}

fn commits(storage: &Storage) -> String {
    match &storage.device_flush {
        DeviceFlush::Allowed => {
            "commits: one flush may cover all partitions of the device".to_owned()
        }
        DeviceFlush::Refused(reason) => {
            format!("commits: each partition is flushed by itself, because {reason}")
        }
    }
}

fn latency(storage: &Storage) -> Option<Finding> {
    let disks: Vec<String> = storage.disks.iter().map(describe).collect();
    let disks = if disks.is_empty() {
        "none known".to_owned()
    } else {
        disks.join("; ")
    };
    let measured = storage
        .latency
        .map_or("not measured".to_owned(), |latency| {
            format!(
                "median {}, worst {} of {}",
                milliseconds(latency.median),
                milliseconds(latency.worst),
                latency.count
            )
        });
    Some(Finding::fact(format!(
        "flush latency of {BLOCK_BYTES} bytes: {measured}; disk: {disks}"
    )))
}

fn describe(disk: &Disk) -> String {
    let mut words = vec![disk.name.clone()];
    words.extend(
        disk.scheduler
            .as_ref()
            .map(|name| format!("scheduler {name}")),
    );
    words.extend(
        disk.write_cache
            .as_ref()
            .map(|cache| format!("cache {cache}")),
    );
    if disk.rotational == Some(true) {
        words.push("says that it turns".to_owned());
    }
    words.join(", ")
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn kind_warning(system: &FileSystem) -> Option<Finding> {
    let sentence = match system.kind {
        Kind::Memory => {
            "the data directory is in memory: what is acknowledged is gone after a power cut or a \
             restart of the machine, and a benchmark here measures memory. Put it on ext4 or XFS"
        }
        Kind::Overlay => {
            "the data directory is in the layers of a container and goes with it; mount a volume \
             for it"
        }
        _ => return None,
    };
    Some(Finding::warning(sentence))
}

fn direct_warning(storage: &Storage) -> Option<Finding> {
    let sentence = match (storage.direct, &storage.file_system.kind) {
        (DirectIo::Direct, _) | (DirectIo::Buffered, Kind::Memory) => return None,
        (DirectIo::Refused, _) => {
            "the file system takes no direct I/O; writes go through the page cache, slower and \
             with its memory. Put the data on ext4 or XFS"
        }
        (DirectIo::Buffered, _) => {
            "the file system accepts direct writes that cannot be direct, so it may put any of \
             them through the page cache; latency is less even. ext4 or XFS does not"
        }
    };
    Some(Finding::warning(sentence))
}

fn mount_warnings(system: &FileSystem) -> Vec<Finding> {
    let mut found = Vec::new();
    if system.is_without_barriers() {
        found.push(Finding::warning(
            "the file system is mounted without barriers: a flush does not reach the disk, and a \
             power cut may take what was acknowledged. Mount it without nobarrier, unless the \
             disk's cache has a battery",
        ));
    }
    if system.journal == Journal::Data {
        found.push(Finding::warning(
            "all data is written twice, through the journal of ext4 (data=journal, or chattr +j \
             on the directory); direct I/O is off. Mount it with data=ordered",
        ));
    }
    found
}

fn flush_warning(storage: &Storage) -> Option<Finding> {
    let slow = storage
        .latency
        .filter(|latency| latency.median > FLUSH_SLOW)?;
    Some(Finding::warning(format!(
        "a flush takes {} at the median, and every acknowledged write waits for one; let \
         producers batch (linger.ms), or use a disk with power-loss protection",
        milliseconds(slow.median)
    )))
}

/// A scheduler that lets a stream of another process go before a commit.
fn scheduler_note(storage: &Storage) -> Option<Finding> {
    let sorts = |disk: &&Disk| disk.scheduler.as_deref() == Some("mq-deadline");
    let disk = storage.disks.iter().find(sorts)?;
    Some(Finding::fact(format!(
        "the scheduler of {} sorts by sector, and a commit waits long beside a copy or a backup on \
         that disk; run those with `ionice -c 3` (tuning.md, I/O scheduler)",
        disk.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::storage_probe::FlushLatency;

    fn storage(kind: Kind, direct: DirectIo) -> Storage {
        let file_system = FileSystem {
            kind,
            mount: None,
            journal: Journal::Unknown,
            xfs: None,
            has_other_devices: false,
        };
        Storage {
            device_flush: file_system.device_flush(direct == DirectIo::Direct),
            file_system,
            disks: Vec::new(),
            direct,
            told_alignment: None,
            tried_alignment_bytes: 512,
            latency: None,
        }
    }

    fn text(storage: &Storage) -> String {
        let found = of_storage(Path::new("/data"), storage);
        let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn memory_is_never_passed_over_in_silence() {
        let said = text(&storage(Kind::Memory, DirectIo::Buffered));
        assert!(
            said.contains("warning: the data directory is in memory"),
            "{said}"
        );
        assert_eq!(said.matches("warning:").count(), 1, "{said}");
    }

    #[test]
    fn what_is_not_direct_is_a_warning() {
        let btrfs = text(&storage(Kind::Btrfs, DirectIo::Buffered));
        assert!(
            btrfs.contains("warning:") && btrfs.contains("page cache"),
            "{btrfs}"
        );
        let none = text(&storage(Kind::Fuse, DirectIo::Refused));
        assert!(none.contains("takes no direct I/O"), "{none}");
        let overlay = text(&storage(Kind::Overlay, DirectIo::Direct));
        assert!(overlay.contains("mount a volume"), "{overlay}");
    }

    #[test]
    fn a_good_disk_gives_facts_alone() {
        let mut good = storage(Kind::Ext4, DirectIo::Direct);
        good.device_flush = DeviceFlush::Allowed;
        good.file_system.journal = Journal::Metadata;
        good.latency = Some(FlushLatency {
            count: 20,
            median: Duration::from_micros(120),
            worst: Duration::from_micros(950),
        });
        good.disks = vec![Disk {
            name: "vda".into(),
            scheduler: Some("none".into()),
            rotational: Some(false),
            write_cache: Some("write back".into()),
        }];
        let said = text(&good);
        assert!(!said.contains("warning"), "{said}");
        for words in [
            "ext4 with a journal",
            "one flush may cover all partitions",
            "median 0.12 ms, worst 0.95 ms of 20",
            "vda, scheduler none, cache write back",
        ] {
            assert!(said.contains(words), "{said}");
        }
        good.disks[0].scheduler = Some("mq-deadline".into());
        let said = text(&good);
        assert!(said.contains("the scheduler of vda sorts") && !said.contains("warning"));
        good.latency = Some(FlushLatency {
            count: 3,
            median: Duration::from_millis(90),
            worst: Duration::from_millis(91),
        });
        assert!(text(&good).contains("warning: a flush takes 90.00 ms"));
    }

    #[test]
    fn a_mount_that_breaks_the_promise_is_a_warning() {
        let mut system = storage(Kind::Ext4, DirectIo::Buffered);
        let line = "1 0 8:1 / /data rw,nobarrier - ext4 /dev/sda1 rw";
        system.file_system.mount = crate::io::mounts::parse(line).pop();
        system.file_system.journal = Journal::Data;
        let said = text(&system);
        assert!(
            said.contains("without barriers") && said.contains("data=ordered"),
            "{said}"
        );
        assert!(said.contains("on /dev/sda1 (mounted at /data)"), "{said}");
    }
}
