// SPDX-License-Identifier: Apache-2.0
//! What a group of the new protocol is, and what each change makes of it.
//!
//! ```text
//! Empty        no members
//! Assigning    the target assignment is older than the group
//! Reconciling  a member is not where its target is
//! Stable       everybody is
//! ```
//!
//! Owns: [`ConsumerGroup`]. Invariants: the owners are what the parts of the members say; a static
//! member has one id; a change can be taken back by what it gives. Runs on: the shard that
//! coordinates. Bounded by: `GROUP_MEMBERS_MAX`, `PARTITIONS_MAX`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::assignment::Assignment;
use super::change::Change;
use super::member::{ConsumerMember, Part, Progress, ordered};
use super::pattern::Pattern;
use crate::group::member::own;
use crate::model::ids::TopicId;
use crate::model::time::MonotonicUs;
use crate::wire::consumer_groups::{
    GroupEpoch, MemberProfile, PatternTopics, TargetEpoch, TargetPart,
};

/// The topics that a pattern stands for.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) topics: BTreeSet<ByteString>,
    pub(super) version: i64,
    pub(super) found_ms: i64,
    /// The pattern as it was read, once it was needed.
    pub(super) pattern: Option<Pattern>,
}

/// A group of the new protocol.
#[derive(Debug, Default)]
pub(in crate::group) struct ConsumerGroup {
    pub(in crate::group) id: ByteString,
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    pub(in crate::group) members: BTreeMap<ByteString, ConsumerMember>,
    /// Static members by what their operators call them.
    pub(super) instances: BTreeMap<ByteString, ByteString>,
    pub(super) target_epoch: i32,
    pub(super) target_ms: i64,
    pub(super) target: BTreeMap<ByteString, Assignment>,
    /// Who owns each partition, or has to give it up.
    pub(super) owners: BTreeMap<(TopicId, i32), ByteString>,
    pub(super) patterns: BTreeMap<ByteString, Resolved>,
    /// The version of the metadata that its topics were looked up in.
    pub(super) looked_up: Option<i64>,
    /// When its patterns were looked up.
    pub(super) patterns_us: Option<MonotonicUs>,
    /// The number of its last write.
    pub(super) last_write: Option<u64>,
}

impl ConsumerGroup {
    /// A group without members.
    pub(in crate::group) fn new(id: ByteString) -> ConsumerGroup {
        ConsumerGroup {
            id,
            ..ConsumerGroup::default()
        }
    }

    /// The name of its state.
    pub(in crate::group) fn state_name(&self) -> &'static str {
        let is_there = |member: &ConsumerMember| {
            let part = &member.part;
            part.progress == Progress::Stable && part.epoch == self.target_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(is_there) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// True if nothing of it was ever written.
    pub(in crate::group) fn is_blank(&self) -> bool {
        self.epoch == 0 && self.members.is_empty() && self.patterns.is_empty()
    }

    /// Makes a change. Gives the one that takes it back.
    pub(in crate::group) fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Group(value) => {
                let before = self.epoch_record();
                let value = value.unwrap_or_default();
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
                Change::Group(before)
            }
            Change::Partitions => Change::Partitions,
            Change::Member(id, value) => self.apply_member(id, value),
            Change::Target(value) => {
                let before = TargetEpoch {
                    assignment_epoch: self.target_epoch,
                    assignment_timestamp: self.target_ms,
                };
                let value = value.unwrap_or_default();
                self.target_epoch = value.assignment_epoch;
                self.target_ms = value.assignment_timestamp;
                Change::Target((before != TargetEpoch::default()).then_some(before))
            }
            Change::TargetMember(id, value) => {
                let before = match value {
                    Some(value) => {
                        let target = Assignment::of_wire(&value.topic_partitions);
                        self.target.insert(id.clone(), target)
                    }
                    None => self.target.remove(&id),
                };
                Change::TargetMember(id, before.as_ref().map(target_record))
            }
            Change::Current(id, value) => {
                let part = value.as_ref().map(Part::of);
                let before = self.set_part(&id, part);
                Change::Current(id, before.as_ref().map(Part::record))
            }
            Change::Pattern(text, value) => self.apply_pattern(text, value),
        }
    }

    fn epoch_record(&self) -> Option<GroupEpoch> {
        (self.epoch != 0).then_some(GroupEpoch {
            epoch: self.epoch,
            metadata_hash: self.metadata_hash,
        })
    }

    fn apply_member(&mut self, id: ByteString, value: Option<MemberProfile>) -> Change {
        let before = self.members.get(&id).map(|member| member.profile.clone());
        let instance = before.as_ref().and_then(|one| one.instance_id.clone());
        if let Some(instance) = instance
            && self.instances.get(&instance) == Some(&id)
        {
            self.instances.remove(&instance);
        }
        match value {
            Some(profile) => {
                let profile = own_profile(profile);
                if let Some(instance) = &profile.instance_id {
                    self.instances.insert(instance.clone(), id.clone());
                }
                self.members.entry(id.clone()).or_default().profile = profile;
            }
            None => {
                self.set_part(&id, None);
                self.members.remove(&id);
            }
        }
        Change::Member(id, before)
    }

    /// Replaces what a member owns. Gives what it owned, if it was a member that owned anything.
    fn set_part(&mut self, id: &ByteString, part: Option<Part>) -> Option<Part> {
        if part.is_none() && !self.members.contains_key(id) {
            return None;
        }
        let member = self.members.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut member.part, part.unwrap_or_default());
        for at in before.assigned.iter().chain(before.revoking.iter()) {
            if self.owners.get(&at) == Some(id) {
                self.owners.remove(&at);
            }
        }
        for at in member
            .part
            .assigned
            .iter()
            .chain(member.part.revoking.iter())
        {
            self.owners.insert(at, id.clone());
        }
        (before != Part::default()).then_some(before)
    }

    fn apply_pattern(&mut self, text: ByteString, value: Option<PatternTopics>) -> Change {
        let record = |one: &Resolved| PatternTopics {
            topics: one.topics.iter().cloned().collect(),
            version: one.version,
            timestamp: one.found_ms,
        };
        let before = self.patterns.get(&text).map(record);
        match value {
            Some(value) => {
                let resolved = self.patterns.entry(text.clone()).or_default();
                resolved.topics = value.topics.iter().map(own).collect();
                resolved.version = value.version;
                resolved.found_ms = value.timestamp;
            }
            None => {
                self.patterns.remove(&text);
            }
        }
        Change::Pattern(text, before)
    }

    /// Everything has been read: a partition that two members claim stays with the newer epoch.
    /// That can be only where the log lost the end of the older claim and took the newer one.
    pub(in crate::group) fn settle_owners(&mut self) {
        let mut order: Vec<(i32, ByteString)> = self
            .members
            .iter()
            .map(|(id, member)| (member.part.epoch, id.clone()))
            .collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.owners.clear();
        let sides: [fn(&mut Part) -> &mut Assignment; 2] =
            [|part| &mut part.assigned, |part| &mut part.revoking];
        for side in sides {
            for (_, id) in &order {
                let Some(member) = self.members.get_mut(id) else {
                    continue;
                };
                let claimed = side(&mut member.part);
                for at in claimed.clone().iter() {
                    match self.owners.entry(at) {
                        Entry::Vacant(free) => {
                            free.insert(id.clone());
                        }
                        Entry::Occupied(_) => {
                            claimed.remove(at.0, at.1);
                        }
                    }
                }
            }
        }
    }

    /// True if no other member has a partition.
    pub(super) fn is_free_for(&self, id: &ByteString, topic: TopicId, partition: i32) -> bool {
        let owner = self.owners.get(&(topic, partition));
        owner.is_none_or(|owner| owner == id)
    }

    /// Changes that end all of it.
    pub(in crate::group) fn ends(&self) -> Vec<Change> {
        let mut ends = Vec::new();
        for id in self.members.keys() {
            ends.push(Change::Current(id.clone(), None));
        }
        for id in self.target.keys() {
            ends.push(Change::TargetMember(id.clone(), None));
        }
        ends.push(Change::Target(None));
        for id in self.members.keys() {
            ends.push(Change::Member(id.clone(), None));
        }
        for text in self.patterns.keys() {
            ends.push(Change::Pattern(text.clone(), None));
        }
        ends.push(Change::Partitions);
        ends.push(Change::Group(None));
        ends
    }
}

/// The record of a target.
pub(super) fn target_record(target: &Assignment) -> TargetPart {
    TargetPart {
        topic_partitions: target.to_wire(),
    }
}

/// A profile that holds no frame.
fn own_profile(profile: MemberProfile) -> MemberProfile {
    let text = |one: &Option<ByteString>| one.as_ref().map(own);
    let mut profile = MemberProfile {
        instance_id: text(&profile.instance_id),
        rack_id: text(&profile.rack_id),
        client_id: own(&profile.client_id),
        client_host: own(&profile.client_host),
        subscribed_topic_names: ordered(&profile.subscribed_topic_names),
        subscribed_topic_regex: text(&profile.subscribed_topic_regex),
        server_assignor: text(&profile.server_assignor),
        ..profile
    };
    for protocol in profile
        .classic
        .iter_mut()
        .flat_map(|one| &mut one.protocols)
    {
        protocol.name = own(&protocol.name);
        protocol.metadata = crate::group::member::own_bytes(&protocol.metadata);
    }
    profile
}
