// SPDX-License-Identifier: Apache-2.0
//! Tests of meters: their bound, and that shards that tell each other know the same.

use super::*;
use proptest::prelude::*;

const WINDOWS: QuotaWindows = QuotaWindows {
    count: 11,
    length_us: 1_000_000,
};

const START: MonotonicUs = 50_000_000;

fn key(user: &str) -> MeterKey {
    MeterKey {
        kind: QuotaKind::ProducerByteRate,
        scope: Scope {
            user: Some(user.into()),
            client_id: None,
        },
    }
}

/// A thousand a second.
const LIMIT: u64 = 1_000_000_000;

#[test]
fn a_lone_shard_tells_nobody() {
    let mut meters = Meters::new(WINDOWS, false);
    let id = meters.find(START, key("a"), LIMIT);
    assert!(!meters.record(START, id, 1_000_000));
    assert!(!meters.has_untold());
    assert_eq!(meters.wait_us(START, id), 990_000_000);
}

#[test]
fn a_hundredth_of_the_allowance_is_told_at_once_and_nothing_twice() {
    let mut meters = Meters::new(WINDOWS, true);
    let id = meters.find(START, key("a"), LIMIT);
    assert_eq!(meters.allowance(id), 10_000);
    assert!(!meters.record(START, id, 99));
    assert!(meters.record(START, id, 1), "100 of 10,000");
    let told = meters.take_untold();
    let expected = MeterUse {
        key: key("a"),
        amount: 100,
    };
    assert_eq!(told, [expected]);
    assert_eq!(meters.take_untold(), []);
    assert!(!meters.record(START, id, 5), "counted anew");
}

#[test]
fn a_helping_is_what_there_is_room_for_but_worth_waiting_for() {
    let mut meters = Meters::new(WINDOWS, false);
    let id = meters.find(START, key("a"), LIMIT);
    assert_eq!(meters.helping(START, id), 10_000, "all whole windows");
    meters.record(START, id, 4_000);
    assert_eq!(meters.helping(START, id), 6_000);
    meters.record(START, id, 5_900);
    assert_eq!(meters.helping(START, id), 625, "a sixteenth");
}

#[test]
fn what_others_tell_counts_before_a_client_comes() {
    let mut meters = Meters::new(WINDOWS, true);
    let told = MeterUse {
        key: key("a"),
        amount: 12_000,
    };
    meters.handle_told(START, &[told]);
    assert!(!meters.has_untold(), "it is not told further");
    let id = meters.find(START, key("a"), LIMIT);
    assert_eq!(meters.wait_us(START, id), 2_000_000);
}

#[test]
fn the_idle_are_forgotten_first_and_then_the_oldest() {
    let mut meters = Meters::new(WINDOWS, false);
    for number in 0..QUOTA_METERS_PER_SHARD_MAX {
        let now = START + u64::try_from(number).expect("few");
        let id = meters.find(now, key(&number.to_string()), LIMIT);
        // All but a hundred use something.
        if number >= 100 {
            meters.record(now, id, 1);
        }
    }
    let generation = meters.generation();
    let later = START + 1_000_000;
    meters.find(later, key("new"), LIMIT);
    assert_eq!(meters.len(), QUOTA_METERS_PER_SHARD_MAX - 99);
    assert_ne!(meters.generation(), generation);
    for number in 0..99 {
        let id = meters.find(later, key(&format!("n{number}")), LIMIT);
        meters.record(later, id, 1);
    }
    let new = meters.find(later, key("new"), LIMIT);
    meters.record(later, new, 1);
    assert_eq!(meters.len(), QUOTA_METERS_PER_SHARD_MAX);
    // Nobody is idle: a tenth goes, the oldest.
    meters.find(later, key("another"), LIMIT);
    let tenth = QUOTA_METERS_PER_SHARD_MAX / 10;
    assert_eq!(meters.len(), QUOTA_METERS_PER_SHARD_MAX - tenth + 1);
    let new = meters.find(later, key("new"), LIMIT);
    assert_eq!(meters.total(later, new), 1);
    let old = meters.find(later, key("100"), LIMIT);
    assert_eq!(meters.total(later, old), 0);
}

proptest! {
    #[test]
    fn shards_that_tell_each_other_know_the_same(
        uses in proptest::collection::vec((0usize..3, 0u8..4, 1u64..5_000, 0u64..40_000), 1..200),
    ) {
        let mut shards: Vec<Meters> = (0..3).map(|_| Meters::new(WINDOWS, true)).collect();
        let mut now = START;
        for (shard, user, amount, pause) in uses {
            now += pause;
            let key = key(&user.to_string());
            let id = shards[shard].find(now, key.clone(), LIMIT);
            let is_due = shards[shard].record(now, id, amount);
            // What the others do not know is less than a hundredth and this use.
            let known: u64 = {
                let other = (shard + 1) % 3;
                let id = shards[other].find(now, key.clone(), LIMIT);
                shards[other].total(now, id)
            };
            let own = shards[shard].total(now, id);
            prop_assert!(own.saturating_sub(known) < 3 * 100 + amount);
            if is_due {
                let told = shards[shard].take_untold();
                for other in (0..3).filter(|other| *other != shard) {
                    shards[other].handle_told(now, &told);
                }
            }
        }
        for shard in 0..3 {
            let told = shards[shard].take_untold();
            for other in (0..3).filter(|other| *other != shard) {
                shards[other].handle_told(now, &told);
            }
        }
        for user in 0..4u8 {
            let mut total = |shard: usize| {
                let id = shards[shard].find(now, key(&user.to_string()), LIMIT);
                shards[shard].total(now, id)
            };
            let first = total(0);
            prop_assert_eq!((total(1), total(2)), (first, first));
        }
    }
}
