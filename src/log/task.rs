// SPDX-License-Identifier: Apache-2.0
//! What reads and look-ups share: they walk the batches of a segment through a window of bytes that
//! is read as needed, and wait for cold segments.
//!
//! Owns: [`Task`], [`Window`]. Invariants: a task has one disk request under way at most; it is
//! listed from its first wait to its answer; every read is whole blocks and at most
//! `READ_BYTES_MAX`. Runs on: the core of the partition.
//! Bounded by: its callers (fetches and look-ups in flight); a window by one batch or
//! `READ_BYTES_MAX`.

use std::ops::Range;

use bytes::Bytes;

use super::event::{LogEvent, ReadError};
use super::lookup::Lookup;
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::read::{Answer, ReadTask};
use super::segment::FileKind;
use super::tail_buffer::{BLOCK, block_floor, file_len, memory_len};
use crate::limits::READ_BYTES_MAX;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::wire::checksum::crc32c;
use crate::wire::record::{BATCH_HEADER_BYTES, BatchHeader};

use super::batch_scanner::CHECKSUMMED_AT;

/// Largest part of a read that is merely useful: with its block it fits one disk request.
const USEFUL_MAX: u64 = 4 * 1024 * 1024 - BLOCK;
const _: () = assert!(READ_BYTES_MAX == 4 * 1024 * 1024);

/// Bytes of a file in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
    /// The memory that the bytes keep from being freed.
    held_bytes: usize,
}

/// What is at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A batch with this header; its records may lie outside the window.
    Batch(BatchHeader),
    /// The segment ends here.
    End,
    /// The window does not reach: so many bytes from the position on are needed.
    Need(u64),
    /// No batch.
    Corrupt,
}

impl Window {
    /// The part of the window from `position` on.
    fn from(&self, position: u64) -> &[u8] {
        let Some(skipped) = position.checked_sub(self.start) else {
            return &[];
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.bytes.get(skipped..).unwrap_or(&[])
    }

    /// What is at `position` of a segment that is readable up to `end`.
    pub(super) fn batch_at(&self, position: u64, end: u64) -> Found {
        if position >= end {
            return Found::End;
        }
        let header_bytes = file_len(BATCH_HEADER_BYTES);
        if end - position < header_bytes {
            return Found::Corrupt;
        }
        let bytes = self.from(position);
        if bytes.len() < BATCH_HEADER_BYTES {
            return Found::Need(header_bytes);
        }
        match BatchHeader::parse(bytes) {
            Ok(header) if file_len(header.size_bytes()) <= end - position => Found::Batch(header),
            _ => Found::Corrupt,
        }
    }

    /// The whole batch at `position`, if the window holds it.
    pub(super) fn whole(&self, position: u64, header: &BatchHeader) -> Option<Bytes> {
        self.range(position, file_len(header.size_bytes()))
    }

    /// The memory that a part of the window keeps from being freed.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// A range of the file, if the window holds it.
    pub(super) fn range(&self, position: u64, len_bytes: u64) -> Option<Bytes> {
        let from = memory_len(position.checked_sub(self.start)?);
        let to = from + memory_len(len_bytes);
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

/// True if the batch's bytes match its checksum.
pub(super) fn is_intact(batch: &[u8], header: &BatchHeader) -> bool {
    crc32c(&batch[CHECKSUMMED_AT..]) == header.crc
}

/// A window being read.
#[derive(Debug)]
struct Fill {
    /// Up to where bytes are needed.
    wanted_end: u64,
    start: u64,
    collected: Vec<u8>,
    /// The segment was replaced: what comes is of no use.
    is_stale: bool,
    /// Memory of it that the log counts as being read.
    counted_bytes: usize,
}

/// What a task is for.
#[derive(Debug)]
pub(super) enum TaskKind {
    /// A read of batches.
    Read(ReadTask),
    /// A look-up by timestamp.
    Lookup(Lookup),
}

/// Where a task stands in the log.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) kind: TaskKind,
    /// The segment in which it is.
    pub(super) segment: Offset,
    /// The batch it looks at next; `None` before it looked into the index of the segment.
    pub(super) position: Option<u64>,
    pub(super) window: Window,
    /// Where the index sent it.
    pub(super) indexed: u64,
    /// An index that lies may be rebuilt once for this task.
    pub(super) may_rebuild: bool,
    /// The cold segment that it waits for.
    waits_for: Option<Offset>,
    fill: Option<Fill>,
    /// The file ended before the bytes that the segment must have.
    is_short: bool,
    /// It had to read from the disk.
    pub(super) was_cold: bool,
}

/// How far a task got.
#[derive(Debug)]
pub(super) enum Progress {
    /// The answer of a read.
    Read(Result<Answer, ReadError>),
    /// The answer of a look-up.
    Done(LogEvent),
    /// Bytes of the segment are needed: position and length, and how much more may be useful.
    Need {
        position: u64,
        len_bytes: u64,
        useful_bytes: u64,
    },
    /// This segment must be warm first.
    Warm(Offset),
    /// The index of this segment is wrong.
    Rebuild(Offset),
}

impl Task {
    pub(super) fn new(kind: TaskKind, segment: Offset) -> Task {
        Task {
            kind,
            segment,
            position: None,
            window: Window::default(),
            indexed: 0,
            may_rebuild: true,
            waits_for: None,
            fill: None,
            is_short: false,
            was_cold: false,
        }
    }

    /// Goes on in another segment.
    pub(super) fn enter(&mut self, segment: Offset) {
        self.segment = segment;
        self.position = None;
        self.window = Window::default();
        self.is_short = false;
    }
}

/// How a task ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Its caller is told.
    Told(LogEvent),
    /// It read ahead, for this read.
    Ahead(ReadTask, Result<Answer, ReadError>),
}

impl PartitionLog {
    /// Runs a task until it is answered or waits; an answer that needed no wait comes back at once.
    pub(super) fn run_task(
        &mut self,
        number: u64,
        mut task: Task,
        disk: &mut DiskQueue,
    ) -> Option<Ended> {
        loop {
            let progress = match task.kind {
                TaskKind::Read(_) => self.step_read(&mut task),
                TaskKind::Lookup(_) => self.step_lookup(&mut task),
            };
            let progress = self.inspect_first(&mut task, progress);
            match progress {
                Progress::Read(result) => {
                    let result = result.map(|answer| answer.trim(disk));
                    return Some(self.end_read(&task, result, disk));
                }
                Progress::Done(event) => return Some(Ended::Told(event)),
                Progress::Warm(base_offset) => {
                    if self.warm(base_offset, disk) {
                        continue;
                    }
                    task.waits_for = Some(base_offset);
                }
                Progress::Rebuild(base_offset) => {
                    if !self.rebuild_again(base_offset, disk) {
                        return Some(self.end_failed(&task, ReadError::Corrupt, disk));
                    }
                    task.waits_for = Some(base_offset);
                }
                Progress::Need {
                    position,
                    len_bytes,
                    useful_bytes,
                } => {
                    let base_offset = task.segment;
                    let cached =
                        self.tail_cache
                            .read(base_offset, position, len_bytes, useful_bytes);
                    if let Some(cached) = cached {
                        task.window = Window {
                            start: position,
                            bytes: cached.bytes,
                            held_bytes: cached.held_bytes,
                        };
                        continue;
                    }
                    if task.is_short {
                        return Some(self.end_failed(&task, ReadError::Corrupt, disk));
                    }
                    if self.warm(base_offset, disk) {
                        let wanted_end = position + len_bytes.max(useful_bytes.min(USEFUL_MAX));
                        self.start_fill(number, &mut task, position, wanted_end, disk);
                    } else {
                        task.waits_for = Some(base_offset);
                    }
                }
            }
            self.tasks.insert(number, task);
            return None;
        }
    }

    /// A read that came upon damage in a sealed segment waits until all of the segment was looked
    /// at, once: then what lies behind the damage can be read, and a person is told.
    fn inspect_first(&mut self, task: &mut Task, progress: Progress) -> Progress {
        let is_short = task.is_short && matches!(progress, Progress::Need { .. });
        let is_damage = is_short || matches!(progress, Progress::Read(Err(ReadError::Corrupt)));
        if !is_damage {
            return progress;
        }
        if self.wants_inspection(task.segment) {
            task.enter(task.segment);
            return Progress::Rebuild(task.segment);
        }
        self.note_met_damage(task);
        progress
    }

    /// A read came upon damage in a segment that is still written to: a person is told once, and
    /// the whole truth when it is sealed.
    fn note_met_damage(&mut self, task: &Task) {
        let written = self.stages.front().map(|stage| stage.base_offset);
        let is_sealed = written.is_none_or(|written| task.segment < written);
        if is_sealed || self.damage_met.segment == Some(task.segment) {
            return;
        }
        let TaskKind::Read(ReadTask { offset, .. }) = task.kind else {
            return;
        };
        let path = self.segment_path(task.segment, FileKind::Log);
        let position = task.position.unwrap_or(0);
        let sentence = format!(
            "{path} is damaged at byte {position}: the record at offset {offset} cannot be read. \
             Nothing was cut. Check the device; stop the broker and restore the file from a \
             copy, or let consumers go on behind it."
        );
        self.damage_met.segment = Some(task.segment);
        self.damage_met.sentence = Some(sentence.into());
    }

    fn start_fill(
        &mut self,
        number: u64,
        task: &mut Task,
        position: u64,
        wanted_end: u64,
        disk: &mut DiskQueue,
    ) {
        task.was_cold = true;
        task.fill = Some(Fill {
            wanted_end,
            start: block_floor(position),
            collected: Vec::new(),
            is_stale: false,
            counted_bytes: 0,
        });
        self.fill_window(number, task, disk);
    }

    fn fill_window(&mut self, number: u64, task: &mut Task, disk: &mut DiskQueue) {
        let fill = task.fill.as_mut().expect("a window is being read");
        let position_bytes = fill.start + file_len(fill.collected.len());
        let segment = self
            .segment_mut(task.segment)
            .expect("the caller warmed it");
        let file = segment.file.expect("a warm segment is open");
        let wanted = memory_len(fill.wanted_end - position_bytes);
        let buffer = disk.buffers().take_to_read(wanted.min(READ_BYTES_MAX));
        fill.counted_bytes += buffer.len();
        self.reading_bytes += buffer.len();
        let read = DiskOperation::Read {
            file,
            position_bytes,
            buffer,
        };
        self.push(Pending::Task(number), read, disk);
    }

    pub(super) fn end_task_read(
        &mut self,
        number: u64,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let Some(mut task) = self.tasks.remove(&number) else {
            return;
        };
        let mut fill = task.fill.take().expect("a window is being read");
        if fill.is_stale {
            self.reading_bytes -= fill.counted_bytes;
            return self.rerun_task(number, task, disk, events);
        }
        let (buffer, len_bytes) = match result {
            Ok(DiskOutcome::Read { buffer, len_bytes }) => (buffer, len_bytes),
            Ok(outcome) => unreachable!("a read ended with {outcome:?}"),
            Err(error) => {
                self.reading_bytes -= fill.counted_bytes;
                let ended = self.end_failed(&task, ReadError::Disk(error), disk);
                return self.settle(ended, disk, events);
            }
        };
        let len = usize::try_from(len_bytes).expect("a read fits memory");
        let at_file_end = len < buffer.len();
        let read_end = fill.start + file_len(fill.collected.len() + len);
        let is_filled = read_end >= fill.wanted_end;
        if !is_filled && !at_file_end {
            // Larger than one read: a batch that must come whole.
            fill.collected.extend_from_slice(&buffer.as_slice()[..len]);
            task.fill = Some(fill);
            if self
                .segment_mut(task.segment)
                .is_none_or(|segment| segment.file.is_none())
            {
                // Cooled down or removed in between: begin anew.
                let fill = task.fill.take().expect("just put back");
                self.reading_bytes -= fill.counted_bytes;
                return self.rerun_task(number, task, disk, events);
            }
            self.fill_window(number, &mut task, disk);
            self.tasks.insert(number, task);
            return;
        }
        self.reading_bytes -= fill.counted_bytes;
        task.is_short = at_file_end && !is_filled;
        let (bytes, held_bytes) = if fill.collected.is_empty() {
            let held_bytes = buffer.len();
            (buffer.into_bytes().slice(..len), held_bytes)
        } else {
            fill.collected.extend_from_slice(&buffer.as_slice()[..len]);
            let held_bytes = fill.collected.capacity();
            (Bytes::from(fill.collected), held_bytes)
        };
        task.window = Window {
            start: fill.start,
            bytes,
            held_bytes,
        };
        self.rerun_task(number, task, disk, events);
    }

    fn rerun_task(
        &mut self,
        number: u64,
        task: Task,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Some(ended) = self.run_task(number, task, disk) {
            self.settle(ended, disk, events);
        }
    }

    /// Tells whoever waits for it how a task ended.
    fn settle(&mut self, ended: Ended, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        match ended {
            Ended::Told(event) => events.push(event),
            Ended::Ahead(read, result) => self.end_read_ahead(&read, result, disk, events),
        }
    }

    fn end_failed(&mut self, task: &Task, error: ReadError, disk: &mut DiskQueue) -> Ended {
        match &task.kind {
            TaskKind::Read(_) => self.end_read(task, Err(error), disk),
            TaskKind::Lookup(lookup) => Ended::Told(LogEvent::TimestampFound {
                lookup: lookup.lookup,
                result: Err(error),
            }),
        }
    }

    /// Answers a task that cannot go on, and whoever waits for it.
    pub(super) fn fail_task(
        &mut self,
        kind: &TaskKind,
        error: ReadError,
        events: &mut Vec<LogEvent>,
    ) {
        match kind {
            TaskKind::Lookup(lookup) => events.push(LogEvent::TimestampFound {
                lookup: lookup.lookup,
                result: Err(error),
            }),
            TaskKind::Read(read) => {
                let told = read.caller.into_iter();
                let waiters = self.read_ahead.abandon(read).into_iter();
                let reads = told.chain(waiters.filter_map(|waiter| waiter.caller));
                events.extend(reads.map(|read| LogEvent::ReadDone {
                    read,
                    result: Err(error),
                }));
            }
        }
    }

    /// Goes on with the tasks that waited for this segment.
    pub(super) fn resume_tasks(
        &mut self,
        base_offset: Offset,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        for number in self.waiting_tasks(base_offset) {
            let mut task = self.tasks.remove(&number).expect("just listed");
            task.waits_for = None;
            self.rerun_task(number, task, disk, events);
        }
    }

    /// Answers the tasks that waited for this segment.
    pub(super) fn fail_waiting_tasks(
        &mut self,
        base_offset: Offset,
        error: ReadError,
        events: &mut Vec<LogEvent>,
    ) {
        for number in self.waiting_tasks(base_offset) {
            let task = self.tasks.remove(&number).expect("just listed");
            self.fail_task(&task.kind, error, events);
        }
    }

    /// These segments were replaced by one: what walks through them begins anew in that one.
    pub(super) fn restart_tasks(&mut self, replaced: Range<Offset>, base_offset: Offset) {
        for task in self.tasks.values_mut() {
            if replaced.contains(&task.segment) {
                task.enter(base_offset);
                if let Some(fill) = &mut task.fill {
                    fill.is_stale = true;
                }
            }
        }
    }

    fn waiting_tasks(&self, base_offset: Offset) -> Vec<u64> {
        let waits = |task: &Task| task.waits_for == Some(base_offset);
        self.tasks
            .iter()
            .filter(|(_, task)| waits(task))
            .map(|(number, _)| *number)
            .collect()
    }

    /// A number for a new task.
    pub(super) fn new_task(&mut self) -> u64 {
        self.next_task += 1;
        self.next_task
    }

    /// The segment that holds `offset`, or would.
    pub(super) fn segment_of(&self, offset: Offset) -> Option<Offset> {
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        after
            .checked_sub(1)
            .map(|place| self.segments[place].base_offset)
    }

    /// The segment after this one.
    pub(super) fn segment_after(&self, base_offset: Offset) -> Option<Offset> {
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= base_offset);
        self.segments.get(after).map(|segment| segment.base_offset)
    }
}
