// SPDX-License-Identifier: Apache-2.0
//! Walks the file of a segment as it comes from the disk: over its good batches, and past damage to
//! the next good one.
//!
//! In a sealed segment every bad batch is damage. In the last one it may be the torn end of what
//! was being written. But no more than `UNFLUSHED_BYTES_MAX` are ever written past what is durable:
//! a good batch that begins further than that behind the first bad one proves that the bad one was
//! durable once, so it is rot. Without that proof the log ends before the bad batch.
//!
//! Owns: [`SegmentWalk`]. Invariants: batches are reported in the order of the file, and damage
//! that was passed before the batches behind it. Runs on: the core of the partition.
//! Bounded by: one header of carried bytes, `DAMAGES_PER_SEGMENT_MAX`.

use super::batch_scanner::{BatchScanner, ScannedBatch};
use super::batch_search::BatchSearch;
use super::damage::{Damage, Damages};
use super::tail_buffer::{block_floor, file_len, memory_len};
use crate::limits::UNFLUSHED_BYTES_MAX;
use crate::model::ids::Offset;

/// A walk.
#[derive(Debug)]
pub(super) struct SegmentWalk {
    scanner: BatchScanner,
    /// Where the next piece of the file begins.
    position: u64,
    /// Bytes at `position` that the walk does not want.
    skip: usize,
    mode: Mode,
    kind: WalkKind,
    damages: Damages,
    /// End of the last byte seen that is not zero.
    nonzero_end: u64,
}

/// Which segment is walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalkKind {
    /// One that is complete; the next one begins at this offset.
    Sealed(Offset),
    /// The one that was being written.
    Last,
}

/// What a good batch behind damage is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// To know that the damage is rot.
    Proof,
    /// To go on there.
    Resume,
}

/// What the bytes that come next are for.
#[derive(Debug)]
enum Mode {
    /// The walk over good batches; in the last segment also to the end of the file.
    Reading,
    /// Looking for a batch.
    Searching(BatchSearch, Goal),
    /// Checking what was found at `position`; if it is nothing, the search goes on at `then`.
    Trying {
        position: u64,
        scanner: Box<BatchScanner>,
        goal: Goal,
        then: u64,
    },
}

/// What a piece of the file brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Damage was passed; the batches begin here.
    pub(super) resumed_at: Option<u64>,
    /// The good batches that end in it.
    pub(super) found: Vec<ScannedBatch>,
    /// Whether the walk wants another piece.
    pub(super) goes_on: bool,
}

impl SegmentWalk {
    /// A walk that begins where the scanner stands.
    pub(super) fn new(scanner: BatchScanner, kind: WalkKind) -> SegmentWalk {
        let start = scanner.good_end();
        let mut walk = SegmentWalk {
            scanner,
            position: 0,
            skip: 0,
            mode: Mode::Reading,
            kind,
            damages: Damages::default(),
            nonzero_end: start,
        };
        walk.seek(start);
        walk
    }

    /// Where the next piece of the file begins: at a block.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// End of the last good batch.
    pub(super) fn good_end(&self) -> u64 {
        self.scanner.good_end()
    }

    /// Bytes behind the last good batch, up to the last one that is not zero.
    pub(super) fn torn_bytes(&self) -> u64 {
        self.nonzero_end.saturating_sub(self.good_end())
    }

    /// The damage that was found.
    pub(super) fn into_damages(self) -> Damages {
        self.damages
    }

    /// Takes the next piece of the file.
    pub(super) fn take(&mut self, bytes: &[u8], at_end: bool) -> Piece {
        let skipped = self.skip.min(bytes.len());
        let fresh = &bytes[skipped..];
        if let Some(last) = fresh.iter().rposition(|byte| *byte != 0) {
            let end = self.position + file_len(skipped + last) + 1;
            self.nonzero_end = self.nonzero_end.max(end);
        }
        self.position += file_len(bytes.len());
        self.skip = 0;
        let mut piece = Piece::default();
        piece.goes_on = match &mut self.mode {
            Mode::Reading => {
                self.scanner.feed(fresh, |batch| piece.found.push(batch));
                self.go_on_reading(at_end)
            }
            Mode::Searching(search, goal) => {
                let goal = *goal;
                match search.feed(fresh) {
                    Some(position) => {
                        self.try_at(position, goal, position + 1);
                        true
                    }
                    None if at_end => {
                        self.give_up(goal);
                        false
                    }
                    None => true,
                }
            }
            Mode::Trying { .. } => self.take_tried(fresh, at_end, &mut piece),
        };
        piece
    }

    fn take_tried(&mut self, fresh: &[u8], at_end: bool, piece: &mut Piece) -> bool {
        let Mode::Trying {
            position,
            scanner,
            goal,
            then,
        } = &mut self.mode
        else {
            unreachable!("the caller looked");
        };
        let (position, goal, then) = (*position, *goal, *then);
        scanner.feed(fresh, |batch| piece.found.push(batch));
        let Some(first) = piece.found.first() else {
            if scanner.is_bad() || at_end {
                self.search_from(then, goal);
            }
            return true;
        };
        if goal == Goal::Proof {
            piece.found.clear();
            self.resume();
            return true;
        }
        self.damages.push(Damage {
            position: self.scanner.good_end(),
            end: position,
            first_offset: self.scanner.next_offset(),
            next_offset: first.header.base_offset,
        });
        self.scanner = (**scanner).clone();
        if self.kind == WalkKind::Last {
            self.scanner.be_exact();
        }
        piece.resumed_at = Some(position);
        self.mode = Mode::Reading;
        self.go_on_reading(at_end)
    }

    /// After good batches: whether to read on, and for what.
    fn go_on_reading(&mut self, at_end: bool) -> bool {
        let is_torn = self.torn_bytes() > 0;
        match self.kind {
            // Behind the first bad batch it is read to its end.
            WalkKind::Last if !at_end => true,
            WalkKind::Last => {
                let window = file_len(UNFLUSHED_BYTES_MAX);
                let needs_proof = self.torn_bytes() > window;
                if needs_proof {
                    self.search_from(self.good_end() + window, Goal::Proof);
                }
                needs_proof
            }
            WalkKind::Sealed(_) if self.scanner.is_bad() || (at_end && is_torn) => {
                self.resume();
                true
            }
            WalkKind::Sealed(_) => !at_end,
        }
    }

    /// Looks for the first good batch behind the damage: first where the damaged batch says that
    /// it ends, since records may hold bytes that look like batches.
    fn resume(&mut self) {
        let behind = self.good_end() + 1;
        match self.scanner.claimed_end() {
            Some(end) => self.try_at(end, Goal::Resume, behind),
            None => self.search_from(behind, Goal::Resume),
        }
    }

    fn try_at(&mut self, position: u64, goal: Goal, then: u64) {
        let scanner = Box::new(self.scanner.resumed(position));
        self.mode = Mode::Trying {
            position,
            scanner,
            goal,
            then,
        };
        self.seek(position);
    }

    fn search_from(&mut self, position: u64, goal: Goal) {
        let (next, epoch) = (self.scanner.next_offset(), self.scanner.leader_epoch());
        self.seek(position);
        self.mode = Mode::Searching(BatchSearch::new(position, next, epoch), goal);
    }

    /// Nothing good lies behind the damage.
    fn give_up(&mut self, goal: Goal) {
        self.mode = Mode::Reading;
        let WalkKind::Sealed(next_offset) = self.kind else {
            assert_eq!(goal, Goal::Proof, "what proved the rot is good");
            return;
        };
        // Zeros alone: the file is longer than its batches, and nothing is missing.
        let first_offset = self.scanner.next_offset();
        if self.torn_bytes() > 0 || first_offset < next_offset {
            self.damages.push(Damage {
                position: self.good_end(),
                end: self.position.max(self.good_end() + 1),
                first_offset,
                next_offset: next_offset.max(first_offset),
            });
        }
    }

    /// Goes on at any position.
    fn seek(&mut self, position: u64) {
        self.position = block_floor(position);
        self.skip = memory_len(position - self.position);
    }
}
