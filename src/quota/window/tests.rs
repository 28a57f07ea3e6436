// SPDX-License-Identifier: Apache-2.0
//! Tests of rates: the arithmetic by examples, and against a model that keeps every use.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;

const KAFKA: QuotaWindows = QuotaWindows {
    count: 11,
    length_us: SECOND,
};

/// So many a second.
fn rate(per_second: u64) -> u64 {
    per_second * 1_000_000
}

#[test]
fn a_newcomer_may_use_ten_windows_and_waits_for_the_rest() {
    let mut window = Window::default();
    let start = 100 * SECOND;
    window.record(KAFKA, start, 10_000);
    assert_eq!(window.wait_us(KAFKA, start, rate(1000)), 0);
    // 2,500 more take two seconds and a half.
    window.record(KAFKA, start, 2_500);
    assert_eq!(window.wait_us(KAFKA, start, rate(1000)), 2_500_000);
    // Time within the window counts.
    assert_eq!(
        window.wait_us(KAFKA, start + 400_000, rate(1000)),
        2_100_000
    );
    assert_eq!(allowance(KAFKA, rate(1000)), 10_000);
}

#[test]
fn a_reader_waits_for_the_oldest_use_to_be_forgotten_and_no_longer() {
    let mut window = Window::default();
    let start = 100 * SECOND;
    let wait = |window: &mut Window, at, amount| window.wait_for_us(KAFKA, at, rate(1000), amount);
    assert_eq!(
        wait(&mut window, start, u64::MAX),
        0,
        "alone it always passes"
    );
    window.record(KAFKA, start, 10_000);
    // By pace alone this would take ten seconds more; but in eleven the first use is forgotten.
    assert_eq!(wait(&mut window, start + 500_000, 10_000), 10_500_000);
    assert_eq!(wait(&mut window, start + 500_000, 500), 0);
    assert_eq!(wait(&mut window, start + 500_000, 700), 200_000);
    assert_eq!(wait(&mut window, start + 11 * SECOND, 10_000), 0);
}

#[test]
fn room_grows_with_time_and_comes_back_with_what_is_forgotten() {
    let mut window = Window::default();
    let start = 100 * SECOND;
    let room = |window: &mut Window, at| window.room(KAFKA, at, rate(1000));
    assert_eq!(room(&mut window, start), 10_000);
    window.record(KAFKA, start, 9_900);
    assert_eq!(room(&mut window, start), 100);
    assert_eq!(room(&mut window, start + 250_000), 350);
    window.record(KAFKA, start + 250_000, 5_000);
    assert_eq!(room(&mut window, start + 10 * SECOND), 0);
    assert_eq!(room(&mut window, start + 11 * SECOND), 10_000);
}

#[test]
fn what_is_older_than_all_windows_is_forgotten() {
    let mut window = Window::default();
    window.record(KAFKA, 5 * SECOND, 7);
    window.record(KAFKA, 6 * SECOND, 1);
    assert_eq!(window.total(KAFKA, 15 * SECOND), 8);
    assert_eq!(window.total(KAFKA, 16 * SECOND), 1);
    assert_eq!(window.total(KAFKA, 17 * SECOND), 0);
    window.record(KAFKA, 1_000 * SECOND, 3);
    assert_eq!(window.total(KAFKA, 1_000 * SECOND), 3);
}

#[test]
fn extreme_numbers_give_long_waits_and_no_panic() {
    let mut window = Window::default();
    window.record(KAFKA, u64::MAX, u64::MAX);
    window.record(KAFKA, u64::MAX, u64::MAX);
    assert_eq!(window.wait_us(KAFKA, u64::MAX, 1), u64::MAX);
    // The largest use takes a million seconds at the largest rate.
    let wait = window.wait_us(KAFKA, u64::MAX, u64::MAX);
    assert!(
        (999_989_000_000..1_000_000_000_000).contains(&wait),
        "{wait}"
    );
    assert_eq!(allowance(KAFKA, u64::MAX), 184_467_440_737_095);
}

/// What one waits at a later moment.
fn later_wait(window: &Window, windows: QuotaWindows, at: u64, limit: u64, amount: u64) -> u64 {
    window.clone().wait_for_us(windows, at, limit, amount)
}

proptest! {
    #[test]
    fn windows_hold_what_a_list_of_all_uses_holds(
        count in 1usize..13,
        length_us in 1u64..5_000,
        uses in proptest::collection::vec((0u64..3_000, 0u64..1_000), 1..200),
        limit in 1u64..10_000_000_000,
    ) {
        let windows = QuotaWindows { count, length_us };
        let (mut window, mut all, mut now) = (Window::default(), Vec::new(), 0);
        for (pause, amount) in uses {
            now += pause;
            window.record(windows, now, amount);
            all.push((now / length_us, amount));
            let first = (now / length_us + 1).saturating_sub(u64::try_from(count).unwrap());
            let held = all.iter().filter(|(number, _)| *number >= first);
            let total: u64 = held.map(|(_, amount)| amount).sum();
            prop_assert_eq!(window.total(windows, now), total);
            // The wait is what is missing of the time that it takes at an even pace.
            let wait = u128::from(window.wait_us(windows, now, limit));
            let paced = (u128::from(total) * MILLION_MILLIONS).div_ceil(u128::from(limit));
            let elapsed = u128::from(elapsed_us(windows, now));
            prop_assert!(elapsed >= u128::from(length_us));
            prop_assert_eq!(wait, paced.saturating_sub(elapsed));
            // There is room for so much and for no more, where anything is counted.
            let room = window.room(windows, now, limit);
            prop_assert_eq!(later_wait(&window, windows, now, limit, room) > 0 && room > 0, false);
            if total > 0 {
                prop_assert!(later_wait(&window, windows, now, limit, room + 1) > 0);
            }
            // Who waits to use as much again may do so then, and might not have before.
            let wait_for = window.wait_for_us(windows, now, limit, amount);
            prop_assert_eq!(later_wait(&window, windows, now + wait_for, limit, amount), 0);
            if wait_for > 0 {
                let early = now + wait_for - 1;
                prop_assert!(later_wait(&window, windows, early, limit, amount) > 0);
            }
        }
    }
}
