// SPDX-License-Identifier: Apache-2.0
//! Metadata and DescribeTopicPartitions: what there is.
//!
//! Owns: [`CASES`]. Runs on: one thread for each broker.

use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;

use super::{Case, case};
use crate::side::Side;
use crate::value::Value;

/// Versions with a field of their own each.
const VERSIONS: &[i16] = &[0, 1, 2, 4, 5, 7, 8, 9, 10, 12, 13];

fn named(name: TopicName) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(name))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(None)
}

/// Without automatic creation where the version can say so.
fn of(version: i16, topics: Vec<MetadataRequestTopic>) -> MetadataRequest {
    MetadataRequest::default()
        .with_topics(Some(topics))
        .with_allow_auto_topic_creation(version < 4)
}

/// Asks for topics of these names and nothing of this case.
fn plain(side: &mut Side, version: i16, names: &[&str]) {
    let topics = names
        .iter()
        .map(|name| named(TopicName((*name).to_owned().into())));
    let request = of(version, topics.collect());
    side.ask("metadata", version, &request);
}

pub const CASES: &[Case] = &[
    case("metadata/one topic", VERSIONS, |side, version| {
        side.topic("t", 3, &[]);
        let request = of(version, vec![named(side.name("t"))]);
        side.ask("metadata", version, &request);
    }),
    case(
        "metadata/all topics",
        &[0, 1, 5, 9, 12, 13],
        |side, version| {
            side.topic("t", 2, &[]);
            let topics = if version > 0 { None } else { Some(Vec::new()) };
            let request = MetadataRequest::default().with_topics(topics);
            let mut answer = side.must(version, &request);
            let is_own =
                |name: &Option<TopicName>| name.as_ref().is_some_and(|name| side.is_own(name));
            answer.topics.retain(|topic| is_own(&topic.name));
            side.note("own of all", &Value::of(&answer));
        },
    ),
    case("metadata/no topics", &[1, 4, 9, 13], |side, version| {
        side.ask("metadata", version, &of(version, Vec::new()));
    }),
    case(
        "metadata/unknown topic",
        &[4, 7, 9, 10, 12, 13],
        |side, version| {
            let request = of(version, vec![named(side.name("t"))]);
            side.ask("metadata", version, &request);
        },
    ),
    case("metadata/known and unknown", &[4, 12], |side, version| {
        side.topic("t", 1, &[]);
        let names = ["t", "u"].map(|name| named(side.name(name)));
        side.ask("metadata", version, &of(version, names.into()));
    }),
    case(
        "metadata/the same topic twice",
        &[1, 9, 12],
        |side, version| {
            side.topic("t", 1, &[]);
            let names = ["t", "t"].map(|name| named(side.name(name)));
            side.ask("metadata", version, &of(version, names.into()));
        },
    ),
    case("metadata/by id", &[12, 13], |side, version| {
        let id = side.topic("t", 2, &[]);
        side.ask("metadata", version, &of(version, vec![by_id(id)]));
    }),
    case("metadata/by id too early", &[10, 11], |side, version| {
        let id = side.topic("t", 1, &[]);
        let topic = by_id(id).with_name(Some(side.name("t")));
        side.ask("metadata", version, &of(version, vec![topic]));
    }),
    case(
        "metadata/null name too early",
        &[10, 11],
        |side, version| {
            let topic = MetadataRequestTopic::default().with_name(None);
            side.ask("metadata", version, &of(version, vec![topic]));
        },
    ),
    case("metadata/unknown id", &[12, 13], |side, version| {
        let id = Uuid::from_bytes([7; 16]);
        side.ask("metadata", version, &of(version, vec![by_id(id)]));
    }),
    case("metadata/null name and no id", &[12], |side, version| {
        let topic = MetadataRequestTopic::default().with_name(None);
        side.ask("metadata", version, &of(version, vec![topic]));
    }),
    case("metadata/name and id", &[12], |side, version| {
        let id = side.topic("t", 1, &[]);
        let topic = by_id(id).with_name(Some(side.name("t")));
        side.ask("metadata", version, &of(version, vec![topic]));
    }),
    case("metadata/one by name one by id", &[12], |side, version| {
        let id = side.topic("t", 1, &[]);
        side.topic("u", 1, &[]);
        let topics = vec![by_id(id), named(side.name("u"))];
        side.ask("metadata", version, &of(version, topics));
    }),
    case("metadata/the same id twice", &[12], |side, version| {
        let id = side.topic("t", 1, &[]);
        side.ask(
            "metadata",
            version,
            &of(version, vec![by_id(id), by_id(id)]),
        );
    }),
    case("metadata/empty name", &[4, 12], |side, version| {
        plain(side, version, &[""])
    }),
    case("metadata/invalid names", &[4, 12], |side, version| {
        plain(side, version, &[".", "..", "a b", "a/b", "ä"]);
    }),
    case("metadata/name of 249 and 250", &[12], |side, version| {
        plain(side, version, &[&"x".repeat(249), &"x".repeat(250)]);
    }),
    case(
        "metadata/authorized operations",
        &[8, 10, 11, 13],
        |side, version| {
            side.topic("t", 1, &[]);
            let request = of(version, vec![named(side.name("t"))])
                .with_include_topic_authorized_operations(true)
                .with_include_cluster_authorized_operations(version <= 10);
            side.ask("metadata", version, &request);
        },
    ),
    case("metadata/auto creation", &[1, 4, 12], |side, version| {
        let name = side.name("t");
        let request = MetadataRequest::default().with_topics(Some(vec![named(name.clone())]));
        let is_there = |answer: &MetadataResponse| answer.topics[0].error_code == 0;
        let answer = side.until(version, &request, is_there);
        side.note("later", &Value::of(&answer));
    }),
    case(
        "metadata/auto creation of invalid names",
        &[12],
        |side, version| {
            let names = ["", "..", "a b"].map(|name| named(TopicName(name.into())));
            let request = MetadataRequest::default().with_topics(Some(names.into()));
            side.ask("metadata", version, &request);
        },
    ),
    case("metadata/auto creation by id", &[12], |side, version| {
        let topics = vec![by_id(Uuid::from_bytes([9; 16]))];
        let request = MetadataRequest::default().with_topics(Some(topics));
        side.ask("metadata", version, &request);
    }),
    case("metadata/after deletion", &[12], |side, version| {
        let id = side.topic("t", 1, &[]);
        super::topics::delete(side, "t");
        let topics = vec![by_id(id)];
        side.ask("by id", version, &of(version, topics));
        let topics = vec![named(side.name("t"))];
        side.ask("by name", version, &of(version, topics));
    }),
    case("topic partitions/one topic", &[0], |side, version| {
        side.topic("t", 3, &[]);
        let request = pages(side, &["t"], 2000);
        side.ask("page", version, &request);
    }),
    case(
        "topic partitions/unknown and invalid",
        &[0],
        |side, version| {
            side.topic("t", 1, &[]);
            let mut request = pages(side, &["t", "u"], 2000);
            for name in ["", "a b", ".."] {
                let name = TopicName(name.into());
                request.topics.push(TopicRequest::default().with_name(name));
            }
            side.ask("page", version, &request);
        },
    ),
    case(
        "topic partitions/limit and cursor",
        &[0],
        |side, version| {
            side.topic("a", 3, &[]);
            side.topic("b", 2, &[]);
            let mut request = pages(side, &["b", "a"], 2);
            for step in ["first", "second", "third"] {
                let Some(answer) = side.ask(step, version, &request) else {
                    return;
                };
                request.cursor = answer.next_cursor.map(|cursor| {
                    Cursor::default()
                        .with_topic_name(cursor.topic_name)
                        .with_partition_index(cursor.partition_index)
                });
            }
        },
    ),
    case("topic partitions/limit exactly", &[0], |side, version| {
        side.topic("a", 2, &[]);
        side.topic("b", 2, &[]);
        for limit in [0, -1, 1, 4] {
            let request = pages(side, &["a", "b"], limit);
            side.ask("page", version, &request);
        }
    }),
    case(
        "topic partitions/unknown behind the limit",
        &[0],
        |side, version| {
            side.topic("a", 2, &[]);
            let request = pages(side, &["a", "b"], 2);
            side.ask("page", version, &request);
        },
    ),
    case("topic partitions/odd cursors", &[0], |side, version| {
        side.topic("a", 2, &[]);
        side.topic("c", 2, &[]);
        let cursors = [("a", 1), ("a", 2), ("a", 7), ("b", 0), ("c", -1), ("d", 0)];
        for (topic, partition) in cursors {
            let cursor = Cursor::default()
                .with_topic_name(side.name(topic))
                .with_partition_index(partition);
            let request = pages(side, &["a", "c"], 2000).with_cursor(Some(cursor));
            side.ask("page", version, &request);
        }
    }),
    case(
        "topic partitions/the same topic twice",
        &[0],
        |side, version| {
            side.topic("t", 1, &[]);
            let request = pages(side, &["t", "t"], 2000);
            side.ask("page", version, &request);
        },
    ),
];

fn pages(side: &Side, topics: &[&str], limit: i32) -> DescribeTopicPartitionsRequest {
    let topics = topics
        .iter()
        .map(|topic| TopicRequest::default().with_name(side.name(topic)));
    DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
}
