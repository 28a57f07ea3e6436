// SPDX-License-Identifier: Apache-2.0
//! Groups and the leadership of their partition: loaded after a restart and in a new leader epoch,
//! given up when the partition is led elsewhere.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::sync::Arc;

use furlong::group::{OFFSETS_TOPIC, partition_of};
use furlong::model::ids::BrokerId;
use furlong::shard::contract::{Event, ProcessEffect};
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::JoinGroupRequest;
use furlong::wire::protocol::list_groups::ListGroupsRequest;
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;

use crate::broker::Hold;
use crate::client::{call, frame, next};
use crate::groups::{
    GROUPS, SHARDS, commit, commit_request, join_request, offsets, ready, shard_of, stable,
};

#[test]
fn groups_and_offsets_survive_a_restart() {
    let (mut broker, client) = ready();
    let (id, generation) = stable(&mut broker, client, "g");
    for group in GROUPS {
        commit(&mut broker, client, group, ("t", 0), 5);
    }
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.restart();
    let client = broker.connect(1);
    assert_eq!(offsets(&mut broker, client, &GROUPS, ("t", 0)), [(0, 5); 3]);
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: id.as_str().into(),
        group_instance_id: None,
    };
    assert_eq!(call(&mut broker, client, 4, &heartbeat).error_code, 0);
    let notices = broker.process.iter();
    let notices: Vec<&(usize, ProcessEffect)> = notices
        .filter(|(_, effect)| matches!(effect, ProcessEffect::Notice { .. }))
        .collect();
    assert!(notices.is_empty(), "{notices:?}");
}

#[test]
fn while_groups_are_loaded_clients_are_told_to_wait() {
    let (mut broker, client) = ready();
    commit(&mut broker, client, "g", ("t", 0), 5);
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.hold = Hold::Everything;
    broker.restart();
    let client = broker.connect(0);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(14, -2)]);
    let list = call(&mut broker, client, 5, &ListGroupsRequest::default());
    assert_eq!(
        (list.error_code, list.groups.len()),
        (0, 0),
        "none is known to be here"
    );
    broker.release();
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, 5)]);
}

#[test]
fn a_new_leader_epoch_loads_the_groups_again() {
    let (mut broker, client) = ready();
    let (id, _) = stable(&mut broker, client, "g");
    broker.send(client, frame(9, 9, &join_request("g", &id)));
    let (_, again) = next::<JoinGroupRequest>(&mut broker, client, 9).expect("alone");
    assert_eq!(again.error_code, 0);
    broker.publish(|image| {
        let topic = image.topics.get_mut(OFFSETS_TOPIC).expect("there");
        for partition in &mut Arc::make_mut(topic).partitions {
            partition.leader_epoch += 1;
        }
    });
    broker.settle();
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: id.as_str().into(),
        group_instance_id: None,
    };
    let code = call(&mut broker, client, 4, &heartbeat).error_code;
    assert_eq!(code, 0, "the generation that is in the log");
}

#[test]
fn groups_of_a_partition_that_is_led_elsewhere_are_sent_away() {
    let (mut broker, client) = ready();
    let (id, _) = stable(&mut broker, client, "g");
    let other = broker.connect(2);
    let new = call(&mut broker, other, 9, &join_request("g", "")).member_id;
    broker.send(other, frame(3, 9, &join_request("g", &new)));
    broker.publish(|image| {
        let topic = image.topics.get_mut(OFFSETS_TOPIC).expect("there");
        for partition in &mut Arc::make_mut(topic).partitions {
            partition.leader = Some(BrokerId(8));
            partition.leader_epoch += 1;
        }
    });
    broker.settle();
    let (_, told) = next::<JoinGroupRequest>(&mut broker, other, 9).expect("told");
    assert_eq!(told.error_code, 16);
    let refused = call(&mut broker, client, 9, &join_request("g", &id));
    assert_eq!(refused.error_code, 16);
    assert!(
        broker
            .shards
            .iter()
            .all(|shard| shard.group_counts() == (0, 0, 0))
    );
}

#[test]
fn a_full_disk_refuses_commits_and_takes_them_again_later() {
    let (mut broker, client) = ready();
    assert_eq!(commit(&mut broker, client, "g", ("t", 0), 5), 0);
    broker.disk.is_full = true;
    // What was written ahead of the log still takes some.
    let mut acknowledged = 5;
    let codes: Vec<i16> = (6..3_000)
        .map(|offset| {
            let code = commit(&mut broker, client, "g", ("t", 0), offset);
            if code == 0 {
                acknowledged = offset;
            }
            code
        })
        .collect();
    assert_eq!(codes.last(), Some(&15), "not now");
    let told = offsets(&mut broker, client, &["g"], ("t", 0));
    assert_eq!(told, [(0, acknowledged)]);
    broker.disk.is_full = false;
    broker.advance_ms(60_000);
    assert_eq!(commit(&mut broker, client, "g", ("t", 0), 9_000), 0);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, 9_000)]);
}

#[test]
fn deleting_a_topic_takes_its_offsets_away() {
    let (mut broker, client) = ready();
    commit(&mut broker, client, "g", ("t", 0), 5);
    broker.publish(|image| {
        let topic = image.topics.remove("t").expect("there");
        image.topic_names.remove(&topic.id);
    });
    broker.settle();
    broker.add_topic("t", 2, &[]);
    assert_eq!(offsets(&mut broker, client, &["g"], ("t", 0)), [(0, -1)]);
}

/// The partition that keeps the group of these tests.
fn kept_in() -> usize {
    usize::try_from(partition_of("g", 50)).expect("positive")
}

/// A heartbeat of a member.
fn heartbeat(id: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: id.into(),
        group_instance_id: None,
    }
}

/// A commit of a member.
fn commit_of(id: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        generation_id_or_member_epoch: generation,
        member_id: id.into(),
        ..commit_request("g", ("t", 0), offset)
    }
}

#[test]
fn a_group_lives_on_when_its_partition_moves_to_another_shard() {
    let (mut broker, client) = ready();
    let (id, generation) = stable(&mut broker, client, "g");
    let home = shard_of("g");
    for (offset, step) in (1..).zip([1, 2, 3, 1, 1]) {
        let to = (home + step) % usize::from(SHARDS);
        let before = commit_of(&id, generation, offset);
        let before = call(&mut broker, client, 9, &before);
        assert_eq!(before.topics[0].partitions[0].error_code, 0);
        broker.shift(OFFSETS_TOPIC, kept_in(), u16::try_from(to).expect("few"));
        assert_eq!(broker.shards[to].group_counts().2, 1, "it is here");
        let groups: usize = broker.shards.iter().map(|one| one.group_counts().2).sum();
        assert_eq!(groups, 1, "and nowhere else");
        let alive = call(&mut broker, client, 4, &heartbeat(&id, generation));
        assert_eq!(alive.error_code, 0);
        let told = offsets(&mut broker, client, &["g"], ("t", 0));
        assert_eq!(told, [(0, offset)]);
    }
    // Its session has begun anew, and ends like any other.
    broker.advance_ms(9_999);
    let alive = call(&mut broker, client, 4, &heartbeat(&id, generation));
    assert_eq!(alive.error_code, 0);
    broker.advance_ms(10_001);
    let gone = call(&mut broker, client, 4, &heartbeat(&id, generation));
    assert_eq!(gone.error_code, 25);
}

#[test]
fn whoever_waits_for_a_group_that_moves_is_told_to_ask_again() {
    let (mut broker, client) = ready();
    let (id, generation) = stable(&mut broker, client, "g");
    let other = broker.connect(2);
    let new = call(&mut broker, other, 9, &join_request("g", "")).member_id;
    broker.send(other, frame(3, 9, &join_request("g", &new)));
    let to = (shard_of("g") + 1) % usize::from(SHARDS);
    broker.shift(OFFSETS_TOPIC, kept_in(), u16::try_from(to).expect("few"));
    let (_, told) = next::<JoinGroupRequest>(&mut broker, other, 9).expect("told");
    assert_eq!(told.error_code, 16);
    // The rebalance that it had begun is forgotten; the generation that was told is not.
    let alive = call(&mut broker, client, 4, &heartbeat(&id, generation));
    assert_eq!(alive.error_code, 0);
    let new = call(&mut broker, other, 9, &join_request("g", "")).member_id;
    broker.send(other, frame(4, 9, &join_request("g", &new)));
    let rejoin = call(&mut broker, client, 9, &join_request("g", &id));
    assert_eq!(
        (rejoin.error_code, rejoin.generation_id),
        (0, generation + 1)
    );
    let (_, joined) = next::<JoinGroupRequest>(&mut broker, other, 9).expect("both are there");
    assert_eq!(
        (joined.error_code, joined.generation_id),
        (0, generation + 1)
    );
}

#[test]
fn a_commit_that_is_under_way_when_its_partition_moves_counts_if_it_is_acknowledged() {
    let (mut broker, client) = ready();
    let (id, generation) = stable(&mut broker, client, "g");
    let first = call(&mut broker, client, 9, &commit_of(&id, generation, 1));
    assert_eq!(first.topics[0].partitions[0].error_code, 0);
    broker.hold = Hold::Everything;
    broker.send(client, frame(5, 9, &commit_of(&id, generation, 2)));
    let to = (shard_of("g") + 1) % usize::from(SHARDS);
    broker.shift(OFFSETS_TOPIC, kept_in(), u16::try_from(to).expect("few"));
    broker.release();
    let (_, answer) = next::<OffsetCommitRequest>(&mut broker, client, 9).expect("answered");
    let code = answer.topics[0].partitions[0].error_code;
    let told = offsets(&mut broker, client, &["g"], ("t", 0));
    match code {
        0 => assert_eq!(told, [(0, 2)]),
        // It was in the log when its coordinator was given up, and the log was moved whole.
        16 => assert!(told == [(0, 1)] || told == [(0, 2)], "{told:?}"),
        other => panic!("error {other}"),
    }
}
