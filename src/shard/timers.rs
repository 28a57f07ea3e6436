// SPDX-License-Identifier: Apache-2.0
//! What is due when.
//!
//! Owns: [`Timers`]. Invariants: what is due leaves in the order of its moments. Runs on: its
//! shard.
//! Bounded by: one moment per waiting request, part and partition.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::number_map::NumberMap;
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
    /// Something is due at the coordinator of this partition of the offsets topic.
    Groups(u32),
    /// Something is due at the coordinator of this partition of the topic of transactions.
    Transactions(u32),
    /// Aligned buffers have waited long enough for their next use.
    Buffers,
    /// How many slow requests were not told is to be told.
    SlowRequests,
}

impl Timer {
    /// A number of its own.
    fn key(self) -> u64 {
        match self {
            Timer::Request(request) => request << 2,
            Timer::Part(part) => part << 2 | 1,
            Timer::Partition(slot) => u64::from(slot) << 2 | 2,
            Timer::StartProgress => 3,
            Timer::Buffers => 7,
            Timer::SlowRequests => 11,
            Timer::Groups(partition) => (u64::from(partition) + 3) << 2 | 3,
            // Behind those of groups, whose partitions are numbered with 32 bits.
            Timer::Transactions(partition) => (u64::from(partition) + (1 << 33)) << 2 | 3,
        }
    }
}

/// Entries of the heap that are left over, beside as many as there are moments, before it is
/// cleaned.
const LEFT_OVER_MAX: usize = 64;

/// Moments in order.
#[derive(Debug, Default)]
pub struct Timers {
    /// The moment of each timer, by its key.
    moments: NumberMap<MonotonicUs>,
    /// The earliest on top, which is never left over. Below it may be moments that were removed.
    heap: BinaryHeap<Reverse<(MonotonicUs, Timer)>>,
}

impl Timers {
    /// Adds a moment. A timer has one at a time.
    pub fn insert(&mut self, at: MonotonicUs, timer: Timer) {
        let before = self.moments.insert(timer.key(), at);
        assert!(before.is_none(), "a timer has one moment");
        self.heap.push(Reverse((at, timer)));
    }

    /// Removes a moment that was added.
    pub fn remove(&mut self, at: MonotonicUs, timer: Timer) {
        if self.moments.get(timer.key()) == Some(&at) {
            self.moments.remove(timer.key());
            self.clean();
        }
    }

    /// The earliest moment.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest that is due.
    pub fn pop_due(&mut self, now: Now) -> Option<Timer> {
        if self.next_deadline()? > now.monotonic_us {
            return None;
        }
        let Reverse((_, timer)) = self.heap.pop()?;
        self.moments.remove(timer.key());
        self.clean();
        Some(timer)
    }

    /// Drops what is left over on top, and all of it once it is most of the heap.
    fn clean(&mut self) {
        let moments = &self.moments;
        let counts = |one: &Reverse<(MonotonicUs, Timer)>| {
            let Reverse((at, timer)) = one;
            moments.get(timer.key()) == Some(at)
        };
        while self.heap.peek().is_some_and(|top| !counts(top)) {
            self.heap.pop();
        }
        if self.heap.len() > 2 * moments.len() + LEFT_OVER_MAX {
            self.heap.retain(counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn timers_behave_like_an_ordered_set(
            steps in proptest::collection::vec((0u8..4, 0u64..30, 0u64..50), 0..400),
        ) {
            let (mut timers, mut set) = (Timers::default(), BTreeSet::new());
            let mut moments = BTreeMap::new();
            for (step, number, at) in steps {
                let timer = Timer::Part(number);
                match step {
                    0 => {
                        let now = Now { monotonic_us: at, wall_ms: 0 };
                        let first = set.first().copied().filter(|(due, _)| *due <= at);
                        prop_assert_eq!(timers.pop_due(now), first.map(|(_, timer)| timer));
                        if let Some(first) = set.take(&first.unwrap_or((u64::MAX, timer))) {
                            moments.remove(&first.1);
                        }
                    }
                    // Takes away what is there, and puts it elsewhere.
                    _ => {
                        if let Some(before) = moments.insert(timer, at) {
                            timers.remove(before, timer);
                            set.remove(&(before, timer));
                        }
                        timers.insert(at, timer);
                        set.insert((at, timer));
                    }
                }
                prop_assert_eq!(timers.next_deadline(), set.first().map(|(at, _)| *at));
                prop_assert!(timers.heap.len() <= 2 * set.len() + LEFT_OVER_MAX + 1);
            }
        }
    }
}
