// SPDX-License-Identifier: Apache-2.0
//! The two clocks: `CLOCK_BOOTTIME` for decisions, the wall clock for records.
//!
//! Owns: nothing. Invariants: the monotonic reading never falls. Runs on: every core. Bounded by:
//! 64 bits.

use crate::model::time::{MonotonicUs, Now};

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    let boot = read(libc::CLOCK_BOOTTIME);
    let wall = read(libc::CLOCK_REALTIME);
    Now {
        monotonic_us: microseconds(&boot),
        wall_ms: i64::try_from(microseconds(&wall) / 1000).unwrap_or(i64::MAX),
    }
}

/// The moment now, from one that has just passed: reads the monotonic clock alone.
#[must_use]
pub fn now_after(before: &Now) -> Now {
    let monotonic_us = monotonic_us();
    let passed_ms = monotonic_us.saturating_sub(before.monotonic_us) / 1000;
    Now {
        monotonic_us,
        wall_ms: before.wall_ms.saturating_add_unsigned(passed_ms),
    }
}

/// Reads the monotonic clock alone.
#[must_use]
pub fn monotonic_us() -> MonotonicUs {
    microseconds(&read(libc::CLOCK_BOOTTIME))
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut value = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec to the address it is given, which is a local of that
    // type.
    let result = unsafe { libc::clock_gettime(clock, &raw mut value) };
    assert_eq!(result, 0, "every Linux since 2.6.39 has this clock");
    value
}

fn microseconds(value: &libc::timespec) -> u64 {
    let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(value.tv_nsec).unwrap_or(0);
    seconds * 1_000_000 + nanoseconds / 1000
}
