// SPDX-License-Identifier: Apache-2.0
//! Which connections of the whole broker are served: each shard accepts on its own, and this is the
//! one place that counts all of them.
//!
//! Owns: [`Admission`]. Invariants: a connection counts from its admission to its end, whichever
//! shard accepted it; who waits is served in turn; a limit that is lowered ends nobody (all as in
//! Kafka: the broker's limit makes wait, that of an address closes). Whose address is quicker than
//! its quota (KIP-612) is closed after a while, which is one window of quotas at most.
//! Runs on: the control shard. Bounded by: the descriptors that clients may have, and
//! `CONNECTIONS_HELD_MAX` that wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::config::connections::ConnectionLimits;
use crate::config::layers::Settings;
use crate::config::quotas::QuotaWindows;
use crate::limits::{CONNECTIONS_HELD_MAX, QUOTA_BUCKETS_MAX};
use crate::model::ids::{ConnectionId, ShardId};
use crate::model::peer::PeerAddress;
use crate::model::quota::{ClientQuotas, QuotaKind};
use crate::model::time::{MonotonicUs, Now};
use crate::quota::lookup::{find_of_ip, has_any};
use crate::quota::window::Window;

/// New connections of so many microseconds may come at once.
const BURST_US: u64 = 1_000_000;

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its address has as many as it may have.
    Peer,
    /// Clients have as many descriptors as they may have.
    Descriptors,
    /// As many wait as may wait.
    Held,
    /// Its address makes more connections than its quota allows.
    Rate,
}

/// What a shard is told of one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The shard.
    pub to: ShardId,
    /// The connection.
    pub connection: ConnectionId,
    /// Whether it is served.
    pub result: Result<(), Refusal>,
}

/// A connection that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The shard that accepted it.
    pub shard: ShardId,
    /// Which.
    pub connection: ConnectionId,
    /// From where.
    pub peer: PeerAddress,
    /// True if the shard waits for a verdict before it takes a request; else it is told of a
    /// refusal only.
    pub waits: bool,
}

/// The connections of a broker.
#[derive(Debug)]
pub struct Admission {
    limits: ConnectionLimits,
    descriptors_max: usize,
    /// Those that are served.
    served: BTreeMap<ConnectionId, PeerAddress>,
    /// Those that wait, in turn.
    held: VecDeque<Arrived>,
    /// Those that are refused, but not before their time: their address is too quick (KIP-612).
    delayed: BTreeMap<(MonotonicUs, ConnectionId), Arrived>,
    /// Of all of them, by address.
    by_peer: BTreeMap<PeerAddress, usize>,
    quotas: Arc<ClientQuotas>,
    windows: QuotaWindows,
    /// New connections, by address.
    rates: BTreeMap<PeerAddress, Window>,
    /// When the connections of so far would have come at an even pace.
    paced_at: MonotonicUs,
}

impl Admission {
    /// Nobody is connected, and clients may have so many descriptors.
    #[must_use]
    pub fn new(descriptors_max: usize) -> Admission {
        Admission {
            limits: ConnectionLimits::default(),
            descriptors_max,
            served: BTreeMap::new(),
            held: VecDeque::new(),
            delayed: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            quotas: Arc::default(),
            windows: QuotaWindows::of_clients(&Settings::new()),
            rates: BTreeMap::new(),
            paced_at: 0,
        }
    }

    /// How many are served, and how many wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.served.len(), self.held.len())
    }

    /// Other limits are in force.
    pub fn handle_limits(
        &mut self,
        now: Now,
        limits: ConnectionLimits,
        verdicts: &mut Vec<Verdict>,
    ) {
        self.limits = limits;
        self.serve_held(now, verdicts);
    }

    /// Other quotas are in force.
    pub fn handle_quotas(&mut self, quotas: &Arc<ClientQuotas>, windows: QuotaWindows) {
        self.quotas = Arc::clone(quotas);
        self.windows = windows;
        if !has_any(quotas, QuotaKind::ConnectionCreationRate) {
            self.rates.clear();
        }
    }

    /// Counts a new connection of an address; gives how long it is too early.
    fn rate_wait_us(&mut self, now: Now, peer: PeerAddress) -> u64 {
        let Some(quota) = find_of_ip(&self.quotas, peer) else {
            return 0;
        };
        let (now_us, windows) = (now.monotonic_us, self.windows);
        if !self.rates.contains_key(&peer) && self.rates.len() >= QUOTA_BUCKETS_MAX {
            self.rates
                .retain(|_, window| window.total(windows, now_us) > 0);
            if self.rates.len() >= QUOTA_BUCKETS_MAX {
                self.rates.pop_first();
            }
        }
        let window = self.rates.entry(peer).or_default();
        let wait_us = window.wait_for_us(windows, now_us, quota.millionths(), 1);
        if wait_us == 0 {
            window.record(windows, now_us, 1);
        }
        wait_us.min(windows.length_us)
    }

    /// A shard has accepted a connection.
    pub fn handle_arrived(&mut self, now: Now, arrived: Arrived, verdicts: &mut Vec<Verdict>) {
        if let Some(refusal) = self.refusal(&arrived) {
            return verdicts.push(arrived.verdict(Err(refusal)));
        }
        *self.by_peer.entry(arrived.peer).or_default() += 1;
        let early_us = self.rate_wait_us(now, arrived.peer);
        if early_us > 0 && arrived.waits {
            let at = now.monotonic_us + early_us;
            self.delayed.insert((at, arrived.connection), arrived);
        } else if !arrived.waits {
            self.serve(now, arrived);
        } else if self.held.is_empty() && self.has_place(now) {
            self.serve(now, arrived);
            verdicts.push(arrived.verdict(Ok(())));
        } else {
            self.held.push_back(arrived);
        }
        self.assert_counts();
    }

    /// A connection has ended, whatever had become of it.
    pub fn handle_left(&mut self, now: Now, connection: ConnectionId, verdicts: &mut Vec<Verdict>) {
        let served = self.served.remove(&connection);
        let is_it = |held: &Arrived| held.connection == connection;
        let held = || self.held.iter().position(is_it);
        let peer = match served {
            Some(peer) => Some(peer),
            None => held().and_then(|place| Some(self.held.remove(place)?.peer)),
        };
        let peer = peer.or_else(|| {
            let mut delayed = self.delayed.keys();
            let key = delayed.find(|(_, id)| *id == connection).copied()?;
            Some(self.delayed.remove(&key)?.peer)
        });
        // One that was refused is not counted.
        let Some(peer) = peer else { return };
        self.uncount(peer);
        self.assert_counts();
        self.serve_held(now, verdicts);
    }

    fn uncount(&mut self, peer: PeerAddress) {
        let count = self.by_peer.get_mut(&peer).expect("it was counted");
        *count -= 1;
        if *count == 0 {
            self.by_peer.remove(&peer);
        }
    }

    /// When the next one that waits may be served, if only its pace holds it back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        let waits = !self.held.is_empty() && self.served.len() < self.limits.all;
        let interval = self.interval_us().filter(|_| waits);
        let next = interval.map(|interval| (self.paced_at + interval).saturating_sub(BURST_US));
        let delayed = self.delayed.keys().next().map(|(at, _)| *at);
        next.into_iter().chain(delayed).min()
    }

    /// Serves those whose turn has come.
    pub fn handle_timeout(&mut self, now: Now, verdicts: &mut Vec<Verdict>) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now.monotonic_us
        {
            let arrived = entry.remove();
            self.uncount(arrived.peer);
            verdicts.push(arrived.verdict(Err(Refusal::Rate)));
        }
        self.serve_held(now, verdicts);
    }

    fn refusal(&self, arrived: &Arrived) -> Option<Refusal> {
        let of_peer = self.by_peer.get(&arrived.peer).copied().unwrap_or(0);
        if of_peer >= self.limits.of_peer(arrived.peer) {
            return Some(Refusal::Peer);
        }
        let waiting = self.held.len() + self.delayed.len();
        if self.served.len() + waiting >= self.descriptors_max {
            return Some(Refusal::Descriptors);
        }
        (waiting >= CONNECTIONS_HELD_MAX).then_some(Refusal::Held)
    }

    /// Microseconds between two new connections at the rate that is allowed; `None` if none is.
    fn interval_us(&self) -> Option<u64> {
        match self.limits.new_per_second {
            None => Some(0),
            Some(rate) => 1_000_000u64.checked_div(rate.into()),
        }
    }

    fn has_place(&self, now: Now) -> bool {
        let Some(interval) = self.interval_us() else {
            return false;
        };
        let paced_at = self.paced_at.max(now.monotonic_us);
        self.served.len() < self.limits.all && paced_at + interval <= now.monotonic_us + BURST_US
    }

    fn serve(&mut self, now: Now, arrived: Arrived) {
        let paced_at = self.paced_at.max(now.monotonic_us);
        self.paced_at = paced_at + self.interval_us().unwrap_or(0);
        let before = self.served.insert(arrived.connection, arrived.peer);
        assert!(before.is_none(), "a connection id is used once");
    }

    fn serve_held(&mut self, now: Now, verdicts: &mut Vec<Verdict>) {
        while self.has_place(now)
            && let Some(arrived) = self.held.pop_front()
        {
            self.serve(now, arrived);
            verdicts.push(arrived.verdict(Ok(())));
        }
    }

    fn assert_counts(&self) {
        let counted = || self.by_peer.values().sum::<usize>();
        let known = self.served.len() + self.held.len() + self.delayed.len();
        debug_assert_eq!(counted(), known);
    }
}

impl Arrived {
    fn verdict(&self, result: Result<(), Refusal>) -> Verdict {
        Verdict {
            to: self.shard,
            connection: self.connection,
            result,
        }
    }
}

#[cfg(test)]
#[path = "admission/tests.rs"]
mod tests;
