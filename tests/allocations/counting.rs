// SPDX-License-Identifier: Apache-2.0
//! An allocator that counts what is allocated while a machine runs, and nothing else.
//!
//! Owns: the global allocator of this test binary. Invariants: counts are per thread, so that tests
//! may run side by side; what the driver of a test allocates does not count. Runs on: every thread.
//! Bounded by: nothing is kept.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static TRACES: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(bytes: usize) {
    // A thread that is going away has no counters any more.
    let is_counting = IS_COUNTING.try_with(Cell::get).unwrap_or(false);
    if !is_counting {
        return;
    }
    COUNT.set(COUNT.get() + 1);
    if TRACES.get() {
        IS_COUNTING.set(false);
        let stack = std::backtrace::Backtrace::force_capture().to_string();
        let ours = stack.lines().filter(|line| line.contains("src/"));
        let ours = ours.filter(|line| !line.contains("/rustc/") && !line.contains("tests/"));
        let places: Vec<&str> = ours.map(str::trim).collect();
        println!("{bytes} bytes {}", places.join(" <- "));
        IS_COUNTING.set(true);
    }
}

// SAFETY: every call is handed to the system allocator unchanged, and the counters are plain
// thread-local cells that neither allocate nor unwind while they count, so the contract of
// `GlobalAlloc` is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` on this thread and counts what it allocates.
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    assert!(!IS_COUNTING.get(), "counted once");
    IS_COUNTING.set(true);
    let result = work();
    IS_COUNTING.set(false);
    result
}

/// The allocations that were counted on this thread since the last call.
pub fn take_count() -> usize {
    COUNT.replace(0)
}

/// Prints the stack of each counted allocation from now on, if the environment asks for it.
pub fn trace() {
    TRACES.set(std::env::var_os("FURLONG_ALLOCATION_TRACES").is_some());
}

#[test]
fn the_allocator_counts_what_it_is_asked_to_count() {
    take_count();
    let outside = vec![0u8; 100];
    let inside = counted(|| vec![outside.len(); 3]);
    drop(counted(|| vec![inside.len(); 2]));
    assert_eq!(take_count(), 2);
    assert_eq!(take_count(), 0);
}
