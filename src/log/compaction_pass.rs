// SPDX-License-Identifier: Apache-2.0
//! One pass of compaction: its walk over the dirty segments, and the copies that it makes.
//!
//! Owns: [`Pass`]. Invariants: one disk request under way at a time, except for the last steps of a
//! swap and of cleaning up; the segments that it reads have a file of its own, so reads of clients
//! and it do not wait for each other; a batch that cannot be judged (compressed bytes that do not
//! open) is copied as it is. Runs on: the core of the partition.
//! Bounded by: `COMPACTION_PIECE_BYTES` and one batch, twice; the map of keys.

use bytes::Bytes;

use super::aborted::AbortedTransactions;
use super::compaction_copy::Group;
use super::compaction_transactions::{Producers, TransactionWalk};
use super::event::{CompactionReport, LogEvent};
use super::offset_map::OffsetMap;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase};
use super::segment::FileKind;
use super::swap::SwapStep;
use super::tail_buffer::{block_floor, file_len, memory_len};
use super::task::is_intact;
use crate::limits::{
    COMPACTION_PAUSE_MS, COMPACTION_PIECE_BYTES, COMPACTION_QUEUE_MAX, DECOMPRESSED_BYTES_MAX,
};
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};
use crate::wire::record::{BATCH_HEADER_BYTES, BatchHeader, records};

/// What a pass waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    OpenSource,
    Read,
    OpenCopy,
    Write,
    SetLength,
    Flush,
    /// The copy takes the place of its segments.
    Swap(SwapStep),
    /// The copy is not wanted: its file is closed and removed.
    Clean {
        left: u32,
    },
    Checkpoint,
}

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) base_offset: Offset,
    pub(super) next_offset: Offset,
    size_bytes: u64,
    pub(super) file: FileId,
    pub(super) is_open: bool,
    /// Where the next piece begins.
    position: u64,
    /// What was read of it and holds no whole batch yet.
    carried: Bytes,
    /// The offset after the last batch.
    batch_end: Offset,
}

/// A pass under way.
#[derive(Debug)]
pub(super) struct Pass {
    first_dirty: Offset,
    /// Below it every key is in the map.
    pub(super) end: Offset,
    pub(super) map: OffsetMap,
    is_mapped: bool,
    pub(super) producers: Producers,
    pub(super) transactions: TransactionWalk,
    pub(super) wall_ms: i64,
    begun_us: MonotonicUs,
    read_bytes: u64,
    pub(super) written_bytes: u64,
    /// By how much the segments that were replaced are larger than their copies.
    pub(super) removed_bytes: u64,
    /// The next segment, or group of segments, begins here or behind.
    pub(super) next_base: Offset,
    pub(super) group: Option<Group>,
    source: Option<Source>,
    pub(super) buffer: Option<BlockBuffer>,
    pub(super) asked: Option<Asked>,
    pub(super) paused_until: Option<MonotonicUs>,
    pub(super) is_given_up: bool,
}

/// Whether a pass goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Something was asked of the disk, or it is paused.
    Waits,
    /// There is a next step.
    GoesOn,
    /// It is over.
    Ends,
}

impl Pass {
    pub(super) fn new(
        first_dirty: Offset,
        end: Offset,
        producers: Producers,
        now: Now,
        dedupe_bytes: usize,
    ) -> Pass {
        assert!(first_dirty < end);
        Pass {
            first_dirty,
            end,
            map: OffsetMap::new(end.abs_diff(first_dirty), dedupe_bytes),
            is_mapped: false,
            producers,
            transactions: TransactionWalk::default(),
            wall_ms: now.wall_ms,
            begun_us: now.monotonic_us,
            read_bytes: 0,
            written_bytes: 0,
            removed_bytes: 0,
            next_base: first_dirty,
            group: None,
            source: None,
            buffer: None,
            asked: None,
            paused_until: None,
            is_given_up: false,
        }
    }

    /// What it holds in memory: the map, and its pieces.
    pub(super) fn held_bytes(&self) -> usize {
        let carried = self
            .source
            .as_ref()
            .map_or(0, |source| source.carried.len());
        let out = self.group.as_ref().map_or(0, Group::held_bytes);
        let buffer = self.buffer.as_ref().map_or(0, BlockBuffer::len);
        self.map.held_bytes() + carried + out + buffer
    }

    /// What it did, at its end.
    pub(super) fn report(&self, now: Now) -> CompactionReport {
        CompactionReport {
            is_whole: !self.is_given_up,
            clean_end: self.end,
            keys: self.map.len(),
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
            removed_bytes: self.removed_bytes,
            took_us: now.monotonic_us.saturating_sub(self.begun_us),
        }
    }

    /// Files that are open.
    pub(super) fn take_open_files(&mut self) -> Vec<FileId> {
        let source = self.source.take().filter(|source| source.is_open);
        let group = self.group.take().filter(|group| group.is_open);
        let source = source.map(|source| source.file);
        source
            .into_iter()
            .chain(group.map(|group| group.file))
            .collect()
    }

    /// An opening ended.
    pub(super) fn note_opened(&mut self) {
        match (self.asked, &mut self.source, &mut self.group) {
            (Some(Asked::OpenSource), Some(source), _) => source.is_open = true,
            (Some(Asked::OpenCopy), _, Some(group)) => group.is_open = true,
            _ => {}
        }
    }

    /// Takes note of the keys of a batch. False once the map is full.
    fn map_batch(
        &mut self,
        batch: &Bytes,
        header: &BatchHeader,
        aborted: &AbortedTransactions,
    ) -> bool {
        let attributes = header.attributes;
        let is_passed_over = header.last_offset() < self.first_dirty
            || attributes.is_control()
            || (attributes.is_transactional()
                && aborted.is_aborted(header.producer_id, header.base_offset));
        if is_passed_over {
            return true;
        }
        let Ok(opened) = records(batch, DECOMPRESSED_BYTES_MAX) else {
            return true;
        };
        for record in opened.iter().map_while(Result::ok) {
            let Some(key) = record.key.filter(|_| record.offset >= self.first_dirty) else {
                continue;
            };
            if record.offset >= self.end {
                return true;
            }
            if !self.map.insert(key, record.offset) {
                self.end = record.offset;
                return false;
            }
        }
        true
    }
}

impl PartitionLog {
    /// Runs a pass until it waits.
    pub(super) fn go_on_compaction(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let Some(mut pass) = self.compaction.pass.take() else {
            return;
        };
        if pass.asked.is_some() || pass.paused_until.is_some() {
            self.compaction.pass = Some(pass);
            return;
        }
        loop {
            let course = self.step_pass(&mut pass, now, disk, events);
            if matches!(self.phase, Phase::Failed) {
                return;
            }
            match course {
                Course::GoesOn => {}
                Course::Ends => return self.end_compaction(&pass, now, disk, events),
                Course::Waits => {
                    self.compaction.pass = Some(pass);
                    return;
                }
            }
        }
    }

    fn step_pass(
        &mut self,
        pass: &mut Pass,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) -> Course {
        let is_swapping = pass.group.as_ref().is_some_and(|group| group.is_committed);
        if is_swapping {
            return self.install_copy(pass, disk);
        }
        if pass.is_given_up {
            return self.clean_up(pass, disk);
        }
        if let Some(until) = self.pause(now, disk) {
            pass.paused_until = Some(until);
            return Course::Waits;
        }
        if let Some(source) = pass.source.take() {
            if !source.is_open {
                pass.source = Some(source);
                return Course::Waits;
            }
            return self.go_on_with_source(pass, source, now, disk, events);
        }
        if pass.is_mapped {
            return self.go_on_copying(pass, now, disk);
        }
        if !self.open_source(pass, pass.end, disk) {
            pass.is_mapped = true;
            pass.next_base = 0;
            return Course::GoesOn;
        }
        Course::Waits
    }

    /// Until when the pass must wait: for its share of the disk, or for others who want it.
    fn pause(&self, now: Now, disk: &mut DiskQueue) -> Option<MonotonicUs> {
        let is_busy = disk.len() > COMPACTION_QUEUE_MAX;
        let free_at = disk.cleaner().free_at();
        if is_busy {
            Some(now.after_ms(COMPACTION_PAUSE_MS).max(free_at))
        } else {
            Some(free_at).filter(|at| *at > now.monotonic_us)
        }
    }

    /// Opens the first segment that ends behind `next_base` and begins before `end`.
    pub(super) fn open_source(
        &mut self,
        pass: &mut Pass,
        end: Offset,
        disk: &mut DiskQueue,
    ) -> bool {
        let after = self
            .segments
            .partition_point(|segment| segment.mark.next_offset <= pass.next_base);
        let segment = self
            .segments
            .get(after)
            .filter(|segment| segment.base_offset < end);
        let Some(segment) = segment else {
            return false;
        };
        let (base_offset, next_offset) = (segment.base_offset, segment.mark.next_offset);
        let size_bytes = segment.mark.size_bytes;
        let file = self.new_file();
        pass.next_base = next_offset;
        pass.source = Some(Source {
            base_offset,
            next_offset,
            size_bytes,
            file,
            is_open: false,
            position: 0,
            carried: Bytes::new(),
            batch_end: base_offset,
        });
        pass.asked = Some(Asked::OpenSource);
        let path = self.segment_path(base_offset, FileKind::Log);
        let create = false;
        self.push(
            Pending::Compaction,
            DiskOperation::Open { file, path, create },
            disk,
        );
        true
    }

    /// Takes the whole batches of what was read, or reads more.
    fn go_on_with_source(
        &mut self,
        pass: &mut Pass,
        mut source: Source,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) -> Course {
        match self.take_batches(pass, &mut source) {
            Taken::Damage => {
                self.refuse_compaction(&source, events);
                pass.is_given_up = true;
                pass.source = Some(source);
                return Course::GoesOn;
            }
            Taken::Full => pass.is_mapped = true,
            Taken::All => {}
        }
        if pass.group.as_ref().is_some_and(Group::has_piece) {
            pass.source = Some(source);
            return self.write_copy(pass, now, disk);
        }
        let is_at_end = source.position >= source.size_bytes;
        let stops_mapping = pass.group.is_none() && pass.is_mapped;
        if is_at_end || stops_mapping {
            let file = source.file;
            self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
            if stops_mapping {
                pass.next_base = 0;
            }
            return Course::GoesOn;
        }
        let left = memory_len(source.size_bytes - block_floor(source.position));
        let wanted = left.min(COMPACTION_PIECE_BYTES);
        let whole = pass.buffer.take().filter(|buffer| buffer.len() >= wanted);
        let buffer = whole.unwrap_or_else(|| BlockBuffer::zeroed(COMPACTION_PIECE_BYTES));
        disk.cleaner()
            .charge(now.monotonic_us, buffer.len(), &self.compaction.settings);
        let read = DiskOperation::Read {
            file: source.file,
            position_bytes: source.position,
            buffer,
        };
        pass.asked = Some(Asked::Read);
        pass.source = Some(source);
        self.push(Pending::Compaction, read, disk);
        Course::Waits
    }

    fn take_batches(&mut self, pass: &mut Pass, source: &mut Source) -> Taken {
        let is_last_piece = source.position >= source.size_bytes;
        loop {
            let bytes = &source.carried;
            if bytes.len() < BATCH_HEADER_BYTES {
                let is_cut = is_last_piece && !bytes.is_empty();
                return if is_cut { Taken::Damage } else { Taken::All };
            }
            let Ok(header) = BatchHeader::parse(bytes) else {
                return Taken::Damage;
            };
            if header.base_offset < source.batch_end || header.last_offset() >= source.next_offset {
                return Taken::Damage;
            }
            if bytes.len() < header.size_bytes() {
                return if is_last_piece {
                    Taken::Damage
                } else {
                    Taken::All
                };
            }
            let batch = source.carried.split_to(header.size_bytes());
            if !is_intact(&batch, &header) {
                return Taken::Damage;
            }
            source.batch_end = header.last_offset() + 1;
            if pass.is_mapped {
                let is_last = is_last_piece && source.carried.is_empty();
                let delete_retention_ms = self.config.compaction.delete_retention_ms;
                let interval_bytes = self.config.index_interval_bytes;
                let is_last = is_last && pass.is_last_source(source.base_offset);
                pass.copy_batch(
                    &batch,
                    &header,
                    is_last,
                    delete_retention_ms,
                    interval_bytes,
                    &self.aborted,
                );
            } else if !pass.map_batch(&batch, &header, &self.aborted) {
                return Taken::Full;
            }
        }
    }

    /// A step of the pass has ended.
    pub(super) fn end_compaction_step(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let mut pass = self.compaction.pass.take().expect("a pass asked");
        let asked = pass.asked.expect("a pass asked");
        let result = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                if !self.bear_error(&mut pass, asked, error, events) {
                    return;
                }
                pass.asked = None;
                self.compaction.pass = Some(pass);
                return self.go_on_compaction(now, disk, events);
            }
        };
        pass.note_opened();
        pass.asked = None;
        match (asked, result) {
            (Asked::Read, DiskOutcome::Read { buffer, len_bytes }) => {
                pass.take_piece(&buffer, len_bytes);
                pass.buffer = Some(buffer);
            }
            (Asked::Write, DiskOutcome::Written { buffer }) => pass.buffer = Some(buffer),
            (Asked::OpenSource | Asked::OpenCopy, _) => {}
            (Asked::SetLength | Asked::Flush | Asked::Swap(_), _) => {
                self.go_on_swapping(&mut pass, asked, disk);
            }
            (Asked::Clean { left }, _) => pass.count_cleaned(left),
            (Asked::Checkpoint, _) => return self.end_compaction(&pass, now, disk, events),
            (asked, outcome) => unreachable!("{asked:?} ended with {outcome:?}"),
        }
        self.compaction.pass = Some(pass);
        self.go_on_compaction(now, disk, events);
    }

    /// An error of a pass: true if the log can live with it.
    fn bear_error(
        &mut self,
        pass: &mut Pass,
        asked: Asked,
        error: DiskError,
        events: &mut Vec<LogEvent>,
    ) -> bool {
        let is_full = error == DiskError::NoSpace;
        let is_borne = match asked {
            Asked::OpenSource => {
                pass.source = None;
                true
            }
            Asked::OpenCopy => {
                pass.group = None;
                true
            }
            Asked::Read => true,
            Asked::Write | Asked::SetLength | Asked::Flush | Asked::Checkpoint => is_full,
            Asked::Swap(step) => is_full && !step.is_committed(),
            // What stays behind is removed by the next start.
            Asked::Clean { left } => {
                pass.count_cleaned(left);
                return true;
            }
        };
        if !is_borne {
            self.fail("compaction", error, events);
            return false;
        }
        pass.is_given_up = true;
        true
    }

    /// Damage in a segment: it stays as it is, and so does the log until somebody has looked.
    fn refuse_compaction(&mut self, source: &Source, events: &mut Vec<LogEvent>) {
        let path = self.segment_path(source.base_offset, FileKind::Log);
        let offset = source.batch_end;
        let sentence = format!(
            "{path} is damaged at offset {offset} or behind: this partition is not compacted \
             until the broker is started again. Nothing was changed. Check the device; stop the \
             broker and restore the file from a copy."
        );
        self.compaction.is_refused = true;
        events.push(LogEvent::Damaged {
            sentence: sentence.into(),
        });
    }

    /// Closes and removes what a pass that was given up leaves behind; then it ends.
    fn clean_up(&mut self, pass: &mut Pass, disk: &mut DiskQueue) -> Course {
        let names = pass.group.as_ref().map(|group| group.base);
        let mut operations: Vec<DiskOperation> = pass
            .take_open_files()
            .into_iter()
            .map(|file| DiskOperation::Close { file })
            .collect();
        for kind in [FileKind::Cleaned, FileKind::Swap] {
            operations.extend(names.map(|base| DiskOperation::RemoveFile {
                path: self.segment_path(base, kind),
            }));
        }
        if operations.is_empty() {
            return Course::Ends;
        }
        let left = u32::try_from(operations.len()).expect("a handful");
        pass.asked = Some(Asked::Clean { left });
        for operation in operations {
            self.push(Pending::Compaction, operation, disk);
        }
        Course::Waits
    }
}

/// How a walk over what was read ended.
enum Taken {
    All,
    /// The map is full.
    Full,
    Damage,
}

impl Pass {
    fn is_last_source(&self, base_offset: Offset) -> bool {
        let group = self.group.as_ref().expect("a copy has its group");
        group.last_source == base_offset
    }

    /// Puts what was read behind what was carried.
    fn take_piece(&mut self, buffer: &BlockBuffer, len_bytes: u32) {
        let source = self.source.as_mut().expect("it was read");
        let left = source.size_bytes - source.position;
        let len = u64::from(len_bytes).min(left);
        let fresh = &buffer.as_slice()[..memory_len(len)];
        source.carried = Bytes::from([&source.carried[..], fresh].concat());
        // A file that is shorter than it was ends here: its last batch is not whole then.
        let is_short = usize::try_from(len_bytes).is_ok_and(|read| read < buffer.len());
        source.position += len;
        self.read_bytes += len;
        if is_short {
            source.position = source.size_bytes.max(source.position);
        }
        debug_assert!(file_len(source.carried.len()) <= source.size_bytes);
    }

    pub(super) fn count_cleaned(&mut self, left: u32) {
        if left > 1 {
            self.asked = Some(Asked::Clean { left: left - 1 });
        }
    }
}
