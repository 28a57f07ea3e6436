// SPDX-License-Identifier: Apache-2.0
//! The topic that keeps groups and offsets.
//!
//! Owns: its name, and which group is kept in which of its partitions. Invariants: Kafka's rule,
//! so that a log that Kafka wrote is read by the right coordinator. Runs on: every core.
//! Bounded by: nothing to bound.

/// Kafka's name of the topic.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition that keeps a group: the hash that Java has for its name (over UTF-16 units), its
/// absolute value, modulo the number of partitions.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Java has no absolute value of its smallest number; Kafka takes 0.
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_kept_where_kafka_keeps_them() {
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
