// SPDX-License-Identifier: Apache-2.0
//! A group goes from the classic protocol to the new one and back while it lives.
//!
//! Owns: both ways. Invariants: whoever owned a partition before owns it behind; members of the
//! classic protocol stay members; the change is one write, so a start finds the group before it or
//! behind it. Runs on: the shard that coordinates. Bounded by: `GROUP_MEMBERS_MAX`; a group that
//! does not fit one batch stays as it is.

use bytes::Bytes;
use bytestring::ByteString;

use super::assignment::Assignment;
use super::change::Change;
use super::classic_members::{classic_protocols, wishes};
use super::heartbeat::{Refusal, refusal};
use super::member::Part;
use super::state::{ConsumerGroup, target_record};
use crate::config::groups::GroupSettings;
use crate::group::alarm::Alarm;
use crate::group::classic::{CONSUMER, Group};
use crate::group::member::Member;
use crate::group::state::State;
use crate::group::turn::Turn;
use crate::group::write::{Record, Write};
use crate::model::error_code::ErrorCode;
use crate::model::image::MetadataImage;
use crate::wire::consumer_groups::{ClassicProfile, GroupEpoch, MemberProfile, TargetEpoch};
use crate::wire::consumer_protocol::{ConsumerAssignment, ConsumerSubscription, decode, encode};
use crate::wire::offsets_topic::GroupMetadataKey;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

/// The version in which a member that goes back to the classic protocol has its assignment; nobody
/// is told it, since a new generation follows at once.
const ASSIGNMENT_VERSION: i16 = 3;

impl Group {
    /// Makes a group one of the new protocol, if it is not and a member that joins may do that.
    pub(super) fn become_consumer_group(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        if self.state == State::Dead {
            let sentence = "The group is being deleted.";
            return Err(refusal(ErrorCode::CoordinatorNotAvailable, sentence));
        }
        if self.consumer.is_some() {
            return Ok(());
        }
        if request.member_epoch != 0 {
            let sentence = format!("The group {} is not of the consumer protocol.", self.id);
            return Err(refusal(ErrorCode::GroupIdNotFound, sentence));
        }
        self.check_upgrade(turn.settings)?;
        let group = self.upgraded(turn.image)?;
        let mut records: Vec<Record> = Vec::new();
        for change in group.1 {
            records.push(Record::Consumer(self.id.clone(), change));
        }
        if self.generation > 0 || self.protocol_type.is_some() {
            let group = self.id.clone();
            records.push(Record::Group(GroupMetadataKey { group }, None));
        }
        let mut group = Box::new(group.0);
        if !records.is_empty() {
            let write = Write::Consumer {
                group: self.id.clone(),
                answers: Vec::new(),
            };
            let batch = turn.writes.batch(turn.now.wall_ms, &records);
            let batch = batch.map_err(|_| {
                let sentence = "The group is too large to go over to the consumer protocol.";
                refusal(ErrorCode::UnknownServerError, sentence)
            })?;
            group.last_write = Some(turn.append_batch(batch, write));
        }
        self.leave_classic(turn);
        group.start_alarms(turn);
        self.consumer = Some(group);
        Ok(())
    }

    fn check_upgrade(&self, settings: &GroupSettings) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Ok(());
        }
        let no = |sentence: &str| {
            let sentence = format!("The group {} cannot be upgraded: {sentence}", self.id);
            Err(refusal(ErrorCode::GroupIdNotFound, sentence))
        };
        if !settings.migration.may_upgrade() {
            return no("group.consumer.migration.policy does not allow it.");
        }
        if !self.consumes() {
            return no("its members do not consume.");
        }
        if self.members.len() > settings.consumer_members_max {
            return no("it has more members than group.consumer.max.size allows.");
        }
        let is_settled = match self.state {
            State::Stable => true,
            // Until they join again its members own what they owned.
            State::PreparingRebalance => {
                matches!(self.previous, State::Stable | State::Empty)
            }
            State::CompletingRebalance | State::Empty | State::Dead => false,
        };
        if is_settled {
            return Ok(());
        }
        // What its members own is not known just now; they are about to be told.
        let sentence = "The group forms a generation of the classic protocol: try again.";
        Err(refusal(ErrorCode::CoordinatorLoadInProgress, sentence))
    }

    /// The group with its members as one of the new protocol, and the changes that make it.
    fn upgraded(&self, image: &MetadataImage) -> Result<(ConsumerGroup, Vec<Change>), Refusal> {
        let mut group = ConsumerGroup::new(self.id.clone());
        let mut changes = Vec::new();
        if self.members.is_empty() {
            return Ok((group, changes));
        }
        let epoch = self.generation.max(1);
        let mut make = |change: Change| {
            group.apply(change.clone());
            changes.push(change);
        };
        for (id, member) in &self.members {
            let (profile, assigned) = self.upgraded_member(member, image).ok_or_else(|| {
                let sentence = format!(
                    "What the member {id} wants or owns cannot be read, so the group {} cannot \
                     be upgraded.",
                    self.id
                );
                refusal(ErrorCode::GroupIdNotFound, sentence)
            })?;
            let part = Part {
                epoch,
                previous_epoch: epoch,
                assigned,
                ..Part::default()
            };
            make(Change::Member(id.clone(), Some(profile)));
            let target = target_record(&part.assigned);
            make(Change::TargetMember(id.clone(), Some(target)));
            make(Change::Current(id.clone(), Some(part.record())));
        }
        make(Change::Group(Some(GroupEpoch {
            epoch,
            metadata_hash: 0,
        })));
        make(Change::Target(Some(TargetEpoch {
            assignment_epoch: epoch,
            assignment_timestamp: 0,
        })));
        Ok((group, changes))
    }

    fn upgraded_member(
        &self,
        member: &Member,
        image: &MetadataImage,
    ) -> Option<(MemberProfile, Assignment)> {
        let first = member.protocols.first().map(|(name, _)| name);
        let chosen = self.protocol.as_ref().or(first)?;
        let (_, said) = decode::<ConsumerSubscription>(&member.metadata(chosen)).ok()?;
        let assigned = if member.assignment.is_empty() {
            Assignment::default()
        } else {
            let (_, got) = decode::<ConsumerAssignment>(&member.assignment).ok()?;
            if got.user_data.is_some_and(|data| !data.is_empty()) {
                return None; // An assignor of its own, whose words would be lost.
            }
            Assignment::of_named(&got.assigned_partitions, image)
        };
        let profile = MemberProfile {
            instance_id: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_ms,
            classic: Some(ClassicProfile {
                session_timeout_ms: member.session_ms,
                protocols: classic_protocols(member.protocols.clone()),
            }),
            ..wishes(&said)
        };
        Some((profile, assigned))
    }

    /// Takes all members and alarms of the classic protocol out; the offsets stay.
    fn leave_classic(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<ByteString> = self.members.keys().cloned().collect();
        for id in ids {
            self.remove(&id, ErrorCode::RebalanceInProgress, turn);
        }
        let pending: Vec<ByteString> = self.pending.keys().cloned().collect();
        for id in pending {
            self.remove_pending(&id, turn);
        }
        self.cancel_join_alarm(turn);
        self.cancel_sync_alarm(turn);
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group::new(self.id.clone(), turn.now);
        self.offsets = offsets;
    }

    /// True if only members of the classic protocol are left and may go back to it.
    pub(super) fn may_go_back_without(&self, ids: &[ByteString], settings: &GroupSettings) -> bool {
        let Some(group) = self.consumer.as_deref() else {
            return false;
        };
        settings.migration.may_downgrade()
            && group.has_only_classic_without(ids)
            && group.members.len() <= settings.members_max
    }

    /// Makes a group of the new protocol a classic one, whose members form a generation.
    pub(super) fn go_back_to_classic(&mut self, turn: &mut Turn<'_>) {
        let Some(mut group) = self.consumer.take() else {
            return;
        };
        let mut classic = Group::new(self.id.clone(), turn.now);
        for (id, member) in &group.members {
            if let Some(member) = downgraded(&member.profile, &member.part, turn.image) {
                classic.add(id.clone(), member, &ByteString::from_static(CONSUMER));
            }
        }
        classic.generation = group.epoch;
        classic.protocol = classic.choose_protocol();
        classic.previous = State::CompletingRebalance;
        classic.state = State::Stable;
        classic.read_subscriptions();
        let assignment = |_: &ByteString, member: &Member| member.assignment.clone();
        let (key, value) = classic.record(&assignment, turn.now.wall_ms);
        let ends = group.ends().into_iter();
        let mut records: Vec<Record> = ends
            .map(|change| Record::Consumer(self.id.clone(), change))
            .collect();
        records.push(Record::Group(key, Some(value)));
        let Ok(batches) = turn.writes.batches(turn.now.wall_ms, &records) else {
            self.consumer = Some(group); // It stays what it is.
            return;
        };
        for batch in batches {
            let write = Write::Consumer {
                group: self.id.clone(),
                answers: Vec::new(),
            };
            turn.append_batch(batch, write);
        }
        let ids: Vec<ByteString> = group.members.keys().cloned().collect();
        for id in &ids {
            group.cancel_alarms(id, turn);
        }
        classic.offsets = std::mem::take(&mut self.offsets);
        *self = classic;
        for id in &ids {
            self.renew_session(id, turn);
        }
        self.prepare_rebalance(turn);
    }

    /// An empty group of the new protocol becomes a classic one for a member that joins.
    pub(in crate::group) fn become_classic_group(&mut self, turn: &mut Turn<'_>) {
        let Some(group) = self.consumer.take() else {
            return;
        };
        let ends = group.ends().into_iter();
        let records: Vec<Record> = ends
            .map(|change| Record::Consumer(self.id.clone(), change))
            .collect();
        let batches = turn.writes.batches(turn.now.wall_ms, &records);
        for batch in batches.unwrap_or_default() {
            let write = Write::Consumer {
                group: self.id.clone(),
                answers: Vec::new(),
            };
            turn.append_batch(batch, write);
        }
    }

    /// Forgets a group of the new protocol that nobody has got into.
    pub(super) fn drop_blank_consumer_group(&mut self) {
        if self
            .consumer
            .as_deref()
            .is_some_and(ConsumerGroup::is_blank)
        {
            self.consumer = None;
        }
    }
}

/// A member as one of the classic protocol; what it has to give up it still owns.
fn downgraded(profile: &MemberProfile, part: &Part, image: &MetadataImage) -> Option<Member> {
    let classic = profile.classic.as_ref()?;
    let owned: Assignment = part.assigned.iter().chain(part.revoking.iter()).collect();
    let assignment = encode(&owned.to_named(image), ASSIGNMENT_VERSION);
    let protocols = classic.protocols.iter();
    Some(Member {
        instance: profile.instance_id.clone(),
        client_id: profile.client_id.clone(),
        client_host: profile.client_host.clone(),
        rebalance_ms: profile.rebalance_timeout_ms,
        session_ms: classic.session_timeout_ms,
        protocols: protocols
            .map(|one| (one.name.clone(), one.metadata.clone()))
            .collect(),
        assignment: assignment.unwrap_or_else(|_| Bytes::new()),
        is_new: false,
        joining: None,
        syncing: None,
        session: Alarm::default(),
    })
}
