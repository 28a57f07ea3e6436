// SPDX-License-Identifier: Apache-2.0
//! Making and deleting topics.
//!
//! Owns: [`create`], [`delete`]. Invariants: Kafka's rules and error codes (`CreateTopics`,
//! `DeleteTopics`); each name of a request is answered once; a topic is made with all its
//! partitions and settings or not at all. Runs on: the control shard. Bounded by: `TOPICS_MAX`,
//! `PARTITIONS_PER_TOPIC_MAX`, `PARTITIONS_MAX`, `METADATA_BATCH_BYTES_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::configs;
use super::placement::Placement;
use super::record_list::RecordList;
use super::request::{CreatedTopic, DeletedTopic, NewTopic, Refusal, TopicSelector};
use super::state::MetadataState;
use super::topic_name::{self, METADATA_TOPIC};
use crate::config::layers::Settings;
use crate::config::server::BrokerDefaults;
use crate::limits::{PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::id_source::IdSource;
use crate::model::ids::{BrokerId, ShardId, TopicId};
use crate::wire::schema::record::{
    MetadataRecord, PartitionRecord, RemoveTopicRecord, TopicConfigRecord, TopicRecord,
};

type Outcome<T> = Result<T, Refusal>;

pub(super) fn refusal(code: ErrorCode, message: impl Into<ByteString>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
    }
}

/// Plans one request to make topics.
pub(super) fn create(
    state: &MetadataState,
    defaults: &BrokerDefaults,
    ids: &mut IdSource,
    topics: &[NewTopic],
    validate_only: bool,
    list: &mut RecordList,
) -> Vec<(ByteString, Outcome<CreatedTopic>)> {
    let mut creation = Creation {
        state,
        defaults,
        ids,
        placement: Placement::of(state.image()),
        new_keys: BTreeMap::new(),
        new_topics: 0,
        new_partitions: 0,
    };
    let mut times: BTreeMap<&ByteString, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let mut answers = Vec::with_capacity(times.len());
    for topic in topics {
        let outcome = match times.remove(&topic.name) {
            None => continue,
            Some(1) => creation.one(topic, validate_only, list),
            Some(_) => Err(refusal(
                ErrorCode::InvalidRequest,
                "The request names this topic more than once.",
            )),
        };
        answers.push((topic.name.clone(), outcome));
    }
    answers
}

/// What the topics planned so far in one request have taken.
struct Creation<'a> {
    state: &'a MetadataState,
    defaults: &'a BrokerDefaults,
    ids: &'a mut IdSource,
    placement: Placement,
    new_keys: BTreeMap<String, ByteString>,
    new_topics: usize,
    new_partitions: usize,
}

impl Creation<'_> {
    fn one(
        &mut self,
        topic: &NewTopic,
        validate_only: bool,
        list: &mut RecordList,
    ) -> Outcome<CreatedTopic> {
        self.check_name(&topic.name)?;
        let overrides = configs::new_overrides(self.state.layers(), &topic.configs)?;
        let before = self.placement.clone();
        let replicas = self
            .replicas(topic)
            .inspect_err(|_| self.placement = before.clone())?;
        let id = self.draw_id();
        let created = CreatedTopic {
            id: if validate_only { TopicId::ZERO } else { id },
            num_partitions: i32::try_from(replicas.len()).expect("bounded by a limit"),
            replication_factor: i16::try_from(replicas[0].len()).expect("bounded by brokers"),
        };
        let count = replicas.len();
        if !validate_only {
            let records = self.records(id, topic, replicas, overrides);
            if let Err(refusal) = list.allowance.take(count) {
                self.placement = before;
                return Err(refusal);
            }
            if let Err(error) = list.extend(records) {
                self.placement = before;
                return Err(refusal(ErrorCode::PolicyViolation, error.to_string()));
            }
        }
        self.new_topics += 1;
        self.new_partitions += count;
        if let Some(key) = topic_name::collision_key(&topic.name) {
            self.new_keys.insert(key, topic.name.clone());
        }
        Ok(created)
    }

    fn check_name(&self, name: &ByteString) -> Outcome<()> {
        if name == METADATA_TOPIC {
            let message = "The topic of the metadata itself cannot be made.";
            return Err(refusal(ErrorCode::InvalidRequest, message));
        }
        if let Err(sentence) = topic_name::check(name) {
            return Err(refusal(ErrorCode::InvalidTopicException, sentence));
        }
        if self.state.image().topics.contains_key(name) {
            let message = format!("The topic {name} exists.");
            return Err(refusal(ErrorCode::TopicAlreadyExists, message));
        }
        let planned = topic_name::collision_key(name).and_then(|key| self.new_keys.get(&key));
        if let Some(other) = self.state.colliding_topic(name).or(planned) {
            let message = format!(
                "The topic {name} collides with {other}: a dot and an underscore count as the same."
            );
            return Err(refusal(ErrorCode::InvalidTopicException, message));
        }
        if self.state.image().topics.len() + self.new_topics >= TOPICS_MAX {
            let message = format!("A cluster has at most {TOPICS_MAX} topics.");
            return Err(refusal(ErrorCode::PolicyViolation, message));
        }
        Ok(())
    }

    /// The replicas of each partition, leader first.
    fn replicas(&mut self, topic: &NewTopic) -> Outcome<Vec<Vec<BrokerId>>> {
        let replicas = match topic.assignments.is_empty() {
            true => self.chosen_replicas(topic)?,
            false => self.assigned_replicas(topic)?,
        };
        if self.state.partition_count() + self.new_partitions + replicas.len() > PARTITIONS_MAX {
            let message = format!("A cluster has at most {PARTITIONS_MAX} partitions.");
            return Err(refusal(ErrorCode::PolicyViolation, message));
        }
        Ok(replicas)
    }

    fn chosen_replicas(&mut self, topic: &NewTopic) -> Outcome<Vec<Vec<BrokerId>>> {
        let partitions = match topic.num_partitions {
            -1 => self.defaults.num_partitions,
            given => given,
        };
        let partitions = partition_count(i64::from(partitions))?;
        let factor = match topic.replication_factor {
            -1 => self.defaults.default_replication_factor,
            given => given,
        };
        let brokers = self.state.image().brokers.len();
        let Some(factor) = usize::try_from(factor).ok().filter(|factor| *factor > 0) else {
            let message = "The replication factor must be at least 1, or -1 for the default.";
            return Err(refusal(ErrorCode::InvalidReplicationFactor, message));
        };
        if factor > brokers {
            let message = format!(
                "The replication factor {factor} is larger than the number of brokers, {brokers}."
            );
            return Err(refusal(ErrorCode::InvalidReplicationFactor, message));
        }
        Ok((0..partitions)
            .map(|_| self.placement.choose_replicas(factor))
            .collect())
    }

    fn assigned_replicas(&mut self, topic: &NewTopic) -> Outcome<Vec<Vec<BrokerId>>> {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message =
                "With assignments the number of partitions and the replication factor must be -1.";
            return Err(refusal(ErrorCode::InvalidRequest, message));
        }
        partition_count(i64::try_from(topic.assignments.len()).unwrap_or(i64::MAX))?;
        let wrong = |message: String| Err(refusal(ErrorCode::InvalidReplicaAssignment, message));
        let assigned: BTreeMap<i32, &Vec<BrokerId>> = topic
            .assignments
            .iter()
            .map(|(index, replicas)| (*index, replicas))
            .collect();
        if assigned.len() < topic.assignments.len() {
            return wrong("A partition is assigned more than once.".to_owned());
        }
        let factor = topic.assignments[0].1.len();
        for (expected, (index, replicas)) in (0..).zip(&assigned) {
            let distinct: BTreeSet<&BrokerId> = replicas.iter().collect();
            if *index != expected {
                return wrong(format!(
                    "Partition {expected} is not assigned: they count from 0."
                ));
            }
            if replicas.is_empty() || distinct.len() != replicas.len() {
                return wrong(format!(
                    "Partition {index} needs replicas, none of them twice."
                ));
            }
            if replicas.len() != factor {
                return wrong("Every partition needs the same number of replicas.".to_owned());
            }
            let known = &self.state.image().brokers;
            if let Some(unknown) = replicas.iter().find(|broker| !known.contains_key(broker)) {
                return wrong(format!("There is no broker {}.", unknown.0));
            }
        }
        Ok(assigned.into_values().cloned().collect())
    }

    fn draw_id(&mut self) -> TopicId {
        loop {
            let id = self.ids.draw();
            if !self.state.image().topic_names.contains_key(&id) {
                return id;
            }
        }
    }

    fn records(
        &mut self,
        topic_id: TopicId,
        topic: &NewTopic,
        replicas: Vec<Vec<BrokerId>>,
        overrides: Settings,
    ) -> Vec<MetadataRecord> {
        let name = topic.name.clone();
        let mut records = vec![MetadataRecord::TopicRecord(TopicRecord { topic_id, name })];
        for (partition, replicas) in (0..).zip(replicas) {
            let shard = self.placement.choose_shard(replicas[0]);
            records.push(new_partition(topic_id, partition, replicas, shard));
        }
        for (name, value) in overrides {
            let value = Some(value);
            let record = TopicConfigRecord {
                topic_id,
                name,
                value,
            };
            records.push(MetadataRecord::TopicConfigRecord(record));
        }
        records
    }
}

fn partition_count(count: i64) -> Outcome<usize> {
    let allowed = usize::try_from(count).ok();
    allowed
        .filter(|count| (1..=PARTITIONS_PER_TOPIC_MAX).contains(count))
        .ok_or_else(|| {
            let message = format!(
                "A topic has from 1 to {PARTITIONS_PER_TOPIC_MAX} partitions, not {count}."
            );
            refusal(ErrorCode::InvalidPartitions, message)
        })
}

/// The record of a new partition, led by the first of its replicas.
pub(super) fn new_partition(
    topic_id: TopicId,
    partition: i32,
    replicas: Vec<BrokerId>,
    shard: ShardId,
) -> MetadataRecord {
    MetadataRecord::PartitionRecord(PartitionRecord {
        topic_id,
        partition,
        leader: replicas.first().copied(),
        leader_epoch: 0,
        partition_epoch: 0,
        isr: replicas.clone(),
        replicas,
        shard,
    })
}

/// Plans one request to delete topics.
pub(super) fn delete(
    state: &MetadataState,
    defaults: &BrokerDefaults,
    topics: &[TopicSelector],
    list: &mut RecordList,
) -> Vec<(TopicSelector, Outcome<DeletedTopic>)> {
    let mut times: BTreeMap<TopicId, usize> = BTreeMap::new();
    let found: Vec<Outcome<DeletedTopic>> = topics
        .iter()
        .map(|selector| find(state, selector))
        .collect();
    for topic in found.iter().flatten() {
        *times.entry(topic.id).or_default() += 1;
    }
    let one = |found: Outcome<DeletedTopic>| {
        let topic = found?;
        if !defaults.delete_topic_enable {
            let message = "Topics cannot be deleted: the setting delete.topic.enable is false.";
            return Err(refusal(ErrorCode::TopicDeletionDisabled, message));
        }
        if times.get(&topic.id) != Some(&1) {
            let message = "The request names this topic more than once.";
            return Err(refusal(ErrorCode::InvalidRequest, message));
        }
        let topic_id = topic.id;
        let partitions = state.image().topics.get(&topic.name);
        let partitions = partitions.map_or(0, |topic| topic.partitions.len());
        list.allowance.take(partitions)?;
        list.extend(vec![MetadataRecord::RemoveTopicRecord(RemoveTopicRecord {
            topic_id,
        })])
        .map_err(|error| refusal(ErrorCode::PolicyViolation, error.to_string()))?;
        Ok(topic)
    };
    let mut seen = BTreeSet::new();
    let answers = topics.iter().cloned().zip(found.into_iter().map(one));
    // Who is named twice is answered once.
    answers
        .filter(|(selector, _)| seen.insert(selector.clone()))
        .collect()
}

fn find(state: &MetadataState, selector: &TopicSelector) -> Outcome<DeletedTopic> {
    let image = state.image();
    match selector {
        TopicSelector::Name(name) => match image.topics.get(name) {
            Some(topic) => Ok(DeletedTopic {
                name: name.clone(),
                id: topic.id,
            }),
            None => Err(refusal(
                ErrorCode::UnknownTopicOrPartition,
                format!("There is no topic \"{}\".", name.escape_default()),
            )),
        },
        TopicSelector::Id(id) if id.is_zero() => Err(refusal(
            ErrorCode::InvalidRequest,
            "The request names a topic neither by name nor by id.",
        )),
        TopicSelector::Id(id) => match image.topic_names.get(id) {
            Some(name) => Ok(DeletedTopic {
                name: name.clone(),
                id: *id,
            }),
            None => Err(refusal(
                ErrorCode::UnknownTopicId,
                format!("There is no topic with the id {id}."),
            )),
        },
    }
}
