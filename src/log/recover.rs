// SPDX-License-Identifier: Apache-2.0
//! Recovery after anything but a clean stop: the last segment is read from its last recovery point
//! (or its start) and cut behind its last good batch.
//!
//! Every sealed segment was durable before the last one was made, so only the last one can be torn.
//! Sealed ones are read only where a producer snapshot or the leader epochs are missing or damaged,
//! and are never cut.
//!
//! Rot and a torn write look the same near the end of the file; `segment_walk` tells them apart
//! where that can be told. Where rot was found, the log goes on in a new segment: the damaged one
//! is sealed as it is, and sealed segments are neither cut nor written to.
//!
//! Owns: [`Scan`]. Invariants: nothing is served before the cut is flushed, so no byte that was
//! read once can be gone later; what was read is flushed, too: it may so far have been in a
//! volatile cache only.
//! Runs on: the core of the partition. Bounded by: one segment (all of them after damage), in
//! `RECOVERY_READ_BYTES` steps.

use super::batch_scanner::{BatchScanner, Continuity, ScannedBatch};
use super::damage::Damages;
use super::event::LogEvent;
use super::leader_epochs::LeaderEpochs;
use super::open::{OpenStep, Opening};
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::producer_snapshot;
use super::producer_state::ProducerState;
use super::recovery_point::RecoveryPoint;
use super::segment::{FileKind, Segment, SegmentIndexes, Warmth};
use super::segment_walk::{SegmentWalk, WalkKind};
use crate::limits::RECOVERY_READ_BYTES;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::Now;

/// One segment being read.
#[derive(Debug)]
pub(super) struct Scan {
    walk: SegmentWalk,
    /// Collects what is known of the segment.
    scratch: Segment,
    file: FileId,
    file_bytes: u64,
    is_last: bool,
}

impl Opening {
    /// Small files of this kind that belong to a segment, by their base offsets.
    pub(super) fn of_segments(&self, wanted: FileKind) -> impl Iterator<Item = Offset> {
        let others = self.others.iter();
        others.filter_map(move |(base, kind)| {
            (*kind == wanted && self.logs.contains_key(base)).then_some(*base)
        })
    }
}

impl PartitionLog {
    /// Chooses the segment from which to read: the newest one with a good snapshot, if the leader
    /// epochs before it are known.
    pub(super) fn start_recovery(&mut self, disk: &mut DiskQueue) {
        self.producers = ProducerState::new();
        let first = self
            .segments
            .front()
            .expect("there are segments")
            .base_offset;
        if !self.opening().epochs_trusted {
            self.opening().report.files_rebuilt += 1;
            self.epochs = LeaderEpochs::new();
            return self.scan_segment(first, disk);
        }
        let is_known = self.opening().rescan_from.is_none();
        if let Some(point) = self.points.noted.filter(|_| is_known) {
            return self.start_from_point(&point, disk);
        }
        match self.snapshots_of_segments().first() {
            Some(newest) => self.read_snapshot(*newest, disk),
            None => self.scan_segment(first, disk),
        }
    }

    /// Snapshots that a recovery may start from: of segments, newest first.
    fn snapshots_of_segments(&mut self) -> Vec<Offset> {
        let opening = self.opening();
        let from = opening.rescan_from.unwrap_or(Offset::MAX);
        let snapshots = opening.of_segments(FileKind::Snapshot);
        let mut snapshots: Vec<Offset> = snapshots.filter(|base| *base <= from).collect();
        snapshots.sort_unstable_by(|a, b| b.cmp(a));
        snapshots
    }

    fn read_snapshot(&mut self, base_offset: Offset, disk: &mut DiskQueue) {
        let path = self.segment_path(base_offset, FileKind::Snapshot);
        let step = OpenStep::RecoverySnapshot(base_offset);
        self.open_next(step, DiskOperation::ReadFile { path }, disk);
    }

    pub(super) fn take_recovery_snapshot(
        &mut self,
        base_offset: Offset,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let producers = match result {
            Ok(DiskOutcome::FileRead { contents }) => {
                producer_snapshot::decode(&contents, base_offset)
            }
            _ => None,
        };
        if let Some(producers) = producers {
            self.producers = producers;
            return self.scan_segment(base_offset, disk);
        }
        self.opening().report.files_rebuilt += 1;
        let older = self
            .snapshots_of_segments()
            .into_iter()
            .find(|base| *base < base_offset);
        match older {
            Some(older) => self.read_snapshot(older, disk),
            None => {
                let first = self
                    .segments
                    .front()
                    .expect("there are segments")
                    .base_offset;
                self.scan_segment(first, disk);
            }
        }
    }

    fn scan_segment(&mut self, base_offset: Offset, disk: &mut DiskQueue) {
        let next_base = self.segment_after(base_offset);
        let walk = match next_base {
            None => SegmentWalk::new(
                BatchScanner::new(base_offset, Offset::MAX, Continuity::Exact),
                WalkKind::Last,
            ),
            Some(next) => SegmentWalk::new(
                BatchScanner::new(base_offset, next, Continuity::Ascending),
                WalkKind::Sealed(next),
            ),
        };
        // What the batches say themselves counts more than what was noted of them.
        self.epochs.truncate_from_end(base_offset);
        self.aborted.truncate_from_end(base_offset);
        let file = self.new_file();
        self.segment_mut(base_offset)
            .expect("a listed segment")
            .file = Some(file);
        self.opening().scan = Some(Scan {
            walk,
            scratch: Segment::empty(base_offset),
            file,
            file_bytes: 0,
            is_last: next_base.is_none(),
        });
        let path = self.segment_path(base_offset, FileKind::Log);
        let create = false;
        self.open_next(
            OpenStep::ScanFile,
            DiskOperation::Open { file, path, create },
            disk,
        );
    }

    /// Scans the last segment from a recovery point on.
    pub(super) fn scan_from(
        &mut self,
        point: &RecoveryPoint,
        indexes: SegmentIndexes,
        disk: &mut DiskQueue,
    ) {
        let base_offset = point.segment_base;
        let (position, next_offset) = (point.mark.size_bytes, point.mark.next_offset);
        // The checkpoint may be that of a later point.
        self.epochs.truncate_from_end(next_offset);
        self.aborted.truncate_from_end(next_offset);
        let leader_epoch = point.leader_epoch;
        if self.epochs.latest() != Some(leader_epoch) {
            return self.give_up_point(disk);
        }
        let mut scratch = Segment::empty(base_offset);
        scratch.mark = point.mark;
        scratch.indexes = Some(indexes);
        self.opening().report.bytes_skipped = position;
        let file = self.new_file();
        self.active_mut().file = Some(file);
        let scanner = BatchScanner::behind(base_offset, position, next_offset, leader_epoch);
        self.opening().scan = Some(Scan {
            walk: SegmentWalk::new(scanner, WalkKind::Last),
            scratch,
            file,
            file_bytes: 0,
            is_last: true,
        });
        let path = self.segment_path(base_offset, FileKind::Log);
        let create = false;
        let open = DiskOperation::Open { file, path, create };
        self.open_next(OpenStep::ScanFile, open, disk);
    }

    fn scan(&mut self) -> &mut Scan {
        self.opening().scan.as_mut().expect("a scan is under way")
    }

    pub(super) fn take_scan_file(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let Ok(DiskOutcome::Opened { len_bytes }) = result else {
            unreachable!("an open brings a length");
        };
        let scan = self.scan();
        scan.file_bytes = len_bytes;
        let wanted = len_bytes.saturating_sub(scan.walk.position());
        self.opening().report.bytes_to_scan += wanted;
        self.read_for_scan(disk);
    }

    fn read_for_scan(&mut self, disk: &mut DiskQueue) {
        let scan = self.scan();
        let read = DiskOperation::Read {
            file: scan.file,
            position_bytes: scan.walk.position(),
            buffer: BlockBuffer::zeroed(RECOVERY_READ_BYTES),
        };
        self.push(Pending::Scan, read, disk);
    }

    /// Takes the next piece of a segment.
    pub(super) fn step_scan(
        &mut self,
        _now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let (buffer, len_bytes) = match result {
            Ok(DiskOutcome::Read { buffer, len_bytes }) => (buffer, len_bytes),
            Ok(outcome) => unreachable!("a read ended with {outcome:?}"),
            Err(error) => return self.fail("reading a segment for recovery", error, events),
        };
        let len = usize::try_from(len_bytes).expect("a read fits memory");
        let at_end = len < buffer.len();
        self.opening().report.bytes_scanned += u64::from(len_bytes);
        let scan = self.scan();
        let piece = scan.walk.take(&buffer.as_slice()[..len], at_end);
        if let Some(position) = piece.resumed_at {
            scan.scratch.skip_to(position);
        }
        if self.take_scanned(&piece.found) {
            // The checkpoint names a newer epoch than the batches after it: it is damaged.
            let opening = self.opening();
            opening.epochs_trusted = false;
            let file = self.scan().file;
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
            return self.start_recovery(disk);
        }
        if piece.goes_on {
            return self.read_for_scan(disk);
        }
        self.finish_segment(disk, events);
    }

    /// Takes note of good batches. True if they contradict the leader epochs noted before them.
    fn take_scanned(&mut self, found: &[ScannedBatch]) -> bool {
        let interval_bytes = self.config.index_interval_bytes;
        for batch in found {
            let header = &batch.header;
            let latest = self.epochs.latest().unwrap_or(-1);
            let contradicts = header.partition_leader_epoch < latest;
            let scan = self.scan();
            if contradicts && scan.is_last && scan.scratch.mark.size_bytes == 0 {
                return true;
            }
            scan.scratch
                .add_batch(header, batch.position, interval_bytes);
            self.opening().report.batches_scanned += 1;
            self.epochs
                .assign(header.partition_leader_epoch, header.base_offset);
            if header.producer_id >= 0 {
                self.note_producer(header, batch.marker, Offset::MAX);
            }
        }
        false
    }

    fn finish_segment(&mut self, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let scan = self.opening().scan.take().expect("a scan is under way");
        let Scan {
            walk,
            mut scratch,
            file,
            file_bytes,
            is_last,
        } = scan;
        let base_offset = scratch.base_offset;
        let (good_end, torn_bytes) = (walk.good_end(), walk.torn_bytes());
        let damages = walk.into_damages();
        self.opening().report.damaged_places += damages.count();
        self.tell_damage(base_offset, &damages, events);
        scratch.file = Some(file);
        scratch.note_damages(damages);
        if is_last {
            assert_eq!(scratch.mark.size_bytes, good_end);
            self.opening().report.torn_bytes_cut = torn_bytes;
            scratch.durable = scratch.mark;
            *self.active_mut() = scratch;
            return self.cut_scanned(file_bytes, disk);
        }
        scratch.finish_time_index();
        let segment = self.segment_mut(base_offset).expect("a listed segment");
        segment.mark.max_timestamp = scratch.mark.max_timestamp;
        segment.durable = segment.mark;
        segment.times_known = true;
        segment.indexes = scratch.indexes;
        segment.damages = scratch.damages;
        segment.warmth = Warmth::Warm;
        let next = self
            .segment_after(base_offset)
            .expect("this was not the last segment");
        self.rewrite_txn_index(base_offset, next, disk);
        self.cool_scanned(base_offset, disk);
        self.scan_segment(next, disk);
    }

    /// Tells what is damaged in a segment that was walked through.
    pub(super) fn tell_damage(
        &self,
        base_offset: Offset,
        damages: &Damages,
        events: &mut Vec<LogEvent>,
    ) {
        let path = self.segment_path(base_offset, FileKind::Log);
        let sentences = damages.sentences(&path).into_iter();
        events.extend(sentences.map(|sentence| LogEvent::Damaged { sentence }));
    }

    /// A sealed segment that was only read for what lies in its batches is closed again.
    fn cool_scanned(&mut self, base_offset: Offset, disk: &mut DiskQueue) {
        let segment = self.segment_mut(base_offset).expect("a listed segment");
        segment.indexes = None;
        segment.warmth = Warmth::Cold;
        if let Some(file) = segment.file.take() {
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
        }
    }

    fn cut_scanned(&mut self, file_bytes: u64, disk: &mut DiskQueue) {
        let active = self.active_mut();
        let len_bytes = active.mark.size_bytes;
        let file = active.file.expect("the last segment is open");
        assert!(len_bytes <= file_bytes);
        if len_bytes < file_bytes {
            let cut = DiskOperation::SetLength { file, len_bytes };
            self.open_next(OpenStep::Cut, cut, disk);
        } else {
            self.flush_scanned(disk);
        }
    }

    pub(super) fn flush_scanned(&mut self, disk: &mut DiskQueue) {
        let file = self.active_mut().file.expect("the last segment is open");
        self.open_next(OpenStep::Flush, DiskOperation::Flush { file }, disk);
    }
}
