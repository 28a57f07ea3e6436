// SPDX-License-Identifier: Apache-2.0
//! What compaction knows of transactions: which records were aborted, and which markers nobody
//! needs any more.
//!
//! Records of an aborted transaction are outdated wherever they are, and their keys count for
//! nothing. A marker stays while a batch of its transaction is left, be it without records; once
//! there is none, it gets a delete horizon, like a tombstone, and goes when that is past (KIP-534):
//! a consumer that has read the first records of the transaction meets its end until then.
//!
//! Owns: [`Producers`], [`TransactionWalk`]. Invariants: a pass looks only at what is decided (it
//! ends below the last stable offset), and walks from the log start on, so it comes upon every
//! batch that is left of a transaction before its marker. Runs on: the core of the partition.
//! Bounded by: `PRODUCERS_PER_PARTITION_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::aborted::AbortedTransactions;
use super::producer_state::ProducerState;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::ids::Offset;
use crate::wire::record::filter::{Retained, with_delete_horizon};
use crate::wire::record::{BATCH_HEADER_BYTES, BatchHeader, EndMarker};

/// What must stay of each producer, so that a log whose producers are rebuilt from its batches
/// knows them as before.
#[derive(Debug, Default)]
pub(super) struct Producers {
    /// The last offset of the newest batch.
    batches: BTreeMap<i64, Offset>,
    /// The epoch of the newest marker of those that have no batch.
    markers: BTreeMap<i64, i16>,
}

impl Producers {
    pub(super) fn of(state: &ProducerState) -> Producers {
        let newest = state.newest_of_each();
        let batches: BTreeMap<i64, Offset> =
            newest.map(|(id, batch)| (id, batch.last_offset)).collect();
        let only_marked = state
            .summaries()
            .filter(|producer| !batches.contains_key(&producer.id));
        let markers = only_marked
            .map(|producer| (producer.id, producer.producer_epoch))
            .collect();
        Producers { batches, markers }
    }

    /// True for the newest batch of its producer.
    pub(super) fn is_newest(&self, header: &BatchHeader) -> bool {
        self.batches.get(&header.producer_id) == Some(&header.last_offset())
    }

    /// True for the marker that alone tells of its producer.
    fn is_only_trace(&self, header: &BatchHeader) -> bool {
        self.markers.get(&header.producer_id) == Some(&header.producer_epoch)
    }
}

/// What a walk over the log has come upon.
#[derive(Debug, Default)]
pub(super) struct TransactionWalk {
    /// Producers with a batch whose marker was not met yet.
    with_batches: BTreeSet<i64>,
}

impl TransactionWalk {
    /// Takes note of a batch of a transaction. True if its records were aborted.
    pub(super) fn take_batch(
        &mut self,
        header: &BatchHeader,
        aborted: &AbortedTransactions,
    ) -> bool {
        self.with_batches.insert(header.producer_id);
        aborted.is_aborted(header.producer_id, header.base_offset)
    }

    /// Takes note of the end of a transaction. True if a batch of it is left.
    fn take_marker(&mut self, header: &BatchHeader) -> bool {
        self.with_batches.remove(&header.producer_id)
    }

    /// What stays of a control batch, and whether it ends a transaction of which nothing is left.
    pub(super) fn retained(
        &mut self,
        batch: &Bytes,
        header: &BatchHeader,
        producers: &Producers,
        wall_ms: i64,
        delete_retention_ms: u64,
    ) -> (Retained, bool) {
        if header.record_count == 0 {
            // It was kept for its place alone.
            return (Retained::Nothing, false);
        }
        if EndMarker::of_records(header, &batch[BATCH_HEADER_BYTES..]).is_none() {
            return (Retained::Whole, false);
        }
        if self.take_marker(header) {
            return (Retained::Whole, false);
        }
        if header.attributes.has_delete_horizon() {
            let is_past = wall_ms >= header.base_timestamp && !producers.is_only_trace(header);
            let retained = if is_past {
                Retained::Nothing
            } else {
                Retained::Whole
            };
            return (retained, true);
        }
        let horizon_ms = wall_ms.saturating_add_unsigned(delete_retention_ms);
        let marked = with_delete_horizon(batch, DECOMPRESSED_BYTES_MAX, horizon_ms);
        // What does not open is not judged.
        (marked.unwrap_or(Retained::Whole), true)
    }
}

#[cfg(test)]
mod tests;
