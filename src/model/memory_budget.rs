// SPDX-License-Identifier: Apache-2.0
//! How much memory one shard may hold, and for what.
//!
//! Owns: [`MemoryBudget`]. Invariants: the parts of all shards together never exceed the total that
//! they were made from; no part is so small that the broker could only wait.
//! Runs on: every core. Bounded by: `MEMORY_PER_SHARD_BYTES_MIN` from below.

use crate::limits::{
    BLOCK_BYTES, BUFFER_BYTES_PER_SHARD_MAX, MEMORY_DEFAULT_BYTES_MAX, MEMORY_PER_SHARD_BYTES_MIN,
};

/// Part of the memory of the machine (or of the cgroup) that is taken if nothing else is said: the
/// rest is left to the metadata, the indexes, the allocator and the other programs.
const DEFAULT_DIVISOR: u64 = 2;

/// The parts of a shard's memory, in sixteenths.
const SIXTEENTHS: usize = 16;
const TAIL_CACHE: usize = 7;
const BUFFERS: usize = 1;
const APPENDS: usize = 3;
const RECEIVE: usize = 1;
const READS: usize = 2;
const OUTBOUND: usize = 2;
const _: () = assert!(TAIL_CACHE + BUFFERS + APPENDS + RECEIVE + READS + OUTBOUND == SIXTEENTHS);

/// The memory of one data shard, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// The newest bytes of all logs, for consumers at the tip. Can be given up at any moment.
    pub tail_cache_bytes: usize,
    /// Aligned buffers that wait for their next use, and the memory that the shell lends for some
    /// of them.
    pub buffer_bytes: usize,
    /// Frames of produce requests that are not answered, and what is appended and not flushed. Past
    /// it, connections wait for their next frame.
    pub append_bytes: usize,
    /// Frames that are being received or wait for their turn. Past it, sockets are not read.
    pub receive_bytes: usize,
    /// Reads under way for fetches, and what was read ahead. Past it, fetches wait.
    pub read_bytes: usize,
    /// Answers that their clients have not taken. Past it, fetches get less.
    pub outbound_bytes: usize,
}

impl MemoryBudget {
    /// A shard's part of `total_bytes`; nothing if that is too little to serve with.
    #[must_use]
    pub fn of_shard(total_bytes: u64, shard_count: u16) -> Option<MemoryBudget> {
        assert!(shard_count > 0, "a broker has a shard");
        let share = total_bytes / u64::from(shard_count);
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        if share < MEMORY_PER_SHARD_BYTES_MIN {
            return None;
        }
        let sixteenth = share / SIXTEENTHS;
        let buffer_bytes = (sixteenth * BUFFERS).min(BUFFER_BYTES_PER_SHARD_MAX);
        Some(MemoryBudget {
            tail_cache_bytes: sixteenth * (TAIL_CACHE + BUFFERS) - buffer_bytes,
            buffer_bytes,
            append_bytes: sixteenth * APPENDS,
            receive_bytes: sixteenth * RECEIVE,
            read_bytes: sixteenth * READS,
            outbound_bytes: sixteenth * OUTBOUND,
        })
    }

    /// What the shell may lend for aligned buffers, in whole blocks.
    #[must_use]
    pub fn lent_bytes(&self) -> usize {
        let half = self.buffer_bytes / 2;
        half - half % BLOCK_BYTES
    }

    /// What of the shard's own aligned buffers may wait for its next use.
    #[must_use]
    pub fn buffers_at_rest_bytes(&self) -> usize {
        self.buffer_bytes - self.lent_bytes()
    }

    /// What the map of a pass of compaction may take of the tail cache, for as long as it runs.
    #[must_use]
    pub fn compaction_bytes_max(&self) -> usize {
        self.tail_cache_bytes / 2
    }

    /// All parts together.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.tail_cache_bytes
            + self.buffer_bytes
            + self.append_bytes
            + self.receive_bytes
            + self.read_bytes
            + self.outbound_bytes
    }
}

/// The least total that so many shards can serve with.
#[must_use]
pub fn least_total_bytes(shard_count: u16) -> u64 {
    let least = u64::try_from(MEMORY_PER_SHARD_BYTES_MIN).expect("a usize fits 64 bits");
    least * u64::from(shard_count)
}

/// What a broker takes when nobody says how much, of a machine (or cgroup) with this much memory.
#[must_use]
pub fn default_total_bytes(machine_bytes: u64, shard_count: u16) -> u64 {
    (machine_bytes / DEFAULT_DIVISOR)
        .min(MEMORY_DEFAULT_BYTES_MAX)
        .max(least_total_bytes(shard_count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_never_exceed_the_total(total in any::<u64>(), shards in 1u16..=256) {
            match MemoryBudget::of_shard(total, shards) {
                None => prop_assert!(total < least_total_bytes(shards)),
                Some(budget) => {
                    let parts = u64::try_from(budget.total_bytes()).expect("64 bits");
                    prop_assert!(parts.checked_mul(u64::from(shards)).expect("small") <= total);
                    prop_assert!(budget.total_bytes() > MEMORY_PER_SHARD_BYTES_MIN - SIXTEENTHS);
                    let parts = [
                        budget.tail_cache_bytes,
                        budget.buffer_bytes,
                        budget.append_bytes,
                        budget.receive_bytes,
                        budget.read_bytes,
                        budget.outbound_bytes,
                    ];
                    prop_assert!(parts.iter().all(|part| *part >= 1024 * 1024));
                }
            }
        }

        #[test]
        fn the_default_can_always_be_served_with(machine in any::<u64>(), shards in 1u16..=256) {
            let total = default_total_bytes(machine, shards);
            prop_assert!(MemoryBudget::of_shard(total, shards).is_some());
            prop_assert!(total <= MEMORY_DEFAULT_BYTES_MAX.max(least_total_bytes(shards)));
        }
    }

    #[test]
    fn half_of_a_small_machine_is_taken_and_a_bounded_part_of_a_large_one() {
        assert_eq!(default_total_bytes(2 << 30, 2), 1 << 30);
        assert_eq!(default_total_bytes(1 << 40, 2), MEMORY_DEFAULT_BYTES_MAX);
        assert_eq!(default_total_bytes(0, 3), least_total_bytes(3));
    }

    #[test]
    fn too_little_is_refused() {
        let least = least_total_bytes(2);
        assert!(MemoryBudget::of_shard(least, 2).is_some());
        assert_eq!(MemoryBudget::of_shard(least - 1, 2), None);
        assert_eq!(MemoryBudget::of_shard(0, 1), None);
    }
}
