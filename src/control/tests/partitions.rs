// SPDX-License-Identifier: Apache-2.0
//! Rules of CreatePartitions.

use super::*;
use crate::control::request::MorePartitions;
use crate::limits::PARTITIONS_PER_TOPIC_MAX;

fn more(name: &str, count: i32) -> MorePartitions {
    MorePartitions {
        name: name.into(),
        count,
        assignments: None,
    }
}

fn assigned(count: i32, assignments: &[&[i32]]) -> MorePartitions {
    let brokers = |ids: &&[i32]| ids.iter().copied().map(BrokerId).collect();
    MorePartitions {
        assignments: Some(assignments.iter().map(brokers).collect()),
        ..more("t", count)
    }
}

fn add_all(controller: &mut Controller, topics: Vec<MorePartitions>) -> Vec<ErrorCode> {
    let request = ControlRequest::CreatePartitions {
        topics,
        validate_only: false,
    };
    match ask(controller, &request) {
        ControlAnswer::CreatePartitions(outcomes) => outcomes
            .into_iter()
            .map(|(_, outcome)| {
                outcome
                    .err()
                    .map_or(ErrorCode::None, |refusal| refusal.code)
            })
            .collect(),
        other => panic!("another answer: {other:?}"),
    }
}

fn count(controller: &Controller) -> usize {
    controller.image().topics["t"].partitions.len()
}

fn with_topic() -> Controller {
    let mut controller = started(&[]);
    assert_eq!(create(&mut controller, topic("t")), ErrorCode::None);
    controller
}

#[test]
fn new_partitions_follow_the_old_ones_and_are_spread_over_the_shards() {
    let mut controller = with_topic();
    let before = controller.image().topics["t"].partitions[0].clone();
    assert_eq!(
        add_all(&mut controller, vec![more("t", 4)]),
        [ErrorCode::None]
    );
    let image = controller.image();
    let partitions = &image.topics["t"].partitions;
    assert_eq!(partitions[0], before, "the old one stays as it is");
    let shards: Vec<u16> = partitions.iter().map(|one| one.shard.0).collect();
    assert_eq!(shards, [0, 1, 0, 1]);
    for partition in &partitions[1..] {
        assert_eq!((partition.leader, partition.leader_epoch), (Some(NODE), 0));
        assert_eq!(partition.replicas, [NODE]);
    }
    assert_eq!(controller.state().partition_count(), 4);
}

#[test]
fn partitions_only_become_more() {
    let mut controller = with_topic();
    add_all(&mut controller, vec![more("t", 3)]);
    let too_many = i32::try_from(PARTITIONS_PER_TOPIC_MAX).expect("small") + 1;
    for wanted in [3, 2, 0, -1, i32::MIN, too_many, i32::MAX] {
        let codes = add_all(&mut controller, vec![more("t", wanted)]);
        assert_eq!(codes, [ErrorCode::InvalidPartitions], "{wanted}");
    }
    assert_eq!(count(&controller), 3);
}

#[test]
fn an_unknown_topic_and_one_named_twice_are_refused_and_others_grow() {
    let mut controller = with_topic();
    create(&mut controller, topic("u"));
    let topics = vec![more("no", 5), more("u", 2), more("t", 2), more("u", 3)];
    let codes = add_all(&mut controller, topics);
    let expected = [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::InvalidRequest,
        ErrorCode::None,
    ];
    assert_eq!(codes, expected);
    assert_eq!(controller.image().topics["u"].partitions.len(), 1);
}

#[test]
fn an_assignment_names_known_brokers_once_and_as_many_as_the_others_have() {
    let mut controller = with_topic();
    add_broker(&mut controller, 2);
    let wrong: [&[&[i32]]; 6] = [
        &[],
        &[&[1]],
        &[&[1], &[]],
        &[&[1], &[9]],
        &[&[1], &[1, 1]],
        &[&[1], &[1, 2]],
    ];
    for assignments in wrong {
        let codes = add_all(&mut controller, vec![assigned(3, assignments)]);
        assert_eq!(
            codes,
            [ErrorCode::InvalidReplicaAssignment],
            "{assignments:?}"
        );
    }
    assert_eq!(count(&controller), 1);
    let codes = add_all(&mut controller, vec![assigned(3, &[&[2], &[1]])]);
    assert_eq!(codes, [ErrorCode::None]);
    assert_eq!(
        controller.image().topics["t"].partitions[1].leader,
        Some(BrokerId(2))
    );
}

#[test]
fn a_check_alone_adds_nothing() {
    let mut controller = with_topic();
    let request = ControlRequest::CreatePartitions {
        topics: vec![more("t", 4), more("no", 2)],
        validate_only: true,
    };
    let plan = controller.handle_request(&request);
    assert!(plan.values.is_empty());
    let ControlAnswer::CreatePartitions(outcomes) = plan.answer else {
        panic!("another answer");
    };
    let fine: Vec<bool> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.is_ok())
        .collect();
    assert_eq!(fine, [true, false]);
}
