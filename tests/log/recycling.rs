// SPDX-License-Identifier: Apache-2.0
//! Files of removed segments that become the next ones.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::limits::RECYCLED_WITHIN_MS;
use furlong::log::{LogConfig, LogEvent};
use furlong::model::storage::StorageRules;
use furlong::wire::record::split_batches;

use crate::host::{Host, WITHOUT_POINTS, batch, config};

const DEVICE: u64 = 1;

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 30_000,
        retention_bytes: Some(60_000),
        ..config()
    }
}

fn append(host: &mut Host, len: usize) {
    host.append(&batch(&[&vec![7; len]])).expect("a good batch");
    host.settle();
    let bound = host.log.durable_end_offset();
    host.log.handle_retention_bound(bound);
}

/// Segments fill and are removed.
fn fill(host: &mut Host, segments: usize) {
    for _ in 0..segments * 10 {
        append(host, 3000);
    }
}

fn spares(host: &Host) -> Vec<String> {
    let names = host.disk.names().into_iter();
    names
        .filter(|name| name.ends_with(".recycled"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_removed_segment_becomes_the_next_one_and_needs_no_flush_of_its_file() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, small());
    fill(&mut host, 10);
    assert!(host.disk.recycled >= 3, "{} recycled", host.disk.recycled);
    assert!(spares(&host).len() <= 1, "{:?}", spares(&host));
    let mut seen = 0;
    for _ in 0..60 {
        let recycled = host.disk.recycled;
        append(&mut host, 3000);
        if host.disk.recycled > recycled {
            // The first rounds of a file of its own would flush it, and zeros would follow.
            let (files, devices) = (host.disk.flushes, host.disk.device_flushes);
            append(&mut host, 3000);
            assert_eq!(host.disk.device_flushes - devices, 1);
            assert_eq!(host.disk.flushes, files);
            seen += 1;
        }
    }
    assert!(seen > 2, "only {seen} rolls to a recycled file");
    let all = host.read_all();
    assert_eq!(
        all.first().map(|(base, _)| *base),
        Some(host.log.log_start_offset())
    );
    host.disk.crash();
    host.reopen(small());
    assert_eq!(host.read_all(), all);
    assert_eq!(spares(&host), [""; 0], "a start removes it");
}

#[test]
fn no_record_of_an_earlier_life_is_in_a_file_that_waits_or_serves() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, small());
    let mut looked_at = 0;
    for _ in 0..300 {
        append(&mut host, 2800);
        let names: Vec<String> = host.disk.names().into_iter().map(str::to_owned).collect();
        for waits in names.iter().filter(|name| name.ends_with(".recycled")) {
            assert!(host.disk.contents(waits).iter().all(|byte| *byte == 0));
            looked_at += 1;
        }
        let serves = names.iter().rfind(|name| name.ends_with(".log"));
        let stored = Bytes::from(host.disk.contents(serves.expect("a log has a file")));
        let batches = split_batches(&stored).map_while(Result::ok);
        let used: usize = batches.map(|batch| batch.len()).sum();
        assert!(stored[used..].iter().all(|byte| *byte == 0));
    }
    assert!(looked_at > 20 && host.disk.recycled > 10);
}

#[test]
fn a_stop_gives_the_spare_file_back_at_any_moment() {
    for seed in 0..60 {
        let mut host = Host::on(WITHOUT_POINTS, seed * 4 + 1, small());
        fill(&mut host, 6);
        for _ in 0..host.disk.dice.below(25) {
            host.append(&batch(&[&[7; 3000]])).expect("a good batch");
            let bound = host.log.durable_end_offset();
            host.log.handle_retention_bound(bound);
            for _ in 0..host.disk.dice.below(12) {
                if !host.disk.is_idle() {
                    host.step();
                }
            }
        }
        host.stop();
        assert_eq!(spares(&host), [""; 0]);
        assert!(host.reopen(small()).clean);
        host.delete();
        assert_eq!(host.disk.names(), [""; 0]);
    }
}

#[test]
fn a_deletion_closes_and_removes_the_spare_file_at_any_moment() {
    for seed in 0..60 {
        let mut host = Host::on(WITHOUT_POINTS, seed * 4 + 1, small());
        fill(&mut host, 4);
        for _ in 0..host.disk.dice.below(40) {
            host.append(&batch(&[&[7; 3000]])).expect("a good batch");
            let bound = host.log.durable_end_offset();
            host.log.handle_retention_bound(bound);
            for _ in 0..host.disk.dice.below(12) {
                if !host.disk.is_idle() {
                    host.step();
                }
            }
        }
        host.delete();
        assert_eq!(host.disk.names(), [""; 0]);
    }
}

#[test]
fn a_slow_log_and_one_without_the_flush_of_the_device_keep_no_file() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, small());
    let step_ms = i64::try_from(RECYCLED_WITHIN_MS / 8).expect("small");
    for _ in 0..100 {
        append(&mut host, 3000);
        host.wait_ms(step_ms);
    }
    assert_eq!(host.disk.recycled, 0);
    let mut host = Host::on(StorageRules::default(), DEVICE, small());
    fill(&mut host, 10);
    assert_eq!(host.disk.recycled, 0);
}

#[test]
fn a_spare_file_without_space_is_given_up_and_nothing_else() {
    let mut given_up = 0;
    for seed in 0..60 {
        let mut host = Host::on(WITHOUT_POINTS, seed * 4 + 1, small());
        fill(&mut host, 6);
        for _ in 0..60 {
            let had = spares(&host).len();
            let is_full = host.disk.dice.one_in(3);
            host.disk.capacity = if is_full { 0 } else { usize::MAX };
            // Without space it may be refused, or taken and lost again.
            let _ = host.append(&batch(&[&[7; 3000]]));
            let bound = host.log.durable_end_offset();
            host.log.handle_retention_bound(bound);
            for _ in 0..host.disk.dice.below(12) {
                if !host.disk.is_idle() {
                    host.step();
                }
            }
            given_up += usize::from(is_full && had > spares(&host).len());
        }
        host.disk.capacity = usize::MAX;
        host.settle();
        let failed = |event: &LogEvent| matches!(event, LogEvent::Failed { .. });
        assert!(!host.events.iter().any(failed), "seed {seed}");
        fill(&mut host, 2);
        host.stop();
        assert_eq!(spares(&host), [""; 0]);
        assert!(host.reopen(small()).clean);
    }
    assert!(given_up > 10, "only {given_up} were given up");
}
