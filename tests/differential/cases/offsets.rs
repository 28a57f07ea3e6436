// SPDX-License-Identifier: Apache-2.0
//! ListOffsets and OffsetForLeaderEpoch.
//!
//! Owns: [`CASES`], [`ends`]. Runs on: one thread for each broker.

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, ListOffsetsRequest, OffsetForLeaderEpochRequest, TopicName,
};

use super::produce::{data, part, request as produce_request};
use super::{Case, case};
use crate::batch::{Batch, THEN_MS};
use crate::side::Side;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

fn when(partition: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp)
}

fn request(name: TopicName, partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
    let topic = ListOffsetsTopic::default()
        .with_name(name)
        .with_partitions(partitions);
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic])
}

/// Writes down where partitions of a topic of this case end.
pub fn ends(side: &mut Side, topic: &str, partitions: i32) {
    let partitions = (0..partitions).map(|index| when(index, LATEST)).collect();
    let request = request(side.name(topic), partitions);
    side.ask("ends", 5, &request);
}

/// Waits until partition 0 of a topic of this case ends there: nobody says when a record that is
/// not acknowledged can be read.
pub fn wait_for_end(side: &mut Side, topic: &str, end: i64) {
    let request = request(side.name(topic), vec![when(0, LATEST)]);
    side.until(5, &request, |answer| {
        answer.topics[0].partitions[0].offset == end
    });
}

/// Makes the topic `t` with records at five moments, one of them before the one ahead of it.
fn filled(side: &mut Side) {
    let id = side.topic("t", 2, &[]);
    let name = side.name("t");
    for times in [[0, 100], [300, 200], [400, 400]] {
        let mut batch = Batch::of(&["a", "b"]);
        for (place, time) in times.into_iter().enumerate() {
            batch = batch.with(place, |record| record.timestamp = THEN_MS + time);
        }
        let parts = vec![part(9, (&name, id), vec![data(0, Some(batch.bytes()))])];
        side.must(9, &produce_request(parts));
    }
}

/// Asks for one moment after the other, each in a request of its own: none may appear twice.
fn times(side: &mut Side, version: i16, timestamps: &[i64]) {
    filled(side);
    for timestamp in timestamps {
        for partition in [0, 1] {
            let request = request(side.name("t"), vec![when(partition, *timestamp)]);
            side.ask(&format!("{timestamp} of {partition}"), version, &request);
        }
    }
}

fn epochs(side: &mut Side, version: i16, asked: &[(i32, i32, i32)]) {
    filled(side);
    for (partition, current, epoch) in asked {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(*current)
            .with_leader_epoch(*epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(side.name("t"))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id(BrokerId(if version >= 3 { -1 } else { -2 }))
            .with_topics(vec![topic]);
        side.ask(
            &format!("epoch {epoch} current {current}"),
            version,
            &request,
        );
    }
}

pub const CASES: &[Case] = &[
    case(
        "offsets/latest and earliest",
        &[1, 2, 4, 5, 6, 7, 10],
        |side, version| {
            times(side, version, &[LATEST, EARLIEST]);
        },
    ),
    case(
        "offsets/largest timestamp",
        &[1, 6, 7, 10],
        |side, version| {
            times(side, version, &[-3]);
        },
    ),
    case("offsets/earliest local", &[1, 7, 8, 10], |side, version| {
        times(side, version, &[-4])
    }),
    case("offsets/latest tiered", &[1, 8, 9, 10], |side, version| {
        times(side, version, &[-5])
    }),
    case(
        "offsets/earliest pending upload",
        &[1, 10],
        |side, version| {
            times(side, version, &[-6]);
        },
    ),
    case("offsets/earliest pending upload v11", &[], |side, _| {
        filled(side);
        for timestamp in [-6, -1, -7, THEN_MS + 100] {
            // The decoder knows version 10, whose layout is the same.
            let request = request(side.name("t"), vec![when(0, timestamp)]);
            let answer = side.send_as(11, 10, &request);
            side.take_down(&format!("{timestamp}"), answer);
        }
    }),
    case("offsets/unknown specials", &[1, 7, 10], |side, version| {
        times(side, version, &[-7, -100, i64::MIN]);
    }),
    case("offsets/times", &[1, 4, 7, 10], |side, version| {
        let of = |time| THEN_MS + time;
        times(
            side,
            version,
            &[
                0,
                of(-1),
                of(0),
                of(1),
                of(100),
                of(150),
                of(250),
                of(300),
                of(301),
                of(400),
                of(401),
            ],
        );
    }),
    case("offsets/compressed batches", &[7], |side, version| {
        let id = side.topic("t", 1, &[]);
        let name = side.name("t");
        let batch = Batch::of(&["a", "b", "c"]).codec(kafka_protocol::records::Compression::Gzip);
        let parts = vec![part(9, (&name, id), vec![data(0, Some(batch.bytes()))])];
        side.must(9, &produce_request(parts));
        for time in [THEN_MS, THEN_MS + 1, THEN_MS + 2, THEN_MS + 3, -3] {
            let request = request(side.name("t"), vec![when(0, time)]);
            side.ask("time", version, &request);
        }
    }),
    case("offsets/unknown partitions", &[1, 7], |side, version| {
        side.topic("t", 1, &[]);
        let partitions = vec![when(1, LATEST), when(-1, LATEST), when(0, LATEST)];
        let request = request(side.name("t"), partitions);
        side.ask("unknown", version, &request);
    }),
    case("offsets/unknown topic", &[1, 7], |side, version| {
        let request = request(side.name("nothing"), vec![when(0, LATEST)]);
        side.ask("unknown", version, &request);
    }),
    case("offsets/partition twice", &[1, 7], |side, version| {
        side.topic("t", 2, &[]);
        let partitions = vec![when(0, LATEST), when(0, EARLIEST), when(1, LATEST)];
        let request = request(side.name("t"), partitions);
        side.ask("twice", version, &request);
    }),
    case("offsets/leader epochs", &[4, 7], |side, version| {
        filled(side);
        for epoch in [0, 5, -1, -2] {
            let partition = when(0, LATEST).with_current_leader_epoch(epoch);
            let request = request(side.name("t"), vec![partition]);
            side.ask(&format!("epoch {epoch}"), version, &request);
        }
    }),
    case(
        "offsets/committed records only",
        &[2, 7],
        |side, version| {
            filled(side);
            let request = request(side.name("t"), vec![when(0, LATEST)]).with_isolation_level(1);
            side.ask("latest", version, &request);
        },
    ),
    case("offsets/as replicas", &[1, 7], |side, version| {
        filled(side);
        for replica in [0, 1, 5, -2] {
            let request = request(side.name("t"), vec![when(0, LATEST)]);
            let request = request.with_replica_id(BrokerId(replica));
            side.ask(&format!("replica {replica}"), version, &request);
        }
    }),
    case(
        "offsets/after a deletion of records",
        &[1, 8],
        |side, version| {
            filled(side);
            super::partitions::trim(side, 0, 3);
            for time in [EARLIEST, LATEST, THEN_MS, THEN_MS + 200] {
                let request = request(side.name("t"), vec![when(0, time)]);
                side.ask("time", version, &request);
            }
        },
    ),
    case("offsets/nothing", &[1, 10], |side, version| {
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1));
        side.ask("nothing", version, &request);
    }),
    case("epochs/their ends", &[2, 3, 4], |side, version| {
        epochs(
            side,
            version,
            &[(0, -1, 0), (0, 0, 0), (0, -1, 5), (0, -1, -1), (1, -1, 0)],
        );
    }),
    case("epochs/wrong current epoch", &[2, 4], |side, version| {
        epochs(side, version, &[(0, 7, 0), (0, -2, 0)]);
    }),
    case("epochs/unknown partition", &[2, 4], |side, version| {
        epochs(side, version, &[(5, -1, 0), (-1, -1, 0)]);
    }),
    case("epochs/unknown topic", &[2, 4], |side, version| {
        let partition = OffsetForLeaderPartition::default().with_leader_epoch(0);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(side.name("nothing"))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        side.ask("unknown", version, &request);
    }),
];
