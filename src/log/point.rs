// SPDX-License-Identifier: Apache-2.0
//! Noting recovery points while the log grows, so that a recovery reads only what came after.
//!
//! At an append that has taken the segment far enough past the last point, the state is captured:
//! producers, leader epochs, the segment's mark. Once everything up to there is durable, the files
//! that a recovery will want are replaced, and last a slot of `recovery-point` is written:
//! ```text
//! captured -> durable -> .index, .timeindex, .snapshot, .txnindex, leader-epoch-checkpoint
//!          -> open -> (sync of the directory) -> write of the slot -> flush
//!          -> the old snapshot goes
//! ```
//!
//! Owns: [`Points`]. Invariants: a slot is written only after every byte below it, and the files it
//! needs, are durable; the snapshot that a valid slot names is removed only after a newer slot is
//! durable; no roll begins while a point is being noted, so no index of a sealed segment is ever
//! replaced by a shorter one. Runs on: the core of the partition. Bounded by: one point at a time;
//! a point for every sixteenth of a segment at most.

use super::event::LogEvent;
use super::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::producer_snapshot;
use super::recovery_point::{RECOVERY_POINT, RecoveryPoint};
use super::segment::FileKind;
use crate::limits::BLOCK_BYTES;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;

/// Points of a segment lie at least this part of its length apart: noting one costs as much as its
/// index is long.
const SEGMENT_PARTS: u64 = 16;

/// The state at a point that is not durable yet.
#[derive(Debug)]
struct Captured {
    point: RecoveryPoint,
    snapshot: Vec<u8>,
    checkpoint: Vec<u8>,
    /// Path and contents of the file of aborted transactions, if there is to be one.
    txn_index: Option<(Box<str>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Replace { left: u32 },
    Open,
    Sync,
    Write,
    Flush,
}

/// A point being noted.
#[derive(Debug)]
struct Noting {
    point: RecoveryPoint,
    step: Step,
    file: FileId,
    /// A small file found no space.
    is_refused: bool,
}

/// The recovery points of a log.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// The sequence of the newest slot.
    pub(super) sequence: u64,
    /// The point that the newest slot names, if it is in the last segment.
    pub(super) noted: Option<RecoveryPoint>,
    /// Position of the last point, noted or tried.
    position: u64,
    captured: Option<Captured>,
    noting: Option<Noting>,
    is_file_named: bool,
}

impl Points {
    /// What a start found.
    pub(super) fn found(sequence: u64, noted: Option<RecoveryPoint>) -> Points {
        Points {
            sequence,
            noted,
            position: noted.map_or(0, |point| point.mark.size_bytes),
            ..Points::default()
        }
    }

    /// True while a point is being noted.
    pub(super) fn is_busy(&self) -> bool {
        self.noting.is_some()
    }

    /// The file of a point that was being noted when the log began to go, if it may be open.
    pub(super) fn take_open_file(&mut self) -> Option<FileId> {
        let noting = self.noting.take()?;
        (!matches!(noting.step, Step::Replace { .. })).then_some(noting.file)
    }

    /// The opening of the file failed while the log was going.
    pub(super) fn note_not_opened(&mut self) {
        self.noting = self
            .noting
            .take()
            .filter(|noting| noting.step != Step::Open);
    }

    /// What was captured may not have become durable.
    pub(super) fn forget_captured(&mut self) {
        self.captured = None;
    }

    fn is_due(&self, size_bytes: u64, interval_bytes: u64) -> bool {
        let interval = interval_bytes.max(size_bytes / SEGMENT_PARTS);
        let is_idle = self.captured.is_none() && self.noting.is_none();
        is_idle && size_bytes.saturating_sub(self.position) >= interval
    }
}

impl PartitionLog {
    /// After an append: captures the state if it is time for a point.
    pub(super) fn capture_point(&mut self) {
        let active = self.segments.back().expect("an open log has a segment");
        let (segment_base, mark) = (active.base_offset, active.mark);
        let interval_bytes = self.storage.recovery_point_bytes;
        // A segment that is complete in memory is noted by its roll.
        if self.stages.len() > 1 || !self.points.is_due(mark.size_bytes, interval_bytes) {
            return;
        }
        self.points.captured = Some(Captured {
            point: RecoveryPoint {
                segment_base,
                mark,
                leader_epoch: self.epochs.latest().expect("an append has an epoch"),
            },
            snapshot: producer_snapshot::encode(&self.producers),
            checkpoint: self.epochs.encode(),
            txn_index: self.txn_index(segment_base, mark.next_offset),
        });
    }

    /// After a round became durable: begins to note what was captured, if it is durable.
    pub(super) fn note_point(&mut self, disk: &mut DiskQueue) {
        let durable_end = self.durable_end;
        let is_durable = |captured: &mut Captured| captured.point.mark.next_offset <= durable_end;
        let is_open = matches!(self.phase, Phase::Open);
        // What counts without a flush is no ground for a point.
        if !is_open || self.unsynced.bytes() > 0 || self.roll.is_some() || self.is_cutting() {
            return;
        }
        let Some(captured) = self.points.captured.take_if(is_durable) else {
            return;
        };
        let point = captured.point;
        if self.stages[0].base_offset != point.segment_base {
            return;
        }
        self.points.position = point.mark.size_bytes;
        let indexes = self
            .segment_mut(point.segment_base)
            .and_then(|segment| segment.indexes.clone());
        let mut indexes = indexes.expect("a growing segment has its indexes");
        indexes.offsets.truncate_to(point.mark.next_offset);
        indexes.times.truncate_to(point.mark.next_offset);
        let (base, end) = (point.segment_base, point.mark.next_offset);
        let file = self.new_file();
        self.points.noting = Some(Noting {
            point,
            step: Step::Replace {
                left: 4 + u32::from(captured.txn_index.is_some()),
            },
            file,
            is_refused: false,
        });
        if captured.txn_index.is_some() {
            self.aborted.note_file(base);
        }
        let replaced = [
            (
                self.segment_path(base, FileKind::Index),
                indexes.offsets.encode(),
            ),
            (
                self.segment_path(base, FileKind::TimeIndex),
                indexes.times.encode(),
            ),
            (
                self.segment_path(end, FileKind::Snapshot),
                captured.snapshot,
            ),
            (self.path(LEADER_EPOCH_CHECKPOINT), captured.checkpoint),
        ];
        for (path, contents) in replaced.into_iter().chain(captured.txn_index) {
            let replace = DiskOperation::ReplaceFile { path, contents };
            self.push(Pending::Point, replace, disk);
        }
    }

    pub(super) fn step_point(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let noting = self.points.noting.as_mut().expect("a point is being noted");
        match done(result) {
            Ok(()) => {}
            Err(DiskError::NoSpace) => noting.is_refused = true,
            Err(error) => return self.fail("noting a recovery point", error, events),
        }
        if let Step::Replace { left } = &mut noting.step {
            *left -= 1;
            if *left > 0 {
                return;
            }
        }
        if noting.is_refused {
            let (step, file, end) = (noting.step, noting.file, noting.point.mark.next_offset);
            self.points.noting = None;
            if !matches!(step, Step::Replace { .. } | Step::Open) {
                self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
            }
            self.remove_snapshot(end, disk);
            return self.pump(disk);
        }
        self.next_point_step(disk);
    }

    fn next_point_step(&mut self, disk: &mut DiskQueue) {
        let sequence = self.points.sequence + 1;
        let is_named = self.points.is_file_named;
        let noting = self.points.noting.as_mut().expect("the caller looked");
        let file = noting.file;
        let (step, operation) = match noting.step {
            Step::Replace { .. } => {
                let path = format!("{}/{RECOVERY_POINT}", self.directory).into();
                let create = true;
                (Step::Open, DiskOperation::Open { file, path, create })
            }
            Step::Open if !is_named => {
                let path = self.directory.clone();
                (Step::Sync, DiskOperation::SyncDirectory { path })
            }
            Step::Open | Step::Sync => {
                let write = DiskOperation::Write {
                    file,
                    position_bytes: RecoveryPoint::slot_position(sequence),
                    len_bytes: u32::try_from(BLOCK_BYTES).expect("a block is small"),
                    buffer: noting.point.encode(sequence),
                };
                (Step::Write, write)
            }
            Step::Write => (Step::Flush, DiskOperation::Flush { file }),
            Step::Flush => return self.finish_point(disk),
        };
        self.points.is_file_named |= noting.step == Step::Sync;
        noting.step = step;
        self.push(Pending::Point, operation, disk);
    }

    fn finish_point(&mut self, disk: &mut DiskQueue) {
        let noting = self.points.noting.take().expect("the caller looked");
        let file = noting.file;
        self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
        self.points.sequence += 1;
        let before = self.points.noted.replace(noting.point);
        if let Some(before) = before {
            self.remove_snapshot(before.mark.next_offset, disk);
        }
        self.pump(disk);
    }

    /// The segment of the noted point is sealed: its roll has written all that the point stood for.
    pub(super) fn forget_point(&mut self, disk: &mut DiskQueue) {
        assert!(!self.points.is_busy());
        if let Some(noted) = self.points.noted.take() {
            self.remove_snapshot(noted.mark.next_offset, disk);
        }
        self.points.position = 0;
        self.points.forget_captured();
    }

    /// Removes the snapshot of a point, unless a segment starts there.
    fn remove_snapshot(&mut self, offset: Offset, disk: &mut DiskQueue) {
        if self.segment_mut(offset).is_none() {
            let path = self.segment_path(offset, FileKind::Snapshot);
            self.push(Pending::Ignored, DiskOperation::RemoveFile { path }, disk);
        }
    }
}
