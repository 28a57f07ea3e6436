// SPDX-License-Identifier: Apache-2.0
//! Members that join.
//!
//! Owns: the join side of [`Group`]. Invariants: a member is added under an id that this
//! coordinator made (KIP-394); a static member that comes back takes its own place (KIP-345), and
//! whoever had it is fenced. Runs on: the shard that coordinates. Bounded by: `group.max.size`,
//! `GROUP_MEMBERS_MAX`.

use bytes::Bytes;
use bytestring::ByteString;

use super::alarm::{Alarm, AlarmOwner};
use super::classic::Group;
use super::member::{Member, millis, own, own_protocols, rebalance_ms};
use super::request::{Caller, GroupAnswer, Origin};
use super::state::State;
use super::turn::Turn;
use super::write::{Record, Replacement, Write};
use crate::limits::{GROUP_MEMBER_BYTES_MAX, GROUP_MEMBERS_MAX, GROUP_NEW_MEMBER_MS};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::join_group::JoinGroupRequest;

/// First version in which a member joins with an id that it was given before (KIP-394).
pub(super) const KNOWN_IDS_FROM: i16 = 4;

/// First version in which a leader can be told to leave the assignment as it is (KIP-814).
const SKIPS_FROM: i16 = 9;

/// A join, with all that belongs to it.
pub(super) struct Join<'a> {
    pub(super) caller: Caller,
    pub(super) request: &'a JoinGroupRequest,
    pub(super) version: i16,
    pub(super) origin: &'a Origin,
}

impl Group {
    /// A member wants to join.
    pub(super) fn handle_join(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let id = &join.request.member_id;
        if !self.has_room_for(id, turn) {
            if self.members.contains_key(id) {
                self.take_out(&id.clone(), turn);
                self.settle_after_leave(turn);
            }
            let code = ErrorCode::GroupMaxSizeReached;
            turn.refuse_join(join.caller, ByteString::new(), code);
            return;
        }
        let outcome = if id.is_empty() {
            self.join_new(join, turn)
        } else {
            self.join_known(join, turn)
        };
        if let Err(code) = outcome {
            turn.refuse_join(join.caller, id.clone(), code);
        }
    }

    /// Kafka's rule: in a rebalance those count who have joined, otherwise all members.
    fn has_room_for(&self, id: &ByteString, turn: &Turn<'_>) -> bool {
        let max = turn.settings.members_max;
        let given = self.members.len() + self.pending.len();
        match self.state {
            _ if id.is_empty() && given >= GROUP_MEMBERS_MAX => false,
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                let member = self.members.get(id);
                member.is_some_and(|member| member.joining.is_some()) || self.joining_count() < max
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(id) || self.members.len() < max
            }
        }
    }

    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let names = request.protocols.iter().map(|protocol| &protocol.name);
        if !self.can_take(&request.protocol_type, names) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let lengths = request.protocols.iter();
        let lengths = lengths.map(|one| one.name.len() + one.metadata.len());
        if lengths.sum::<usize>() > GROUP_MEMBER_BYTES_MAX {
            return Err(ErrorCode::InvalidRequest);
        }
        Ok(())
    }

    fn join_new(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        self.check_join(request)?;
        if let Some(instance) = &request.group_instance_id {
            let id = turn.member_id(instance);
            match self.instances.get(instance).cloned() {
                Some(old) => self.replace_static(join, instance, old, id, turn),
                None => self.add_member(join, id, turn),
            }
            return Ok(());
        }
        let id = turn.member_id(&join.origin.client_id);
        if join.version < KNOWN_IDS_FROM {
            self.add_member(join, id, turn);
            return Ok(());
        }
        let mut alarm = Alarm::default();
        let at = turn.now.after_ms(millis(request.session_timeout_ms));
        let owner = || AlarmOwner::Pending(self.id.clone(), id.clone());
        alarm.set(at, turn.queue, owner);
        self.pending.insert(id.clone(), alarm);
        turn.refuse_join(join.caller, id, ErrorCode::MemberIdRequired);
        Ok(())
    }

    fn join_known(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let (request, id) = (join.request, &join.request.member_id);
        self.check_join(request)?;
        let instance = request.group_instance_id.as_ref();
        if self.pending.contains_key(id) {
            if instance.is_some() {
                // Static members are never given an id to come back with.
                return Err(ErrorCode::UnknownMemberId);
            }
            self.remove_pending(id, turn);
            self.add_member(join, own(id), turn);
            return Ok(());
        }
        self.check_member(id, instance)?;
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        let says_the_same = member.says(&request.protocols);
        let is_leader = self.is_leader(id);
        match self.state {
            State::PreparingRebalance => self.join_again(join, turn),
            // It has not heard of the generation that it is in.
            State::CompletingRebalance if says_the_same => {
                let answer = self.joined(id, is_leader);
                turn.answer(join.caller, GroupAnswer::Joined(answer));
            }
            // A leader that joins wants to assign anew.
            State::Stable if says_the_same && !is_leader => {
                let answer = self.joined(id, false);
                turn.answer(join.caller, GroupAnswer::Joined(answer));
            }
            State::CompletingRebalance | State::Stable => self.join_again(join, turn),
            State::Empty | State::Dead => return Err(ErrorCode::UnknownMemberId),
        }
        Ok(())
    }

    fn add_member(&mut self, join: &Join<'_>, id: ByteString, turn: &mut Turn<'_>) {
        let request = join.request;
        let member = Member {
            instance: request.group_instance_id.as_ref().map(own),
            client_id: own(&join.origin.client_id),
            client_host: own(&join.origin.client_host),
            rebalance_ms: rebalance_ms(request),
            session_ms: request.session_timeout_ms,
            protocols: own_protocols(&request.protocols),
            assignment: Bytes::new(),
            is_new: true,
            joining: Some(join.caller),
            syncing: None,
            session: Alarm::default(),
        };
        let is_first = self.previous == State::Empty;
        if self.state == State::PreparingRebalance && is_first {
            self.has_newcomer = true;
        }
        self.add(id.clone(), member, &request.protocol_type);
        self.set_session(&id, GROUP_NEW_MEMBER_MS, turn);
        self.rebalance(turn);
    }

    /// A member joins again, with what it says now.
    fn join_again(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let id = own(&join.request.member_id);
        self.update_member(&id, join);
        self.set_joining(&id, join.caller, turn);
        self.rebalance(turn);
    }

    fn update_member(&mut self, id: &ByteString, join: &Join<'_>) {
        self.set_protocols(id, own_protocols(&join.request.protocols));
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_ms = rebalance_ms(join.request);
            member.session_ms = join.request.session_timeout_ms;
        }
    }

    /// A static member comes back under a new id.
    fn replace_static(
        &mut self,
        join: &Join<'_>,
        instance: &ByteString,
        old_id: ByteString,
        new_id: ByteString,
        turn: &mut Turn<'_>,
    ) {
        let old_leader = self.leader.clone().unwrap_or_default();
        self.end_waits(&old_id, ErrorCode::FencedInstanceId, turn);
        let Some(old) = self.members.get(&old_id) else {
            return;
        };
        let (old_rebalance_ms, old_session_ms) = (old.rebalance_ms, old.session_ms);
        let old_protocols = old.protocols.clone();
        self.rename_member(&old_id, &new_id, instance, turn);
        self.update_member(&new_id, join);
        self.renew_session(&new_id, turn);
        self.set_joining(&new_id, join.caller, turn);
        let keeps_protocol = self.choose_protocol() == self.protocol;
        match self.state {
            State::Stable if keeps_protocol => {}
            State::Stable => return self.rebalance(turn),
            // Its old id may be part of what the leader assigns just now.
            State::CompletingRebalance => return self.prepare_rebalance(turn),
            State::PreparingRebalance => return self.finish_join_if_whole(turn),
            State::Empty | State::Dead => return,
        }
        let skips = join.version >= SKIPS_FROM;
        let is_leader = self.is_leader(&new_id);
        let mut answer = self.joined(&new_id, skips && is_leader);
        answer.skip_assignment = skips && is_leader;
        if !skips {
            // It takes part as it is: it must not think that it has to assign.
            answer.leader = old_leader;
        }
        let replacement = Replacement {
            group: self.id.clone(),
            instance: own(instance),
            caller: join.caller,
            answer,
            new_id,
            old_id,
            old_protocols,
            old_rebalance_ms,
            old_session_ms,
        };
        let (key, value) = self.record(&|_, member| member.assignment.clone(), self.since_ms);
        let record = Record::Group(key, Some(value));
        let write = Write::Replace(Box::new(replacement));
        if turn.append(&[record], write).is_err() {
            // Then what it says makes the group too large: it may try with less.
            self.rebalance(turn);
        }
    }

    /// Gives a static member another id.
    fn rename_member(
        &mut self,
        old_id: &ByteString,
        new_id: &ByteString,
        instance: &ByteString,
        turn: &mut Turn<'_>,
    ) {
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        let owner = || AlarmOwner::Session(self.id.clone(), old_id.clone());
        member.session.cancel(turn.queue, owner);
        self.members.insert(new_id.clone(), member);
        self.instances.insert(own(instance), new_id.clone());
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
    }

    /// The log has taken a static member's new id, or has not.
    pub(super) fn finish_replacement(
        &mut self,
        replacement: Replacement,
        result: Result<(), ErrorCode>,
        turn: &mut Turn<'_>,
    ) {
        let new_id = replacement.new_id;
        let waits = self.members.get(&new_id);
        let waits = waits.is_some_and(|member| member.joining == Some(replacement.caller));
        if !waits || self.state != State::Stable {
            return; // A rebalance has answered it, or will.
        }
        self.take_joining(&new_id);
        let Err(code) = result else {
            turn.answer(replacement.caller, GroupAnswer::Joined(replacement.answer));
            return;
        };
        self.set_protocols(&new_id, replacement.old_protocols);
        self.rename_member(&new_id, &replacement.old_id, &replacement.instance, turn);
        if let Some(member) = self.members.get_mut(&replacement.old_id) {
            member.rebalance_ms = replacement.old_rebalance_ms;
            member.session_ms = replacement.old_session_ms;
        }
        self.renew_session(&replacement.old_id, turn);
        turn.refuse_join(replacement.caller, ByteString::new(), code);
    }
}
