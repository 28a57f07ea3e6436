// SPDX-License-Identifier: Apache-2.0
//! What is due when.
//!
//! Owns: [`Timers`]. Invariants: what is due leaves in the order of its moments. Runs on: its
//! shard.
//! Bounded by: one moment per waiting request, part and partition.

use std::collections::BTreeSet;

use crate::model::time::{MonotonicUs, Now};

/// What a moment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A request of one of this shard's clients has waited long enough.
    Request(u64),
    /// This shard's part of a request has waited long enough.
    Part(u64),
    /// A partition's log wants to be called.
    Partition(u32),
    /// How far the start has come is to be told.
    StartProgress,
}

/// Moments in order.
#[derive(Debug, Default)]
pub struct Timers {
    moments: BTreeSet<(MonotonicUs, Timer)>,
}

impl Timers {
    /// Adds a moment.
    pub fn insert(&mut self, at: MonotonicUs, timer: Timer) {
        self.moments.insert((at, timer));
    }

    /// Removes a moment that was added.
    pub fn remove(&mut self, at: MonotonicUs, timer: Timer) {
        self.moments.remove(&(at, timer));
    }

    /// The earliest moment.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        self.moments.first().map(|(at, _)| *at)
    }

    /// Takes the earliest that is due.
    pub fn pop_due(&mut self, now: Now) -> Option<Timer> {
        if self.next_deadline()? > now.monotonic_us {
            return None;
        }
        self.moments.pop_first().map(|(_, timer)| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_leaves_in_order_and_nothing_before_its_time() {
        let mut timers = Timers::default();
        timers.insert(20, Timer::Part(1));
        timers.insert(10, Timer::Request(2));
        timers.insert(15, Timer::Partition(3));
        timers.remove(15, Timer::Partition(3));
        let at = |monotonic_us| Now {
            monotonic_us,
            wall_ms: 0,
        };
        assert_eq!(timers.next_deadline(), Some(10));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(20)), Some(Timer::Request(2)));
        assert_eq!(timers.pop_due(at(20)), Some(Timer::Part(1)));
        assert_eq!(timers.pop_due(at(99)), None);
    }
}
