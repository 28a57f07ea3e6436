// SPDX-License-Identifier: Apache-2.0
//! Tests of what compaction knows of transactions.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use super::*;
use crate::log::aborted::AbortedTransaction;
use crate::wire::record::{BatchBuilder, Compression};

const RETENTION_MS: u64 = 1000;

fn header(batch: &Bytes) -> BatchHeader {
    BatchHeader::parse(batch).expect("a good batch")
}

fn marker(producer: i64, epoch: i16) -> Bytes {
    let marker = EndMarker {
        is_commit: false,
        coordinator_epoch: 4,
    };
    marker.batch(producer, epoch, 500)
}

fn sent(producer: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.offsets(40, 0).producer(producer, 0, 0);
    builder.transactional();
    builder.append(500, Some(b"k"), Some(b"v"), &[]);
    builder.build()
}

fn retained(
    walk: &mut TransactionWalk,
    batch: &Bytes,
    producers: &Producers,
    wall_ms: i64,
) -> (Retained, bool) {
    walk.retained(batch, &header(batch), producers, wall_ms, RETENTION_MS)
}

#[test]
fn a_marker_stays_while_a_batch_of_its_transaction_is_left() {
    let mut walk = TransactionWalk::default();
    let mut aborted = AbortedTransactions::default();
    assert!(!walk.take_batch(&header(&sent(7)), &aborted));
    aborted.push(AbortedTransaction {
        producer_id: 7,
        first_offset: 40,
        last_offset: 41,
        last_stable_offset: 42,
    });
    assert!(walk.take_batch(&header(&sent(7)), &aborted));
    assert!(!walk.take_batch(&header(&sent(8)), &aborted));
    let producers = Producers::default();
    let batch = marker(7, 0);
    let stays = (Retained::Whole, false);
    assert_eq!(retained(&mut walk, &batch, &producers, 9000), stays);
    // That was its transaction: the next marker has none.
    let (part, is_empty) = retained(&mut walk, &batch, &producers, 9000);
    assert!(is_empty && matches!(part, Retained::Part(_)));
}

#[test]
fn the_marker_of_nothing_gets_a_horizon_and_goes_behind_it() {
    let mut walk = TransactionWalk::default();
    let producers = Producers::default();
    let first = retained(&mut walk, &marker(7, 0), &producers, 9000);
    let (Retained::Part(bytes), true) = first else {
        panic!("{first:?}");
    };
    let marked = Bytes::from(bytes);
    let horizon = header(&marked);
    assert!(horizon.attributes.has_delete_horizon() && horizon.attributes.is_control());
    assert_eq!(horizon.base_timestamp, 10_000);
    assert_eq!(
        EndMarker::of_batch(&marked),
        EndMarker::of_batch(&marker(7, 0))
    );
    assert_eq!(
        retained(&mut walk, &marked, &producers, 9999),
        (Retained::Whole, true)
    );
    assert_eq!(
        retained(&mut walk, &marked, &producers, 10_000),
        (Retained::Nothing, true)
    );
    // It is all that is known of the producer.
    let only = Producers {
        batches: BTreeMap::new(),
        markers: BTreeMap::from([(7, 0)]),
    };
    assert_eq!(
        retained(&mut walk, &marked, &only, 10_000),
        (Retained::Whole, true)
    );
    let newer = Producers {
        batches: BTreeMap::new(),
        markers: BTreeMap::from([(7, 1)]),
    };
    assert_eq!(
        retained(&mut walk, &marked, &newer, 10_000),
        (Retained::Nothing, true)
    );
}

#[test]
fn other_control_batches_stay_and_empty_ones_go() {
    let mut walk = TransactionWalk::default();
    let producers = Producers::default();
    let mut other = BatchBuilder::new(Compression::None);
    other.producer(7, 0, -1).transactional().control();
    other.append(0, Some(&[0, 0, 0, 9]), Some(&[0; 6]), &[]);
    let other = other.build();
    assert_eq!(
        retained(&mut walk, &other, &producers, 9000),
        (Retained::Whole, false)
    );
    let empty = crate::wire::record::filter::without_records(&marker(7, 0));
    assert_eq!(
        retained(&mut walk, &Bytes::from(empty), &producers, 9000),
        (Retained::Nothing, false)
    );
}
