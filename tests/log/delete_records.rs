// SPDX-License-Identifier: Apache-2.0
//! Records that a client has deleted (KIP-107): when the log start moves, and that it stays moved.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use furlong::log::{LogConfig, LogEvent, ReadError};
use furlong::model::disk::DiskError;
use furlong::model::ids::Offset;
use furlong::model::topic_config::CleanupPolicy;

use crate::host::{Host, START_MS, WITHOUT_POINTS, batch_at, config};

/// A log with batches of two records, one millisecond apart, each batch in a segment of its own.
fn host(batches: i64) -> Host {
    let mut host = Host::on(WITHOUT_POINTS, 1, small());
    for number in 0..batches {
        let records = batch_at(START_MS + number, &[&[1; 300], &[2; 300]]);
        host.append(&records).expect("a good batch");
        host.settle();
    }
    host.log
        .handle_retention_bound(host.log.durable_end_offset());
    host.events.clear();
    host
}

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..config()
    }
}

fn told(host: &Host) -> Vec<Result<Offset, ReadError>> {
    let told = host.events.iter().filter_map(|event| match event {
        LogEvent::RecordsDeleted { waiter: 5, result } => Some(*result),
        _ => None,
    });
    told.collect()
}

fn segments(host: &Host) -> usize {
    let names = host.disk.names();
    names.iter().filter(|name| name.ends_with(".log")).count()
}

#[test]
fn the_log_start_moves_once_it_is_on_disk_and_segments_below_it_go() {
    let mut host = host(4);
    assert_eq!(segments(&host), 4);
    host.delete_records(5);
    assert_eq!((host.log.log_start_offset(), told(&host).len()), (0, 0));
    host.settle();
    assert_eq!((host.log.log_start_offset(), told(&host)), (5, vec![Ok(5)]));
    host.wait_ms(1);
    assert_eq!(segments(&host), 2, "also where the policy is to compact");
    assert_eq!(host.log.log_start_offset(), 5, "in the middle of a segment");
    assert_eq!(host.read(4, 3000), Err(ReadError::OffsetOutOfRange));
    let all = host.read_all();
    assert_eq!(
        all.iter().map(|(base, _)| *base).collect::<Vec<_>>(),
        [4, 6]
    );
}

#[test]
fn the_log_start_survives_a_crash_a_stop_and_both() {
    for is_stopped in [false, true] {
        let mut host = host(3);
        host.delete_records(3);
        host.settle();
        if is_stopped {
            host.stop();
        } else {
            host.disk.crash();
        }
        assert_eq!(host.reopen(small()).clean, is_stopped);
        assert_eq!(host.log.log_start_offset(), 3);
        host.disk.crash();
        host.reopen(small());
        assert_eq!(host.log.log_start_offset(), 3);
    }
}

#[test]
fn a_deletion_below_the_log_start_is_done_at_once_and_one_past_the_end_is_refused() {
    let mut host = host(2);
    host.delete_records(3);
    host.settle();
    host.events.clear();
    for offset in [0, 3] {
        host.delete_records(offset);
    }
    host.delete_records(5);
    assert_eq!(
        told(&host),
        [Ok(3), Ok(3), Err(ReadError::OffsetOutOfRange)]
    );
    assert!(host.disk.is_idle(), "nothing is written for it");
}

#[test]
fn everything_may_go_and_the_log_goes_on_behind_it() {
    let mut host = host(3);
    host.delete_records(6);
    host.settle();
    host.wait_ms(1);
    assert_eq!(segments(&host), 1, "the last one stays");
    assert_eq!(host.log.log_start_offset(), 6);
    assert!(host.read_all().is_empty());
    let appended = host
        .append(&batch_at(START_MS, &[b"x"]))
        .expect("a good batch");
    assert_eq!((appended.base_offset, appended.log_start_offset), (6, 6));
    host.settle();
    host.disk.crash();
    host.reopen(small());
    assert_eq!(host.read_all().len(), 1);
}

#[test]
fn deletions_that_come_while_the_file_is_written_share_the_next_write() {
    let mut host = host(3);
    for offset in [2, 3, 4] {
        host.delete_records(offset);
    }
    host.step();
    assert_eq!((host.log.log_start_offset(), told(&host)), (2, vec![Ok(2)]));
    host.step();
    assert_eq!(host.log.log_start_offset(), 4);
    assert_eq!(told(&host), [Ok(2), Ok(4), Ok(4)]);
}

#[test]
fn a_time_is_looked_up_from_the_log_start_on() {
    let mut host = host(3);
    host.delete_records(3);
    host.settle();
    host.events.clear();
    let end = host.log.durable_end_offset();
    let found = host
        .lookup(Some(START_MS), end)
        .expect("reads")
        .expect("there");
    assert_eq!((found.offset, found.timestamp), (3, START_MS + 1));
    let found = host.lookup(None, end).expect("reads").expect("there");
    assert_eq!((found.offset, found.timestamp), (4, START_MS + 2));
}

#[test]
fn a_full_disk_refuses_the_deletion_and_nothing_else() {
    let mut host = host(2);
    host.disk.fail_replace = Some(DiskError::NoSpace);
    host.delete_records(2);
    host.settle();
    assert_eq!(told(&host), [Err(ReadError::Disk(DiskError::NoSpace))]);
    assert_eq!((host.log.log_start_offset(), host.log.is_open()), (0, true));
    host.disk.fail_replace = None;
    host.delete_records(2);
    host.settle();
    assert_eq!(host.log.log_start_offset(), 2);
}

#[test]
fn a_failing_disk_ends_the_log() {
    let mut host = host(2);
    host.disk.fail_replace = Some(DiskError::Io(5));
    host.delete_records(2);
    host.settle();
    assert!(host.has(|event| matches!(event, LogEvent::Failed { .. })));
    assert_eq!(told(&host), [Err(ReadError::Disk(DiskError::Io(5)))]);
}

#[test]
fn those_who_wait_are_told_when_the_log_ends() {
    let mut host = host(2);
    host.delete_records(2);
    host.stop();
    assert_eq!(
        told(&host),
        [Err(ReadError::NotOpen)],
        "it may be done all the same"
    );
    host.reopen(small());
    host.log
        .handle_retention_bound(host.log.durable_end_offset());
    host.delete_records(3);
    host.delete();
    assert_eq!(told(&host), [Err(ReadError::NotOpen)]);
    assert!(host.has(|event| matches!(event, LogEvent::Deleted)));
}

#[test]
fn a_damaged_file_gives_the_start_of_the_first_segment() {
    let mut host = host(3);
    host.delete_records(3);
    host.settle();
    host.wait_ms(1);
    host.stop();
    host.disk
        .rewrite("topic-0/log-start-offset", |file| file[2] ^= 1);
    assert_eq!(host.reopen(small()).files_rebuilt, 1);
    assert_eq!(host.log.log_start_offset(), 2);
}
