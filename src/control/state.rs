// SPDX-License-Identifier: Apache-2.0
//! The replayed metadata.
//!
//! Owns: [`MetadataState`], the only place where metadata changes, and only by
//! [`MetadataState::replay`].
//! Invariants: the same records give the same state; a record that does not fit what came before is
//! an error that names it, never a guess; the working copy is published as an image that nobody
//! changes afterwards (it is copied on the next change). Effective settings are computed from the
//! text of the records and this broker's own file; a value that this release no longer accepts
//! falls back to its default.
//! Runs on: the control shard. Bounded by: `TOPICS_MAX`, `PARTITIONS_MAX`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use super::quotas;
use super::topic_name::collision_key;
use crate::config::broker;
use crate::config::layers::{BrokerLayers, Settings};
use crate::config::topic;
use crate::model::ids::{BrokerId, Offset, TopicId, Uuid};
use crate::model::image::{BrokerImage, MetadataImage, PartitionImage, TopicImage};
use crate::model::topic_config::TopicConfig;
use crate::wire::schema::error::SchemaError;
use crate::wire::schema::record::{
    BrokerConfigRecord, ClientQuotaRecord, ClusterRecord, GroupConfigRecord, MetadataRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    TopicConfigRecord, TopicRecord,
};

/// The metadata as of one position in the metadata log.
#[derive(Clone, Debug)]
pub struct MetadataState {
    image: Arc<MetadataImage>,
    node_id: BrokerId,
    file: Settings,
    default_config: TopicConfig,
    next_producer_id: i64,
    partition_count: usize,
    collisions: BTreeMap<String, ByteString>,
}

/// Why a committed record cannot be replayed: the log is damaged or of a newer release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// Offset of the record.
    pub offset: Offset,
    /// What is wrong with it.
    pub fault: ReplayFault,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFault {
    /// Its bytes are no record.
    Schema(SchemaError),
    /// It names a topic that does not exist.
    NoTopic(TopicId),
    /// It names a partition that does not exist, or makes one out of turn.
    NoPartition(TopicId, i32),
    /// It makes a topic that exists.
    TopicExists(TopicId),
    /// It names another cluster.
    OtherCluster(Uuid),
    /// It belongs into a snapshot, not here.
    OutOfPlace,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The metadata record at offset {} cannot be replayed: ",
            self.offset
        )?;
        match self.fault {
            ReplayFault::Schema(error) => write!(f, "{error}."),
            ReplayFault::NoTopic(id) => write!(f, "there is no topic {id}."),
            ReplayFault::NoPartition(id, partition) => {
                write!(
                    f,
                    "partition {partition} of topic {id} does not follow the others."
                )
            }
            ReplayFault::TopicExists(id) => write!(f, "topic {id} exists."),
            ReplayFault::OtherCluster(id) => write!(f, "it belongs to the cluster {id}."),
            ReplayFault::OutOfPlace => f.write_str("it belongs to a snapshot."),
        }
    }
}

impl std::error::Error for ReplayError {}

impl MetadataState {
    /// No metadata, on the broker `node_id` with these settings of its file.
    #[must_use]
    pub fn empty(node_id: BrokerId, file: Settings) -> MetadataState {
        let mut image = MetadataImage::empty();
        image.controller_id = node_id;
        let (default_config, _) =
            topic::effective_or_default(BrokerLayers::of_file(&file), &Settings::new());
        MetadataState {
            image: Arc::new(image),
            node_id,
            file,
            default_config,
            next_producer_id: 0,
            partition_count: 0,
            collisions: BTreeMap::new(),
        }
    }

    /// The metadata; later changes do not touch what was handed out.
    #[must_use]
    pub fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// Offset after the last record that is contained.
    #[must_use]
    pub fn version(&self) -> Offset {
        self.image.version
    }

    /// First producer id that was not handed out.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Partitions of all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The topic whose name collides with this one, if there is one.
    pub(super) fn colliding_topic(&self, name: &str) -> Option<&ByteString> {
        self.collisions.get(&collision_key(name)?)
    }

    /// The places where this broker looks for its settings.
    #[must_use]
    pub fn layers(&self) -> BrokerLayers<'_> {
        BrokerLayers::new(&self.image.broker_configs, self.node_id, &self.file)
    }

    /// The settings of this broker's file.
    pub(super) fn file(&self) -> &Settings {
        &self.file
    }

    /// This broker.
    pub(super) fn node_id(&self) -> BrokerId {
        self.node_id
    }

    /// Replays one committed record.
    pub fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ReplayError> {
        assert!(
            offset >= self.version(),
            "a record is replayed once, in order"
        );
        self.apply(offset, record)
            .map_err(|fault| ReplayError { offset, fault })?;
        self.change().version = offset + 1;
        Ok(())
    }

    /// Replays one committed record from its bytes.
    pub fn replay_bytes(&mut self, offset: Offset, value: &[u8]) -> Result<(), ReplayError> {
        let decoded = MetadataRecord::decode(value);
        let record = decoded.map_err(|error| ReplayError {
            offset,
            fault: ReplayFault::Schema(error),
        })?;
        self.replay(offset, &record)
    }

    /// Takes the position that a snapshot stands for, once its records are replayed.
    pub(super) fn finish_snapshot(&mut self, end_offset: Offset) {
        self.change().version = end_offset;
    }

    fn change(&mut self) -> &mut MetadataImage {
        Arc::make_mut(&mut self.image)
    }

    fn apply(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ReplayFault> {
        match record {
            MetadataRecord::ClusterRecord(record) => self.cluster(record)?,
            MetadataRecord::RegisterBrokerRecord(record) => self.register(offset, record),
            MetadataRecord::UnregisterBrokerRecord(record) => {
                self.change().brokers.remove(&record.broker_id);
            }
            MetadataRecord::TopicRecord(record) => self.topic(record)?,
            MetadataRecord::RemoveTopicRecord(record) => self.remove_topic(record.topic_id)?,
            MetadataRecord::PartitionRecord(record) => self.partition(record)?,
            MetadataRecord::PartitionChangeRecord(record) => self.partition_change(record)?,
            MetadataRecord::TopicConfigRecord(record) => self.topic_config(record)?,
            MetadataRecord::BrokerConfigRecord(record) => self.broker_config(record),
            MetadataRecord::ProducerIdsRecord(record) => self.producer_ids(record),
            MetadataRecord::ClientQuotaRecord(record) => self.client_quota(record),
            MetadataRecord::GroupConfigRecord(record) => self.group_config(record),
            MetadataRecord::SnapshotHeaderRecord(_) | MetadataRecord::SnapshotFooterRecord(_) => {
                return Err(ReplayFault::OutOfPlace);
            }
        }
        Ok(())
    }

    fn cluster(&mut self, record: &ClusterRecord) -> Result<(), ReplayFault> {
        let known = self.image.cluster_id;
        if !known.is_zero() && known != record.cluster_id {
            return Err(ReplayFault::OtherCluster(record.cluster_id));
        }
        self.change().cluster_id = record.cluster_id;
        Ok(())
    }

    fn register(&mut self, offset: Offset, record: &RegisterBrokerRecord) {
        let broker = BrokerImage {
            id: record.broker_id,
            epoch: if record.epoch == 0 {
                offset
            } else {
                record.epoch
            },
            incarnation_id: record.incarnation_id,
            directory_id: record.directory_id,
            host: record.host.clone(),
            port: record.port,
            rack: record.rack.clone(),
            shard_count: record.shard_count,
        };
        self.change().brokers.insert(record.broker_id, broker);
    }

    fn topic(&mut self, record: &TopicRecord) -> Result<(), ReplayFault> {
        let (id, name) = (record.topic_id, record.name.clone());
        if self.image.topics.contains_key(&name) || self.image.topic_names.contains_key(&id) {
            return Err(ReplayFault::TopicExists(id));
        }
        if let Some(key) = collision_key(&name) {
            self.collisions.insert(key, name.clone());
        }
        let topic = TopicImage {
            id,
            name: name.clone(),
            partitions: Vec::new(),
            overrides: BTreeMap::new(),
            config: self.default_config.clone(),
        };
        let image = self.change();
        image.topic_names.insert(id, name.clone());
        image.topics.insert(name, Arc::new(topic));
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId) -> Result<(), ReplayFault> {
        let image = self.change();
        let name = image
            .topic_names
            .remove(&id)
            .ok_or(ReplayFault::NoTopic(id))?;
        let topic = image.topics.remove(&name).ok_or(ReplayFault::NoTopic(id))?;
        self.partition_count -= topic.partitions.len();
        if let Some(key) = collision_key(&name) {
            self.collisions.remove(&key);
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, ReplayFault> {
        let image = Arc::make_mut(&mut self.image);
        let name = image.topic_names.get(&id).ok_or(ReplayFault::NoTopic(id))?;
        let topic = image.topics.get_mut(name).ok_or(ReplayFault::NoTopic(id))?;
        Ok(Arc::make_mut(topic))
    }

    fn partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayFault> {
        let topic = self.topic_mut(record.topic_id)?;
        if usize::try_from(record.partition) != Ok(topic.partitions.len()) {
            return Err(ReplayFault::NoPartition(record.topic_id, record.partition));
        }
        topic.partitions.push(PartitionImage {
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            replicas: record.replicas.clone(),
            isr: record.isr.clone(),
            shard: record.shard,
        });
        self.partition_count += 1;
        Ok(())
    }

    fn partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayFault> {
        let fault = ReplayFault::NoPartition(record.topic_id, record.partition);
        let topic = self.topic_mut(record.topic_id)?;
        let index = usize::try_from(record.partition).map_err(|_| fault)?;
        let partition = topic.partitions.get_mut(index).ok_or(fault)?;
        partition.leader = record.leader;
        partition.leader_epoch = record.leader_epoch;
        partition.partition_epoch = record.partition_epoch;
        partition.isr.clone_from(&record.isr);
        partition.shard = record.shard;
        Ok(())
    }

    fn topic_config(&mut self, record: &TopicConfigRecord) -> Result<(), ReplayFault> {
        let topic = self.topic_mut(record.topic_id)?;
        set(&mut topic.overrides, &record.name, record.value.as_ref());
        let overrides = topic.overrides.clone();
        let (config, _) = topic::effective_or_default(self.layers(), &overrides);
        self.topic_mut(record.topic_id)?.config = config;
        Ok(())
    }

    fn broker_config(&mut self, record: &BrokerConfigRecord) {
        let configs = &mut self.change().broker_configs;
        let settings = configs.entry(record.broker_id).or_default();
        set(settings, &record.name, record.value.as_ref());
        if settings.is_empty() {
            configs.remove(&record.broker_id);
        }
        if broker::gives_topic_default(&record.name) {
            self.compute_topic_configs();
        }
    }

    /// Computes the effective settings of every topic anew, because a default changed.
    fn compute_topic_configs(&mut self) {
        let image = Arc::clone(&self.image);
        let layers = BrokerLayers::new(&image.broker_configs, self.node_id, &self.file);
        (self.default_config, _) = topic::effective_or_default(layers, &Settings::new());
        for topic in Arc::make_mut(&mut self.image).topics.values_mut() {
            let config = match topic.overrides.is_empty() {
                true => self.default_config.clone(),
                false => topic::effective_or_default(layers, &topic.overrides).0,
            };
            if topic.config != config {
                Arc::make_mut(topic).config = config;
            }
        }
    }

    fn client_quota(&mut self, record: &ClientQuotaRecord) {
        let quotas = Arc::make_mut(&mut self.change().quotas);
        quotas::replay(quotas, record);
    }

    fn group_config(&mut self, record: &GroupConfigRecord) {
        let configs = Arc::make_mut(&mut self.change().group_configs);
        let settings = configs.entry(record.group.clone()).or_default();
        set(settings, &record.name, record.value.as_ref());
        if settings.is_empty() {
            configs.remove(&record.group);
        }
    }

    fn producer_ids(&mut self, record: &ProducerIdsRecord) {
        self.next_producer_id = self.next_producer_id.max(record.next_producer_id);
    }
}

fn set(settings: &mut Settings, name: &ByteString, value: Option<&ByteString>) {
    match value {
        Some(value) => settings.insert(name.clone(), value.clone()),
        None => settings.remove(name),
    };
}
