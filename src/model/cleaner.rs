// SPDX-License-Identifier: Apache-2.0
//! Whose turn it is to compact on a shard, and how fast.
//!
//! Owns: [`CleanerSettings`], [`CleanerLane`]. Invariants: one log of a shard is compacted at a
//! time; over time no more bytes are read and written for it than the settings allow. Runs on: the
//! shard that owns the lane. Bounded by: one owner.

use super::time::MonotonicUs;
use crate::limits::{CLEANER_BACKOFF_MS_DEFAULT, CLEANER_DEDUPE_BYTES_DEFAULT};

/// What the broker's settings say of compaction, for one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerSettings {
    /// `log.cleaner.enable`.
    pub is_enabled: bool,
    /// The shard's part of `log.cleaner.dedupe.buffer.size`.
    pub dedupe_bytes: usize,
    /// The shard's part of `log.cleaner.io.max.bytes.per.second`; `None` is without limit.
    pub bytes_per_second: Option<u64>,
    /// `log.cleaner.backoff.ms`: how often a log is looked at.
    pub backoff_ms: u64,
}

impl CleanerSettings {
    /// The part of one of so many shards.
    #[must_use]
    pub fn divided(self, shards: u16) -> CleanerSettings {
        let rate = self.bytes_per_second;
        CleanerSettings {
            dedupe_bytes: self.dedupe_bytes / usize::from(shards.max(1)),
            bytes_per_second: rate.map(|rate| (rate / u64::from(shards.max(1))).max(1)),
            ..self
        }
    }

    /// With a map of no more than so many bytes.
    #[must_use]
    pub fn within(self, dedupe_bytes_max: usize) -> CleanerSettings {
        CleanerSettings {
            dedupe_bytes: self.dedupe_bytes.min(dedupe_bytes_max),
            ..self
        }
    }
}

impl Default for CleanerSettings {
    fn default() -> CleanerSettings {
        CleanerSettings {
            is_enabled: true,
            dedupe_bytes: CLEANER_DEDUPE_BYTES_DEFAULT,
            bytes_per_second: None,
            backoff_ms: CLEANER_BACKOFF_MS_DEFAULT,
        }
    }
}

/// The turn of the logs of one shard.
#[derive(Debug, Default)]
pub struct CleanerLane {
    taken_by: Option<u32>,
    free_at_us: MonotonicUs,
}

impl CleanerLane {
    /// True if it is the turn of this log from now on, until it gives the lane back.
    pub fn take(&mut self, owner: u32) -> bool {
        let holder = *self.taken_by.get_or_insert(owner);
        holder == owner
    }

    /// This log is done, if it had the turn.
    pub fn give(&mut self, owner: u32) {
        if self.taken_by == Some(owner) {
            self.taken_by = None;
        }
    }

    /// Counts bytes that were read or written.
    pub fn charge(&mut self, now_us: MonotonicUs, bytes: usize, settings: &CleanerSettings) {
        let Some(rate) = settings.bytes_per_second else {
            return;
        };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let lasts_us = bytes.saturating_mul(1_000_000) / rate.max(1);
        self.free_at_us = self.free_at_us.max(now_us).saturating_add(lasts_us);
    }

    /// When the next bytes may be read or written.
    #[must_use]
    pub fn free_at(&self) -> MonotonicUs {
        self.free_at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_log_at_a_time() {
        let mut lane = CleanerLane::default();
        assert!(lane.take(3) && lane.take(3));
        assert!(!lane.take(4));
        lane.give(4);
        assert!(!lane.take(4));
        lane.give(3);
        assert!(lane.take(4));
    }

    #[test]
    fn shards_share() {
        let whole = CleanerSettings {
            bytes_per_second: Some(9),
            dedupe_bytes: 4000,
            ..CleanerSettings::default()
        };
        let part = whole.divided(4);
        assert_eq!((part.dedupe_bytes, part.bytes_per_second), (1000, Some(2)));
        assert_eq!(whole.divided(100).bytes_per_second, Some(1));
        assert_eq!(part.within(600).dedupe_bytes, 600);
        assert_eq!(part.within(6000), part);
    }

    #[test]
    fn bytes_cost_time_at_the_rate() {
        let mut lane = CleanerLane::default();
        let settings = CleanerSettings {
            bytes_per_second: Some(1_000_000),
            ..CleanerSettings::default()
        };
        lane.charge(5_000_000, 500_000, &settings);
        assert_eq!(lane.free_at(), 5_500_000);
        lane.charge(5_100_000, 500_000, &settings);
        assert_eq!(lane.free_at(), 6_000_000);
        lane.charge(9_000_000, 1_000_000, &settings);
        assert_eq!(lane.free_at(), 10_000_000);
        let mut free = CleanerLane::default();
        free.charge(5, 1 << 40, &CleanerSettings::default());
        assert_eq!(free.free_at(), 0);
    }
}
