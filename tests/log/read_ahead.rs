// SPDX-License-Identifier: Apache-2.0
//! Read-ahead for readers that go through the log.
//!
//! Owns: nothing. Invariants: each test name states its rule. Runs on: tests.
//! Bounded by: each test.

use bytes::Bytes;
use furlong::limits::READ_AHEAD_BYTES_MAX;
use furlong::log::{LogMemory, ReadError};
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchHeader, split_batches};
use proptest::prelude::*;

use crate::host::{Host, batch, config};

/// Bytes of one read: two batches.
const READ: usize = 21_000;

/// A log of so many batches of 10 kB, none of them in memory.
fn cold(seed: u64, batches: usize) -> Host {
    let mut host = Host::new(seed, config());
    for number in 0..batches {
        let value = vec![u8::try_from(number % 200).expect("small"); 10_000];
        host.append(&batch(&[&value])).expect("it is open");
    }
    host.settle();
    host.shed(usize::MAX);
    host
}

fn next_offset(bytes: &Bytes) -> Offset {
    let last = split_batches(bytes).last().expect("not empty");
    let header = BatchHeader::parse(&last.expect("whole")).expect("a good header");
    header.last_offset() + 1
}

/// Reads on from `offset` as one reader does, so many times; where it got.
fn go_through(host: &mut Host, mut offset: Offset, reads: usize) -> Offset {
    for _ in 0..reads {
        offset = next_offset(&host.read(offset, READ).expect("a good log"));
    }
    offset
}

fn is_answered_at_once(host: &mut Host, offset: Offset) -> bool {
    let read = host.start_read(offset, READ, Offset::MAX);
    let is_answered = host.has(|event| {
        matches!(event, furlong::log::LogEvent::ReadDone { read: done, .. } if *done == read)
    });
    host.settle();
    host.read_result(read).expect("a good log");
    is_answered
}

#[test]
fn a_reader_that_goes_on_finds_its_next_answer_read() {
    let mut host = cold(1, 40);
    let next = go_through(&mut host, 0, 1);
    assert_eq!(host.log.memory().ahead_bytes, 0, "one read is no habit");
    let mut next = go_through(&mut host, next, 1);
    assert_eq!(next, 4);
    while next < 36 {
        assert!(is_answered_at_once(&mut host, next), "{next}");
        next += 2;
    }
}

#[test]
fn a_reader_that_jumps_about_is_not_followed() {
    let mut host = cold(2, 40);
    for offset in [30, 3, 17, 9, 25, 12, 38, 0] {
        host.read(offset, READ).expect("a good log");
        assert_eq!(host.log.memory().ahead_bytes, 0, "after {offset}");
    }
    assert_eq!(host.disk.reads, 8);
}

#[test]
fn two_answers_are_read_ahead_and_no_more() {
    let mut host = cold(3, 100);
    go_through(&mut host, 0, 2);
    let memory = host.log.memory();
    assert!(memory.ahead_bytes > 2 * 20_000, "{memory:?}");
    assert!(memory.ahead_bytes < 4 * 25_000 + 2 * 4096, "{memory:?}");
    assert_eq!(host.disk.reads, 4);
    // A reader that asks for much is read ahead for by a bounded amount.
    let mut host = cold(4, 400);
    let bytes = host.read(0, 20_000_000 / 10).expect("a good log");
    let next = next_offset(&bytes);
    host.read(next, 1_000_000).expect("a good log");
    assert!(host.log.memory().ahead_bytes <= 2 * (READ_AHEAD_BYTES_MAX + 8192));
}

#[test]
fn what_nobody_comes_for_is_dropped_after_a_second() {
    let mut host = cold(5, 40);
    let next = go_through(&mut host, 0, 2);
    host.wait_ms(900);
    assert!(host.log.memory().ahead_bytes > 0);
    host.wait_ms(200);
    assert_eq!(host.log.memory().ahead_bytes, 0);
    assert!(!is_answered_at_once(&mut host, next));
}

#[test]
fn reading_ahead_can_be_forbidden_and_taken_back() {
    let mut host = cold(6, 40);
    host.log.handle_read_ahead(false);
    let next = go_through(&mut host, 0, 3);
    assert_eq!((host.log.memory().ahead_bytes, host.disk.reads), (0, 3));
    host.log.handle_read_ahead(true);
    go_through(&mut host, next, 1);
    assert!(host.log.memory().ahead_bytes > 0);
    host.log.handle_read_ahead_shed();
    assert_eq!(
        host.log.memory(),
        LogMemory {
            ..host.log.memory()
        }
    );
    assert_eq!(host.log.memory().ahead_bytes, 0);
}

#[test]
fn a_reader_waits_for_its_read_ahead_and_reads_nothing_twice() {
    let mut host = cold(7, 40);
    go_through(&mut host, 0, 1);
    let second = host.start_read(2, READ, Offset::MAX);
    while host.disk.reads < 3 {
        host.step();
    }
    // The read of the answer after the second is under way.
    host.read_result(second).expect("a good log");
    let third = host.start_read(4, READ, Offset::MAX);
    let same = host.start_read(4, 10_500, Offset::MAX);
    assert_eq!(host.disk.reads, 3);
    host.settle();
    let (third, same) = (host.read_result(third), host.read_result(same));
    assert_eq!(next_offset(&third.expect("a good log")), 6);
    assert_eq!(
        next_offset(&same.expect("a good log")),
        5,
        "each gets what it asked for"
    );
}

#[test]
fn a_reader_that_asks_for_less_gets_less_and_then_the_rest() {
    let mut host = cold(8, 40);
    let next = go_through(&mut host, 0, 2);
    let reads = host.disk.reads;
    let first = host.read(next, 10_500).expect("a good log");
    assert_eq!(next_offset(&first), next + 1);
    let second = host.read(next + 1, 10_500).expect("a good log");
    assert_eq!(next_offset(&second), next + 2);
    assert!(host.disk.reads <= reads + 2, "both came from one answer");
}

#[test]
fn a_failing_log_answers_those_who_wait_for_a_read_ahead() {
    let mut host = cold(9, 40);
    go_through(&mut host, 0, 1);
    let second = host.start_read(2, READ, Offset::MAX);
    while host.disk.reads < 3 {
        host.step();
    }
    host.read_result(second).expect("a good log");
    let third = host.start_read(4, READ, Offset::MAX);
    host.stop();
    assert_eq!(host.read_result(third), Err(ReadError::NotOpen));
    assert_eq!(host.log.memory(), LogMemory::default());
}

#[test]
fn an_answer_that_reached_the_end_is_not_kept() {
    let mut host = cold(10, 6);
    let next = go_through(&mut host, 0, 2);
    assert_eq!(next, 4);
    assert_eq!(
        host.log.memory().ahead_bytes,
        0,
        "there may be more when it is asked for"
    );
    let more = batch(&[&[9; 100]]);
    host.append(&more).expect("it is open");
    host.settle();
    let bytes = host.read(4, 100_000).expect("a good log");
    assert_eq!(next_offset(&bytes), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn readers_see_the_log_whatever_is_read_ahead(
        seed in 0u64..1000,
        steps in proptest::collection::vec((0usize..4, 0usize..12, 1usize..60_000), 1..60),
    ) {
        let mut host = cold(seed, 60);
        let mut truth = Vec::new();
        for offset in 0..60 {
            truth.push(host.read(offset, 1).expect("a good log"));
        }
        host.log.handle_read_ahead_shed();
        let mut places = [0, 13, 40, 0];
        let mut under_way: Vec<(u64, usize, usize, usize)> = Vec::new();
        for (reader, what, max_bytes) in steps {
            match what {
                0 => host.wait_ms(300),
                1 => host.log.handle_read_ahead_shed(),
                2 => places[reader] = max_bytes % 60,
                3 => host.log.handle_read_ahead(max_bytes % 3 > 0),
                _ => {
                    let from = places[reader];
                    let offset = Offset::try_from(from).expect("small");
                    let read = host.start_read(offset, max_bytes, Offset::MAX);
                    under_way.push((read, reader, from, max_bytes));
                    if what < 8 {
                        continue;
                    }
                    host.settle();
                    for (read, reader, from, max_bytes) in under_way.drain(..) {
                        let bytes = host.read_result(read).expect("a good log");
                        let batches: Vec<Bytes> =
                            split_batches(&bytes).map(|one| one.expect("whole")).collect();
                        prop_assert!(!batches.is_empty());
                        prop_assert!(bytes.len() <= max_bytes || batches.len() == 1);
                        let same = batches.iter().eq(&truth[from..from + batches.len()]);
                        prop_assert!(same, "from {from}");
                        places[reader] = (from + batches.len()) % 60;
                    }
                }
            }
        }
        host.settle();
        let memory = host.log.memory();
        prop_assert_eq!((memory.reading_bytes, memory.unflushed_bytes), (0, 0));
    }
}
