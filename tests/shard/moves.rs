// SPDX-License-Identifier: Apache-2.0
//! A partition moves to another shard while clients write and read.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::{ConnectionId, ShardId, TopicPartition};
use furlong::replication::min_insync::Acks;
use furlong::shard::contract::{Event, ProcessEffect};
use furlong::shard::mesh_message::MeshMessage;
use furlong::shard::parts::AnswerPlace;
use furlong::shard::parts::produce::{ProduceBatch, ProduceParts};
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::produce::{PartitionProduceResponse, ProduceRequest};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};

const NOT_LEADER: i16 = ErrorCode::NotLeaderOrFollower.code();
const OUT_OF_ORDER: i16 = ErrorCode::OutOfOrderSequenceNumber.code();

/// A batch of one record of an idempotent producer.
fn numbered(producer_id: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(producer_id, 0, sequence);
    let value = format!("{producer_id}:{sequence}");
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    builder.build()
}

fn read_all(broker: &mut Broker, client: ConnectionId) -> Vec<String> {
    let response = call(broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    values(&response, 0)
}

/// The next answer to a produce request.
fn produced(broker: &mut Broker, client: ConnectionId) -> Option<PartitionProduceResponse> {
    let (_, response) = next::<ProduceRequest>(broker, client, 9)?;
    Some(only_produced(response))
}

fn assert_on(broker: &Broker, shard: usize) {
    for (number, other) in broker.shards.iter().enumerate() {
        let expected = usize::from(number == shard);
        assert_eq!(other.partition_count(), expected, "shard {number}");
    }
    assert!(broker.controller.is_applied());
    let said = broker.process.iter();
    let bad = said.filter(|(_, effect)| matches!(effect, ProcessEffect::Fatal { .. }));
    assert_eq!(bad.count(), 0, "{:?}", broker.process);
}

#[test]
fn records_stay_and_the_log_goes_on_wherever_its_clients_are() {
    let mut broker = Broker::with_topic(3, "t", 1);
    let clients: Vec<ConnectionId> = (0..3).map(|shard| broker.connect(shard)).collect();
    let mut expected = Vec::new();
    for (round, to) in [1, 2, 0, 2, 1, 0].into_iter().enumerate() {
        for (number, client) in clients.iter().enumerate() {
            let value = format!("{round} {number}");
            let answer = produce(&mut broker, *client, "t", 0, batch(&[&value]));
            let offset = i64::try_from(expected.len()).expect("few");
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
            expected.push(value);
        }
        broker.shift("t", 0, to);
        assert_on(&broker, usize::from(to));
        for client in &clients {
            assert_eq!(read_all(&mut broker, *client), expected);
        }
    }
    let taken = broker.shards.iter().map(|shard| shard.numbers());
    let taken: u64 = taken.map(|numbers| numbers.partitions_taken).sum();
    assert_eq!(taken, 6);
}

#[test]
fn what_is_appended_is_answered_and_what_comes_later_is_refused_once() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let (here, there) = (broker.connect(0), broker.connect(1));
    broker.hold = Hold::Everything;
    for client in [here, there] {
        let request = produce_request("t", 0, -1, batch(&["before"]));
        broker.send(client, frame(1, 9, &request));
    }
    broker.shift("t", 0, 1);
    for client in [here, there] {
        let request = produce_request("t", 0, -1, batch(&["during"]));
        broker.send(client, frame(2, 9, &request));
        assert!(
            broker.wires[&client].responses.is_empty(),
            "nothing is durable"
        );
    }
    assert!(!broker.controller.is_applied());
    broker.release();
    assert_on(&broker, 1);
    for client in [here, there] {
        assert_eq!(
            produced(&mut broker, client).expect("answered").error_code,
            0
        );
        let refused = produced(&mut broker, client).expect("answered");
        assert_eq!(refused.error_code, NOT_LEADER);
        let again = produce(&mut broker, client, "t", 0, batch(&["again"]));
        assert_eq!(again.error_code, 0);
    }
    let expected = ["before", "before", "again", "again"];
    assert_eq!(read_all(&mut broker, here), expected);
}

#[test]
fn a_parked_fetch_is_answered_when_its_partition_goes() {
    let mut broker = Broker::with_topic(2, "t", 2);
    for shard in 0..2 {
        let client = broker.connect(shard);
        let mut parked = fetch_request("t", &[(0, 0), (1, 0)]);
        parked.max_wait_ms = 60_000;
        broker.send(client, frame(1, 12, &parked));
        assert!(broker.wires[&client].responses.is_empty());
        broker.shift("t", 0, if shard == 0 { 1 } else { 0 });
        let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("at once");
        let partitions = &response.responses[0].partitions;
        assert_eq!(partitions[0].error_code, NOT_LEADER);
        assert_eq!(partitions[1].error_code, 0);
    }
    let watches: usize = broker.shards.iter().map(|shard| shard.watch_count()).sum();
    assert_eq!(watches, 0);
}

#[test]
fn an_idempotent_producer_goes_on_without_gap_or_duplicate() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(1);
    for sequence in 0..3 {
        let answer = produce(&mut broker, client, "t", 0, numbered(9, sequence));
        assert_eq!(answer.error_code, 0);
    }
    broker.shift("t", 0, 1);
    // All five batches that are remembered crossed with the log.
    for sequence in 0..3 {
        let again = produce(&mut broker, client, "t", 0, numbered(9, sequence));
        assert_eq!(
            (again.error_code, again.base_offset),
            (0, i64::from(sequence))
        );
    }
    let gap = produce(&mut broker, client, "t", 0, numbered(9, 4));
    assert_eq!(gap.error_code, OUT_OF_ORDER);
    let next = produce(&mut broker, client, "t", 0, numbered(9, 3));
    assert_eq!((next.error_code, next.base_offset), (0, 3));
}

#[test]
fn what_was_sent_behind_a_refused_batch_does_not_overtake_it() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(0);
    broker.hold = Hold::Everything;
    broker.shift("t", 0, 1);
    // Neither the old shard nor the new one knows this producer.
    let first = produce_request("t", 0, -1, numbered(9, 0));
    broker.send(client, frame(1, 9, &first));
    broker.release();
    assert_eq!(
        produced(&mut broker, client).expect("answered").error_code,
        NOT_LEADER
    );
    let overtaking = produce(&mut broker, client, "t", 0, numbered(9, 1));
    assert_eq!(overtaking.error_code, OUT_OF_ORDER);
    for sequence in 0..2 {
        let answer = produce(&mut broker, client, "t", 0, numbered(9, sequence));
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(sequence))
        );
    }
}

/// A request of shard 1 that was routed by old metadata and comes to shard 0 late.
fn late_append(broker: &mut Broker, records: Bytes) {
    let topic_id = broker.controller.image.topics["t"].id;
    let at = TopicPartition {
        topic_id,
        partition: 0,
    };
    let place = AnswerPlace {
        topic: 0,
        partition: 0,
    };
    let batch = ProduceBatch {
        place,
        at,
        records,
        producer: None,
        outcome: None,
    };
    let body = ProduceParts {
        acks: Acks::Leader,
        timeout_ms: 1000,
        transaction: None,
        batches: vec![batch],
    };
    // Nobody waits for the answer under this number.
    let message = MeshMessage::Produce {
        request: 1 << 40,
        body,
    };
    let sent_us = broker.now.monotonic_us;
    let message = Box::new(message);
    broker.event(
        0,
        Event::Mesh {
            from: ShardId(1),
            sent_us,
            message,
        },
    );
}

#[test]
fn the_new_shard_waits_for_the_last_request_that_goes_to_the_old_one() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(1);
    broker.holds_drained = true;
    broker.shift("t", 0, 1);
    let owned: usize = broker
        .shards
        .iter()
        .map(|shard| shard.partition_count())
        .sum();
    assert_eq!(owned, 0, "closed there, not open here");
    assert!(!broker.controller.is_applied());
    // The producer's first batch finds nothing there; its second, routed by new metadata, nothing
    // here, and its third comes once the log is open.
    late_append(&mut broker, numbered(9, 0));
    let second = produce(&mut broker, client, "t", 0, numbered(9, 1));
    assert_eq!(second.error_code, NOT_LEADER);
    broker.release_drained();
    assert_on(&broker, 1);
    for early in [2, 1] {
        let answer = produce(&mut broker, client, "t", 0, numbered(9, early));
        assert_eq!(answer.error_code, OUT_OF_ORDER, "{early} before the first");
    }
    for sequence in 0..3 {
        let answer = produce(&mut broker, client, "t", 0, numbered(9, sequence));
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(sequence))
        );
    }
}

#[test]
fn a_stop_in_the_middle_of_a_move_ends_in_order_and_nothing_is_lost() {
    for holds in [false, true] {
        let mut broker = Broker::with_topic(2, "t", 1);
        let client = broker.connect(1);
        produce(&mut broker, client, "t", 0, batch(&["kept"]));
        broker.hold = if holds {
            Hold::Everything
        } else {
            Hold::Nothing
        };
        broker.holds_drained = true;
        broker.shift("t", 0, 1);
        for shard in 0..2 {
            broker.event(shard, Event::Stop);
        }
        broker.release();
        broker.release_drained();
        let stopped = broker.process.iter();
        let stopped = stopped.filter(|(_, effect)| *effect == ProcessEffect::Stopped);
        assert_eq!(stopped.count(), 2, "{:?}", broker.process);
        broker.restart();
        assert_on(&broker, 1);
        let client = broker.connect(0);
        assert_eq!(read_all(&mut broker, client), ["kept"]);
    }
}

#[test]
fn deletion_after_a_move_removes_the_log() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["gone"]));
    broker.shift("t", 0, 1);
    broker.publish(|image| {
        let topic = image.topics.remove("t").expect("it is there");
        image.topic_names.remove(&topic.id);
    });
    broker.settle();
    let left: usize = broker
        .shards
        .iter()
        .map(|shard| shard.partition_count())
        .sum();
    assert_eq!(left, 0);
    broker.add_topic("t", 1, &[]);
    assert_eq!(read_all(&mut broker, client), Vec::<String>::new());
}
