// SPDX-License-Identifier: Apache-2.0
//! The coordinator of a transaction is asked before its first batch enters a partition.
//!
//! Owns: the way from a batch that waits to its coordinator and back. Invariants: a batch that goes
//! on with an open transaction waits for nobody; one message asks for all partitions of a request
//! on this shard; what is refused and may be sent again is remembered, so that nothing behind it is
//! taken first. Runs on: the shard that owns the partitions. Bounded by: the requests in flight.

use super::markers::TxnMarker;
use super::produce::ProduceRefusal;
use super::verifications::{Claim, Held, Question};
use super::{Part, SubId};
use crate::limits::TRANSACTION_PATIENCE_MS;
use crate::log::{AppendRules, RefusedProducers};
use crate::model::error_code::ErrorCode;
use crate::model::ids::TopicPartition;
use crate::model::time::Now;
use crate::partition::ProduceError;
use crate::replication::min_insync::Acks;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::transactions::TxnAsk;
use crate::txn::{AddPartitions, TxnAnswer, TxnCall};

impl Shard {
    /// Lets an append wait if its coordinator has to be asked; adds the question to be put.
    pub(super) fn holds_append(
        &mut self,
        sub: SubId,
        acks: Acks,
        questions: &mut Vec<Question>,
    ) -> bool {
        let Some(Part::Produce(part)) = self.parts.get_mut(sub.part) else {
            return false;
        };
        let batch = &part.batches[sub.place];
        let (Some(producer), Some(transaction)) = (batch.producer, &part.transaction) else {
            return false;
        };
        let at = batch.at;
        let slot = self.partitions.slot(at);
        let Some(partition) = slot.and_then(|slot| self.partitions.get(slot)) else {
            return false;
        };
        if !partition.is_open() {
            return false;
        }
        let is_open = partition.has_transaction(producer.id, producer.epoch);
        if is_open && self.verifications.lets_pass(at, producer.id) {
            return false;
        }
        let claim = Claim {
            transactional_id: transaction.transactional_id.clone(),
            producer,
            adds: transaction.adds,
        };
        let held = Held::Append { sub, acks };
        questions.extend(self.verifications.hold(at, claim, held));
        true
    }

    /// Puts questions to coordinators, those about one transaction together.
    pub(in crate::shard) fn ask_for_transactions(
        &mut self,
        mut questions: Vec<Question>,
        effects: &mut Effects,
    ) {
        while let Some(first) = questions.first() {
            let claim = first.claim.clone();
            let (mut same, others): (Vec<Question>, Vec<Question>) = questions
                .into_iter()
                .partition(|question| question.claim == claim);
            questions = others;
            let mut partitions = Vec::with_capacity(same.len());
            same.retain(|question| {
                let name = self.image.topic_names.get(&question.at.topic_id);
                partitions.extend(name.map(|name| (name.clone(), question.at.partition)));
                name.is_some()
            });
            // A partition without a topic is about to go, and what waits there with it.
            if partitions.is_empty() {
                continue;
            }
            let call = TxnCall::AddPartitions(AddPartitions {
                transactional_id: claim.transactional_id.clone(),
                producer: claim.producer,
                partitions,
                verify_only: !claim.adds,
                transaction_version: if claim.adds { 2 } else { 0 },
                patience_ms: if claim.adds {
                    TRANSACTION_PATIENCE_MS
                } else {
                    0
                },
            });
            self.ask_one_transaction(&claim, same, call, effects);
        }
    }

    fn ask_one_transaction(
        &mut self,
        claim: &Claim,
        questions: Vec<Question>,
        call: TxnCall,
        effects: &mut Effects,
    ) {
        let request = self.requests.next_number();
        self.verifications.note_round(request, questions);
        match self.coordinator_of_transaction(&claim.transactional_id) {
            Ok((partition, owner)) => {
                let ask = TxnAsk {
                    place: 0,
                    partition,
                    call,
                };
                let asks = vec![ask];
                self.send(owner, MeshMessage::TxnAsks { request, asks }, effects);
            }
            Err(code) => {
                // Answered like any other question, so that nothing is refused within its own call.
                let answers = vec![(0, call.refusal(code))];
                let to = self.config.shard;
                self.send(to, MeshMessage::TxnsSaid { request, answers }, effects);
            }
        }
    }

    /// Takes the answer of a coordinator, if it was asked for batches that wait; else gives it
    /// back.
    pub(in crate::shard) fn take_verified(
        &mut self,
        now: Now,
        request: u64,
        answers: Vec<(usize, TxnAnswer)>,
        effects: &mut Effects,
    ) -> Option<Vec<(usize, TxnAnswer)>> {
        let Some(questions) = self.verifications.take_round(request) else {
            return Some(answers);
        };
        let codes = match answers.into_iter().next() {
            Some((_, TxnAnswer::Added(codes))) => codes,
            _ => Vec::new(),
        };
        let mut next = Vec::new();
        for (place, question) in questions.iter().enumerate() {
            let code = codes.get(place).copied();
            let code = code.unwrap_or(ErrorCode::UnknownServerError);
            let (ended, further) = self.verifications.take(question);
            next.extend(further);
            for held in ended {
                self.release(now, question.at, held, code, effects);
            }
        }
        self.ask_for_transactions(next, effects);
        None
    }

    /// A coordinator has answered for something that waits.
    fn release(
        &mut self,
        now: Now,
        at: TopicPartition,
        held: Held,
        code: ErrorCode,
        effects: &mut Effects,
    ) {
        match (held, code) {
            (Held::Append { sub, acks }, ErrorCode::None) => {
                self.append(now, sub, acks, AppendRules::VERIFIED, effects);
            }
            (Held::Append { sub, .. }, code) => {
                if may_pass(code) {
                    self.note_held_refused(at, sub, effects);
                }
                self.refuse_append(sub, ProduceRefusal::Coordinator(code), effects);
            }
            (
                Held::Group {
                    asker,
                    request,
                    ask,
                },
                ErrorCode::None,
            ) => {
                self.handle_group_ask(now, asker, request, *ask, effects);
            }
            (
                Held::Group {
                    asker,
                    request,
                    ask,
                },
                code,
            ) => {
                let code = match code {
                    ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
                    // The group's coordinator is the right one: the client need not look for it.
                    ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                        ErrorCode::CoordinatorLoadInProgress
                    }
                    code => code,
                };
                self.refuse_group_ask(asker, request, &ask, code, effects);
            }
        }
    }

    /// A transaction ends in a partition: what waits and may be part of it is too late.
    pub(super) fn refuse_late(
        &mut self,
        at: TopicPartition,
        marker: &TxnMarker,
        effects: &mut Effects,
    ) {
        let (late, next) = self.verifications.take_late(at, marker);
        for held in late {
            match held {
                Held::Append { sub, .. } => {
                    self.refuse_append(sub, ProduceRefusal::Late, effects);
                }
                Held::Group {
                    asker,
                    request,
                    ask,
                } => {
                    let code = ErrorCode::InvalidTxnState;
                    self.refuse_group_ask(asker, request, &ask, code, effects);
                }
            }
        }
        self.ask_for_transactions(next.into_iter().collect(), effects);
    }

    /// The partition in a slot ends, or all do: nothing waits there any more.
    pub(in crate::shard) fn end_verifications(&mut self, slot: Option<u32>, effects: &mut Effects) {
        if self.verifications.is_empty() {
            return;
        }
        let partition = slot.and_then(|slot| self.partitions.get(slot));
        let at = partition.map(|partition| partition.at());
        if slot.is_some() && at.is_none() {
            return;
        }
        for (at, held) in self.verifications.take_all(at) {
            match held {
                Held::Append { sub, .. } => {
                    self.note_held_refused(at, sub, effects);
                    self.refuse_append(sub, ProduceError::NotLeader.into(), effects);
                }
                Held::Group {
                    asker,
                    request,
                    ask,
                } => {
                    let code = ErrorCode::NotCoordinator;
                    self.refuse_group_ask(asker, request, &ask, code, effects);
                }
            }
        }
    }

    /// An append that waited is refused and may be sent again: batches behind it must not overtake
    /// it.
    pub(super) fn note_held_refused(
        &mut self,
        at: TopicPartition,
        sub: SubId,
        effects: &mut Effects,
    ) {
        let Some(Part::Produce(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        let records = std::mem::take(&mut part.batches[sub.place].records);
        let mut refused = RefusedProducers::default();
        refused.note(&records);
        self.on_partition(at, &mut effects.disk, |partition, _, _| {
            partition.handle_refused(refused);
        });
    }
}

/// True for what a coordinator says that another time may be different.
pub(in crate::shard) fn may_pass(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ConcurrentTransactions
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
    )
}
