// SPDX-License-Identifier: Apache-2.0
//! The life of a member within a generation: it takes its assignment, is heard of, leaves.
//!
//! Owns: the sync, heartbeat and leave side of [`Group`]. Invariants: an assignment is told once
//! its record is committed, and only to members of its generation. Runs on: the shard that
//! coordinates. Bounded by: `GROUP_MEMBERS_MAX`.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use super::classic::Group;
use super::member::own_bytes;
use super::request::Caller;
use super::state::State;
use super::turn::Turn;
use super::write::{Record, Write};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::heartbeat::HeartbeatRequest;
use crate::wire::protocol::leave_group::{MemberIdentity, MemberResponse};
use crate::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

/// True if a request and the group both name something, and not the same.
pub(super) fn is_at_odds(named: Option<&ByteString>, known: Option<&ByteString>) -> bool {
    named.is_some() && known.is_some() && named != known
}

impl Group {
    /// A member wants its assignment; the leader brings all.
    pub(super) fn handle_sync(
        &mut self,
        caller: Caller,
        request: &SyncGroupRequest,
        turn: &mut Turn<'_>,
    ) {
        if let Err(code) = self.try_sync(caller, request, turn) {
            turn.refuse_sync(caller, code);
        }
    }

    fn try_sync(
        &mut self,
        caller: Caller,
        request: &SyncGroupRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let id = &request.member_id;
        self.check_member(id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let kind = request.protocol_type.as_ref();
        let protocol = request.protocol_name.as_ref();
        if is_at_odds(kind, self.protocol_type.as_ref())
            || is_at_odds(protocol, self.protocol.as_ref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty | State::Dead => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance => {
                self.note_synced(id, turn);
                self.set_syncing(id, caller, turn);
                // The one that is under way may come to be, and be told; a second one in the log
                // behind it would be told to others after a restart.
                let is_assigned = turn.writes.assigns(&self.id, self.generation);
                if self.is_leader(id) && !is_assigned {
                    self.store_assignment(&request.assignments, turn);
                }
                if self.is_leader(id) || is_assigned {
                    self.end_sync_waits(turn);
                }
            }
            State::Stable => {
                self.note_synced(id, turn);
                let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
                let answer = self.synced(member.assignment.clone());
                turn.answer(caller, answer);
            }
        }
        Ok(())
    }

    /// A member has asked for its assignment.
    fn note_synced(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.cancel_sync_alarm(turn);
        }
    }

    /// Lets the sync of a member wait. One that waits already was given up by its client.
    fn set_syncing(&mut self, id: &ByteString, caller: Caller, turn: &mut Turn<'_>) {
        let member = self.members.get_mut(id);
        let before = member.and_then(|member| member.syncing.replace(caller));
        if let Some(before) = before {
            turn.refuse_sync(turn.end_wait(before), ErrorCode::RebalanceInProgress);
        }
    }

    /// The leader's assignment is there: from now on those who asked for it wait for the log.
    fn end_sync_waits(&mut self, turn: &Turn<'_>) {
        for member in self.members.values_mut() {
            member.syncing = member.syncing.map(|caller| turn.end_wait(caller));
        }
    }

    fn store_assignment(&mut self, given: &[SyncGroupRequestAssignment], turn: &mut Turn<'_>) {
        let given = given.iter().map(|one| (&one.member_id, &one.assignment));
        let given: BTreeMap<&ByteString, &Bytes> = given.collect();
        let members = self.members.keys();
        let assignment: BTreeMap<ByteString, Bytes> = members
            .map(|id| {
                let bytes = given.get(id).map(|bytes| own_bytes(bytes));
                (id.clone(), bytes.unwrap_or_default())
            })
            .collect();
        let part = |id: &ByteString, _: &super::member::Member| {
            assignment.get(id).cloned().unwrap_or_default()
        };
        let (key, value) = self.record(&part, turn.now.wall_ms);
        let record = Record::Group(key, Some(value));
        let write = Write::Assign {
            group: self.id.clone(),
            generation: self.generation,
            assignment,
        };
        if turn.append(&[record], write).is_err() {
            self.finish_assignment(
                self.generation,
                &BTreeMap::new(),
                Err(ErrorCode::UnknownServerError),
                turn,
            );
        }
    }

    /// The log has taken an assignment, or has not. It counts if the generation still waits for it.
    pub(super) fn finish_assignment(
        &mut self,
        generation: i32,
        assignment: &BTreeMap<ByteString, Bytes>,
        result: Result<(), ErrorCode>,
        turn: &mut Turn<'_>,
    ) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(code) = result {
            self.give_up_assignment(code, turn);
            self.prepare_rebalance(turn);
            return;
        }
        self.enter(State::Stable, turn.now);
        let ids: Vec<ByteString> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.assignment = assignment.get(&id).cloned().unwrap_or_default();
            let (caller, bytes) = (member.syncing.take(), member.assignment.clone());
            if let Some(caller) = caller {
                let answer = self.synced(bytes);
                turn.answer(caller, answer);
                // Its session did not end while it waited.
                self.renew_session(&id, turn);
            }
        }
    }

    /// A member is heard of.
    pub(super) fn handle_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        turn: &mut Turn<'_>,
    ) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        let id = &request.member_id;
        if let Err(code) = self.check_member(id, request.group_instance_id.as_ref()) {
            return code;
        }
        if request.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            State::Empty | State::Dead => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => {
                self.renew_session(id, turn);
                ErrorCode::RebalanceInProgress
            }
            State::CompletingRebalance | State::Stable => {
                self.renew_session(id, turn);
                ErrorCode::None
            }
        }
    }

    /// Members leave.
    pub(super) fn handle_leave(
        &mut self,
        members: &[MemberIdentity],
        turn: &mut Turn<'_>,
    ) -> Result<Vec<MemberResponse>, ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let mut has_left = false;
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            let outcome = self.leave_one(member, turn);
            has_left |= outcome.is_ok();
            answers.push(left(member, outcome.err().unwrap_or(ErrorCode::None)));
        }
        if has_left {
            self.settle_after_leave(turn);
        }
        Ok(answers)
    }

    fn leave_one(&mut self, member: &MemberIdentity, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let instance = member.group_instance_id.as_ref();
        if member.member_id.is_empty() {
            // An operator takes a static member out by the name that it was given.
            let id = instance.and_then(|instance| self.instances.get(instance));
            let id = id.cloned().ok_or(ErrorCode::UnknownMemberId)?;
            self.take_out(&id, turn);
            return Ok(());
        }
        if instance.is_none() && self.remove_pending(&member.member_id, turn) {
            return Ok(());
        }
        self.check_member(&member.member_id, instance)?;
        self.take_out(&member.member_id, turn);
        Ok(())
    }
}

/// What a member that leaves is told.
pub(super) fn left(member: &MemberIdentity, code: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: code.code(),
    }
}
