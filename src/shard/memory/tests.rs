// SPDX-License-Identifier: Apache-2.0
//! Tests of the totals of a shard.
//!
//! Owns: nothing. Invariants: each test name states the rule it checks. Runs on: the test's thread.
//! Bounded by: its loops.

use super::*;
use proptest::prelude::*;

const BUDGET: MemoryBudget = MemoryBudget {
    tail_cache_bytes: 1000,
    buffer_bytes: 1 << 20,
    append_bytes: 100,
    receive_bytes: 100,
    read_bytes: 4 * READ_ROOM_BYTES_MIN,
    outbound_bytes: 4 * FETCH_BYTES_UNDER_PRESSURE,
};

fn memory() -> ShardMemory {
    ShardMemory::new(BUDGET)
}

fn cached(cached_bytes: usize) -> LogMemory {
    LogMemory {
        cached_bytes,
        ..LogMemory::default()
    }
}

fn reading(reading_bytes: usize, ahead_bytes: usize) -> LogMemory {
    LogMemory {
        reading_bytes,
        ahead_bytes,
        ..LogMemory::default()
    }
}

#[test]
fn the_log_that_was_appended_to_least_recently_gives_up_first() {
    let mut memory = memory();
    for slot in 1..=3 {
        memory.handle_log(slot, cached(300));
    }
    assert_eq!(memory.next_to_shed(), None);
    memory.handle_log(1, cached(400));
    assert_eq!(memory.next_to_shed(), None, "just full");
    memory.handle_log(3, cached(310));
    assert_eq!(memory.next_to_shed(), Some((2, 10)));
    memory.handle_log(2, cached(100));
    memory.handle_log(1, cached(900));
    assert_eq!(memory.next_to_shed(), Some((2, 100)), "all it has");
    memory.handle_log(2, cached(0));
    assert_eq!(memory.next_to_shed(), Some((3, 210)));
    memory.handle_log(3, cached(100));
    assert_eq!(memory.next_to_shed(), None);
}

#[test]
fn compaction_takes_its_memory_from_the_cache() {
    let mut memory = memory();
    memory.handle_log(1, cached(600));
    let compacting = LogMemory {
        compacting_bytes: 700,
        ..LogMemory::default()
    };
    memory.handle_log(2, compacting);
    assert_eq!(memory.next_to_shed(), Some((1, 300)));
    memory.handle_log(1, cached(300));
    assert_eq!(memory.next_to_shed(), None);
    memory.handle_log(2, LogMemory::default());
    memory.handle_log(1, cached(1000));
    assert_eq!(memory.next_to_shed(), None, "it has it back");
}

#[test]
fn giving_up_makes_no_log_younger() {
    let mut memory = memory();
    memory.handle_log(1, cached(600));
    memory.handle_log(2, cached(600));
    memory.handle_log(1, cached(500));
    assert_eq!(memory.next_to_shed(), Some((1, 100)));
}

#[test]
fn one_request_passes_alone_however_large() {
    let memory = memory();
    assert!(!memory.is_append_full(0), "nothing is under way");
    assert!(!memory.is_append_full(100));
    assert!(memory.is_append_full(101));
}

#[test]
fn unflushed_bytes_hold_frames_back() {
    let mut memory = memory();
    let unflushed = LogMemory {
        unflushed_bytes: 90,
        ..LogMemory::default()
    };
    memory.handle_log(1, unflushed);
    assert!(!memory.is_append_full(10));
    assert!(memory.is_append_full(11));
    memory.handle_gone(1);
    assert!(!memory.is_append_full(11));
    assert!(memory.holders.is_empty());
}

#[test]
fn waiting_fetches_hold_nobody_back_and_are_bounded_by_themselves() {
    let mut memory = memory();
    assert!(memory.park(50));
    assert!(!memory.is_append_full(150), "50 of them wait");
    assert!(!memory.park(1), "the next one is answered at once");
    memory.unpark(50);
    assert!(memory.park(1));
}

#[test]
fn an_answer_gets_less_while_others_have_not_left_and_never_nothing() {
    let memory = memory();
    assert_eq!(memory.answer_bytes_max(0), BUDGET.outbound_bytes);
    let half = BUDGET.outbound_bytes / 2;
    assert_eq!(memory.answer_bytes_max(half), half);
    for outbound in [BUDGET.outbound_bytes, usize::MAX] {
        assert_eq!(
            memory.answer_bytes_max(outbound),
            FETCH_BYTES_UNDER_PRESSURE
        );
    }
}

#[test]
fn a_read_waits_only_for_reads_that_end() {
    let mut memory = memory();
    let all = BUDGET.read_bytes;
    assert_eq!(memory.read_room(), ReadRoom::Bytes(all));
    memory.handle_log(1, reading(all / 2, 0));
    assert_eq!(memory.read_room(), ReadRoom::Bytes(all / 2));
    memory.handle_log(2, reading(10 * all, 0));
    assert_eq!(memory.read_room(), ReadRoom::Wait);
    memory.wait_to_read(7);
    memory.wait_to_read(8);
    assert!(!memory.has_next_read());
    assert_eq!(memory.next_to_read(), None);
    memory.handle_log(2, LogMemory::default());
    assert_eq!(memory.next_to_read(), Some(7), "in turn");
    memory.handle_log(1, reading(0, 10 * all));
    assert_eq!(memory.read_room(), ReadRoom::Bytes(0), "one batch passes");
    assert_eq!(memory.next_to_read(), Some(8));
}

#[test]
fn reading_ahead_stops_first() {
    let mut memory = memory();
    assert!(memory.may_read_ahead());
    memory.handle_log(1, reading(0, BUDGET.read_bytes / 2));
    assert!(!memory.may_read_ahead() && !memory.is_read_short());
    memory.handle_log(1, reading(1, BUDGET.read_bytes / 2));
    assert!(memory.is_read_short());
    assert!(memory.ahead.contains(&1));
    memory.handle_log(1, LogMemory::default());
    assert!(memory.may_read_ahead() && memory.ahead.is_empty());
    memory.wait_to_read(1);
    assert!(!memory.may_read_ahead(), "somebody waits");
}

proptest! {
    #[test]
    fn totals_are_sums_and_shedding_ends_below_the_bound(
        steps in proptest::collection::vec((0u32..20, 0usize..700, 0usize..50, 0usize..50), 1..200),
    ) {
        let mut memory = memory();
        let mut logs: BTreeMap<u32, LogMemory> = BTreeMap::new();
        for (slot, cached_bytes, unflushed_bytes, ahead_bytes) in steps {
            let log = LogMemory {
                cached_bytes,
                unflushed_bytes,
                reading_bytes: unflushed_bytes / 2,
                ahead_bytes,
                compacting_bytes: ahead_bytes * 2,
            };
            logs.insert(slot, log);
            memory.handle_log(slot, log);
            let mut rounds = 0;
            while let Some((slot, bytes)) = memory.next_to_shed() {
                let log = logs.get_mut(&slot).expect("a log that was told of");
                prop_assert!(bytes > 0 && bytes <= log.cached_bytes);
                log.cached_bytes -= bytes;
                memory.handle_log(slot, *log);
                rounds += 1;
                prop_assert!(rounds <= 20, "each log is asked once");
            }
            let sum = |of: fn(&LogMemory) -> usize| logs.values().map(of).sum::<usize>();
            prop_assert_eq!(memory.total().cached_bytes, sum(|log| log.cached_bytes));
            prop_assert_eq!(memory.total().unflushed_bytes, sum(|log| log.unflushed_bytes));
            prop_assert_eq!(memory.total().reading_bytes, sum(|log| log.reading_bytes));
            prop_assert_eq!(memory.total().ahead_bytes, sum(|log| log.ahead_bytes));
            let compacting = memory.total().compacting_bytes;
            prop_assert_eq!(compacting, sum(|log| log.compacting_bytes));
            let cached = memory.total().cached_bytes;
            prop_assert!(cached == 0 || cached + compacting <= BUDGET.tail_cache_bytes);
            let with_cache = logs.values().filter(|log| log.cached_bytes > 0).count();
            let stands = |(age, slot): &&(u64, u32)| {
                memory.holders.get(slot).is_some_and(|holder| holder.age == *age)
            };
            prop_assert_eq!(memory.by_age.iter().filter(stands).count(), with_cache);
        }
    }
}
