// SPDX-License-Identifier: Apache-2.0
//! The coordinator of all transactions that one partition of `__transaction_state` keeps.
//!
//! Owns: [`Coordinator`]. Invariants: no call is answered before its record is committed; nothing
//! is answered from a log that is not read to its end; a coordinator that is given up answers
//! everybody who waits. Runs on: the shard that leads the partition. Bounded by:
//! `TRANSACTIONS_PER_COORDINATOR_MAX`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

use super::decide::{self, End, SpareIds, Stop};
use super::facts::Facts;
use super::list::{described, listed};
use super::load::Loading;
use super::request::{
    AddPartitions, Caller, EndTransaction, InitProducer, ListFilter, TxnAnswer, TxnCall, TxnEffects,
};
use super::state::State;
use super::transaction::{Parked, Pending, Transaction};
use super::write::{Then, Write, Writes, code_of};
use crate::config::transactions::TransactionSettings;
use crate::limits::{TRANSACTION_WAITERS_MAX, TRANSACTIONS_PER_COORDINATOR_MAX};
use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::model::time::{MonotonicUs, Now};
use crate::wire::protocol::list_transactions::TransactionState as Listed;

/// How long a transaction that has lasted too long is left alone while a record of it is under way,
/// in milliseconds.
const BUSY_PAUSE_MS: u64 = 10;

/// What is handled again once there is a producer id.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A call.
    Call(Caller, TxnCall),
    /// The end of a transaction that has lasted too long.
    Overdue(ByteString),
}

/// The transactional ids of one partition.
pub struct Coordinator {
    pub(super) settings: TransactionSettings,
    /// Leader epoch of the partition: markers carry it.
    pub(super) epoch: i32,
    pub(super) transactions: BTreeMap<ByteString, Transaction>,
    loading: Option<Loading>,
    pub(super) writes: Writes,
    /// The ids whose markers are under way.
    pub(super) markers: BTreeMap<u64, ByteString>,
    pub(super) last_marker: u64,
    pub(super) alarms: BTreeSet<(MonotonicUs, ByteString)>,
    ids: SpareIds,
    waiting: VecDeque<Waiting>,
    /// When expired ids are looked for next, and behind which one.
    pub(super) expiry_us: Option<MonotonicUs>,
    pub(super) looked_at: Option<ByteString>,
}

impl Coordinator {
    /// A coordinator whose log has to be read.
    #[must_use]
    pub fn new(settings: TransactionSettings, epoch: i32, batch_bytes_max: usize) -> Coordinator {
        Coordinator {
            settings,
            epoch,
            transactions: BTreeMap::new(),
            loading: Some(Loading::default()),
            writes: Writes::new(batch_bytes_max),
            markers: BTreeMap::new(),
            last_marker: 0,
            alarms: BTreeSet::new(),
            ids: SpareIds::default(),
            waiting: VecDeque::new(),
            expiry_us: None,
            looked_at: None,
        }
    }

    /// True until its log is read.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// How many transactional ids there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.transactions.len()
    }

    /// How many transactional ids are in this state, as far as it is committed.
    #[must_use]
    pub fn count_in(&self, state: State) -> usize {
        let all = self.transactions.values();
        all.filter(|one| !one.is_blank() && one.facts.state == state)
            .count()
    }

    /// True if nothing is under way, to the log or to partitions.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writes.is_empty() && self.markers.is_empty() && self.waiting.is_empty()
    }

    /// The state of a transactional id, as far as it is committed.
    #[must_use]
    pub fn state_of(&self, id: &str) -> Option<State> {
        let transaction = self.transactions.get(id)?;
        (!transaction.is_blank()).then_some(transaction.facts.state)
    }

    /// Takes whole batches of the log, in order.
    pub fn handle_loaded(&mut self, batches: &Bytes) {
        if let Some(loading) = &mut self.loading {
            loading.take(batches);
        }
    }

    /// The log is read: what was decided goes on. Gives the number of records that could not be
    /// read.
    pub fn handle_load_done(&mut self, now: Now) -> usize {
        let Some(loading) = self.loading.take() else {
            return 0;
        };
        let (transactions, unreadable) = loading.finish(now);
        self.transactions = transactions;
        let all: Vec<ByteString> = self.transactions.keys().cloned().collect();
        for id in all {
            self.set_alarm(&id);
        }
        self.expiry_us = Some(now.after_ms(self.settings.expiration_check_ms));
        unreadable
    }

    /// The partition is not led here any more: whoever waits is told, all is forgotten.
    pub fn handle_unload(&mut self, effects: &mut TxnEffects) {
        let code = ErrorCode::NotCoordinator;
        let answers = &mut effects.answers;
        answers.extend(
            self.writes
                .take_all()
                .filter_map(|one| one.then.refusal(code)),
        );
        for waiting in self.waiting.drain(..) {
            if let Waiting::Call(caller, call) = waiting {
                answers.push((caller, call.refusal(code)));
            }
        }
        for transaction in self.transactions.values_mut() {
            for Parked { caller, call, .. } in transaction.parked.drain(..) {
                answers.push((caller, TxnAnswer::Added(vec![code; call.partitions.len()])));
            }
        }
        self.transactions.clear();
        self.markers.clear();
        self.alarms.clear();
        self.ids.clear();
        self.loading = Some(Loading::default());
        self.expiry_us = None;
        self.looked_at = None;
    }

    /// Handles a call. Its answer comes now or later.
    pub fn handle_call(
        &mut self,
        now: Now,
        caller: Caller,
        call: TxnCall,
        effects: &mut TxnEffects,
    ) {
        if self.is_loading() {
            let answer = call.refusal(ErrorCode::CoordinatorLoadInProgress);
            effects.answers.push((caller, answer));
            return;
        }
        match call {
            TxnCall::Init(init) => self.init(now, caller, init, effects),
            TxnCall::AddPartitions(add) => {
                let patience_ms = u64::from(add.patience_ms);
                let until_us = now.after_ms(patience_ms);
                self.add(now, caller, add, until_us, effects);
            }
            TxnCall::End(end) => self.end(now, caller, end, effects),
            TxnCall::Describe { transactional_id } => {
                let answer = self.describe(transactional_id);
                effects.answers.push((caller, answer));
            }
            TxnCall::List(filter) => {
                let answer = TxnAnswer::Listed(Ok(self.list(now, &filter)));
                effects.answers.push((caller, answer));
            }
        }
    }

    fn init(&mut self, now: Now, caller: Caller, call: InitProducer, effects: &mut TxnEffects) {
        let refuse = |code| (caller, TxnAnswer::Init(Err(code)));
        if call.timeout_ms <= 0 || call.timeout_ms > self.settings.timeout_ms_max {
            let answer = refuse(ErrorCode::InvalidTransactionTimeout);
            return effects.answers.push(answer);
        }
        let id = call.transactional_id.clone();
        let known = self.transactions.get(&id);
        let decided = match known {
            Some(transaction) if transaction.is_busy() => {
                Err(Stop::Refused(ErrorCode::ConcurrentTransactions))
            }
            Some(transaction) => {
                decide::init(&transaction.facts, &call, &mut self.ids, now.wall_ms)
            }
            None if self.transactions.len() >= TRANSACTIONS_PER_COORDINATOR_MAX => {
                Err(Stop::Refused(ErrorCode::CoordinatorNotAvailable))
            }
            None => self.ids.take().and_then(|producer_id| {
                let new = Facts::new(producer_id, call.timeout_ms);
                decide::init(&new, &call, &mut self.ids, now.wall_ms)
            }),
        };
        match decided {
            Ok(facts) => {
                let then = match facts.state {
                    State::PrepareAbort => Then::Abort(Some(caller)),
                    _ => Then::Init(caller),
                };
                self.write(now, &id, facts, then, effects);
            }
            Err(Stop::Refused(code)) => effects.answers.push(refuse(code)),
            Err(Stop::NeedsId) => {
                self.wait_for_id(Waiting::Call(caller, TxnCall::Init(call)), effects);
            }
        }
    }

    pub(super) fn add(
        &mut self,
        now: Now,
        caller: Caller,
        call: AddPartitions,
        until_us: MonotonicUs,
        effects: &mut TxnEffects,
    ) {
        let count = call.partitions.len();
        let id = call.transactional_id.clone();
        let Some(transaction) = self.transactions.get_mut(&id) else {
            let codes = vec![ErrorCode::InvalidProducerIdMapping; count];
            return effects.answers.push((caller, TxnAnswer::Added(codes)));
        };
        let decided = match transaction.pending {
            _ if call.verify_only => {
                let codes = decide::verify(&transaction.facts, &call);
                let codes = codes.unwrap_or_else(|code| vec![code; count]);
                return effects.answers.push((caller, TxnAnswer::Added(codes)));
            }
            Some(_) => Err(ErrorCode::ConcurrentTransactions),
            None => decide::add(&transaction.facts, &call, now.wall_ms),
        };
        match decided {
            Ok(Some(facts)) => self.write(now, &id, facts, Then::Add(caller, count), effects),
            Ok(None) => {
                let codes = vec![ErrorCode::None; count];
                effects.answers.push((caller, TxnAnswer::Added(codes)));
            }
            Err(ErrorCode::ConcurrentTransactions)
                if until_us > now.monotonic_us
                    && transaction.parked.len() < TRANSACTION_WAITERS_MAX =>
            {
                let parked = Parked {
                    until_us,
                    caller,
                    call,
                };
                transaction.parked.push_back(parked);
                self.set_alarm(&id);
            }
            Err(code) => {
                let codes = vec![code; count];
                effects.answers.push((caller, TxnAnswer::Added(codes)));
            }
        }
    }

    fn end(&mut self, now: Now, caller: Caller, call: EndTransaction, effects: &mut TxnEffects) {
        let id = call.transactional_id.clone();
        let decided = match self.transactions.get(&id) {
            None => Err(Stop::Refused(ErrorCode::InvalidProducerIdMapping)),
            Some(transaction) if transaction.pending.is_some() => {
                let code = decide::end_while_busy(&transaction.facts, &call);
                Err(Stop::Refused(code))
            }
            Some(transaction) => decide::end(&transaction.facts, &call, &mut self.ids, now.wall_ms),
        };
        match decided {
            Ok(End::Before(producer)) => {
                let answer = TxnAnswer::Ended(Ok(producer));
                effects.answers.push((caller, answer));
            }
            Ok(End::Decided(facts)) => self.write(now, &id, *facts, Then::End(caller), effects),
            Err(Stop::Refused(code)) => {
                let answer = TxnAnswer::Ended(Err(code));
                effects.answers.push((caller, answer));
            }
            Err(Stop::NeedsId) => {
                self.wait_for_id(Waiting::Call(caller, TxnCall::End(call)), effects);
            }
        }
    }

    /// The transaction has lasted too long.
    pub(super) fn abort_overdue(&mut self, now: Now, id: &ByteString, effects: &mut TxnEffects) {
        let Some(transaction) = self.transactions.get_mut(id) else {
            return;
        };
        // Another one may have begun since.
        if transaction
            .overdue_us
            .is_some_and(|at| at > now.monotonic_us)
        {
            return;
        }
        transaction.overdue_us = None;
        if transaction.facts.state != State::Ongoing {
            return;
        }
        if transaction.pending.is_some() {
            // Partitions are being added, or it is being ended.
            transaction.overdue_us = Some(now.after_ms(BUSY_PAUSE_MS));
            return;
        }
        match decide::abort(&transaction.facts, &mut self.ids, now.wall_ms) {
            Ok(facts) => self.write(now, id, facts, Then::Abort(None), effects),
            Err(_) => self.wait_for_id(Waiting::Overdue(id.clone()), effects),
        }
    }

    fn wait_for_id(&mut self, waiting: Waiting, effects: &mut TxnEffects) {
        self.waiting.push_back(waiting);
        effects.ids_wanted += 1;
    }

    /// A producer id that was wanted, or why there is none.
    pub fn handle_producer_id(
        &mut self,
        now: Now,
        result: Result<i64, ErrorCode>,
        effects: &mut TxnEffects,
    ) {
        let waiting = self.waiting.pop_front();
        match result {
            Ok(id) => {
                self.ids.push(id);
                match waiting {
                    Some(Waiting::Call(caller, call)) => {
                        self.handle_call(now, caller, call, effects);
                    }
                    Some(Waiting::Overdue(id)) => {
                        self.abort_overdue(now, &id, effects);
                        self.set_alarm(&id);
                    }
                    None => {}
                }
            }
            Err(code) => match waiting {
                Some(Waiting::Call(caller, call)) => {
                    effects.answers.push((caller, call.refusal(code)));
                }
                Some(Waiting::Overdue(id)) => self.abort_later(now, &id),
                None => {}
            },
        }
    }

    /// Its end failed: it is tried again.
    pub(super) fn abort_later(&mut self, now: Now, id: &ByteString) {
        /// How long it takes until then, in milliseconds.
        const PAUSE_MS: u64 = 1_000;
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.overdue_us = Some(now.after_ms(PAUSE_MS));
            self.set_alarm(id);
        }
    }

    /// Gives a record to the log; what follows is done once it is committed.
    pub(super) fn write(
        &mut self,
        now: Now,
        id: &ByteString,
        facts: Facts,
        then: Then,
        effects: &mut TxnEffects,
    ) {
        let batch = self.writes.batch(now.wall_ms, id, Some(&facts));
        // A text of its own, which holds no frame.
        let id = ByteString::from(&**id);
        let entry = self.transactions.entry(id.clone());
        let transaction = entry
            .or_insert_with(|| Transaction::new(Facts::new(facts.producer.id, facts.timeout_ms)));
        assert!(transaction.pending.is_none(), "one record at a time");
        transaction.pending = Some(Pending::Facts(Box::new(facts)));
        let write = Write { id, then };
        match batch {
            Some(batch) => {
                let number = self.writes.push(write);
                effects.appends.push((number, batch));
            }
            None => self.fail(now, &write, code_of(WriteError::TooLarge), effects),
        }
    }

    fn describe(&self, id: ByteString) -> TxnAnswer {
        let transaction = self.transactions.get(&id);
        match transaction.filter(|transaction| !transaction.is_blank()) {
            Some(transaction) => TxnAnswer::Described(described(&id, &transaction.facts)),
            None => TxnCall::Describe {
                transactional_id: id,
            }
            .refusal(ErrorCode::TransactionalIdNotFound),
        }
    }

    /// The transactional ids that a filter wants.
    #[must_use]
    pub fn list(&self, now: Now, filter: &ListFilter) -> Vec<Listed> {
        let all = self.transactions.iter();
        let there = all.filter(|(_, transaction)| !transaction.is_blank());
        let facts = there.map(|(id, transaction)| (id, &transaction.facts));
        let wanted = facts.filter(|(id, facts)| filter.wants(id, facts, now.wall_ms));
        wanted.map(|(id, facts)| listed(id, facts)).collect()
    }
}
