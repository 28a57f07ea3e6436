// SPDX-License-Identifier: Apache-2.0
//! An allocator that counts, so that a test can say how much memory a frame took, or how often a
//! machine asked for some.
//!
//! Owns: the global allocator of a test binary. Invariants: counts are per thread, so that tests
//! may run side by side; allocations are numbered only while somebody wants it. Runs on: every
//! thread. Bounded by: nothing is kept.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static TRACES: Cell<bool> = const { Cell::new(false) };
    static IS_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Whether allocations of all threads are numbered, and how many there were.
static COUNTS_ALL: AtomicBool = AtomicBool::new(false);
static ALL: AtomicUsize = AtomicUsize::new(0);
static TRACES_ALL: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    // A thread that is going away has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

fn grown(bytes: usize) {
    note(bytes);
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
    count(isize::try_from(bytes).expect("an allocation fits half the address space"));
}

/// Counts an allocation, if somebody wants it, and prints where it comes from, likewise.
fn note(bytes: usize) {
    if COUNTS_ALL.load(Ordering::Relaxed) && !IS_LEFT_OUT.try_with(Cell::get).unwrap_or(true) {
        ALL.fetch_add(1, Ordering::Relaxed);
        if TRACES_ALL.load(Ordering::Relaxed) {
            IS_LEFT_OUT.set(true);
            print_stack(bytes);
            IS_LEFT_OUT.set(false);
        }
    }
    if !IS_COUNTING.try_with(Cell::get).unwrap_or(false) {
        return;
    }
    COUNT.set(COUNT.get() + 1);
    if TRACES.get() {
        IS_COUNTING.set(false);
        print_stack(bytes);
        IS_COUNTING.set(true);
    }
}

/// Prints where an allocation comes from.
fn print_stack(bytes: usize) {
    let stack = std::backtrace::Backtrace::force_capture().to_string();
    let ours = stack.lines().filter(|line| line.contains("src/"));
    let ours = ours.filter(|line| !line.contains("/rustc/") && !line.contains("tests/"));
    let places: Vec<&str> = ours.map(str::trim).collect();
    println!("{bytes} bytes {}", places.join(" <- "));
}

fn shrunk(bytes: usize) {
    count(-isize::try_from(bytes).expect("an allocation fits half the address space"));
}

// SAFETY: every call is handed to the system allocator unchanged, and the counters are plain
// thread-local cells that neither allocate nor unwind, so the contract of `GlobalAlloc` is the
// system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What running something took.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The most bytes that were held at once beyond what was held before.
    pub peak: usize,
    /// The largest single allocation.
    pub largest: usize,
}

/// Runs `work` on this thread and says what memory it took.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Memory) {
    let before = NOW.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    let peak = usize::try_from(PEAK.get() - before).expect("the peak is no lower than the start");
    (
        result,
        Memory {
            peak,
            largest: LARGEST.get(),
        },
    )
}

/// Runs `work` on this thread and counts how often it allocates.
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

/// This thread does not count when all are counted.
pub fn leave_this_thread_out() {
    IS_LEFT_OUT.set(true);
}

/// Numbers the allocations of all threads, but those that are left out, while `work` runs.
pub fn counted_everywhere<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let traces = std::env::var_os("FURLONG_ALLOCATION_TRACES").is_some();
    TRACES_ALL.store(traces, Ordering::Relaxed);
    ALL.store(0, Ordering::Relaxed);
    COUNTS_ALL.store(true, Ordering::Relaxed);
    let result = work();
    COUNTS_ALL.store(false, Ordering::Relaxed);
    (result, ALL.load(Ordering::Relaxed))
}

#[test]
fn the_allocator_counts_what_it_is_asked_to_count() {
    take_count();
    let outside = Box::new(100usize);
    let inside = counted(|| Box::new(*outside + 1));
    drop(counted(|| Box::new(*inside + 1)));
    assert_eq!((take_count(), take_count()), (2, 0));
}

#[test]
fn the_allocator_sees_what_is_held() {
    let (vector, memory) = measure(|| {
        drop(Vec::<u8>::with_capacity(5000));
        Vec::<u8>::with_capacity(3000)
    });
    assert_eq!(vector.capacity(), 3000);
    assert_eq!((memory.peak, memory.largest), (5000, 5000));
}
