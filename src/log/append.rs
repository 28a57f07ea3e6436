// SPDX-License-Identifier: Apache-2.0
//! Appends: check everything, then give offsets, then copy once into the gathering tail.
//!
//! Owns: the order of the checks. Invariants: nothing is changed before every batch of the append
//! has passed; a batch is stored in the codec of its topic (`compression.type`); offsets are handed
//! out without a gap; leader epochs never fall. Runs on: the core of the partition.
//! Bounded by: `UNFLUSHED_BYTES_MAX`; past it an append is refused as busy.

use bytes::Bytes;

use super::config::AppendRules;
use super::event::{AppendError, Appended};
use super::partition_log::{PartitionLog, Phase};
use super::producer_state::transactions::MarkerRefusal;
use super::producer_state::{RememberedBatch, SequenceCheck};
use super::tail_buffer::file_len;
use crate::limits::{RECORD_ERRORS_TOLD_MAX, UNFLUSHED_BYTES_MAX};
use crate::model::disk::DiskQueue;
use crate::model::ids::{LeaderEpoch, Offset};
use crate::model::time::Now;
use crate::model::topic_config::TimestampType;
use crate::wire::record::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, CheckedBatch, EndMarker, check_batch,
    faulty_records, patch_offsets, recompress, set_log_append_time, set_max_timestamp,
    split_batches,
};

/// A batch that passed: first as it was sent, then in the form in which it is stored, but for its
/// offsets.
#[derive(Debug)]
pub(super) struct SentBatch {
    bytes: Bytes,
    checked: CheckedBatch,
}

impl PartitionLog {
    /// Validates all batches, gives them offsets and starts their way to the disk. The records are
    /// durable once `DurableEnd` exceeds `last_offset`.
    pub fn handle_append(
        &mut self,
        now: Now,
        leader_epoch: LeaderEpoch,
        records: &Bytes,
        rules: AppendRules,
        disk: &mut DiskQueue,
    ) -> Result<Appended, AppendError> {
        self.now_us = now.monotonic_us;
        match self.phase {
            Phase::Open => {}
            Phase::Failed => return Err(AppendError::Failed),
            _ => return Err(AppendError::NotOpen),
        }
        assert!(leader_epoch >= 0);
        if self
            .epochs
            .latest()
            .is_some_and(|latest| leader_epoch < latest)
        {
            // Only rot in a batch's epoch, which no checksum covers, can claim an epoch that is
            // still to come.
            return Err(AppendError::Failed);
        }
        let unflushed_bytes = self.unflushed_bytes + self.unsynced.bytes();
        if self.is_cutting() || unflushed_bytes + records.len() > UNFLUSHED_BYTES_MAX {
            return Err(AppendError::Busy);
        }
        let mut batches = std::mem::take(&mut self.batches);
        let appended = self.append_all(now, leader_epoch, records, rules, &mut batches, disk);
        // The list is kept for the next append, the records are not.
        batches.clear();
        self.batches = batches;
        appended
    }

    fn append_all(
        &mut self,
        now: Now,
        leader_epoch: LeaderEpoch,
        records: &Bytes,
        rules: AppendRules,
        batches: &mut Vec<SentBatch>,
        disk: &mut DiskQueue,
    ) -> Result<Appended, AppendError> {
        self.check_batches(now, records, rules, batches)?;
        if rules.idempotence
            && let Some(old) = self.check_sequences(batches, rules)?
        {
            return Ok(self.answer_duplicate(&old));
        }
        self.settle_batches(now, batches, rules)?;
        let len_bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
        if file_len(len_bytes) > self.segment_bytes_max() {
            return Err(AppendError::LargerThanSegment);
        }
        let unflushed_bytes = self.unflushed_bytes + self.unsynced.bytes();
        if len_bytes > records.len() && unflushed_bytes + len_bytes > UNFLUSHED_BYTES_MAX {
            return Err(AppendError::Busy);
        }
        let append_time = self.append_time(now, rules);
        let base_offset = self.log_end;
        self.roll_if_due(now, batches, len_bytes);
        for (place, batch) in batches.iter().enumerate() {
            let more = batches[place + 1..]
                .iter()
                .map(|batch| batch.bytes.len())
                .sum();
            self.append_batch(leader_epoch, batch, more, rules, disk);
            let producer_id = batch.checked.header.producer_id;
            if rules.idempotence && producer_id >= 0 {
                self.producers.note_heard(producer_id, now.wall_ms);
            }
        }
        self.capture_point();
        self.active_since.get_or_insert(now.monotonic_us);
        self.unflushed_bytes += len_bytes;
        self.pump(disk);
        assert!(self.log_end > base_offset);
        Ok(Appended {
            base_offset,
            last_offset: self.log_end - 1,
            log_append_time_ms: append_time.unwrap_or(-1),
            log_start_offset: self.log_start,
            len_bytes,
            duplicate: false,
        })
    }

    fn append_time(&self, now: Now, rules: AppendRules) -> Option<i64> {
        let replaces = rules.client && self.config.timestamp_type == TimestampType::LogAppendTime;
        replaces.then_some(now.wall_ms)
    }

    fn check_batches(
        &self,
        now: Now,
        records: &Bytes,
        rules: AppendRules,
        sent: &mut Vec<SentBatch>,
    ) -> Result<(), AppendError> {
        let batch_rules = self.config.batch_rules(now, rules);
        for batch in split_batches(records) {
            let bytes = batch?;
            let checked = check_batch(&bytes, &batch_rules)?;
            sent.push(SentBatch { bytes, checked });
        }
        if sent.is_empty() {
            return Err(AppendError::Empty);
        }
        Ok(())
    }

    /// Gives the batches the codec and the timestamps that they are stored with. Most stay as they
    /// are, uncopied.
    fn settle_batches(
        &self,
        now: Now,
        batches: &mut [SentBatch],
        rules: AppendRules,
    ) -> Result<(), AppendError> {
        let append_time = self.append_time(now, rules);
        let target = self.config.target(rules);
        for batch in batches {
            let source = batch.checked.header.attributes.compression()?;
            if let Some(target) = target.filter(|target| target.codec != source) {
                let batch_rules = self.config.batch_rules(now, rules);
                let (packed, checked) =
                    recompress(&batch.bytes, &batch.checked, target, &batch_rules)?;
                *batch = SentBatch {
                    bytes: Bytes::from(packed),
                    checked,
                };
            }
            batch.settle_timestamps(append_time);
        }
        Ok(())
    }

    /// Which records of a refused append break a rule by themselves (KIP-467).
    #[must_use]
    pub fn faulty_records(&self, now: Now, records: &Bytes, rules: AppendRules) -> Vec<BatchError> {
        let batch_rules = self.config.batch_rules(now, rules);
        faulty_records(records, &batch_rules, RECORD_ERRORS_TOLD_MAX)
    }

    /// Checks the producers' sequences; the old batch if the append is a repetition.
    fn check_sequences(
        &self,
        batches: &[SentBatch],
        rules: AppendRules,
    ) -> Result<Option<RememberedBatch>, AppendError> {
        let mut checker = self.producers.checker();
        for (place, batch) in batches.iter().enumerate() {
            let header = &batch.checked.header;
            if header.producer_id < 0 {
                continue;
            }
            if header.attributes.is_control() {
                self.check_marker(batch, rules)?;
                continue;
            }
            match checker.check(header) {
                SequenceCheck::InOrder => self.check_transaction(header, rules)?,
                // A client sends one batch at a time; half a repetition would be ambiguous.
                SequenceCheck::Duplicate(old) if place == 0 && batches.len() == 1 => {
                    return Ok(Some(old));
                }
                SequenceCheck::Duplicate(_) | SequenceCheck::OutOfOrder => {
                    return Err(AppendError::OutOfOrderSequence);
                }
                SequenceCheck::Fenced => return Err(AppendError::ProducerFenced),
            }
        }
        Ok(None)
    }

    /// Checks the end of a transaction.
    fn check_marker(&self, batch: &SentBatch, rules: AppendRules) -> Result<(), AppendError> {
        let header = &batch.checked.header;
        let Some(marker) = EndMarker::of_batch(&batch.bytes) else {
            return Ok(());
        };
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        if rules.epoch_rises && self.producers.is_open_in(id, epoch) {
            // It is of an earlier transaction than the one that is open.
            return Err(AppendError::ProducerFenced);
        }
        let checked = self.producers.check_marker(header, &marker);
        checked.map_err(|refusal| match refusal {
            MarkerRefusal::ProducerFenced => AppendError::ProducerFenced,
            MarkerRefusal::CoordinatorFenced => AppendError::CoordinatorFenced,
        })
    }

    /// Checks that a batch may go on with the transaction of its producer, or begin one.
    fn check_transaction(
        &self,
        header: &BatchHeader,
        rules: AppendRules,
    ) -> Result<(), AppendError> {
        let is_open = self.producers.open_since(header.producer_id).is_some();
        if !header.attributes.is_transactional() {
            return if is_open {
                Err(AppendError::TransactionOpen)
            } else {
                Ok(())
            };
        }
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        if !rules.may_begin && !self.producers.is_open_in(id, epoch) {
            return Err(AppendError::NoTransaction);
        }
        let open = self.producers.open_count();
        if !is_open && (self.producers.is_full_of_open() || self.aborted.is_full(open)) {
            return Err(AppendError::TooManyTransactions);
        }
        Ok(())
    }

    fn answer_duplicate(&self, old: &RememberedBatch) -> Appended {
        let stamped = self.config.timestamp_type == TimestampType::LogAppendTime;
        Appended {
            base_offset: old.base_offset(),
            last_offset: old.last_offset,
            log_append_time_ms: if stamped { old.timestamp } else { -1 },
            log_start_offset: self.log_start,
            len_bytes: 0,
            duplicate: true,
        }
    }

    fn roll_if_due(&mut self, now: Now, batches: &[SentBatch], len_bytes: usize) {
        let count: i64 = batches
            .iter()
            .map(|batch| i64::from(batch.checked.header.record_count))
            .sum();
        let max_timestamp = batches
            .iter()
            .map(|batch| batch.checked.header.max_timestamp)
            .max();
        let last_offset: Offset = self.log_end + count - 1;
        let max_timestamp = max_timestamp.expect("an append has a batch");
        if self.must_roll(now, file_len(len_bytes), last_offset, max_timestamp) {
            self.note_filled(now);
            self.roll_in_memory();
        }
    }

    fn append_batch(
        &mut self,
        leader_epoch: LeaderEpoch,
        batch: &SentBatch,
        more: usize,
        rules: AppendRules,
        disk: &mut DiskQueue,
    ) {
        let header = BatchHeader {
            base_offset: self.log_end,
            partition_leader_epoch: leader_epoch,
            ..batch.checked.header
        };
        let interval_bytes = self.config.index_interval_bytes;
        let active = self.active_mut();
        active.add_batch(&header, active.mark.size_bytes, interval_bytes);
        let size_bytes = active.mark.size_bytes;
        self.epochs.assign(leader_epoch, header.base_offset);
        if rules.idempotence && header.producer_id >= 0 {
            let marker = EndMarker::of_records(&header, &batch.bytes[BATCH_HEADER_BYTES..]);
            self.note_producer(&header, marker, self.durable_end);
        }
        let mut patched = [0; BATCH_HEADER_BYTES];
        patched.copy_from_slice(&batch.bytes[..BATCH_HEADER_BYTES]);
        patch_offsets(&mut patched, header.base_offset, leader_epoch);
        let body = &batch.bytes[BATCH_HEADER_BYTES..];
        let stage = self.stages.back_mut().expect("an open log has a stage");
        stage
            .tail
            .append(&patched, body.len() + more, disk.buffers());
        stage.tail.append(body, more, disk.buffers());
        assert_eq!(stage.tail.end(), size_bytes);
        self.log_end = header.last_offset() + 1;
    }
}

impl SentBatch {
    /// Gives it the timestamps that it is stored with. Most batches stay as they are, uncopied.
    fn settle_timestamps(&mut self, append_time: Option<i64>) {
        let stored = self.checked.header.max_timestamp;
        let lies = self
            .checked
            .largest_timestamp
            .filter(|largest| *largest != stored);
        let settled = match (append_time, lies) {
            (None, None) => return,
            (Some(wall_ms), _) => {
                let mut copy = self.bytes.to_vec();
                set_log_append_time(&mut copy, wall_ms);
                copy
            }
            (None, Some(largest)) => {
                let mut copy = self.bytes.to_vec();
                set_max_timestamp(&mut copy, largest);
                copy
            }
        };
        self.checked.header = BatchHeader::parse(&settled).expect("only timestamps were changed");
        self.bytes = Bytes::from(settled);
    }
}
