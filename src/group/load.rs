// SPDX-License-Identifier: Apache-2.0
//! Groups from their log.
//!
//! Owns: [`Loading`]. Invariants: of the records with one key the last one counts; what cannot be
//! read is passed over and told, and nothing else is lost for it. Runs on: the shard that
//! coordinates. Bounded by: the log, whose writer bounds it.

use std::collections::BTreeMap;

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
use crate::wire::record::{records, split_batches};

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    groups: BTreeMap<ByteString, GroupMetadataValue>,
    consumers: BTreeMap<ByteString, ConsumerGroup>,
    offsets: BTreeMap<ByteString, BTreeMap<(ByteString, i32), Committed>>,
    /// Records that could not be read.
    unreadable: usize,
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
            let attributes = opened.header().attributes;
            if attributes.is_control() || attributes.is_transactional() {
                continue; // Nobody writes those here.
            }
            for record in opened.iter() {
                let read = match record {
                    Ok(record) => self.take_record(record.key, record.value),
                    Err(_) => None,
                };
                self.unreadable += usize::from(read.is_none());
            }
        }
    }

    fn take_record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<()> {
        let value = value.map(Bytes::copy_from_slice);
        match OffsetsKey::decode(Bytes::copy_from_slice(key?)).ok()? {
            OffsetsKey::Offset(key) => {
                let value = value.map(OffsetCommitValue::decode).transpose().ok()?;
                self.take_offset(key, value);
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

    fn take_offset(&mut self, key: OffsetCommitKey, value: Option<OffsetCommitValue>) {
        let place = (own(&key.topic), key.partition);
        let Some(value) = value else {
            if let Some(offsets) = self.offsets.get_mut(&key.group) {
                offsets.remove(&place);
                if offsets.is_empty() {
                    self.offsets.remove(&key.group);
                }
            }
            return;
        };
        let mut committed = Committed::of(value);
        committed.metadata = own(&committed.metadata);
        let offsets = self.offsets.entry(own(&key.group)).or_default();
        offsets.insert(place, committed);
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

    /// The groups, and how many records could not be read.
    pub(super) fn finish(self, now: Now) -> (BTreeMap<ByteString, Group>, usize) {
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
        for (id, offsets) in self.offsets {
            let group = groups
                .entry(id.clone())
                .or_insert_with(|| Group::new(id, now));
            for ((topic, partition), committed) in offsets {
                group.offsets.insert(topic, partition, committed);
            }
        }
        (groups, self.unreadable)
    }
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
