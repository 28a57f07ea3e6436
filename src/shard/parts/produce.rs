// SPDX-License-Identifier: Apache-2.0
//! Appends to partitions of this shard.
//!
//! Owns: the produce parts. Invariants: a part is answered when every one of its appends has ended.
//! Runs on: the shard that owns the partitions. Bounded by: the requests in flight.

use bytes::Bytes;

use super::{Part, SubId};
use crate::limits::PRODUCE_WAIT_MS_MIN;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::time::{MonotonicUs, Now};
use crate::partition::{AppendRequest, ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::timers::Timer;

/// Appends that one shard asks of another.
#[derive(Debug)]
pub struct ProduceParts {
    /// What the producer waits for.
    pub acks: Acks,
    /// How long it waits for the in-sync replicas.
    pub timeout_ms: u64,
    /// The batches.
    pub batches: Vec<ProduceBatch>,
}

/// A batch for one partition.
#[derive(Debug)]
pub struct ProduceBatch {
    /// Comes back with the result.
    pub place: usize,
    /// Where to.
    pub at: TopicPartition,
    /// The batch.
    pub records: Bytes,
}

/// How one append ended.
#[derive(Debug)]
pub struct ProduceResult {
    /// Of the batch.
    pub place: usize,
    /// The outcome.
    pub result: Result<Produced, ProduceError>,
}

/// An append that has not ended.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    place: usize,
    at: TopicPartition,
}

/// Appends under way for one request.
#[derive(Debug)]
pub struct ProducePart {
    asker: ShardId,
    request: u64,
    waiting: Vec<Option<Waiting>>,
    results: Vec<ProduceResult>,
    deadline: Option<MonotonicUs>,
}

impl Shard {
    /// Appends for a request of `asker`.
    pub(in crate::shard) fn handle_produce(
        &mut self,
        now: Now,
        asker: ShardId,
        request: u64,
        body: ProduceParts,
        effects: &mut Effects,
    ) {
        let number = self.parts.next_number();
        let waiting = body.batches.iter().map(|batch| {
            let (place, at) = (batch.place, batch.at);
            Some(Waiting { place, at })
        });
        let mut part = ProducePart {
            asker,
            request,
            waiting: waiting.collect(),
            results: Vec::with_capacity(body.batches.len()),
            deadline: None,
        };
        if body.acks == Acks::All {
            let deadline = now.after_ms(body.timeout_ms.max(PRODUCE_WAIT_MS_MIN));
            part.deadline = Some(deadline);
            self.timers.insert(deadline, Timer::Part(number));
        }
        self.parts.insert(number, Part::Produce(part));
        for (place, batch) in body.batches.into_iter().enumerate() {
            let sub = SubId {
                part: number,
                place,
            };
            self.append(now, sub, batch, body.acks, effects);
        }
    }

    fn append(
        &mut self,
        now: Now,
        sub: SubId,
        batch: ProduceBatch,
        acks: Acks,
        effects: &mut Effects,
    ) {
        if self.partitions.slot(batch.at).is_none() {
            self.note_refused(batch.at, &batch.records);
        }
        let append = AppendRequest {
            waiter: sub.pack(),
            acks,
            records: batch.records,
        };
        let done = self.on_partition(batch.at, |partition, events| {
            partition.handle_append(now, append, &mut effects.disk, events);
        });
        if done.is_none() {
            self.handle_produced(sub, Err(ProduceError::NotLeader), effects);
        }
    }

    /// An append ended.
    pub(in crate::shard) fn handle_produced(
        &mut self,
        sub: SubId,
        result: Result<Produced, ProduceError>,
        effects: &mut Effects,
    ) {
        let Some(Part::Produce(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        let Some(waiting) = part.waiting[sub.place].take() else {
            return;
        };
        let place = waiting.place;
        part.results.push(ProduceResult { place, result });
        if part.results.len() < part.waiting.len() {
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
            results: part.results,
        };
        self.send(part.asker, answer, effects);
    }

    /// The time of a part ran out: what has not ended is given up.
    pub(in crate::shard) fn handle_part_timeout(&mut self, number: u64) {
        let Some(Part::Produce(part)) = self.parts.get_mut(number) else {
            return;
        };
        let waiting = part.waiting.iter().enumerate();
        let waiting: Vec<(usize, TopicPartition)> = waiting
            .filter_map(|(place, append)| Some((place, (*append)?.at)))
            .collect();
        for (place, at) in waiting {
            let sub = SubId {
                part: number,
                place,
            };
            self.on_partition(at, |partition, events| {
                partition.handle_give_up(sub.pack(), events);
            });
        }
    }
}
