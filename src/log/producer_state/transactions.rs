// SPDX-License-Identifier: Apache-2.0
//! Transactions of the producers of one partition: which are open, and how far committed records
//! can be read (the last stable offset, LSO).
//!
//! A transaction is open here from its first transactional batch to its marker. It counts for the
//! LSO a little longer: until its marker is committed. Whoever reads committed records is so never
//! told an outcome that a crash could take back.
//!
//! Owns: `EndedTransaction`, [`RememberedMarker`]. Invariants: a producer has one transaction
//! open at most; what a marker did is undone where the marker is lost. Runs on: the core of the
//! partition. Bounded by: `PRODUCERS_PER_PARTITION_MAX` open ones; those that ended by what is not
//! committed yet.

use super::{Producer, ProducerState, RememberedBatch};
use crate::limits::PRODUCERS_PER_PARTITION_MAX;
use crate::log::aborted::AbortedTransaction;
use crate::model::ids::Offset;
use crate::wire::record::{BatchHeader, EndMarker};

/// The marker that ended the last transaction of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberedMarker {
    /// Epoch of the producer.
    pub producer_epoch: i16,
    /// Epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// Its offset; -1 where a snapshot, which does not tell it, was read.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: i64,
}

/// A transaction whose marker is not committed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedTransaction {
    producer_id: i64,
    /// Nothing if the marker found none open.
    first_offset: Option<Offset>,
    marker_offset: Offset,
    /// The marker before this one.
    before: Option<RememberedMarker>,
}

/// Why a marker is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerRefusal {
    /// Its producer epoch is older than the newest one seen.
    ProducerFenced,
    /// A newer coordinator has written a marker of this producer.
    CoordinatorFenced,
}

/// All that a snapshot tells of a producer, but for its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerTail {
    /// Its last marker.
    pub marker: Option<RememberedMarker>,
    /// First offset of its open transaction.
    pub open_since: Option<Offset>,
}

impl ProducerState {
    /// How many transactions are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// First offset of the open transaction of a producer.
    #[must_use]
    pub fn open_since(&self, producer_id: i64) -> Option<Offset> {
        self.producers.get(&producer_id)?.open_since
    }

    /// True if a producer has a transaction open in this epoch of it.
    #[must_use]
    pub fn is_open_in(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let producer = self.producers.get(&producer_id);
        let open = producer.filter(|producer| producer.open_since.is_some());
        let newest = open.and_then(Producer::newest);
        newest.is_some_and(|newest| newest.producer_epoch == producer_epoch)
    }

    /// True if no further transaction can be remembered.
    #[must_use]
    pub fn is_full_of_open(&self) -> bool {
        self.open.len() >= PRODUCERS_PER_PARTITION_MAX
    }

    /// True of a producer that has no transaction open, not even if its last marker is lost.
    pub(super) fn may_forget(&self, producer: &Producer) -> bool {
        let unsettled = self.ended.front().map(|first| first.marker_offset);
        let marker = producer.marker.as_ref().map(|marker| marker.offset);
        let is_settled = unsettled.is_none_or(|from| marker.is_none_or(|marker| marker < from));
        producer.open_since.is_none() && is_settled
    }

    /// The first offset that is not decided, where everything below `committed` is committed.
    #[must_use]
    pub fn first_unstable(&self, committed: Offset) -> Option<Offset> {
        let open = self.open.first().map(|(offset, _)| *offset);
        let ended = self.ended.iter().rev();
        let ended = ended.take_while(|one| one.marker_offset >= committed);
        let ended = ended.filter_map(|one| one.first_offset).min();
        open.into_iter().chain(ended).min()
    }

    /// Markers below this offset are committed: they stay.
    pub fn settle_markers(&mut self, committed: Offset) {
        while let Some(first) = self.ended.front()
            && first.marker_offset < committed
        {
            self.ended.pop_front();
        }
    }

    /// Takes note of an appended transactional batch, which was remembered: it begins a transaction
    /// if none is open.
    pub fn note_transactional(&mut self, header: &BatchHeader) {
        let producer = self.producers.get_mut(&header.producer_id);
        let producer = producer.expect("its batch was remembered");
        if producer.open_since.is_none() {
            producer.open_since = Some(header.base_offset);
            self.open.insert((header.base_offset, header.producer_id));
        }
    }

    /// Whether a marker may be appended. One that was written before may be written again: a
    /// coordinator that does not know whether it arrived repeats it.
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: &EndMarker,
    ) -> Result<(), MarkerRefusal> {
        let Some(producer) = self.producers.get(&header.producer_id) else {
            return Ok(());
        };
        let newest = producer.newest();
        if newest.is_some_and(|newest| header.producer_epoch < newest.producer_epoch) {
            return Err(MarkerRefusal::ProducerFenced);
        }
        let before = producer.marker.as_ref();
        if before.is_some_and(|before| marker.coordinator_epoch < before.coordinator_epoch) {
            return Err(MarkerRefusal::CoordinatorFenced);
        }
        Ok(())
    }

    /// Takes note of an appended marker (one record, at the header's base offset), which may yet be
    /// lost if it is not below `durable_end`. Tells of the transaction if it was aborted.
    pub fn end_transaction(
        &mut self,
        header: &BatchHeader,
        marker: &EndMarker,
        durable_end: Offset,
    ) -> Option<AbortedTransaction> {
        let (producer_id, offset) = (header.producer_id, header.last_offset());
        self.lost.remove(&producer_id);
        let producer = self.producers.entry(producer_id).or_default();
        let last = producer.last_offset();
        let first_offset = producer.open_since.take();
        let before = producer.marker.replace(RememberedMarker {
            producer_epoch: header.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            offset,
            timestamp: header.max_timestamp,
        });
        if let Some(first) = first_offset {
            self.open.remove(&(first, producer_id));
        }
        if offset >= durable_end {
            self.ended.push_back(EndedTransaction {
                producer_id,
                first_offset,
                marker_offset: offset,
                before,
            });
        }
        self.list_anew(producer_id, last);
        self.forget_idlest();
        let still_open = self.open.first().map(|(offset, _)| *offset);
        first_offset
            .filter(|_| !marker.is_commit)
            .map(|first_offset| AbortedTransaction {
                producer_id,
                first_offset,
                last_offset: offset,
                last_stable_offset: still_open.unwrap_or(offset + 1),
            })
    }

    /// Undoes what markers at this offset or behind it did.
    pub(super) fn reopen_from(&mut self, offset: Offset) {
        while let Some(lost) = self.ended.back().copied()
            && lost.marker_offset >= offset
        {
            self.ended.pop_back();
            let producer_id = lost.producer_id;
            let producer = self.producers.entry(producer_id).or_default();
            let last = producer.last_offset();
            if let Some(since) = producer.open_since.take() {
                // It began behind the marker, so it is lost, too; its batches are taken back later.
                self.open.remove(&(since, producer_id));
            }
            producer.marker = lost.before;
            if let Some(first) = lost.first_offset {
                producer.open_since = Some(first);
                self.open.insert((first, producer_id));
            }
            self.list_anew(producer_id, last);
        }
    }

    /// What a snapshot keeps: all batches of each producer, oldest first, and the rest.
    pub fn rows(&self) -> impl Iterator<Item = (i64, Vec<RememberedBatch>, ProducerTail)> {
        self.producers.iter().map(|(id, producer)| {
            let Producer {
                batches,
                marker,
                open_since,
                ..
            } = producer;
            let tail = ProducerTail {
                marker: *marker,
                open_since: *open_since,
            };
            (*id, batches.iter().copied().collect(), tail)
        })
    }

    /// Takes over what a snapshot tells of a producer, after its batches.
    pub fn restore(&mut self, producer_id: i64, tail: ProducerTail) {
        let producer = self.producers.entry(producer_id).or_default();
        let last = producer.last_offset();
        if let Some(since) = producer.open_since.take() {
            self.open.remove(&(since, producer_id));
        }
        producer.marker = tail.marker;
        producer.open_since = tail.open_since;
        if let Some(since) = tail.open_since {
            self.open.insert((since, producer_id));
        }
        self.list_anew(producer_id, last);
    }
}

#[cfg(test)]
mod tests;
