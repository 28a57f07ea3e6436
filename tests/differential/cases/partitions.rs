// SPDX-License-Identifier: Apache-2.0
//! CreatePartitions and DeleteRecords.
//!
//! Owns: [`CASES`], [`trim`]. Runs on: one thread for each broker.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, DeleteRecordsRequest, TopicName,
};

use super::produce::{data, part, request as produce_request};
use super::{Case, case};
use crate::batch::Batch;
use crate::side::Side;

const VERSIONS: &[i16] = &[0, 1, 2, 3];

fn to(name: TopicName, count: i32, assignment: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assignments = assignment.map(|assignment| {
        let brokers = assignment.iter().map(|brokers| {
            let brokers = brokers.iter().map(|id| BrokerId(*id));
            CreatePartitionsAssignment::default().with_broker_ids(brokers.collect())
        });
        brokers.collect()
    });
    CreatePartitionsTopic::default()
        .with_name(name)
        .with_count(count)
        .with_assignments(assignments)
}

fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics)
}

/// Changes the number of partitions of a topic that has two.
fn grow(side: &mut Side, version: i16, count: i32, assignment: Option<&[&[i32]]>) {
    side.topic("t", 2, &[]);
    let request = request(vec![to(side.name("t"), count, assignment)]);
    side.ask("partitions", version, &request);
}

fn trimming(name: TopicName, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = partitions.iter().map(|(index, offset)| {
        DeleteRecordsPartition::default()
            .with_partition_index(*index)
            .with_offset(*offset)
    });
    let topic = DeleteRecordsTopic::default()
        .with_name(name)
        .with_partitions(partitions.collect());
    DeleteRecordsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic])
}

/// Deletes records of the topic `t` of this case.
pub fn trim(side: &mut Side, partition: i32, offset: i64) {
    let answer = side.must(2, &trimming(side.name("t"), &[(partition, offset)]));
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// Makes the topic `t` with four records in partition 0.
fn filled(side: &mut Side, configs: &[(&str, &str)]) {
    let id = side.topic("t", 2, configs);
    let name = side.name("t");
    let batch = Batch::keyed(&[(Some("k"), "a"), (Some("l"), "b")]);
    for _ in 0..2 {
        let parts = vec![part(9, (&name, id), vec![data(0, Some(batch.bytes()))])];
        side.must(9, &produce_request(parts));
    }
}

/// Deletes records before one offset after the other.
fn trims(side: &mut Side, version: i16, configs: &[(&str, &str)], trims: &[(i32, i64)]) {
    filled(side, configs);
    for (partition, offset) in trims {
        let request = trimming(side.name("t"), &[(*partition, *offset)]);
        side.ask(
            &format!("before {offset} of {partition}"),
            version,
            &request,
        );
    }
}

pub const CASES: &[Case] = &[
    case("partitions/more", VERSIONS, |side, version| {
        grow(side, version, 5, None);
        let name = side.name("t");
        side.wait_for_topic(&name, 5);
    }),
    case("partitions/as many", &[0, 3], |side, version| {
        grow(side, version, 2, None)
    }),
    case("partitions/fewer", &[0, 3], |side, version| {
        grow(side, version, 1, None)
    }),
    case("partitions/none", &[0, 3], |side, version| {
        grow(side, version, 0, None)
    }),
    case("partitions/negative", &[0, 3], |side, version| {
        grow(side, version, -1, None)
    }),
    case("partitions/assigned", &[0, 3], |side, version| {
        grow(side, version, 4, Some(&[&[1], &[1]]));
    }),
    case("partitions/assigned too few", &[0, 3], |side, version| {
        grow(side, version, 4, Some(&[&[1]]));
    }),
    case("partitions/assigned too many", &[3], |side, version| {
        grow(side, version, 3, Some(&[&[1], &[1]]));
    }),
    case("partitions/assigned none", &[3], |side, version| {
        grow(side, version, 3, Some(&[]))
    }),
    case("partitions/assigned to nobody", &[3], |side, version| {
        grow(side, version, 3, Some(&[&[]]));
    }),
    case(
        "partitions/assigned to an unknown broker",
        &[0, 3],
        |side, version| {
            grow(side, version, 3, Some(&[&[9]]));
        },
    ),
    case(
        "partitions/assigned to one broker twice",
        &[3],
        |side, version| {
            grow(side, version, 3, Some(&[&[1, 1]]));
        },
    ),
    case("partitions/assigned unevenly", &[3], |side, version| {
        grow(side, version, 4, Some(&[&[1], &[1, 2]]));
    }),
    case("partitions/assigned but fewer", &[3], |side, version| {
        grow(side, version, 1, Some(&[&[1]]));
    }),
    case("partitions/only validated", VERSIONS, |side, version| {
        side.topic("t", 2, &[]);
        let request = request(vec![to(side.name("t"), 4, None)]).with_validate_only(true);
        side.ask("partitions", version, &request);
        side.ask("again", version, &request);
    }),
    case("partitions/unknown topics", &[0, 3], |side, version| {
        let names = ["", "a b", "nothing-at-all"].map(|name| TopicName(name.into()));
        let topics = names.map(|name| to(name, 3, None));
        side.ask("partitions", version, &request(topics.into()));
    }),
    case("partitions/one topic twice", &[0, 3], |side, version| {
        side.topic("t", 2, &[]);
        side.topic("u", 2, &[]);
        let topics = ["t", "u", "t"].map(|name| to(side.name(name), 3, None));
        side.ask("partitions", version, &request(topics.into()));
    }),
    case("partitions/nothing", &[0, 3], |side, version| {
        side.ask("partitions", version, &request(Vec::new()));
    }),
    case("trim/up to an offset", &[0, 1, 2], |side, version| {
        trims(side, version, &[], &[(0, 1), (0, 1), (0, 3), (0, 2)]);
    }),
    case("trim/all", &[0, 2], |side, version| {
        trims(side, version, &[], &[(0, -1), (1, -1)])
    }),
    case("trim/exactly all", &[2], |side, version| {
        trims(side, version, &[], &[(0, 4), (1, 0)])
    }),
    case("trim/behind the end", &[0, 2], |side, version| {
        trims(side, version, &[], &[(0, 5), (1, 1), (0, i64::MAX)]);
    }),
    case("trim/negative", &[0, 2], |side, version| {
        trims(side, version, &[], &[(0, -2), (0, i64::MIN)]);
    }),
    case("trim/unknown partitions", &[0, 2], |side, version| {
        trims(side, version, &[], &[(2, 0), (-1, 0)]);
    }),
    case("trim/unknown topics", &[0, 2], |side, version| {
        let names = [
            side.name("nothing"),
            TopicName("a b".into()),
            TopicName("".into()),
        ];
        for name in names {
            side.ask("trim", version, &trimming(name, &[(0, 0)]));
        }
    }),
    case("trim/compacted", &[0, 2], |side, version| {
        trims(side, version, &[("cleanup.policy", "compact")], &[(0, 1)]);
    }),
    case("trim/compacted and deleted", &[2], |side, version| {
        trims(
            side,
            version,
            &[("cleanup.policy", "compact,delete")],
            &[(0, 1)],
        );
    }),
    case("trim/one partition twice", &[2], |side, version| {
        filled(side, &[]);
        let request = trimming(side.name("t"), &[(0, 1), (0, 2)]);
        side.ask("trim", version, &request);
    }),
    case("trim/several partitions", &[2], |side, version| {
        filled(side, &[]);
        let request = trimming(side.name("t"), &[(1, 0), (0, 2), (7, 0)]);
        side.ask("trim", version, &request);
    }),
    case("trim/nothing", &[0, 2], |side, version| {
        side.ask(
            "trim",
            version,
            &DeleteRecordsRequest::default().with_timeout_ms(1000),
        );
    }),
];
