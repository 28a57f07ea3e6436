// SPDX-License-Identifier: Apache-2.0
//! What the published metadata says of one partition, narrowed to what its replica needs.
//!
//! Owns: [`PartitionSpec`]. Invariants: made from one image, so its parts agree. Runs on: the shard
//! that owns the partition. Bounded by: the replication factor.

use crate::log::LogConfig;
use crate::model::ids::{BrokerId, LeaderEpoch, TopicPartition};
use crate::model::image::{MetadataImage, PartitionImage, TopicImage};
use crate::replication::leader::ReplicaSet;

/// One replica of one partition as the metadata wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Which partition.
    pub at: TopicPartition,
    /// Its directory, relative to the data directory.
    pub directory: Box<str>,
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// Leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who is in sync, and how many have to be.
    pub replicas: ReplicaSet,
    /// Settings of the log.
    pub config: LogConfig,
}

impl PartitionSpec {
    /// From the image of a topic and one of its partitions.
    #[must_use]
    pub fn new(topic: &TopicImage, index: i32, partition: &PartitionImage) -> PartitionSpec {
        let replication_factor = partition.replicas.len();
        // More than all replicas cannot be in sync, so all of them are enough (KIP-966).
        let enough = u32::try_from(replication_factor).unwrap_or(u32::MAX);
        PartitionSpec {
            at: TopicPartition {
                topic_id: topic.id,
                partition: index,
            },
            directory: format!("{}-{index}", topic.name).into(),
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: ReplicaSet {
                isr: partition.isr.clone(),
                replication_factor,
                min_insync_replicas: topic.config.min_insync_replicas.min(enough),
            },
            config: LogConfig::from(&topic.config),
        }
    }

    /// The spec of a partition in an image, if the image has it.
    #[must_use]
    pub fn find(image: &MetadataImage, at: TopicPartition) -> Option<PartitionSpec> {
        let (topic, partition) = image.partition(at)?;
        Some(PartitionSpec::new(topic, at.partition, partition))
    }
}
