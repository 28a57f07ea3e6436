// SPDX-License-Identifier: Apache-2.0
//! What was used of which quota, as one shard knows it.
//!
//! Owns: [`Meters`]. A quota is the broker's, and clients of one entity may be connected to several
//! shards. Each shard counts what its own clients use and what the others tell it, in the same
//! windows; it tells them its part every `QUOTA_EXCHANGE_MS`, and at once when it is a
//! `QUOTA_EXCHANGE_PART`th of what the quota allows within its windows.
//! Invariants: nothing is told twice; what a shard does not know of another one is less than such a
//! part, the use that passed it, and what is under way.
//! Runs on: its shard. Bounded by: `QUOTA_METERS_PER_SHARD_MAX`: past it the counts of entities
//! that used nothing within the windows are forgotten, which changes nothing, and if there are
//! none, those of a tenth of all, who used nothing for longest.

use std::collections::BTreeMap;

use super::lookup::Scope;
use super::window::{Window, allowance};
use crate::config::quotas::QuotaWindows;
use crate::limits::{QUOTA_EXCHANGE_PART, QUOTA_FETCH_PART, QUOTA_METERS_PER_SHARD_MAX};
use crate::model::quota::QuotaKind;
use crate::model::time::MonotonicUs;

/// What is counted, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeterKey {
    /// What.
    pub kind: QuotaKind,
    /// Of whom.
    pub scope: Scope,
}

/// Names a meter until the generation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterId(usize);

/// What a shard has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterUse {
    /// Of what.
    pub key: MeterKey,
    /// How much since it told last.
    pub amount: u64,
}

#[derive(Debug)]
struct Meter {
    key: MeterKey,
    /// Millionths a second; 0 as long as no client of this shard is counted here.
    limit: u64,
    window: Window,
    /// What the other shards have not been told.
    untold: u64,
    used_at: MonotonicUs,
}

/// The meters of a shard.
#[derive(Debug)]
pub struct Meters {
    windows: QuotaWindows,
    /// There are other shards, which are told.
    has_others: bool,
    meters: Vec<Meter>,
    by_key: BTreeMap<MeterKey, usize>,
    /// Meters of which the other shards do not know all.
    untold: Vec<usize>,
    generation: u64,
}

impl Meters {
    /// Nothing was used.
    #[must_use]
    pub fn new(windows: QuotaWindows, has_others: bool) -> Meters {
        Meters {
            windows,
            has_others,
            meters: Vec::new(),
            by_key: BTreeMap::new(),
            untold: Vec::new(),
            generation: 0,
        }
    }

    /// Changes when the names of meters are not valid any more.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meters.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// The windows in which is counted.
    #[must_use]
    pub fn windows(&self) -> QuotaWindows {
        self.windows
    }

    /// The meter of this key, whose quota allows so many millionths a second.
    pub fn find(&mut self, now_us: MonotonicUs, key: MeterKey, millionths: u64) -> MeterId {
        let place = self.place(now_us, key);
        self.meters[place].limit = millionths;
        MeterId(place)
    }

    fn place(&mut self, now_us: MonotonicUs, key: MeterKey) -> usize {
        if let Some(place) = self.by_key.get(&key) {
            return *place;
        }
        if self.meters.len() >= QUOTA_METERS_PER_SHARD_MAX {
            self.make_room(now_us);
        }
        let place = self.meters.len();
        self.by_key.insert(key.clone(), place);
        self.meters.push(Meter {
            key,
            limit: 0,
            window: Window::default(),
            untold: 0,
            used_at: now_us,
        });
        place
    }

    fn make_room(&mut self, now_us: MonotonicUs) {
        let windows = self.windows;
        let before = self.meters.len();
        self.meters
            .retain_mut(|meter| meter.untold > 0 || meter.window.total(windows, now_us) > 0);
        if self.meters.len() == before {
            self.meters.sort_by_key(|meter| meter.used_at);
            self.meters.drain(..before.div_ceil(10));
        }
        self.by_key.clear();
        self.untold.clear();
        for (place, meter) in self.meters.iter().enumerate() {
            self.by_key.insert(meter.key.clone(), place);
            if meter.untold > 0 {
                self.untold.push(place);
            }
        }
        self.generation += 1;
    }

    /// Counts a use. True if the other shards should be told at once.
    pub fn record(&mut self, now_us: MonotonicUs, id: MeterId, amount: u64) -> bool {
        let meter = &mut self.meters[id.0];
        meter.window.record(self.windows, now_us, amount);
        meter.used_at = now_us;
        if !self.has_others || amount == 0 {
            return false;
        }
        if meter.untold == 0 {
            self.untold.push(id.0);
        }
        meter.untold = meter.untold.saturating_add(amount);
        meter.untold >= allowance(self.windows, meter.limit) / QUOTA_EXCHANGE_PART
    }

    /// What was used within the windows.
    pub fn total(&mut self, now_us: MonotonicUs, id: MeterId) -> u64 {
        self.meters[id.0].window.total(self.windows, now_us)
    }

    /// What the quota allows within its whole windows.
    #[must_use]
    pub fn allowance(&self, id: MeterId) -> u64 {
        allowance(self.windows, self.meters[id.0].limit)
    }

    /// How much may be used at once: what there is room for now, but no more than the whole windows
    /// allow, and no less than is worth waiting for.
    pub fn helping(&mut self, now_us: MonotonicUs, id: MeterId) -> u64 {
        let most = self.allowance(id);
        let meter = &mut self.meters[id.0];
        let room = meter.window.room(self.windows, now_us, meter.limit);
        room.clamp(most / QUOTA_FETCH_PART, most)
    }

    /// How long to wait until what was used is within the quota; 0 if it is.
    pub fn wait_us(&mut self, now_us: MonotonicUs, id: MeterId) -> u64 {
        let meter = &mut self.meters[id.0];
        meter.window.wait_us(self.windows, now_us, meter.limit)
    }

    /// How long until so much more would be within the quota; 0 if it is.
    pub fn wait_for_us(&mut self, now_us: MonotonicUs, id: MeterId, amount: u64) -> u64 {
        let meter = &mut self.meters[id.0];
        let window = &mut meter.window;
        window.wait_for_us(self.windows, now_us, meter.limit, amount)
    }

    /// True if there is something that the other shards do not know.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// What the other shards are to be told.
    pub fn take_untold(&mut self) -> Vec<MeterUse> {
        let mut uses = Vec::with_capacity(self.untold.len());
        for place in self.untold.drain(..) {
            let meter = &mut self.meters[place];
            let amount = std::mem::take(&mut meter.untold);
            if amount > 0 {
                let key = meter.key.clone();
                uses.push(MeterUse { key, amount });
            }
        }
        uses
    }

    /// Another shard tells what it has used.
    pub fn handle_told(&mut self, now_us: MonotonicUs, uses: &[MeterUse]) {
        for one in uses {
            let place = self.place(now_us, one.key.clone());
            let meter = &mut self.meters[place];
            meter.window.record(self.windows, now_us, one.amount);
            meter.used_at = now_us;
        }
    }
}

#[cfg(test)]
#[path = "meters/tests.rs"]
mod tests;
