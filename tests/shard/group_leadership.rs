// SPDX-License-Identifier: Apache-2.0
//! Groups and the leadership of their partition: loaded after a restart and in a new leader epoch,
//! given up when the partition is led elsewhere.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::sync::Arc;

use furlong::group::OFFSETS_TOPIC;
use furlong::model::ids::BrokerId;
use furlong::shard::contract::{Event, ProcessEffect};
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::JoinGroupRequest;
use furlong::wire::protocol::list_groups::ListGroupsRequest;

use crate::broker::Hold;
use crate::client::{call, frame, next};
use crate::groups::{GROUPS, SHARDS, commit, join_request, offsets, ready, stable};

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
