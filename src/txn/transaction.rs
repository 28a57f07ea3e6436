// SPDX-License-Identifier: Apache-2.0
//! One transactional id at its coordinator: what is in the log of it, what is under way, who waits.
//!
//! Owns: [`Transaction`]. Invariants: one record is under way at most, and until it is committed
//! the one before counts. Runs on: the shard that coordinates. Bounded by:
//! `TRANSACTION_WAITERS_MAX`.

use std::collections::VecDeque;

use super::facts::{Facts, NO_EPOCH};
use super::request::{AddPartitions, Caller};
use super::state::State;
use crate::limits::TRANSACTION_MARKER_RETRY_MS_MAX;
use crate::model::time::{MonotonicUs, Now};

/// How long it takes until what failed for the first time is tried again, in milliseconds.
const RETRY_MS: u64 = 20;

/// A record under way.
#[derive(Debug)]
pub(super) enum Pending {
    /// What it says.
    Facts(Box<Facts>),
    /// That the id is gone.
    Removal,
}

/// An addition that waits for the end of the transaction before.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) until_us: MonotonicUs,
    pub(super) caller: Caller,
    pub(super) call: AddPartitions,
}

/// One transactional id.
#[derive(Debug)]
pub(super) struct Transaction {
    /// What is committed.
    pub(super) facts: Facts,
    pub(super) pending: Option<Pending>,
    pub(super) parked: VecDeque<Parked>,
    /// When the open transaction has lasted too long.
    pub(super) overdue_us: Option<MonotonicUs>,
    /// The markers under way, by their number.
    pub(super) sending: Option<u64>,
    /// When markers, or the record behind them, are tried again.
    pub(super) retry_us: Option<MonotonicUs>,
    tries: u32,
    /// Its place in the queue of alarms.
    pub(super) alarm_us: Option<MonotonicUs>,
}

impl Transaction {
    /// One of which nothing is under way.
    pub(super) fn new(facts: Facts) -> Transaction {
        Transaction {
            facts,
            pending: None,
            parked: VecDeque::new(),
            overdue_us: None,
            sending: None,
            retry_us: None,
            tries: 0,
            alarm_us: None,
        }
    }

    /// One that was read from the log.
    pub(super) fn loaded(facts: Facts, now: Now) -> Transaction {
        let mut transaction = Transaction::new(facts);
        let facts = &transaction.facts;
        if facts.state == State::Ongoing {
            // The wall clock may have been set: nobody gets longer than what was asked for.
            let timeout_ms = u64::try_from(facts.timeout_ms).unwrap_or(0);
            let lasted_ms = now.wall_ms.saturating_sub(facts.started_ms);
            let lasted_ms = u64::try_from(lasted_ms).unwrap_or(0);
            transaction.overdue_us = Some(now.after_ms(timeout_ms.saturating_sub(lasted_ms)));
        }
        if transaction.facts.state.is_ending() {
            transaction.retry_us = Some(now.monotonic_us);
        }
        transaction
    }

    /// Nothing of it is in the log.
    pub(super) fn is_blank(&self) -> bool {
        self.facts.producer.epoch == NO_EPOCH
    }

    /// A record is under way, or markers are.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some() || self.facts.state.is_ending()
    }

    /// It failed: it is tried again, later each time.
    pub(super) fn retry_later(&mut self, now: Now) {
        let pause_ms = RETRY_MS << self.tries.min(16);
        let pause_ms = pause_ms.min(TRANSACTION_MARKER_RETRY_MS_MAX);
        self.tries += 1;
        self.retry_us = Some(now.after_ms(pause_ms));
    }

    /// What was tried has succeeded.
    pub(super) fn note_success(&mut self) {
        self.tries = 0;
        self.retry_us = None;
    }

    /// When something is due.
    pub(super) fn due_us(&self) -> Option<MonotonicUs> {
        let parked = self.parked.iter().map(|parked| parked.until_us);
        let others = [self.overdue_us, self.retry_us];
        parked.chain(others.into_iter().flatten()).min()
    }
}
