// SPDX-License-Identifier: Apache-2.0
//! Groups from their log.
//!
//! Owns: [`Loading`]. Invariants: of the records with one key the last one counts; those of a
//! transaction count with the marker that commits it, at their own place in the log; what cannot be
//! read is passed over and told, and nothing else is lost for it. Runs on: the shard that
//! coordinates. Bounded by: the log, whose writer bounds it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;

use super::classic::Group;
use super::consumer::{Change, ConsumerGroup};
use super::member::{Member, own};
use super::offsets::Committed;
use super::state::State;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::time::Now;
use crate::wire::offsets_topic::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, OffsetsKey,
};
use crate::wire::record::{BatchHeader, EndMarker, records, split_batches};

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    groups: BTreeMap<ByteString, GroupMetadataValue>,
    consumers: BTreeMap<ByteString, ConsumerGroup>,
    offsets: BTreeMap<ByteString, BTreeMap<(ByteString, i32), Committed>>,
    /// Offsets of transactions that have not ended, by producer.
    transactions: BTreeMap<i64, Proposed>,
    /// How many records there were, those that are not known included.
    records: u64,
    /// Records that could not be read.
    unreadable: usize,
}

/// Offsets of one transaction by group, topic and partition.
type Proposed = BTreeMap<(ByteString, ByteString, i32), Committed>;

/// What was read.
pub(super) struct Loaded {
    pub(super) groups: BTreeMap<ByteString, Group>,
    /// The groups for which producers have offsets in open transactions.
    pub(super) transactions: BTreeMap<i64, BTreeSet<ByteString>>,
    pub(super) records: u64,
    /// How many records could not be read.
    pub(super) unreadable: usize,
}

impl Loading {
    /// Takes whole batches.
    pub(super) fn take(&mut self, batches: &Bytes) {
        for batch in split_batches(batches) {
            let opened = batch.and_then(|batch| records(&batch, DECOMPRESSED_BYTES_MAX));
            let Ok(opened) = opened else {
                self.unreadable += 1;
                return;
            };
            let header = opened.header();
            if header.attributes.is_control() {
                self.end_transaction(header, opened.plain());
                continue;
            }
            let is_transactional = header.attributes.is_transactional();
            let producer_id = is_transactional.then_some(header.producer_id);
            for record in opened.iter() {
                self.records += 1;
                let read = match record {
                    Ok(record) => self.take_record(producer_id, record.key, record.value),
                    Err(_) => None,
                };
                self.unreadable += usize::from(read.is_none());
            }
        }
    }

    /// A marker: what its transaction proposed counts, unless something later does, or is gone.
    fn end_transaction(&mut self, header: &BatchHeader, body: &[u8]) {
        let Some(marker) = EndMarker::of_records(header, body) else {
            return;
        };
        let proposed = self.transactions.remove(&header.producer_id);
        for ((group, topic, partition), committed) in proposed.into_iter().flatten() {
            if !marker.is_commit {
                continue;
            }
            let offsets = self.offsets.entry(group).or_default();
            let place = (topic, partition);
            let before = offsets.get(&place).map_or(0, |before| before.order);
            if committed.order > before {
                offsets.insert(place, committed);
            }
        }
    }

    fn take_record(
        &mut self,
        producer_id: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Option<()> {
        let value = value.map(Bytes::copy_from_slice);
        match OffsetsKey::decode(Bytes::copy_from_slice(key?)).ok()? {
            OffsetsKey::Offset(key) => {
                let value = value.map(OffsetCommitValue::decode).transpose().ok()?;
                match (producer_id, value) {
                    (Some(producer_id), Some(value)) => self.propose(producer_id, key, value),
                    (_, value) => self.take_offset(key, value),
                }
            }
            OffsetsKey::Group(key) => {
                let value = value.map(GroupMetadataValue::decode).transpose().ok()?;
                self.take_group(key, value);
            }
            OffsetsKey::Consumer(group, key) => {
                let change = Change::decode(key, value).ok()?;
                let group = own(&group);
                let consumer = self.consumers.entry(group.clone());
                consumer
                    .or_insert_with(|| ConsumerGroup::new(group))
                    .apply(change);
            }
            OffsetsKey::Unknown(_) => {}
        }
        Some(())
    }

    fn propose(&mut self, producer_id: i64, key: OffsetCommitKey, value: OffsetCommitValue) {
        let place = (own(&key.group), own(&key.topic), key.partition);
        let committed = self.committed(value);
        let proposed = self.transactions.entry(producer_id).or_default();
        proposed.insert(place, committed);
    }

    fn committed(&self, value: OffsetCommitValue) -> Committed {
        let mut committed = Committed::of(value, self.records);
        committed.metadata = own(&committed.metadata);
        committed
    }

    fn take_offset(&mut self, key: OffsetCommitKey, value: Option<OffsetCommitValue>) {
        let Some(value) = value else {
            return self.forget(key);
        };
        let committed = self.committed(value);
        let offsets = self.offsets.entry(own(&key.group)).or_default();
        offsets.insert((own(&key.topic), key.partition), committed);
    }

    /// An offset is gone, and what transactions proposed for its partition before.
    fn forget(&mut self, key: OffsetCommitKey) {
        let place = (key.topic.clone(), key.partition);
        if let Some(offsets) = self.offsets.get_mut(&key.group) {
            offsets.remove(&place);
            if offsets.is_empty() {
                self.offsets.remove(&key.group);
            }
        }
        let place = (key.group, key.topic, key.partition);
        self.transactions.retain(|_, proposed| {
            proposed.remove(&place);
            !proposed.is_empty()
        });
    }

    fn take_group(&mut self, key: GroupMetadataKey, value: Option<GroupMetadataValue>) {
        match value {
            Some(value) => {
                self.groups.insert(own(&key.group), value);
            }
            None => {
                self.groups.remove(&key.group);
            }
        }
    }

    /// The groups, and what else is known.
    pub(super) fn finish(self, now: Now) -> Loaded {
        let groups = self.groups.into_iter();
        let mut groups: BTreeMap<ByteString, Group> = groups
            .map(|(id, value)| (id.clone(), group(id, value, now)))
            .collect();
        for (id, mut consumer) in self.consumers {
            if !consumer.is_blank() {
                consumer.settle_owners();
                let mut group = Group::new(id.clone(), now);
                group.consumer = Some(Box::new(consumer));
                groups.insert(id, group);
            }
        }
        let mut transactions: BTreeMap<i64, BTreeSet<ByteString>> = BTreeMap::new();
        for (id, offsets) in self.offsets {
            let group = group_of(&mut groups, id, now);
            for ((topic, partition), committed) in offsets {
                group.offsets.insert(topic, partition, committed);
            }
        }
        for (producer_id, proposed) in self.transactions {
            let of_producer = transactions.entry(producer_id).or_default();
            for ((id, topic, partition), committed) in proposed {
                of_producer.insert(id.clone());
                let offsets = &mut group_of(&mut groups, id, now).offsets;
                offsets.propose(producer_id, topic, partition, committed);
            }
        }
        Loaded {
            groups,
            transactions,
            records: self.records,
            unreadable: self.unreadable,
        }
    }
}

/// The group of this name, which may have nothing but offsets.
fn group_of(groups: &mut BTreeMap<ByteString, Group>, id: ByteString, now: Now) -> &mut Group {
    let group = groups.entry(id);
    group.or_insert_with_key(|id| Group::new(id.clone(), now))
}

/// A group as its record says: stable if it has members.
fn group(id: ByteString, value: GroupMetadataValue, now: Now) -> Group {
    let mut group = Group::new(id, now);
    group.generation = value.generation;
    group.since_ms = value.current_state_timestamp;
    let kind = own(&value.protocol_type);
    let protocol = value.protocol.as_ref().map(own);
    let name = protocol.clone().unwrap_or_default();
    for record in value.members {
        let id = own(&record.member_id);
        if !group.members.contains_key(&id) {
            group.add(id, Member::of(record, name.clone()), &kind);
        }
    }
    group.protocol_type = Some(kind).filter(|kind| !kind.is_empty());
    if !group.members.is_empty() {
        group.protocol = protocol;
        group.previous = State::CompletingRebalance;
        group.state = State::Stable;
        let leader = value.leader.filter(|id| group.members.contains_key(id));
        group.leader = leader.as_ref().map(own).or(group.leader);
    }
    group.read_subscriptions();
    group
}
