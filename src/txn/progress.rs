// SPDX-License-Identifier: Apache-2.0
//! What goes on by itself: records that are committed or lost, markers, time.
//!
//! Owns: the completions of [`Coordinator`]. Invariants: markers are asked for when their outcome
//! is committed and not before, and until every partition has one, or is gone; only then the
//! transaction is complete. Runs on: the shard that coordinates. Bounded by: the transactions; in
//! one turn `TRANSACTIONS_PER_TURN`.

use std::collections::VecDeque;
use std::ops::Bound;

use bytestring::ByteString;

use super::coordinator::Coordinator;
use super::request::{MarkerOutcome, MarkerRequest, TxnAnswer, TxnCall, TxnEffects};
use super::state::State;
use super::transaction::{Parked, Pending};
use super::write::{Then, Write, code_of};
use crate::limits::TRANSACTIONS_PER_TURN;
use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::model::time::{MonotonicUs, Now};

impl Coordinator {
    /// A record is committed, or lost.
    pub fn handle_written(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), WriteError>,
        effects: &mut TxnEffects,
    ) {
        let Some(write) = self.writes.take(number) else {
            return;
        };
        match result {
            Ok(()) => self.take_committed(now, &write, effects),
            Err(error) => self.fail(now, &write, code_of(error), effects),
        }
    }

    fn take_committed(&mut self, now: Now, write: &Write, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.get_mut(&write.id) else {
            return;
        };
        match transaction.pending.take() {
            Some(Pending::Facts(facts)) => transaction.facts = *facts,
            Some(Pending::Removal) => return self.remove(now, &write.id, effects),
            None => return,
        }
        let producer = transaction.facts.producer;
        match write.then {
            Then::Init(caller) => {
                effects
                    .answers
                    .push((caller, TxnAnswer::Init(Ok(producer))));
            }
            Then::Add(caller, count) => {
                let timeout_ms = u64::try_from(transaction.facts.timeout_ms).unwrap_or(0);
                let until_us = now.after_ms(timeout_ms);
                transaction.overdue_us.get_or_insert(until_us);
                let codes = vec![ErrorCode::None; count];
                effects.answers.push((caller, TxnAnswer::Added(codes)));
            }
            Then::End(caller) => {
                let next = transaction.facts.successor();
                effects.answers.push((caller, TxnAnswer::Ended(Ok(next))));
            }
            Then::Abort(Some(caller)) => {
                let answer = TxnAnswer::Init(Err(ErrorCode::ConcurrentTransactions));
                effects.answers.push((caller, answer));
            }
            Then::Abort(None) => effects.ended.timed_out += 1,
            Then::Complete => match transaction.facts.state {
                State::CompleteCommit => effects.ended.committed += 1,
                _ => effects.ended.aborted += 1,
            },
            Then::Remove => {}
        }
        if transaction.facts.state.is_ending() {
            transaction.overdue_us = None;
            self.send_markers(now, &write.id, effects);
        } else {
            transaction.note_success();
        }
        self.settle(now, &write.id, effects);
    }

    /// A record is lost: the one before counts.
    pub(super) fn fail(
        &mut self,
        now: Now,
        write: &Write,
        code: ErrorCode,
        effects: &mut TxnEffects,
    ) {
        effects.answers.extend(write.then.refusal(code));
        let Some(transaction) = self.transactions.get_mut(&write.id) else {
            return;
        };
        transaction.pending = None;
        match write.then {
            Then::Complete => transaction.retry_later(now),
            Then::Abort(None) => self.abort_later(now, &write.id),
            _ => {}
        }
        self.settle(now, &write.id, effects);
    }

    /// A record has ended: whoever waited for that goes on.
    fn settle(&mut self, now: Now, id: &ByteString, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.get_mut(id) else {
            return;
        };
        if !transaction.is_busy() {
            if transaction.is_blank() {
                return self.remove(now, id, effects);
            }
            let parked = std::mem::take(&mut transaction.parked);
            self.add_parked(now, parked, effects);
        }
        self.set_alarm(id);
    }

    /// There is no such id any more.
    fn remove(&mut self, now: Now, id: &ByteString, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.remove(id) else {
            return;
        };
        if let Some(at) = transaction.alarm_us {
            self.alarms.remove(&(at, id.clone()));
        }
        self.add_parked(now, transaction.parked, effects);
    }

    fn add_parked(&mut self, now: Now, parked: VecDeque<Parked>, effects: &mut TxnEffects) {
        for Parked {
            until_us,
            caller,
            call,
        } in parked
        {
            self.add(now, caller, call, until_us, effects);
        }
    }

    /// Has markers written where they are missing; with none missing the transaction is complete.
    fn send_markers(&mut self, now: Now, id: &ByteString, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.get_mut(id) else {
            return;
        };
        let facts = &transaction.facts;
        assert!(facts.state.is_ending(), "an outcome is decided first");
        if transaction.pending.is_some() || transaction.sending.is_some() {
            return;
        }
        if facts.partitions.is_empty() {
            let complete = facts.completed(now.wall_ms);
            return self.write(now, id, complete, Then::Complete, effects);
        }
        self.last_marker += 1;
        effects.markers.push(MarkerRequest {
            number: self.last_marker,
            producer: facts.producer,
            is_commit: facts.state == State::PrepareCommit,
            coordinator_epoch: self.epoch,
            transaction_version: facts.version,
            partitions: facts.partitions.all(),
        });
        transaction.sending = Some(self.last_marker);
        self.markers.insert(self.last_marker, id.clone());
    }

    /// What became of markers, in the order of the partitions that were asked for.
    pub fn handle_markers(
        &mut self,
        now: Now,
        number: u64,
        outcomes: &[MarkerOutcome],
        effects: &mut TxnEffects,
    ) {
        let Some(id) = self.markers.remove(&number) else {
            return;
        };
        let Some(transaction) = self.transactions.get_mut(&id) else {
            return;
        };
        if transaction.sending != Some(number) {
            return;
        }
        transaction.sending = None;
        // Nothing was taken away meanwhile, so the order is the same.
        let asked = transaction.facts.partitions.all();
        assert_eq!(asked.len(), outcomes.len(), "an outcome for each partition");
        let mut is_left = false;
        for (partition, outcome) in asked.iter().zip(outcomes) {
            match outcome {
                MarkerOutcome::Later => is_left = true,
                MarkerOutcome::Written | MarkerOutcome::Gone | MarkerOutcome::Fenced => {
                    transaction.facts.partitions.remove(partition);
                }
            }
        }
        match is_left {
            true => transaction.retry_later(now),
            false => {
                transaction.note_success();
                self.send_markers(now, &id, effects);
            }
        }
        self.set_alarm(&id);
    }

    /// When it wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        let first = self.alarms.first().map(|(at, _)| *at);
        first.into_iter().chain(self.expiry_us).min()
    }

    /// Does what has become due; the rest of it, if there is much, when it is called again.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut TxnEffects) {
        for _ in 0..TRANSACTIONS_PER_TURN {
            let first = self.alarms.first();
            let Some((_, id)) = first.filter(|(at, _)| *at <= now.monotonic_us).cloned() else {
                break;
            };
            self.ring(now, &id, effects);
            self.set_alarm(&id);
        }
        if self.expiry_us.is_some_and(|at| at <= now.monotonic_us) {
            self.expire(now, effects);
        }
    }

    fn ring(&mut self, now: Now, id: &ByteString, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.get_mut(id) else {
            return;
        };
        let is_due = |at: MonotonicUs| at <= now.monotonic_us;
        let parked = std::mem::take(&mut transaction.parked);
        for parked in parked {
            if is_due(parked.until_us) {
                let call = TxnCall::AddPartitions(parked.call);
                let answer = call.refusal(ErrorCode::ConcurrentTransactions);
                effects.answers.push((parked.caller, answer));
            } else {
                transaction.parked.push_back(parked);
            }
        }
        let is_overdue = transaction.overdue_us.is_some_and(is_due);
        if transaction.retry_us.is_some_and(is_due) {
            transaction.retry_us = None;
            self.send_markers(now, id, effects);
        }
        if is_overdue {
            self.abort_overdue(now, id, effects);
        }
    }

    /// Looks for ids that have expired.
    fn expire(&mut self, now: Now, effects: &mut TxnEffects) {
        let from = self.looked_at.take();
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut gone = Vec::new();
        let some = self.transactions.range((from, Bound::Unbounded));
        for (id, transaction) in some.take(TRANSACTIONS_PER_TURN) {
            let facts = &transaction.facts;
            let idle_ms = now.wall_ms.saturating_sub(facts.updated_ms);
            let is_quiet = facts.state.is_quiet() && transaction.pending.is_none();
            if is_quiet && idle_ms >= self.settings.expiration_ms {
                gone.push(id.clone());
            }
            last = Some(id.clone());
        }
        for id in gone {
            self.write_removal(now, id, effects);
        }
        let behind = last
            .as_ref()
            .map(|last| (Bound::Excluded(last), Bound::Unbounded));
        let is_more = behind.is_some_and(|behind| {
            let mut rest = self.transactions.range::<ByteString, _>(behind);
            rest.next().is_some()
        });
        let pause_ms = match is_more {
            true => 0,
            false => self.settings.expiration_check_ms,
        };
        self.looked_at = last.filter(|_| is_more);
        self.expiry_us = Some(now.after_ms(pause_ms));
    }

    fn write_removal(&mut self, now: Now, id: ByteString, effects: &mut TxnEffects) {
        let Some(batch) = self.writes.batch(now.wall_ms, &id, None) else {
            return; // It was written with a value, so it fits without.
        };
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.pending = Some(Pending::Removal);
            let then = Then::Remove;
            let number = self.writes.push(Write { id, then });
            effects.appends.push((number, batch));
        }
    }

    /// Gives a transaction its place in the queue of alarms.
    pub(super) fn set_alarm(&mut self, id: &ByteString) {
        let Some((id, transaction)) = self.transactions.get_key_value(id) else {
            return;
        };
        let (before, wanted) = (transaction.alarm_us, transaction.due_us());
        if before == wanted {
            return;
        }
        if let Some(at) = before {
            self.alarms.remove(&(at, id.clone()));
        }
        if let Some(at) = wanted {
            self.alarms.insert((at, id.clone()));
        }
        let id = id.clone();
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.alarm_us = wanted;
        }
    }
}
