// SPDX-License-Identifier: Apache-2.0
//! ListOffsets: offsets by name and by timestamp.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, frame, produce, produce_request};

fn request(partitions: &[(i32, i64)]) -> ListOffsetsRequest {
    let partitions = partitions
        .iter()
        .map(|(partition_index, timestamp)| ListOffsetsPartition {
            partition_index: *partition_index,
            timestamp: *timestamp,
            ..ListOffsetsPartition::default()
        });
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: partitions.collect(),
        }],
        ..ListOffsetsRequest::default()
    }
}

fn ask(
    broker: &mut Broker,
    version: i16,
    request: &ListOffsetsRequest,
) -> Vec<ListOffsetsPartitionResponse> {
    let client = broker.connect(0);
    let response = call(broker, client, version, request);
    response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .collect()
}

fn stamped(timestamp: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for (delta, value) in (0..).zip(values) {
        builder.append(timestamp + delta, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

#[test]
fn the_names_of_offsets_are_answered_in_the_versions_that_have_them() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, stamped(1000, &["a", "b"]));
    produce(&mut broker, client, "t", 0, stamped(500, &["c"]));
    for (version, timestamp, code, offset, at) in [
        (1, -1, 0, 3, -1),
        (11, -1, 0, 3, -1),
        (1, -2, 0, 0, -1),
        (6, -3, 35, -1, -1),
        (7, -3, 0, 1, 1001),
        (8, -4, 0, 0, -1),
        (9, -5, 0, -1, -1),
        (11, -6, 0, -1, -1),
        (11, -9, 35, -1, -1),
    ] {
        let told = ask(&mut broker, version, &request(&[(0, timestamp)]));
        let told = (told[0].error_code, told[0].offset, told[0].timestamp);
        assert_eq!(told, (code, offset, at), "{version} {timestamp}");
    }
}

#[test]
fn a_timestamp_finds_the_first_record_at_or_after_it() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, stamped(1000, &["a", "b"]));
    produce(&mut broker, client, "t", 0, stamped(2000, &["c"]));
    for (timestamp, offset, at) in [
        (0, 0, 1000),
        (1000, 0, 1000),
        (1001, 1, 1001),
        (1002, 2, 2000),
        (2001, -1, -1),
    ] {
        let told = ask(&mut broker, 7, &request(&[(0, timestamp)]));
        assert_eq!(told[0].error_code, 0);
        assert_eq!((told[0].offset, told[0].timestamp), (offset, at));
    }
}

#[test]
fn the_latest_offset_is_the_high_watermark_and_not_the_log_end() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let writer = broker.connect(0);
    produce(&mut broker, writer, "t", 0, batch(&["a"]));
    broker.hold = Hold::Flushes;
    let append = produce_request("t", 0, -1, batch(&["b"]));
    broker.send(writer, frame(1, 9, &append));
    let told = ask(&mut broker, 7, &request(&[(0, -1)]));
    assert_eq!(told[0].offset, 1);
    broker.release();
    let told = ask(&mut broker, 7, &request(&[(0, -1)]));
    assert_eq!(told[0].offset, 2);
}

#[test]
fn every_partition_is_answered_in_the_order_of_the_request_across_shards() {
    let mut broker = Broker::with_topic(3, "t", 4);
    let client = broker.connect(0);
    for partition in 0..4 {
        for _ in 0..partition {
            produce(&mut broker, client, "t", partition, batch(&["a"]));
        }
    }
    let told = ask(
        &mut broker,
        7,
        &request(&[(3, -1), (9, -1), (0, -1), (2, -1)]),
    );
    let told: Vec<(i32, i16, i64)> = told
        .iter()
        .map(|one| (one.partition_index, one.error_code, one.offset))
        .collect();
    assert_eq!(told, [(3, 0, 3), (9, 3, -1), (0, 0, 0), (2, 0, 2)]);
}

#[test]
fn a_partition_named_twice_is_42_and_a_replica_is_29() {
    let mut broker = Broker::with_topic(1, "t", 2);
    let told = ask(&mut broker, 7, &request(&[(0, -1), (1, -1), (0, -2)]));
    let codes: Vec<i16> = told.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [42, 0, 42]);
    let mut replica = request(&[(0, -1)]);
    replica.replica_id = 3;
    assert_eq!(ask(&mut broker, 7, &replica)[0].error_code, 29);
}

#[test]
fn the_leader_epoch_of_the_client_is_checked() {
    let mut broker = Broker::with_topic(1, "t", 1);
    for (epoch, code) in [(-1, 0), (3, 0), (2, 74), (4, 75)] {
        let mut request = request(&[(0, -1)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(ask(&mut broker, 7, &request)[0].error_code, code);
    }
}

#[test]
fn the_ends_of_a_log_are_told_with_their_leader_epochs() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let epochs = |broker: &mut Broker, version: i16| -> Vec<i32> {
        let names = [-2, -4, -1, -5, -6];
        let told = names.map(|name| ask(broker, version, &request(&[(0, name)]))[0].leader_epoch);
        told.to_vec()
    };
    assert_eq!(
        epochs(&mut broker, 11),
        [3, 3, 3, -1, -1],
        "also without a record"
    );
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        std::sync::Arc::make_mut(topic).partitions[0].leader_epoch = 6;
    });
    broker.settle();
    assert_eq!(
        epochs(&mut broker, 11),
        [3, 3, 6, -1, -1],
        "who leads, not who wrote"
    );
    for version in 1..4 {
        let answer = &ask(&mut broker, version, &request(&[(0, -1)]))[0];
        assert_eq!((answer.offset, answer.leader_epoch), (1, -1));
    }
}

#[test]
fn a_negative_epoch_other_than_none_is_fenced() {
    let mut broker = Broker::with_topic(1, "t", 1);
    for (epoch, code) in [(-1, 0), (3, 0), (-2, 74), (4, 75)] {
        let mut asked = request(&[(0, -1)]);
        asked.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = &ask(&mut broker, 7, &asked)[0];
        assert_eq!(answer.error_code, code, "epoch {epoch}");
    }
}
