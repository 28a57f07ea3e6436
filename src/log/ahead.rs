// SPDX-License-Identifier: Apache-2.0
//! Zeros on their way to the disk ahead of the log: what `area` decides becomes requests here.
//!
//! Owns: nothing; the state is [`super::area::Area`]. Invariants: one piece of zeros or one flush
//! behind them is under way at a time; a round, a roll, a cut and a stop wait for one piece at
//! most, and for none that has not begun. Runs on: the core of the partition. Bounded by: one step
//! ahead of the log.

use super::area::NextAhead;
use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase};
use super::tail_buffer::{block_ceil, file_len};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::time::Now;
use crate::wire::record::BATCH_HEADER_BYTES;

impl PartitionLog {
    /// Begins a step of zeros behind the log if it is time.
    pub(super) fn write_ahead(&mut self, now: Now, round_bytes: u64, disk: &mut DiskQueue) {
        self.spares.note_round(round_bytes);
        if !self.wants_zeros() {
            return;
        }
        let limit = block_ceil(self.segment_bytes_max() + file_len(BATCH_HEADER_BYTES));
        let reach = self.reach();
        let stage = self.stages.front_mut().expect("an open log has a stage");
        let step = &mut self.ahead_step;
        if stage.area.start_ahead(now, step, reach, limit, round_bytes) {
            self.go_on_ahead(disk);
        }
    }

    /// True while the first stage will take more rounds than those that are gathered.
    fn wants_zeros(&self) -> bool {
        let is_open = matches!(self.phase, Phase::Open);
        let is_complete = self.stages.front().is_none_or(|stage| stage.seal.is_some());
        is_open && self.storage.write_ahead && !self.is_cutting() && !is_complete
    }

    /// Where the furthest write so far ends, or the next one will.
    fn reach(&self) -> u64 {
        let stage = self.stages.front().expect("an open log has a stage");
        if stage.tail.is_empty() {
            stage.written_end
        } else {
            stage.written_end.max(stage.tail.write_end())
        }
    }

    /// Asks for what the step under way needs next.
    fn go_on_ahead(&mut self, disk: &mut DiskQueue) {
        let (wants_zeros, reach) = (self.wants_zeros(), self.reach());
        // A round that is being written is not covered by a flush that is asked for now.
        let is_writing = self.round.is_some();
        let file = self.file_written_to();
        let stage = self.stages.front_mut().expect("an open log has a stage");
        if !wants_zeros {
            return stage.area.abandon_ahead();
        }
        let flushable = if is_writing { 0 } else { stage.written_end };
        match stage.area.next_ahead(reach, flushable) {
            None => {}
            Some(NextAhead::Piece {
                position,
                len_bytes,
            }) => {
                let zeros = DiskOperation::WriteZeros {
                    file,
                    position_bytes: position,
                    len_bytes,
                };
                self.push(Pending::Zeros, zeros, disk);
            }
            Some(NextAhead::Flush) => {
                self.push(Pending::ZerosFlush, DiskOperation::Flush { file }, disk);
            }
        }
    }

    fn file_written_to(&mut self) -> FileId {
        let stage = self.stages.front().expect("an open log has a stage");
        let base_offset = stage.base_offset;
        self.segment_mut(base_offset)
            .and_then(|segment| segment.file)
            .expect("a segment that is written to is open")
    }

    /// Something is to be written, or done to the file, where zeros are under way: no further piece
    /// begins, and the one that was asked for is taken back if it has not begun.
    pub(super) fn give_up_ahead(&mut self, disk: &mut DiskQueue) {
        let Some(stage) = self.stages.front_mut() else {
            return;
        };
        if stage.area.give_up_ahead() {
            let file = self.file_written_to();
            self.push(
                Pending::Ignored,
                DiskOperation::TakeBackZeros { file },
                disk,
            );
        }
    }

    pub(super) fn end_zeros(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        // Neither a roll nor a cut starts while zeros are under way.
        let stage = self.stages.front_mut().expect("an open log has a stage");
        match result {
            Ok(DiskOutcome::Done) => stage.area.end_piece(true),
            Ok(DiskOutcome::TakenBack) => stage.area.end_piece(false),
            Ok(outcome) => unreachable!("zeros ended with {outcome:?}"),
            Err(DiskError::NoSpace) => stage.area.refuse_ahead(),
            Err(error) => return self.fail("writing zeros ahead", error, events),
        }
        self.after_zeros(now, disk);
    }

    pub(super) fn end_zeros_flush(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Err(error) = result {
            return self.fail("the flush of zeros written ahead", error, events);
        }
        let stage = self.stages.front_mut().expect("an open log has a stage");
        stage.area.end_flush();
        self.after_zeros(now, disk);
    }

    fn after_zeros(&mut self, now: Now, disk: &mut DiskQueue) {
        self.go_on_ahead(disk);
        self.go_on_cutting(now, disk);
        self.pump(disk);
    }
}
