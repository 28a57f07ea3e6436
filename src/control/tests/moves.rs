// SPDX-License-Identifier: Apache-2.0
//! Partitions that get another data shard.

use super::*;
use crate::model::ids::ShardId;
use crate::model::image::PartitionImage;

fn shift(
    controller: &mut Controller,
    topic: &str,
    partition: i32,
    to: u16,
) -> Result<ShardId, Refusal> {
    let request = ControlRequest::MovePartition {
        topic: topic.into(),
        partition,
        to: ShardId(to),
    };
    match ask(controller, &request) {
        ControlAnswer::MovePartition(outcome) => outcome,
        other => panic!("another answer: {other:?}"),
    }
}

fn partition(controller: &Controller, topic: &str, index: usize) -> PartitionImage {
    controller.image().topics[topic].partitions[index].clone()
}

fn with_topic() -> Controller {
    let mut controller = started(&[]);
    let two = NewTopic {
        num_partitions: 2,
        ..topic("t")
    };
    assert_eq!(create(&mut controller, two), ErrorCode::None);
    controller
}

#[test]
fn a_move_changes_the_shard_and_neither_leader_nor_epoch() {
    let mut controller = with_topic();
    let before = partition(&controller, "t", 1);
    assert_eq!(before.shard, ShardId(1));
    assert_eq!(shift(&mut controller, "t", 1, 0), Ok(ShardId(1)));
    let expected = PartitionImage {
        shard: ShardId(0),
        partition_epoch: before.partition_epoch + 1,
        ..before
    };
    assert_eq!(partition(&controller, "t", 1), expected);
    let version = controller.state().version();
    assert_eq!(shift(&mut controller, "t", 1, 0), Ok(ShardId(0)));
    assert_eq!(controller.state().version(), version, "it is there already");
}

#[test]
fn a_move_survives_a_restart_until_the_number_of_shards_changes() {
    let mut controller = with_topic();
    assert_eq!(shift(&mut controller, "t", 1, 0), Ok(ShardId(1)));
    register(&mut controller, 2);
    assert_eq!(partition(&controller, "t", 1).shard, ShardId(0));
    register(&mut controller, 3);
    assert_eq!(partition(&controller, "t", 1).shard, ShardId(1));
    register(&mut controller, 1);
    assert_eq!(partition(&controller, "t", 1).shard, ShardId(0));
}

#[test]
fn a_move_that_makes_no_sense_is_refused() {
    let mut controller = with_topic();
    let version = controller.state().version();
    let cases = [
        ("nowhere", 0, 1, ErrorCode::UnknownTopicOrPartition),
        ("t", 2, 1, ErrorCode::UnknownTopicOrPartition),
        ("t", -1, 1, ErrorCode::UnknownTopicOrPartition),
        ("t", 0, 2, ErrorCode::InvalidRequest),
        ("t", 0, u16::MAX, ErrorCode::InvalidRequest),
    ];
    for (topic, partition, to, expected) in cases {
        let outcome = shift(&mut controller, topic, partition, to);
        assert_eq!(code(&outcome), expected, "{topic} {partition} {to}");
    }
    assert_eq!(controller.state().version(), version, "nothing was changed");
}
