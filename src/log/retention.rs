// SPDX-License-Identifier: Apache-2.0
//! Retention: whole sealed segments are removed from the front of the log by age, by size, and
//! where they lie below the log start (DeleteRecords).
//!
//! One segment at a time, oldest first: its `.log` is removed (or renamed, see `spare`), the
//! directory is synced, then the log start moves, then the small files go. So the log start never
//! falls back after a crash, and the segments on disk never have a gap. (`file.delete.delay.ms` has
//! nothing to wait for here: a read under way keeps its open file.)
//!
//! Owns: [`Retention`]. Invariants: the segment that takes the appends stays; nothing at or above
//! the retention bound (the HW) is removed. Runs on: the core of the partition. Bounded by: one
//! segment at a time.

use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::segment::{FileKind, Segment, Warmth};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Remove,
    Sync,
    /// The file is gone; a read that wanted it is still loading it, and ends first.
    Forget,
}

/// What retention is at.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// When it looks next.
    pub(super) due: Option<MonotonicUs>,
    /// The segment whose largest timestamp it must know first.
    pub(super) waits_for: Option<Offset>,
    removing: Option<Step>,
    /// The file of that segment is kept for the next one.
    recycles: bool,
}

impl Retention {
    /// True while a segment is being removed.
    pub(super) fn is_busy(&self) -> bool {
        self.removing.is_some()
    }
}

impl PartitionLog {
    /// Removes the oldest segment if it has had its time.
    pub(super) fn check_retention(&mut self, now: Now, disk: &mut DiskQueue) {
        let is_idle = matches!(self.phase, Phase::Open) && !self.retention.is_busy();
        if !is_idle || !self.may_remove_oldest() {
            return;
        }
        let oldest = self.segments.front().expect("an open log has a segment");
        let base_offset = oldest.base_offset;
        let is_deleted = oldest.mark.next_offset <= self.log_start;
        if self.compaction.holds(base_offset) {
            return;
        }
        if !is_deleted && !self.config.cleanup_policy.delete {
            return;
        }
        let by_size = self
            .config
            .retention_bytes
            .is_some_and(|kept| self.size_bytes() - oldest.mark.size_bytes >= kept);
        if !is_deleted && !by_size {
            let Some(retention_ms) = self.config.retention_ms else {
                return;
            };
            if !oldest.times_known {
                self.retention.waits_for = Some(base_offset);
                if self.warm(base_offset, disk) {
                    self.retention.waits_for = None;
                }
                return;
            }
            if !is_older(oldest, now, retention_ms) {
                return;
            }
        }
        self.retention.removing = Some(Step::Remove);
        self.retention.recycles = self.may_recycle(oldest);
        let path = self.segment_path(base_offset, FileKind::Log);
        let operation = if self.retention.recycles {
            let to = self.segment_path(base_offset, FileKind::Recycled);
            DiskOperation::RenameFile { from: path, to }
        } else {
            DiskOperation::RemoveFile { path }
        };
        self.push(Pending::Retention, operation, disk);
    }

    /// Not the last segment, sealed on disk, not being loaded, and all below the bound.
    fn may_remove_oldest(&self) -> bool {
        let written = self.stages.front().map_or(0, |stage| stage.base_offset);
        let oldest = self.segments.front().expect("an open log has a segment");
        oldest.base_offset < written
            && oldest.mark.next_offset <= self.retention_bound.min(self.durable_end)
            && matches!(oldest.warmth, Warmth::Cold | Warmth::Warm)
    }

    pub(super) fn step_retention(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let step = self.retention.removing.take().expect("retention asked");
        match (step, done(result)) {
            // The next check tries again.
            (Step::Remove, Err(_)) => {}
            (Step::Remove, Ok(())) => {
                self.retention.removing = Some(Step::Sync);
                let path = self.directory.clone();
                self.push(
                    Pending::Retention,
                    DiskOperation::SyncDirectory { path },
                    disk,
                );
            }
            (Step::Sync, Err(error)) => self.fail("syncing the directory", error, events),
            (Step::Sync, Ok(())) => {
                self.retention.removing = Some(Step::Forget);
                self.go_on_retention(disk, events);
                self.check_retention(now, disk);
            }
            (Step::Forget, _) => unreachable!("forgetting asks nothing of the disk"),
        }
    }

    /// Forgets a segment whose file is gone, once nobody is loading it.
    pub(super) fn go_on_retention(&mut self, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        if self.retention.removing != Some(Step::Forget) {
            return;
        }
        let oldest = self.segments.front().expect("a log has a segment");
        if matches!(oldest.warmth, Warmth::Cold | Warmth::Warm) {
            self.retention.removing = None;
            self.retention.due = Some(0);
            self.forget_oldest(disk, events);
        }
    }

    fn forget_oldest(&mut self, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let oldest = self
            .segments
            .pop_front()
            .expect("the log has more than one segment");
        if self.retention.recycles {
            self.keep_spare(&oldest, disk);
        } else if let Some(file) = oldest.file {
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
        }
        let next = self.segments.front().expect("the last segment stays");
        let next_base = next.base_offset;
        assert!(next_base > oldest.base_offset);
        let aborted = self.aborted.forget_segment(oldest.base_offset, next_base);
        let kinds = [FileKind::Index, FileKind::TimeIndex, FileKind::Snapshot];
        for kind in kinds
            .into_iter()
            .chain(aborted.then_some(FileKind::TxnIndex))
        {
            let path = self.segment_path(oldest.base_offset, kind);
            self.push(Pending::Ignored, DiskOperation::RemoveFile { path }, disk);
        }
        self.move_log_start(next_base, events);
    }
}

/// True if every record of the segment is older than that. A segment without timestamps never is.
fn is_older(segment: &Segment, now: Now, retention_ms: u64) -> bool {
    segment.mark.max_timestamp.is_some_and(|(timestamp, _)| {
        let age_ms = now.wall_ms.saturating_sub(timestamp);
        timestamp >= 0 && u64::try_from(age_ms).is_ok_and(|age_ms| age_ms > retention_ms)
    })
}
