// SPDX-License-Identifier: Apache-2.0
//! A broker starts: what becomes of it and of the partitions it leads.
//!
//! Owns: [`Registration`], [`records`]. Invariants: no process leads in a leader epoch older than
//! its own registration, so that a tail that an earlier process lost is never written again in the
//! same epoch; partitions keep their shard unless the number of shards changed, then all of them
//! are spread again.
//! Runs on: the control shard. Bounded by: `PARTITIONS_MAX`.

use bytestring::ByteString;

use super::placement::Placement;
use super::state::MetadataState;
use crate::model::ids::{BrokerId, ShardId, TopicId, Uuid};
use crate::model::image::PartitionImage;
use crate::wire::schema::record::{
    ClusterRecord, MetadataRecord, PartitionChangeRecord, RegisterBrokerRecord,
};

/// What a broker says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The cluster it belongs to.
    pub cluster_id: Uuid,
    /// Drawn at random by this start.
    pub incarnation_id: Uuid,
    /// Of its log directory.
    pub directory_id: Uuid,
    /// Advertised host.
    pub host: ByteString,
    /// Advertised port.
    pub port: u16,
    /// Rack, if it has one.
    pub rack: Option<ByteString>,
    /// Number of data shards it runs.
    pub shard_count: u16,
}

/// The records that register this broker.
pub(super) fn records(state: &MetadataState, registration: &Registration) -> Vec<MetadataRecord> {
    let node_id = state.node_id();
    let image = state.image();
    let mut records = Vec::new();
    if image.cluster_id.is_zero() {
        let cluster_id = registration.cluster_id;
        records.push(MetadataRecord::ClusterRecord(ClusterRecord { cluster_id }));
    }
    records.push(register(node_id, registration));
    let before = image.brokers.get(&node_id).map(|broker| broker.shard_count);
    let mut spread = (before != Some(registration.shard_count))
        .then(|| Placement::empty(node_id, registration.shard_count));
    for topic in image.topics.values() {
        for (index, partition) in (0..).zip(&topic.partitions) {
            if leads_next(partition, node_id) {
                let shard = match &mut spread {
                    Some(placement) => placement.choose_shard(node_id),
                    None => partition.shard,
                };
                records.push(next_epoch(topic.id, index, partition, node_id, shard));
            }
        }
    }
    records
}

/// True if this broker goes on leading a partition, or takes it over because nobody leads it.
fn leads_next(partition: &PartitionImage, node_id: BrokerId) -> bool {
    match partition.leader {
        Some(leader) => leader == node_id,
        None => partition.isr.contains(&node_id),
    }
}

fn register(node_id: BrokerId, registration: &Registration) -> MetadataRecord {
    MetadataRecord::RegisterBrokerRecord(RegisterBrokerRecord {
        broker_id: node_id,
        incarnation_id: registration.incarnation_id,
        directory_id: registration.directory_id,
        host: registration.host.clone(),
        port: registration.port,
        rack: registration.rack.clone(),
        shard_count: registration.shard_count,
        epoch: 0,
    })
}

fn next_epoch(
    topic_id: TopicId,
    partition: i32,
    now: &PartitionImage,
    leader: BrokerId,
    shard: ShardId,
) -> MetadataRecord {
    MetadataRecord::PartitionChangeRecord(PartitionChangeRecord {
        topic_id,
        partition,
        leader: Some(leader),
        leader_epoch: now.leader_epoch + 1,
        partition_epoch: now.partition_epoch + 1,
        isr: now.isr.clone(),
        shard,
    })
}
