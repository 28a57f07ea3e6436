// SPDX-License-Identifier: Apache-2.0
//! Fetches of what is in memory, from the frame to the answer, and fetches that wait for it.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};

use crate::allocation::take_count;
use crate::append::{batch, request};
use crate::host::{Host, steady};

fn fetch(offset: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Produces and reads what came, again and again. Gives what the reads allocated.
fn follow(records: usize, max_wait_ms: i32, warm_up: usize, rounds: usize) -> Vec<usize> {
    let mut host = Host::new(1, 1);
    let records_of_batch = i64::try_from(records).expect("few");
    let produced = request(-1, &[0], &batch(records));
    let mut offset = 0;
    let mut counts = Vec::new();
    steady(&mut host, warm_up, rounds, |host| {
        host.call(9, &produced);
        take_count();
        let response = host.call(11, &fetch(offset, max_wait_ms));
        let partition = &response.responses[0].partitions[0];
        let bytes = partition.records.as_ref().map_or(0, bytes::Bytes::len);
        assert!(partition.error_code == 0 && bytes > 100 * records);
        offset += records_of_batch;
        counts.push(take_count());
    });
    counts.split_off(warm_up)
}

#[test]
fn a_consumer_at_the_tip_costs_nothing() {
    for max_wait_ms in [0, 500] {
        let counts = follow(3, max_wait_ms, 2200, 500);
        assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
    }
}

#[test]
fn larger_batches_are_shared_and_cost_nothing_either() {
    let counts = follow(400, 500, 200, 200);
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

#[test]
fn a_fetch_that_waits_and_the_produce_that_wakes_it_cost_nothing() {
    let mut host = Host::new(1, 1);
    let produced = request(0, &[0], &batch(3));
    let mut offset = 0;
    let counts = steady(&mut host, 2200, 500, |host| {
        host.send(11, &fetch(offset, 500));
        host.send(9, &produced);
        assert!(host.drop_answers() > 300, "the fetch was woken");
        offset += 3;
    });
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}
