// SPDX-License-Identifier: Apache-2.0
//! DeleteRecords: what goes, what is told, and that it stays so.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::wire::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, fetch_request, frame, next, produce, values};

fn request(topic: &str, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = partitions.iter();
    let partitions = partitions.map(|(partition_index, offset)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    });
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: partitions.collect(),
        }],
        timeout_ms: 1000,
    }
}

/// Low watermark and error of each partition.
fn delete(
    broker: &mut Broker,
    client: ConnectionId,
    topic: &str,
    partitions: &[(i32, i64)],
) -> Vec<(i64, i16)> {
    let response = call(broker, client, 2, &request(topic, partitions));
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    answers
        .map(|one| (one.low_watermark, one.error_code))
        .collect()
}

fn earliest(broker: &mut Broker, client: ConnectionId) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -2,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    call(broker, client, 7, &request).topics[0].partitions[0].offset
}

#[test]
fn records_below_the_offset_are_gone_for_readers_in_every_version() {
    for version in 0..=2 {
        let mut broker = Broker::with_topic(2, "t", 2);
        let client = broker.connect(0);
        for partition in 0..2 {
            produce(&mut broker, client, "t", partition, batch(&["a", "b"]));
            produce(&mut broker, client, "t", partition, batch(&["c"]));
        }
        let response = call(
            &mut broker,
            client,
            version,
            &request("t", &[(0, 2), (1, 1)]),
        );
        let told: Vec<i64> = response.topics[0]
            .partitions
            .iter()
            .map(|one| one.low_watermark)
            .collect();
        assert_eq!(told, [2, 1], "also on the other shard");
        assert_eq!(earliest(&mut broker, client), 2);
        let response = call(
            &mut broker,
            client,
            12,
            &fetch_request("t", &[(0, 1), (0, 2)]),
        );
        let answer = &response.responses[0].partitions[0];
        assert_eq!(
            (answer.error_code, answer.log_start_offset),
            (0, 2),
            "the last wish counts"
        );
        assert_eq!(values(&response, 0), ["c"]);
        let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 1)]));
        assert_eq!(response.responses[0].partitions[0].error_code, 1);
    }
}

#[test]
fn minus_1_is_the_high_watermark_and_less_than_the_log_start_changes_nothing() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a", "b", "c"]));
    assert_eq!(delete(&mut broker, client, "t", &[(0, 2)]), [(2, 0)]);
    assert_eq!(delete(&mut broker, client, "t", &[(0, 1)]), [(2, 0)]);
    assert_eq!(delete(&mut broker, client, "t", &[(0, -1)]), [(3, 0)]);
    assert_eq!(delete(&mut broker, client, "t", &[(0, 3)]), [(3, 0)]);
    assert_eq!(earliest(&mut broker, client), 3);
    let answer = produce(&mut broker, client, "t", 0, batch(&["d"]));
    assert_eq!((answer.base_offset, answer.log_start_offset), (3, 3));
}

#[test]
fn what_cannot_be_deleted_is_refused_by_itself() {
    let mut broker = Broker::with_topic(1, "t", 1);
    broker.add_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    let told = delete(
        &mut broker,
        client,
        "t",
        &[(0, 2), (0, -2), (1, 0), (-1, 0), (0, 1)],
    );
    assert_eq!(told, [(-1, 1), (-1, 1), (-1, 3), (-1, 3), (1, 0)]);
    assert_eq!(delete(&mut broker, client, "no", &[(0, 0)]), [(-1, 3)]);
    assert_eq!(
        delete(&mut broker, client, "compacted", &[(0, 0)]),
        [(-1, 44)]
    );
}

#[test]
fn nothing_that_is_not_committed_is_deleted() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let (writer, client) = (broker.connect(0), broker.connect(0));
    produce(&mut broker, writer, "t", 0, batch(&["a"]));
    broker.hold = Hold::Flushes;
    let request = crate::client::produce_request("t", 0, -1, batch(&["b"]));
    broker.send(writer, frame(1, 9, &request));
    assert_eq!(delete(&mut broker, client, "t", &[(0, 2)]), [(-1, 1)]);
    assert_eq!(delete(&mut broker, client, "t", &[(0, -1)]), [(1, 0)]);
    broker.release();
}

#[test]
fn it_is_told_only_once_it_is_on_disk() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    broker.hold = Hold::Everything;
    broker.send(client, frame(1, 2, &request("t", &[(0, 1)])));
    assert!(next::<DeleteRecordsRequest>(&mut broker, client, 2).is_none());
    broker.advance_ms(60_000);
    assert!(next::<DeleteRecordsRequest>(&mut broker, client, 2).is_none());
    broker.release();
    let (_, response) = next::<DeleteRecordsRequest>(&mut broker, client, 2).expect("told");
    assert_eq!(response.topics[0].partitions[0].low_watermark, 1);
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn it_stays_so_over_a_restart() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a", "b", "c"]));
    assert_eq!(delete(&mut broker, client, "t", &[(0, 2)]), [(2, 0)]);
    broker.event(0, Event::Stop);
    broker.restart();
    let client = broker.connect(0);
    assert_eq!(earliest(&mut broker, client), 2);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 2)]));
    assert_eq!(values(&response, 0).last().map(String::as_str), Some("c"));
}

#[test]
fn a_client_that_leaves_changes_nothing() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    broker.hold = Hold::Everything;
    broker.send(client, frame(1, 2, &request("t", &[(0, 1)])));
    broker.disconnect(client);
    broker.release();
    let client = broker.connect(0);
    assert_eq!(earliest(&mut broker, client), 1);
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}
