// SPDX-License-Identifier: Apache-2.0
//! The coordinators of transactions of this shard: one for each partition of `__transaction_state`
//! that it leads.
//!
//! Owns: [`Transactions`], what is particular to transactions among coordinators (`seats`): the
//! markers that they have written, the producer ids that they want. Invariants: those of `seats`;
//! whoever asked for markers hears of them once, unless it was given up. Runs on: its shard.
//! Bounded by: the partitions of the topic.

use std::collections::VecDeque;

use bytes::Bytes;

use super::api::asks::{AskPlan, Outcome};
use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::parts::PLACES_MAX;
use super::parts::asks::Question;
use super::parts::markers::TxnMarker;
use super::seats::{Answers, Appends, Coordinates, NewSeat, SeatAsk, Seats};
use super::timers::Timer;
use crate::config::transactions::TransactionSettings;
use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::time::{MonotonicUs, Now};
use crate::txn::{
    Caller, Coordinator, ListFilter, MarkerOutcome, MarkerRequest, TRANSACTIONS_TOPIC, TxnAnswer,
    TxnCall, TxnEffects,
};
use crate::wire::protocol::list_transactions::TransactionState as Listed;
use crate::wire::record::EndMarker;

/// A call to the coordinator of one partition.
pub type TxnAsk = SeatAsk<TxnCall>;

/// All coordinators of transactions of a shard.
pub struct Transactions {
    settings: TransactionSettings,
    pub(super) seats: Seats<Coordinator>,
    /// Seats that wait for a producer id, in the order in which they get one.
    wanting: VecDeque<(i32, u64)>,
}

impl Transactions {
    /// No coordinators yet.
    pub fn new(settings: TransactionSettings) -> Transactions {
        Transactions {
            settings,
            seats: Seats::default(),
            wanting: VecDeque::new(),
        }
    }

    /// The settings of transactions.
    pub fn settings(&self) -> &TransactionSettings {
        &self.settings
    }

    /// How many coordinators there are, how many of them are loading, and their transactional ids.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.seats.counts(Coordinator::count)
    }

    fn list(&self, now: Now, filter: &ListFilter) -> Result<Vec<Listed>, ErrorCode> {
        let mut all = Vec::new();
        for seat in self.seats.seats.values() {
            if seat.coordinator.is_loading() {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            all.extend(seat.coordinator.list(now, filter));
        }
        Ok(all)
    }
}

impl Coordinates for Coordinator {
    type Call = TxnCall;
    type Answer = TxnAnswer;
    type Effects = TxnEffects;

    const TOPIC: &'static str = TRANSACTIONS_TOPIC;
    const KEPT: &'static str = "transactions";
    const PLACE: usize = PLACES_MAX - 2;

    fn seats(shard: &Shard) -> &Seats<Coordinator> {
        &shard.transactions.seats
    }

    fn seats_mut(shard: &mut Shard) -> &mut Seats<Coordinator> {
        &mut shard.transactions.seats
    }

    fn take_seat(shard: &Shard, seat: NewSeat) -> Coordinator {
        Coordinator::new(
            shard.transactions.settings.clone(),
            seat.leader_epoch,
            seat.batch_bytes_max,
        )
    }

    fn timer(partition: u32) -> Timer {
        Timer::Transactions(partition)
    }

    /// Nobody waits for others here: a transaction ends as fast as its log and its markers.
    fn said(request: u64, _: u64, answers: Vec<(usize, TxnAnswer)>) -> MeshMessage {
        MeshMessage::TxnsSaid { request, answers }
    }

    fn refusal(call: &TxnCall, code: ErrorCode) -> TxnAnswer {
        call.refusal(code)
    }

    fn code_while_loading(_: &TxnCall) -> ErrorCode {
        ErrorCode::CoordinatorLoadInProgress
    }

    fn hold(_: &mut Shard, _: (ShardId, u64), ask: TxnAsk, _: &mut Effects) -> Option<TxnAsk> {
        Some(ask)
    }

    fn answer_for_all(shard: &Shard, now: Now, call: &TxnCall) -> Option<TxnAnswer> {
        match call {
            TxnCall::List(filter) => Some(TxnAnswer::Listed(shard.transactions.list(now, filter))),
            _ => None,
        }
    }

    fn outbox(effects: &mut TxnEffects) -> (&mut Answers<TxnAnswer>, &mut Appends) {
        (&mut effects.answers, &mut effects.appends)
    }

    fn settle_rest(shard: &mut Shard, now: Now, partition: i32, effects: &mut Effects) {
        shard.ask_producer_ids(now, partition, effects);
        shard.put_markers(now, partition, effects);
    }

    fn is_loading(&self) -> bool {
        self.is_loading()
    }

    fn handle_loaded(&mut self, batches: &Bytes) {
        self.handle_loaded(batches);
    }

    fn handle_load_done(&mut self, now: Now, _: &mut TxnEffects) -> usize {
        self.handle_load_done(now)
    }

    fn handle_unload(&mut self, _: Now, out: &mut TxnEffects) {
        self.handle_unload(out);
    }

    fn handle_call(&mut self, now: Now, caller: Caller, call: TxnCall, out: &mut TxnEffects) {
        self.handle_call(now, caller, call, out);
    }

    fn handle_written(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), WriteError>,
        out: &mut TxnEffects,
    ) {
        self.handle_written(now, number, result, out);
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        self.next_deadline()
    }

    fn handle_timeout(&mut self, now: Now, out: &mut TxnEffects) {
        self.handle_timeout(now, out);
    }
}

impl Shard {
    /// The partition of the topic that keeps a transactional id, and the shard that leads it.
    pub(super) fn coordinator_of_transaction(
        &self,
        transactional_id: &str,
    ) -> Result<(i32, ShardId), ErrorCode> {
        self.coordinator_of::<Coordinator>(transactional_id)
    }

    /// Coordinators have answered, to a client or to partitions.
    pub(super) fn take_txn_answers(
        &mut self,
        now: Now,
        request: u64,
        answers: Vec<(usize, TxnAnswer)>,
        effects: &mut Effects,
    ) {
        if let Some(answers) = self.take_verified(now, request, answers, effects) {
            self.take_call_answers::<Coordinator>(now, (request, 0), answers, effects);
        }
    }

    /// Puts the markers that a coordinator wants.
    fn put_markers(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        for markers in std::mem::take(&mut self.transactions.seats.out.markers) {
            let Some(seat) = self.transactions.seats.seats.get(&partition) else {
                return;
            };
            let (seat, number) = (seat.number, markers.number);
            let plan = self.plan_markers(&markers);
            let finish = move |shard: &mut Shard, now, outcomes: Vec<Outcome>, effects: &mut _| {
                shard.take_markers(now, (partition, seat, number), &outcomes, effects);
            };
            plan.put_for_shard(self, now, effects, Box::new(finish));
        }
    }

    fn plan_markers(&self, markers: &MarkerRequest) -> AskPlan {
        let mut plan = AskPlan::default();
        for (topic, partition) in &markers.partitions {
            let question = Question::Marker(TxnMarker {
                producer_id: markers.producer.id,
                producer_epoch: markers.producer.epoch,
                marker: EndMarker {
                    is_commit: markers.is_commit,
                    coordinator_epoch: markers.coordinator_epoch,
                },
                transaction_version: markers.transaction_version,
            });
            plan.push(self.route_by_name(topic, *partition), question);
        }
        plan
    }

    /// Partitions have said what became of their markers.
    fn take_markers(
        &mut self,
        now: Now,
        (partition, seat_number, number): (i32, u64, u64),
        outcomes: &[Outcome],
        effects: &mut Effects,
    ) {
        let Some((seat, out)) = self.transactions.seats.with_out(partition) else {
            return;
        };
        if seat.number != seat_number {
            return; // It was given up since, and the next one asks again.
        }
        let outcomes: Vec<MarkerOutcome> = outcomes.iter().map(marker_outcome).collect();
        seat.coordinator.handle_markers(now, number, &outcomes, out);
        self.settle_seat::<Coordinator>(now, partition, effects);
    }

    /// Gets the producer ids that a coordinator wants.
    fn ask_producer_ids(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        let wanted = std::mem::take(&mut self.transactions.seats.out.ids_wanted);
        if wanted == 0 {
            return;
        }
        let Some(seat) = self.transactions.seats.seats.get(&partition) else {
            return;
        };
        let number = seat.number;
        for _ in 0..wanted {
            self.transactions.wanting.push_back((partition, number));
        }
        self.give_producer_ids(now, effects);
    }

    /// Gives coordinators the producer ids that they want, as far as this shard has some.
    pub(super) fn give_producer_ids(&mut self, now: Now, effects: &mut Effects) {
        while !self.transactions.wanting.is_empty() {
            let Some(id) = self.take_producer_id(effects) else {
                return; // More were asked for.
            };
            self.give_producer_id(now, Ok(id), effects);
        }
    }

    /// There are no producer ids: whoever waits for one is told.
    pub(super) fn refuse_producer_ids(&mut self, now: Now, effects: &mut Effects) {
        for _ in 0..self.transactions.wanting.len() {
            let code = ErrorCode::CoordinatorNotAvailable;
            self.give_producer_id(now, Err(code), effects);
        }
    }

    fn give_producer_id(
        &mut self,
        now: Now,
        result: Result<i64, ErrorCode>,
        effects: &mut Effects,
    ) {
        let Some((partition, seat_number)) = self.transactions.wanting.pop_front() else {
            return;
        };
        let Some((seat, out)) = self.transactions.seats.with_out(partition) else {
            return;
        };
        if seat.number != seat_number {
            return; // It was given up since, and with it whoever waited.
        }
        seat.coordinator.handle_producer_id(now, result, out);
        self.settle_seat::<Coordinator>(now, partition, effects);
    }
}

/// What an answer of a partition means for the transaction.
fn marker_outcome(outcome: &Outcome) -> MarkerOutcome {
    match outcome {
        Ok(_) => MarkerOutcome::Written,
        Err(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => MarkerOutcome::Gone,
        Err(ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced) => MarkerOutcome::Fenced,
        Err(_) => MarkerOutcome::Later,
    }
}
