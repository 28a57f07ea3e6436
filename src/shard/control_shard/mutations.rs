// SPDX-License-Identifier: Apache-2.0
//! Quotas of changes of metadata (KIP-599): partitions that are made or deleted, a second.
//!
//! Owns: [`MutationQuotas`]. Invariants: a change that is not committed is not counted; what one
//! shard's clients take counts for all, since all changes are made here.
//! Runs on: the control shard. Bounded by: `QUOTA_BUCKETS_MAX`: past it stocks that are full are
//! forgotten, which changes nothing, and if there are none, those that were not used for longest.

use std::collections::BTreeMap;

use crate::config::quotas::QuotaWindows;
use crate::control::allowance::Allowance;
use crate::control::request::{ControlAnswer, MutationAsker};
use crate::limits::QUOTA_BUCKETS_MAX;
use crate::model::quota::{ClientQuotas, QuotaKind};
use crate::model::time::{MonotonicUs, Now};
use crate::quota::Scope;
use crate::quota::bucket::Bucket;
use crate::quota::lookup::find;

/// A stock with the rate at which it refills.
#[derive(Clone, Copy, Debug)]
struct Stock {
    bucket: Bucket,
    millionths: u64,
    used_at: MonotonicUs,
}

/// What is left for whom.
#[derive(Debug)]
pub(super) struct MutationQuotas {
    windows: QuotaWindows,
    stocks: BTreeMap<Scope, Stock>,
}

/// A request that counts.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    scope: Scope,
    /// What it may take.
    pub(super) allowance: Allowance,
}

impl MutationQuotas {
    /// Everything is left for everybody.
    pub(super) fn new(windows: QuotaWindows) -> MutationQuotas {
        MutationQuotas {
            windows,
            stocks: BTreeMap::new(),
        }
    }

    /// What a client may take, if it has a quota.
    pub(super) fn handle_asker(
        &mut self,
        now: Now,
        quotas: &ClientQuotas,
        asker: &MutationAsker,
    ) -> Option<Metered> {
        let kind = QuotaKind::ControllerMutationRate;
        let found = find(quotas, kind, &asker.user, &asker.client_id)?;
        let (now_us, windows) = (now.monotonic_us, self.windows);
        let millionths = found.value.millionths();
        if !self.stocks.contains_key(&found.scope) && self.stocks.len() >= QUOTA_BUCKETS_MAX {
            self.make_room(now_us);
        }
        let stock = self.stocks.entry(found.scope.clone()).or_insert(Stock {
            bucket: Bucket::full(windows, now_us, millionths),
            millionths,
            used_at: now_us,
        });
        stock.bucket.refill(windows, now_us, millionths);
        stock.millionths = millionths;
        Some(Metered {
            scope: found.scope,
            allowance: Allowance::of(stock.bucket.units(), asker.is_strict),
        })
    }

    fn make_room(&mut self, now_us: MonotonicUs) {
        let (before, windows) = (self.stocks.len(), self.windows);
        self.stocks.retain(|_, stock| {
            stock.bucket.refill(windows, now_us, stock.millionths);
            stock.bucket != Bucket::full(windows, now_us, stock.millionths)
        });
        if self.stocks.len() == before {
            let mut uses: Vec<MonotonicUs> = self.stocks.values().map(|one| one.used_at).collect();
            uses.sort_unstable();
            let oldest = uses[before.div_ceil(10) - 1];
            self.stocks.retain(|_, stock| stock.used_at > oldest);
        }
    }

    /// A request takes what its plan says. Gives the answer with the time for which its client is
    /// held back.
    pub(super) fn handle_planned(
        &mut self,
        now: Now,
        metered: &Metered,
        answer: ControlAnswer,
    ) -> ControlAnswer {
        let Some(stock) = self.stocks.get_mut(&metered.scope) else {
            return answer;
        };
        stock.bucket.take(metered.allowance.taken());
        stock.used_at = now.monotonic_us;
        if !metered.allowance.is_exceeded() {
            return answer;
        }
        let wait_ms = stock.bucket.wait_us(stock.millionths).div_ceil(1000);
        ControlAnswer::Throttled {
            ms: i32::try_from(wait_ms).unwrap_or(i32::MAX),
            answer: Box::new(answer),
        }
    }

    /// What was planned is not made.
    pub(super) fn handle_dropped(&mut self, metered: &Metered) {
        if let Some(stock) = self.stocks.get_mut(&metered.scope) {
            stock.bucket.give_back(metered.allowance.taken());
        }
    }
}
