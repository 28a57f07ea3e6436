// SPDX-License-Identifier: Apache-2.0
//! Reads: from an offset to whole batches.
//!
//! Owns: [`ReadTask`], [`Answer`]. Invariants: what is answered starts with the batch that holds
//! the offset, is whole, below the bound and matches its checksums; damage is answered as damage
//! and skipped only for who wants what lies behind; what is in the tail cache is answered from
//! there, without index and disk. Runs on: the core of the partition.
//! Bounded by: `READ_BYTES_MAX` and the size of one batch.

use bytes::Bytes;

use super::event::{LogEvent, ReadError, ReadStart};
use super::partition_log::{PartitionLog, Phase};
use super::tail_buffer::{file_len, memory_len};
use super::task::{Ended, Found, Progress, Task, TaskKind, Window, is_intact};
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;
use crate::wire::record::BatchHeader;

/// What a read wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadTask {
    /// The number its caller chose; none if it reads ahead.
    pub(super) caller: Option<u64>,
    pub(super) offset: Offset,
    pub(super) max_bytes: usize,
    pub(super) bound: Offset,
    pub(super) minimum_one_batch: bool,
    /// An earlier read ended where this one starts.
    pub(super) is_sequential: bool,
}

/// What a read found: whole batches, or nothing.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    /// The offset after the last batch.
    pub(super) next_offset: Offset,
    /// The memory that the bytes keep from being freed.
    pub(super) held_bytes: usize,
}

impl Answer {
    /// The same answer for another reader.
    pub(super) fn share(&self) -> Answer {
        Answer {
            bytes: self.bytes.clone(),
            ..*self
        }
    }

    fn empty(offset: Offset) -> Answer {
        Answer {
            bytes: Bytes::new(),
            next_offset: offset,
            held_bytes: 0,
        }
    }
}

/// Where a segment ends.
#[derive(Clone, Copy)]
struct End {
    bytes: u64,
    /// No batch reaches this offset.
    limit: Offset,
}

/// Where a walk through a window ended.
enum Walk {
    Done(Result<Answer, ReadError>),
    /// The segment holds nothing from the offset on.
    EndOfSegment,
    Need {
        position: u64,
        len_bytes: u64,
    },
    /// What the index named is no batch at or before the offset.
    IndexLies,
}

impl ReadTask {
    /// Looks for the batch that holds the offset, from a batch at or before it on; `indexed` is
    /// where the index said that such a batch starts.
    fn walk(&self, window: &Window, position: &mut u64, end: End, indexed: u64) -> Walk {
        let mut next_offset = 0;
        let End { bytes: end, limit } = end;
        loop {
            let is_indexed = *position == indexed && indexed > 0;
            let header = match window.batch_at(*position, end) {
                Found::Batch(header) => header,
                Found::End => return Walk::EndOfSegment,
                Found::Need(len_bytes) => {
                    return Walk::Need {
                        position: *position,
                        len_bytes,
                    };
                }
                Found::Corrupt if is_indexed => return Walk::IndexLies,
                Found::Corrupt => return Walk::Done(Err(ReadError::Corrupt)),
            };
            if is_indexed && header.base_offset > self.offset {
                return Walk::IndexLies;
            }
            // Offsets lie outside a batch's checksum.
            if header.base_offset < next_offset || header.last_offset() >= limit {
                return Walk::Done(Err(ReadError::Corrupt));
            }
            next_offset = header.last_offset().saturating_add(1);
            let size = file_len(header.size_bytes());
            if header.last_offset() < self.offset {
                *position += size;
                continue;
            }
            let is_too_large = header.size_bytes() > self.max_bytes && !self.minimum_one_batch;
            if header.last_offset() >= self.bound || is_too_large {
                return Walk::Done(Ok(Answer::empty(self.offset)));
            }
            return match window.whole(*position, &header) {
                None => Walk::Need {
                    position: *position,
                    len_bytes: size,
                },
                Some(first) if !is_intact(&first, &header) => Walk::Done(Err(ReadError::Corrupt)),
                Some(_) => Walk::Done(Ok(self.collect(window, *position, &header, end))),
            };
        }
    }

    /// Takes as many further batches as the window, the bound and the size allow.
    fn collect(&self, window: &Window, start: u64, first: &BatchHeader, end: u64) -> Answer {
        let mut position = start + file_len(first.size_bytes());
        let mut next_offset = first.last_offset() + 1;
        while let Found::Batch(header) = window.batch_at(position, end) {
            let size = file_len(header.size_bytes());
            let fits = memory_len(position + size - start) <= self.max_bytes;
            if !fits || header.last_offset() >= self.bound {
                break;
            }
            match window.whole(position, &header) {
                // A damaged batch ends the answer; the read that starts at it is told.
                Some(batch) if is_intact(&batch, &header) => {
                    position += size;
                    next_offset = header.last_offset() + 1;
                }
                _ => break,
            }
        }
        let range = window
            .range(start, position - start)
            .expect("the batches were just seen");
        Answer {
            bytes: range,
            next_offset,
            held_bytes: window.held_bytes(),
        }
    }
}

impl Answer {
    /// Gives memory back if the answer is only a small part of what it would hold.
    pub(super) fn trim(self, disk: &mut DiskQueue) -> Answer {
        const SMALL: usize = 16 * 1024;
        let len = self.bytes.len();
        if len == 0 || (len > SMALL && len >= self.held_bytes / 4) {
            return self;
        }
        Answer {
            bytes: disk.buffers().copy(&self.bytes),
            held_bytes: len,
            ..self
        }
    }
}

impl PartitionLog {
    /// Reads whole batches from the one that holds `offset` on, none of which reaches `bound`, at
    /// most `max_bytes`, except that the first batch comes whole however large it is if
    /// `minimum_one_batch`.
    pub fn handle_read(
        &mut self,
        read: u64,
        offset: Offset,
        max_bytes: usize,
        bound: Offset,
        minimum_one_batch: bool,
        disk: &mut DiskQueue,
    ) -> Result<ReadStart, ReadError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(ReadError::NotOpen);
        }
        if offset < self.log_start || offset > self.log_end {
            return Err(ReadError::OffsetOutOfRange);
        }
        let bound = bound.min(self.durable_end);
        if offset >= bound {
            return Ok(ReadStart::Empty);
        }
        let segment = self
            .segment_of(offset)
            .expect("the offset is inside the log");
        let task = ReadTask {
            caller: Some(read),
            offset,
            max_bytes,
            bound,
            minimum_one_batch,
            is_sequential: self.read_ahead.take_end(offset),
        };
        if let Some(start) = self.take_read_ahead(task, disk) {
            return Ok(start);
        }
        match self.start_read(task, segment, disk) {
            None => Ok(ReadStart::Started),
            Some(Ended::Told(LogEvent::ReadDone { result, .. })) => result.map(ReadStart::Ready),
            Some(event) => unreachable!("a read ended with {event:?}"),
        }
    }

    /// Starts a read in a segment.
    pub(super) fn start_read(
        &mut self,
        read: ReadTask,
        segment: Offset,
        disk: &mut DiskQueue,
    ) -> Option<Ended> {
        let number = self.new_task();
        self.run_task(number, Task::new(TaskKind::Read(read), segment), disk)
    }

    /// A read has its answer; what follows it may be read ahead.
    pub(super) fn end_read(
        &mut self,
        task: &Task,
        result: Result<Answer, ReadError>,
        disk: &mut DiskQueue,
    ) -> Ended {
        let TaskKind::Read(read) = task.kind else {
            unreachable!("the caller looked");
        };
        let Some(caller) = read.caller else {
            return Ended::Ahead(read, result);
        };
        if let Ok(answer) = &result
            && task.was_cold
            && !answer.bytes.is_empty()
        {
            self.go_on_reading(&read, answer.next_offset, disk);
        }
        Ended::Told(LogEvent::ReadDone {
            read: caller,
            result: result.map(|answer| answer.bytes),
        })
    }

    /// One step of a read.
    pub(super) fn step_read(&mut self, task: &mut Task) -> Progress {
        let TaskKind::Read(read) = task.kind else {
            unreachable!("the caller looked");
        };
        loop {
            let Some(segment) = self.segment_mut(task.segment) else {
                return Progress::Read(Err(ReadError::OffsetOutOfRange));
            };
            let end = End {
                bytes: segment.durable.size_bytes,
                limit: segment.durable.next_offset,
            };
            let indexes = segment.indexes.as_ref();
            let indexed = indexes.map(|indexes| indexes.offsets.floor(read.offset).position);
            let position = match task.position {
                Some(position) => position,
                // What is in memory needs no index, and no index that has to be read first.
                None => match (self.tail_cache.floor(task.segment, read.offset), indexed) {
                    (Some(cached), Some(indexed)) if indexed > cached => {
                        task.indexed = indexed;
                        indexed
                    }
                    (Some(cached), _) => {
                        task.indexed = 0;
                        cached
                    }
                    (None, Some(indexed)) => {
                        task.indexed = indexed;
                        indexed
                    }
                    (None, None) => return Progress::Warm(task.segment),
                },
            };
            let mut next = position;
            let walk = read.walk(&task.window, &mut next, end, task.indexed);
            task.position = Some(next);
            match walk {
                Walk::IndexLies if task.may_rebuild => {
                    task.may_rebuild = false;
                    task.enter(task.segment);
                    return Progress::Rebuild(task.segment);
                }
                Walk::IndexLies => return Progress::Read(Err(ReadError::Corrupt)),
                Walk::Done(Err(ReadError::Corrupt)) => {
                    let segment = self.segment_mut(task.segment);
                    match segment.and_then(|segment| segment.around(next, read.offset)) {
                        Some(behind) => task.position = Some(behind),
                        None => return Progress::Read(Err(ReadError::Corrupt)),
                    }
                }
                Walk::Done(result) => return Progress::Read(result),
                Walk::Need {
                    position,
                    len_bytes,
                } => {
                    let interval = u64::from(self.config.index_interval_bytes);
                    let useful_bytes = file_len(read.max_bytes)
                        .saturating_add(interval)
                        .min(end.bytes - position);
                    return Progress::Need {
                        position,
                        len_bytes,
                        useful_bytes,
                    };
                }
                Walk::EndOfSegment => match self.segment_after(task.segment) {
                    Some(segment) if segment < read.bound => task.enter(segment),
                    _ => return Progress::Read(Ok(Answer::empty(read.offset))),
                },
            }
        }
    }
}
