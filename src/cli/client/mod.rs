// SPDX-License-Identifier: Apache-2.0
//! A blocking Kafka client over our own wire module: what the commands and the load generator use.
//!
//! Owns: connections, the view of the cluster, producing, consuming, the partitioner.
//! Invariants: a record counts as acknowledged only when a broker said so; records of a partition
//! keep their order through retries. Runs on: the command's threads. Bounded by: the constants
//! here.

mod aborted;
pub mod assign;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod coordinator;
mod fetcher;
pub mod member;
pub mod offsets;
pub mod partitioner;
pub mod positions;
pub mod producer;

#[cfg(test)]
pub(crate) mod fake_broker;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// What this client calls itself.
pub const CLIENT_ID: &str = "furlong-cli";
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the broker may take over a request.
pub const REQUEST_TIMEOUT_MS: i32 = 30_000;
/// How long a call is tried again before it has failed.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(60);
/// First pause before a retry; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause before a retry.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The wall clock, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Pauses between retries, and when to give up.
#[derive(Clone, Debug)]
pub struct Retry {
    since: std::time::Instant,
    limit: Duration,
    pause: Duration,
}

impl Retry {
    /// Tries again for `limit` from now.
    #[must_use]
    pub fn lasting(limit: Duration) -> Retry {
        Retry {
            since: std::time::Instant::now(),
            limit,
            pause: RETRY_PAUSE,
        }
    }

    /// Sleeps before the next try; false once the time is over.
    #[must_use]
    pub fn pause(&mut self) -> bool {
        if self.since.elapsed() >= self.limit {
            return false;
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(RETRY_PAUSE_MAX);
        true
    }
}
