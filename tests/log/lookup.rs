// SPDX-License-Identifier: Apache-2.0
//! Look-ups by timestamp, against a plain search through everything.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use furlong::log::{LogConfig, TimestampedOffset};
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchBuilder, Compression};
use proptest::prelude::*;

use crate::host::{Host, START_MS, config};

/// Appends batches of these timestamps; returns them by offset.
fn fill(host: &mut Host, batches: &[Vec<i64>], compression: Compression) -> Vec<i64> {
    for timestamps in batches {
        let mut builder = BatchBuilder::new(compression);
        for timestamp in timestamps {
            builder.append(START_MS + timestamp, None, Some(&[3; 60]), &[]);
        }
        host.append(&builder.build()).expect("a good batch");
        if host.disk.dice.one_in(2) {
            host.settle();
        }
    }
    host.settle();
    batches.concat()
}

fn expected(all: &[i64], timestamp: i64, bound: Offset) -> Option<(Offset, i64)> {
    let bound = usize::try_from(bound).expect("not negative").min(all.len());
    let place = all.iter().position(|found| *found >= timestamp)?;
    (place < bound).then(|| (Offset::try_from(place).expect("small"), all[place]))
}

fn found(result: Option<TimestampedOffset>) -> Option<(Offset, i64)> {
    result.map(|found| (found.offset, found.timestamp - START_MS))
}

#[test]
fn an_empty_log_has_no_timestamps() {
    let mut host = Host::new(1, config());
    assert_eq!(host.lookup(Some(0), Offset::MAX), Ok(None));
    assert_eq!(host.lookup(None, Offset::MAX), Ok(None));
}

#[test]
fn the_newest_record_is_found_across_segments_and_restarts() {
    let small = LogConfig {
        segment_bytes: 700,
        ..config()
    };
    let mut host = Host::new(1, small.clone());
    let batches: Vec<Vec<i64>> = (0..20).map(|place| vec![place * 7 % 90, place]).collect();
    let all = fill(&mut host, &batches, Compression::Lz4);
    let newest = *all.iter().max().expect("not empty");
    let place = all
        .iter()
        .position(|timestamp| *timestamp == newest)
        .expect("there");
    let newest = Some((Offset::try_from(place).expect("small"), newest));
    assert_eq!(found(host.lookup(None, Offset::MAX).expect("good")), newest);
    host.stop();
    host.reopen(small);
    let answer = host.lookup(None, Offset::MAX).expect("good");
    assert_eq!(found(answer), newest);
    assert_eq!(answer.expect("found").leader_epoch, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_timestamps_are_found_as_by_a_plain_search(
        seed in any::<u64>(),
        batches in proptest::collection::vec(proptest::collection::vec(0..100i64, 1..6), 1..30),
        packed in any::<bool>(),
    ) {
        let small = LogConfig { segment_bytes: 1500, index_interval_bytes: 200, ..config() };
        let mut host = Host::new(seed, small.clone());
        let codec = if packed { Compression::Zstd } else { Compression::None };
        let all = fill(&mut host, &batches, codec);
        for round in 0..2 {
            for timestamp in [0, 1, 20, 50, 75, 98, 99, 100] {
                for bound in [0, 5, Offset::MAX] {
                    let answer = host.lookup(Some(START_MS + timestamp), bound).expect("good");
                    let wanted = expected(&all, timestamp, bound);
                    prop_assert_eq!(found(answer), wanted, "{} {}", timestamp, bound);
                }
            }
            if round == 0 {
                host.disk.crash();
                host.reopen(small.clone());
            }
        }
    }
}
