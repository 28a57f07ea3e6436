// SPDX-License-Identifier: Apache-2.0
//! From one segment to the next.
//!
//! A roll has two halves. At once, in memory: the next append goes to a new segment. Later, once
//! the old segment's last round is flushed, on disk: (1) the old file is cut to its exact length
//! and flushed, its indexes, the new segment's producer snapshot and the leader epochs are replaced
//! durably; (2) the new file is made, or a spare one renamed; (3) the directory is synced; only
//! then is the new file written to.
//!
//! Owns: [`Roll`]. Invariants: of all segments on disk only the last one can be torn, because none
//! is made before the one before it is durable, exact and indexed. Runs on: the core of the
//! partition.
//! Bounded by: one roll on disk at a time; those in memory by `UNFLUSHED_BYTES_MAX`.

use super::area::Area;
use super::batch_scanner::INDEX_SPAN_MAX;
use super::event::LogEvent;
use super::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use super::operations::Pending;
use super::partition_log::{PartitionLog, done};
use super::producer_snapshot;
use super::segment::{FileKind, Segment};
use super::spare::Recycled;
use super::write::{Seal, Stage};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::Now;

/// How far the roll on disk has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RollStep {
    /// The old file is being cut to its exact length.
    Cut,
    /// The old file is being flushed.
    Flush,
    /// The small files are being replaced.
    Replace { left: u32 },
    /// The new file is being made.
    Create,
    /// The directory is being synced.
    Sync,
}

/// A roll on disk under way.
#[derive(Debug)]
pub(super) struct Roll {
    step: RollStep,
    seal: Option<Seal>,
    error: Option<DiskError>,
    old_base: Offset,
    old_file: FileId,
    /// The new segment.
    base_offset: Offset,
    /// The new file.
    file: FileId,
    /// It was that of a segment which retention removed.
    recycled: Option<Recycled>,
}

impl Roll {
    /// The new file, if it was or may have been made: its id and segment.
    pub(super) fn created(&self) -> Option<(FileId, Offset)> {
        let may_exist = matches!(self.step, RollStep::Create | RollStep::Sync);
        may_exist.then_some((self.file, self.base_offset))
    }

    /// The file that was to be the new one, if it has had another name.
    pub(super) fn recycled(&self) -> Option<Recycled> {
        self.recycled
    }
}

impl PartitionLog {
    /// True if an append of so many bytes and records must go to a new segment.
    pub(super) fn must_roll(
        &self,
        now: Now,
        bytes: u64,
        last_offset: Offset,
        max_timestamp: i64,
    ) -> bool {
        let active = self.segments.back().expect("an open log has a segment");
        let mark = active.mark;
        if mark.size_bytes == 0 {
            return false;
        }
        let too_large = mark.size_bytes + bytes > self.segment_bytes_max();
        let too_far = last_offset - active.base_offset > INDEX_SPAN_MAX;
        let segment_ms = i64::try_from(self.config.segment_ms).unwrap_or(i64::MAX);
        // Kafka's rule: by the timestamps, if there are any.
        let too_old = mark
            .first_timestamp
            .is_some_and(|first| first >= 0 && max_timestamp.saturating_sub(first) > segment_ms);
        too_large
            || too_far
            || too_old
            || self.is_active_old(now)
            || active.is_index_full(self.config.segment_index_bytes)
    }

    /// Largest length of a segment.
    pub(super) fn segment_bytes_max(&self) -> u64 {
        u64::from(self.config.segment_bytes).min(INDEX_SPAN_MAX.unsigned_abs())
    }

    fn is_active_old(&self, now: Now) -> bool {
        let age_us = self
            .active_since
            .map(|since| now.monotonic_us.saturating_sub(since));
        age_us.is_some_and(|age| age / 1000 > self.config.segment_ms_max())
    }

    /// Rolls a segment that is old although nothing is appended, so that retention can remove it.
    pub(super) fn roll_by_time(&mut self, now: Now, disk: &mut DiskQueue) {
        let active = self.segments.back().expect("an open log has a segment");
        if active.mark.size_bytes > 0 && self.is_active_old(now) && !self.is_cutting() {
            self.roll_in_memory();
            self.pump(disk);
        }
    }

    /// The first half of a roll.
    pub(super) fn roll_in_memory(&mut self) {
        let base_offset = self.log_end;
        let checkpoint = self.epochs.encode();
        let snapshot = producer_snapshot::encode(&self.producers);
        let active = self.segments.back().expect("an open log has a segment");
        let txn_index = self.txn_index(active.base_offset, base_offset);
        let active = self.active_mut();
        assert!(active.mark.size_bytes > 0);
        active.finish_time_index();
        let stage = self.stages.back_mut().expect("an open log has a stage");
        assert!(stage.seal.is_none());
        stage.seal = Some(Seal {
            snapshot,
            checkpoint,
            txn_index,
        });
        let segment = Segment::empty(base_offset);
        self.stages.push_back(Stage::of(&segment, &[]));
        self.segments.push_back(segment);
        self.active_since = None;
    }

    /// The second half of a roll.
    pub(super) fn start_roll(&mut self, disk: &mut DiskQueue) {
        assert!(self.stages.len() > 1);
        let base_offset = self.stages[1].base_offset;
        let stage = self.stages.front_mut().expect("checked above");
        let seal = stage.seal.take();
        let old_base = stage.base_offset;
        let file = self.new_file();
        let old = self.segment_mut(old_base).expect("a stage has its segment");
        let len_bytes = old.mark.size_bytes;
        assert_eq!(old.durable.size_bytes, len_bytes);
        let old_file = old.file.expect("a segment that is written to is open");
        self.roll = Some(Roll {
            step: RollStep::Cut,
            seal,
            error: None,
            old_base,
            old_file,
            base_offset,
            file,
            recycled: None,
        });
        let cut = DiskOperation::SetLength {
            file: old_file,
            len_bytes,
        };
        self.push(Pending::Roll, cut, disk);
    }

    pub(super) fn step_roll(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let roll = self.roll.as_mut().expect("a roll is under way");
        if let Err(error) = done(result)
            && roll.error.is_none_or(|first| first == DiskError::NoSpace)
        {
            roll.error = Some(error);
        }
        if let RollStep::Replace { left } = &mut roll.step {
            *left -= 1;
            if *left > 0 {
                return;
            }
        }
        let (step, old_file) = (roll.step, roll.old_file);
        match (roll.error, step) {
            (None, _) => {}
            (
                Some(DiskError::NoSpace),
                RollStep::Cut | RollStep::Replace { .. } | RollStep::Create,
            ) => {
                return self.start_cut(now, DiskError::NoSpace, disk);
            }
            (Some(error), _) => return self.fail("the change to a new segment", error, events),
        }
        match step {
            RollStep::Cut => {
                self.go_to(RollStep::Flush);
                self.push(Pending::Roll, DiskOperation::Flush { file: old_file }, disk);
            }
            RollStep::Flush => self.replace_small_files(disk),
            RollStep::Replace { .. } => self.make_next_file(disk),
            RollStep::Create => {
                self.go_to(RollStep::Sync);
                let path = self.directory.clone();
                self.push(Pending::Roll, DiskOperation::SyncDirectory { path }, disk);
            }
            RollStep::Sync => self.finish_roll(now, disk),
        }
    }

    /// Makes the file of the next segment, or gives that name to one that is ready.
    fn make_next_file(&mut self, disk: &mut DiskQueue) {
        self.go_to(RollStep::Create);
        let recycled = self.spares.take_ready();
        let roll = self.roll.as_mut().expect("a roll is under way");
        let (base_offset, file) = (roll.base_offset, roll.file);
        if let Some(recycled) = recycled {
            roll.file = recycled.file;
            roll.recycled = Some(recycled);
        }
        let path = self.segment_path(base_offset, FileKind::Log);
        let operation = match recycled {
            None => {
                let create = true;
                DiskOperation::Open { file, path, create }
            }
            Some(recycled) => DiskOperation::RenameFile {
                from: self.segment_path(recycled.old_base, FileKind::Recycled),
                to: path,
            },
        };
        self.push(Pending::Roll, operation, disk);
    }

    fn go_to(&mut self, step: RollStep) {
        self.roll.as_mut().expect("a roll is under way").step = step;
    }

    fn replace_small_files(&mut self, disk: &mut DiskQueue) {
        let roll = self.roll.as_mut().expect("a roll is under way");
        let (old_base, base_offset) = (roll.old_base, roll.base_offset);
        let seal = roll.seal.take().expect("a roll seals once");
        let old = self.segment_mut(old_base).expect("a stage has its segment");
        let indexes = old
            .indexes
            .as_ref()
            .expect("a growing segment has its indexes");
        let (offsets, times) = (indexes.offsets.encode(), indexes.times.encode());
        let mut replaced = vec![
            (self.segment_path(old_base, FileKind::Index), offsets),
            (self.segment_path(old_base, FileKind::TimeIndex), times),
            (
                self.segment_path(base_offset, FileKind::Snapshot),
                seal.snapshot,
            ),
            (self.path(LEADER_EPOCH_CHECKPOINT), seal.checkpoint),
        ];
        if let Some(txn_index) = seal.txn_index {
            self.aborted.note_file(old_base);
            replaced.push(txn_index);
        }
        let left = u32::try_from(replaced.len()).expect("a handful");
        self.go_to(RollStep::Replace { left });
        for (path, contents) in replaced {
            self.push(
                Pending::Roll,
                DiskOperation::ReplaceFile { path, contents },
                disk,
            );
        }
    }

    fn finish_roll(&mut self, now: Now, disk: &mut DiskQueue) {
        let roll = self.roll.take().expect("a roll is under way");
        // The old file was flushed whole.
        self.unsynced.clear();
        self.forget_point(disk);
        self.stages.pop_front();
        if let Some(recycled) = roll.recycled {
            let stage = self
                .stages
                .front_mut()
                .expect("the new segment has a stage");
            stage.area = Area::of_file(recycled.len_bytes);
        }
        let segment = self
            .segment_mut(roll.base_offset)
            .expect("a stage has its segment");
        segment.file = Some(roll.file);
        self.cool_down(disk);
        self.pump(disk);
        self.check_retention(now, disk);
    }
}
