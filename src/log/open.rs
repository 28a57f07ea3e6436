// SPDX-License-Identifier: Apache-2.0
//! Opening: look at the directory, make it or take over what a clean stop left; anything else is
//! recovered (`recover`).
//!
//! One request at a time:
//! ```text
//! make directory -> list -> partition.metadata -> clean-shutdown -> leader-epoch-checkpoint
//!   -> log-start-offset
//!   no segment:  write metadata -> make the first segment -> sync directory -> open
//!   clean:       snapshot -> indexes of the last segment -> open it -> its last block -> (end)
//!   else:        snapshot -> scan -> cut -> flush -> last block -> (end)
//!   (end):       remove the marker -> sync directory -> remove what belongs to no segment -> open
//! ```
//!
//! Owns: [`Opening`]. Invariants: the marker is durably gone before the first append; a directory
//! of another topic is not touched. Runs on: the core of the partition. Bounded by: the files of
//! the directory.

use std::collections::{BTreeMap, BTreeSet};

use super::clean_marker::{CLEAN_SHUTDOWN, CleanMarker};
use super::event::{LogEvent, RecoveryReport};
use super::leader_epochs::{LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use super::log_start::LOG_START_OFFSET;
use super::offset_index::OffsetIndex;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase};
use super::partition_metadata::{self, PARTITION_METADATA};
use super::producer_snapshot;
use super::producer_state::ProducerState;
use super::recover::Scan;
use super::recovery_point::RECOVERY_POINT;
use super::segment::{FileKind, Segment, SegmentIndexes, Warmth, parse_file_name};
use super::swap::COMPACTION_SWAP;
use super::tail_buffer::{BLOCK, block_floor, memory_len};
use super::time_index::TimeIndex;
use super::write::Stage;
use crate::limits::{BLOCK_BYTES, RETENTION_FIRST_CHECK_MS};
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{
    DirectoryEntry, DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId,
};
use crate::model::ids::Offset;
use crate::model::time::Now;

/// The request whose completion is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenStep {
    MakeDirectory,
    List,
    ReadMetadata,
    ReadMarker,
    ReadCheckpoint,
    ReadLogStart,
    WriteMetadata,
    MakeFirst,
    SyncFirst,
    ReadPoint,
    TxnIndex(Offset),
    PointSnapshot,
    PointIndex,
    PointTimeIndex,
    CleanSnapshot,
    CleanIndex,
    CleanTimeIndex,
    CleanFile,
    RecoverySnapshot(Offset),
    ScanFile,
    Cut,
    Flush,
    Tail,
    RemoveMarker,
    SyncMarker,
    ReadSwap,
    SwapRemove { left: usize },
    SwapPlace,
    SwapSync,
    SwapUnmark,
    SwapSyncUnmark,
    Tidy { left: usize },
}

/// What is known of the directory so far.
#[derive(Debug)]
pub(super) struct Opening {
    step: OpenStep,
    pub(super) stop_wanted: bool,
    pub(super) report: RecoveryReport,
    /// Length of each segment file by base offset.
    pub(super) logs: BTreeMap<Offset, u64>,
    /// Indexes and snapshots.
    pub(super) others: Vec<(Offset, FileKind)>,
    has_swap: bool,
    /// The copy that has still to be renamed.
    pub(super) swap: Option<Offset>,
    has_metadata: bool,
    has_marker: bool,
    has_checkpoint: bool,
    has_log_start: bool,
    /// Where the log starts at the earliest.
    pub(super) log_start: Offset,
    marker: Option<CleanMarker>,
    /// The checkpoint could be read.
    pub(super) epochs_trusted: bool,
    clean_offsets: Option<OffsetIndex>,
    /// Segments whose file of aborted transactions was not read yet.
    pub(super) txn_indexes: BTreeSet<Offset>,
    /// The oldest segment of which that file is damaged: its batches are read.
    pub(super) rescan_from: Option<Offset>,
    /// There is a file of recovery points that was not read yet.
    has_point: bool,
    pub(super) point_offsets: Option<OffsetIndex>,
    pub(super) scan: Option<Scan>,
    tail: Vec<u8>,
}

/// The contents of a small file, if it could be read.
pub(super) fn contents(result: Result<DiskOutcome, DiskError>) -> Option<Vec<u8>> {
    match result {
        Ok(DiskOutcome::FileRead { contents }) => Some(contents),
        _ => None,
    }
}

impl PartitionLog {
    /// Opens the directory, makes it if it is missing, recovers what is in it. Ends in
    /// `LogEvent::Opened` (or `WrongTopic`, or `Failed`).
    pub fn handle_open(&mut self, _now: Now, disk: &mut DiskQueue) {
        assert!(matches!(self.phase, Phase::Closed));
        assert!(self.operations.is_empty());
        self.phase = Phase::Opening(Box::new(Opening {
            step: OpenStep::MakeDirectory,
            stop_wanted: false,
            report: RecoveryReport::default(),
            logs: BTreeMap::new(),
            others: Vec::new(),
            has_swap: false,
            swap: None,
            has_metadata: false,
            has_marker: false,
            has_checkpoint: false,
            has_log_start: false,
            log_start: 0,
            marker: None,
            epochs_trusted: false,
            clean_offsets: None,
            txn_indexes: BTreeSet::new(),
            rescan_from: None,
            has_point: false,
            point_offsets: None,
            scan: None,
            tail: Vec::new(),
        }));
        let path = self.directory.clone();
        self.push(
            Pending::Opening,
            DiskOperation::CreateDirectory { path },
            disk,
        );
    }

    /// What the opening has found so far, while it is under way.
    #[must_use]
    pub fn opening_report(&self) -> Option<RecoveryReport> {
        match &self.phase {
            Phase::Opening(opening) => Some(opening.report),
            _ => None,
        }
    }

    pub(super) fn opening(&mut self) -> &mut Opening {
        match &mut self.phase {
            Phase::Opening(opening) => opening,
            _ => unreachable!("only an opening asks so"),
        }
    }

    pub(super) fn open_at(&mut self, step: OpenStep) {
        self.opening().step = step;
    }

    /// Sends the next request of the opening.
    pub(super) fn open_next(
        &mut self,
        step: OpenStep,
        operation: DiskOperation,
        disk: &mut DiskQueue,
    ) {
        self.opening().step = step;
        self.push(Pending::Opening, operation, disk);
    }

    fn open_read(&mut self, step: OpenStep, path: Box<str>, disk: &mut DiskQueue) {
        self.open_next(step, DiskOperation::ReadFile { path }, disk);
    }

    pub(super) fn step_opening(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let step = self.opening().step;
        let must_succeed = !matches!(
            step,
            OpenStep::ReadMetadata
                | OpenStep::ReadMarker
                | OpenStep::ReadCheckpoint
                | OpenStep::ReadLogStart
                | OpenStep::ReadSwap
                | OpenStep::ReadPoint
                | OpenStep::TxnIndex(_)
                | OpenStep::PointSnapshot
                | OpenStep::PointIndex
                | OpenStep::PointTimeIndex
                | OpenStep::CleanSnapshot
                | OpenStep::CleanIndex
                | OpenStep::CleanTimeIndex
                | OpenStep::RecoverySnapshot(_)
                | OpenStep::Tidy { .. }
        );
        if must_succeed && let Err(error) = result {
            if error == DiskError::NoSpace {
                return self.delay_opening(now, step, disk, events);
            }
            return self.fail(&format!("opening ({step:?})"), error, events);
        }
        match step {
            OpenStep::MakeDirectory => {
                let path = self.directory.clone();
                self.open_next(OpenStep::List, DiskOperation::ListDirectory { path }, disk);
            }
            OpenStep::List => self.take_listing(result, disk),
            OpenStep::ReadMetadata => self.take_metadata(result, disk, events),
            OpenStep::ReadMarker => self.take_marker(result, disk),
            OpenStep::ReadCheckpoint => self.take_checkpoint(result, disk),
            OpenStep::ReadLogStart => self.take_log_start(result, disk),
            OpenStep::WriteMetadata => self.start_segments(disk),
            OpenStep::MakeFirst => {
                let path = self.directory.clone();
                self.open_next(
                    OpenStep::SyncFirst,
                    DiskOperation::SyncDirectory { path },
                    disk,
                );
            }
            OpenStep::SyncFirst => self.finish_open(now, disk, events),
            OpenStep::ReadPoint => self.take_point(result, disk),
            OpenStep::TxnIndex(base) => self.take_txn_index(base, result, disk),
            OpenStep::PointSnapshot | OpenStep::PointIndex => {
                self.take_point_file(step, result, disk);
            }
            OpenStep::PointTimeIndex => self.take_point_time_index(result, disk),
            OpenStep::CleanSnapshot => self.take_clean_snapshot(result, disk),
            OpenStep::CleanIndex => self.take_clean_index(result, disk),
            OpenStep::CleanTimeIndex => self.take_clean_time_index(result, disk),
            OpenStep::CleanFile => self.read_tail(disk),
            OpenStep::RecoverySnapshot(base) => self.take_recovery_snapshot(base, result, disk),
            OpenStep::ScanFile => self.take_scan_file(result, disk),
            OpenStep::Cut => self.flush_scanned(disk),
            OpenStep::Flush => self.read_tail(disk),
            OpenStep::Tail => self.take_tail(result, disk, events),
            OpenStep::RemoveMarker => {
                let path = self.directory.clone();
                self.open_next(
                    OpenStep::SyncMarker,
                    DiskOperation::SyncDirectory { path },
                    disk,
                );
            }
            OpenStep::ReadSwap => self.take_swap(result, disk),
            OpenStep::SwapRemove { left } => self.step_swap_removal(left - 1, disk),
            OpenStep::SwapPlace => self.sync_swap(OpenStep::SwapSync, disk),
            OpenStep::SwapSync => self.unmark_swap(disk),
            OpenStep::SwapUnmark => self.sync_swap(OpenStep::SwapSyncUnmark, disk),
            OpenStep::SwapSyncUnmark => self.after_checkpoint(disk),
            OpenStep::SyncMarker => self.tidy(now, disk, events),
            OpenStep::Tidy { left } if left > 1 => {
                self.opening().step = OpenStep::Tidy { left: left - 1 };
            }
            OpenStep::Tidy { .. } => self.finish_open(now, disk, events),
        }
    }

    fn take_listing(&mut self, result: Result<DiskOutcome, DiskError>, disk: &mut DiskQueue) {
        let Ok(DiskOutcome::Listed { entries }) = result else {
            unreachable!("a listing brings entries");
        };
        let opening = self.opening();
        for DirectoryEntry {
            name,
            is_directory,
            len_bytes,
        } in entries
        {
            match (parse_file_name(&name), &*name) {
                _ if is_directory => {}
                (Some((base_offset, FileKind::Log)), _) => {
                    opening.logs.insert(base_offset, len_bytes);
                }
                (Some(other), _) => opening.others.push(other),
                (None, PARTITION_METADATA) => opening.has_metadata = true,
                (None, CLEAN_SHUTDOWN) => opening.has_marker = true,
                (None, RECOVERY_POINT) => opening.has_point = true,
                (None, LEADER_EPOCH_CHECKPOINT) => opening.has_checkpoint = true,
                (None, COMPACTION_SWAP) => opening.has_swap = true,
                (None, LOG_START_OFFSET) => opening.has_log_start = true,
                (None, _) => {}
            }
        }
        opening.txn_indexes = opening.of_segments(FileKind::TxnIndex).collect();
        if opening.has_metadata {
            let path = self.path(PARTITION_METADATA);
            self.open_read(OpenStep::ReadMetadata, path, disk);
        } else {
            self.after_metadata(disk);
        }
    }

    fn take_metadata(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        match contents(result).and_then(|file| partition_metadata::decode(&file)) {
            Some(found) if found != self.topic_id => {
                self.phase = Phase::Closed;
                events.push(LogEvent::WrongTopic { found });
            }
            Some(_) => self.after_metadata(disk),
            None => {
                // Damaged: written anew, for the name says whose directory it is.
                let opening = self.opening();
                opening.has_metadata = false;
                opening.report.files_rebuilt += 1;
                self.after_metadata(disk);
            }
        }
    }

    fn after_metadata(&mut self, disk: &mut DiskQueue) {
        if self.opening().has_marker {
            let path = self.path(CLEAN_SHUTDOWN);
            self.open_read(OpenStep::ReadMarker, path, disk);
        } else {
            self.after_marker(disk);
        }
    }

    fn take_marker(&mut self, result: Result<DiskOutcome, DiskError>, disk: &mut DiskQueue) {
        let opening = self.opening();
        let last = opening
            .logs
            .last_key_value()
            .map(|(base, len)| (*base, *len));
        opening.marker = contents(result)
            .and_then(|file| CleanMarker::decode(&file))
            .filter(|marker| Some((marker.segment_base, marker.segment_bytes)) == last);
        self.after_marker(disk);
    }

    fn after_marker(&mut self, disk: &mut DiskQueue) {
        if self.opening().has_checkpoint {
            let path = self.path(LEADER_EPOCH_CHECKPOINT);
            self.open_read(OpenStep::ReadCheckpoint, path, disk);
        } else {
            // A log that never rolled nor stopped has none.
            let opening = self.opening();
            opening.epochs_trusted = opening.logs.len() <= 1 && opening.marker.is_none();
            self.after_checkpoint(disk);
        }
    }

    fn take_checkpoint(&mut self, result: Result<DiskOutcome, DiskError>, disk: &mut DiskQueue) {
        let epochs = contents(result).and_then(|file| LeaderEpochs::decode(&file));
        self.opening().epochs_trusted = epochs.is_some();
        self.epochs = epochs.unwrap_or_default();
        self.after_checkpoint(disk);
    }

    pub(super) fn after_checkpoint(&mut self, disk: &mut DiskQueue) {
        if std::mem::take(&mut self.opening().has_swap) {
            let path = self.path(COMPACTION_SWAP);
            return self.open_read(OpenStep::ReadSwap, path, disk);
        }
        if std::mem::take(&mut self.opening().has_log_start) {
            let path = self.path(LOG_START_OFFSET);
            return self.open_read(OpenStep::ReadLogStart, path, disk);
        }
        if self.opening().has_metadata {
            return self.start_segments(disk);
        }
        let path = self.path(PARTITION_METADATA);
        let contents = partition_metadata::encode(self.topic_id);
        let write = DiskOperation::ReplaceFile { path, contents };
        self.open_next(OpenStep::WriteMetadata, write, disk);
    }

    /// Lists the segments and decides how to open them.
    pub(super) fn start_segments(&mut self, disk: &mut DiskQueue) {
        if std::mem::take(&mut self.opening().has_point) {
            return self.read_point(disk);
        }
        if self.read_next_txn_index(disk) {
            return;
        }
        let opening = self.opening();
        if opening.logs.is_empty() {
            opening.report.created = true;
            return self.make_first(disk);
        }
        let logs: Vec<(Offset, u64)> = opening
            .logs
            .iter()
            .map(|(base, len)| (*base, *len))
            .collect();
        let is_trusted = opening.epochs_trusted && opening.rescan_from.is_none();
        let is_clean = opening.marker.is_some() && is_trusted;
        for pair in logs.windows(2) {
            let [(base_offset, len_bytes), (next_offset, _)] = *pair else {
                unreachable!("windows of two");
            };
            self.segments
                .push_back(Segment::sealed(base_offset, next_offset, len_bytes));
        }
        let (last_base, _) = logs[logs.len() - 1];
        self.segments.push_back(Segment::empty(last_base));
        if is_clean {
            let log_end = self.opening().marker.expect("just checked").log_end;
            let path = self.segment_path(log_end, FileKind::Snapshot);
            self.open_read(OpenStep::CleanSnapshot, path, disk);
        } else {
            self.start_recovery(disk);
        }
    }

    fn make_first(&mut self, disk: &mut DiskQueue) {
        let file = self.new_file();
        let mut first = Segment::empty(0);
        first.file = Some(file);
        self.epochs = LeaderEpochs::new();
        self.segments.push_back(first);
        let path = self.segment_path(0, FileKind::Log);
        let create = true;
        self.open_next(
            OpenStep::MakeFirst,
            DiskOperation::Open { file, path, create },
            disk,
        );
    }

    /// A file that a clean stop wrote is missing or damaged.
    fn give_up_clean(&mut self, disk: &mut DiskQueue) {
        let opening = self.opening();
        opening.marker = None;
        opening.report.files_rebuilt += 1;
        self.producers = ProducerState::new();
        self.start_recovery(disk);
    }

    fn take_clean_snapshot(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let marker = self.opening().marker.expect("the clean path has a marker");
        match contents(result).and_then(|file| producer_snapshot::decode(&file, marker.log_end)) {
            None => self.give_up_clean(disk),
            Some(producers) => {
                self.producers = producers;
                let path = self.segment_path(marker.segment_base, FileKind::Index);
                self.open_read(OpenStep::CleanIndex, path, disk);
            }
        }
    }

    fn take_clean_index(&mut self, result: Result<DiskOutcome, DiskError>, disk: &mut DiskQueue) {
        let marker = self.opening().marker.expect("the clean path has a marker");
        let (base, end) = (marker.segment_base, marker.log_end);
        let offsets = contents(result)
            .and_then(|file| OffsetIndex::decode(base, end, marker.segment_bytes, &file));
        if offsets.is_none() {
            return self.give_up_clean(disk);
        }
        self.opening().clean_offsets = offsets;
        let path = self.segment_path(base, FileKind::TimeIndex);
        self.open_read(OpenStep::CleanTimeIndex, path, disk);
    }

    fn take_clean_time_index(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let marker = self.opening().marker.expect("the clean path has a marker");
        let (base, end) = (marker.segment_base, marker.log_end);
        let times = contents(result).and_then(|file| TimeIndex::decode(base, end, &file));
        let offsets = self.opening().clean_offsets.take();
        let (Some(times), Some(offsets)) = (times, offsets) else {
            return self.give_up_clean(disk);
        };
        let file = self.new_file();
        let active = self.active_mut();
        let last_entry = offsets.last_position().unwrap_or(0);
        active.mark.size_bytes = marker.segment_bytes;
        active.mark.next_offset = end;
        active.mark.bytes_since_entry = marker.segment_bytes - last_entry;
        active.mark.max_timestamp = times.last();
        active.durable = active.mark;
        active.indexes = Some(SegmentIndexes { offsets, times });
        active.file = Some(file);
        self.opening().report.clean = true;
        let path = self.segment_path(base, FileKind::Log);
        let create = false;
        self.open_next(
            OpenStep::CleanFile,
            DiskOperation::Open { file, path, create },
            disk,
        );
    }

    /// Reads the partly filled last block, which the next append begins with.
    pub(super) fn read_tail(&mut self, disk: &mut DiskQueue) {
        let active = self.active_mut();
        let size_bytes = active.mark.size_bytes;
        let file: FileId = active.file.expect("the last segment is open");
        if size_bytes.is_multiple_of(BLOCK) {
            return self.remove_marker(disk);
        }
        let read = DiskOperation::Read {
            file,
            position_bytes: block_floor(size_bytes),
            buffer: BlockBuffer::zeroed(BLOCK_BYTES),
        };
        self.open_next(OpenStep::Tail, read, disk);
    }

    fn take_tail(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let Ok(DiskOutcome::Read { buffer, len_bytes }) = result else {
            unreachable!("a read brings bytes");
        };
        let inside = memory_len(self.active_mut().mark.size_bytes % BLOCK);
        if usize::try_from(len_bytes).map_or(true, |len| len < inside) {
            return self.fail("reading the last block", DiskError::Io(0), events);
        }
        self.opening().tail = buffer.as_slice()[..inside].to_vec();
        self.remove_marker(disk);
    }

    fn remove_marker(&mut self, disk: &mut DiskQueue) {
        let path = self.path(CLEAN_SHUTDOWN);
        self.open_next(
            OpenStep::RemoveMarker,
            DiskOperation::RemoveFile { path },
            disk,
        );
    }

    pub(super) fn finish_open(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let opening = self.opening();
        let (report, stop_wanted) = (opening.report, opening.stop_wanted);
        let log_start = opening.log_start;
        let tail = std::mem::take(&mut opening.tail);
        let active = self.segments.back().expect("an open log has a segment");
        assert!(matches!(active.warmth, Warmth::Warm));
        // What is damaged is sealed as it is: no later start looks for a torn end in it.
        let damages = active.damages.as_ref();
        let is_damaged = damages.is_some_and(|damages| !damages.is_empty());
        let stage = Stage::of(active, &tail);
        self.log_end = active.mark.next_offset;
        self.durable_end = self.log_end;
        self.active_since = (active.mark.size_bytes > 0).then_some(now.monotonic_us);
        self.log_start = self
            .segments
            .front()
            .expect("an open log has a segment")
            .base_offset
            // In a relaxed flush mode a crash may have taken what lay before the log start.
            .max(log_start.min(self.log_end));
        self.epochs.truncate_from_start(self.log_start);
        self.stages.push_back(stage);
        let first_ms = self.retention_check_ms.min(RETENTION_FIRST_CHECK_MS);
        self.retention.due = Some(now.after_ms(first_ms));
        self.compaction.open(now);
        self.phase = Phase::Open;
        self.cool_down(disk);
        events.push(LogEvent::Opened { report });
        if is_damaged {
            self.roll_in_memory();
            self.pump(disk);
        }
        if stop_wanted {
            self.start_stop(disk, events);
        }
    }
}
