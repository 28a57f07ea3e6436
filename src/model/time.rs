// SPDX-License-Identifier: Apache-2.0
//! Time as the machines see it: handed in with every event, never read.
//!
//! Owns: [`Now`]. Invariants: `monotonic_us` never falls; decisions about safety use it alone, the
//! wall clock serves only record timestamps and retention. Runs on: every core. Bounded by: 64
//! bits.

/// A point on the monotonic clock (`CLOCK_BOOTTIME`), in microseconds.
pub type MonotonicUs = u64;

/// The moment at which an event is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock in microseconds.
    pub monotonic_us: MonotonicUs,
    /// Wall clock in milliseconds since 1970, as records carry it.
    pub wall_ms: i64,
}

impl Now {
    /// The monotonic moment `ms` milliseconds after this one.
    #[must_use]
    pub fn after_ms(&self, ms: u64) -> MonotonicUs {
        self.monotonic_us.saturating_add(ms.saturating_mul(1000))
    }
}
