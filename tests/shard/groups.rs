// SPDX-License-Identifier: Apache-2.0
//! Groups over the shards of one broker: found, kept on the shard that leads their partition,
//! described and deleted.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::group::{OFFSETS_TOPIC, partition_of};
use furlong::model::ids::ConnectionId;
use furlong::wire::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use furlong::wire::protocol::delete_groups::DeleteGroupsRequest;
use furlong::wire::protocol::describe_groups::DescribeGroupsRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use furlong::wire::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use furlong::wire::protocol::list_groups::ListGroupsRequest;
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use furlong::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use furlong::wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use furlong::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use furlong::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, frame, next, produce};

pub const SHARDS: u16 = 3;

/// A broker with a topic of two partitions, and a client that has found its coordinator.
pub fn ready() -> (Broker, ConnectionId) {
    ready_with(&[])
}

/// Likewise, with these settings of the server.
pub fn ready_with(settings: &[(&'static str, &'static str)]) -> (Broker, ConnectionId) {
    let mut broker = Broker::with_settings(SHARDS, settings);
    broker.add_topic("t", 2, &[]);
    let client = broker.connect(0);
    let found = find(&mut broker, client, 4, &["g"]);
    assert_eq!(found, [(0, 7, "localhost".to_owned(), 9092)]);
    (broker, client)
}

fn find(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    keys: &[&str],
) -> Vec<(i16, i32, String, i32)> {
    let request = FindCoordinatorRequest {
        coordinator_keys: keys.iter().map(|key| (*key).into()).collect(),
        ..FindCoordinatorRequest::default()
    };
    let response = call(broker, client, version, &request);
    let found = response.coordinators.into_iter();
    found
        .map(|one| (one.error_code, one.node_id, one.host.to_string(), one.port))
        .collect()
}

pub fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"m"),
        }],
        ..JoinGroupRequest::default()
    }
}

/// A member alone in its group, stable.
pub fn stable(broker: &mut Broker, client: ConnectionId, group: &str) -> (String, i32) {
    let id = call(broker, client, 9, &join_request(group, "")).member_id;
    broker.send(client, frame(1, 9, &join_request(group, &id)));
    assert!(
        next::<JoinGroupRequest>(broker, client, 9).is_none(),
        "the group waits for others"
    );
    broker.advance_ms(3_000);
    let (_, joined) = next::<JoinGroupRequest>(broker, client, 9).expect("nobody else came");
    assert_eq!((joined.error_code, joined.leader), (0, id.clone()));
    let sync = SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: id.clone(),
            assignment: Bytes::from_static(b"all"),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = call(broker, client, 5, &sync);
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"all"[..])
    );
    (id.to_string(), joined.generation_id)
}

pub fn commit_request(group: &str, at: (&str, i32), offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: at.0.into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: at.1,
                committed_offset: offset,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

pub fn commit(
    broker: &mut Broker,
    client: ConnectionId,
    group: &str,
    at: (&str, i32),
    offset: i64,
) -> i16 {
    let response = call(broker, client, 9, &commit_request(group, at, offset));
    response.topics[0].partitions[0].error_code
}

/// The offsets of a partition in several groups: code of the group, offset.
pub fn offsets(
    broker: &mut Broker,
    client: ConnectionId,
    groups: &[&str],
    at: (&str, i32),
) -> Vec<(i16, i64)> {
    let groups = groups.iter().map(|group| OffsetFetchRequestGroup {
        group_id: (*group).into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: at.0.into(),
            partition_indexes: vec![at.1],
            ..OffsetFetchRequestTopics::default()
        }]),
        ..OffsetFetchRequestGroup::default()
    });
    let request = OffsetFetchRequest {
        groups: groups.collect(),
        ..OffsetFetchRequest::default()
    };
    let response = call(broker, client, 8, &request);
    let groups = response.groups.iter();
    groups
        .map(|group| {
            let partition = group.topics.first().map(|topic| &topic.partitions[0]);
            let offset = partition.map_or(-2, |partition| partition.committed_offset);
            (group.error_code, offset)
        })
        .collect()
}

/// The shard of a group.
pub fn shard_of(group: &str) -> usize {
    usize::try_from(partition_of(group, 50)).expect("positive") % usize::from(SHARDS)
}

/// Groups on each of the shards.
pub const GROUPS: [&str; 3] = ["a", "b", "c"];

#[test]
fn the_topic_of_groups_is_made_when_a_coordinator_is_first_looked_for() {
    let (mut broker, client) = ready();
    let topic = &broker.controller.image.topics[OFFSETS_TOPIC];
    assert_eq!(topic.partitions.len(), 50);
    assert!(topic.config.cleanup_policy.compact && !topic.config.cleanup_policy.delete);
    assert_eq!(broker.controller.requests, 1);
    let keys = ["x", "y"];
    assert_eq!(find(&mut broker, client, 6, &keys).len(), 2);
    assert_eq!(broker.controller.requests, 1, "it is there");
    let old = FindCoordinatorRequest {
        key: "g".into(),
        ..FindCoordinatorRequest::default()
    };
    for version in 0..=3 {
        let found = call(&mut broker, client, version, &old);
        assert_eq!((found.error_code, found.node_id, found.port), (0, 7, 9092));
        let message = found.error_message.as_deref();
        assert!(version == 0 || message == Some("NONE"), "v{version}");
    }
    let counts = broker.shards.iter().map(|shard| shard.group_counts());
    let counts: Vec<(usize, usize, usize)> = counts.collect();
    assert_eq!(counts, [(17, 0, 0), (17, 0, 0), (16, 0, 0)]);
}

#[test]
fn the_topic_of_groups_is_internal_and_no_client_writes_to_it() {
    let (mut broker, client) = ready();
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(OFFSETS_TOPIC.into()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let response = call(&mut broker, client, 9, &request);
    assert!(response.topics[0].is_internal);
    let refused = produce(&mut broker, client, OFFSETS_TOPIC, 0, batch(&["x"]));
    assert_eq!(refused.error_code, 17);
}

#[test]
fn the_topic_of_groups_keeps_its_number_of_partitions() {
    let (mut broker, client) = ready();
    commit(&mut broker, client, "g", ("t", 0), 5);
    let more = |name: &str, count| CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: None,
    };
    let mut request = CreatePartitionsRequest {
        topics: vec![more(OFFSETS_TOPIC, 60)],
        ..CreatePartitionsRequest::default()
    };
    for version in 0..=3 {
        let response = call(&mut broker, client, version, &request);
        let [result] = &response.results[..] else {
            panic!("one topic, one answer");
        };
        assert_eq!(result.error_code, 37, "INVALID_PARTITIONS");
        let sentence = result.error_message.as_deref().unwrap_or_default();
        assert!(sentence.contains(OFFSETS_TOPIC), "{sentence}");
    }
    // What is asked for beside it is done.
    request.topics.push(more("t", 3));
    let response = call(&mut broker, client, 3, &request);
    let results = response.results.iter();
    let mut results: Vec<(&str, i16)> = results
        .map(|result| (&*result.name, result.error_code))
        .collect();
    results.sort_unstable();
    assert_eq!(results, [(OFFSETS_TOPIC, 37), ("t", 0)]);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, 5)]);
}

#[test]
fn a_group_works_from_any_shard() {
    let shards: Vec<usize> = GROUPS.iter().map(|group| shard_of(group)).collect();
    assert!((0..3).all(|shard| shards.contains(&shard)), "{shards:?}");
    let (mut broker, client) = ready();
    for group in GROUPS {
        let (id, generation) = stable(&mut broker, client, group);
        let heartbeat = HeartbeatRequest {
            group_id: group.into(),
            generation_id: generation,
            member_id: id.as_str().into(),
            group_instance_id: None,
        };
        for shard in 0..usize::from(SHARDS) {
            let other = broker.connect(shard);
            assert_eq!(call(&mut broker, other, 4, &heartbeat).error_code, 0);
        }
    }
    for shard in &broker.shards {
        assert_eq!(shard.group_counts().2, 1);
        assert_eq!(shard.waiting_count(), (0, 0), "nothing is left behind");
    }
}

#[test]
fn two_members_wait_for_each_other_on_two_shards() {
    let (mut broker, first) = ready();
    let second = broker.connect(1);
    let (id, _) = stable(&mut broker, first, "g");
    let new = call(&mut broker, second, 9, &join_request("g", "")).member_id;
    broker.send(second, frame(2, 9, &join_request("g", &new)));
    assert!(next::<JoinGroupRequest>(&mut broker, second, 9).is_none());
    let own: JoinGroupResponse = call(&mut broker, first, 9, &join_request("g", &id));
    let (_, other) = next::<JoinGroupRequest>(&mut broker, second, 9).expect("both have joined");
    assert_eq!((own.generation_id, other.generation_id), (2, 2));
    assert_eq!((own.members.len(), other.members.len()), (2, 0));
}

#[test]
fn a_member_that_is_silent_is_out_when_its_session_ends() {
    let (mut broker, client) = ready();
    let (id, generation) = stable(&mut broker, client, "g");
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: id.as_str().into(),
        group_instance_id: None,
    };
    broker.advance_ms(9_999);
    assert_eq!(call(&mut broker, client, 4, &heartbeat).error_code, 0);
    broker.advance_ms(10_000);
    assert_eq!(call(&mut broker, client, 4, &heartbeat).error_code, 25);
}

#[test]
fn an_offset_is_acknowledged_once_it_is_flushed() {
    let (mut broker, client) = ready();
    broker.hold = Hold::Flushes;
    broker.send(client, frame(1, 9, &commit_request("g", ("t", 0), 7)));
    assert!(next::<OffsetCommitRequest>(&mut broker, client, 9).is_none());
    let other = broker.connect(1);
    assert_eq!(offsets(&mut broker, other, &["g"], ("t", 0)), [(0, -1)]);
    broker.release();
    let (_, response) = next::<OffsetCommitRequest>(&mut broker, client, 9).expect("flushed");
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    assert_eq!(offsets(&mut broker, other, &["g"], ("t", 0)), [(0, 7)]);
}

#[test]
fn what_does_not_exist_is_refused_by_itself_and_the_rest_is_committed() {
    let (mut broker, client) = ready();
    let mut request = commit_request("g", ("t", 0), 7);
    let mut other = request.topics[0].partitions[0].clone();
    other.partition_index = 2;
    request.topics[0].partitions.insert(0, other);
    let missing = commit_request("g", ("missing", 0), 7);
    request.topics.insert(0, missing.topics[0].clone());
    let response = call(&mut broker, client, 9, &request);
    let codes: Vec<(String, i32, i16)> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|one| (topic.name.to_string(), one.partition_index, one.error_code))
        })
        .collect();
    let expected = [("missing", 0, 3), ("t", 2, 3), ("t", 0, 0)];
    let expected = expected.map(|(topic, index, code)| (topic.to_owned(), index, code));
    assert_eq!(codes, expected);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, 7)]);
}

#[test]
fn since_version_10_topics_are_named_by_id() {
    let (mut broker, client) = ready();
    let id = broker.controller.image.topics["t"].id;
    let mut request = commit_request("g", ("", 1), 9);
    request.topics[0].topic_id = id;
    let mut unknown = request.topics[0].clone();
    unknown.topic_id = furlong::model::ids::Uuid([0xee; 16]);
    request.topics.push(unknown.clone());
    let response = call(&mut broker, client, 10, &request);
    let codes = response
        .topics
        .iter()
        .map(|topic| topic.partitions[0].error_code);
    assert_eq!(codes.collect::<Vec<i16>>(), [0, 100]);
    let topics = [id, unknown.topic_id].map(|topic_id| OffsetFetchRequestTopics {
        topic_id,
        partition_indexes: vec![1],
        ..OffsetFetchRequestTopics::default()
    });
    for topics in [Some(topics.to_vec()), None] {
        let is_named = topics.is_some();
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".into(),
                topics,
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let response = call(&mut broker, client, 10, &request);
        let topics = &response.groups[0].topics;
        let told = (topics[0].topic_id, topics[0].partitions[0].committed_offset);
        assert_eq!(told, (id, 9));
        assert_eq!(topics.len(), 1 + usize::from(is_named));
        if is_named {
            assert_eq!(topics[1].partitions[0].error_code, 100);
        }
    }
}

#[test]
fn several_groups_are_asked_at_once_and_one_that_never_was_is_no_error() {
    let (mut broker, client) = ready();
    for (offset, group) in (1..).zip(GROUPS) {
        assert_eq!(commit(&mut broker, client, group, ("t", 1), offset), 0);
    }
    let all = offsets(&mut broker, client, &["a", "never", "b", "c"], ("t", 1));
    assert_eq!(all, [(0, 1), (0, -1), (0, 2), (0, 3)]);
    for version in 1..=7 {
        for (group, expected) in [("a", 1), ("never", -1)] {
            let request = OffsetFetchRequest {
                group_id: group.into(),
                topics: Some(vec![OffsetFetchRequestTopic {
                    name: "t".into(),
                    partition_indexes: vec![1],
                }]),
                ..OffsetFetchRequest::default()
            };
            let response = call(&mut broker, client, version, &request);
            let partition = &response.topics[0].partitions[0];
            assert_eq!(
                (partition.error_code, partition.committed_offset),
                (0, expected)
            );
            assert_eq!(response.error_code, 0);
        }
    }
}

#[test]
fn groups_are_listed_described_and_deleted_over_all_shards() {
    let (mut broker, client) = ready();
    for group in GROUPS {
        commit(&mut broker, client, group, ("t", 0), 1);
    }
    stable(&mut broker, client, "d");
    let list = |broker: &mut Broker, states: &[&str], types: &[&str]| -> Vec<String> {
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|state| (*state).into()).collect(),
            types_filter: types.iter().map(|kind| (*kind).into()).collect(),
        };
        let response = call(broker, client, 5, &request);
        assert_eq!(response.error_code, 0);
        assert!(
            response
                .groups
                .iter()
                .all(|group| group.group_type == "classic")
        );
        response
            .groups
            .iter()
            .map(|group| group.group_id.to_string())
            .collect()
    };
    assert_eq!(list(&mut broker, &[], &[]), ["a", "b", "c", "d"]);
    assert_eq!(list(&mut broker, &["Stable"], &["Classic"]), ["d"]);
    assert_eq!(list(&mut broker, &[], &["consumer"]), [""; 0]);
    let request = DescribeGroupsRequest {
        groups: ["d", "never", "a"].map(|group| group.into()).into(),
        include_authorized_operations: true,
    };
    let described = call(&mut broker, client, 6, &request).groups;
    let told: Vec<(i16, &str)> = described
        .iter()
        .map(|group| (group.error_code, &*group.group_state))
        .collect();
    assert_eq!(told, [(0, "Stable"), (69, "Dead"), (0, "Empty")]);
    assert_eq!(described[0].members[0].client_id, "test");
    assert_eq!(described[0].members[0].client_host, "/10.0.0.1");
    assert!(described[0].authorized_operations > 0);
    let described = call(&mut broker, client, 5, &request).groups;
    assert_eq!(described[1].error_code, 0, "no error before version 6");
    let delete = DeleteGroupsRequest {
        groups_names: ["d", "never", "a", "a"].map(|group| group.into()).into(),
    };
    let results = call(&mut broker, client, 2, &delete).results;
    let codes: Vec<(&str, i16)> = results
        .iter()
        .map(|one| (&*one.group_id, one.error_code))
        .collect();
    assert_eq!(codes, [("d", 68), ("never", 69), ("a", 0)]);
    assert_eq!(list(&mut broker, &[], &[]), ["b", "c", "d"]);
}

#[test]
fn offsets_are_forgotten_and_unknown_partitions_refused() {
    let (mut broker, client) = ready();
    commit(&mut broker, client, "g", ("t", 0), 1);
    let partitions =
        [0, 1, 2].map(|partition_index| OffsetDeleteRequestPartition { partition_index });
    let mut request = OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "t".into(),
            partitions: partitions.into(),
        }],
    };
    let response = call(&mut broker, client, 0, &request);
    let partitions = response.topics[0].partitions.iter();
    let codes: Vec<i16> = partitions.map(|one| one.error_code).collect();
    assert_eq!((response.error_code, codes), (0, vec![0, 0, 3]));
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, -1)]);
    request.group_id = "never".into();
    assert_eq!(call(&mut broker, client, 0, &request).error_code, 69);
}

#[test]
fn members_leave_in_every_version() {
    for version in 0..=5 {
        let (mut broker, client) = ready();
        let (id, _) = stable(&mut broker, client, "g");
        for (member, expected) in [("stranger", 25), (id.as_str(), 0)] {
            let mut request = LeaveGroupRequest {
                group_id: "g".into(),
                ..LeaveGroupRequest::default()
            };
            if version < 3 {
                request.member_id = member.into();
            } else {
                request.members.push(MemberIdentity {
                    member_id: member.into(),
                    ..MemberIdentity::default()
                });
            }
            let response = call(&mut broker, client, version, &request);
            let code = match version {
                ..3 => response.error_code,
                _ => response.members[0].error_code,
            };
            assert_eq!(code, expected, "v{version}");
        }
    }
}
