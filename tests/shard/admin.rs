// SPDX-License-Identifier: Apache-2.0
//! Topics, settings and producer ids: requests that the controller answers.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytestring::ByteString;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::create_topics::{CreatableTopic, CreateTopicsRequest};
use furlong::wire::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use furlong::wire::protocol::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use furlong::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;

use crate::broker::Broker;
use crate::client::{batch, call, produce};

fn create(names: &[&str], validate_only: bool) -> CreateTopicsRequest {
    let topics = names.iter().map(|name| CreatableTopic {
        name: (*name).into(),
        num_partitions: 3,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    CreateTopicsRequest {
        topics: topics.collect(),
        validate_only,
        ..CreateTopicsRequest::default()
    }
}

#[test]
fn a_created_topic_takes_records_at_once_and_its_settings_are_told() {
    let mut broker = Broker::new(2);
    let client = broker.connect(0);
    for version in 2..=7 {
        let name = format!("t{version}");
        let response = call(&mut broker, client, version, &create(&[&name], false));
        let topic = &response.topics[0];
        assert_eq!((topic.error_code, &*topic.name), (0, name.as_str()));
        if version >= 5 {
            assert_eq!(topic.num_partitions, 3);
            let configs = topic.configs.as_ref().expect("told since version 5");
            assert!(configs.iter().any(|one| &*one.name == "retention.ms"));
        }
        if version >= 7 {
            assert!(!topic.topic_id.is_zero());
        }
        for partition in 0..3 {
            let answer = produce(&mut broker, client, &name, partition, batch(&["a"]));
            assert_eq!(answer.error_code, 0);
        }
    }
}

#[test]
fn a_topic_named_twice_is_42_and_made_by_none_of_the_two() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    let response = call(&mut broker, client, 7, &create(&["a", "b", "a"], false));
    let mut told: Vec<(&str, i16)> = response
        .topics
        .iter()
        .map(|topic| (&*topic.name, topic.error_code))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("a", 42), ("b", 0)]);
    assert!(!broker.controller.image.topics.contains_key("a"));
}

#[test]
fn a_deleted_topic_is_gone_with_its_files_and_its_name_may_be_used_again() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    for partition in 0..2 {
        produce(&mut broker, client, "t", partition, batch(&["a"]));
    }
    assert!(
        broker
            .disk
            .paths()
            .iter()
            .any(|path| path.starts_with("t-1/"))
    );
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into(), "no".into()],
        ..DeleteTopicsRequest::default()
    };
    let response = call(&mut broker, client, 5, &request);
    let codes: Vec<i16> = response
        .responses
        .iter()
        .map(|one| one.error_code)
        .collect();
    assert_eq!(codes, [0, 3]);
    assert_eq!(broker.disk.paths(), Vec::<&str>::new());
    assert_eq!(broker.shards[0].partition_count(), 0);
    let answer = produce(&mut broker, client, "t", 0, batch(&["a"]));
    assert_eq!(answer.error_code, 3);
    broker.add_topic("t", 2, &[]);
    let answer = produce(&mut broker, client, "t", 0, batch(&["a"]));
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
}

#[test]
fn a_topic_may_be_deleted_by_id() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: None,
            topic_id: Uuid([1; 16]),
        }],
        ..DeleteTopicsRequest::default()
    };
    let response = call(&mut broker, client, 6, &request);
    let one = &response.responses[0];
    assert_eq!((one.error_code, one.name.as_deref()), (0, Some("t")));
    assert_eq!(one.topic_id, Uuid([1; 16]));
}

fn describe(kind: i8, name: &str, keys: Option<Vec<ByteString>>) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys,
        }],
        include_synonyms: true,
        include_documentation: false,
    }
}

#[test]
fn settings_are_described_with_source_type_and_synonyms() {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, &[("retention.ms", "1000")]);
    let client = broker.connect(0);
    for version in 1..=4 {
        let response = call(&mut broker, client, version, &describe(2, "t", None));
        let result = &response.results[0];
        assert_eq!(result.error_code, 0);
        let set = result
            .configs
            .iter()
            .find(|one| &*one.name == "retention.ms");
        let set = set.expect("described");
        assert_eq!(set.value.as_deref(), Some("1000"));
        assert_eq!(set.config_source, 1, "set on the topic");
        assert_eq!(set.synonyms[0].source, 1);
        if version >= 3 {
            assert_eq!(set.config_type, 5);
        }
        let unset = result
            .configs
            .iter()
            .find(|one| &*one.name == "segment.bytes");
        assert_eq!(unset.expect("described").config_source, 5);
    }
}

#[test]
fn only_the_settings_asked_for_are_described_and_unknown_things_are_refused() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let keys = Some(vec!["retention.ms".into(), "no.such".into()]);
    let response = call(&mut broker, client, 4, &describe(2, "t", keys));
    assert_eq!(response.results[0].configs.len(), 1);
    for (kind, name, code) in [
        (2, "no", 3),
        (4, "7", 0),
        (4, "8", 42),
        (4, "x", 42),
        (9, "t", 42),
    ] {
        let response = call(&mut broker, client, 4, &describe(kind, name, None));
        let result = &response.results[0];
        assert_eq!(result.error_code, code, "{kind} {name}");
        assert_eq!((result.resource_type, &*result.resource_name), (kind, name));
    }
}

#[test]
fn a_topic_that_is_named_and_identified_is_not_deleted() {
    let mut broker = Broker::new(1);
    let topic_id = broker.add_topic("t", 1, &[]);
    broker.add_topic("u", 1, &[]);
    let client = broker.connect(0);
    let both = DeleteTopicState {
        name: Some("t".into()),
        topic_id,
    };
    let other = DeleteTopicState {
        name: Some("u".into()),
        topic_id: Uuid::ZERO,
    };
    let request = DeleteTopicsRequest {
        topics: vec![other, both],
        ..DeleteTopicsRequest::default()
    };
    let response = call(&mut broker, client, 6, &request);
    let told: Vec<(Option<&str>, i16)> = response
        .responses
        .iter()
        .map(|one| (one.name.as_deref(), one.error_code))
        .collect();
    assert_eq!(told, [(Some("t"), 42), (Some("u"), 0)]);
    assert_eq!(response.responses[0].topic_id, topic_id);
    for (name, code) in [("t", 0), ("u", 3)] {
        let answer = produce(&mut broker, client, name, 0, batch(&["a"]));
        assert_eq!(answer.error_code, code, "{name}");
    }
}

#[test]
fn a_resource_named_twice_is_42_and_others_are_changed() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let resource = |name: &str| AlterConfigsResource {
        resource_type: 2,
        resource_name: name.into(),
        configs: Vec::new(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource("u"), resource("t"), resource("u")],
        validate_only: false,
    };
    let response = call(&mut broker, client, 1, &request);
    let told: Vec<(&str, i16)> = response
        .responses
        .iter()
        .map(|one| (&*one.resource_name, one.error_code))
        .collect();
    assert_eq!(told, [("u", 42), ("t", 0), ("u", 42)], "in their order");
}

#[test]
fn producer_ids_are_unique_over_shards_and_blocks() {
    let mut broker = Broker::new(2);
    let mut ids = Vec::new();
    for round in 0..10 {
        for shard in 0..2 {
            let client = broker.connect(shard);
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: round,
                ..InitProducerIdRequest::default()
            };
            let response = call(&mut broker, client, 4, &request);
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
            ids.push(response.producer_id);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn a_transactional_producer_that_has_not_looked_for_its_coordinator_is_sent_to_it() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        ..InitProducerIdRequest::default()
    };
    let response = call(&mut broker, client, 4, &request);
    assert_eq!((response.error_code, response.producer_id), (16, -1));
    let empty = InitProducerIdRequest {
        transactional_id: Some("".into()),
        ..InitProducerIdRequest::default()
    };
    let response = call(&mut broker, client, 4, &empty);
    assert_eq!(response.error_code, 42);
    let mismatched = InitProducerIdRequest {
        transactional_id: None,
        producer_id: 5,
        ..InitProducerIdRequest::default()
    };
    let response = call(&mut broker, client, 4, &mismatched);
    assert_eq!(response.error_code, 42);
}
