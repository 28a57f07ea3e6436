// SPDX-License-Identifier: Apache-2.0
//! Appends that wait for an offset to be reached: the durable end (`acks=1`) or the high watermark
//! (`acks=all`).
//!
//! Owns: the waiters of one partition for one kind of progress. Invariants: waiters leave in offset
//! order, each exactly once. Runs on: the shard that owns the partition. Bounded by: the requests
//! in flight of all connections.

use std::collections::VecDeque;

use crate::model::ids::Offset;

/// Waiters ordered by the offset they wait for.
#[derive(Debug, Default)]
pub struct AckQueue {
    /// Offset and waiter, rising: nearly all come in this order.
    waiters: VecDeque<(Offset, u64)>,
}

impl AckQueue {
    /// Adds a waiter that is content once everything below `until` (exclusive end) is reached.
    pub fn push(&mut self, until: Offset, waiter: u64) {
        let place = self.waiters.partition_point(|one| *one < (until, waiter));
        let is_new = self.waiters.get(place) != Some(&(until, waiter));
        assert!(is_new, "a waiter waits once for one offset");
        self.waiters.insert(place, (until, waiter));
    }

    /// Takes the next waiter whose offset is reached.
    pub fn pop_reached(&mut self, reached: Offset) -> Option<u64> {
        if self.waiters.front()?.0 > reached {
            return None;
        }
        self.waiters.pop_front().map(|(_, waiter)| waiter)
    }

    /// Takes a waiter that waits for something past `from`, the latest first: what it waits for was
    /// lost.
    pub fn pop_lost(&mut self, from: Offset) -> Option<u64> {
        if self.waiters.back()?.0 <= from {
            return None;
        }
        self.waiters.pop_back().map(|(_, waiter)| waiter)
    }

    /// Forgets a waiter (its time ran out). True if it waited.
    pub fn remove(&mut self, until: Offset, waiter: u64) -> bool {
        let place = self.waiters.binary_search(&(until, waiter));
        place.is_ok_and(|place| self.waiters.remove(place).is_some())
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// True if none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_leave_in_offset_order_and_only_when_reached() {
        let mut queue = AckQueue::default();
        queue.push(30, 3);
        queue.push(10, 1);
        queue.push(20, 2);
        queue.push(20, 1);
        assert!(queue.remove(20, 1));
        assert_eq!(queue.pop_reached(9), None);
        assert_eq!(queue.pop_reached(20), Some(1));
        assert_eq!(queue.pop_reached(20), Some(2));
        assert_eq!(queue.pop_reached(20), None);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop_reached(i64::MAX), Some(3));
        assert!(queue.is_empty());
    }

    #[test]
    fn lost_appends_take_only_the_waiters_past_the_cut() {
        let mut queue = AckQueue::default();
        queue.push(10, 1);
        queue.push(20, 2);
        queue.push(30, 3);
        assert_eq!(queue.pop_lost(10), Some(3));
        assert_eq!(queue.pop_lost(10), Some(2));
        assert_eq!(queue.pop_lost(10), None);
        assert_eq!(queue.pop_reached(10), Some(1));
    }

    #[test]
    fn a_waiter_whose_time_ran_out_is_not_answered_again() {
        let mut queue = AckQueue::default();
        queue.push(10, 1);
        assert!(queue.remove(10, 1));
        assert!(!queue.remove(10, 1));
        assert_eq!(queue.pop_reached(10), None);
    }
}
