// SPDX-License-Identifier: Apache-2.0
//! One verb after another: open, append, read, roll, retain, stop, delete, fail.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::limits::READ_BYTES_MAX;
use furlong::log::{AppendError, LogConfig, LogEvent, PartitionLog, ReadError};
use furlong::model::disk::DiskQueue;
use furlong::model::ids::{Offset, Uuid};
use furlong::model::time::Now;
use furlong::model::topic_config::{CleanupPolicy, TimestampType};
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, records, validate_batch};

use crate::host::{DIRECTORY, Host, START_MS, WITHOUT_ZEROS, batch, batch_at, config};

fn durable_ends(host: &Host) -> Vec<Offset> {
    let ends = host.events.iter().filter_map(|event| match event {
        LogEvent::DurableEnd { offset, .. } => Some(*offset),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_new_log_makes_kafkas_files_and_stops_exactly() {
    let mut host = Host::new(1, config());
    let records = batch(&[b"one", b"two"]);
    let appended = host.append(&records).expect("a good batch");
    assert_eq!((appended.base_offset, appended.last_offset), (0, 1));
    assert_eq!(appended.log_append_time_ms, -1);
    host.settle();
    assert_eq!(durable_ends(&host), [2]);
    host.stop();
    let names = [
        "topic-0/00000000000000000000.index",
        "topic-0/00000000000000000000.log",
        "topic-0/00000000000000000000.timeindex",
        "topic-0/00000000000000000002.snapshot",
        "topic-0/clean-shutdown",
        "topic-0/leader-epoch-checkpoint",
        "topic-0/partition.metadata",
    ];
    assert_eq!(host.disk.names(), names);
    let stored = host.disk.contents(names[1]);
    assert_eq!(stored.len(), records.len(), "exact length");
    assert_eq!(
        stored[16..],
        records[16..],
        "all but offset and epoch as sent"
    );
    assert_eq!(host.disk.contents(names[5]), b"0\n1\n1 0\n");
    let report = host.reopen(config());
    assert!(report.clean && report.batches_scanned == 0);
    assert!(
        !host.disk.names().contains(&names[4]),
        "the marker is gone before the first append"
    );
    assert_eq!(host.log.log_end_offset(), 2);
    host.append(&batch(&[b"three"])).expect("a good batch");
    host.settle();
    assert_eq!(host.read_all().len(), 2);
    assert_eq!(host.log.end_offset_for_epoch(1), (1, 2));
    assert_eq!(host.log.latest_epoch(), Some(2));
}

#[test]
fn appends_gather_while_a_round_is_under_way() {
    let mut host = Host::on(WITHOUT_ZEROS, 1, config());
    let flushes = |host: &Host| host.disk.flushes + host.disk.device_flushes;
    let before = flushes(&host);
    for _ in 0..50 {
        host.append(&batch(&[&[1; 300]])).expect("a good batch");
    }
    assert!(
        host.events
            .iter()
            .all(|event| !matches!(event, LogEvent::DurableEnd { .. }))
    );
    host.settle();
    assert_eq!(
        flushes(&host) - before,
        2,
        "the first append, then the 49 others"
    );
    assert_eq!(durable_ends(&host), [1, 50]);
    assert_eq!(host.read_all().len(), 50);
}

#[test]
fn a_read_keeps_bound_and_size() {
    let mut host = Host::new(1, config());
    for value in [b"a", b"b", b"c", b"d"] {
        host.append(&batch(&[value, value])).expect("a good batch");
    }
    host.settle();
    let size = batch(&[b"a", b"a"]).len();
    let read = |host: &mut Host, offset, max, bound| {
        let read = host.start_read(offset, max, bound);
        host.settle();
        host.read_result(read)
    };
    assert_eq!(
        read(&mut host, 0, 1, 8).expect("good").len(),
        size,
        "the first comes whole"
    );
    assert_eq!(
        read(&mut host, 0, 2 * size + 1, 8).expect("good").len(),
        2 * size
    );
    assert_eq!(
        read(&mut host, 0, 9999, 5).expect("good").len(),
        2 * size,
        "the third reaches 5"
    );
    let third = read(&mut host, 5, 9999, 8).expect("good");
    assert_eq!(
        BatchHeader::parse(&third).expect("good").base_offset,
        4,
        "the batch that holds 5"
    );
    assert_eq!(read(&mut host, 8, 9999, 8), Ok(Bytes::new()));
    assert_eq!(read(&mut host, 3, 9999, 2), Ok(Bytes::new()));
    assert_eq!(
        read(&mut host, 9, 9999, 9),
        Err(ReadError::OffsetOutOfRange)
    );
    assert_eq!(
        read(&mut host, -1, 9999, 9),
        Err(ReadError::OffsetOutOfRange)
    );
}

#[test]
fn undurable_records_are_not_read() {
    let mut host = Host::new(1, config());
    host.append(&batch(&[b"a"])).expect("a good batch");
    let read = host.start_read(0, 100, Offset::MAX);
    assert_eq!(host.read_result(read), Ok(Bytes::new()));
}

#[test]
fn a_batch_larger_than_one_read_comes_whole() {
    let large = LogConfig {
        max_message_bytes: 20 << 20,
        ..config()
    };
    let mut host = Host::new(1, large);
    let value = vec![9; READ_BYTES_MAX * 2 + 12_345];
    host.append(&batch(&[b"before"])).expect("a good batch");
    let records = batch(&[&value]);
    host.append(&records).expect("a good batch");
    host.settle();
    let found = host.read(1, 100).expect("it reads");
    assert_eq!(found.len(), records.len());
    assert_eq!(found[16..], records[16..]);
}

#[test]
fn segments_roll_by_size_and_are_sealed() {
    let small = LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 200,
        ..config()
    };
    let mut host = Host::new(5, small.clone());
    for place in 0..30u8 {
        host.append(&batch(&[&[place; 150]])).expect("a good batch");
        host.settle();
    }
    assert!(host.log.segment_count() > 5);
    assert_eq!(host.read_all().len(), 30);
    let logs: Vec<String> = host
        .disk
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .map(str::to_owned)
        .collect();
    for log in &logs[..logs.len() - 1] {
        let stored = host.disk.contents(log);
        let size = batch(&[&[0; 150]]).len();
        assert!(stored.len().is_multiple_of(size), "{log} is exact");
        assert!(
            !host
                .disk
                .contents(&log.replace(".log", ".index"))
                .is_empty()
        );
        assert_eq!(
            host.disk.contents(&log.replace(".log", ".timeindex")).len(),
            12
        );
    }
    // Without a clean stop only the last segment is read.
    host.disk.crash();
    let report = host.reopen(small);
    assert!(!report.clean && report.batches_scanned < 8);
    assert_eq!(report.files_rebuilt, 0);
    assert_eq!(host.read_all().len(), 30);
}

#[test]
fn segments_roll_by_time_and_full_index() {
    let mut host = Host::new(
        5,
        LogConfig {
            segment_ms: 1000,
            ..config()
        },
    );
    host.append(&batch(&[b"a"])).expect("a good batch");
    host.settle();
    host.append(&batch_at(START_MS + 1001, &[b"b"]))
        .expect("a good batch");
    host.settle();
    assert_eq!(host.log.segment_count(), 2, "by the timestamps");
    host.wait_ms(60_000);
    assert_eq!(host.log.segment_count(), 3, "by the clock");
    host.wait_ms(60_000);
    assert_eq!(host.log.segment_count(), 3, "an empty one stays");
    let full = LogConfig {
        segment_index_bytes: 24,
        index_interval_bytes: 0,
        ..config()
    };
    let mut host = Host::new(5, full);
    for _ in 0..10 {
        host.append(&batch(&[b"a"])).expect("a good batch");
        host.settle();
    }
    assert!(host.log.segment_count() > 2);
    assert_eq!(host.read_all().len(), 10);
}

#[test]
fn retention_removes_whole_old_segments() {
    let small = LogConfig {
        segment_bytes: 1000,
        retention_ms: Some(3_600_000),
        ..config()
    };
    let mut host = Host::new(5, small.clone());
    for place in 0..20i64 {
        let records = batch_at(START_MS + place * 600_000, &[&[1; 350]]);
        host.now.wall_ms = START_MS + place * 600_000;
        host.append(&records).expect("a good batch");
        host.settle();
    }
    host.wait_ms(31_000);
    assert_eq!(host.log.log_start_offset(), 0, "nothing is committed yet");
    host.log.handle_retention_bound(9);
    host.wait_ms(31_000);
    assert_eq!(
        host.log.log_start_offset(),
        8,
        "whole segments below the bound"
    );
    host.log.handle_retention_bound(20);
    host.wait_ms(31_000);
    assert_eq!(host.log.log_start_offset(), 14, "older than an hour");
    assert!(host.has(|event| matches!(event, LogEvent::LogStartMoved { offset: 14 })));
    assert_eq!(host.read(11, 100), Err(ReadError::OffsetOutOfRange));
    assert_eq!(host.read_all().len(), 6);
    host.log.handle_config(LogConfig {
        retention_bytes: Some(0),
        ..small.clone()
    });
    host.wait_ms(1);
    assert_eq!(
        host.log.segment_count(),
        1,
        "by size, but never the last one"
    );
    let names = host.disk.names();
    assert!(
        names
            .iter()
            .all(|name| !name.contains("00000000.") && !name.contains("00000004."))
    );
    host.disk.crash();
    host.reopen(small);
    assert_eq!(host.log.log_start_offset(), 18);
    // Cold segments are asked for their age after a restart, too.
    let tiny = LogConfig {
        segment_bytes: 500,
        ..config()
    };
    let mut host = Host::new(6, tiny.clone());
    for _ in 0..5 {
        host.append(&batch(&[&[1; 350]])).expect("a good batch");
        host.settle();
    }
    host.stop();
    host.reopen(LogConfig {
        retention_ms: Some(1000),
        ..tiny
    });
    host.log.handle_retention_bound(5);
    host.wait_ms(100_000);
    host.wait_ms(1);
    assert_eq!(host.log.segment_count(), 1);
}

#[test]
fn refused_appends_change_nothing() {
    let mut host = Host::new(
        1,
        LogConfig {
            max_message_bytes: 500,
            segment_bytes: 600,
            ..config()
        },
    );
    let refused = |host: &mut Host, records: &Bytes| host.append(records).expect_err("refused");
    assert_eq!(refused(&mut host, &Bytes::new()), AppendError::Empty);
    assert!(matches!(
        refused(&mut host, &batch(&[&[1; 500]])),
        AppendError::Batch(_)
    ));
    let two = [batch(&[&[1; 300]]), batch(&[&[1; 300]])].concat();
    assert_eq!(
        refused(&mut host, &two.into()),
        AppendError::LargerThanSegment
    );
    let mut flipped = batch(&[b"a"]).to_vec();
    *flipped.last_mut().expect("not empty") ^= 1;
    let half_bad = [batch(&[b"good"]).to_vec(), flipped].concat();
    assert!(matches!(
        refused(&mut host, &half_bad.into()),
        AppendError::Batch(_)
    ));
    let future = batch_at(START_MS + 3_600_001, &[b"a"]);
    assert!(matches!(refused(&mut host, &future), AppendError::Batch(_)));
    assert_eq!(host.log.log_end_offset(), 0);
    assert!(host.disk.is_idle());
}

#[test]
fn compacted_topics_need_keys() {
    let policy = CleanupPolicy {
        delete: false,
        compact: true,
    };
    let mut host = Host::new(
        1,
        LogConfig {
            cleanup_policy: policy,
            ..config()
        },
    );
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(START_MS, None, Some(b"v"), &[]);
    assert!(matches!(
        host.append(&builder.build()),
        Err(AppendError::Batch(_))
    ));
    host.append(&batch(&[b"with key"])).expect("a good batch");
}

#[test]
fn log_append_time_replaces_the_producers() {
    let stamped = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..config()
    };
    let mut host = Host::new(1, stamped);
    let appended = host
        .append(&batch_at(5, &[b"a", b"b"]))
        .expect("a good batch");
    assert_eq!(appended.log_append_time_ms, START_MS);
    host.settle();
    let stored = host.read(0, 1000).expect("it reads");
    validate_batch(&stored, &furlong::wire::record::BatchRules::BROKER).expect("a good checksum");
    let opened = records(&stored, 1000).expect("it opens");
    assert!(
        opened
            .iter()
            .all(|record| record.expect("good").timestamp == START_MS)
    );
}

#[test]
fn a_failed_flush_is_never_tried_again() {
    let mut host = Host::new(1, config());
    host.append(&batch(&[b"a"])).expect("a good batch");
    host.append(&batch(&[b"b"])).expect("a good batch");
    host.disk.fail_flushes = true;
    host.settle();
    assert!(host.has(|event| matches!(event, LogEvent::Failed { .. })));
    assert!(durable_ends(&host).is_empty());
    assert_eq!(host.append(&batch(&[b"c"])), Err(AppendError::Failed));
    let read = host.start_read(0, 100, 1);
    assert_eq!(host.read_result(read), Err(ReadError::NotOpen));
    assert!(host.disk.is_idle());
    host.stop();
}

#[test]
fn a_directory_of_another_topic_is_not_touched() {
    let mut host = Host::new(1, config());
    host.append(&batch(&[b"a"])).expect("a good batch");
    host.stop();
    let before: Vec<String> = host.disk.names().into_iter().map(str::to_owned).collect();
    let mut log = PartitionLog::new(4, DIRECTORY, Uuid([8; 16]), config(), host.storage);
    let (mut queue, mut events) = (DiskQueue::new(), Vec::new());
    let now = Now {
        monotonic_us: 0,
        wall_ms: 0,
    };
    log.handle_open(now, &mut queue);
    host.disk.submit(&mut queue);
    while !host.disk.is_idle() {
        log.handle_disk(now, host.disk.complete_one(), &mut queue, &mut events);
        host.disk.submit(&mut queue);
    }
    assert!(matches!(
        events[..],
        [LogEvent::WrongTopic {
            found: Uuid([7, ..])
        }]
    ));
    assert_eq!(host.disk.names(), before);
    log.handle_delete(now, &mut queue, &mut events);
    host.disk.submit(&mut queue);
    while !host.disk.is_idle() {
        log.handle_disk(now, host.disk.complete_one(), &mut queue, &mut events);
    }
    assert!(matches!(events[1], LogEvent::Deleted));
    assert!(host.disk.names().is_empty());
}

#[test]
fn deletion_waits_for_what_is_under_way() {
    for steps in 0..40 {
        let mut host = Host::new(
            steps,
            LogConfig {
                segment_bytes: 300,
                ..config()
            },
        );
        for _ in 0..4 {
            host.append(&batch(&[&[1; 200]])).expect("a good batch");
        }
        for _ in 0..steps {
            if !host.disk.is_idle() {
                host.step();
            }
        }
        host.delete();
        assert!(host.has(|event| matches!(event, LogEvent::Deleted)));
        assert!(host.disk.names().is_empty());
        assert_eq!(host.append(&batch(&[b"c"])), Err(AppendError::NotOpen));
    }
}

#[test]
fn a_stop_writes_what_was_appended() {
    for steps in 0..40 {
        let small = LogConfig {
            segment_bytes: 300,
            ..config()
        };
        let mut host = Host::new(steps, small.clone());
        for _ in 0..4 {
            host.append(&batch(&[&[1; 200]])).expect("a good batch");
        }
        for _ in 0..steps {
            if !host.disk.is_idle() {
                host.step();
            }
        }
        host.stop();
        assert!(host.reopen(small).clean);
        assert_eq!(host.read_all().len(), 4);
    }
}

#[test]
fn a_stop_while_opening_opens_first() {
    let mut host = Host::new(1, config());
    host.append(&batch(&[b"a"])).expect("a good batch");
    host.settle();
    host.disk.crash();
    host.start(config());
    host.step();
    host.stop();
    assert!(host.has(|event| matches!(event, LogEvent::Opened { .. })));
    assert!(host.reopen(config()).clean);
}

#[test]
fn too_much_unflushed_is_refused_as_busy() {
    let large = LogConfig {
        max_message_bytes: 64 << 20,
        ..config()
    };
    let mut host = Host::new(1, large);
    let records = batch(&[&vec![1; 60 << 20]]);
    host.append(&records).expect("a good batch");
    host.append(&records).expect("a good batch");
    assert_eq!(host.append(&records), Err(AppendError::Busy));
    host.settle();
    host.append(&records).expect("room again");
    host.settle();
    assert_eq!(host.log.durable_end_offset(), 3);
}

#[test]
fn retention_looks_at_its_interval() {
    let small = LogConfig {
        segment_bytes: 1000,
        retention_bytes: Some(1),
        ..config()
    };
    let mut host = Host::new(5, small);
    host.log.set_retention_check_ms(500);
    // The first look after an opening that knew no interval yet.
    host.wait_ms(30_000);
    for _ in 0..6 {
        host.append(&batch(&[&[7; 400]])).expect("a good batch");
        host.settle();
    }
    host.log.handle_retention_bound(6);
    host.wait_ms(499);
    assert_eq!(host.log.log_start_offset(), 0, "not before its time");
    host.wait_ms(1);
    assert!(host.log.log_start_offset() > 0, "it looks every 500 ms");
}
