// SPDX-License-Identifier: Apache-2.0
//! Making a sealed segment readable: its file opened, its indexes loaded, or rebuilt where they are
//! missing or damaged, and where a read came upon damage that was not known.
//!
//! Owns: [`Rebuild`]. Invariants: an index is only a hint, so a damaged one costs a scan and never
//! data; a damaged segment is indexed around the damage and never cut. Runs on: the core of the
//! partition.
//! Bounded by: `WARM_SEGMENTS_PER_LOG_MAX`, one rebuild per segment.

use super::batch_scanner::{BatchScanner, Continuity};
use super::event::{LogEvent, ReadError};
use super::offset_index::OffsetIndex;
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::segment::{FileKind, Segment, SegmentIndexes, Warmth};
use super::segment_walk::{SegmentWalk, WalkKind};
use super::time_index::TimeIndex;
use crate::limits::{RECOVERY_READ_BYTES, WARM_SEGMENTS_PER_LOG_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;

/// A scan that rebuilds the indexes of a sealed segment.
#[derive(Debug)]
pub(super) struct Rebuild {
    walk: SegmentWalk,
    /// Collects the entries.
    scratch: Segment,
}

impl PartitionLog {
    /// True if the segment can be read at once; else its warming is under way and its tasks are
    /// called again after it.
    pub(super) fn warm(&mut self, base_offset: Offset, disk: &mut DiskQueue) -> bool {
        self.uses += 1;
        let uses = self.uses;
        let segment = self.segment_mut(base_offset).expect("the caller found it");
        segment.used = uses;
        match segment.warmth {
            Warmth::Warm => return true,
            Warmth::Warming { .. } | Warmth::Rebuilding => return false,
            Warmth::Cold => {}
        }
        assert!(segment.file.is_none());
        segment.warmth = Warmth::Warming {
            outstanding: 3,
            failed: None,
            offsets: None,
            times: None,
        };
        let file = self.new_file();
        self.segment_mut(base_offset)
            .expect("it is still there")
            .file = Some(file);
        let path = self.segment_path(base_offset, FileKind::Log);
        let create = false;
        let open = DiskOperation::Open { file, path, create };
        self.push(Pending::WarmFile(base_offset), open, disk);
        let path = self.segment_path(base_offset, FileKind::Index);
        self.push(
            Pending::WarmIndex(base_offset),
            DiskOperation::ReadFile { path },
            disk,
        );
        let path = self.segment_path(base_offset, FileKind::TimeIndex);
        self.push(
            Pending::WarmTimeIndex(base_offset),
            DiskOperation::ReadFile { path },
            disk,
        );
        false
    }

    pub(super) fn end_warm_file(
        &mut self,
        base_offset: Offset,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let segment = self
            .segment_mut(base_offset)
            .expect("a warming segment stays");
        let error = match result {
            Ok(DiskOutcome::Opened { len_bytes }) => {
                // A sealed file that lost bytes cannot serve them; what is left can be read.
                debug_assert!(len_bytes <= u64::MAX / 2);
                None
            }
            Ok(outcome) => unreachable!("an open ended with {outcome:?}"),
            Err(error) => Some(error),
        };
        if let Warmth::Warming { failed, .. } = &mut segment.warmth {
            *failed = error;
        }
        self.end_warm_step(base_offset, disk, events);
    }

    pub(super) fn end_warm_index(
        &mut self,
        base_offset: Offset,
        is_time: bool,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let segment = self
            .segment_mut(base_offset)
            .expect("a warming segment stays");
        let (next_offset, size_bytes) = (segment.mark.next_offset, segment.mark.size_bytes);
        if let (Ok(DiskOutcome::FileRead { contents }), Warmth::Warming { offsets, times, .. }) =
            (result, &mut segment.warmth)
        {
            if is_time {
                *times = TimeIndex::decode(base_offset, next_offset, &contents);
            } else {
                *offsets = OffsetIndex::decode(base_offset, next_offset, size_bytes, &contents);
            }
        }
        self.end_warm_step(base_offset, disk, events);
    }

    fn end_warm_step(
        &mut self,
        base_offset: Offset,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let segment = self
            .segment_mut(base_offset)
            .expect("a warming segment stays");
        let Warmth::Warming { outstanding, .. } = &mut segment.warmth else {
            unreachable!("a segment warms once at a time");
        };
        *outstanding -= 1;
        if *outstanding > 0 {
            return;
        }
        let warmth = std::mem::replace(&mut segment.warmth, Warmth::Cold);
        match warmth {
            Warmth::Warming {
                failed: Some(error),
                ..
            } => {
                segment.file = None;
                let error = match error {
                    // Retention removed the file after the read had found the segment.
                    DiskError::NotFound => ReadError::OffsetOutOfRange,
                    error => ReadError::Disk(error),
                };
                self.fail_waiting_tasks(base_offset, error, events);
            }
            Warmth::Warming {
                offsets: Some(offsets),
                times: Some(times),
                ..
            } => {
                self.install_indexes(base_offset, SegmentIndexes { offsets, times }, disk, events);
            }
            _ => self.start_rebuild(base_offset, disk),
        }
    }

    fn install_indexes(
        &mut self,
        base_offset: Offset,
        indexes: SegmentIndexes,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let segment = self
            .segment_mut(base_offset)
            .expect("a warming segment stays");
        segment.mark.max_timestamp = indexes.times.last();
        segment.durable.max_timestamp = segment.mark.max_timestamp;
        segment.times_known = true;
        segment.indexes = Some(indexes);
        segment.warmth = Warmth::Warm;
        if self.retention.waits_for == Some(base_offset) {
            self.retention.waits_for = None;
            self.retention.due = Some(0);
        }
        self.resume_tasks(base_offset, disk, events);
        self.cool_down(disk);
    }

    /// Closes the sealed segments that were not used for longest, down to the bound.
    pub(super) fn cool_down(&mut self, disk: &mut DiskQueue) {
        let written = self
            .stages
            .front()
            .map_or(Offset::MAX, |stage| stage.base_offset);
        let is_warm = |segment: &&mut Segment| {
            segment.base_offset < written && matches!(segment.warmth, Warmth::Warm)
        };
        let swapped = self
            .compaction
            .pass
            .as_ref()
            .and_then(|pass| pass.group.as_ref());
        // Its file has not got its name yet.
        let swapped = swapped.map(|group| group.base);
        let is_warm =
            |segment: &&mut Segment| Some(segment.base_offset) != swapped && is_warm(segment);
        loop {
            let warm = self.segments.iter_mut().filter(is_warm);
            if warm.count() <= WARM_SEGMENTS_PER_LOG_MAX {
                return;
            }
            let idlest = self
                .segments
                .iter_mut()
                .filter(is_warm)
                .min_by_key(|segment| segment.used);
            let idlest = idlest.expect("more than the bound are warm");
            idlest.warmth = Warmth::Cold;
            idlest.indexes = None;
            let file = idlest.file.take().expect("a warm segment is open");
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
        }
    }

    /// Rebuilds indexes that were found to lie. False if there is nothing to rebuild them from: the
    /// segment is still being written, and its indexes were never on disk.
    pub(super) fn rebuild_again(&mut self, base_offset: Offset, disk: &mut DiskQueue) -> bool {
        let written = self
            .stages
            .front()
            .map_or(Offset::MAX, |stage| stage.base_offset);
        if base_offset >= written {
            return false;
        }
        if !self.warm(base_offset, disk) {
            return true;
        }
        self.start_rebuild(base_offset, disk);
        true
    }

    /// True if a segment is sealed and not all of it was looked at.
    pub(super) fn wants_inspection(&mut self, base_offset: Offset) -> bool {
        let written = self
            .stages
            .front()
            .map_or(Offset::MAX, |stage| stage.base_offset);
        base_offset < written
            && self
                .segment_mut(base_offset)
                .is_some_and(|segment| segment.damages.is_none())
    }

    /// Rebuilds the indexes of a segment whose file is open.
    fn start_rebuild(&mut self, base_offset: Offset, disk: &mut DiskQueue) {
        let segment = self.segment_mut(base_offset).expect("the caller found it");
        segment.warmth = Warmth::Rebuilding;
        segment.indexes = None;
        let next_offset = segment.mark.next_offset;
        let rebuild = Rebuild {
            walk: SegmentWalk::new(
                BatchScanner::new(base_offset, next_offset, Continuity::Ascending),
                WalkKind::Sealed(next_offset),
            ),
            scratch: Segment::empty(base_offset),
        };
        self.rebuilds.insert(base_offset, rebuild);
        self.read_for_rebuild(base_offset, 0, disk);
    }

    fn read_for_rebuild(&mut self, base_offset: Offset, position_bytes: u64, disk: &mut DiskQueue) {
        let segment = self
            .segment_mut(base_offset)
            .expect("a rebuilding segment stays");
        let file = segment.file.expect("a rebuilding segment is open");
        let buffer = BlockBuffer::zeroed(RECOVERY_READ_BYTES);
        let read = DiskOperation::Read {
            file,
            position_bytes,
            buffer,
        };
        self.push(Pending::Rebuild(base_offset), read, disk);
    }

    pub(super) fn step_rebuild(
        &mut self,
        base_offset: Offset,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let interval_bytes = self.config.index_interval_bytes;
        let rebuild = self
            .rebuilds
            .get_mut(&base_offset)
            .expect("a rebuild is under way");
        let (buffer, len_bytes) = match result {
            Ok(DiskOutcome::Read { buffer, len_bytes }) => (buffer, len_bytes),
            Ok(outcome) => unreachable!("a read ended with {outcome:?}"),
            Err(error) => {
                self.rebuilds.remove(&base_offset);
                let segment = self
                    .segment_mut(base_offset)
                    .expect("a rebuilding segment stays");
                segment.warmth = Warmth::Cold;
                let file = segment.file.take().expect("a rebuilding segment is open");
                self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
                return self.fail_waiting_tasks(base_offset, ReadError::Disk(error), events);
            }
        };
        let Rebuild { walk, scratch } = rebuild;
        let read = usize::try_from(len_bytes).expect("a read fits memory");
        let piece = walk.take(&buffer.as_slice()[..read], read < buffer.len());
        if let Some(position) = piece.resumed_at {
            scratch.skip_to(position);
        }
        for batch in &piece.found {
            scratch.add_batch(&batch.header, batch.position, interval_bytes);
        }
        if piece.goes_on {
            let next = walk.position();
            return self.read_for_rebuild(base_offset, next, disk);
        }
        self.finish_rebuild(base_offset, disk, events);
    }

    fn finish_rebuild(
        &mut self,
        base_offset: Offset,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let mut rebuild = self
            .rebuilds
            .remove(&base_offset)
            .expect("a rebuild is under way");
        rebuild.scratch.finish_time_index();
        let indexes = rebuild
            .scratch
            .indexes
            .take()
            .expect("a scratch segment has indexes");
        // Only to spare the next reader the scan; nothing depends on it.
        let replaced = [
            (FileKind::Index, indexes.offsets.encode()),
            (FileKind::TimeIndex, indexes.times.encode()),
        ];
        for (kind, contents) in replaced {
            let path = self.segment_path(base_offset, kind);
            let replace = DiskOperation::ReplaceFile { path, contents };
            self.push(Pending::Ignored, replace, disk);
        }
        let damages = rebuild.walk.into_damages();
        self.tell_damage(base_offset, &damages, events);
        let segment = self.segment_mut(base_offset);
        segment
            .expect("a rebuilding segment stays")
            .note_damages(damages);
        self.install_indexes(base_offset, indexes, disk, events);
    }
}
