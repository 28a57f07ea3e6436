// SPDX-License-Identifier: Apache-2.0
//! Tests of the initialised end of a file.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use super::*;
use proptest::prelude::*;

const RULES: StorageRules = StorageRules {
    device_flush: true,
    write_ahead: true,
    recovery_point_bytes: 0,
};
const LIMIT: u64 = 1 << 30;
const LEAST: u64 = WRITE_AHEAD_BYTES_MIN;

fn at_ms(ms: u64) -> Now {
    Now {
        monotonic_us: ms * 1000,
        wall_ms: 0,
    }
}

fn piece(position: u64, len_bytes: u64) -> Option<NextAhead> {
    Some(NextAhead::Piece {
        position,
        len_bytes,
    })
}

/// A step with a first piece under way.
fn growing(area: &mut Area, step: &mut AheadStep, reach: u64) -> NextAhead {
    assert!(area.start_ahead(at_ms(0), step, reach, LIMIT, 100));
    area.next_ahead(reach, reach)
        .expect("a step begins with zeros")
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
fn zeros_count_once_they_are_flushed_and_only_a_piece_is_waited_for() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    assert_eq!(
        Some(growing(&mut area, &mut step, 4096)),
        piece(4096, LEAST)
    );
    assert!(area.is_growing() && !area.may_write(8192) && area.may_write(4096));
    area.end_piece(true);
    assert!(area.may_write(8192), "nothing is being written");
    assert_eq!(area.next_ahead(4096, 4096), Some(NextAhead::Flush));
    assert!(area.may_write(8192), "a flush is no write");
    assert_eq!(area.flush_kind(RULES, 8192), FlushKind::File);
    area.end_flush();
    assert!(!area.is_growing());
    assert_eq!(area.flush_kind(RULES, 4096 + LEAST), FlushKind::Device);
    assert!(!area.start_ahead(at_ms(1), &mut step, 8192, LIMIT, 100));
}

#[test]
fn a_long_step_is_written_in_pieces() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    step.bytes = 2 * PIECE + LEAST;
    assert_eq!(Some(growing(&mut area, &mut step, 0)), piece(0, PIECE));
    assert_eq!(area.next_ahead(0, 0), None, "one at a time");
    area.end_piece(true);
    assert_eq!(area.next_ahead(0, 0), piece(PIECE, PIECE));
    assert!(area.may_write(PIECE) && !area.may_write(PIECE + BLOCK));
    area.end_piece(true);
    assert_eq!(area.next_ahead(0, 0), piece(2 * PIECE, LEAST));
    area.end_piece(true);
    assert_eq!(area.next_ahead(0, 0), Some(NextAhead::Flush));
}

#[test]
fn a_round_that_reaches_the_zeros_ends_the_step_and_the_next_one_leaps() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    step.bytes = 4 * PIECE;
    growing(&mut area, &mut step, BLOCK);
    let round_end = BLOCK + PIECE / 2;
    assert!(!area.may_write(round_end));
    assert!(area.give_up_ahead(), "the piece is to be taken back");
    assert!(!area.give_up_ahead(), "once");
    area.end_piece(false);
    assert!(area.may_write(round_end));
    assert_eq!(area.next_ahead(round_end, 0), None, "nothing was written");
    assert!(!area.is_growing());
    assert_eq!(area.flush_kind(RULES, round_end), FlushKind::File);
    area.note_flushed(round_end);
    // The log fills the gap while the zeros behind it are written.
    let bytes = 8 * PIECE;
    assert_eq!(
        Some(growing(&mut area, &mut step, round_end)),
        piece(round_end + bytes, PIECE)
    );
    assert!(area.may_write(round_end + bytes));
    assert!(!area.start_ahead(at_ms(0), &mut step, round_end, LIMIT, 100));
}

#[test]
fn zeros_behind_a_gap_count_once_the_gap_is_filled_and_flushed() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    area.leaps = true;
    growing(&mut area, &mut step, BLOCK);
    area.end_piece(true);
    assert_eq!(area.next_ahead(BLOCK, BLOCK), Some(NextAhead::Flush));
    area.end_flush();
    let (gap_end, end) = (BLOCK + LEAST, BLOCK + 2 * LEAST);
    assert_eq!(area.flush_kind(RULES, BLOCK), FlushKind::Device);
    for write_end in [2 * BLOCK, gap_end, end] {
        assert_eq!(area.flush_kind(RULES, write_end), FlushKind::File);
    }
    area.note_flushed(gap_end - BLOCK);
    assert_eq!(area.flush_kind(RULES, gap_end), FlushKind::File);
    area.note_flushed(gap_end);
    assert_eq!(area.flush_kind(RULES, end), FlushKind::Device);
    assert_eq!(area.flush_kind(RULES, end + BLOCK), FlushKind::File);
}

#[test]
fn a_flush_of_zeros_does_not_cover_a_round_that_is_being_written() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    // A round up to here is under way while the zeros behind it are written and flushed.
    let round_end = 3 * BLOCK;
    growing(&mut area, &mut step, round_end);
    area.end_piece(true);
    assert_eq!(area.next_ahead(round_end, 0), Some(NextAhead::Flush));
    area.end_flush();
    assert_eq!(area.flush_kind(RULES, round_end), FlushKind::File);
    area.note_flushed(round_end);
    assert_eq!(area.flush_kind(RULES, round_end + LEAST), FlushKind::Device);
}

#[test]
fn what_was_written_before_the_log_came_is_kept() {
    let (mut area, mut step) = (Area::default(), AheadStep::default());
    step.bytes = 4 * PIECE;
    growing(&mut area, &mut step, 0);
    assert!(area.give_up_ahead());
    area.end_piece(true);
    let round_end = 2 * BLOCK;
    assert_eq!(
        area.next_ahead(round_end, 0),
        Some(NextAhead::Flush),
        "no further piece, but the rest of the first is worth it"
    );
    area.end_flush();
    assert_eq!(area.flush_kind(RULES, PIECE), FlushKind::Device);
    let mut area = Area::default();
    growing(&mut area, &mut step, 0);
    area.end_piece(true);
    area.abandon_ahead();
    assert!(!area.is_growing());
    assert_eq!(area.flush_kind(RULES, BLOCK), FlushKind::File);
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
    assert!(!area.start_ahead(at_ms(0), &mut step, 0, LIMIT, bulk));
    assert!(!area.start_ahead(at_ms(0), &mut step, 8192, 8192, 1));
    assert!(area.start_ahead(at_ms(0), &mut step, 4096, 8192, 1));
    assert_eq!(area.next_ahead(4096, 4096), piece(4096, 4096));
    area.refuse_ahead();
    assert!(!area.start_ahead(at_ms(0), &mut step, 4096, LIMIT, 1));
    assert_eq!(area.flush_kind(RULES, 8192), FlushKind::File);
}

/// Blocks of a file as a journaling file system sees them.
#[derive(Default)]
struct Blocks {
    /// Written by completed writes, and not flushed.
    written: Vec<u64>,
    /// Written and durable with their metadata.
    durable: std::collections::BTreeSet<u64>,
    /// What a round under way, if there is one, writes.
    round: Option<std::ops::Range<u64>>,
}

impl Blocks {
    fn flush(&mut self) {
        self.durable.extend(self.written.drain(..));
    }
}

proptest! {
    /// Whatever happens, no round is allowed where a piece is under way, and a round gets the
    /// device flush only if every block of it was written and flushed with the file before.
    #[test]
    fn a_device_flush_only_covers_what_is_ready(
        first_bytes in 1u64..40,
        steps in proptest::collection::vec((0u8..6, 1u64..90), 1..300),
    ) {
        let (mut area, mut step) = (Area::default(), AheadStep::default());
        step.bytes = first_bytes * 4 * BLOCK;
        let mut blocks = Blocks::default();
        let (mut reach, mut started, mut asked) = (0, 0, None);
        for (place, (what, count)) in (0u64..).zip(steps) {
            match what {
                0 | 1 if blocks.round.is_none() => {
                    let end = reach + count * BLOCK;
                    if area.may_write(end) {
                        if let Some(NextAhead::Piece { position, .. }) = asked {
                            prop_assert!(end <= position);
                        }
                        blocks.round = Some(reach / BLOCK..end / BLOCK);
                        reach = end;
                    } else {
                        area.give_up_ahead();
                    }
                }
                2 => if let Some(round) = blocks.round.take() {
                    let end = round.end * BLOCK;
                    let is_device = area.flush_kind(RULES, end) == FlushKind::Device;
                    let is_ready = round.clone().all(|block| blocks.durable.contains(&block));
                    prop_assert!(is_ready || !is_device, "{:?}", round);
                    blocks.written.extend(round);
                    if !is_device {
                        blocks.flush();
                    }
                    area.note_flushed(end);
                },
                3 => {
                    let now = at_ms(place * 300);
                    started += u32::from(area.start_ahead(now, &mut step, reach, LIMIT, 1));
                }
                _ => match asked.take() {
                    Some(NextAhead::Piece { position, len_bytes }) => {
                        let was_written = count % 8 != 0;
                        if was_written {
                            blocks.written.extend(
                                position / BLOCK..(position + len_bytes) / BLOCK,
                            );
                        }
                        area.end_piece(was_written);
                    }
                    Some(NextAhead::Flush) => {
                        blocks.flush();
                        area.end_flush();
                    }
                    None => {}
                },
            }
            if asked.is_none() {
                let flushable = if blocks.round.is_some() { 0 } else { reach };
                asked = area.next_ahead(reach, flushable);
            }
        }
        prop_assert!(started < 300);
    }
}
