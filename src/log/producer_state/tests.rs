// SPDX-License-Identifier: Apache-2.0
//! Tests of the producer state. Owns: nothing. Invariants: none. Runs on: tests. Bounded by: small
//! cases.

use super::*;
use crate::wire::record::{BatchBuilder, Compression};
use proptest::prelude::*;

fn header(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(id, epoch, sequence);
    for _ in 0..count {
        builder.append(0, None, Some(b"v"), &[]);
    }
    BatchHeader::parse(&builder.build()).expect("a built batch parses")
}

fn append(state: &mut ProducerState, header: &BatchHeader, base: Offset, durable: Offset) {
    let header = BatchHeader {
        base_offset: base,
        ..*header
    };
    state.remember(header.producer_id, RememberedBatch::of(&header), durable);
}

fn check(state: &ProducerState, header: &BatchHeader) -> SequenceCheck {
    state.checker().check(header)
}

#[test]
fn sequences_follow_one_another() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 0, 0, 3), 100, 0);
    assert_eq!(check(&state, &header(7, 0, 3, 1)), SequenceCheck::InOrder);
    assert_eq!(
        check(&state, &header(7, 0, 4, 1)),
        SequenceCheck::OutOfOrder
    );
    assert_eq!(
        check(&state, &header(7, 0, 2, 1)),
        SequenceCheck::OutOfOrder
    );
    assert_eq!(
        check(&state, &header(8, 0, 55, 1)),
        SequenceCheck::InOrder,
        "an unknown producer"
    );
}

#[test]
fn a_repeated_batch_answers_its_old_offsets() {
    let mut state = ProducerState::new();
    for place in 0..8 {
        append(
            &mut state,
            &header(7, 0, place * 2, 2),
            i64::from(place) * 2,
            i64::from(place) * 2,
        );
    }
    let SequenceCheck::Duplicate(batch) = check(&state, &header(7, 0, 6, 2)) else {
        panic!("the fifth batch from the end is remembered");
    };
    assert_eq!((batch.base_offset(), batch.last_offset), (6, 7));
    assert_eq!(
        check(&state, &header(7, 0, 6, 1)),
        SequenceCheck::OutOfOrder,
        "another length"
    );
    assert_eq!(
        check(&state, &header(7, 0, 0, 2)),
        SequenceCheck::OutOfOrder,
        "forgotten"
    );
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 1, 0, 1), 0, 0);
    assert_eq!(
        check(&state, &header(7, 2, 1, 1)),
        SequenceCheck::OutOfOrder
    );
    assert_eq!(check(&state, &header(7, 2, 0, 1)), SequenceCheck::InOrder);
    assert_eq!(check(&state, &header(7, 0, 1, 1)), SequenceCheck::Fenced);
    append(&mut state, &header(7, 2, 0, 1), 1, 1);
    assert_eq!(
        check(&state, &header(7, 1, 0, 1)),
        SequenceCheck::Fenced,
        "no repeat of an old epoch"
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 0, i32::MAX - 1, 2), 0, 0);
    assert_eq!(check(&state, &header(7, 0, 0, 1)), SequenceCheck::InOrder);
    append(&mut state, &header(7, 0, 0, 1), 2, 2);
    let inside = header(7, 0, i32::MAX, 3);
    assert_eq!(inside.last_sequence(), 1);
    assert!(matches!(
        check(&state, &header(7, 0, i32::MAX - 1, 2)),
        SequenceCheck::Duplicate(_)
    ));
}

#[test]
fn batches_of_one_append_are_checked_in_turn() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 0, 0, 1), 0, 0);
    let mut checker = state.checker();
    assert_eq!(checker.check(&header(7, 0, 1, 2)), SequenceCheck::InOrder);
    assert_eq!(checker.check(&header(7, 0, 3, 1)), SequenceCheck::InOrder);
    assert_eq!(
        checker.check(&header(7, 0, 3, 1)),
        SequenceCheck::OutOfOrder
    );
}

#[test]
fn losing_an_undurable_tail_keeps_the_sequence() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 0, 0, 1), 0, 0);
    for place in 1..20 {
        append(&mut state, &header(7, 0, place, 1), i64::from(place), 1);
    }
    append(&mut state, &header(9, 0, 0, 1), 20, 1);
    state.truncate_from_end(1);
    assert_eq!(state.len(), 1, "producer 9 had nothing durable");
    assert_eq!(check(&state, &header(7, 0, 1, 1)), SequenceCheck::InOrder);
    assert!(matches!(
        check(&state, &header(7, 0, 0, 1)),
        SequenceCheck::Duplicate(_)
    ));
}

#[test]
fn the_idlest_producer_goes_first() {
    let mut state = ProducerState::new();
    let batch = RememberedBatch {
        producer_epoch: 0,
        last_sequence: 0,
        last_offset: 0,
        offset_delta: 0,
        timestamp: 0,
    };
    let count = i64::try_from(PRODUCERS_PER_PARTITION_MAX).expect("a small bound");
    for id in 0..=count {
        state.remember(
            id,
            RememberedBatch {
                last_offset: id,
                ..batch
            },
            id,
        );
    }
    assert_eq!(state.len(), PRODUCERS_PER_PARTITION_MAX);
    assert_eq!(
        check(&state, &header(0, 0, 9, 1)),
        SequenceCheck::InOrder,
        "forgotten"
    );
    assert_eq!(
        check(&state, &header(1, 0, 9, 1)),
        SequenceCheck::OutOfOrder,
        "remembered"
    );
}

proptest! {
    /// Against a plain model: all batches for ever, the newest five count.
    #[test]
    fn any_history_answers_as_the_model(
        steps in proptest::collection::vec((0..3i64, 0..4i32, 1..4i32, any::<bool>()), 1..60),
    ) {
        let mut state = ProducerState::new();
        let mut model: Vec<(i64, i32, i32, Offset)> = Vec::new();
        let mut offset = 0;
        let mut durable = 0;
        for (id, back, count, flushed) in steps {
            let own: Vec<_> = model.iter().filter(|batch| batch.0 == id).copied().collect();
            if back > 0 && own.len() >= usize::try_from(back).expect("small") {
                let back = usize::try_from(back).expect("small");
                let (_, sequence, count, base) = own[own.len() - back];
                let repeated = header(id, 0, sequence, count);
                let SequenceCheck::Duplicate(found) = check(&state, &repeated) else {
                    return Err(TestCaseError::fail("a remembered batch was not recognised"));
                };
                prop_assert_eq!(found.base_offset(), base);
                continue;
            }
            let sequence = own.last().map_or(0, |last| last.1 + last.2);
            let next = header(id, 0, sequence, count);
            prop_assert_eq!(check(&state, &next), SequenceCheck::InOrder);
            append(&mut state, &next, offset, durable);
            model.push((id, sequence, count, offset));
            offset += i64::from(count);
            if flushed {
                durable = offset;
            }
        }
        state.truncate_from_end(durable);
        for id in 0..3 {
            let kept = model.iter().rfind(|batch| batch.0 == id && batch.3 < durable);
            if let Some((_, sequence, count, _)) = kept {
                let next = header(id, 0, sequence + count, 1);
                prop_assert_eq!(check(&state, &next), SequenceCheck::InOrder);
                if model.iter().any(|batch| batch.0 == id) {
                    let gap = header(id, 0, sequence + count + 1, 1);
                    prop_assert_eq!(check(&state, &gap), SequenceCheck::OutOfOrder);
                }
            }
        }
    }
}

#[test]
fn what_was_sent_behind_lost_batches_is_no_beginning() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 3, 5, 2), 10, 0);
    append(&mut state, &header(7, 3, 7, 2), 12, 0);
    append(&mut state, &header(8, 0, 0, 1), 14, 0);
    state.truncate_from_end(10);
    assert!(state.is_empty());
    assert_eq!(
        check(&state, &header(7, 3, 9, 1)),
        SequenceCheck::OutOfOrder,
        "it was sent before the loss was known"
    );
    assert_eq!(check(&state, &header(7, 2, 5, 2)), SequenceCheck::Fenced);
    assert_eq!(check(&state, &header(7, 4, 0, 1)), SequenceCheck::InOrder);
    assert_eq!(
        check(&state, &header(7, 4, 1, 1)),
        SequenceCheck::OutOfOrder
    );
    assert_eq!(check(&state, &header(7, 3, 5, 2)), SequenceCheck::InOrder);
    append(&mut state, &header(7, 3, 5, 2), 10, 0);
    assert_eq!(check(&state, &header(7, 3, 7, 2)), SequenceCheck::InOrder);
    assert_eq!(check(&state, &header(9, 0, 4, 1)), SequenceCheck::InOrder);
}

#[test]
fn the_first_lost_sequence_is_right_across_the_end_of_the_numbers() {
    let mut state = ProducerState::new();
    append(&mut state, &header(7, 0, i32::MAX - 1, 4), 0, 0);
    state.truncate_from_end(0);
    assert_eq!(
        check(&state, &header(7, 0, i32::MAX - 1, 4)),
        SequenceCheck::InOrder
    );
    assert_eq!(
        check(&state, &header(7, 0, 2, 1)),
        SequenceCheck::OutOfOrder
    );
}
