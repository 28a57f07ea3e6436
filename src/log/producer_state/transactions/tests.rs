// SPDX-License-Identifier: Apache-2.0
//! Tests of the transactions of a partition. Owns: nothing. Invariants: none. Runs on: tests.
//! Bounded by: small cases.

use super::*;
use crate::log::producer_snapshot;
use crate::log::producer_state::SequenceCheck;
use crate::wire::record::{BatchBuilder, Compression};
use proptest::prelude::*;

const ABORT: EndMarker = EndMarker {
    is_commit: false,
    coordinator_epoch: 3,
};
const COMMIT: EndMarker = EndMarker {
    is_commit: true,
    coordinator_epoch: 3,
};

fn data(id: i64, epoch: i16, sequence: i32, base: Offset) -> BatchHeader {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(id, epoch, sequence).transactional();
    builder.offsets(base, 0);
    builder.append(0, None, Some(b"v"), &[]);
    BatchHeader::parse(&builder.build()).expect("a built batch parses")
}

fn end(id: i64, epoch: i16, marker: EndMarker, base: Offset) -> BatchHeader {
    let header = BatchHeader::parse(&marker.batch(id, epoch, 0)).expect("a built batch parses");
    BatchHeader {
        base_offset: base,
        ..header
    }
}

fn append(state: &mut ProducerState, header: &BatchHeader, durable: Offset) {
    state.remember(header.producer_id, RememberedBatch::of(header), durable);
    state.note_transactional(header);
}

#[test]
fn a_transaction_is_open_from_its_first_batch_to_its_marker() {
    let mut state = ProducerState::new();
    append(&mut state, &data(7, 0, 0, 10), 0);
    append(&mut state, &data(7, 0, 1, 11), 0);
    append(&mut state, &data(8, 0, 0, 12), 0);
    assert_eq!(
        (state.open_since(7), state.open_since(8)),
        (Some(10), Some(12))
    );
    assert_eq!(
        (state.first_unstable(13), state.open_count()),
        (Some(10), 2)
    );
    let aborted = state.end_transaction(&end(7, 0, ABORT, 13), &ABORT, 14);
    let aborted = aborted.expect("it was open");
    assert_eq!((aborted.first_offset, aborted.last_offset), (10, 13));
    assert_eq!(aborted.last_stable_offset, 12, "the other one is open");
    assert_eq!(state.first_unstable(14), Some(12));
    assert_eq!(
        state.end_transaction(&end(8, 0, COMMIT, 14), &COMMIT, 15),
        None
    );
    assert_eq!(state.first_unstable(15), None);
    // None is open: nothing was aborted.
    assert_eq!(
        state.end_transaction(&end(8, 0, ABORT, 15), &ABORT, 16),
        None
    );
}

#[test]
fn it_counts_until_its_marker_is_committed() {
    let mut state = ProducerState::new();
    append(&mut state, &data(7, 0, 0, 10), 0);
    append(&mut state, &data(8, 0, 0, 11), 0);
    state.end_transaction(&end(8, 0, COMMIT, 12), &COMMIT, 10);
    state.end_transaction(&end(7, 0, COMMIT, 13), &COMMIT, 10);
    assert_eq!(state.first_unstable(12), Some(10));
    assert_eq!(state.first_unstable(13), Some(10));
    state.settle_markers(13);
    assert_eq!(state.first_unstable(13), Some(10));
    assert_eq!(state.first_unstable(14), None);
}

#[test]
fn a_lost_marker_leaves_its_transaction_open() {
    let mut state = ProducerState::new();
    append(&mut state, &data(7, 0, 0, 10), 11);
    let before = state.clone();
    state.end_transaction(&end(7, 1, ABORT, 11), &ABORT, 11);
    append(&mut state, &data(7, 1, 0, 12), 11);
    state.end_transaction(&end(7, 2, COMMIT, 13), &COMMIT, 11);
    append(&mut state, &data(9, 0, 0, 14), 11);
    state.truncate_from_end(14);
    assert_eq!(state.open_count(), 0);
    state.truncate_from_end(12);
    assert_eq!(
        (state.open_since(7), state.newest(7).map(|b| b.last_offset)),
        (None, Some(10))
    );
    state.truncate_from_end(11);
    assert_eq!(state.open_since(7), Some(10));
    assert_eq!(
        state.rows().collect::<Vec<_>>(),
        before.rows().collect::<Vec<_>>()
    );
    assert_eq!(state.first_unstable(11), Some(10));
}

#[test]
fn a_marker_of_a_newer_epoch_fences_and_begins_the_sequence_anew() {
    let mut state = ProducerState::new();
    append(&mut state, &data(7, 4, 0, 10), 0);
    state.end_transaction(&end(7, 4, COMMIT, 11), &COMMIT, 20);
    let check = |state: &ProducerState, header| state.checker().check(&header);
    // The older flow: the epoch stays, and so does the sequence.
    assert_eq!(check(&state, data(7, 4, 1, 12)), SequenceCheck::InOrder);
    assert_eq!(check(&state, data(7, 4, 2, 12)), SequenceCheck::OutOfOrder);
    // KIP-890: the marker carries the next epoch.
    state.end_transaction(&end(7, 5, COMMIT, 12), &COMMIT, 20);
    assert_eq!(check(&state, data(7, 4, 1, 13)), SequenceCheck::Fenced);
    assert_eq!(
        check(&state, data(7, 4, 0, 13)),
        SequenceCheck::Fenced,
        "a late repeat"
    );
    assert_eq!(check(&state, data(7, 5, 1, 13)), SequenceCheck::OutOfOrder);
    assert_eq!(check(&state, data(7, 5, 0, 13)), SequenceCheck::InOrder);
    let marker = |epoch, coordinator_epoch| {
        let marker = EndMarker {
            coordinator_epoch,
            ..ABORT
        };
        state.check_marker(&end(7, epoch, marker, 13), &marker)
    };
    assert_eq!(marker(5, 3), Ok(()), "written again");
    assert_eq!(marker(4, 3), Err(MarkerRefusal::ProducerFenced));
    assert_eq!(marker(6, 2), Err(MarkerRefusal::CoordinatorFenced));
    let summary = state.summaries().next().expect("one producer");
    assert_eq!((summary.producer_epoch, summary.last_sequence), (5, -1));
    assert_eq!((summary.coordinator_epoch, summary.open_since), (3, -1));
}

#[test]
fn who_is_idle_for_long_is_forgotten_but_not_with_a_transaction_open() {
    let mut state = ProducerState::new();
    append(&mut state, &data(7, 0, 0, 10), 0);
    append(&mut state, &data(8, 0, 0, 11), 0);
    state.end_transaction(&end(8, 0, COMMIT, 12), &COMMIT, 20);
    state.note_heard(7, 1000);
    state.note_heard(8, 1000);
    state.expire(2000, 1000);
    assert_eq!(state.len(), 2, "not longer than that");
    state.expire(2001, 1000);
    assert_eq!((state.len(), state.newest(8)), (1, None));
    // One that was read from the disk counts from the first look on.
    state.remember(5, RememberedBatch::of(&data(5, 0, 0, 20)), 30);
    state.expire(900_000, 1000);
    assert!(state.newest(5).is_some());
    state.expire(902_000, 1000);
    assert_eq!(state.newest(5), None);
}

#[derive(Clone, Debug)]
enum Step {
    Data(i64),
    End(i64, bool),
    Committed,
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4i64).prop_map(Step::Data),
        4 => (0..4i64, any::<bool>()).prop_map(|(id, commit)| Step::End(id, commit)),
        1 => Just(Step::Committed),
        1 => Just(Step::Lost),
    ]
}

/// Applies one record of the log as a recovery does.
fn replay(state: &mut ProducerState, log: &[BatchHeader], markers: &[Option<EndMarker>]) {
    for (header, marker) in log.iter().zip(markers) {
        match marker {
            Some(marker) => drop(state.end_transaction(header, marker, Offset::MAX)),
            None => append(state, header, Offset::MAX),
        }
    }
}

proptest! {
    /// Whatever is appended, committed and lost: the state is that of the log that is left, and so
    /// is the one that goes through a snapshot.
    #[test]
    fn the_state_is_that_of_the_log(steps in proptest::collection::vec(step(), 1..80)) {
        let mut state = ProducerState::new();
        let (mut log, mut markers) = (Vec::new(), Vec::new());
        let (mut sequences, mut durable) = ([0i32; 4], 0);
        for step in steps {
            let at = i64::try_from(log.len()).expect("small");
            match step {
                Step::Data(id) => {
                    let place = usize::try_from(id).expect("small");
                    let header = data(id, 0, sequences[place], at);
                    sequences[place] += 1;
                    append(&mut state, &header, durable);
                    log.push(header);
                    markers.push(None);
                }
                Step::End(id, is_commit) => {
                    let marker = EndMarker { is_commit, coordinator_epoch: 1 };
                    let header = end(id, 0, marker, at);
                    state.end_transaction(&header, &marker, durable);
                    log.push(header);
                    markers.push(Some(marker));
                }
                Step::Committed => {
                    durable = at;
                    state.settle_markers(at);
                    prop_assert!(state.ended.is_empty());
                }
                Step::Lost => {
                    state.truncate_from_end(durable);
                    log.truncate(usize::try_from(durable).expect("small"));
                    markers.truncate(log.len());
                    for header in &log {
                        sequences[usize::try_from(header.producer_id).expect("small")] =
                            header.last_sequence() + 1;
                    }
                }
            }
            let mut other = ProducerState::new();
            replay(&mut other, &log, &markers);
            prop_assert_eq!(&state.open, &other.open);
            let ours: Vec<_> = state.summaries().collect();
            let theirs: Vec<_> = other.summaries().collect();
            prop_assert_eq!(ours, theirs);
            let end = i64::try_from(log.len()).expect("small");
            let restored = producer_snapshot::decode(&producer_snapshot::encode(&state), end);
            let restored = restored.expect("a good snapshot");
            prop_assert_eq!(&state.open, &restored.open);
            prop_assert_eq!(state.len(), restored.len());
            let unstable = state.first_unstable(durable);
            let open = state.open.first().map(|(offset, _)| *offset);
            prop_assert!(unstable.is_none_or(|offset| open.is_none_or(|open| offset <= open)));
        }
    }
}
