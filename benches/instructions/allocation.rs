// SPDX-License-Identifier: Apache-2.0
//! Where instructions are counted: inside one function that nobody inlines, which the counter is
//! told by name.
//!
//! Owns: whether it counts now, and the time of what it counted. Invariants: the counted function
//! is not entered twice at once, for callgrind would stop at the inner entry.
//! Runs on: the program's one thread. Bounded by: nothing is kept.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The function that callgrind collects in, as a pattern over its symbol.
pub const COUNTED_SYMBOL: &str = "*counted_by_callgrind*";

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Starts to count; what ran before was the warm-up.
pub fn start() {
    COUNTS.set(true);
    TIME.set(Duration::ZERO);
}

/// How long everything took that was counted.
pub fn counted_time() -> Duration {
    TIME.get()
}

/// Runs `work` and counts it, if the warm-up is over. Named as the driver of `tests/allocations`
/// calls it.
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    if !COUNTS.get() {
        return work();
    }
    assert!(!IS_INSIDE.replace(true), "counted once");
    let began = Instant::now();
    let result = counted_by_callgrind(work);
    TIME.set(TIME.get() + began.elapsed());
    IS_INSIDE.set(false);
    result
}

#[inline(never)]
fn counted_by_callgrind<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// The driver of `tests/allocations` asks for it; here nothing is numbered.
pub fn take_count() -> usize {
    0
}

/// Likewise.
pub fn trace() {}
