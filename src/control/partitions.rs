// SPDX-License-Identifier: Apache-2.0
//! Adding partitions to topics.
//!
//! Owns: [`add`]. Invariants: Kafka's rules and error codes (`CreatePartitions`); a topic gets all
//! of its new partitions or none; new ones have as many replicas as the first. Runs on: the control
//! shard. Bounded by: `PARTITIONS_PER_TOPIC_MAX`, `PARTITIONS_MAX`, `METADATA_BATCH_BYTES_MAX`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytestring::ByteString;

use super::placement::Placement;
use super::record_list::RecordList;
use super::request::{MorePartitions, Refusal};
use super::state::MetadataState;
use super::topics::{new_partition, refusal};
use crate::limits::{PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;
use crate::model::image::TopicImage;

type Outcome<T> = Result<T, Refusal>;

/// Plans one request to add partitions. Each name is answered once.
pub(super) fn add(
    state: &MetadataState,
    topics: &[MorePartitions],
    validate_only: bool,
    list: &mut RecordList,
) -> Vec<(ByteString, Outcome<()>)> {
    let mut times: BTreeMap<&ByteString, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let mut addition = Addition {
        state,
        placement: Placement::of(state.image()),
        added: 0,
    };
    let mut answers = Vec::with_capacity(times.len());
    for topic in topics {
        let outcome = match times.remove(&topic.name) {
            None => continue,
            Some(1) => addition.one(topic, validate_only, list),
            Some(_) => Err(refusal(
                ErrorCode::InvalidRequest,
                "The request names this topic more than once.",
            )),
        };
        answers.push((topic.name.clone(), outcome));
    }
    answers
}

struct Addition<'a> {
    state: &'a MetadataState,
    placement: Placement,
    added: usize,
}

impl Addition<'_> {
    fn one(
        &mut self,
        wanted: &MorePartitions,
        validate_only: bool,
        list: &mut RecordList,
    ) -> Outcome<()> {
        let Some(topic) = self.state.image().topics.get(&wanted.name) else {
            let message = format!("There is no topic \"{}\".", wanted.name.escape_default());
            return Err(refusal(ErrorCode::UnknownTopicOrPartition, message));
        };
        let more = self.count(topic, wanted.count)?;
        let before = self.placement.clone();
        let replicas = self.replicas(topic, wanted, more)?;
        if !validate_only {
            let first = topic.partitions.len();
            let indexes = (0..).skip(first);
            let records = indexes.zip(replicas).map(|(index, replicas)| {
                let shard = self.placement.choose_shard(replicas[0]);
                new_partition(topic.id, index, replicas, shard)
            });
            let records = records.collect();
            if let Err(refusal) = list.allowance.take(more) {
                self.placement = before;
                return Err(refusal);
            }
            if let Err(error) = list.extend(records) {
                self.placement = before;
                return Err(refusal(ErrorCode::PolicyViolation, error.to_string()));
            }
        }
        self.added += more;
        Ok(())
    }

    /// How many partitions are to be added.
    fn count(&self, topic: &TopicImage, wanted: i32) -> Outcome<usize> {
        let now = topic.partitions.len();
        let invalid = |message: String| Err(refusal(ErrorCode::InvalidPartitions, message));
        let count = usize::try_from(wanted).unwrap_or(0);
        if count == now {
            return invalid(format!(
                "The topic {} has {now} partitions already.",
                topic.name
            ));
        }
        if count < now {
            return invalid(format!(
                "The topic {} has {now} partitions; {wanted} would not be more.",
                topic.name
            ));
        }
        if count > PARTITIONS_PER_TOPIC_MAX {
            return invalid(format!(
                "A topic has at most {PARTITIONS_PER_TOPIC_MAX} partitions, not {wanted}."
            ));
        }
        if self.state.partition_count() + self.added + (count - now) > PARTITIONS_MAX {
            return invalid(format!(
                "A cluster has at most {PARTITIONS_MAX} partitions."
            ));
        }
        Ok(count - now)
    }

    /// The replicas of each new partition, leader first.
    fn replicas(
        &mut self,
        topic: &Arc<TopicImage>,
        wanted: &MorePartitions,
        more: usize,
    ) -> Outcome<Vec<Vec<BrokerId>>> {
        let factor = topic.partitions[0].replicas.len();
        let Some(assignments) = &wanted.assignments else {
            let brokers = self.state.image().brokers.len();
            if factor > brokers {
                let message = format!(
                    "A partition of {} needs {factor} brokers, and there are {brokers}.",
                    topic.name
                );
                return Err(refusal(ErrorCode::InvalidReplicationFactor, message));
            }
            let chosen = (0..more).map(|_| self.placement.choose_replicas(factor));
            return Ok(chosen.collect());
        };
        if assignments.len() != more {
            let message = format!(
                "{more} partitions are to be added, and {} are assigned.",
                assignments.len()
            );
            return Err(refusal(ErrorCode::InvalidReplicaAssignment, message));
        }
        for replicas in assignments {
            self.check_assignment(replicas, factor)?;
        }
        Ok(assignments.clone())
    }

    fn check_assignment(&self, replicas: &[BrokerId], factor: usize) -> Outcome<()> {
        let wrong = |message: String| Err(refusal(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return wrong("A partition is assigned to no broker.".to_owned());
        }
        let known = &self.state.image().brokers;
        if let Some(unknown) = replicas.iter().find(|broker| !known.contains_key(broker)) {
            return wrong(format!("There is no broker {}.", unknown.0));
        }
        let distinct: BTreeSet<&BrokerId> = replicas.iter().collect();
        if distinct.len() != replicas.len() {
            return wrong("A partition is assigned to one broker more than once.".to_owned());
        }
        if replicas.len() != factor {
            return wrong(format!(
                "A partition is assigned to {} brokers, and the others have {factor} replicas.",
                replicas.len()
            ));
        }
        Ok(())
    }
}
