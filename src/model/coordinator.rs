// SPDX-License-Identifier: Apache-2.0
//! Words of everything that keeps its state in a compacted topic of the broker: groups,
//! transactions.
//!
//! Owns: [`Caller`], [`WriteError`], the rule which partition keeps a name. Invariants: Kafka's
//! rule, so that a log that Kafka wrote is read by the right coordinator. Runs on: every core.
//! Bounded by: nothing to bound.

use super::ids::ShardId;
use super::time::MonotonicUs;

/// Who waits for an answer; opaque to a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// The shard that accepted the request.
    pub shard: ShardId,
    /// The request, by that shard's number.
    pub request: u64,
    /// Which of the calls of that request it is.
    pub place: usize,
    /// When its call came to the coordinator.
    pub came_us: MonotonicUs,
    /// For how long it waited for others because that is what it asked for, in microseconds;
    /// nothing while it does, and for a call that never does.
    pub waited_us: Option<u64>,
}

impl Caller {
    /// It waits for others no longer; what follows is the coordinator's own time.
    #[must_use]
    pub fn waited_until(mut self, now_us: MonotonicUs) -> Caller {
        let waited_us = now_us.saturating_sub(self.came_us);
        self.waited_us.get_or_insert(waited_us);
        self
    }
}

/// Why records did not get into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The partition is not led here any more.
    NotLeader,
    /// They are larger than the topic allows.
    TooLarge,
    /// Not now; it may be tried again.
    Unavailable,
    /// The producer in whose transaction they are has a newer epoch.
    Fenced,
}

/// The partition that keeps a name: the hash that Java has for it (over UTF-16 units), its
/// absolute value, modulo the number of partitions.
#[must_use]
pub fn partition_of(name: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let hash = name.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Java has no absolute value of its smallest number; Kafka takes 0.
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_of_a_wait_counts() {
        let caller = Caller {
            shard: ShardId(1),
            request: 2,
            place: 3,
            came_us: 1_000,
            waited_us: None,
        };
        let waited = caller.waited_until(1_250);
        assert_eq!(waited.waited_us, Some(250));
        assert_eq!(waited.waited_until(9_000), waited);
        // A clock of another core may be a little behind.
        assert_eq!(caller.waited_until(900).waited_us, Some(0));
    }

    #[test]
    fn names_are_kept_where_kafka_keeps_them() {
        // "hello".hashCode() is 99162322, "polygenelubricants" has the smallest number there is.
        assert_eq!(partition_of("hello", 1_000_000), 162_322);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("", 50), 0);
        // A negative hash: "aaaaaaa".hashCode() is -1236771264.
        let hash = "aaaaaaa"
            .chars()
            .fold(0i64, |hash, c| hash * 31 + i64::from(u32::from(c)));
        let hash = i32::from_be_bytes(hash.to_be_bytes()[4..].try_into().expect("four"));
        assert_eq!(partition_of("aaaaaaa", 50), hash.abs() % 50);
        // Units, not characters: a crab is two of them.
        assert_eq!(partition_of("🦀", i32::MAX), {
            let [high, low] = [0xd83e_i32, 0xdd80];
            (high * 31 + low).abs() % i32::MAX
        });
        assert!((0..50).contains(&partition_of("console-consumer-1", 50)));
    }
}
