// SPDX-License-Identifier: Apache-2.0
//! Groups of the new protocol over the shards of one broker: assigned, described, loaded again, and
//! read anew when the log loses what they build on (KIP-848).
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::sync::Arc;

use furlong::group::OFFSETS_TOPIC;
use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedConsumerGroup,
};
use furlong::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use furlong::wire::protocol::describe_groups::DescribeGroupsRequest;
use furlong::wire::protocol::list_groups::ListGroupsRequest;

use crate::broker::Broker;
use crate::client::call;
use crate::groups::{SHARDS, commit, offsets, ready, stable};

fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn join(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..beat(group, member, 0)
    }
}

fn owned(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = response.assignment.as_ref()?;
    let topics = assignment.topic_partitions.iter();
    Some(topics.flat_map(|topic| topic.partitions.clone()).collect())
}

fn describe(broker: &mut Broker, client: ConnectionId, group: &str) -> DescribedConsumerGroup {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.into()],
        include_authorized_operations: true,
    };
    let mut response = call(broker, client, 1, &request);
    response.groups.pop().expect("one was asked for")
}

#[test]
fn a_member_is_assigned_on_whichever_shard_its_group_lives() {
    let (mut broker, _) = ready();
    for (number, group) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let client = broker.connect(number % usize::from(SHARDS));
        let response = call(&mut broker, client, 1, &join(group, "m"));
        assert_eq!((response.error_code, response.member_epoch), (0, 1));
        assert_eq!(owned(&response), Some(vec![0, 1]));
        let again = call(&mut broker, client, 1, &beat(group, "m", 1));
        assert_eq!((again.error_code, again.assignment), (0, None));
        let described = describe(&mut broker, client, group);
        assert_eq!(
            (described.error_code, &*described.group_state),
            (0, "Stable")
        );
        assert_eq!(described.members.len(), 1);
        assert!(described.authorized_operations > 0);
    }
    let client = broker.connect(0);
    let list = |broker: &mut Broker, kind: &str| {
        let request = ListGroupsRequest {
            types_filter: vec![kind.into()],
            ..ListGroupsRequest::default()
        };
        call(broker, client, 5, &request).groups.len()
    };
    assert_eq!(
        (list(&mut broker, "Consumer"), list(&mut broker, "classic")),
        (4, 0)
    );
    let classic = DescribeGroupsRequest {
        groups: vec!["a".into()],
        ..DescribeGroupsRequest::default()
    };
    let response = call(&mut broker, client, 6, &classic);
    assert_eq!(response.groups[0].error_code, 69, "it is not a classic one");
}

#[test]
fn a_classic_group_is_not_found_where_new_ones_are_described() {
    let (mut broker, client) = ready();
    stable(&mut broker, client, "g");
    let described = describe(&mut broker, client, "g");
    assert_eq!(described.error_code, 69);
    assert!(described.error_message.is_some());
    let refused = call(&mut broker, client, 1, &beat("g", "m", 3));
    assert_eq!(refused.error_code, 69);
}

#[test]
fn partitions_that_are_added_are_assigned_with_the_next_heartbeat() {
    let (mut broker, client) = ready();
    call(&mut broker, client, 1, &join("g", "m"));
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        let topic = Arc::make_mut(topic);
        let partition = topic.partitions[0].clone();
        topic.partitions.push(partition);
    });
    broker.settle();
    let response = call(&mut broker, client, 1, &beat("g", "m", 1));
    assert_eq!(
        (response.member_epoch, owned(&response)),
        (2, Some(vec![0, 1, 2]))
    );
}

#[test]
fn a_group_survives_a_restart_and_a_new_leader_epoch() {
    let (mut broker, client) = ready();
    call(&mut broker, client, 1, &join("g", "m"));
    assert_eq!(
        commit(&mut broker, client, "g", ("t", 0), 5),
        25,
        "it has a member"
    );
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.restart();
    let client = broker.connect(1);
    let again = call(&mut broker, client, 1, &beat("g", "m", 1));
    assert_eq!((again.error_code, again.member_epoch), (0, 1));
    broker.publish(|image| {
        let topic = image.topics.get_mut(OFFSETS_TOPIC).expect("there");
        for partition in &mut Arc::make_mut(topic).partitions {
            partition.leader_epoch += 1;
        }
    });
    broker.settle();
    let again = call(&mut broker, client, 1, &beat("g", "m", 1));
    assert_eq!((again.error_code, again.assignment), (0, None));
    let left = call(&mut broker, client, 1, &beat("g", "m", -1));
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    assert_eq!(commit(&mut broker, client, "g", ("t", 0), 5), 0);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, 5)]);
}

#[test]
fn what_a_full_disk_loses_is_read_again() {
    let (mut broker, client) = ready();
    call(&mut broker, client, 1, &join("g", "m"));
    broker.disk.is_full = true;
    // What was written ahead of the log still takes some.
    let mut taken = Vec::new();
    let mut refused = 0;
    for number in 0..3_000 {
        let id = format!("m{number}");
        let response = call(&mut broker, client, 1, &join("g", &id));
        match response.error_code {
            0 => taken.push(id),
            15 => refused += 1,
            14 => {} // It is being read.
            other => panic!("refused with {other}"),
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 3, "the disk was full");
    let described = describe(&mut broker, client, "g");
    assert_eq!(
        described.members.len(),
        1 + taken.len(),
        "who was told is in"
    );
    broker.disk.is_full = false;
    broker.advance_ms(1_000);
    let response = call(&mut broker, client, 1, &join("g", "last"));
    assert_eq!(response.error_code, 0);
    let described = describe(&mut broker, client, "g");
    assert_eq!(described.members.len(), 2 + taken.len());
}

#[test]
fn the_feature_says_that_the_protocol_is_there() {
    let (mut broker, client) = ready();
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
    };
    let response = call(&mut broker, client, 4, &request);
    let mut features = response.finalized_features.iter();
    let level = features.find(|feature| feature.name == "group.version");
    assert_eq!(level.map(|feature| feature.max_version_level), Some(1));
    for key in [68, 69] {
        let mut keys = response.api_keys.iter();
        let api = keys.find(|api| api.api_key == key).expect("offered");
        assert_eq!((api.min_version, api.max_version), (0, 1));
    }
}
