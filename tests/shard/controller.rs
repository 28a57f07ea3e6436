// SPDX-License-Identifier: Apache-2.0
//! A controller for tests: makes images as a test says, answers requests once all shards have
//! applied the image.
//!
//! Owns: the metadata of one broker. Invariants: the answer to a change leaves after the image that
//! makes it true was applied everywhere. Runs on: the test's thread. Bounded by: the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use furlong::config::layers::{BrokerLayers, Settings};
use furlong::config::topic;
use furlong::control::request::{
    ControlAnswer, ControlRequest, CreatedTopic, DeletedTopic, MorePartitions, MutationAsker,
    NewTopic, Refusal, TopicSelector,
};
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::{BrokerId, ShardId, TopicId, Uuid};
use furlong::model::image::{BrokerImage, MetadataImage, PartitionImage, TopicImage};
use furlong::shard::mesh_message::MeshMessage;

/// The only broker.
pub const NODE: BrokerId = BrokerId(7);

/// Metadata and who waits for it.
pub struct Controller {
    pub image: MetadataImage,
    shard_count: u16,
    applied: BTreeMap<ShardId, i64>,
    /// Version that has to be applied first, then who gets which answer.
    waiting: Vec<(i64, ShardId, u64, ControlAnswer)>,
    next_topic: u8,
    next_producer: i64,
    /// Requests that came.
    pub requests: usize,
    /// Who asked for changes that are counted.
    pub askers: Vec<MutationAsker>,
    /// Changes of topics that were there.
    changes: usize,
}

impl Controller {
    pub fn new(shard_count: u16) -> Controller {
        let mut image = MetadataImage::empty();
        image.version = 1;
        image.cluster_id = Uuid([9; 16]);
        image.controller_id = NODE;
        let broker = BrokerImage {
            id: NODE,
            epoch: 1,
            incarnation_id: Uuid([1; 16]),
            directory_id: Uuid([2; 16]),
            host: "localhost".into(),
            port: 9092,
            rack: None,
            shard_count,
        };
        image.brokers.insert(NODE, broker);
        Controller {
            image,
            shard_count,
            applied: BTreeMap::new(),
            waiting: Vec::new(),
            next_topic: 1,
            next_producer: 1000,
            requests: 0,
            askers: Vec::new(),
            changes: 0,
        }
    }

    /// Changes the metadata and gives the message for every shard.
    pub fn publish(&mut self, change: impl FnOnce(&mut MetadataImage)) -> Arc<MetadataImage> {
        change(&mut self.image);
        self.image.version += 1;
        Arc::new(self.image.clone())
    }

    /// Adds a topic whose partitions are spread over the shards, the first on shard 0.
    pub fn add_topic(&mut self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicId {
        let id = Uuid([self.next_topic; 16]);
        self.next_topic += 1;
        let overrides: Settings = settings
            .iter()
            .map(|(name, value)| (ByteString::from(*name), ByteString::from(*value)))
            .collect();
        let file = Settings::new();
        let config = topic::effective(BrokerLayers::of_file(&file), &overrides).expect("settings");
        let partitions = (0..partitions).map(|index| PartitionImage {
            leader: Some(NODE),
            leader_epoch: 3,
            partition_epoch: 0,
            replicas: vec![NODE],
            isr: vec![NODE],
            shard: ShardId(u16::try_from(index).expect("few") % self.shard_count),
        });
        let topic = TopicImage {
            id,
            name: name.into(),
            partitions: partitions.collect(),
            overrides,
            config,
        };
        self.image.topics.insert(name.into(), Arc::new(topic));
        self.image.topic_names.insert(id, name.into());
        id
    }

    /// Takes a message of a shard; gives messages for one shard or (`None`) for all.
    pub fn handle(&mut self, from: ShardId, message: MeshMessage) -> Vec<(Option<ShardId>, Reply)> {
        match message {
            MeshMessage::ControlRequest { request, body } => {
                self.requests += 1;
                let before = (self.image.topics.len(), self.changes);
                let answer = self.answer(body);
                if (self.image.topics.len(), self.changes) == before {
                    return vec![(Some(from), Reply::Answer(request, answer))];
                }
                let image = self.publish(|_| {});
                self.waiting.push((image.version, from, request, answer));
                vec![(None, Reply::Image(image))]
            }
            MeshMessage::ImageApplied { version } => {
                self.applied.insert(from, version);
                self.due_answers()
            }
            // Who has limits to test counts them itself.
            MeshMessage::Arrived { .. } | MeshMessage::Left { .. } => Vec::new(),
            other => panic!("the controller got {other:?}"),
        }
    }

    /// True once every shard has applied the newest image.
    pub fn is_applied(&self) -> bool {
        let shards = usize::from(self.shard_count);
        self.applied.len() == shards && self.applied.values().all(|v| *v == self.image.version)
    }

    fn due_answers(&mut self) -> Vec<(Option<ShardId>, Reply)> {
        let applied = self.applied.values().min().copied().unwrap_or(0);
        let waiting = std::mem::take(&mut self.waiting);
        let (due, rest) = waiting.into_iter().partition(|one| one.0 <= applied);
        self.waiting = rest;
        let due: Vec<(i64, ShardId, u64, ControlAnswer)> = due;
        due.into_iter()
            .map(|(_, to, request, answer)| (Some(to), Reply::Answer(request, answer)))
            .collect()
    }

    fn answer(&mut self, body: ControlRequest) -> ControlAnswer {
        match body {
            ControlRequest::CreateTopics {
                topics,
                validate_only,
            } => {
                let topics = topics.into_iter();
                ControlAnswer::CreateTopics(
                    topics.map(|new| self.create(new, validate_only)).collect(),
                )
            }
            ControlRequest::DeleteTopics { topics } => {
                let topics = topics.into_iter();
                ControlAnswer::DeleteTopics(topics.map(|which| self.delete(which)).collect())
            }
            ControlRequest::AlterConfigs { resources, .. } => {
                let resources = resources.into_iter();
                ControlAnswer::AlterConfigs(resources.map(|one| (one.resource, Ok(()))).collect())
            }
            ControlRequest::CreatePartitions { topics, .. } => {
                let topics = topics.into_iter();
                ControlAnswer::CreatePartitions(topics.map(|more| self.add(more)).collect())
            }
            ControlRequest::AlterQuotas { entities, .. } => {
                ControlAnswer::AlterQuotas(entities.iter().map(|_| Ok(())).collect())
            }
            // Nobody counts here: what would be made to wait waits a moment.
            ControlRequest::Metered { asker, request } => {
                let answer = Box::new(self.answer(*request));
                self.askers.push(asker);
                ControlAnswer::Throttled { ms: 250, answer }
            }
            ControlRequest::DescribeQuorum => ControlAnswer::Quorum {
                leader_epoch: 4,
                high_watermark: 20,
            },
            ControlRequest::MovePartition { .. } => ControlAnswer::Unavailable,
            ControlRequest::AllocateProducerIds => {
                let first = self.next_producer;
                self.next_producer += 3;
                ControlAnswer::ProducerIds { first, count: 3 }
            }
        }
    }

    fn create(
        &mut self,
        new: NewTopic,
        validate_only: bool,
    ) -> (ByteString, Result<CreatedTopic, Refusal>) {
        let name = new.name;
        if self.image.topics.contains_key(&name) {
            let refusal = refusal(ErrorCode::TopicAlreadyExists);
            return (name, Err(refusal));
        }
        let num_partitions = if new.num_partitions < 0 {
            2
        } else {
            new.num_partitions
        };
        let id = if validate_only {
            Uuid::ZERO
        } else {
            let settings: Vec<(&str, &str)> = new
                .configs
                .iter()
                .filter_map(|(name, value)| Some((&**name, value.as_deref()?)))
                .collect();
            self.add_topic(&name, num_partitions, &settings)
        };
        let created = CreatedTopic {
            id,
            num_partitions,
            replication_factor: 1,
        };
        (name, Ok(created))
    }

    fn add(&mut self, more: MorePartitions) -> (ByteString, Result<(), Refusal>) {
        let shard_count = self.shard_count;
        let Some(topic) = self.image.topics.get_mut(&more.name) else {
            return (more.name, Err(refusal(ErrorCode::UnknownTopicOrPartition)));
        };
        let partitions = &mut Arc::make_mut(topic).partitions;
        let new = PartitionImage {
            leader_epoch: 0,
            ..partitions[0].clone()
        };
        let count = usize::try_from(more.count).expect("a test knows how many");
        for index in partitions.len()..count {
            let shard = ShardId(u16::try_from(index).expect("few") % shard_count);
            partitions.push(PartitionImage {
                shard,
                ..new.clone()
            });
        }
        self.changes += 1;
        (more.name, Ok(()))
    }

    fn delete(&mut self, which: TopicSelector) -> (TopicSelector, Result<DeletedTopic, Refusal>) {
        let name = match &which {
            TopicSelector::Name(name) => Some(name.clone()),
            TopicSelector::Id(id) => self.image.topic_names.get(id).cloned(),
        };
        let topic = name.and_then(|name| self.image.topics.remove(&name));
        let Some(topic) = topic else {
            return (which, Err(refusal(ErrorCode::UnknownTopicOrPartition)));
        };
        self.image.topic_names.remove(&topic.id);
        let deleted = DeletedTopic {
            name: topic.name.clone(),
            id: topic.id,
        };
        (which, Ok(deleted))
    }
}

/// What the controller says.
pub enum Reply {
    Image(Arc<MetadataImage>),
    Answer(u64, ControlAnswer),
}

impl Reply {
    pub fn message(&self) -> MeshMessage {
        match self {
            Reply::Image(image) => MeshMessage::Image(Arc::clone(image)),
            Reply::Answer(request, answer) => MeshMessage::ControlAnswer {
                request: *request,
                body: answer.clone(),
            },
        }
    }
}

fn refusal(code: ErrorCode) -> Refusal {
    Refusal {
        code,
        message: "refused by the test".into(),
    }
}
