// SPDX-License-Identifier: Apache-2.0
//! The published metadata: what every shard knows of brokers, topics and configurations.
//!
//! Owns: [`MetadataImage`], immutable once published. Invariants: made only by replaying committed
//! metadata records; `version` rises with each publication; every iteration order is a key order.
//! Runs on: made on the control shard, read on every core through an `Arc`. Bounded by:
//! `TOPICS_MAX`, `PARTITIONS_MAX`, `GROUP_CONFIGS_MAX`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::ids::{BrokerId, LeaderEpoch, ShardId, TopicId, TopicPartition, Uuid};
use super::quota::ClientQuotas;
use super::topic_config::TopicConfig;

/// Settings of single groups, in text form, by the group's name.
pub type GroupConfigs = BTreeMap<ByteString, BTreeMap<ByteString, ByteString>>;

/// All metadata as of one position in the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataImage {
    /// Offset after the last metadata record that is contained.
    pub version: i64,
    /// The cluster's id.
    pub cluster_id: Uuid,
    /// The broker that acts as controller.
    pub controller_id: BrokerId,
    /// Registered brokers.
    pub brokers: BTreeMap<BrokerId, BrokerImage>,
    /// Topics by name.
    pub topics: BTreeMap<ByteString, Arc<TopicImage>>,
    /// Names by topic id.
    pub topic_names: BTreeMap<TopicId, ByteString>,
    /// Dynamic broker settings: the outer key is the broker, `None` the cluster-wide default.
    pub broker_configs: BTreeMap<Option<BrokerId>, BTreeMap<ByteString, ByteString>>,
    /// Settings of single groups, by the group's name; the same ones as long as none changes.
    pub group_configs: Arc<GroupConfigs>,
    /// Quotas of clients; the same one as long as none changes.
    pub quotas: Arc<ClientQuotas>,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Node id.
    pub id: BrokerId,
    /// Epoch of this registration: offset of its record in the metadata log (rises with every
    /// start).
    pub epoch: i64,
    /// Drawn at random by each start of the process.
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

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Topic id; a topic made again under the same name has another one.
    pub id: TopicId,
    /// Name.
    pub name: ByteString,
    /// Partitions by index, without gaps.
    pub partitions: Vec<PartitionImage>,
    /// What was set on the topic, in text form.
    pub overrides: BTreeMap<ByteString, ByteString>,
    /// The effective settings.
    pub config: TopicConfig,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// Leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Leader epoch: rises with every election and with every start of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of this partition's metadata.
    pub partition_epoch: i32,
    /// Assigned replicas, preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The data shard of the leader that owns it.
    pub shard: ShardId,
}

impl MetadataImage {
    /// The image before any record.
    #[must_use]
    pub fn empty() -> MetadataImage {
        MetadataImage {
            version: 0,
            cluster_id: Uuid::ZERO,
            controller_id: BrokerId(-1),
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            topic_names: BTreeMap::new(),
            broker_configs: BTreeMap::new(),
            group_configs: Arc::default(),
            quotas: Arc::default(),
        }
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_names.get(&id)?)
    }

    /// A partition with its topic.
    #[must_use]
    pub fn partition(&self, at: TopicPartition) -> Option<(&Arc<TopicImage>, &PartitionImage)> {
        let topic = self.topic_by_id(at.topic_id)?;
        let index = usize::try_from(at.partition).ok()?;
        Some((topic, topic.partitions.get(index)?))
    }
}
