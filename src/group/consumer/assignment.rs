// SPDX-License-Identifier: Apache-2.0
//! A set of partitions, by topic.
//!
//! Owns: [`Assignment`]. Invariants: no topic stands there without partitions, so equal sets are
//! equal values; every order is that of the keys. Runs on: the shard that coordinates. Bounded by:
//! `PARTITIONS_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use crate::model::ids::TopicId;
use crate::model::image::MetadataImage;
use crate::wire::consumer_protocol::{ConsumerAssignment, NamedPartitions};
use crate::wire::protocol::consumer_group_heartbeat::TopicPartitions;

/// Partitions by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    topics: BTreeMap<TopicId, BTreeSet<i32>>,
}

impl Assignment {
    /// Adds a partition. False if it was there.
    pub fn insert(&mut self, topic: TopicId, partition: i32) -> bool {
        self.topics.entry(topic).or_default().insert(partition)
    }

    /// Takes a partition out. False if it was not there.
    pub fn remove(&mut self, topic: TopicId, partition: i32) -> bool {
        let Some(partitions) = self.topics.get_mut(&topic) else {
            return false;
        };
        let was_there = partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(&topic);
        }
        was_there
    }

    /// True if the partition is in it.
    #[must_use]
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        let partitions = self.topics.get(&topic);
        partitions.is_some_and(|partitions| partitions.contains(&partition))
    }

    /// True if there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions are in it.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeSet::len).sum()
    }

    /// The partitions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> + '_ {
        let topics = self.topics.iter();
        topics.flat_map(|(topic, partitions)| partitions.iter().map(|one| (*topic, *one)))
    }

    /// The last partition of a topic.
    #[must_use]
    pub fn last_of(&self, topic: TopicId) -> Option<i32> {
        self.topics.get(&topic)?.last().copied()
    }

    /// The topics, in order.
    pub fn topic_ids(&self) -> impl Iterator<Item = TopicId> + '_ {
        self.topics.keys().copied()
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Assignment) -> Assignment {
        self.iter()
            .filter(|(topic, one)| other.contains(*topic, *one))
            .collect()
    }

    /// What is in this one alone.
    #[must_use]
    pub fn without(&self, other: &Assignment) -> Assignment {
        self.iter()
            .filter(|(topic, one)| !other.contains(*topic, *one))
            .collect()
    }

    /// True if something is in both.
    #[must_use]
    pub fn meets(&self, other: &Assignment) -> bool {
        self.iter().any(|(topic, one)| other.contains(topic, one))
    }

    /// True if all of it is in the other one, too.
    #[must_use]
    pub fn is_within(&self, other: &Assignment) -> bool {
        self.iter().all(|(topic, one)| other.contains(topic, one))
    }

    /// As requests, answers and records name it.
    #[must_use]
    pub fn to_wire(&self) -> Vec<TopicPartitions> {
        let topics = self
            .topics
            .iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic_id: *topic,
                partitions: partitions.iter().copied().collect(),
            });
        topics.collect()
    }

    /// From what they name.
    #[must_use]
    pub fn of_wire(topics: &[TopicPartitions]) -> Assignment {
        let topics = topics.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(|one| (topic.topic_id, *one)))
            .collect()
    }

    /// From what a member of the classic protocol names; topics that are gone are left out.
    #[must_use]
    pub fn of_named(topics: &[NamedPartitions], image: &MetadataImage) -> Assignment {
        let known = topics.iter().filter_map(|topic| {
            let image = image.topics.get(&topic.topic)?;
            Some((image.id, &topic.partitions))
        });
        known
            .flat_map(|(id, partitions)| partitions.iter().map(move |one| (id, *one)))
            .collect()
    }

    /// As a member of the classic protocol is told it; topics that are gone are left out.
    #[must_use]
    pub fn to_named(&self, image: &MetadataImage) -> ConsumerAssignment {
        let topics = self.topics.iter().filter_map(|(id, partitions)| {
            Some(NamedPartitions {
                topic: image.topic_names.get(id).cloned()?,
                partitions: partitions.iter().copied().collect(),
            })
        });
        ConsumerAssignment {
            assigned_partitions: topics.collect(),
            user_data: None,
        }
    }

    /// The topics with their names, as far as they have one, and their partitions.
    pub fn named<'a>(
        &'a self,
        image: &'a MetadataImage,
    ) -> impl Iterator<Item = (TopicId, ByteString, Vec<i32>)> + 'a {
        self.topics.iter().filter_map(|(id, partitions)| {
            let name = image.topic_names.get(id).cloned()?;
            Some((*id, name, partitions.iter().copied().collect()))
        })
    }
}

impl FromIterator<(TopicId, i32)> for Assignment {
    fn from_iter<T: IntoIterator<Item = (TopicId, i32)>>(partitions: T) -> Assignment {
        let mut all = Assignment::default();
        for (topic, partition) in partitions {
            all.insert(topic, partition);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Uuid;

    fn set(partitions: &[(u8, i32)]) -> Assignment {
        let partitions = partitions.iter();
        partitions
            .map(|(topic, one)| (Uuid([*topic; 16]), *one))
            .collect()
    }

    #[test]
    fn sets_are_joined_cut_and_compared() {
        let (a, b) = (set(&[(1, 0), (1, 1), (2, 0)]), set(&[(1, 1), (3, 0)]));
        assert_eq!(a.and(&b), set(&[(1, 1)]));
        assert_eq!(a.without(&b), set(&[(1, 0), (2, 0)]));
        assert!(a.meets(&b) && !set(&[(1, 0)]).meets(&b));
        assert!(set(&[(1, 1)]).is_within(&a) && !b.is_within(&a));
        assert_eq!((a.len(), Assignment::default().len()), (3, 0));
        assert_eq!(Assignment::of_wire(&a.to_wire()), a);
    }

    #[test]
    fn a_topic_without_partitions_leaves_nothing_behind() {
        let mut a = set(&[(1, 0)]);
        assert!(a.remove(Uuid([1; 16]), 0));
        assert!(!a.remove(Uuid([1; 16]), 0) && !a.remove(Uuid([2; 16]), 0));
        assert_eq!(a, Assignment::default());
        assert!(a.is_empty() && a.to_wire().is_empty());
    }
}
