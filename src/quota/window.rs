// SPDX-License-Identifier: Apache-2.0
//! A rate, measured over windows of time.
//!
//! Owns: [`Window`]. What was used is counted in windows of equal length; the rate is what all of
//! them hold divided by the time from the begin of the oldest one to now (Kafka's rule), so a
//! client that comes anew may use what its quota allows in all windows but one before it waits.
//! Invariants: windows begin at multiples of their length on the monotonic clock, which is one for
//! all cores; the wait for a pace (`wait_us`, Kafka's formula) is what is missing of the time that
//! the use takes at it, the wait for room (`wait_for_us`) the shortest behind which there is some.
//! Runs on: any core. Bounded by: `QUOTA_WINDOWS_MAX`.

use crate::config::quotas::QuotaWindows;
use crate::model::time::MonotonicUs;

/// Millionths, twice: of the limit, and of a second.
const MILLION_MILLIONS: u128 = 1_000_000_000_000;

/// What was used within the last windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// By the number of the window modulo their count.
    amounts: Vec<u64>,
    /// The window of the last use.
    newest: u64,
    /// Sum of all amounts.
    total: u64,
}

impl Window {
    /// Counts a use.
    pub fn record(&mut self, windows: QuotaWindows, now_us: MonotonicUs, amount: u64) {
        let place = self.advance(windows, now_us);
        self.amounts[place] = self.amounts[place].saturating_add(amount);
        self.total = self.total.saturating_add(amount);
    }

    /// What was used within the windows.
    pub fn total(&mut self, windows: QuotaWindows, now_us: MonotonicUs) -> u64 {
        if self.total == 0 {
            return 0;
        }
        self.advance(windows, now_us);
        self.total
    }

    /// How long to wait until what was used is within so many millionths a second; 0 if it is.
    pub fn wait_us(&mut self, windows: QuotaWindows, now_us: MonotonicUs, millionths: u64) -> u64 {
        let total = u128::from(self.total(windows, now_us));
        let needed_us = (total * MILLION_MILLIONS).div_ceil(u128::from(millionths.max(1)));
        let elapsed_us = u128::from(elapsed_us(windows, now_us));
        let wait_us = needed_us.saturating_sub(elapsed_us);
        u64::try_from(wait_us).unwrap_or(u64::MAX)
    }

    /// How long until so much more would be within so many millionths a second, now that older uses
    /// are forgotten with their windows; 0 if it is. What is more than the windows ever allow waits
    /// until nothing else is in them.
    pub fn wait_for_us(
        &mut self,
        windows: QuotaWindows,
        now_us: MonotonicUs,
        millionths: u64,
        amount: u64,
    ) -> u64 {
        self.advance(windows, now_us);
        let count = u64::try_from(windows.count).expect("few");
        let passed_us = now_us % windows.length_us;
        let mut held = self.total;
        for later in 0..count {
            if held == 0 {
                return (later * windows.length_us).saturating_sub(passed_us);
            }
            let total = u128::from(held) + u128::from(amount);
            let needed = (total * MILLION_MILLIONS).div_ceil(u128::from(millionths.max(1)));
            let needed_us = u64::try_from(needed).unwrap_or(u64::MAX);
            // Where in this window the time since the oldest one is long enough.
            let within_us = match windows.count {
                1 if needed_us <= windows.length_us => 0,
                1 => u64::MAX,
                _ => needed_us.saturating_sub(windows.total_us() - windows.length_us),
            };
            if within_us < windows.length_us {
                return (later * windows.length_us + within_us).saturating_sub(passed_us);
            }
            // The oldest window goes as the next one begins.
            let oldest = (self.newest + 1 + later) % count;
            held -= self.amounts[usize::try_from(oldest).expect("few")];
        }
        (count * windows.length_us).saturating_sub(passed_us)
    }

    /// How much more is within so many millionths a second now.
    pub fn room(&mut self, windows: QuotaWindows, now_us: MonotonicUs, millionths: u64) -> u64 {
        let total = self.total(windows, now_us);
        let elapsed_us = u128::from(elapsed_us(windows, now_us));
        let allowed = u128::from(millionths) * elapsed_us / MILLION_MILLIONS;
        let allowed = u64::try_from(allowed).unwrap_or(u64::MAX);
        allowed.saturating_sub(total)
    }

    /// Forgets windows that are over; gives the place of the current one.
    fn advance(&mut self, windows: QuotaWindows, now_us: MonotonicUs) -> usize {
        let count = u64::try_from(windows.count).expect("few");
        let current = now_us / windows.length_us;
        let place = |number: u64| usize::try_from(number % count).expect("few");
        if self.amounts.len() != windows.count {
            self.amounts = vec![0; windows.count];
            (self.total, self.newest) = (0, current);
        }
        if current > self.newest {
            let gone = (current - self.newest).min(count);
            for number in current + 1 - gone..=current {
                let amount = std::mem::take(&mut self.amounts[place(number)]);
                self.total -= amount;
            }
            self.newest = current;
        }
        place(self.newest)
    }
}

/// The time that the windows span now: all whole ones, and what has passed of the current one.
fn elapsed_us(windows: QuotaWindows, now_us: MonotonicUs) -> u64 {
    let whole = windows.total_us() - windows.length_us;
    // With one window its begin would be no time at all.
    (whole + now_us % windows.length_us).max(windows.length_us)
}

/// What so many millionths a second allow within all whole windows.
#[must_use]
pub fn allowance(windows: QuotaWindows, millionths: u64) -> u64 {
    let whole_us = (windows.total_us() - windows.length_us).max(windows.length_us);
    let allowed = u128::from(millionths) * u128::from(whole_us) / MILLION_MILLIONS;
    u64::try_from(allowed).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "window/tests.rs"]
mod tests;
