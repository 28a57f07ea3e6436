// SPDX-License-Identifier: Apache-2.0
//! Transactions in one log: how far committed records can be read, what of them was aborted, and
//! the files that say so after a restart (`aborted`).
//!
//! Owns: the order in which those files are read while the log is opened. Invariants: a file that
//! does not fit its segment has that segment and all behind it read again (but see `swap`); what a
//! file says behind the place from which batches are read counts for nothing.
//! Runs on: the core of the partition.
//! Bounded by: the segments that have such a file; `PRODUCERS_PER_PARTITION_MAX`,
//! `ABORTED_PER_PARTITION_MAX`.

use bytes::Bytes;

use super::aborted::{self, AbortedTransaction};
use super::open::{OpenStep, contents};
use super::partition_log::PartitionLog;
use super::producer_state::{ProducerSummary, RememberedBatch};
use super::segment::FileKind;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::wire::record::{BatchHeader, EndMarker, split_batches};

impl PartitionLog {
    /// Up to here (exclusive) every transaction is decided, where everything below `committed` is
    /// committed (the LSO).
    #[must_use]
    pub fn last_stable_offset(&self, committed: Offset) -> Offset {
        let unstable = self.producers.first_unstable(committed);
        let stable = unstable.map_or(committed, |offset| offset.min(committed));
        // Retention may have removed the begin of a transaction that is still open.
        stable.max(self.log_start.min(committed))
    }

    /// The aborted transactions that a reader meets who reads these batches, and wanted to begin
    /// at `offset`; by rising first offset.
    #[must_use]
    pub fn aborted_within(&self, offset: Offset, records: &Bytes) -> Vec<AbortedTransaction> {
        if records.is_empty() || !self.aborted.concerns(offset) {
            return Vec::new();
        }
        let mut end = offset;
        for batch in split_batches(records).map_while(Result::ok) {
            if let Ok(header) = BatchHeader::parse(&batch) {
                end = end.max(header.last_offset().saturating_add(1));
            }
        }
        self.aborted.within(offset, end)
    }

    /// How many producers it knows.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// What it knows of each producer, by rising id.
    pub fn producers(&self) -> impl Iterator<Item = ProducerSummary> {
        self.producers.summaries()
    }

    /// First offset of the open transaction of a producer.
    #[must_use]
    pub fn open_transaction(&self, producer_id: i64) -> Option<Offset> {
        self.producers.open_since(producer_id)
    }

    /// True if a producer has a transaction open here in this epoch of it.
    #[must_use]
    pub fn has_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.is_open_in(producer_id, producer_epoch)
    }

    /// Takes note of a batch of a producer, which is in the log now, or was found there. What is
    /// not below `durable_end` may yet be lost.
    pub(super) fn note_producer(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        durable_end: Offset,
    ) {
        assert!(header.producer_id >= 0);
        if let Some(marker) = marker {
            let ended = self.producers.end_transaction(header, &marker, durable_end);
            if let Some(aborted) = ended {
                self.aborted.push(aborted);
            }
            return;
        }
        if header.attributes.is_control() {
            return;
        }
        let remembered = RememberedBatch::of(header);
        let producers = &mut self.producers;
        producers.remember(header.producer_id, remembered, durable_end);
        if header.attributes.is_transactional() {
            producers.note_transactional(header);
        }
    }

    /// The file of aborted transactions of a segment that ends before `next`, if it needs one.
    pub(super) fn txn_index(&self, base: Offset, next: Offset) -> Option<(Box<str>, Vec<u8>)> {
        let contents = self.aborted.file(base, next)?;
        Some((self.segment_path(base, FileKind::TxnIndex), contents))
    }

    /// Reads the next of those files while the log is opened. False if none is left.
    pub(super) fn read_next_txn_index(&mut self, disk: &mut DiskQueue) -> bool {
        let Some(base) = self.opening().txn_indexes.pop_first() else {
            return false;
        };
        let path = self.segment_path(base, FileKind::TxnIndex);
        let read = DiskOperation::ReadFile { path };
        self.open_next(OpenStep::TxnIndex(base), read, disk);
        true
    }

    pub(super) fn take_txn_index(
        &mut self,
        base: Offset,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let logs = &self.opening().logs;
        let next = logs.range(base + 1..).next();
        let next = next.map_or(Offset::MAX, |(next, _)| *next);
        let entries = contents(result).and_then(|file| aborted::decode(&file, base, Offset::MAX));
        let entries = entries.filter(|entries| self.are_told_elsewhere(entries, next));
        match entries {
            Some(mut entries) => {
                let all = entries.len();
                entries.retain(|aborted| aborted.last_offset < next);
                let has_more = entries.len() < all;
                self.aborted.take_file(base, entries);
                if has_more {
                    self.rewrite_txn_index(base, next, disk);
                }
            }
            None => {
                self.aborted.note_file(base);
                let opening = self.opening();
                opening.report.files_rebuilt += 1;
                // They are read in ascending order: the first damaged one is the oldest.
                opening.rescan_from.get_or_insert(base);
            }
        }
        self.start_segments(disk);
    }

    /// True if those of them that ended behind the segment are in the files of the segments where
    /// they did: so a merge that was broken off leaves the file (`swap`).
    fn are_told_elsewhere(&mut self, entries: &[AbortedTransaction], next: Offset) -> bool {
        let opening = self.opening();
        let mut others = entries
            .iter()
            .filter(|aborted| aborted.last_offset >= next)
            .map(|aborted| opening.logs.range(..=aborted.last_offset).next_back());
        others.all(|log| log.is_some_and(|(base, _)| opening.txn_indexes.contains(base)))
    }

    /// Writes the file of a sealed segment anew whose batches were read.
    pub(super) fn rewrite_txn_index(&mut self, base: Offset, next: Offset, disk: &mut DiskQueue) {
        if let Some((path, contents)) = self.txn_index(base, next) {
            self.aborted.note_file(base);
            let replace = DiskOperation::ReplaceFile { path, contents };
            self.push(super::operations::Pending::Ignored, replace, disk);
        }
    }
}
