// SPDX-License-Identifier: Apache-2.0
//! The end of a file that is written to: how far its blocks are initialised, when more are written
//! ahead, and which flush makes a round durable.
//!
//! Overwriting a block that exists, is initialised, and whose file's metadata is durable changes no
//! metadata. So once the writes of such a round have completed, all that is missing is a flush of
//! the device's cache, and one such flush serves every file of the device. Everything else (a block
//! that is new, or that was only allocated, a length that has changed) needs a flush of the file,
//! which on a journaling file system costs a commit of the journal.
//!
//! ```text
//! 0            end of the batches     ready       written   piece    end of the step
//! |== durable, rounds under way ==|......zeros......|..zeros..|<....>|..............|
//!                                   FlushDevice       Flush     no round until it is done
//! ```
//!
//! Zeros are written ahead in steps, and a step in pieces, one after another, with one flush of the
//! file behind the last. A step begins small; it doubles when an area lasted less than
//! `WRITE_AHEAD_QUICK_MS` and halves when it lasted more than `WRITE_AHEAD_SLOW_MS`, so a quiet
//! partition holds little and a busy one rarely reaches what is being written. A log whose rounds
//! are large is not helped: writing each byte twice costs more than the larger flush.
//!
//! A round never waits for a step. Where it reaches beyond the zeros, the pieces that were not
//! begun are given up, and the round extends the file as if there had been none; only one piece
//! that is already with the kernel is waited for, because no block may have two writes under way.
//! The next step then begins its own length further on, so that the log does not run into it again:
//! the gap between is filled by rounds that flush their file.
//!
//! Owns: [`Area`]. Invariants: `ready` only rises, and only in the handler of a completion that
//! made the blocks below it durable together with their metadata; no round writes where a piece is
//! being written. Runs on: the core of the partition. Bounded by: one step ahead of the log.

use super::tail_buffer::BLOCK;
use crate::limits::{
    WRITE_AHEAD_BYTES_MAX, WRITE_AHEAD_BYTES_MIN, WRITE_AHEAD_QUICK_MS,
    WRITE_AHEAD_ROUND_BYTES_MAX, WRITE_AHEAD_SLOW_MS, ZEROS_BYTES_MAX,
};
use crate::model::mutation::{Mutation, is_broken};
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};

/// The longest piece, as a file position.
const PIECE: u64 = 256 * 1024;
const _: () = assert!(ZEROS_BYTES_MAX == 256 * 1024 && PIECE.is_multiple_of(BLOCK));

/// What makes a round durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlushKind {
    /// One flush of the device's cache, shared with every other round.
    Device,
    /// A flush of the file with its metadata.
    File,
}

/// What a step needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAhead {
    /// Zeros are to be written there.
    Piece { position: u64, len_bytes: u64 },
    /// The file is to be flushed.
    Flush,
}

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    position: u64,
    end: u64,
}

/// A step under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Growth {
    position: u64,
    /// Zeros were written up to here.
    written: u64,
    /// Zeros will be written up to here.
    end: u64,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// To be told what is next.
    Nothing,
    /// A piece is being written; `is_unwanted` once it was asked back.
    Piece { end: u64, is_unwanted: bool },
    /// The file is being flushed, and with it all that rounds had written up to there.
    Flush { covered: u64 },
}

/// The step of a log, which outlives its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AheadStep {
    bytes: u64,
    /// When the area that is being used up was made.
    made_at: Option<MonotonicUs>,
}

impl Default for AheadStep {
    fn default() -> AheadStep {
        AheadStep {
            bytes: WRITE_AHEAD_BYTES_MIN,
            made_at: None,
        }
    }
}

impl AheadStep {
    /// The length of the next area, by how long the last one lasted.
    fn next(&mut self, now: Now) -> u64 {
        if let Some(made_at) = self.made_at {
            let lasted_ms = now.monotonic_us.saturating_sub(made_at) / 1000;
            if lasted_ms < WRITE_AHEAD_QUICK_MS {
                self.bytes = (self.bytes * 2).min(WRITE_AHEAD_BYTES_MAX);
            } else if lasted_ms > WRITE_AHEAD_SLOW_MS {
                self.bytes = (self.bytes / 2).max(WRITE_AHEAD_BYTES_MIN);
            }
        }
        self.made_at = Some(now.monotonic_us);
        self.bytes
    }
}

/// The initialised end of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    /// Every block below is initialised, and durable together with the file's metadata.
    ready: u64,
    /// So is every block of this, behind a gap.
    beyond: Option<Span>,
    growth: Option<Growth>,
    /// The log reached the last step before its zeros were durable: the next one begins further on.
    leaps: bool,
    /// There was no space: not tried again in this file.
    is_refused: bool,
}

impl Area {
    /// The end of a file of this exact length that was flushed whole: its partly filled last block
    /// grows with the next write, so it does not count.
    pub(super) fn of_file(len_bytes: u64) -> Area {
        let ready = len_bytes - len_bytes % BLOCK;
        // A broken broker for the power-cut rig to find out, in its own build alone: every
        // block passes for initialised.
        let is_mutant = is_broken(Mutation::DeviceFlushAlways);
        Area {
            ready: if is_mutant { u64::MAX / 2 } else { ready },
            ..Area::default()
        }
    }

    /// True if a round that ends there may be written now.
    pub(super) fn may_write(&self, write_end: u64) -> bool {
        self.growth.is_none_or(|growth| match growth.doing {
            Doing::Piece { .. } => write_end <= growth.written,
            Doing::Nothing | Doing::Flush { .. } => true,
        })
    }

    /// True while a step is under way.
    pub(super) fn is_growing(&self) -> bool {
        self.growth.is_some()
    }

    /// What makes a round durable whose writes end there.
    pub(super) fn flush_kind(&self, rules: StorageRules, write_end: u64) -> FlushKind {
        if rules.device_flush && write_end <= self.ready {
            FlushKind::Device
        } else {
            FlushKind::File
        }
    }

    /// The file was flushed after writes up to there had completed.
    pub(super) fn note_flushed(&mut self, write_end: u64) {
        assert!(write_end.is_multiple_of(BLOCK));
        self.ready = self.ready.max(write_end);
        if let Some(beyond) = self.beyond
            && beyond.position <= self.ready
        {
            self.ready = self.ready.max(beyond.end);
            self.beyond = None;
        }
    }

    /// Begins a step, if it is time. `reach` is where the furthest write so far ends or the next
    /// one will, `limit` how long the file may become, `round_bytes` how much the last round
    /// carried.
    pub(super) fn start_ahead(
        &mut self,
        now: Now,
        step: &mut AheadStep,
        reach: u64,
        limit: u64,
        round_bytes: u64,
    ) -> bool {
        assert!(reach.is_multiple_of(BLOCK) && limit.is_multiple_of(BLOCK));
        let is_bulk = round_bytes > WRITE_AHEAD_ROUND_BYTES_MAX;
        let area_end = self.beyond.map_or(self.ready, |beyond| beyond.end);
        let is_enough = area_end >= reach + step.bytes / 2;
        if self.growth.is_some() || self.is_refused || is_bulk || is_enough {
            return false;
        }
        let wanted = step.next(now);
        let gap = if self.leaps { wanted } else { 0 };
        let position = area_end.max(reach) + gap;
        let len_bytes = wanted.min(limit.saturating_sub(position));
        if len_bytes == 0 {
            return false;
        }
        self.leaps = false;
        self.growth = Some(Growth {
            position,
            written: position,
            end: position + len_bytes,
            doing: Doing::Nothing,
        });
        true
    }

    /// What the step under way needs now, if anything. `reach` as above; `flushable` is how far
    /// writes of rounds have completed.
    pub(super) fn next_ahead(&mut self, reach: u64, flushable: u64) -> Option<NextAhead> {
        let growth = self.growth.as_mut()?;
        if growth.doing != Doing::Nothing {
            return None;
        }
        if reach > growth.written {
            // The log is there already.
            self.leaps |= growth.end > growth.written;
            growth.end = growth.written;
        }
        let (position, len_bytes) = (growth.written, PIECE.min(growth.end - growth.written));
        if len_bytes > 0 {
            growth.doing = Doing::Piece {
                end: position + len_bytes,
                is_unwanted: false,
            };
            return Some(NextAhead::Piece {
                position,
                len_bytes,
            });
        }
        if growth.written <= growth.position.max(reach) {
            self.growth = None;
            return None;
        }
        // A broken broker for the power-cut rig to find out: that the zeros changed the file's
        // metadata is forgotten.
        if is_broken(Mutation::MetadataForgotten) {
            self.ready = growth.written;
            self.growth = None;
            return None;
        }
        growth.doing = Doing::Flush { covered: flushable };
        Some(NextAhead::Flush)
    }

    /// The piece under way has ended.
    pub(super) fn end_piece(&mut self, was_written: bool) {
        let growth = self.growth.as_mut().expect("a piece belongs to a step");
        let Doing::Piece { end, is_unwanted } = growth.doing else {
            unreachable!("a piece was under way");
        };
        growth.doing = Doing::Nothing;
        if was_written {
            growth.written = end;
        }
        if is_unwanted || !was_written {
            growth.end = growth.written;
        }
    }

    /// The flush behind the last piece has ended well.
    pub(super) fn end_flush(&mut self) {
        let growth = self.growth.take().expect("a flush belongs to a step");
        let Doing::Flush { covered } = growth.doing else {
            unreachable!("a flush was under way");
        };
        let position = match self.beyond {
            Some(before) if before.end == growth.position => before.position,
            _ => growth.position,
        };
        self.beyond = Some(Span {
            position,
            end: growth.written,
        });
        self.note_flushed(covered);
    }

    /// The log is to go on where zeros are being written: nothing further is begun. True if a piece
    /// is under way that was not asked back yet.
    pub(super) fn give_up_ahead(&mut self) -> bool {
        let Some(growth) = &mut self.growth else {
            return false;
        };
        match &mut growth.doing {
            Doing::Piece { is_unwanted, .. } => {
                self.leaps = true;
                !std::mem::replace(is_unwanted, true)
            }
            Doing::Nothing | Doing::Flush { .. } => false,
        }
    }

    /// What was written of the step under way is not worth a flush.
    pub(super) fn abandon_ahead(&mut self) {
        let is_idle = |growth: &mut Growth| growth.doing == Doing::Nothing;
        self.growth.take_if(is_idle);
    }

    /// There is no space for zeros. What the log itself writes may still find some.
    pub(super) fn refuse_ahead(&mut self) {
        assert!(self.growth.take().is_some(), "zeros were under way");
        self.is_refused = true;
    }
}

#[cfg(test)]
mod tests;
