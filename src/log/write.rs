// SPDX-License-Identifier: Apache-2.0
//! From the gathered bytes to the disk: a round is all writes of what was gathered and then one
//! flush. While a round is flushed the next one is written, and what comes meanwhile gathers: under
//! load rounds grow by themselves, and without load nothing waits.
//!
//! Owns: [`Stage`], [`Round`]. Invariants: the writes of one round are under way at most, so no
//! block has two writes at once; a flush is asked for after all writes of its round have completed,
//! so it covers them and those of every round before; rounds become durable in offset order, also
//! across a roll; the durable end rises here and nowhere else while the log is open. Runs on: the
//! core of the partition. Bounded by: `UNFLUSHED_BYTES_MAX`, `ROUNDS_FLUSHING_MAX`.

use super::area::{Area, FlushKind};
use super::event::{LogEvent, RoundTimes};
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::segment::{Segment, SegmentMark};
use super::tail_buffer::{TailBuffer, TailWrite, block_ceil, block_floor, file_len, memory_len};
use crate::limits::ROUNDS_FLUSHING_MAX;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};
use crate::model::topic_config::FlushMode;

/// Writes of a round whose list is kept for the next one.
const ROUND_WRITES_KEPT_MAX: usize = 16;

/// A segment that is still written to.
#[derive(Debug)]
pub(super) struct Stage {
    /// Base offset of the segment.
    pub(super) base_offset: Offset,
    /// What waits to be written.
    pub(super) tail: TailBuffer,
    /// The durable part of its last partly filled block, to go on from if the rest is lost.
    pub(super) durable_tail: Vec<u8>,
    /// How far its file is initialised.
    pub(super) area: Area,
    /// Where the furthest write of a round ends, in whole blocks.
    pub(super) written_end: u64,
    /// Set once the next segment has taken over: what to write beside it when it is complete.
    pub(super) seal: Option<Seal>,
}

impl Stage {
    /// The end of a segment whose durable part is all there is, in a file of exactly its length;
    /// `tail` is its partly filled last block.
    pub(super) fn of(segment: &Segment, tail: &[u8]) -> Stage {
        let size_bytes = segment.mark.size_bytes;
        assert_eq!(segment.durable, segment.mark);
        let buffer = TailBuffer::new(size_bytes, tail);
        Stage {
            base_offset: segment.base_offset,
            durable_tail: buffer.tail().into(),
            tail: buffer,
            area: Area::of_file(size_bytes),
            written_end: block_ceil(size_bytes),
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
    /// Path and contents of the file of aborted transactions, if there is to be one.
    pub(super) txn_index: Option<(Box<str>, Vec<u8>)>,
}

/// Writes under way and the flush after them.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    base_offset: Offset,
    writes_left: usize,
    /// What was written where, for the tail cache.
    written: Vec<(u64, BlockBuffer)>,
    error: Option<DiskError>,
    started_us: MonotonicUs,
    written_us: MonotonicUs,
    /// Where its writes end.
    write_end: u64,
    mark: SegmentMark,
    state: RoundState,
}

/// What of a round is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundState {
    /// Being written or flushed.
    Flushing,
    /// On stable storage.
    Flushed,
    /// Written; the flush mode asks for no more.
    Unflushed,
}

impl Round {
    /// Copies the partly filled last block as the round left it.
    fn copy_tail(&self, tail: &mut Vec<u8>) {
        tail.clear();
        let position = block_floor(self.mark.size_bytes);
        let inside = memory_len(self.mark.size_bytes - position);
        if inside == 0 {
            return;
        }
        let holds = |(start, buffer): &&(u64, BlockBuffer)| {
            (*start..*start + file_len(buffer.len())).contains(&position)
        };
        let (start, buffer) = self.written.iter().find(holds).expect("it was written");
        let place = memory_len(position - start);
        tail.extend_from_slice(&buffer.as_slice()[place..place + inside]);
    }
}

/// Emptied lists of rounds, for the next ones.
#[derive(Debug, Default)]
pub(super) struct RoundLists {
    writes: Vec<TailWrite>,
    written: Vec<Vec<(u64, BlockBuffer)>>,
}

impl RoundLists {
    fn keep(&mut self, written: Vec<(u64, BlockBuffer)>) {
        assert!(written.is_empty(), "its buffers are in the tail cache");
        let is_kept = self.written.len() <= ROUNDS_FLUSHING_MAX;
        if is_kept && written.capacity() <= ROUND_WRITES_KEPT_MAX {
            self.written.push(written);
        }
    }
}

impl PartitionLog {
    /// Starts whatever the write side can start now.
    pub(super) fn pump(&mut self, disk: &mut DiskQueue) {
        let takes_writes = matches!(self.phase, Phase::Open | Phase::Stopping(_));
        if !takes_writes || self.round.is_some() || self.roll.is_some() || self.is_cutting() {
            return;
        }
        let Some(front) = self.stages.front() else {
            return;
        };
        if !front.tail.is_empty() {
            if self.flushing.len() >= ROUNDS_FLUSHING_MAX {
                return;
            }
            if front.area.may_write(front.tail.write_end()) {
                self.start_round(disk);
            } else {
                self.give_up_ahead(disk);
            }
        } else if front.seal.is_some() {
            if front.area.is_growing() {
                return self.give_up_ahead(disk);
            }
            let is_quiet = self.flushing.is_empty() && !self.points.is_busy();
            if is_quiet {
                self.start_roll(disk);
            }
        }
    }

    fn start_round(&mut self, disk: &mut DiskQueue) {
        let stage = self.stages.front_mut().expect("the caller looked");
        let base_offset = stage.base_offset;
        let write_end = stage.tail.write_end();
        let mut writes = std::mem::take(&mut self.lists.writes);
        stage.tail.take(disk.buffers(), &mut writes);
        let end = stage.tail.end();
        stage.written_end = stage.written_end.max(write_end);
        let segment = self
            .segment_mut(base_offset)
            .expect("a stage has its segment");
        let mark = segment.mark;
        let file = segment.file.expect("a segment that is written to is open");
        assert_eq!(mark.size_bytes, end);
        self.next_round += 1;
        self.round = Some(Round {
            number: self.next_round,
            base_offset,
            writes_left: writes.len(),
            written: self.lists.written.pop().unwrap_or_default(),
            error: None,
            started_us: self.now_us,
            written_us: self.now_us,
            write_end,
            mark,
            state: RoundState::Flushing,
        });
        for write in writes.drain(..) {
            let operation = DiskOperation::Write {
                file,
                position_bytes: write.position,
                len_bytes: write.len_bytes,
                buffer: write.buffer,
            };
            self.push(Pending::RoundWrite(write.position), operation, disk);
        }
        self.lists.writes = writes;
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
            None => self.finish_writes(now, disk, events),
            Some(DiskError::NoSpace) => {
                self.round = None;
                self.cut_wanted = true;
                self.go_on_cutting(now, disk);
            }
            Some(error) => self.fail("a write", error, events),
        }
    }

    /// All writes of a round have completed: asks for what makes them durable, or in a relaxed
    /// flush mode takes them as they are, and goes on writing.
    fn finish_writes(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let mut round = self.round.take().expect("the caller looked");
        round.written_us = now.monotonic_us;
        if self.config.flush_mode == FlushMode::Always {
            self.flush_round(&round, disk);
            self.flushing.push_back(round);
        } else {
            round.state = RoundState::Unflushed;
            self.flushing.push_back(round);
            self.commit_rounds(now, disk, events);
        }
        self.pump(disk);
    }

    fn flush_round(&mut self, round: &Round, disk: &mut DiskQueue) {
        let stage = self.stages.front().expect("a round has its stage");
        assert_eq!(stage.base_offset, round.base_offset);
        let operation = match stage.area.flush_kind(self.storage, round.write_end) {
            FlushKind::Device => DiskOperation::FlushDevice,
            FlushKind::File => {
                let segment = self.segment_mut(round.base_offset);
                let segment = segment.expect("a stage has its segment");
                let file = segment.file.expect("a segment that is written to is open");
                DiskOperation::Flush { file }
            }
        };
        self.push(Pending::RoundFlush(round.number), operation, disk);
    }

    pub(super) fn end_round_flush(
        &mut self,
        now: Now,
        number: u64,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Err(error) = done(result) {
            // Never tried again: what the kernel dropped after the first error would pass for
            // durable.
            return self.fail("a flush", error, events);
        }
        let round = self.flushing.iter_mut().find(|one| one.number == number);
        round.expect("a flush belongs to a round").state = RoundState::Flushed;
        self.commit_rounds(now, disk, events);
        self.go_on_cutting(now, disk);
        self.pump(disk);
    }

    /// Takes rounds as durable, in order: a later flush covers the writes of the rounds before, not
    /// their metadata.
    fn commit_rounds(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let waits = |round: &Round| round.state == RoundState::Flushing;
        while self.flushing.front().is_some_and(|round| !waits(round)) {
            self.commit_round(now, disk, events);
        }
        self.sync_if_due(now, disk);
        self.note_point(disk);
    }

    /// The oldest round is durable, as far as the flush mode asks.
    fn commit_round(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let mut round = self.flushing.pop_front().expect("the caller looked");
        let base_offset = round.base_offset;
        let stage = self.stages.front_mut().expect("a round has its stage");
        assert_eq!(stage.base_offset, base_offset);
        round.copy_tail(&mut stage.durable_tail);
        if round.state == RoundState::Flushed {
            stage.area.note_flushed(round.write_end);
        }
        let segment = self
            .segment_mut(base_offset)
            .expect("a stage has its segment");
        let bytes = round.mark.size_bytes - segment.durable.size_bytes;
        let records = round.mark.next_offset - segment.durable.next_offset;
        let before = std::mem::replace(&mut segment.durable, round.mark);
        self.cache_round(base_offset, before, round.mark, &mut round.written, disk);
        self.lists.keep(round.written);
        assert!(self.unflushed_bytes >= memory_len(bytes));
        self.unflushed_bytes -= memory_len(bytes);
        assert!(round.mark.next_offset > self.durable_end);
        assert!(round.mark.next_offset <= self.log_end);
        self.durable_end = round.mark.next_offset;
        events.push(LogEvent::DurableEnd {
            offset: self.durable_end,
            round: RoundTimes {
                started_us: round.started_us,
                written_us: round.written_us,
                ended_us: now.monotonic_us,
                is_flushed: round.state == RoundState::Flushed,
            },
        });
        if round.state == RoundState::Unflushed {
            self.note_unsynced(now, bytes, records.unsigned_abs());
        }
        self.write_ahead(now, bytes, disk);
    }
}
