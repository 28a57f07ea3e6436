// SPDX-License-Identifier: Apache-2.0
//! Recovery from a recovery point: the files that belong to it are read, and the scan of the last
//! segment begins behind it. Where one of them is missing or damaged, the point is worth nothing
//! and the segment is read from its start.
//!
//! Owns: the order of the reads. Invariants: what is taken over from the files reaches up to the
//! point and no further: a later point may have begun to replace them. Runs on: the core of the
//! partition. Bounded by: the files of one segment.

use super::offset_index::OffsetIndex;
use super::open::{OpenStep, contents};
use super::partition_log::PartitionLog;
use super::point::Points;
use super::producer_snapshot;
use super::recovery_point::{RECOVERY_POINT, RecoveryPoint};
use super::segment::{FileKind, SegmentIndexes};
use super::time_index::TimeIndex;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;

impl PartitionLog {
    /// Reads the file of the recovery points; the segments follow.
    pub(super) fn read_point(&mut self, disk: &mut DiskQueue) {
        let path = self.path(RECOVERY_POINT);
        self.open_next(OpenStep::ReadPoint, DiskOperation::ReadFile { path }, disk);
    }

    pub(super) fn take_point(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let newest = contents(result).and_then(|file| RecoveryPoint::newest(&file));
        let last = self.opening().logs.last_key_value();
        let last = last.map(|(base_offset, len_bytes)| (*base_offset, *len_bytes));
        let fits = |point: &RecoveryPoint| {
            last.is_some_and(|(base_offset, len_bytes)| {
                point.segment_base == base_offset && point.mark.size_bytes <= len_bytes
            })
        };
        if let Some((sequence, point)) = newest {
            self.points = Points::found(sequence, Some(point).filter(fits));
        }
        self.start_segments(disk);
    }

    /// Starts with the producer state at the point.
    pub(super) fn start_from_point(&mut self, point: &RecoveryPoint, disk: &mut DiskQueue) {
        let path = self.segment_path(point.mark.next_offset, FileKind::Snapshot);
        let read = DiskOperation::ReadFile { path };
        self.open_next(OpenStep::PointSnapshot, read, disk);
    }

    pub(super) fn take_point_file(
        &mut self,
        step: OpenStep,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let point = self.points.noted.expect("its files are being read");
        let file = contents(result);
        let next = match step {
            OpenStep::PointSnapshot => file
                .and_then(|file| producer_snapshot::decode(&file, point.mark.next_offset))
                .map(|producers| {
                    self.producers = producers;
                    (OpenStep::PointIndex, FileKind::Index)
                }),
            _ => file
                .and_then(|file| offsets_up_to(&point, &file))
                .map(|offsets| {
                    self.opening().point_offsets = Some(offsets);
                    (OpenStep::PointTimeIndex, FileKind::TimeIndex)
                }),
        };
        let Some((step, kind)) = next else {
            return self.give_up_point(disk);
        };
        let path = self.segment_path(point.segment_base, kind);
        self.open_next(step, DiskOperation::ReadFile { path }, disk);
    }

    pub(super) fn take_point_time_index(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let point = self.points.noted.expect("its files are being read");
        let times = contents(result)
            .and_then(|file| TimeIndex::decode(point.segment_base, Offset::MAX, &file));
        let offsets = self.opening().point_offsets.take();
        let (Some(mut times), Some(offsets)) = (times, offsets) else {
            return self.give_up_point(disk);
        };
        times.truncate_to(point.mark.next_offset);
        self.scan_from(&point, SegmentIndexes { offsets, times }, disk);
    }

    /// The point is worth nothing: the checkpoint is read anew with everything else.
    pub(super) fn give_up_point(&mut self, disk: &mut DiskQueue) {
        self.points = Points::found(self.points.sequence, None);
        let opening = self.opening();
        opening.report.files_rebuilt += 1;
        opening.report.bytes_skipped = 0;
        self.start_recovery(disk);
    }
}

/// The entries of an offset index before a point.
fn offsets_up_to(point: &RecoveryPoint, file: &[u8]) -> Option<OffsetIndex> {
    let mut offsets = OffsetIndex::decode(point.segment_base, Offset::MAX, u64::MAX, file)?;
    offsets.truncate_to(point.mark.next_offset);
    let is_inside = |position| position < point.mark.size_bytes;
    offsets
        .last_position()
        .is_none_or(is_inside)
        .then_some(offsets)
}
