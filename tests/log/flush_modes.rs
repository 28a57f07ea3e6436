// SPDX-License-Identifier: Apache-2.0
//! The flush modes, each with exactly its promise.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use furlong::limits::UNFLUSHED_BYTES_MAX;
use furlong::log::{AppendError, LogConfig, LogEvent};
use furlong::model::topic_config::FlushMode;

use crate::host::{Host, WITHOUT_ZEROS, batch, config};

fn with_mode(flush_mode: FlushMode) -> LogConfig {
    LogConfig {
        flush_mode,
        ..config()
    }
}

const INTERVAL: FlushMode = FlushMode::Interval {
    records: 10,
    ms: 200,
};

fn flushes(host: &Host) -> usize {
    host.disk.flushes + host.disk.device_flushes
}

/// Appends and lets requests end until the record counts.
fn append(host: &mut Host) {
    let before = host.log.durable_end_offset();
    host.append(&batch(&[b"value"])).expect("a good batch");
    while host.log.durable_end_offset() == before {
        host.step();
    }
}

#[test]
fn never_counts_what_is_written_and_keeps_it_through_a_kill() {
    for seed in 0..8 {
        let mut host = Host::on(WITHOUT_ZEROS, seed, with_mode(FlushMode::Never));
        let before = flushes(&host);
        for _ in 0..30 {
            append(&mut host);
        }
        assert_eq!(flushes(&host), before, "nothing was flushed");
        host.disk.kill();
        host.reopen(with_mode(FlushMode::Never));
        assert_eq!(host.read_all().len(), 30);
    }
}

#[test]
fn never_may_lose_its_tail_with_the_power_and_nothing_else() {
    let mut lost = false;
    for seed in 0..30 {
        let mut host = Host::new(seed, with_mode(FlushMode::Never));
        for _ in 0..10 {
            append(&mut host);
        }
        host.stop();
        host.reopen(with_mode(FlushMode::Never));
        for _ in 0..10 {
            append(&mut host);
        }
        host.disk.crash();
        host.reopen(with_mode(FlushMode::Never));
        let kept = host.read_all().len();
        assert!((10..=20).contains(&kept), "{kept} records");
        lost |= kept < 20;
    }
    assert!(lost, "the power took nothing: the test proves nothing");
}

#[test]
fn an_interval_is_flushed_by_count() {
    let mut host = Host::on(WITHOUT_ZEROS, 1, with_mode(INTERVAL));
    host.settle();
    let before = flushes(&host);
    for _ in 0..9 {
        append(&mut host);
    }
    assert_eq!(flushes(&host), before);
    append(&mut host);
    host.settle();
    assert_eq!(flushes(&host), before + 1);
    host.disk.crash();
    host.reopen(with_mode(INTERVAL));
    assert_eq!(host.read_all().len(), 10);
}

#[test]
fn an_interval_is_flushed_by_time() {
    let mut host = Host::new(1, with_mode(INTERVAL));
    append(&mut host);
    host.settle();
    let before = flushes(&host);
    host.wait_ms(199);
    assert_eq!(flushes(&host), before);
    host.wait_ms(1);
    assert_eq!(flushes(&host), before + 1);
    host.wait_ms(5000);
    assert_eq!(flushes(&host), before + 1, "there is nothing to flush");
    host.disk.crash();
    host.reopen(with_mode(INTERVAL));
    assert_eq!(host.read_all().len(), 1);
}

#[test]
fn a_change_to_always_holds_for_the_next_round() {
    for seed in 0..20 {
        let mut host = Host::new(seed, with_mode(FlushMode::Never));
        for _ in 0..5 {
            append(&mut host);
        }
        host.log.handle_config(with_mode(FlushMode::Always));
        append(&mut host);
        host.disk.crash();
        host.reopen(with_mode(FlushMode::Always));
        assert_eq!(
            host.read_all().len(),
            6,
            "the flush covers what came before"
        );
    }
}

#[test]
fn no_mode_lets_more_lie_unflushed_than_the_bound() {
    let mut host = Host::new(1, with_mode(FlushMode::Never));
    let big = batch(&[&vec![7; 900_000]]);
    let before = flushes(&host);
    let mut sent = 0;
    let mut refused = false;
    while sent < 2 * UNFLUSHED_BYTES_MAX {
        match host.append(&big) {
            Ok(_) => sent += big.len(),
            Err(AppendError::Busy) => {
                refused = true;
                let room = |event: &LogEvent| {
                    matches!(event, LogEvent::Synced | LogEvent::DurableEnd { .. })
                };
                host.events.clear();
                while !host.has(room) {
                    host.step();
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused, "the bound was never met");
    assert!(flushes(&host) > before);
}

#[test]
fn a_failed_flush_ends_a_relaxed_log_too() {
    let mut host = Host::new(1, with_mode(INTERVAL));
    append(&mut host);
    host.settle();
    host.disk.fail_flushes = true;
    host.wait_ms(300);
    assert!(host.has(|event| matches!(event, LogEvent::Failed { .. })));
    assert_eq!(host.append(&batch(&[b"x"])), Err(AppendError::Failed));
}
