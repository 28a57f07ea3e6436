// SPDX-License-Identifier: Apache-2.0
//! Metadata, DescribeCluster, FindCoordinator: what clients are told before they work.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytestring::ByteString;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::describe_cluster::DescribeClusterRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::broker::Broker;
use crate::client::call;

fn by_name(name: &str, create: bool) -> MetadataRequest {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.into()),
            topic_id: Uuid::ZERO,
        }]),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    }
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    let topics = response.topics.iter();
    topics
        .map(|topic| topic.name.as_deref().unwrap_or("-"))
        .collect()
}

#[test]
fn a_null_list_asks_for_all_topics_and_an_empty_one_for_none_but_in_version_0() {
    let mut broker = Broker::with_topic(2, "a", 2);
    broker.add_topic("b", 1, &[]);
    let client = broker.connect(0);
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let none = MetadataRequest::default();
    for version in 1..=13 {
        let response = call(&mut broker, client, version, &all);
        assert_eq!(names(&response), ["a", "b"]);
        let response = call(&mut broker, client, version, &none);
        assert!(response.topics.is_empty());
    }
    let response = call(&mut broker, client, 0, &none);
    assert_eq!(names(&response), ["a", "b"]);
}

#[test]
fn brokers_controller_cluster_id_and_leaders_are_named() {
    let mut broker = Broker::with_topic(2, "a", 2);
    let client = broker.connect(1);
    let response = call(&mut broker, client, 13, &by_name("a", false));
    assert_eq!(response.brokers.len(), 1);
    assert_eq!(response.brokers[0].node_id, 7);
    assert_eq!(
        (response.controller_id, response.brokers[0].port),
        (7, 9092)
    );
    let cluster_id = Uuid([9; 16]).to_string();
    assert_eq!(response.cluster_id.as_deref(), Some(cluster_id.as_str()));
    let topic = &response.topics[0];
    assert_eq!((topic.error_code, topic.topic_id), (0, Uuid([1; 16])));
    assert_eq!(topic.topic_authorized_operations, i32::MIN);
    assert_eq!(topic.partitions.len(), 2);
    assert_eq!(topic.partitions[1].leader_id, 7);
    assert_eq!(topic.partitions[1].leader_epoch, 3);
    assert_eq!(topic.partitions[1].isr_nodes, [7]);
}

#[test]
fn a_topic_may_be_asked_for_by_id_and_an_unknown_id_is_100() {
    let mut broker = Broker::with_topic(1, "a", 1);
    let client = broker.connect(0);
    let by_id = |id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: None,
            topic_id: id,
        }]),
        ..MetadataRequest::default()
    };
    let response = call(&mut broker, client, 12, &by_id(Uuid([1; 16])));
    assert_eq!(names(&response), ["a"]);
    let response = call(&mut broker, client, 12, &by_id(Uuid([8; 16])));
    assert_eq!(response.topics[0].error_code, 100);
    assert_eq!(response.topics[0].topic_id, Uuid([8; 16]));
    assert_eq!(response.topics[0].name, None);
}

fn wanted(name: Option<&str>, topic_id: Uuid) -> MetadataRequestTopic {
    let name = name.map(Into::into);
    MetadataRequestTopic { name, topic_id }
}

#[test]
fn where_ids_are_named_names_are_not_looked_at_and_nothing_is_told_twice() {
    let mut broker = Broker::with_topic(1, "a", 1);
    broker.add_topic("b", 1, &[]);
    let client = broker.connect(0);
    let topics = vec![
        wanted(Some("b"), Uuid::ZERO),
        wanted(None, Uuid([1; 16])),
        wanted(Some("no"), Uuid([1; 16])),
    ];
    let request = MetadataRequest {
        topics: Some(topics),
        ..MetadataRequest::default()
    };
    let response = call(&mut broker, client, 12, &request);
    assert_eq!(names(&response), ["a"]);
    assert_eq!(broker.controller.requests, 0, "and nothing is made");
    let twice = vec![wanted(Some("b"), Uuid::ZERO), wanted(Some("b"), Uuid::ZERO)];
    let request = MetadataRequest {
        topics: Some(twice),
        ..MetadataRequest::default()
    };
    assert_eq!(names(&call(&mut broker, client, 12, &request)), ["b"]);
}

#[test]
fn an_id_before_version_12_is_42_for_every_topic() {
    let mut broker = Broker::with_topic(1, "a", 1);
    let client = broker.connect(0);
    for version in [10, 11] {
        for odd in [wanted(None, Uuid::ZERO), wanted(Some("x"), Uuid([1; 16]))] {
            let id = odd.topic_id;
            let request = MetadataRequest {
                topics: Some(vec![wanted(Some("a"), Uuid::ZERO), odd]),
                ..MetadataRequest::default()
            };
            let response = call(&mut broker, client, version, &request);
            let codes: Vec<i16> = response.topics.iter().map(|one| one.error_code).collect();
            assert_eq!(codes, [42, 42]);
            assert_eq!(response.topics[1].topic_id, id, "repeated");
            assert!(response.brokers.is_empty());
        }
    }
}

#[test]
fn a_missing_topic_is_made_if_the_request_allows_it_and_named_with_its_leaders() {
    let mut broker = Broker::new(2);
    let client = broker.connect(1);
    let response = call(&mut broker, client, 9, &by_name("new", false));
    assert_eq!(response.topics[0].error_code, 3);
    assert_eq!(broker.controller.requests, 0);
    let response = call(&mut broker, client, 9, &by_name("new", true));
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].partitions.len(), 2);
    assert!(broker.controller.is_applied());
}

#[test]
fn a_forbidden_topic_name_is_17_and_is_never_made() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a/b", "a b", "\u{e9}", long.as_str()] {
        let response = call(&mut broker, client, 9, &by_name(name, true));
        assert_eq!(response.topics[0].error_code, 17, "{name}");
    }
    assert_eq!(broker.controller.requests, 0);
}

#[test]
fn authorized_operations_are_told_where_asked_for() {
    let mut broker = Broker::with_topic(1, "a", 1);
    let client = broker.connect(0);
    let request = MetadataRequest {
        include_topic_authorized_operations: true,
        ..by_name("a", false)
    };
    let response = call(&mut broker, client, 9, &request);
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
}

#[test]
fn describe_cluster_names_the_brokers_and_refuses_other_endpoints() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    let response = call(&mut broker, client, 2, &DescribeClusterRequest::default());
    assert_eq!((response.error_code, response.controller_id), (0, 7));
    assert_eq!(response.brokers.len(), 1);
    for (endpoint_type, code) in [(2, 114), (3, 115)] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let response = call(&mut broker, client, 1, &request);
        assert_eq!(response.error_code, code);
    }
}

#[test]
fn the_coordinator_of_a_transaction_is_found_and_its_topic_made() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    let one = FindCoordinatorRequest {
        key: "transaction".into(),
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    for version in 1..=3 {
        let response = call(&mut broker, client, version, &one);
        assert_eq!((response.error_code, response.node_id), (0, 7));
    }
    let keys: Vec<ByteString> = vec!["a".into(), "b".into()];
    let several = FindCoordinatorRequest {
        coordinator_keys: keys.clone(),
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    let response = call(&mut broker, client, 6, &several);
    let answered: Vec<(ByteString, i16)> = response
        .coordinators
        .into_iter()
        .map(|one| (one.key, one.error_code))
        .collect();
    let expected: Vec<(ByteString, i16)> = keys.into_iter().map(|key| (key, 0)).collect();
    assert_eq!(answered, expected);
}
