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
//! 0            end of the batches     ready                 ready + step
//! |== durable, rounds under way ==|......zeros, durable.....|..being written ahead..|
//!                                       rounds in here: FlushDevice
//!                                                           rounds in here wait
//! ```
//!
//! Zeros are written ahead in steps. A step begins small; it doubles when an area lasted less than
//! `WRITE_AHEAD_QUICK_MS` and halves when it lasted more than `WRITE_AHEAD_SLOW_MS`, so a quiet
//! partition holds little and a busy one rarely waits. A log whose rounds are large is not helped:
//! writing each byte twice costs more than the larger flush.
//!
//! Owns: [`Area`]. Invariants: `ready` only rises, and only in the handler of a completion that
//! made the blocks below it durable together with their metadata; no round writes where zeros are
//! being written. Runs on: the core of the partition. Bounded by: one step ahead of the log.

use super::tail_buffer::BLOCK;
use crate::limits::{
    WRITE_AHEAD_BYTES_MAX, WRITE_AHEAD_BYTES_MIN, WRITE_AHEAD_QUICK_MS,
    WRITE_AHEAD_ROUND_BYTES_MAX, WRITE_AHEAD_SLOW_MS,
};
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};

/// What makes a round durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlushKind {
    /// One flush of the device's cache, shared with every other round.
    Device,
    /// A flush of the file with its metadata.
    File,
}

/// Zeros under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) position: u64,
    pub(super) len_bytes: u64,
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
    /// What is being written ahead.
    ahead: Option<Ahead>,
    /// There was no space: not tried again in this file.
    is_refused: bool,
}

impl Area {
    /// The end of a file of this exact length that was flushed whole: its partly filled last block
    /// grows with the next write, so it does not count.
    pub(super) fn of_file(len_bytes: u64) -> Area {
        let ready = len_bytes - len_bytes % BLOCK;
        // A broken broker for the power-cut rig to find out, compiled by its script alone: every
        // block passes for initialised.
        let is_mutant = cfg!(furlong_mutation = "device_flush_always");
        Area {
            ready: if is_mutant { u64::MAX / 2 } else { ready },
            ..Area::default()
        }
    }

    /// True if a round that ends there may be written now.
    pub(super) fn may_write(&self, write_end: u64) -> bool {
        self.ahead.is_none() || write_end <= self.ready
    }

    /// True while zeros are under way.
    pub(super) fn is_growing(&self) -> bool {
        self.ahead.is_some()
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
    }

    /// Zeros to write now, if it is time. `written_end` is where the furthest write so far ends,
    /// `limit` how long the file may become, `round_bytes` how much the last round carried.
    pub(super) fn start_ahead(
        &mut self,
        now: Now,
        step: &mut AheadStep,
        written_end: u64,
        limit: u64,
        round_bytes: u64,
    ) -> Option<Ahead> {
        assert!(written_end.is_multiple_of(BLOCK) && limit.is_multiple_of(BLOCK));
        let is_bulk = round_bytes > WRITE_AHEAD_ROUND_BYTES_MAX;
        let is_enough = self.ready >= written_end + step.bytes / 2;
        if self.ahead.is_some() || self.is_refused || is_bulk || is_enough {
            return None;
        }
        let position = self.ready.max(written_end);
        let len_bytes = step.next(now).min(limit.saturating_sub(position));
        if len_bytes == 0 {
            return None;
        }
        let ahead = Ahead {
            position,
            len_bytes,
        };
        self.ahead = Some(ahead);
        self.ahead
    }

    /// The zeros are durable.
    pub(super) fn finish_ahead(&mut self) {
        let ahead = self.ahead.take().expect("zeros were under way");
        // Their flush was one of the file: it covers what had been written before them, too.
        self.ready = ahead.position + ahead.len_bytes;
    }

    /// There is no space for zeros. What the log itself writes may still find some.
    pub(super) fn refuse_ahead(&mut self) {
        assert!(self.ahead.take().is_some(), "zeros were under way");
        self.is_refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: StorageRules = StorageRules {
        device_flush: true,
        write_ahead: true,
        recovery_point_bytes: 0,
    };
    const LIMIT: u64 = 1 << 30;

    fn at_ms(ms: u64) -> Now {
        Now {
            monotonic_us: ms * 1000,
            wall_ms: 0,
        }
    }

    #[test]
    fn new_blocks_need_a_flush_of_their_file() {
        let mut area = Area::of_file(5000);
        assert_eq!(area.flush_kind(RULES, 4096), FlushKind::Device);
        assert_eq!(area.flush_kind(RULES, 8192), FlushKind::File);
        area.note_flushed(8192);
        assert_eq!(area.flush_kind(RULES, 8192), FlushKind::Device);
        let elsewhere = StorageRules::default();
        assert_eq!(area.flush_kind(elsewhere, 4096), FlushKind::File);
    }

    #[test]
    fn zeros_under_way_are_not_written_over_and_count_once_they_are_durable() {
        let (mut area, mut step) = (Area::default(), AheadStep::default());
        let ahead = area.start_ahead(at_ms(0), &mut step, 4096, LIMIT, 100);
        let ahead = ahead.expect("nothing is ready");
        assert_eq!(
            (ahead.position, ahead.len_bytes),
            (4096, WRITE_AHEAD_BYTES_MIN)
        );
        assert!(area.is_growing() && !area.may_write(8192) && area.may_write(0));
        assert_eq!(area.flush_kind(RULES, 8192), FlushKind::File);
        area.finish_ahead();
        assert!(area.may_write(8192) && !area.is_growing());
        assert_eq!(area.flush_kind(RULES, 8192), FlushKind::Device);
        assert_eq!(
            area.start_ahead(at_ms(1), &mut step, 8192, LIMIT, 100),
            None,
            "there is enough"
        );
    }

    #[test]
    fn the_step_follows_the_pace() {
        let mut step = AheadStep::default();
        assert_eq!(step.next(at_ms(0)), WRITE_AHEAD_BYTES_MIN);
        assert_eq!(step.next(at_ms(1)), 2 * WRITE_AHEAD_BYTES_MIN);
        for ms in 2..40 {
            step.next(at_ms(ms));
        }
        assert_eq!(step.bytes, WRITE_AHEAD_BYTES_MAX);
        let between = 40 + (WRITE_AHEAD_QUICK_MS + WRITE_AHEAD_SLOW_MS) / 2;
        assert_eq!(step.next(at_ms(between)), WRITE_AHEAD_BYTES_MAX);
        let slow = between + WRITE_AHEAD_SLOW_MS + 1;
        assert_eq!(step.next(at_ms(slow)), WRITE_AHEAD_BYTES_MAX / 2);
        for place in 1..40 {
            step.next(at_ms(slow + place * (WRITE_AHEAD_SLOW_MS + 1)));
        }
        assert_eq!(step.bytes, WRITE_AHEAD_BYTES_MIN);
    }

    #[test]
    fn large_rounds_a_full_disk_and_the_end_of_the_segment_stop_it() {
        let mut step = AheadStep::default();
        let mut area = Area::default();
        let bulk = WRITE_AHEAD_ROUND_BYTES_MAX + 1;
        assert_eq!(area.start_ahead(at_ms(0), &mut step, 0, LIMIT, bulk), None);
        assert_eq!(area.start_ahead(at_ms(0), &mut step, 8192, 8192, 1), None);
        let short = area.start_ahead(at_ms(0), &mut step, 4096, 8192, 1);
        assert_eq!(short.map(|ahead| ahead.len_bytes), Some(4096));
        area.refuse_ahead();
        assert_eq!(area.start_ahead(at_ms(0), &mut step, 4096, LIMIT, 1), None);
        assert_eq!(area.flush_kind(RULES, 8192), FlushKind::File);
    }

    proptest! {
        /// Whatever happens, no round is allowed where zeros are under way, and the device flush
        /// only below what was made durable.
        #[test]
        fn a_device_flush_only_covers_what_is_ready(
            steps in proptest::collection::vec((0u8..4, 1u64..40), 1..200),
        ) {
            let (mut area, mut step) = (Area::default(), AheadStep::default());
            let (mut written, mut durable) = (0, 0);
            for (place, (what, blocks)) in (0u64..).zip(steps) {
                match what {
                    0 | 1 => {
                        let end = written + blocks * BLOCK;
                        if area.may_write(end) {
                            let kind = area.flush_kind(RULES, end);
                            prop_assert_eq!(kind == FlushKind::Device, end <= durable);
                            written = end;
                            area.note_flushed(end);
                            durable = durable.max(end);
                        }
                    }
                    2 => {
                        let now = at_ms(place * 300);
                        let ahead = area.start_ahead(now, &mut step, written, LIMIT, 1);
                        if let Some(ahead) = ahead {
                            prop_assert!(ahead.position >= written);
                            prop_assert!(!area.may_write(ahead.position + BLOCK));
                        }
                    }
                    _ => if let Some(ahead) = area.ahead {
                        area.finish_ahead();
                        durable = ahead.position + ahead.len_bytes;
                    },
                }
            }
        }
    }
}
