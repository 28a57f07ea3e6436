// SPDX-License-Identifier: Apache-2.0
//! What happens when the disk is full: everything that was not durable yet is taken back, in memory
//! and on disk, and the log goes on from its durable end.
//!
//! Owns: [`Cut`]. Invariants: nothing durable is touched; no append is taken until the file is cut
//! and flushed, so that no lost record can come back behind a new one. Runs on: the core of the
//! partition. Bounded by: one at a time.

use super::area::Area;
use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, done};
use super::roll::Roll;
use super::segment::FileKind;
use super::tail_buffer::{TailBuffer, block_ceil};
use super::write::Stage;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::time::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutStep {
    /// The file that an unfinished roll may have made is being removed.
    Remove,
    /// The removal is being made durable: an empty last segment always starts where the one before
    /// it ends.
    Sync,
    /// The segment's file is being cut to the durable end.
    SetLength,
    /// The cut is being flushed.
    Flush,
}

/// Cutting back under way.
#[derive(Debug)]
pub(super) struct Cut {
    step: CutStep,
    error: DiskError,
    file: FileId,
    len_bytes: u64,
}

impl PartitionLog {
    /// True from the moment at which a write found no space to the end of the cut.
    pub(super) fn is_cutting(&self) -> bool {
        self.cut_wanted || self.cut.is_some()
    }

    /// Starts the cut that a write without space made necessary, once nothing touches the file.
    pub(super) fn go_on_cutting(&mut self, now: Now, disk: &mut DiskQueue) {
        if !self.cut_wanted {
            return;
        }
        self.give_up_ahead(disk);
        let is_growing = |stage: &Stage| stage.area.is_growing();
        if self.flushing.is_empty() && !self.stages.front().is_some_and(is_growing) {
            self.cut_wanted = false;
            self.start_cut(now, DiskError::NoSpace, disk);
        }
    }

    /// Takes back everything that is not durable.
    pub(super) fn start_cut(&mut self, now: Now, error: DiskError, disk: &mut DiskQueue) {
        assert!(self.round.is_none() && self.flushing.is_empty());
        assert!(self.cut.is_none());
        let roll = self.roll.take();
        if let Some(recycled) = roll.as_ref().and_then(Roll::recycled) {
            // It could not be renamed. The next start would remove it.
            let file = recycled.file;
            let path = self.segment_path(recycled.old_base, FileKind::Recycled);
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
            self.push(Pending::Ignored, DiskOperation::RemoveFile { path }, disk);
        }
        let created = roll.and_then(|roll| roll.created());
        self.roll_back_memory(now);
        let active = self.active_mut();
        let file = active.file.expect("a segment that is written to is open");
        let len_bytes = active.durable.size_bytes;
        let step = match created {
            None => CutStep::SetLength,
            Some(_) => CutStep::Remove,
        };
        self.cut = Some(Cut {
            step,
            error,
            file,
            len_bytes,
        });
        match created {
            None => self.push(
                Pending::Cut,
                DiskOperation::SetLength { file, len_bytes },
                disk,
            ),
            // Making it failed, so it is not open.
            Some((_, base_offset)) => {
                let path = self.segment_path(base_offset, FileKind::Log);
                self.push(Pending::Cut, DiskOperation::RemoveFile { path }, disk);
            }
        }
    }

    fn roll_back_memory(&mut self, now: Now) {
        self.points.forget_captured();
        self.stages.truncate(1);
        let durable_end = self.durable_end;
        let stage = self.stages.front().expect("an open log has a stage");
        let base_offset = stage.base_offset;
        while self
            .segments
            .back()
            .is_some_and(|segment| segment.base_offset > base_offset)
        {
            self.segments.pop_back();
        }
        let active = self.active_mut();
        assert_eq!(active.base_offset, base_offset);
        active.roll_back();
        let mark = active.mark;
        assert_eq!(mark.next_offset, durable_end);
        let stage = self.stages.front_mut().expect("an open log has a stage");
        stage.seal = None;
        assert!(!stage.area.is_growing());
        stage.tail = TailBuffer::new(mark.size_bytes, &stage.durable_tail);
        // The file is cut to exactly this length.
        stage.area = Area::of_file(mark.size_bytes);
        stage.written_end = block_ceil(mark.size_bytes);
        self.epochs.truncate_from_end(durable_end);
        self.producers.truncate_from_end(durable_end);
        self.aborted.truncate_from_end(durable_end);
        self.log_end = durable_end;
        self.unflushed_bytes = 0;
        self.active_since = (mark.size_bytes > 0).then_some(now.monotonic_us);
    }

    pub(super) fn step_cut(
        &mut self,
        _now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Err(error) = done(result) {
            return self.fail(
                "cutting the log back after the disk was full",
                error,
                events,
            );
        }
        let cut = self.cut.as_mut().expect("a cut is under way");
        let (file, len_bytes, error) = (cut.file, cut.len_bytes, cut.error);
        match cut.step {
            CutStep::Remove => {
                cut.step = CutStep::Sync;
                let path = self.directory.clone();
                self.push(Pending::Cut, DiskOperation::SyncDirectory { path }, disk);
            }
            CutStep::Sync => {
                cut.step = CutStep::SetLength;
                self.push(
                    Pending::Cut,
                    DiskOperation::SetLength { file, len_bytes },
                    disk,
                );
            }
            CutStep::SetLength => {
                cut.step = CutStep::Flush;
                self.push(Pending::Cut, DiskOperation::Flush { file }, disk);
            }
            CutStep::Flush => {
                self.cut = None;
                self.unsynced.clear();
                events.push(LogEvent::AppendsLost {
                    from: self.durable_end,
                    error,
                });
                self.pump(disk);
            }
        }
    }
}
