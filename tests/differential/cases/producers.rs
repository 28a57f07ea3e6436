// SPDX-License-Identifier: Apache-2.0
//! Idempotent producers: their ids, their sequences, and what is told of them.
//!
//! Owns: [`CASES`]. Runs on: one thread for each broker.

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{
    DescribeProducersRequest, InitProducerIdRequest, ProducerId, TopicName,
};

use super::produce::again;
use super::{Case, case};
use crate::batch::Batch;
use crate::side::Side;

/// A request without a transactional id.
fn init(id: i64, epoch: i16) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
}

/// A producer id of the broker's own.
fn new_id(side: &mut Side) -> i64 {
    let answer = side.until(4, &init(-1, -1), |answer| answer.error_code == 0);
    answer.producer_id.0
}

/// Produces batches `(epoch, sequence, records)` of one producer, one after the other.
fn sequences(side: &mut Side, version: i16, batches: &[(i16, i32, usize)]) {
    let id = side.topic("t", 1, &[]);
    let producer = new_id(side);
    for (epoch, sequence, count) in batches {
        let values = vec!["v"; *count];
        let batch = Batch::of(&values).producer(producer, *epoch, *sequence);
        again(side, version, id, batch.bytes());
    }
}

/// Asks for the producers of partitions of the topic `t`.
fn described(side: &mut Side, partitions: &[i32]) {
    let topic = TopicRequest::default()
        .with_name(side.name("t"))
        .with_partition_indexes(partitions.into());
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    side.ask("producers", 0, &request);
}

pub const CASES: &[Case] = &[
    case("producer id/new", &[0, 1, 2, 3, 4, 5], |side, version| {
        new_id(side);
        side.ask("id", version, &init(-1, -1));
    }),
    case(
        "producer id/an id without transactions",
        &[3, 5],
        |side, version| {
            let id = new_id(side);
            side.ask("known", version, &init(id, 0));
            side.ask("known", version, &init(id, 7));
            side.ask("unknown", version, &init(987_654_321, 3));
        },
    ),
    case("producer id/half of it", &[3, 5], |side, version| {
        side.ask("no epoch", version, &init(5, -1));
        side.ask("no id", version, &init(-1, 5));
    }),
    case("producer id/odd timeouts", &[0, 4], |side, version| {
        new_id(side);
        for timeout in [0, -1, i32::MAX] {
            let request = init(-1, -1).with_transaction_timeout_ms(timeout);
            side.ask("timeout", version, &request);
        }
    }),
    case("sequence/in order", &[3, 8, 13], |side, version| {
        sequences(side, version, &[(0, 0, 2), (0, 2, 3), (0, 5, 1)]);
    }),
    case("sequence/repeated", &[3, 8, 13], |side, version| {
        sequences(
            side,
            version,
            &[(0, 0, 2), (0, 2, 1), (0, 0, 2), (0, 2, 1), (0, 3, 1)],
        );
    }),
    case("sequence/repeated after six", &[8], |side, version| {
        let mut batches: Vec<(i16, i32, usize)> = (0..7).map(|at| (0, at, 1)).collect();
        batches.push((0, 0, 1));
        batches.push((0, 6, 1));
        sequences(side, version, &batches);
    }),
    case("sequence/repeated but longer", &[8], |side, version| {
        sequences(side, version, &[(0, 0, 2), (0, 0, 3), (0, 2, 1)]);
    }),
    case("sequence/a gap", &[3, 8, 13], |side, version| {
        sequences(side, version, &[(0, 0, 1), (0, 5, 1), (0, 1, 1)]);
    }),
    case("sequence/first is not 0", &[8], |side, version| {
        sequences(side, version, &[(0, 3, 1), (0, 4, 1), (0, 6, 1)]);
    }),
    case("sequence/a newer epoch", &[8], |side, version| {
        sequences(side, version, &[(0, 0, 1), (1, 0, 1), (1, 1, 1)]);
    }),
    case(
        "sequence/a newer epoch that does not begin at 0",
        &[8],
        |side, version| {
            sequences(side, version, &[(0, 0, 1), (1, 5, 1)]);
        },
    ),
    case("sequence/an older epoch", &[3, 8, 12], |side, version| {
        sequences(side, version, &[(3, 0, 1), (2, 1, 1), (3, 1, 1)]);
    }),
    case("sequence/none", &[8], |side, version| {
        let id = side.topic("t", 1, &[]);
        let producer = new_id(side);
        again(
            side,
            version,
            id,
            Batch::of(&["a"]).producer(producer, 0, -1).bytes(),
        );
        again(
            side,
            version,
            id,
            Batch::of(&["a"]).producer(producer, -1, 0).bytes(),
        );
    }),
    case(
        "sequence/an id that nobody gave out",
        &[8],
        |side, version| {
            let id = side.topic("t", 1, &[]);
            again(
                side,
                version,
                id,
                Batch::of(&["a"]).producer(77_777_777, 0, 0).bytes(),
            );
            again(
                side,
                version,
                id,
                Batch::of(&["a"]).producer(88_888_888, 4, 9).bytes(),
            );
        },
    ),
    case("sequence/turned over", &[8], |side, version| {
        sequences(side, version, &[(0, i32::MAX, 1), (0, 0, 1), (0, 2, 1)]);
    }),
    case("producers/none", &[0], |side, _| {
        side.topic("t", 1, &[]);
        described(side, &[0]);
    }),
    case("producers/one", &[0], |side, _| {
        sequences(side, 8, &[(2, 0, 2), (2, 2, 1)]);
        described(side, &[0]);
    }),
    case("producers/unknown partitions", &[0], |side, _| {
        side.topic("t", 1, &[]);
        described(side, &[0, 1, -1]);
    }),
    case(
        "producers/unknown and invalid topics",
        &[0],
        |side, version| {
            let names = [
                side.name("nothing"),
                TopicName("a b".into()),
                TopicName("".into()),
            ];
            let topics = names.map(|name| {
                TopicRequest::default()
                    .with_name(name)
                    .with_partition_indexes(vec![0])
            });
            let request = DescribeProducersRequest::default().with_topics(topics.into());
            side.ask("producers", version, &request);
        },
    ),
    case("producers/no topics", &[0], |side, version| {
        side.ask("producers", version, &DescribeProducersRequest::default());
    }),
];
