// SPDX-License-Identifier: Apache-2.0
//! What administrators ask: topics page by page, epochs, producers, sizes, resources, the quorum,
//! features; and more partitions.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytestring::ByteString;
use furlong::model::ids::{ConnectionId, Uuid};
use furlong::wire::protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use furlong::wire::protocol::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use furlong::wire::protocol::describe_producers::{
    DescribeProducersRequest, TopicRequest as ProducersTopic,
};
use furlong::wire::protocol::describe_quorum::request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use furlong::wire::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use furlong::wire::protocol::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};
use furlong::wire::protocol::list_config_resources::ListConfigResourcesRequest;
use furlong::wire::protocol::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use furlong::wire::protocol::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::broker::Broker;
use crate::client::{batch, call, produce};

fn page(
    broker: &mut Broker,
    topics: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse {
    let client = broker.connect(0);
    let topics = topics.iter().map(|name| TopicRequest {
        name: (*name).into(),
    });
    let request = DescribeTopicPartitionsRequest {
        topics: topics.collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| Cursor {
            topic_name: name.into(),
            partition_index,
        }),
    };
    call(broker, client, 0, &request)
}

/// Name, error and partitions of each topic, and where the next page begins.
type Page = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

fn shown(response: &DescribeTopicPartitionsResponse) -> Page {
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.as_ref().expect("named").to_string();
        let partitions = topic.partitions.iter().map(|one| one.partition_index);
        (name, topic.error_code, partitions.collect())
    });
    let cursor = response.next_cursor.as_ref();
    let cursor = cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), cursor)
}

fn told(name: &str, code: i16, partitions: &[i32]) -> (String, i16, Vec<i32>) {
    (name.to_owned(), code, partitions.to_vec())
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let mut broker = Broker::new(1);
    for (name, partitions) in [("c", 1), ("a", 3), ("b", 2)] {
        broker.add_topic(name, partitions, &[]);
    }
    for limit in 1..8 {
        let mut cursor: Option<(String, i32)> = None;
        let mut seen = Vec::new();
        loop {
            let from = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
            let (topics, next) = shown(&page(&mut broker, &[], limit, from));
            let partitions: usize = topics.iter().map(|topic| topic.2.len()).sum();
            assert!(partitions <= usize::try_from(limit).expect("small"));
            for (name, code, partitions) in topics {
                assert_eq!(code, 0);
                seen.extend(partitions.into_iter().map(|index| (name.clone(), index)));
            }
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        let expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0)];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, index)| ((*name).to_owned(), *index))
            .collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

#[test]
fn a_page_is_described_as_kafka_does() {
    let mut broker = Broker::with_topic(1, "t", 3);
    let (topics, next) = shown(&page(&mut broker, &[], 3, None));
    assert_eq!(
        (topics, next),
        (vec![told("t", 0, &[0, 1, 2])], None),
        "the end is known"
    );
    broker.add_topic("u", 1, &[]);
    let (_, next) = shown(&page(&mut broker, &[], 3, None));
    assert_eq!(next, Some(("u".to_owned(), 0)));
    let (topics, _) = shown(&page(
        &mut broker,
        &["u", "no", "t", "a/b", "t"],
        2000,
        None,
    ));
    let expected = [
        told("a/b", 17, &[]),
        told("no", 3, &[]),
        told("t", 0, &[0, 1, 2]),
        told("u", 0, &[0]),
    ];
    assert_eq!(topics, expected);
    let (topics, _) = shown(&page(&mut broker, &["t", "u"], -5, Some(("t", 1))));
    assert_eq!(topics, [told("t", 0, &[1])], "one at least");
    let (topics, next) = shown(&page(&mut broker, &["t", "u"], 9, Some(("t", 7))));
    assert_eq!(
        (topics, next),
        (vec![told("t", 0, &[]), told("u", 0, &[0])], None)
    );
    let response = page(&mut broker, &["t"], 1, None);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.leader_id, partition.leader_epoch), (7, 3));
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(response.topics[0].topic_id, Uuid([1; 16]));
    assert_ne!(response.topics[0].topic_authorized_operations, i32::MIN);
}

#[test]
fn a_cursor_that_cannot_be_is_42_for_every_topic() {
    let mut broker = Broker::with_topic(1, "t", 3);
    for cursor in [("s", 0), ("u", 0), ("t", -1)] {
        let (topics, next) = shown(&page(&mut broker, &["t"], 9, Some(cursor)));
        assert_eq!(
            (topics, next),
            (vec![told("t", 42, &[])], None),
            "{cursor:?}"
        );
    }
    let (topics, _) = shown(&page(&mut broker, &[], 9, Some(("gone", 4))));
    assert_eq!(
        topics,
        [told("t", 0, &[0, 1, 2])],
        "a topic may go between two pages"
    );
}

fn end_of(broker: &mut Broker, version: i16, asked: &[(i32, i32, i32)]) -> Vec<(i16, i32, i64)> {
    let client = broker.connect(0);
    let partitions = asked
        .iter()
        .map(|(partition, current, epoch)| OffsetForLeaderPartition {
            partition: *partition,
            current_leader_epoch: *current,
            leader_epoch: *epoch,
        });
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: partitions.collect(),
        }],
    };
    let response = call(broker, client, version, &request);
    let ends = response.topics[0].partitions.iter();
    ends.map(|one| (one.error_code, one.leader_epoch, one.end_offset))
        .collect()
}

/// Begins another leader epoch of partition 0 of `t`.
fn begin_epoch(broker: &mut Broker, epoch: i32) {
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        std::sync::Arc::make_mut(topic).partitions[0].leader_epoch = epoch;
    });
    broker.settle();
}

#[test]
fn an_epoch_ends_where_the_next_one_begins_also_one_without_records() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    assert_eq!(
        end_of(&mut broker, 4, &[(0, -1, 3), (0, -1, 2)]),
        [(0, 3, 0), (0, 2, 0)]
    );
    produce(&mut broker, client, "t", 0, batch(&["a", "b"]));
    begin_epoch(&mut broker, 6);
    produce(&mut broker, client, "t", 0, batch(&["c"]));
    begin_epoch(&mut broker, 9);
    let cases = [
        (-1, (-1, -1)),
        (2, (2, 0)),
        (3, (3, 2)),
        (5, (3, 2)),
        (6, (6, 3)),
        (8, (6, 3)),
        (9, (9, 3)),
        (10, (-1, -1)),
    ];
    for version in 2..=4 {
        for (epoch, (found, end)) in cases {
            let answer = end_of(&mut broker, version, &[(0, -1, epoch)]);
            assert_eq!(answer, [(0, found, end)], "epoch {epoch}");
        }
    }
}

#[test]
fn a_client_with_another_leader_epoch_and_unknown_partitions_are_refused() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let asked = [(0, 2, 3), (0, 4, 3), (0, 3, 3), (5, -1, 0), (1, -1, 3)];
    let told = end_of(&mut broker, 4, &asked);
    assert_eq!(
        told,
        [
            (74, -1, -1),
            (75, -1, -1),
            (0, 3, 0),
            (3, -1, -1),
            (0, 3, 0)
        ]
    );
}

#[test]
fn producers_are_told_with_their_newest_batch() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    for (sequence, timestamp) in [(0, 1_700_000_000_000), (1, 1_700_000_000_500)] {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.producer(44, 2, sequence);
        builder.append(timestamp, None, Some(b"a"), &[]);
        let answer = produce(&mut broker, client, "t", 1, builder.build());
        assert_eq!(answer.error_code, 0);
    }
    let topic = |name: &str, partition_indexes| ProducersTopic {
        name: name.into(),
        partition_indexes,
    };
    let request = DescribeProducersRequest {
        topics: vec![
            topic("t", vec![0, 1, 2]),
            topic("no", vec![0]),
            topic("", vec![0]),
        ],
    };
    let response = call(&mut broker, client, 0, &request);
    let codes: Vec<Vec<i16>> = response
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|one| one.error_code).collect())
        .collect();
    assert_eq!(codes, [vec![0, 0, 3], vec![3], vec![17]]);
    assert!(response.topics[0].partitions[0].active_producers.is_empty());
    let [producer] = &response.topics[0].partitions[1].active_producers[..] else {
        panic!("one producer wrote");
    };
    assert_eq!((producer.producer_id, producer.producer_epoch), (44, 2));
    assert_eq!(
        (producer.last_sequence, producer.last_timestamp),
        (1, 1_700_000_000_500)
    );
    assert_eq!(
        (
            producer.coordinator_epoch,
            producer.current_txn_start_offset
        ),
        (-1, -1)
    );
}

#[test]
fn resources_are_listed_by_type_and_an_unknown_type_is_35() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut list = |version: i16, resource_types: Vec<i8>| {
        let request = ListConfigResourcesRequest { resource_types };
        let response = call(&mut broker, client, version, &request);
        let resources = response.config_resources.into_iter();
        let resources = resources.map(|one| (one.resource_type, one.resource_name.to_string()));
        (response.error_code, resources.collect::<Vec<_>>())
    };
    assert_eq!(
        list(0, Vec::new()),
        (0, Vec::new()),
        "client metrics: there are none"
    );
    let (broker_7, topic) = ((4, "7".to_owned()), (2, "t".to_owned()));
    let logger = (8, "7".to_owned());
    assert_eq!(
        list(1, Vec::new()),
        (0, vec![logger, broker_7.clone(), topic.clone()])
    );
    assert_eq!(list(1, vec![2, 4, 2]), (0, vec![broker_7, topic]));
    assert_eq!(list(1, vec![16, 32]), (0, Vec::new()));
    assert_eq!(list(1, vec![2, 3]), (35, Vec::new()));
}

#[test]
fn no_user_has_a_password_and_one_that_is_named_twice_is_refused() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut ask = |users: Option<&[&str]>| {
        let name = |name: &&str| UserName {
            name: (*name).into(),
        };
        let request = DescribeUserScramCredentialsRequest {
            users: users.map(|users| users.iter().map(name).collect()),
        };
        let response = call(&mut broker, client, 0, &request);
        assert_eq!(response.error_code, 0);
        let results = response.results.into_iter();
        let results = results.map(|one| {
            assert!(one.credential_infos.is_empty());
            let sentence = one.error_message.unwrap_or_default();
            assert!(sentence.contains(&*one.user), "{sentence}");
            (one.user.to_string(), one.error_code)
        });
        results.collect::<Vec<_>>()
    };
    assert_eq!(ask(None), []);
    assert_eq!(ask(Some(&[])), []);
    assert_eq!(
        ask(Some(&["b", "a", "b"])),
        [("a".to_owned(), 91), ("b".to_owned(), 92)]
    );
}

#[test]
fn a_group_has_settings_of_its_own_whether_it_is_there_or_not() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(1);
    let describe = |broker: &mut Broker, group: &str| {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: 32,
                resource_name: group.into(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            ..DescribeConfigsRequest::default()
        };
        let result = call(broker, client, 4, &request).results.remove(0);
        let configs = result.configs.into_iter();
        let configs = configs.map(|one| {
            let value = one.value.unwrap_or_default().to_string();
            (one.name.to_string(), value, one.config_source)
        });
        (result.error_code, configs.collect::<Vec<_>>())
    };
    let session = "consumer.session.timeout.ms";
    let expected = |value: &str, source| {
        let heartbeat = "consumer.heartbeat.interval.ms".to_owned();
        let session = (session.to_owned(), value.to_owned(), source);
        (0, vec![(heartbeat, "5000".to_owned(), 5), session])
    };
    let list = ListConfigResourcesRequest {
        resource_types: vec![32],
    };
    assert_eq!(describe(&mut broker, "g"), expected("45000", 5));
    let listed = call(&mut broker, client, 1, &list).config_resources;
    assert!(listed.is_empty());
    broker.publish(|image| {
        let own = [(session.into(), "50000".into())].into();
        let configs = std::sync::Arc::make_mut(&mut image.group_configs);
        configs.insert("g".into(), own);
    });
    broker.settle();
    assert_eq!(describe(&mut broker, "g"), expected("50000", 8));
    assert_eq!(describe(&mut broker, "other"), expected("45000", 5));
    assert_eq!(describe(&mut broker, ""), (42, Vec::new()));
    let listed = call(&mut broker, client, 1, &list).config_resources;
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.resource_type, &*one.resource_name))
        .collect();
    assert_eq!(listed, [(32, "g")]);
}

fn quorum_request(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
    let partitions = partitions.iter();
    DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: topic.into(),
            partitions: partitions
                .map(|index| PartitionData {
                    partition_index: *index,
                })
                .collect(),
        }],
    }
}

#[test]
fn the_quorum_is_this_broker_in_every_version() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    for version in 0..=2 {
        let request = quorum_request("__cluster_metadata", &[0]);
        let response = call(&mut broker, client, version, &request);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, partition.error_code), (0, 0));
        assert_eq!((partition.leader_id, partition.leader_epoch), (7, 4));
        assert_eq!(
            (partition.high_watermark, partition.observers.len()),
            (20, 0)
        );
        let voter = &partition.current_voters[0];
        assert_eq!((voter.replica_id, voter.log_end_offset), (7, 20));
        assert_eq!(response.nodes.len(), usize::from(version == 2));
        if version == 2 {
            assert_eq!(voter.replica_directory_id, Uuid([2; 16]));
            assert_eq!(response.nodes[0].listeners[0].port, 9092);
        }
    }
}

#[test]
fn there_is_no_other_quorum() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for (topic, partitions) in [("t", vec![0]), ("__cluster_metadata", vec![1])] {
        let response = call(&mut broker, client, 2, &quorum_request(topic, &partitions));
        assert_eq!(response.topics[0].partitions[0].error_code, 3);
    }
    let response = call(
        &mut broker,
        client,
        2,
        &quorum_request("__cluster_metadata", &[0, 1]),
    );
    let codes: Vec<i16> = response.topics[0]
        .partitions
        .iter()
        .map(|one| one.error_code)
        .collect();
    assert_eq!(
        codes,
        [3, 3],
        "one of them is not there, so all are refused"
    );
}

fn update(broker: &mut Broker, version: i16, feature: &str, level: i16, kind: i8) -> i16 {
    let client = broker.connect(0);
    let update = FeatureUpdateKey {
        feature: feature.into(),
        max_version_level: level,
        allow_downgrade: version == 0 && kind != 1,
        upgrade_type: if version == 0 { 1 } else { kind },
    };
    let request = UpdateFeaturesRequest {
        feature_updates: vec![update],
        ..UpdateFeaturesRequest::default()
    };
    let response = call(broker, client, version, &request);
    let is_refused = response.error_code != 0;
    assert_eq!(
        response.error_message.is_some_and(|text| !text.is_empty()),
        is_refused
    );
    if version < 2 {
        assert_eq!(response.results.len(), usize::from(!is_refused));
    }
    response.error_code
}

#[test]
fn a_feature_keeps_the_only_level_it_has() {
    let mut broker = Broker::new(1);
    for version in 0..=2 {
        for (feature, level, kind, code) in [
            ("metadata.version", 30, 1, 0),
            ("metadata.version", 30, 2, 0),
            ("metadata.version", 31, 1, 95),
            ("metadata.version", 31, 3, 95),
            ("metadata.version", 29, 1, 95),
            ("metadata.version", 29, 3, 95),
            ("metadata.version", -1, 3, 95),
            ("transaction.version", 2, 1, 0),
            ("transaction.version", 1, 2, 95),
            ("no.such.version", 1, 1, 95),
        ] {
            assert_eq!(
                update(&mut broker, version, feature, level, kind),
                code,
                "{feature} {level}"
            );
        }
    }
    assert_eq!(update(&mut broker, 1, "metadata.version", 30, 9), 95);
}

#[test]
fn finalized_features_are_told_and_level_0_only_to_those_who_can_read_it() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    for version in 3..=4 {
        let response = call(
            &mut broker,
            client,
            version,
            &ApiVersionsRequest {
                client_software_name: "test".into(),
                client_software_version: "1".into(),
            },
        );
        let finalized: Vec<(ByteString, i16)> = response
            .finalized_features
            .iter()
            .map(|one| (one.name.clone(), one.max_version_level))
            .collect();
        let expected = [
            ("group.version".into(), 1),
            ("metadata.version".into(), 30),
            ("transaction.version".into(), 2),
        ];
        assert_eq!(finalized, expected);
        assert!(response.finalized_features_epoch >= 0);
        let has_zero = response
            .supported_features
            .iter()
            .any(|one| one.min_version == 0);
        assert_eq!(has_zero, version == 4, "KAFKA-17011");
    }
}

fn add(broker: &mut Broker, client: ConnectionId, version: i16, name: &str, count: i32) -> i16 {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.into(),
            count,
            assignments: None,
        }],
        timeout_ms: 1000,
        validate_only: false,
    };
    let response = call(broker, client, version, &request);
    assert_eq!(&*response.results[0].name, name);
    response.results[0].error_code
}

#[test]
fn new_partitions_take_records_at_once() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let client = broker.connect(0);
    for (version, count) in (0..=3).zip(2..) {
        assert_eq!(add(&mut broker, client, version, "t", count), 0);
        for partition in 0..count {
            let answer = produce(&mut broker, client, "t", partition, batch(&["a"]));
            assert_eq!(answer.error_code, 0, "{partition}");
        }
    }
    assert_eq!(add(&mut broker, client, 3, "no", 5), 3);
}

#[test]
fn whole_settings_are_replaced_and_a_resource_named_twice_is_42() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let resource = |name: &str| AlterConfigsResource {
        resource_type: 2,
        resource_name: name.into(),
        configs: vec![AlterableConfig {
            name: "retention.ms".into(),
            value: Some("1000".into()),
        }],
    };
    for version in 0..=2 {
        let request = AlterConfigsRequest {
            resources: vec![resource("u"), resource("t"), resource("u")],
            validate_only: false,
        };
        let response = call(&mut broker, client, version, &request);
        let told: Vec<(&str, i16)> = response
            .responses
            .iter()
            .map(|one| (&*one.resource_name, one.error_code))
            .collect();
        assert_eq!(told, [("u", 42), ("t", 0), ("u", 42)]);
    }
}
