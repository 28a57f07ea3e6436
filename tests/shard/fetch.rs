// SPDX-License-Identifier: Apache-2.0
//! Fetch: what is read, how long it waits, what bounds it.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::ids::Uuid;
use furlong::model::memory_budget::MemoryBudget;
use furlong::wire::protocol::fetch::{FetchRequest, ReplicaState};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, fetch_request, frame, next, produce, produce_request, values};

fn long_poll(topic: &str, from: &[(i32, i64)], min_bytes: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 500,
        min_bytes,
        ..fetch_request(topic, from)
    }
}

#[test]
fn every_version_is_answered_with_records_that_are_never_null() {
    let mut broker = Broker::with_topic(1, "t", 2);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    for version in 4..=18 {
        let mut request = fetch_request("t", &[(0, 0), (1, 0)]);
        if version >= 13 {
            request.topics[0].topic_id = Uuid([1; 16]);
        }
        let response = call(&mut broker, client, version, &request);
        assert_eq!((response.error_code, response.session_id), (0, 0));
        assert_eq!(values(&response, 0), ["a"], "version {version}");
        let empty = &response.responses[0].partitions[1];
        assert_eq!(empty.records.as_deref(), Some(&b""[..]));
        assert_eq!((empty.error_code, empty.high_watermark), (0, 0));
        let full = &response.responses[0].partitions[0];
        assert_eq!((full.high_watermark, full.last_stable_offset), (1, 1));
    }
}

#[test]
fn a_fetch_at_the_end_waits_until_max_wait_and_answers_empty() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    broker.send(client, frame(1, 12, &long_poll("t", &[(0, 0)], 1)));
    broker.advance_ms(499);
    assert!(next::<FetchRequest>(&mut broker, client, 12).is_none());
    broker.advance_ms(1);
    let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("its time is over");
    assert!(values(&response, 0).is_empty());
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn a_waiting_fetch_is_woken_by_the_high_watermark_and_not_by_the_append() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let reader = broker.connect(0);
    let writer = broker.connect(0);
    broker.send(reader, frame(1, 12, &long_poll("t", &[(0, 0)], 1)));
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(writer, frame(1, 9, &request));
    assert!(next::<FetchRequest>(&mut broker, reader, 12).is_none());
    broker.release();
    let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("woken");
    assert_eq!(values(&response, 0), ["a"]);
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn min_bytes_are_awaited_over_several_appends() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let reader = broker.connect(0);
    let writer = broker.connect(0);
    let one = batch(&["0123456789"]);
    let wanted = i32::try_from(one.len() * 3 - 1).expect("small");
    broker.send(reader, frame(1, 12, &long_poll("t", &[(0, 0)], wanted)));
    for _ in 0..2 {
        produce(&mut broker, writer, "t", 0, one.clone());
        assert!(next::<FetchRequest>(&mut broker, reader, 12).is_none());
    }
    produce(&mut broker, writer, "t", 0, one);
    let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("enough");
    assert_eq!(values(&response, 0).len(), 3);
}

#[test]
fn what_is_there_is_told_when_the_time_is_over() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    broker.send(client, frame(1, 12, &long_poll("t", &[(0, 0)], 1_000_000)));
    assert!(next::<FetchRequest>(&mut broker, client, 12).is_none());
    broker.advance_ms(500);
    let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("its time is over");
    assert_eq!(values(&response, 0), ["a"]);
}

#[test]
fn the_first_batch_is_returned_whatever_its_size() {
    let mut broker = Broker::with_topic(1, "t", 2);
    let client = broker.connect(0);
    let long = "x".repeat(5000);
    for partition in 0..2 {
        for _ in 0..2 {
            produce(&mut broker, client, "t", partition, batch(&[&long]));
        }
    }
    let mut request = fetch_request("t", &[(0, 0), (1, 0)]);
    request.max_bytes = 1;
    for partition in &mut request.topics[0].partitions {
        partition.partition_max_bytes = 1;
    }
    let response = call(&mut broker, client, 12, &request);
    assert_eq!(values(&response, 0).len(), 1, "KIP-74");
    assert!(values(&response, 1).is_empty());
    assert_eq!(response.responses[0].partitions[1].high_watermark, 2);
}

#[test]
fn max_bytes_bound_the_whole_answer() {
    let mut broker = Broker::with_topic(1, "t", 4);
    let client = broker.connect(0);
    let long = "x".repeat(5000);
    for partition in 0..4 {
        for _ in 0..4 {
            produce(&mut broker, client, "t", partition, batch(&[&long]));
        }
    }
    let mut request = fetch_request("t", &[(0, 0), (1, 0), (2, 0), (3, 0)]);
    request.max_bytes = 26_000;
    let response = call(&mut broker, client, 12, &request);
    let bytes: usize = (0..4)
        .map(|place| {
            let partition = &response.responses[0].partitions[place];
            partition.records.as_ref().expect("never null").len()
        })
        .sum();
    assert!(bytes <= 26_000 && bytes > 20_000, "{bytes}");
}

#[test]
fn an_offset_outside_the_log_is_1_at_once() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for offset in [-1, 1, i64::MAX] {
        let response = call(&mut broker, client, 12, &long_poll("t", &[(0, offset)], 1));
        assert_eq!(response.responses[0].partitions[0].error_code, 1);
    }
}

#[test]
fn leader_epochs_are_checked() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for (epoch, code) in [(-1, 0), (3, 0), (2, 74), (4, 75), (-2, 0)] {
        let mut request = fetch_request("t", &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = call(&mut broker, client, 12, &request);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, code, "epoch {epoch}");
        if code == 74 {
            assert_eq!(partition.current_leader.leader_epoch, 3, "KIP-951");
        }
    }
}

#[test]
fn a_reader_whose_log_diverged_is_told_where() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a", "b"]));
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        std::sync::Arc::make_mut(topic).partitions[0].leader_epoch = 6;
    });
    broker.settle();
    produce(&mut broker, client, "t", 0, batch(&["c"]));
    for (last_fetched_epoch, offset, expected) in [
        (3, 2, (-1, -1)),
        (3, 3, (3, 2)),
        (5, 3, (3, 2)),
        (6, 3, (-1, -1)),
    ] {
        let mut request = fetch_request("t", &[(0, offset)]);
        request.topics[0].partitions[0].last_fetched_epoch = last_fetched_epoch;
        let response = call(&mut broker, client, 12, &request);
        let told = &response.responses[0].partitions[0];
        assert_eq!(told.error_code, 0);
        let diverging = (told.diverging_epoch.epoch, told.diverging_epoch.end_offset);
        assert_eq!(diverging, expected, "{last_fetched_epoch} {offset}");
    }
}

#[test]
fn a_fetch_that_claims_to_be_a_replica_is_refused() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    let mut old = long_poll("t", &[(0, 0)], 1);
    old.replica_id = 2;
    let response = call(&mut broker, client, 12, &old);
    assert_eq!(response.responses[0].partitions[0].error_code, 29);
    assert!(values(&response, 0).is_empty());
    let mut new = long_poll("t", &[(0, 0)], 1);
    new.topics[0].topic_id = Uuid([1; 16]);
    new.replica_state = ReplicaState {
        replica_id: 2,
        replica_epoch: 1,
    };
    let response = call(&mut broker, client, 17, &new);
    assert_eq!(response.responses[0].partitions[0].error_code, 29);
}

#[test]
fn unknown_names_are_3_and_unknown_ids_are_100() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let response = call(&mut broker, client, 12, &long_poll("no", &[(0, 0)], 1));
    assert_eq!(response.responses[0].partitions[0].error_code, 3);
    let response = call(&mut broker, client, 12, &long_poll("t", &[(1, 0)], 1));
    assert_eq!(response.responses[0].partitions[0].error_code, 3);
    let mut request = fetch_request("", &[(0, 0)]);
    request.topics[0].topic_id = Uuid([8; 16]);
    let response = call(&mut broker, client, 13, &request);
    assert_eq!(response.responses[0].partitions[0].error_code, 100);
    assert_eq!(response.responses[0].topic_id, Uuid([8; 16]));
}

#[test]
fn aborted_transactions_are_null_unless_committed_reads_are_asked_for() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for (isolation_level, expected) in [(0, None), (1, Some(Vec::new()))] {
        let mut request = fetch_request("t", &[(0, 0)]);
        request.isolation_level = isolation_level;
        let response = call(&mut broker, client, 12, &request);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.aborted_transactions, expected);
        request.topics[0].partitions[0].partition = 9;
        let response = call(&mut broker, client, 12, &request);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, 3);
        assert_eq!(partition.aborted_transactions, Some(Vec::new()));
    }
}

#[test]
fn a_client_that_leaves_takes_its_waiting_fetch_along() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    broker.send(client, frame(1, 12, &long_poll("t", &[(0, 0), (1, 0)], 1)));
    assert_ne!(broker.shards[1].waiting_count(), (0, 0));
    broker.disconnect(client);
    for shard in &broker.shards {
        assert_eq!(shard.waiting_count(), (0, 0));
    }
}

#[test]
fn damage_below_the_end_is_2_and_never_reaches_a_reader() {
    // The first of the 5 MB is on the disk only.
    let memory = MemoryBudget::of_shard(16 << 20, 1).expect("enough");
    let tail_cache_bytes = 1 << 20;
    let mut broker = Broker::with_memory(
        1,
        MemoryBudget {
            tail_cache_bytes,
            ..memory
        },
    );
    broker.add_topic("t", 1, &[]);
    let client = broker.connect(0);
    let long = "x".repeat(5000);
    for _ in 0..1000 {
        produce(&mut broker, client, "t", 0, batch(&[&long]));
    }
    broker.disk.damage("t-0/00000000000000000000.log", 300);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 2);
    assert!(values(&response, 0).is_empty());
}
