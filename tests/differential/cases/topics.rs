// SPDX-License-Identifier: Apache-2.0
//! CreateTopics and DeleteTopics.
//!
//! Owns: [`CASES`], [`delete`]. Runs on: one thread for each broker.

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, TopicName,
};
use uuid::Uuid;

use super::{Case, case};
use crate::side::Side;

/// Every version with a field or a rule of its own.
const VERSIONS: &[i16] = &[2, 3, 4, 5, 6, 7];

fn new(name: TopicName, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name)
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics)
}

fn config(name: &str, value: Option<&str>) -> CreatableTopicConfig {
    CreatableTopicConfig::default()
        .with_name(name.to_owned().into())
        .with_value(value.map(|value| value.to_owned().into()))
}

/// Makes one topic of this case.
fn make(side: &mut Side, version: i16, partitions: i32, replicas: i16) {
    let topic = new(side.name("t"), partitions, replicas);
    side.ask("create", version, &request(vec![topic]));
}

/// Makes one topic of this case with settings.
fn with_configs(side: &mut Side, version: i16, configs: &[(&str, Option<&str>)]) {
    let configs = configs.iter().map(|(name, value)| config(name, *value));
    let topic = new(side.name("t"), 1, 1).with_configs(configs.collect());
    side.ask("create", version, &request(vec![topic]));
}

/// Tries topics of these names, one request each.
fn names(side: &mut Side, version: i16, names: &[&str]) {
    for name in names {
        let topic = new(TopicName((*name).to_owned().into()), 1, 1);
        side.ask("create", version, &request(vec![topic]));
    }
}

/// Makes one topic of this case on these brokers.
fn assigned(side: &mut Side, version: i16, counts: (i32, i16), assignment: &[(i32, &[i32])]) {
    let assignments = assignment.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
    });
    let topic = new(side.name("t"), counts.0, counts.1).with_assignments(assignments.collect());
    side.ask("create", version, &request(vec![topic]));
}

/// Deletes a topic of this case and waits until it is gone.
pub fn delete(side: &mut Side, topic: &str) {
    let name = side.name(topic);
    let request = DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topic_names(vec![name.clone()]);
    side.must(5, &request);
    wait_for_absence(side, &name);
}

fn wait_for_absence(side: &mut Side, name: &TopicName) {
    let all = MetadataRequest::default().with_topics(None);
    side.until(9, &all, |answer| {
        let mut topics = answer.topics.iter();
        !topics.any(|topic| topic.name.as_ref() == Some(name))
    });
}

fn by_name(name: TopicName) -> DeleteTopicState {
    DeleteTopicState::default().with_name(Some(name))
}

fn by_id(id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(id)
}

fn deletion(topics: Vec<DeleteTopicState>) -> DeleteTopicsRequest {
    DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics)
}

pub const CASES: &[Case] = &[
    case("create/one", VERSIONS, |side, version| {
        make(side, version, 3, 1)
    }),
    case("create/only validated", VERSIONS, |side, version| {
        let topic = new(side.name("t"), 2, 1);
        side.ask(
            "create",
            version,
            &request(vec![topic]).with_validate_only(true),
        );
        super::configs::describe_topic(side, 1, "t");
    }),
    case("create/default counts", &[2, 3, 4, 7], |side, version| {
        make(side, version, -1, -1)
    }),
    case("create/default partitions", &[4], |side, version| {
        make(side, version, -1, 1)
    }),
    case("create/default replication", &[4], |side, version| {
        make(side, version, 2, -1)
    }),
    case("create/exists", VERSIONS, |side, version| {
        side.topic("t", 1, &[]);
        make(side, version, 1, 1);
    }),
    case("create/exists, only validated", &[5], |side, version| {
        side.topic("t", 1, &[]);
        let topic = new(side.name("t"), 2, 1);
        side.ask(
            "create",
            version,
            &request(vec![topic]).with_validate_only(true),
        );
    }),
    case("create/invalid names", &[2, 7], |side, version| {
        names(
            side,
            version,
            &["", ".", "..", "a b", "a/b", "ä", "a\u{0}b", "a:b", "a,b"],
        );
    }),
    case("create/name of 250", &[2, 7], |side, version| {
        names(side, version, &[&"y".repeat(250)]);
    }),
    case("create/name of 249", &[7], |side, version| {
        names(side, version, &[&"z".repeat(249)]);
    }),
    case("create/names that collide", &[2, 7], |side, version| {
        let (dotted, lined) = (format!("coll.v{version}"), format!("coll_v{version}"));
        names(side, version, &[&dotted, &lined]);
    }),
    case(
        "create/names that collide in one request",
        &[7],
        |side, version| {
            let topics =
                ["one.request", "one_request"].map(|name| new(TopicName(name.into()), 1, 1));
            side.ask("create", version, &request(topics.into()));
        },
    ),
    case("create/the metadata topic", &[7], |side, version| {
        names(side, version, &["__cluster_metadata"]);
    }),
    case("create/no partitions", VERSIONS, |side, version| {
        make(side, version, 0, 1)
    }),
    case("create/-2 partitions", &[2, 7], |side, version| {
        make(side, version, -2, 1)
    }),
    case("create/no replicas", &[2, 7], |side, version| {
        make(side, version, 1, 0)
    }),
    case("create/-2 replicas", &[2, 7], |side, version| {
        make(side, version, 1, -2)
    }),
    case("create/two replicas", &[2, 7], |side, version| {
        make(side, version, 1, 2)
    }),
    case("create/both counts wrong", &[7], |side, version| {
        make(side, version, 0, 5)
    }),
    case("create/far too many partitions", &[7], |side, version| {
        make(side, version, 1_000_000, 1);
    }),
    case("create/assigned", &[2, 4, 7], |side, version| {
        assigned(side, version, (-1, -1), &[(0, &[1]), (1, &[1])]);
    }),
    case("create/assigned out of order", &[7], |side, version| {
        assigned(side, version, (-1, -1), &[(1, &[1]), (0, &[1])]);
    }),
    case("create/assigned with a gap", &[2, 7], |side, version| {
        assigned(side, version, (-1, -1), &[(0, &[1]), (2, &[1])]);
    }),
    case("create/assigned twice", &[2, 7], |side, version| {
        assigned(side, version, (-1, -1), &[(0, &[1]), (0, &[1])]);
    }),
    case("create/assigned to nobody", &[2, 7], |side, version| {
        assigned(side, version, (-1, -1), &[(0, &[])]);
    }),
    case(
        "create/assigned to an unknown broker",
        &[2, 7],
        |side, version| {
            assigned(side, version, (-1, -1), &[(0, &[9])]);
        },
    ),
    case(
        "create/assigned to one broker twice",
        &[7],
        |side, version| {
            assigned(side, version, (-1, -1), &[(0, &[1, 1])]);
        },
    ),
    case("create/assigned unevenly", &[7], |side, version| {
        assigned(side, version, (-1, -1), &[(0, &[1]), (1, &[1, 2])]);
    }),
    case(
        "create/assigned a negative partition",
        &[7],
        |side, version| {
            assigned(side, version, (-1, -1), &[(-1, &[1])]);
        },
    ),
    case("create/assigned and counted", &[2, 7], |side, version| {
        assigned(side, version, (1, 1), &[(0, &[1])]);
        assigned(side, version, (1, -1), &[(0, &[1])]);
        assigned(side, version, (-1, 1), &[(0, &[1])]);
    }),
    case("create/settings", &[2, 5, 7], |side, version| {
        let configs = [
            ("retention.ms", Some("1000")),
            ("cleanup.policy", Some("compact")),
        ];
        with_configs(side, version, &configs);
    }),
    case("create/unknown setting", &[2, 7], |side, version| {
        with_configs(side, version, &[("no.such.setting", Some("1"))]);
    }),
    case("create/setting of a broker", &[7], |side, version| {
        with_configs(side, version, &[("log.retention.ms", Some("1"))]);
    }),
    case("create/bad values", &[7], |side, version| {
        let bad = [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("retention.ms", ""),
            ("retention.ms", " 5 "),
            ("retention.bytes", "-7"),
            ("segment.bytes", "13"),
            ("segment.bytes", "9999999999"),
            ("cleanup.policy", "keep"),
            ("cleanup.policy", ""),
            ("cleanup.policy", "compact,compact"),
            ("compression.type", "rar"),
            ("compression.type", "GZIP"),
            ("min.insync.replicas", "0"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "maybe"),
            ("preallocate", "TRUE"),
            ("message.timestamp.type", "createtime"),
            ("max.message.bytes", "-1"),
            ("leader.replication.throttled.replicas", "x"),
            ("leader.replication.throttled.replicas", "*"),
            ("leader.replication.throttled.replicas", "0:1,1:2"),
            ("index.interval.bytes", "1.5"),
            ("flush.ms", "-1"),
            ("delete.retention.ms", "0"),
        ];
        for (place, (name, value)) in bad.into_iter().enumerate() {
            let topic = new(side.name(&format!("t{place}")), 1, 1)
                .with_configs(vec![config(name, Some(value))]);
            side.ask(&format!("{name}={value}"), version, &request(vec![topic]));
        }
    }),
    case("create/null value", &[2, 7], |side, version| {
        with_configs(side, version, &[("retention.ms", None)]);
    }),
    case(
        "create/null value of an unknown setting",
        &[7],
        |side, version| {
            with_configs(side, version, &[("no.such.setting", None)]);
        },
    ),
    case("create/a setting twice", &[2, 7], |side, version| {
        let configs = [
            ("retention.ms", Some("1000")),
            ("retention.ms", Some("2000")),
        ];
        with_configs(side, version, &configs);
    }),
    case(
        "create/compaction lags that cannot be",
        &[7],
        |side, version| {
            let configs = [
                ("min.compaction.lag.ms", Some("9")),
                ("max.compaction.lag.ms", Some("8")),
            ];
            with_configs(side, version, &configs);
        },
    ),
    case("create/tiered storage", &[7], |side, version| {
        with_configs(side, version, &[("remote.storage.enable", Some("true"))]);
    }),
    case("create/several, one twice", VERSIONS, |side, version| {
        let topics = ["t", "u", "t"].map(|name| new(side.name(name), 1, 1));
        side.ask("create", version, &request(topics.into()));
    }),
    case("create/several, one wrong", &[2, 7], |side, version| {
        let mut topics = ["t", "u", "v"].map(|name| new(side.name(name), 1, 1));
        topics[1].num_partitions = 0;
        side.ask("create", version, &request(topics.into()));
    }),
    case("create/nothing", &[2, 7], |side, version| {
        side.ask("create", version, &request(Vec::new()));
    }),
    case("create/no time", &[2, 7], |side, version| {
        let topic = new(side.name("t"), 1, 1);
        side.ask("create", version, &request(vec![topic]).with_timeout_ms(0));
    }),
    case("delete/by name", &[1, 3, 4, 5], |side, version| {
        side.topic("t", 1, &[]);
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topic_names(vec![side.name("t"), side.name("nothing")]);
        side.ask("delete", version, &request);
    }),
    case("delete/by name in version 6", &[6], |side, version| {
        side.topic("t", 1, &[]);
        let topics = vec![by_name(side.name("t")), by_name(side.name("nothing"))];
        side.ask("delete", version, &deletion(topics));
    }),
    case("delete/by id", &[6], |side, version| {
        let id = side.topic("t", 1, &[]);
        let topics = vec![by_id(id), by_id(Uuid::from_bytes([8; 16]))];
        side.ask("delete", version, &deletion(topics));
    }),
    case("delete/by name and id", &[6], |side, version| {
        let id = side.topic("t", 1, &[]);
        let both = by_id(id).with_name(Some(side.name("t")));
        side.ask("delete", version, &deletion(vec![both]));
    }),
    case("delete/by neither", &[6], |side, version| {
        side.ask("delete", version, &deletion(vec![by_id(Uuid::nil())]));
    }),
    case("delete/twice in one request", &[1, 5], |side, version| {
        side.topic("t", 1, &[]);
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topic_names(vec![side.name("t"), side.name("t")]);
        side.ask("delete", version, &request);
    }),
    case("delete/twice by id", &[6], |side, version| {
        let id = side.topic("t", 1, &[]);
        side.ask("delete", version, &deletion(vec![by_id(id), by_id(id)]));
    }),
    case(
        "delete/once by name and once by id",
        &[6],
        |side, version| {
            let id = side.topic("t", 1, &[]);
            let topics = vec![by_name(side.name("t")), by_id(id)];
            side.ask("delete", version, &deletion(topics));
        },
    ),
    case("delete/unknown names", &[1, 6], |side, version| {
        let names = ["", "a b", "__cluster_metadata"].map(|name| TopicName(name.into()));
        let request = match version {
            6 => deletion(names.map(by_name).into()),
            _ => DeleteTopicsRequest::default()
                .with_timeout_ms(10_000)
                .with_topic_names(names.into()),
        };
        side.ask("delete", version, &request);
    }),
    case("delete/nothing", &[1, 6], |side, version| {
        let request = DeleteTopicsRequest::default().with_timeout_ms(1000);
        side.ask("delete", version, &request);
    }),
    case("delete/and make anew", &[6], |side, version| {
        let id = side.topic("t", 1, &[]);
        side.ask("delete", version, &deletion(vec![by_id(id)]));
        wait_for_absence(side, &side.name("t").clone());
        make(side, 7, 2, 1);
        side.ask("delete", version, &deletion(vec![by_id(id)]));
    }),
];
