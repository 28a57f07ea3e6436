// SPDX-License-Identifier: Apache-2.0
//! Appends to partitions of this shard.
//!
//! Owns: the produce parts. Invariants: a part is answered when every one of its appends has ended.
//! Runs on: the shard that owns the partitions. Bounded by: the requests in flight.

use bytes::Bytes;
use bytestring::ByteString;

use super::{AnswerPlace, Part, SubId};
use crate::limits::PRODUCE_WAIT_MS_MIN;
use crate::log::AppendRules;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ConnectionId, ShardId, TopicPartition};
use crate::model::time::{MonotonicUs, Now};
use crate::partition::{AppendRequest, AppendWait, ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::{MeshMessage, Origin};
use crate::shard::stage::{Stage, Way};
use crate::shard::timers::Timer;
use crate::txn::Producer;

/// Appends that one shard asks of another.
#[derive(Debug)]
pub struct ProduceParts {
    /// Whose request it is.
    pub connection: ConnectionId,
    /// What the producer waits for.
    pub acks: Acks,
    /// How long it waits for the in-sync replicas.
    pub timeout_ms: u64,
    /// The transaction that batches are part of.
    pub transaction: Option<InTransaction>,
    /// The batches.
    pub batches: Vec<ProduceBatch>,
}

/// What a request says of its transaction.
#[derive(Clone, Debug)]
pub struct InTransaction {
    /// The transactional id.
    pub transactional_id: ByteString,
    /// True if its partitions are added to the transaction by it (KIP-890), false if they have to
    /// have been added.
    pub adds: bool,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceRefusal {
    /// The partition refused it.
    Partition(ProduceError),
    /// The coordinator of its transaction did not confirm that it is a part of it.
    Coordinator(ErrorCode),
    /// Its transaction ended while the coordinator was asked.
    Late,
}

/// A batch for one partition. It comes back without its records and with its outcome.
#[derive(Debug)]
pub struct ProduceBatch {
    /// Whose answer it is.
    pub place: AnswerPlace,
    /// Where to.
    pub at: TopicPartition,
    /// The batch.
    pub records: Bytes,
    /// Whose transaction it is a part of, if it is.
    pub producer: Option<Producer>,
    /// How the append ended, once it has.
    pub outcome: Option<Result<Produced, ProduceRefusal>>,
}

impl From<ProduceError> for ProduceRefusal {
    fn from(error: ProduceError) -> ProduceRefusal {
        ProduceRefusal::Partition(error)
    }
}

/// Appends under way for one request.
#[derive(Debug)]
pub struct ProducePart {
    asker: ShardId,
    request: u64,
    pub(super) transaction: Option<InTransaction>,
    pub(super) batches: Vec<ProduceBatch>,
    /// Appends that have not ended.
    waiting: usize,
    deadline: Option<MonotonicUs>,
    /// What the append waited for that ended last.
    way: Way,
}

impl Shard {
    /// Appends for a request of another shard, or of this one.
    pub(in crate::shard) fn handle_produce(
        &mut self,
        now: Now,
        origin: Origin,
        request: u64,
        body: ProduceParts,
        effects: &mut Effects,
    ) {
        self.quotas.charge(origin.shard, body.connection);
        let number = self.parts.next_number();
        let count = body.batches.len();
        let mut part = ProducePart {
            asker: origin.shard,
            request,
            transaction: body.transaction,
            batches: body.batches,
            waiting: count,
            deadline: None,
            way: Way {
                hop_us: origin.hop_us,
                ..Way::default()
            },
        };
        if body.acks == Acks::All {
            let deadline = now.after_ms(body.timeout_ms.max(PRODUCE_WAIT_MS_MIN));
            part.deadline = Some(deadline);
            self.timers.insert(deadline, Timer::Part(number));
        }
        let is_in_transaction = part.transaction.is_some();
        self.parts.insert(number, Part::Produce(part));
        let mut questions = Vec::new();
        for place in 0..count {
            let sub = SubId {
                part: number,
                place,
            };
            if is_in_transaction && self.holds_append(sub, body.acks, &mut questions) {
                continue;
            }
            self.append(now, sub, body.acks, AppendRules::CLIENT, effects);
        }
        if !questions.is_empty() {
            self.ask_for_transactions(questions, effects);
        }
    }

    /// Appends a batch of a part by these rules.
    pub(super) fn append(
        &mut self,
        now: Now,
        sub: SubId,
        acks: Acks,
        rules: AppendRules,
        effects: &mut Effects,
    ) {
        let Some(Part::Produce(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        let batch = &mut part.batches[sub.place];
        let at = batch.at;
        let records = std::mem::take(&mut batch.records);
        if self.partitions.slot(at).is_none() {
            self.note_refused(at, &records);
        }
        let append = AppendRequest {
            waiter: sub.pack(),
            came_us: now.monotonic_us,
            acks,
            records,
        };
        let done = self.on_partition(at, &mut effects.disk, |partition, disk, events| {
            partition.handle_append_as(now, append, rules, disk, events);
        });
        if done.is_none() {
            self.refuse_append(sub, ProduceError::NotLeader.into(), effects);
        }
    }

    /// A batch is not appended.
    pub(super) fn refuse_append(
        &mut self,
        sub: SubId,
        refusal: ProduceRefusal,
        effects: &mut Effects,
    ) {
        self.handle_produced(sub, Err(refusal), None, effects);
    }

    /// An append ended.
    pub(in crate::shard) fn handle_produced(
        &mut self,
        sub: SubId,
        result: Result<Produced, ProduceRefusal>,
        waited: Option<AppendWait>,
        effects: &mut Effects,
    ) {
        let Some(Part::Produce(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        if let Some(AppendWait { came_us, round }) = waited {
            let hop_us = part.way.hop_us;
            part.way = Way::of_append(came_us, &round);
            part.way.hop_us = hop_us;
            effects.note_stage(Stage::Gather, part.way.gather_us);
        }
        let batch = &mut part.batches[sub.place];
        if batch.outcome.is_some() {
            return;
        }
        batch.outcome = Some(result);
        part.waiting -= 1;
        if part.waiting > 0 {
            return;
        }
        let Some(Part::Produce(part)) = self.parts.remove(sub.part) else {
            return;
        };
        if let Some(deadline) = part.deadline {
            self.timers.remove(deadline, Timer::Part(sub.part));
        }
        let answer = MeshMessage::Produced {
            request: part.request,
            batches: part.batches,
            way: part.way,
        };
        self.send(part.asker, answer, effects);
    }

    /// The time of a part ran out: what has not ended is given up.
    pub(in crate::shard) fn handle_part_timeout(&mut self, number: u64, effects: &mut Effects) {
        let Some(Part::Produce(part)) = self.parts.get_mut(number) else {
            return;
        };
        let batches = part.batches.iter().enumerate();
        let waiting: Vec<(usize, TopicPartition, Option<Producer>)> = batches
            .filter(|(_, batch)| batch.outcome.is_none())
            .map(|(place, batch)| (place, batch.at, batch.producer))
            .collect();
        for (place, at, producer) in waiting {
            let sub = SubId {
                part: number,
                place,
            };
            if let Some(producer) = producer
                && self.verifications.give_up(at, producer.id, sub)
            {
                self.note_held_refused(at, sub, effects);
                self.refuse_append(sub, ProduceError::TimedOut.into(), effects);
                continue;
            }
            self.on_partition(at, &mut effects.disk, |partition, _, events| {
                partition.handle_give_up(sub.pack(), events);
            });
        }
    }
}
