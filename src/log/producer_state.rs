// SPDX-License-Identifier: Apache-2.0
//! What a partition remembers of idempotent producers (KIP-98): enough to answer a repeated send
//! with its old offsets and to refuse a gap; and which of them have a transaction open here
//! (`transactions`).
//!
//! Owns: the remembered batches by producer id. Invariants: of one producer at least the last five
//! DURABLE batches of its newest epoch are remembered (undurable ones on top), so that losing an
//! undurable tail never loses the sequence; offsets of one producer ascend; who has a transaction
//! open is never forgotten. Runs on: the core of the partition.
//! Bounded by: `PRODUCERS_PER_PARTITION_MAX`; past it the producer that was idle longest goes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub mod transactions;

use super::refused_producers::RefusedProducers;
use crate::limits::{PRODUCER_BATCHES_REMEMBERED, PRODUCERS_PER_PARTITION_MAX};
use crate::model::ids::Offset;
use crate::wire::record::BatchHeader;
use transactions::{EndedTransaction, RememberedMarker};

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberedBatch {
    /// Epoch of the producer.
    pub producer_epoch: i16,
    /// Sequence of the last record.
    pub last_sequence: i32,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Last offset minus first offset.
    pub offset_delta: i32,
    /// Largest timestamp.
    pub timestamp: i64,
}

impl RememberedBatch {
    /// What to remember of a batch with its final offsets.
    #[must_use]
    pub fn of(header: &BatchHeader) -> RememberedBatch {
        RememberedBatch {
            producer_epoch: header.producer_epoch,
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    /// Sequence of the first record; after the largest `i32` comes 0.
    fn base_sequence(&self) -> i32 {
        let span = i64::from(i32::MAX) + 1;
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        i32::try_from(first.rem_euclid(span)).expect("a sequence is below 2^31")
    }

    /// Offset of the first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// What a producer's batch is to this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceCheck {
    /// The next one.
    InOrder,
    /// It was appended before.
    Duplicate(RememberedBatch),
    /// A gap, or older than what is remembered.
    OutOfOrder,
    /// Its epoch is older than the newest one seen.
    Fenced,
}

/// The newest batch of a producer as far as an append in the making has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    producer_epoch: i16,
    last_sequence: i32,
}

/// Where a producer must go on of which every batch was lost or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstMissing {
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
}

impl FirstMissing {
    /// The batch with this header is the first.
    pub(super) fn of(header: &BatchHeader) -> FirstMissing {
        FirstMissing {
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        }
    }

    /// Batches that were sent behind the lost ones must not pass for the first of a new producer:
    /// the lost ones, sent again, would be refused for ever.
    fn check(self, header: &BatchHeader) -> SequenceCheck {
        let expected = match header.producer_epoch.cmp(&self.producer_epoch) {
            Ordering::Less => return SequenceCheck::Fenced,
            Ordering::Equal => self.base_sequence,
            Ordering::Greater => 0,
        };
        if header.base_sequence == expected {
            SequenceCheck::InOrder
        } else {
            SequenceCheck::OutOfOrder
        }
    }
}

/// The sequence after this one: after the largest `i32` comes 0.
fn next_sequence(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}

fn check_next(last: Option<Last>, header: &BatchHeader) -> SequenceCheck {
    let Some(last) = last else {
        // Nothing is known of the producer (retention or the bound forgot it): any sequence may
        // start (KIP-360).
        return SequenceCheck::InOrder;
    };
    if header.producer_epoch < last.producer_epoch {
        return SequenceCheck::Fenced;
    }
    let expected = if header.producer_epoch > last.producer_epoch {
        0
    } else {
        next_sequence(last.last_sequence)
    };
    if header.base_sequence == expected {
        SequenceCheck::InOrder
    } else {
        SequenceCheck::OutOfOrder
    }
}

/// Checks the batches of one append in turn, without changing what is remembered.
#[derive(Debug)]
pub struct SequenceChecker<'a> {
    state: &'a ProducerState,
    /// The newest batch of the first producer; an append of a client has no other.
    first: Option<(i64, Last)>,
    /// Of others.
    others: Vec<(i64, Last)>,
}

impl SequenceChecker<'_> {
    /// Checks the next batch of the append.
    pub fn check(&mut self, header: &BatchHeader) -> SequenceCheck {
        assert!(header.producer_id >= 0);
        if header.base_sequence < 0 {
            return self.state.check_epoch(header);
        }
        let known = self.first.iter().chain(&self.others);
        let mut known = known.filter(|(id, _)| *id == header.producer_id);
        let in_append = known.next();
        let check = match in_append {
            Some((_, last)) => check_next(Some(*last), header),
            None => self.state.check(header),
        };
        if check == SequenceCheck::InOrder {
            self.note(
                header.producer_id,
                Last {
                    producer_epoch: header.producer_epoch,
                    last_sequence: header.last_sequence(),
                },
            );
        }
        check
    }

    fn note(&mut self, producer_id: i64, last: Last) {
        let (first, others) = (&mut self.first, &mut self.others);
        let mut known = first.iter_mut().chain(others.iter_mut());
        if let Some((_, newest)) = known.find(|(id, _)| *id == producer_id) {
            *newest = last;
        } else if first.is_none() {
            *first = Some((producer_id, last));
        } else {
            others.push((producer_id, last));
        }
    }
}

/// One producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Producer {
    /// Oldest first; none if only markers are known of it.
    batches: VecDeque<RememberedBatch>,
    /// The marker that ended its last transaction.
    marker: Option<RememberedMarker>,
    /// First offset of its open transaction.
    open_since: Option<Offset>,
    /// When it was last heard of in this process, by the wall clock; 0 for not at all.
    heard_ms: i64,
}

impl Producer {
    /// Its newest epoch and the sequence before the next one.
    fn newest(&self) -> Option<Last> {
        let batch = self.batches.back().map(|batch| Last {
            producer_epoch: batch.producer_epoch,
            last_sequence: batch.last_sequence,
        });
        // A marker of a newer epoch fences the older one, and the sequence begins anew (KIP-890).
        let marker = self.marker.as_ref().map(|marker| Last {
            producer_epoch: marker.producer_epoch,
            last_sequence: -1,
        });
        match (batch, marker) {
            (Some(batch), Some(marker)) if marker.producer_epoch > batch.producer_epoch => {
                Some(marker)
            }
            (Some(batch), _) => Some(batch),
            (None, marker) => marker,
        }
    }

    /// Offset of its last batch or marker.
    fn last_offset(&self) -> Option<Offset> {
        let batch = self.batches.back().map(|batch| batch.last_offset);
        batch.max(self.marker.as_ref().map(|marker| marker.offset))
    }
}

/// What is known of a producer, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Its id.
    pub id: i64,
    /// Its newest epoch.
    pub producer_epoch: i16,
    /// Sequence of its last record in that epoch, -1 if there is none.
    pub last_sequence: i32,
    /// Largest timestamp of its last batch, or of its marker if there is none.
    pub timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 if there is none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, -1 if there is none.
    pub open_since: Offset,
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: BTreeMap<i64, Producer>,
    /// (last offset, producer id): who was idle longest comes first.
    by_last_offset: BTreeSet<(Offset, i64)>,
    /// Producers that are unknown only because the disk was full or their batches were refused, by
    /// producer id. In memory alone:
    /// a process that ends takes the connections with it, and with them what was sent behind.
    lost: BTreeMap<i64, FirstMissing>,
    /// Open transactions: first offset and producer.
    open: BTreeSet<(Offset, i64)>,
    /// Transactions whose markers may yet be lost, in the order of the markers.
    ended: VecDeque<EndedTransaction>,
}

impl ProducerState {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> ProducerState {
        ProducerState::default()
    }

    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// True if nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// What is known of each producer, by rising id.
    pub fn summaries(&self) -> impl Iterator<Item = ProducerSummary> {
        self.producers.iter().filter_map(|(id, producer)| {
            let newest = producer.newest()?;
            let marker = producer.marker.as_ref();
            let batch = producer.batches.back().map(|batch| batch.timestamp);
            Some(ProducerSummary {
                id: *id,
                producer_epoch: newest.producer_epoch,
                last_sequence: newest.last_sequence,
                timestamp: batch.or(marker.map(|marker| marker.timestamp))?,
                coordinator_epoch: marker.map_or(-1, |marker| marker.coordinator_epoch),
                open_since: producer.open_since.unwrap_or(-1),
            })
        })
    }

    /// The newest batch of a producer.
    #[must_use]
    pub fn newest(&self, producer_id: i64) -> Option<&RememberedBatch> {
        let producer = self.producers.get(&producer_id);
        producer.and_then(|producer| producer.batches.back())
    }

    /// The newest batch of each producer, by rising id.
    pub fn newest_of_each(&self) -> impl Iterator<Item = (i64, &RememberedBatch)> {
        let producers = self.producers.iter();
        producers.filter_map(|(id, producer)| Some((*id, producer.batches.back()?)))
    }

    /// Starts the checks of one append.
    #[must_use]
    pub fn checker(&self) -> SequenceChecker<'_> {
        SequenceChecker {
            state: self,
            first: None,
            others: Vec::new(),
        }
    }

    fn check(&self, header: &BatchHeader) -> SequenceCheck {
        let Some(producer) = self.producers.get(&header.producer_id) else {
            let lost = self.lost.get(&header.producer_id);
            return lost.map_or(SequenceCheck::InOrder, |lost| lost.check(header));
        };
        let repeated = producer.batches.iter().rev().find(|batch| {
            batch.producer_epoch == header.producer_epoch
                && batch.last_sequence == header.last_sequence()
                && batch.offset_delta == header.last_offset_delta
        });
        let newest = producer.newest();
        match repeated {
            Some(batch)
                if newest.is_some_and(|last| last.producer_epoch == batch.producer_epoch) =>
            {
                SequenceCheck::Duplicate(*batch)
            }
            _ => check_next(newest, header),
        }
    }

    /// Checks a batch that the broker writes for a producer: it has no sequence.
    fn check_epoch(&self, header: &BatchHeader) -> SequenceCheck {
        let newest = self.producers.get(&header.producer_id);
        let newest = newest.and_then(Producer::newest);
        if newest.is_some_and(|newest| header.producer_epoch < newest.producer_epoch) {
            return SequenceCheck::Fenced;
        }
        SequenceCheck::InOrder
    }

    /// Remembers an appended batch. Batches at or above `durable_end` may yet be lost.
    pub fn remember(&mut self, producer_id: i64, batch: RememberedBatch, durable_end: Offset) {
        assert!(producer_id >= 0);
        self.lost.remove(&producer_id);
        let producer = self.producers.entry(producer_id).or_default();
        let before = producer.last_offset();
        assert!(
            before.is_none_or(|last| batch.last_offset > last),
            "offsets of one producer ascend"
        );
        let batches = &mut producer.batches;
        batches.push_back(batch);
        let durable = batches
            .iter()
            .filter(|batch| batch.last_offset < durable_end)
            .count();
        // Batches that may yet be lost do not push out durable ones.
        batches.drain(..durable.saturating_sub(PRODUCER_BATCHES_REMEMBERED));
        self.list_anew(producer_id, before);
        self.forget_idlest();
    }

    /// Takes note of when a producer was heard of.
    pub fn note_heard(&mut self, producer_id: i64, wall_ms: i64) {
        if let Some(producer) = self.producers.get_mut(&producer_id) {
            producer.heard_ms = wall_ms;
        }
    }

    /// Forgets producers that were not heard of for so long (`producer.id.expiration.ms`). Kafka
    /// goes by the timestamps of their batches; here the broker's clock counts, from its start on
    /// at the earliest, so that no old timestamp makes it forget who has just sent something.
    pub fn expire(&mut self, wall_ms: i64, after_ms: u64) {
        for producer in self.producers.values_mut() {
            if producer.heard_ms == 0 {
                producer.heard_ms = wall_ms;
            }
        }
        let is_expired = |producer: &Producer| {
            let idle_ms = wall_ms.saturating_sub(producer.heard_ms);
            u64::try_from(idle_ms).is_ok_and(|idle_ms| idle_ms > after_ms)
        };
        let expired: Vec<i64> = self
            .producers
            .iter()
            .filter(|(_, producer)| is_expired(producer) && self.may_forget(producer))
            .map(|(id, _)| *id)
            .collect();
        expired.into_iter().for_each(|id| self.forget(id));
    }

    /// Brings the list of last offsets up to date, where a producer had `before`.
    fn list_anew(&mut self, producer_id: i64, before: Option<Offset>) {
        if let Some(before) = before {
            let was_listed = self.by_last_offset.remove(&(before, producer_id));
            assert!(was_listed);
        }
        let producer = self.producers.get(&producer_id);
        match producer.and_then(Producer::last_offset) {
            Some(last) => {
                self.by_last_offset.insert((last, producer_id));
            }
            None => {
                self.producers.remove(&producer_id);
            }
        }
        debug_assert_eq!(self.producers.len(), self.by_last_offset.len());
    }

    fn forget_idlest(&mut self) {
        if self.producers.len() <= PRODUCERS_PER_PARTITION_MAX {
            return;
        }
        let is_idle = |(_, id): &&(Offset, i64)| {
            let producer = self.producers.get(id);
            producer.is_some_and(|producer| self.may_forget(producer))
        };
        let idlest = self.by_last_offset.iter().find(is_idle);
        if let Some((_, id)) = idlest.copied() {
            self.forget(id);
        }
    }

    fn forget(&mut self, producer_id: i64) {
        let producer = self.producers.remove(&producer_id);
        let last = producer.as_ref().and_then(Producer::last_offset);
        let last = last.expect("who is known has a batch or a marker");
        let was_listed = self.by_last_offset.remove(&(last, producer_id));
        assert!(was_listed);
    }

    /// Forgets every batch and marker that reaches `offset` or beyond: the log was cut there.
    pub fn truncate_from_end(&mut self, offset: Offset) {
        self.reopen_from(offset);
        while let Some(&(last_offset, producer_id)) = self.by_last_offset.last() {
            if last_offset < offset {
                break;
            }
            let producer = self
                .producers
                .get_mut(&producer_id)
                .expect("listed producers are known");
            let batches = &mut producer.batches;
            let mut first_lost = None;
            while let Some(batch) = batches.back()
                && batch.last_offset >= offset
            {
                first_lost = batches.pop_back();
            }
            if let Some(since) = producer.open_since.filter(|since| *since >= offset) {
                producer.open_since = None;
                self.open.remove(&(since, producer_id));
            }
            self.list_anew(producer_id, Some(last_offset));
            if !self.producers.contains_key(&producer_id) {
                let batch = first_lost.expect("a marker was taken back before");
                self.note_lost(producer_id, &batch);
            }
        }
    }

    /// Takes note of producers that were refused. Those that are known have their sequence.
    pub fn note_refused(&mut self, refused: RefusedProducers) {
        for (producer_id, first) in refused.into_first() {
            if !self.producers.contains_key(&producer_id) {
                self.lost.entry(producer_id).or_insert(first);
            }
        }
        while self.lost.len() > PRODUCERS_PER_PARTITION_MAX {
            self.lost.pop_first();
        }
    }

    /// The producers that are unknown only because their batches were lost or refused.
    #[must_use]
    pub fn take_refused(&mut self) -> RefusedProducers {
        RefusedProducers::of(std::mem::take(&mut self.lost))
    }

    fn note_lost(&mut self, producer_id: i64, batch: &RememberedBatch) {
        let first = FirstMissing {
            producer_epoch: batch.producer_epoch,
            base_sequence: batch.base_sequence(),
        };
        self.lost.insert(producer_id, first);
        if self.lost.len() > PRODUCERS_PER_PARTITION_MAX {
            // Ids ascend, so the first one is the oldest.
            self.lost.pop_first();
        }
    }
}

#[cfg(test)]
mod tests;
