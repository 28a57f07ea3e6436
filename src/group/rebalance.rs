// SPDX-License-Identifier: Apache-2.0
//! From one generation to the next: who is waited for, for how long, and what ends the wait.
//!
//! Owns: the rebalance side of [`Group`]. Invariants: a generation holds those who joined for it,
//! and static members, which may come back; members learn of their generation all at once.
//! Runs on: the shard that coordinates. Bounded by: `GROUP_MEMBERS_MAX`.

use bytestring::ByteString;

use super::alarm::AlarmOwner;
use super::classic::{Group, JoinWait};
use super::request::GroupAnswer;
use super::state::State;
use super::turn::Turn;
use super::write::{Record, Write};
use crate::model::error_code::ErrorCode;

impl Group {
    /// Something changed: begins a rebalance, or ends the one under way if nobody is missing.
    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state.may_become(State::PreparingRebalance) {
            self.prepare_rebalance(turn);
        } else {
            self.finish_join_if_whole(turn);
        }
    }

    /// Begins a rebalance.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.give_up_assignment(ErrorCode::RebalanceInProgress, turn);
        }
        self.cancel_sync_alarm(turn);
        let is_first = self.state == State::Empty;
        self.enter(State::PreparingRebalance, turn.now);
        self.has_newcomer = false;
        if !is_first {
            self.finish_join_or_wait(turn);
            return;
        }
        let delay_ms = turn.settings.initial_rebalance_delay_ms;
        let remaining_ms = self.rebalance_ms().saturating_sub(delay_ms);
        self.wait_for_joins(JoinWait::Initial { remaining_ms }, delay_ms, turn);
    }

    fn wait_for_joins(&mut self, wait: JoinWait, ms: u64, turn: &mut Turn<'_>) {
        self.join_wait = Some(wait);
        let at = turn.now.after_ms(ms);
        let owner = || AlarmOwner::Join(self.id.clone());
        self.join_alarm.cancel(turn.queue, owner);
        self.join_alarm.set(at, turn.queue, owner);
    }

    fn finish_join_or_wait(&mut self, turn: &mut Turn<'_>) {
        if self.has_all_joined() {
            self.finish_join(turn);
        } else {
            let ms = self.rebalance_ms();
            self.wait_for_joins(JoinWait::Rebalance, ms, turn);
        }
    }

    /// Ends a rebalance that waits for nobody any more. A new group waits in any case.
    pub(super) fn finish_join_if_whole(&mut self, turn: &mut Turn<'_>) {
        let is_first = self.previous == State::Empty;
        if self.state == State::PreparingRebalance && !is_first && self.has_all_joined() {
            self.finish_join(turn);
        }
    }

    /// The wait for members to join has ended.
    pub(super) fn handle_join_alarm(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.join_wait {
            Some(JoinWait::Initial { remaining_ms }) if self.has_newcomer && remaining_ms > 0 => {
                self.has_newcomer = false;
                let delay_ms = turn.settings.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = remaining_ms - delay_ms;
                self.wait_for_joins(JoinWait::Initial { remaining_ms }, delay_ms, turn);
            }
            _ => self.finish_join(turn),
        }
    }

    fn finish_join(&mut self, turn: &mut Turn<'_>) {
        self.join_wait = None;
        let owner = || AlarmOwner::Join(self.id.clone());
        self.join_alarm.cancel(turn.queue, owner);
        let is_missing =
            |member: &super::member::Member| member.joining.is_none() && member.instance.is_none();
        let members = self.members.iter();
        let missing: Vec<ByteString> = members
            .filter(|(_, member)| is_missing(member))
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            self.remove(&id, ErrorCode::UnknownMemberId, turn);
        }
        if self.members.is_empty() || self.elect_leader() {
            self.start_generation(turn);
        } else {
            // Only static members are left, and none of them has come back: they get more time.
            let ms = self.rebalance_ms();
            self.wait_for_joins(JoinWait::Rebalance, ms, turn);
        }
    }

    /// Makes sure that the leader is one who has joined.
    fn elect_leader(&mut self) -> bool {
        let leads = |id: &ByteString| {
            let member = self.members.get(id);
            member.is_some_and(|member| member.joining.is_some())
        };
        if self.leader.as_ref().is_some_and(leads) {
            return true;
        }
        let mut members = self.members.iter();
        let next = members.find(|(_, member)| member.joining.is_some());
        let Some((id, _)) = next else {
            return false;
        };
        self.leader = Some(id.clone());
        true
    }

    fn start_generation(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.enter(State::Empty, turn.now);
            self.read_subscriptions();
            let (key, value) = self.record(&|_, member| member.assignment.clone(), self.since_ms);
            let record = Record::Group(key, Some(value));
            // It is as empty in memory if the log does not take it.
            let _ = turn.append(&[record], Write::Empty);
            return;
        }
        self.protocol = self.choose_protocol();
        self.enter(State::CompletingRebalance, turn.now);
        self.read_subscriptions();
        let ids: Vec<ByteString> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(caller) = self.take_joining(&id) {
                let answer = self.joined(&id, self.is_leader(&id));
                turn.answer(turn.end_wait(caller), GroupAnswer::Joined(answer));
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.renew_session(&id, turn);
            self.unsynced.insert(id);
        }
        let at = turn.now.after_ms(self.rebalance_ms());
        let owner = || AlarmOwner::Sync(self.id.clone());
        self.sync_alarm.cancel(turn.queue, owner);
        self.sync_alarm.set(at, turn.queue, owner);
    }

    pub(super) fn cancel_join_alarm(&mut self, turn: &mut Turn<'_>) {
        let owner = || AlarmOwner::Join(self.id.clone());
        self.join_alarm.cancel(turn.queue, owner);
    }

    pub(super) fn cancel_sync_alarm(&mut self, turn: &mut Turn<'_>) {
        let owner = || AlarmOwner::Sync(self.id.clone());
        self.sync_alarm.cancel(turn.queue, owner);
    }

    /// Members that have not asked for their assignment in time are gone.
    pub(super) fn handle_sync_alarm(&mut self, turn: &mut Turn<'_>) {
        let is_under_way = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !is_under_way || self.unsynced.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unsynced) {
            self.remove(&id, ErrorCode::UnknownMemberId, turn);
        }
        self.prepare_rebalance(turn);
    }

    /// The session of a member has ended.
    pub(super) fn handle_session_end(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        let member = self.members.get(id);
        if member.is_some_and(|member| !member.is_waited_for()) {
            self.take_out(id, turn);
            self.settle_after_leave(turn);
        }
    }

    /// An id that was given was not used in time.
    pub(super) fn handle_pending_end(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        self.remove_pending(id, turn);
        self.finish_join_if_whole(turn);
    }

    /// Forgets an id that was given. True if it was one.
    pub(super) fn remove_pending(&mut self, id: &ByteString, turn: &mut Turn<'_>) -> bool {
        let Some(mut alarm) = self.pending.remove(id) else {
            return false;
        };
        let owner = || AlarmOwner::Pending(self.id.clone(), id.clone());
        alarm.cancel(turn.queue, owner);
        true
    }

    /// Takes a member out.
    pub(super) fn take_out(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        self.remove(id, ErrorCode::UnknownMemberId, turn);
    }

    /// Members are gone: the others form a generation without them.
    pub(super) fn settle_after_leave(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance => self.finish_join_if_whole(turn),
            State::Empty | State::Dead => {}
        }
    }

    /// There will be no assignment for this generation: those who wait for it are told so.
    pub(super) fn give_up_assignment(&mut self, code: ErrorCode, turn: &mut Turn<'_>) {
        let ids: Vec<ByteString> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.assignment = bytes::Bytes::new();
            if let Some(caller) = member.syncing.take() {
                turn.refuse_sync(turn.end_wait(caller), code);
                self.renew_session(&id, turn);
            }
        }
    }
}
