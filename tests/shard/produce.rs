// SPDX-License-Identifier: Apache-2.0
//! Produce: when it is answered, and with what.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::produce::{ProduceRequest, ProduceResponse};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};

#[test]
fn a_batch_is_answered_with_its_offset_and_read_back() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let first = produce(&mut broker, client, "t", 0, batch(&["a", "b"]));
    assert_eq!((first.error_code, first.base_offset), (0, 0));
    assert_eq!((first.log_append_time_ms, first.log_start_offset), (-1, 0));
    let second = produce(&mut broker, client, "t", 0, batch(&["c"]));
    assert_eq!(second.base_offset, 2);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0), ["a", "b", "c"]);
}

#[test]
fn every_version_from_3_on_is_answered() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for version in 3..=12 {
        let request = produce_request("t", 0, -1, batch(&["v"]));
        let answer = only_produced(call(&mut broker, client, version, &request));
        assert_eq!(answer.error_code, 0, "version {version}");
        assert_eq!(answer.base_offset, i64::from(version) - 3);
    }
}

#[test]
fn version_13_names_topics_by_id_and_an_unknown_id_is_100() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for (id, code) in [(Uuid([1; 16]), 0), (Uuid([8; 16]), 100)] {
        let mut request = produce_request("", 0, -1, batch(&["v"]));
        request.topic_data[0].topic_id = id;
        let response = call(&mut broker, client, 13, &request);
        assert_eq!(response.responses[0].topic_id, id);
        assert_eq!(only_produced(response).error_code, code);
    }
}

#[test]
fn the_answer_waits_for_the_flush_with_acks_1_and_all() {
    for acks in [1, -1] {
        let mut broker = Broker::with_topic(1, "t", 1);
        let client = broker.connect(0);
        broker.hold = Hold::Flushes;
        let request = produce_request("t", 0, acks, batch(&["a"]));
        broker.send(client, frame(1, 9, &request));
        assert!(broker.held() > 0, "a flush is under way");
        assert!(next::<ProduceRequest>(&mut broker, client, 9).is_none());
        // Nor does a reader see what is not durable yet.
        let reader = broker.connect(0);
        let response = call(&mut broker, reader, 12, &fetch_request("t", &[(0, 0)]));
        assert!(values(&response, 0).is_empty());
        broker.release();
        let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
        assert_eq!(only_produced(response).error_code, 0);
    }
}

#[test]
fn acks_0_gets_no_answer_and_the_next_request_gets_its_own() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let request = produce_request("t", 0, 0, batch(&["a"]));
    broker.send(client, frame(1, 7, &request));
    assert!(broker.wires[&client].responses.is_empty());
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0), ["a"]);
}

#[test]
fn acks_0_with_an_error_closes_the_connection() {
    let mut broker = Broker::with_topic(1, "t", 1);
    for (topic, records) in [("no", batch(&["a"])), ("t", Bytes::from_static(b"junk"))] {
        let client = broker.connect(0);
        let request = produce_request(topic, 0, 0, records);
        broker.send(client, frame(1, 7, &request));
        let wire = &broker.wires[&client];
        assert!(wire.closed && wire.responses.is_empty());
    }
}

#[test]
fn other_numbers_of_acks_are_21_and_nothing_is_appended() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for acks in [2, -2, i16::MAX] {
        let request = produce_request("t", 0, acks, batch(&["a"]));
        let answer = only_produced(call(&mut broker, client, 9, &request));
        assert_eq!((answer.error_code, answer.base_offset), (21, -1));
    }
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert!(values(&response, 0).is_empty());
}

#[test]
fn each_partition_has_its_own_outcome_in_the_order_of_the_request() {
    let mut broker = Broker::with_topic(2, "t", 3);
    let client = broker.connect(0);
    let mut request = produce_request("t", 2, -1, batch(&["a"]));
    let mut other = produce_request("t", 9, -1, batch(&["b"]));
    let mut third = produce_request("t", 1, -1, Bytes::from_static(b"junk"));
    let mut fourth = produce_request("no", 0, -1, batch(&["c"]));
    let partitions = &mut request.topic_data[0].partition_data;
    partitions.append(&mut other.topic_data[0].partition_data);
    partitions.append(&mut third.topic_data[0].partition_data);
    request.topic_data.append(&mut fourth.topic_data);
    let response: ProduceResponse = call(&mut broker, client, 9, &request);
    let told: Vec<(i32, i16)> = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .map(|one| (one.index, one.error_code))
        .collect();
    assert_eq!(told, [(2, 0), (9, 3), (1, 87), (0, 3)]);
}

#[test]
fn a_damaged_batch_is_2_and_one_that_breaks_a_rule_is_87() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut damaged = batch(&["abc"]).to_vec();
    let last = damaged.len() - 2;
    damaged[last] ^= 1;
    let answer = produce(&mut broker, client, "t", 0, Bytes::from(damaged));
    assert_eq!(answer.error_code, 2);
    let answer = produce(&mut broker, client, "t", 0, Bytes::new());
    assert_eq!(answer.error_code, 87);
    let two = [batch(&["a"]), batch(&["b"])].concat();
    let answer = produce(&mut broker, client, "t", 0, Bytes::from(two));
    assert_eq!(answer.error_code, 87, "one batch per partition");
    let mut control = BatchBuilder::new(Compression::None);
    control.append(0, Some(b"k"), Some(b"v"), &[]);
    control.control();
    let answer = produce(&mut broker, client, "t", 0, control.build());
    assert_eq!(answer.error_code, 87, "control batches are the broker's");
    assert!(answer.error_message.is_some());
}

/// Kafka's codes for what is no batch of a client.
#[test]
fn what_cannot_be_a_batch_of_a_client_is_told_apart() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let changed = |place: usize, value: u8| {
        let mut bytes = batch(&["abc"]).to_vec();
        bytes[place] = value;
        Bytes::from(bytes)
    };
    let whole = batch(&["abc"]);
    for (records, code, what) in [
        (changed(16, 0), 87, "format 0 is gone (KIP-724)"),
        (changed(16, 1), 87, "format 1 is gone"),
        (changed(16, 3), 2, "format 3 was never there"),
        (whole.slice(..65), 87, "cut in the records"),
        (whole.slice(..10), 87, "cut in the header"),
        (changed(7, 5), 87, "the base offset is the broker's"),
        (changed(0, 0x80), 87, "a negative base offset"),
        (whole, 0, "as it must be"),
    ] {
        let answer = produce(&mut broker, client, "t", 0, records);
        assert_eq!(answer.error_code, code, "{what}");
    }
}

#[test]
fn a_record_that_is_to_blame_is_named() {
    let mut broker = Broker::new(1);
    broker.add_topic("c", 1, &[("cleanup.policy", "compact")]);
    let client = broker.connect(0);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_700_000_000_000, Some(b"k"), Some(b"v"), &[]);
    builder.append(1_700_000_000_000, None, Some(b"v"), &[]);
    let answer = produce(&mut broker, client, "c", 0, builder.build());
    assert_eq!(answer.error_code, 87);
    assert_eq!(answer.record_errors.len(), 1);
    assert_eq!(answer.record_errors[0].batch_index, 1);
}

#[test]
fn zstd_needs_version_7_and_transactions_are_refused() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.append(1_700_000_000_000, None, Some(b"v"), &[]);
    let zstd = builder.build();
    for (version, code) in [(3, 76), (6, 76), (7, 0)] {
        let request = produce_request("t", 0, -1, zstd.clone());
        let answer = only_produced(call(&mut broker, client, version, &request));
        assert_eq!(answer.error_code, code);
    }
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_700_000_000_000, None, Some(b"v"), &[]);
    builder.producer(5, 0, 0).transactional();
    // It names no transactional id.
    let answer = produce(&mut broker, client, "t", 0, builder.build());
    assert_eq!(answer.error_code, 53);
}

#[test]
fn a_repeated_batch_of_an_idempotent_producer_gets_its_old_offset() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let numbered = |sequence| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(1_700_000_000_000, None, Some(b"v"), &[]);
        builder.producer(5, 0, sequence);
        builder.build()
    };
    for (sequence, code, offset) in [(0, 0, 0), (1, 0, 1), (0, 0, 0), (1, 0, 1), (7, 45, -1)] {
        let answer = produce(&mut broker, client, "t", 0, numbered(sequence));
        assert_eq!((answer.error_code, answer.base_offset), (code, offset));
    }
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0).len(), 2);
}

#[test]
fn versions_0_to_2_are_refused_with_35_for_each_partition() {
    let mut broker = Broker::with_topic(1, "t", 1);
    for version in 0..=2i16 {
        let client = broker.connect(0);
        let mut bytes = vec![0, 0];
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&41i32.to_be_bytes());
        bytes.extend_from_slice(&[0xff, 0xff]); // No client id.
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 9]); // acks, timeout.
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 2]); // Partition 0, two bytes.
        broker.send(client, Bytes::from(bytes));
        let wire = broker.wires.get_mut(&client).expect("connected");
        assert!(!wire.closed);
        let response = wire.responses.pop_front().expect("answered");
        assert_eq!(&response[..4], &41i32.to_be_bytes());
        assert_eq!(&response[4..15], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1]);
        assert_eq!(&response[15..21], &[0, 0, 0, 0, 0, 35]);
        let expected = [29, 33, 41][usize::try_from(version).expect("small")];
        assert_eq!(response.len(), expected, "the layout of version {version}");
    }
}

#[test]
fn all_replicas_are_enough_where_more_are_asked_for() {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, &[("min.insync.replicas", "2")]);
    let client = broker.connect(0);
    for acks in [-1, 1] {
        let request = produce_request("t", 0, acks, batch(&["a"]));
        let answer = only_produced(call(&mut broker, client, 9, &request));
        assert_eq!(answer.error_code, 0, "acks {acks}");
    }
}

#[test]
fn a_flush_that_takes_too_long_is_7_and_what_was_written_may_appear() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
    broker.advance_ms(4_999);
    assert!(next::<ProduceRequest>(&mut broker, client, 9).is_none());
    broker.advance_ms(2);
    let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("timed out");
    assert_eq!(only_produced(response).error_code, 7);
    broker.release();
    assert!(next::<ProduceRequest>(&mut broker, client, 9).is_none());
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0), ["a"]);
}

#[test]
fn a_batch_larger_than_the_topic_allows_is_10() {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, &[("max.message.bytes", "100")]);
    let client = broker.connect(0);
    let long = "x".repeat(200);
    let answer = produce(&mut broker, client, "t", 0, batch(&[&long]));
    assert_eq!(answer.error_code, 10);
}

#[test]
fn log_append_time_is_told_where_the_topic_asks_for_it() {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let client = broker.connect(0);
    let answer = produce(&mut broker, client, "t", 0, batch(&["a"]));
    assert_eq!(answer.log_append_time_ms, broker.now.wall_ms);
}
