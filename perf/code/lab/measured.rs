// SPDX-License-Identifier: Apache-2.0
//! What one measurement gives: latencies, bytes, time.

use std::time::Duration;

/// Commits of one kind.
#[derive(Default)]
pub struct Measured {
    latencies: Vec<Duration>,
    bytes: usize,
    time: Duration,
}

impl Measured {
    /// Adds a commit of so many bytes.
    pub fn add(&mut self, latency: Duration, bytes: usize) {
        self.latencies.push(latency);
        self.bytes += bytes;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.latencies.len()
    }

    /// Adds time in which these commits were made.
    pub fn add_time(&mut self, time: Duration) {
        self.time += time;
    }

    /// Puts the latencies in order; nothing is added after that.
    pub fn finish(&mut self) {
        self.latencies.sort_unstable();
    }

    /// A latency in microseconds: `part` of a hundred are below it.
    pub fn percentile_us(&self, part: usize) -> f64 {
        let at = (self.latencies.len() * part / 100).min(self.latencies.len() - 1);
        self.latencies[at].as_secs_f64() * 1e6
    }

    /// Commits a second.
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// Megabytes a second.
    pub fn mb_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.time.as_secs_f64()
    }
}
