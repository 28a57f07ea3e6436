// SPDX-License-Identifier: Apache-2.0
//! A stock that refills at a rate (KIP-599): it may be overdrawn once, and then has to recover.
//!
//! Owns: [`Bucket`]. Invariants: never more than what all windows together bring; a new one is
//! full. Runs on: any core. Bounded by: its fields.

use crate::config::quotas::QuotaWindows;
use crate::model::time::MonotonicUs;

/// A stock in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    stock: i128,
    filled_at: MonotonicUs,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(windows: QuotaWindows, now_us: MonotonicUs, millionths: u64) -> Bucket {
        Bucket {
            stock: most(windows, millionths),
            filled_at: now_us,
        }
    }

    /// Adds what has come in the meantime at so many millionths a second.
    pub fn refill(&mut self, windows: QuotaWindows, now_us: MonotonicUs, millionths: u64) {
        let passed_us = now_us.saturating_sub(self.filled_at);
        let brought = i128::from(passed_us) * i128::from(millionths) / 1_000_000;
        self.stock = self.stock.saturating_add(brought);
        self.stock = self.stock.min(most(windows, millionths));
        self.filled_at = self.filled_at.max(now_us);
    }

    /// What there is, in whole units; -1 and less if it is overdrawn.
    #[must_use]
    pub fn units(&self) -> i64 {
        let units = self.stock.div_euclid(1_000_000);
        i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
    }

    /// Takes so many units, whether they are there or not.
    pub fn take(&mut self, units: u64) {
        self.stock = self.stock.saturating_sub(i128::from(units) * 1_000_000);
    }

    /// Gives so many units back that were taken.
    pub fn give_back(&mut self, units: u64) {
        self.stock = self.stock.saturating_add(i128::from(units) * 1_000_000);
    }

    /// How long until it is no longer overdrawn, at so many millionths a second.
    #[must_use]
    pub fn wait_us(&self, millionths: u64) -> u64 {
        let missing = u128::try_from(self.stock.saturating_neg()).unwrap_or(0);
        let wait_us = (missing * 1_000_000).div_ceil(u128::from(millionths.max(1)));
        u64::try_from(wait_us).unwrap_or(u64::MAX)
    }
}

/// What a full one holds.
fn most(windows: QuotaWindows, millionths: u64) -> i128 {
    i128::from(windows.total_us()) * i128::from(millionths) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOWS: QuotaWindows = QuotaWindows {
        count: 10,
        length_us: 1_000_000,
    };

    #[test]
    fn it_may_be_overdrawn_and_recovers_at_its_rate() {
        let rate = 2_000_000;
        let mut bucket = Bucket::full(WINDOWS, 0, rate);
        assert_eq!(bucket.units(), 20);
        bucket.take(26);
        assert_eq!((bucket.units(), bucket.wait_us(rate)), (-6, 3_000_000));
        bucket.refill(WINDOWS, 2_999_999, rate);
        assert_eq!(bucket.units(), -1);
        bucket.refill(WINDOWS, 3_000_000, rate);
        assert_eq!((bucket.units(), bucket.wait_us(rate)), (0, 0));
        bucket.refill(WINDOWS, 1_000_000_000, rate);
        assert_eq!(bucket.units(), 20, "and no more than a full one");
    }

    proptest! {
        #[test]
        fn after_the_wait_it_is_not_overdrawn(
            rate in 1u64..1_000_000_000,
            taken in 0u64..1_000_000,
            start in 0u64..1_000_000_000,
        ) {
            let mut bucket = Bucket::full(WINDOWS, start, rate);
            bucket.take(taken);
            let wait = bucket.wait_us(rate);
            let was_overdrawn = bucket.units() < 0;
            prop_assert_eq!(wait > 0, was_overdrawn);
            bucket.refill(WINDOWS, start + wait, rate);
            // Rates of less than one in a microsecond bring their units with a remainder.
            prop_assert!(bucket.wait_us(rate) <= 1_000_000 / rate.min(1_000_000) + 1);
        }
    }
}
