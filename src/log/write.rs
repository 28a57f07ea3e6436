// SPDX-License-Identifier: Apache-2.0
//! From the gathered bytes to the disk: one round at a time, a round is all writes of what was
//! gathered and then one flush; meanwhile the next round gathers (group commit).
//!
//! Owns: [`Stage`], [`Round`]. Invariants: one round is under way at most, so no block has two
//! writes at once and every flush covers exactly the round's writes; rounds follow offset order,
//! also across a roll; the durable end rises here and nowhere else while the log is open. Runs on:
//! the core of the partition. Bounded by: `UNFLUSHED_BYTES_MAX`.

use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::segment::{Segment, SegmentMark};
use super::tail_buffer::TailBuffer;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::model::time::Now;

/// A segment that is still written to.
#[derive(Debug)]
pub(super) struct Stage {
    /// Base offset of the segment.
    pub(super) base_offset: Offset,
    /// What waits to be written.
    pub(super) tail: TailBuffer,
    /// The durable part of its last partly filled block, to go on from if the rest is lost.
    pub(super) durable_tail: Box<[u8]>,
    /// Set once the next segment has taken over: what to write beside it when it is complete.
    pub(super) seal: Option<Seal>,
}

impl Stage {
    /// The end of a segment whose durable part is all there is; `tail` is its partly filled last
    /// block.
    pub(super) fn of(segment: &Segment, tail: &[u8]) -> Stage {
        let size_bytes = segment.mark.size_bytes;
        assert_eq!(segment.durable, segment.mark);
        let buffer = TailBuffer::new(size_bytes, tail);
        Stage {
            base_offset: segment.base_offset,
            durable_tail: buffer.tail().into(),
            tail: buffer,
            seal: None,
        }
    }
}

/// What a roll must write, as of the offset of the roll.
#[derive(Debug)]
pub(super) struct Seal {
    /// Producer state before the first batch of the next segment.
    pub(super) snapshot: Vec<u8>,
    /// The leader epochs up to there.
    pub(super) checkpoint: Vec<u8>,
}

/// Writes under way and the flush after them.
#[derive(Debug)]
pub(super) struct Round {
    writes_left: usize,
    /// What was written where, for the tail cache.
    written: Vec<(u64, BlockBuffer)>,
    error: Option<DiskError>,
    /// Bytes that become durable with it.
    bytes: usize,
    tail: Box<[u8]>,
    mark: SegmentMark,
}

impl PartitionLog {
    /// Starts whatever the write side can start now.
    pub(super) fn pump(&mut self, disk: &mut DiskQueue) {
        let takes_writes = matches!(self.phase, Phase::Open | Phase::Stopping(_));
        if !takes_writes || self.round.is_some() || self.roll.is_some() || self.cut.is_some() {
            return;
        }
        let Some(front) = self.stages.front() else {
            return;
        };
        if !front.tail.is_empty() {
            self.start_round(disk);
        } else if front.seal.is_some() {
            self.start_roll(disk);
        }
    }

    fn start_round(&mut self, disk: &mut DiskQueue) {
        let stage = self.stages.front_mut().expect("the caller looked");
        let base_offset = stage.base_offset;
        let writes = stage.tail.take(&mut self.pool);
        let end = stage.tail.end();
        let tail = stage.tail.tail().into();
        let segment = self
            .segment_mut(base_offset)
            .expect("a stage has its segment");
        let mark = segment.mark;
        let durable_bytes = segment.durable.size_bytes;
        let file = segment.file.expect("a segment that is written to is open");
        assert_eq!(mark.size_bytes, end);
        self.round = Some(Round {
            writes_left: writes.len(),
            written: Vec::with_capacity(writes.len()),
            error: None,
            bytes: super::tail_buffer::memory_len(end - durable_bytes),
            tail,
            mark,
        });
        for write in writes {
            let operation = DiskOperation::Write {
                file,
                position_bytes: write.position,
                len_bytes: write.len_bytes,
                buffer: write.buffer,
            };
            self.push(Pending::RoundWrite(write.position), operation, disk);
        }
    }

    pub(super) fn end_round_write(
        &mut self,
        now: Now,
        position: u64,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let round = self.round.as_mut().expect("a write belongs to a round");
        round.writes_left -= 1;
        match result {
            Ok(DiskOutcome::Written { buffer }) => round.written.push((position, buffer)),
            Ok(outcome) => unreachable!("a write ended with {outcome:?}"),
            Err(error) => {
                // An I/O error outweighs a full disk.
                if round.error.is_none_or(|first| first == DiskError::NoSpace) {
                    round.error = Some(error);
                }
            }
        }
        if round.writes_left > 0 {
            return;
        }
        match round.error {
            None => {
                let base_offset = self
                    .stages
                    .front()
                    .expect("a round has its stage")
                    .base_offset;
                let segment = self
                    .segment_mut(base_offset)
                    .expect("a stage has its segment");
                let file = segment.file.expect("a segment that is written to is open");
                self.push(Pending::RoundFlush, DiskOperation::Flush { file }, disk);
            }
            Some(DiskError::NoSpace) => {
                self.round = None;
                self.start_cut(now, DiskError::NoSpace, disk);
            }
            Some(error) => self.fail("a write", error, events),
        }
    }

    pub(super) fn end_round_flush(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Err(error) = done(result) {
            // Never tried again: what the kernel dropped after the first error would pass for
            // durable.
            return self.fail("a flush", error, events);
        }
        let round = self.round.take().expect("a flush belongs to a round");
        let stage = self.stages.front_mut().expect("a round has its stage");
        stage.durable_tail = round.tail;
        let base_offset = stage.base_offset;
        let segment = self
            .segment_mut(base_offset)
            .expect("a stage has its segment");
        let before = std::mem::replace(&mut segment.durable, round.mark);
        self.cache_round(base_offset, before, round.mark, round.written);
        assert!(self.unflushed_bytes >= round.bytes);
        self.unflushed_bytes -= round.bytes;
        assert!(round.mark.next_offset > self.durable_end);
        assert!(round.mark.next_offset <= self.log_end);
        self.durable_end = round.mark.next_offset;
        events.push(LogEvent::DurableEnd {
            offset: self.durable_end,
        });
        self.touch_pool(now);
        self.pump(disk);
    }
}
