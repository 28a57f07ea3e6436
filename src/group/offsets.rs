// SPDX-License-Identifier: Apache-2.0
//! The offsets that one group has committed.
//!
//! Owns: [`OffsetTable`], [`Committed`]. Invariants: what is told is committed in the log; an
//! offset whose record is under way, or whose transaction is open (`proposals`), is known by its
//! partition alone, so that a deletion meanwhile removes it too; of two offsets the one counts that
//! comes later in the log. Runs on: the shard that coordinates. Bounded by: `PARTITIONS_MAX` for
//! each group and open transaction, since only partitions that exist are taken.

mod proposals;

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use proposals::Proposals;

use crate::wire::offsets_topic::OffsetCommitValue;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: ByteString,
    /// Milliseconds since 1970.
    pub(super) commit_ms: i64,
    /// Milliseconds since 1970, if it expires at a time of its own.
    pub(super) expire_ms: Option<i64>,
    /// Its place among the records of the log.
    pub(super) order: u64,
}

impl Committed {
    /// From its record.
    pub(super) fn of(value: OffsetCommitValue, order: u64) -> Committed {
        Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_ms: value.commit_timestamp,
            expire_ms: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
            order,
        }
    }

    /// Its record.
    pub(super) fn value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            commit_timestamp: self.commit_ms,
            expire_timestamp: self.expire_ms.unwrap_or(-1),
            ..OffsetCommitValue::default()
        }
    }

    /// True if it is too old; its age counts from `base_ms`, or from its commit.
    fn has_expired(&self, now_ms: i64, base_ms: Option<i64>, retention_ms: i64) -> bool {
        match self.expire_ms {
            Some(at) => now_ms >= at,
            None => now_ms.saturating_sub(base_ms.unwrap_or(self.commit_ms)) >= retention_ms,
        }
    }
}

/// One partition.
#[derive(Debug, Default)]
struct Entry {
    committed: Option<Committed>,
    /// Records that are under way.
    pending: usize,
    /// Those of them that are part of a transaction.
    proposing: usize,
    /// Open transactions that may commit an offset.
    open: usize,
}

impl Entry {
    /// True if nothing is known of the partition.
    fn is_blank(&self) -> bool {
        self.committed.is_none() && self.pending == 0 && self.open == 0
    }
}

/// The offsets of one group, by topic and partition.
#[derive(Debug, Default)]
pub(super) struct OffsetTable {
    topics: BTreeMap<ByteString, BTreeMap<i32, Entry>>,
    proposals: Proposals,
}

/// How the age of offsets is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age<'a> {
    pub(super) now_ms: i64,
    pub(super) retention_ms: i64,
    /// Since when nobody uses them, if not since their commits.
    pub(super) base_ms: Option<i64>,
    /// Topics whose offsets are in use.
    pub(super) used: Option<&'a BTreeSet<ByteString>>,
}

impl OffsetTable {
    /// A record is under way.
    pub(super) fn note_pending(&mut self, topic: &ByteString, partition: i32) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), BTreeMap::new());
        }
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.entry(partition).or_default().pending += 1;
        }
    }

    /// Such a record has ended: committed, or (without a value) lost.
    pub(super) fn end_pending(
        &mut self,
        topic: &ByteString,
        partition: i32,
        committed: Option<Committed>,
    ) {
        let partitions = self.topics.get_mut(topic);
        let entry = partitions.and_then(|partitions| partitions.get_mut(&partition));
        let Some(entry) = entry else {
            debug_assert!(false, "what is under way is known");
            return;
        };
        entry.pending = entry.pending.saturating_sub(1);
        if committed.is_some() {
            entry.committed = committed;
        }
        if entry.is_blank() {
            self.remove_entry(topic, partition);
        }
    }

    /// Takes what was loaded.
    pub(super) fn insert(&mut self, topic: ByteString, partition: i32, committed: Committed) {
        let partitions = self.topics.entry(topic).or_default();
        partitions.entry(partition).or_default().committed = Some(committed);
    }

    /// The record that ends it is committed: what was committed before is gone.
    pub(super) fn forget(&mut self, topic: &ByteString, partition: i32) {
        let partitions = self.topics.get_mut(topic);
        let Some(entry) = partitions.and_then(|partitions| partitions.get_mut(&partition)) else {
            return;
        };
        entry.committed = None;
        entry.open = 0;
        let is_blank = entry.is_blank();
        self.proposals.forget(topic, partition);
        if is_blank {
            self.remove_entry(topic, partition);
        }
    }

    fn remove_entry(&mut self, topic: &ByteString, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// The committed offset of a partition.
    pub(super) fn committed(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)?.committed.as_ref()
    }

    /// True if a partition has an offset, or will have.
    pub(super) fn contains(&self, topic: &str, partition: i32) -> bool {
        let partitions = self.topics.get(topic);
        partitions.is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// True if there is none, nor one under way.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All committed offsets, by topic and partition.
    pub(super) fn by_topic(
        &self,
    ) -> impl Iterator<Item = (&ByteString, impl Iterator<Item = (i32, &Committed)>)> {
        self.topics.iter().map(|(topic, partitions)| {
            let committed = partitions
                .iter()
                .filter_map(|(partition, entry)| Some((*partition, entry.committed.as_ref()?)));
            (topic, committed)
        })
    }

    /// Every partition of a topic that has an offset, or will have.
    pub(super) fn partitions_of(&self, topic: &ByteString) -> Vec<(ByteString, i32)> {
        let partitions = self.topics.get(topic).into_iter().flatten();
        partitions
            .map(|(partition, _)| (topic.clone(), *partition))
            .collect()
    }

    /// Every partition that has an offset, or will have.
    pub(super) fn all(&self) -> Vec<(ByteString, i32)> {
        let topics = self.topics.iter();
        topics
            .flat_map(|(topic, partitions)| {
                partitions
                    .keys()
                    .map(|partition| (topic.clone(), *partition))
            })
            .collect()
    }

    /// The partitions whose offset is too old.
    pub(super) fn expired(&self, age: &Age<'_>) -> Vec<(ByteString, i32)> {
        let mut expired = Vec::new();
        for (topic, partitions) in &self.topics {
            if age.used.is_some_and(|used| used.contains(topic)) {
                continue;
            }
            for (partition, entry) in partitions {
                let is_old = entry.pending == 0
                    && entry.open == 0
                    && entry.committed.as_ref().is_some_and(|committed| {
                        committed.has_expired(age.now_ms, age.base_ms, age.retention_ms)
                    });
                if is_old {
                    expired.push((topic.clone(), *partition));
                }
            }
        }
        expired
    }
}
