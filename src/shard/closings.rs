// SPDX-License-Identifier: Apache-2.0
//! Connections that this shard closes, by reason, and what a person is told of it.
//!
//! Owns: [`Closings`]. Invariants: every closing counts; a person is told of those that a client
//! may complain about, at most once in `CLOSINGS_TOLD_MS`, and of none of them never.
//! Runs on: its shard. Bounded by: the number of reasons.

use super::contract::{Effects, ProcessEffect};
use super::control_shard::admission::Refusal;
use super::machine::Shard;
use crate::limits::{CLOSINGS_TOLD_MS, CONNECTIONS_HELD_MAX, FIRST_REQUEST_MS};
use crate::model::ids::ConnectionId;
use crate::model::time::{MonotonicUs, Now};

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedFor {
    /// Nothing happened on it for `connections.max.idle.ms`.
    Idleness,
    /// Its first request was not whole in time.
    NoRequest,
    /// Its address has `max.connections.per.ip`.
    PeerLimit,
    /// Clients have as many descriptors as they may have.
    Descriptors,
    /// Too many wait for `max.connections` or `max.connection.creation.rate`.
    HeldLimit,
    /// This shard serves as many as it can.
    ShardLimit,
    /// Its address makes more connections than its quota allows.
    RateLimit,
}

impl ClosedFor {
    /// All reasons.
    pub const ALL: [ClosedFor; 7] = [
        ClosedFor::Idleness,
        ClosedFor::NoRequest,
        ClosedFor::PeerLimit,
        ClosedFor::Descriptors,
        ClosedFor::HeldLimit,
        ClosedFor::ShardLimit,
        ClosedFor::RateLimit,
    ];

    /// Its name among the figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClosedFor::Idleness => "idle",
            ClosedFor::NoRequest => "no_request",
            ClosedFor::PeerLimit => "max_connections_per_ip",
            ClosedFor::Descriptors => "descriptors",
            ClosedFor::HeldLimit => "too_many_wait",
            ClosedFor::ShardLimit => "shard_limit",
            ClosedFor::RateLimit => "connection_creation_rate",
        }
    }

    fn place(self) -> usize {
        let found = ClosedFor::ALL.iter().position(|known| *known == self);
        found.expect("every reason is in the list")
    }

    /// The end of a sentence, for what a person should know.
    fn told(self) -> Option<String> {
        Some(match self {
            ClosedFor::Idleness => return None,
            ClosedFor::NoRequest => format!("without a request for {} s", FIRST_REQUEST_MS / 1000),
            ClosedFor::PeerLimit => "over max.connections.per.ip".to_owned(),
            ClosedFor::Descriptors => {
                "over what the descriptors of this process allow (raise `ulimit -n`)".to_owned()
            }
            ClosedFor::HeldLimit => format!(
                "because {CONNECTIONS_HELD_MAX} wait for max.connections or \
                 max.connection.creation.rate already"
            ),
            ClosedFor::ShardLimit => "over the limit of a shard".to_owned(),
            ClosedFor::RateLimit => "over the quota connection_creation_rate".to_owned(),
        })
    }
}

impl From<Refusal> for ClosedFor {
    fn from(refusal: Refusal) -> ClosedFor {
        match refusal {
            Refusal::Peer => ClosedFor::PeerLimit,
            Refusal::Descriptors => ClosedFor::Descriptors,
            Refusal::Held => ClosedFor::HeldLimit,
            Refusal::Rate => ClosedFor::RateLimit,
        }
    }
}

/// The closings of a shard.
#[derive(Debug, Default)]
pub struct Closings {
    counts: [u64; ClosedFor::ALL.len()],
    /// Of them, what was told.
    told: [u64; ClosedFor::ALL.len()],
    /// When the next line may be said.
    quiet_until: MonotonicUs,
    has_news: bool,
}

impl Closings {
    /// Takes note of a closing.
    pub fn note(&mut self, reason: ClosedFor) {
        self.counts[reason.place()] += 1;
        self.has_news |= reason.told().is_some();
    }

    /// How many there were, by reason.
    #[must_use]
    pub fn counts(&self) -> [u64; ClosedFor::ALL.len()] {
        self.counts
    }

    /// When there is something to say.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        self.has_news.then_some(self.quiet_until)
    }

    /// What there is to say now.
    pub fn handle_timeout(&mut self, now: Now) -> Option<String> {
        if !self.has_news || now.monotonic_us < self.quiet_until {
            return None;
        }
        self.has_news = false;
        self.quiet_until = now.after_ms(CLOSINGS_TOLD_MS);
        let mut parts = Vec::new();
        for reason in ClosedFor::ALL {
            let count = self.counts[reason.place()] - self.told[reason.place()];
            if let Some(why) = reason.told().filter(|_| count > 0) {
                parts.push(format!("{count} {why}"));
            }
        }
        self.told = self.counts;
        Some(format!("closed connections: {}.", parts.join(", ")))
    }
}

impl Shard {
    /// A connection is admitted or not.
    pub(super) fn take_verdict(
        &mut self,
        connection: ConnectionId,
        result: Result<(), Refusal>,
        effects: &mut Effects,
    ) {
        match result {
            Ok(()) => self
                .connections
                .handle_admitted(connection, &mut effects.network),
            Err(refusal) => self.take_refusal(connection, refusal, effects),
        }
    }

    /// A connection was not admitted.
    fn take_refusal(&mut self, connection: ConnectionId, refusal: Refusal, effects: &mut Effects) {
        let network = &mut effects.network;
        if self.connections.handle_refused(connection, network) {
            self.closings.note(refusal.into());
        }
    }

    /// Closes those whose time is over, until the turn has emitted enough, and says so.
    pub(super) fn close_overdue(&mut self, now: Now, effects: &mut Effects) {
        while !effects.is_full()
            && let Some(reason) = self.connections.handle_timeout(&mut effects.network)
        {
            self.closings.note(reason);
        }
        if let Some(sentence) = self.closings.handle_timeout(now) {
            let sentence = sentence.into();
            effects.process.push(ProcessEffect::Notice { sentence });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Now {
        Now {
            monotonic_us: ms * 1000,
            wall_ms: 0,
        }
    }

    #[test]
    fn one_line_in_a_while_tells_all_that_a_client_may_complain_about() {
        let mut closings = Closings::default();
        closings.note(ClosedFor::Idleness);
        assert_eq!(closings.next_deadline(), None);
        closings.note(ClosedFor::PeerLimit);
        assert_eq!(closings.next_deadline(), Some(0));
        let line = closings.handle_timeout(at_ms(5)).expect("news");
        assert_eq!(line, "closed connections: 1 over max.connections.per.ip.");
        for _ in 0..1000 {
            closings.note(ClosedFor::PeerLimit);
            assert_eq!(closings.handle_timeout(at_ms(6)), None, "not so soon");
        }
        closings.note(ClosedFor::NoRequest);
        let due = closings.next_deadline().expect("news");
        assert_eq!(due, (5 + CLOSINGS_TOLD_MS) * 1000);
        let line = closings.handle_timeout(at_ms(due / 1000)).expect("news");
        assert!(line.contains("1000 over max.connections.per.ip"), "{line}");
        assert!(line.contains("1 without a request for 60 s"), "{line}");
        assert_eq!(closings.counts()[ClosedFor::Idleness.place()], 1);
        assert_eq!(closings.next_deadline(), None);
    }
}
