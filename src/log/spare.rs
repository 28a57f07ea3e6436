// SPDX-License-Identifier: Apache-2.0
//! The file of a segment that retention removed, made ready to be the next segment.
//!
//! ```text
//! <base>.log -> renamed to <base>.recycled -> (sync of the directory) -> the log start moves
//!   -> closed, so that no read is under way -> opened -> zeros, in pieces -> flush -> ready
//!   -> at the next roll: renamed to <new base>.log -> (sync of the directory) -> written to
//! ```
//! All its blocks exist and are initialised, so that rounds in it need nothing but the flush of the
//! device from the first one on, and no zeros are written ahead of them.
//!
//! Its old records are overwritten before it is used again. To leave them there and to trust that
//! they are told by their offsets would not do: offset and leader epoch lie outside a batch's
//! checksum. Where a header crosses a sector, a torn round could leave the new offset before an old
//! batch that is whole; it would be read as a new one.
//!
//! Owns: [`Spares`]. Invariants: the file has its old name, `.recycled` or the new one, and the
//! records of its old life are read under the first of these only; a start removes what it finds
//! under `.recycled`. Runs on: the core of the partition. Bounded by: one file a log, and only for
//! a log that fills its segments within `RECYCLED_WITHIN_MS`.

use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::segment::{FileKind, Segment};
use super::tail_buffer::{BLOCK, block_ceil, file_len};
use crate::limits::{RECYCLED_WITHIN_MS, WRITE_AHEAD_ROUND_BYTES_MAX, ZEROS_BYTES_MAX};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The file that reads had used is being closed.
    Close,
    /// It is being opened.
    Open,
    /// Zeros are being written, up to there.
    Zeros {
        end: u64,
    },
    Flush,
    /// There was no space for it: it is being closed.
    GivenUp,
    /// It is being removed.
    Remove,
    /// It is zeros, and durable.
    Ready,
}

#[derive(Clone, Copy, Debug)]
struct Spare {
    old_base: Offset,
    file: FileId,
    len_bytes: u64,
    step: Step,
}

/// A file that is about to be the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recycled {
    /// Base offset of the segment that it was.
    pub(super) old_base: Offset,
    /// The open file.
    pub(super) file: FileId,
    /// How long it is: initialised blocks.
    pub(super) len_bytes: u64,
}

/// The spare file of a log, and whether it would be of use.
#[derive(Debug, Default)]
pub(super) struct Spares {
    spare: Option<Spare>,
    /// How long the last segment took to fill.
    filled_in_ms: Option<u64>,
    /// The last round was large: such logs do better without zeros.
    is_bulk: bool,
}

impl Spares {
    /// A segment was filled that had its first batch so long ago.
    pub(super) fn note_filled(&mut self, in_ms: u64) {
        self.filled_in_ms = Some(in_ms);
    }

    /// A round became durable.
    pub(super) fn note_round(&mut self, bytes: u64) {
        self.is_bulk = bytes > WRITE_AHEAD_ROUND_BYTES_MAX;
    }

    fn wants(&self) -> bool {
        let is_soon = self.filled_in_ms.is_some_and(|ms| ms <= RECYCLED_WITHIN_MS);
        self.spare.is_none() && is_soon && !self.is_bulk
    }

    /// The file, if it is ready.
    pub(super) fn take_ready(&mut self) -> Option<Recycled> {
        let spare = self.spare.take_if(|spare| spare.step == Step::Ready)?;
        Some(Recycled {
            old_base: spare.old_base,
            file: spare.file,
            len_bytes: spare.len_bytes,
        })
    }

    /// The segment that the file was, and the file if it may be open: the log goes.
    pub(super) fn take(&mut self) -> Option<(Offset, Option<FileId>)> {
        let spare = self.spare.take()?;
        let is_closed = matches!(spare.step, Step::Close | Step::GivenUp | Step::Remove);
        Some((spare.old_base, (!is_closed).then_some(spare.file)))
    }

    /// Its opening failed while the log was going.
    pub(super) fn note_not_opened(&mut self) {
        self.spare.take_if(|spare| spare.step == Step::Open);
    }
}

impl PartitionLog {
    /// True if the file of this segment should be kept for the next one.
    pub(super) fn may_recycle(&self, segment: &Segment) -> bool {
        let is_of_use = self.storage.device_flush && self.storage.write_ahead;
        is_of_use && self.spares.wants() && segment.mark.size_bytes >= BLOCK
    }

    /// Begins to make the file ready of a segment that was removed and has its new name durably.
    pub(super) fn keep_spare(&mut self, segment: &Segment, disk: &mut DiskQueue) {
        let file = self.new_file();
        self.spares.spare = Some(Spare {
            old_base: segment.base_offset,
            file,
            len_bytes: block_ceil(segment.mark.size_bytes),
            step: Step::Close,
        });
        match segment.file {
            Some(file) => self.push(Pending::Spare, DiskOperation::Close { file }, disk),
            None => self.open_spare(disk),
        }
    }

    fn open_spare(&mut self, disk: &mut DiskQueue) {
        let spare = self.spares.spare.as_mut().expect("the caller looked");
        spare.step = Step::Open;
        let (file, old_base) = (spare.file, spare.old_base);
        let path = self.segment_path(old_base, FileKind::Recycled);
        let create = false;
        let open = DiskOperation::Open { file, path, create };
        self.push(Pending::Spare, open, disk);
    }

    pub(super) fn step_spare(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let was_taken_back = matches!(result, Ok(DiskOutcome::TakenBack));
        let spare = self.spares.spare.as_mut().expect("only a spare asks so");
        let step = spare.step;
        match (step, done(result)) {
            (_, Ok(())) | (Step::Close | Step::GivenUp, _) => {}
            // It is no loss: the next segment gets a file of its own.
            (Step::Open, Err(_)) => {
                self.spares.spare = None;
                return;
            }
            // A start removes what is left.
            (Step::Remove, Err(_)) => {}
            // Its last block was not full, or the file system keeps no promise about blocks that
            // are there. Somebody else needs the space more.
            (_, Err(DiskError::NoSpace)) => return self.discard_spare(disk),
            (_, Err(error)) => return self.fail("preparing a spare file", error, events),
        }
        if step == Step::Remove {
            self.spares.spare = None;
            return;
        }
        if !matches!(self.phase, Phase::Open) || was_taken_back {
            // The stop puts it away.
            return;
        }
        match step {
            Step::Close => self.open_spare(disk),
            Step::Open => self.write_zeros_from(0, disk),
            Step::Zeros { end } => self.write_zeros_from(end, disk),
            Step::Flush => {
                self.spare_at(Step::Ready);
            }
            Step::GivenUp => {
                let old_base = self.spare_at(Step::Remove).old_base;
                let path = self.segment_path(old_base, FileKind::Recycled);
                self.push(Pending::Spare, DiskOperation::RemoveFile { path }, disk);
            }
            Step::Remove => {}
            Step::Ready => unreachable!("a spare that is ready asks nothing"),
        }
    }

    /// Without space for it the file goes; if the log stops anyway, the stop puts it away.
    fn discard_spare(&mut self, disk: &mut DiskQueue) {
        if matches!(self.phase, Phase::Open) {
            let file = self.spare_at(Step::GivenUp).file;
            self.push(Pending::Spare, DiskOperation::Close { file }, disk);
        }
    }

    fn spare_at(&mut self, step: Step) -> Spare {
        let spare = self.spares.spare.as_mut().expect("the caller looked");
        spare.step = step;
        *spare
    }

    fn write_zeros_from(&mut self, written: u64, disk: &mut DiskQueue) {
        let spare = self.spares.spare.as_ref().expect("the caller looked");
        let (file, len_bytes) = (spare.file, spare.len_bytes);
        if written == len_bytes {
            self.spare_at(Step::Flush);
            return self.push(Pending::Spare, DiskOperation::Flush { file }, disk);
        }
        let end = len_bytes.min(written + file_len(ZEROS_BYTES_MAX));
        self.spare_at(Step::Zeros { end });
        let zeros = DiskOperation::WriteZeros {
            file,
            position_bytes: written,
            len_bytes: end - written,
        };
        self.push(Pending::Spare, zeros, disk);
    }

    /// The log stops: what was not begun is not waited for.
    pub(super) fn give_up_spare(&mut self, disk: &mut DiskQueue) {
        if let Some(spare) = &self.spares.spare
            && matches!(spare.step, Step::Zeros { .. })
        {
            let file = spare.file;
            self.push(
                Pending::Ignored,
                DiskOperation::TakeBackZeros { file },
                disk,
            );
        }
    }

    /// An append goes to a new segment: notes how long the last one took.
    pub(super) fn note_filled(&mut self, now: Now) {
        let age_us = self
            .active_since
            .map(|since| now.monotonic_us.saturating_sub(since));
        if let Some(age_us) = age_us {
            self.spares.note_filled(age_us / 1000);
        }
    }
}
