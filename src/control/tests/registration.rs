// SPDX-License-Identifier: Apache-2.0
//! Rules of registration and placement, and what replay refuses.

use super::*;
use crate::control::state::ReplayFault;
use crate::model::ids::{ShardId, TopicPartition};
use crate::wire::schema::error::SchemaError;
use crate::wire::schema::record::{
    ClusterRecord, PartitionChangeRecord, RemoveTopicRecord, SnapshotFooterRecord, TopicRecord,
};

fn many(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        num_partitions: partitions,
        ..topic(name)
    }
}

#[test]
fn the_first_start_names_the_cluster_and_the_broker() {
    let controller = started(&[]);
    let image = controller.image();
    assert_eq!(image.cluster_id, Uuid([1; 16]));
    assert_eq!((image.controller_id, image.version), (NODE, 2));
    let broker = &image.brokers[&NODE];
    assert_eq!(
        (broker.epoch, broker.port, broker.shard_count),
        (1, 9092, 2)
    );
}

#[test]
fn each_start_registers_anew_and_bumps_every_leader_epoch() {
    let mut controller = started(&[]);
    create_all(&mut controller, vec![many("t", 3)]);
    let first = controller.image();
    register(&mut controller, 2);
    let second = controller.image();
    assert!(second.brokers[&NODE].epoch > first.brokers[&NODE].epoch);
    for (before, after) in first.topics["t"]
        .partitions
        .iter()
        .zip(&second.topics["t"].partitions)
    {
        assert_eq!(after.leader_epoch, before.leader_epoch + 1);
        assert_eq!(after.partition_epoch, before.partition_epoch + 1);
        assert_eq!((after.shard, &after.isr), (before.shard, &before.isr));
    }
}

#[test]
fn another_number_of_shards_spreads_all_partitions_again() {
    let mut controller = started(&[]);
    create_all(&mut controller, vec![many("t", 6), many("u", 3)]);
    register(&mut controller, 3);
    let counts = |controller: &Controller| {
        let mut counts = [0; 8];
        for topic in controller.image().topics.values() {
            for partition in &topic.partitions {
                counts[usize::from(partition.shard.0)] += 1;
            }
        }
        counts
    };
    assert_eq!(counts(&controller), [3, 3, 3, 0, 0, 0, 0, 0]);
    register(&mut controller, 1);
    assert_eq!(counts(&controller), [9, 0, 0, 0, 0, 0, 0, 0]);
    create_all(&mut controller, vec![many("v", 2)]);
    assert_eq!(counts(&controller)[0], 11);
}

#[test]
fn partitions_of_other_brokers_are_left_alone() {
    let mut controller = started(&[]);
    add_broker(&mut controller, 2);
    create_all(&mut controller, vec![many("t", 4)]);
    let leads = |controller: &Controller, broker: i32| {
        let image = controller.image();
        let all = image.topics["t"].partitions.iter();
        all.filter(|one| one.leader == Some(BrokerId(broker)))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(leads(&controller, 1).len(), 2);
    let before = leads(&controller, 2);
    register(&mut controller, 2);
    assert_eq!(leads(&controller, 2), before);
}

#[test]
fn a_partition_without_a_leader_is_taken_over_by_its_isr() {
    let mut controller = started(&[]);
    let outcomes = create_all(&mut controller, vec![topic("t")]);
    let topic_id = outcomes[0].1.as_ref().expect("made").id;
    let record = MetadataRecord::PartitionChangeRecord(PartitionChangeRecord {
        topic_id,
        partition: 0,
        leader: None,
        leader_epoch: 5,
        partition_epoch: 9,
        isr: vec![NODE],
        shard: ShardId(1),
    });
    let version = controller.state().version();
    controller
        .handle_committed(version, &record)
        .expect("replays");
    register(&mut controller, 2);
    let image = controller.image();
    let at = TopicPartition {
        topic_id,
        partition: 0,
    };
    let (_, partition) = image.partition(at).expect("there");
    assert_eq!((partition.leader, partition.leader_epoch), (Some(NODE), 6));
    assert_eq!(
        (partition.partition_epoch, partition.shard),
        (10, ShardId(1))
    );
}

#[test]
fn what_does_not_follow_is_refused() {
    let mut controller = started(&[]);
    let outcomes = create_all(&mut controller, vec![topic("t")]);
    let topic_id = outcomes[0].1.as_ref().expect("made").id;
    let none = Uuid([8; 16]);
    let change = |topic_id, partition| {
        MetadataRecord::PartitionChangeRecord(PartitionChangeRecord {
            topic_id,
            partition,
            leader: None,
            leader_epoch: 0,
            partition_epoch: 0,
            isr: Vec::new(),
            shard: ShardId(0),
        })
    };
    let before = controller.image();
    for (record, fault) in [
        (
            MetadataRecord::RemoveTopicRecord(RemoveTopicRecord { topic_id: none }),
            ReplayFault::NoTopic(none),
        ),
        (change(none, 0), ReplayFault::NoTopic(none)),
        (change(topic_id, 1), ReplayFault::NoPartition(topic_id, 1)),
        (change(topic_id, -1), ReplayFault::NoPartition(topic_id, -1)),
        (
            MetadataRecord::TopicRecord(TopicRecord {
                topic_id: none,
                name: "t".into(),
            }),
            ReplayFault::TopicExists(none),
        ),
        (
            MetadataRecord::ClusterRecord(ClusterRecord { cluster_id: none }),
            ReplayFault::OtherCluster(none),
        ),
        (
            MetadataRecord::SnapshotFooterRecord(SnapshotFooterRecord { record_count: 0 }),
            ReplayFault::OutOfPlace,
        ),
    ] {
        let version = controller.state().version();
        let error = controller
            .handle_committed(version, &record)
            .expect_err("does not follow");
        assert_eq!(error.fault, fault);
        assert!(error.to_string().ends_with('.'));
    }
    let version = controller.state().version();
    let error = controller
        .handle_committed_value(version, b"nonsense")
        .expect_err("no record");
    assert_eq!(error.fault, ReplayFault::Schema(SchemaError::NotARecord));
    assert_eq!(controller.image(), before);
}
