// SPDX-License-Identifier: Apache-2.0
//! What a log keeps in memory: who reads there needs no disk, and it gives up what it is told to.
//!
//! Owns: nothing. Invariants: each test name states its rule. Runs on: tests.
//! Bounded by: each test.

use furlong::log::LogConfig;

use crate::host::{Host, batch, config};

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 20_000,
        ..config()
    }
}

/// Appends batches of these sizes, each in a round of its own; after each of them a reader at the
/// tip reads it. Gives how many disk reads that took.
fn follow(host: &mut Host, sizes: &[usize]) -> usize {
    let before = host.disk.reads;
    for size in sizes {
        let value = vec![b'x'; *size];
        let appended = host.append(&batch(&[&value])).expect("it is open");
        host.settle();
        let bytes = host.read(appended.base_offset, 100).expect("a good log");
        assert!(bytes.len() > *size, "the whole batch");
    }
    host.disk.reads - before
}

#[test]
fn a_reader_at_the_tip_needs_no_disk_whatever_the_rounds_are() {
    let mut host = Host::new(1, config());
    let sizes: Vec<usize> = (0..400)
        .map(|round| [10, 100, 3000, 4035, 9000, 70_000, 900_000][round % 7 * (round % 3) / 2])
        .collect();
    assert_eq!(follow(&mut host, &sizes), 0);
}

#[test]
fn a_reader_at_the_tip_of_a_quiet_log_needs_no_disk() {
    let mut host = Host::new(2, config());
    follow(&mut host, &[50, 60, 70]);
    host.wait_ms(24 * 3_600_000);
    let before = host.disk.reads;
    for offset in 0..3 {
        assert!(!host.read(offset, 100).expect("a good log").is_empty());
    }
    assert_eq!(host.disk.reads, before);
    assert!(
        host.log.memory().cached_bytes <= 8192,
        "{:?}",
        host.log.memory()
    );
}

#[test]
fn what_is_cached_of_sealed_segments_needs_neither_their_files_nor_their_indexes() {
    let mut host = Host::new(3, small_segments());
    follow(&mut host, &[6000; 60]);
    assert!(host.log.segment_count() > 12, "most segments are closed");
    let before = (host.disk.reads, host.disk.files_read);
    assert_eq!(host.read_all().len(), 60);
    assert_eq!((host.disk.reads, host.disk.files_read), before);
}

#[test]
fn what_is_given_up_is_read_from_the_disk_and_is_the_same() {
    let mut host = Host::new(4, small_segments());
    follow(&mut host, &[100, 6000, 300, 6000, 40, 9000, 15_000, 10, 10]);
    let all = host.read_all();
    while host.log.memory().cached_bytes > 0 {
        let before = host.log.memory().cached_bytes;
        host.shed(5000);
        let after = host.log.memory().cached_bytes;
        assert!(after <= before.saturating_sub(5000), "{before} to {after}");
        assert_eq!(host.read_all(), all);
        host.log.handle_read_ahead_shed();
    }
    let before = host.disk.reads;
    assert_eq!(host.read_all(), all);
    assert!(host.disk.reads > before);
}

#[test]
fn the_newest_bytes_are_given_up_last() {
    let mut host = Host::new(5, config());
    follow(&mut host, &[100_000; 20]);
    host.shed(1_000_000);
    let before = host.disk.reads;
    for offset in 14..20 {
        assert!(host.log.is_in_memory(offset), "{offset}");
        host.read(offset, 100).expect("a good log");
    }
    assert_eq!(host.disk.reads, before);
    assert!(!host.log.is_in_memory(0));
}

#[test]
fn an_append_is_counted_until_it_is_durable() {
    let mut host = Host::new(6, config());
    let one = batch(&[&[b'x'; 5000]]);
    host.append(&one).expect("it is open");
    assert_eq!(host.log.memory().unflushed_bytes, one.len());
    host.settle();
    let memory = host.log.memory();
    assert_eq!(memory.unflushed_bytes, 0);
    assert!(memory.cached_bytes >= one.len() && memory.cached_bytes < 8 * one.len());
}

#[test]
fn a_log_that_has_ended_holds_nothing() {
    let mut host = Host::new(7, config());
    follow(&mut host, &[5000; 10]);
    host.stop();
    assert_eq!(host.log.memory(), furlong::log::LogMemory::default());
    host.reopen(config());
    follow(&mut host, &[5000; 10]);
    host.delete();
    assert_eq!(host.log.memory(), furlong::log::LogMemory::default());
}
