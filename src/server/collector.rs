// SPDX-License-Identifier: Apache-2.0
//! Asks every executor for its figures.
//!
//! Owns: [`Collector`]. Invariants: an executor is asked by a message, as by any other core, and
//! answers between two turns: nothing of it is shared; one that does not answer in time is missing
//! from the answer, and said to be.
//! Runs on: the admin thread. Bounded by: one question at a time, `ADMIN_WAIT_MS_MAX`.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::machine_loop::Report;
use super::stages::StageTimes;
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::limits::{ADMIN_CHANGE_MS_MAX, ADMIN_WAIT_MS_MAX};
use crate::model::ids::ShardId;
use crate::shard::numbers::ShardNumbers;

/// The figures of one executor.
#[derive(Debug)]
pub struct Figures {
    /// Which.
    pub shard: ShardId,
    /// What its machine says, if it has something to say.
    pub numbers: Option<ShardNumbers>,
    /// How long the stages of its requests took.
    pub stages: StageTimes,
}

/// Reaches the executors through the main thread, which has the lanes to them.
#[derive(Clone, Debug)]
pub struct Collector {
    reports: Sender<Report>,
    executors: usize,
}

impl Collector {
    /// One that reaches so many executors.
    #[must_use]
    pub fn new(reports: Sender<Report>, executors: usize) -> Collector {
        Collector { reports, executors }
    }

    /// How many executors there are.
    #[must_use]
    pub fn executors(&self) -> usize {
        self.executors
    }

    /// Has the controller do something; `None` if it does not say in time whether it was done.
    #[must_use]
    pub fn ask(&self, request: ControlRequest) -> Option<ControlAnswer> {
        let (sender, answers) = channel();
        self.reports.send(Report::Ask(request, sender)).ok()?;
        let patience = Duration::from_millis(ADMIN_CHANGE_MS_MAX);
        answers.recv_timeout(patience).ok()
    }

    /// What the executors answer in time, by shard.
    #[must_use]
    pub fn collect(&self) -> Vec<Figures> {
        let (sender, answers) = channel();
        let mut all = Vec::with_capacity(self.executors);
        if self.reports.send(Report::Figures(sender)).is_err() {
            return all;
        }
        let deadline = Instant::now() + Duration::from_millis(ADMIN_WAIT_MS_MAX);
        while all.len() < self.executors {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(figures) = answers.recv_timeout(left) else {
                break;
            };
            all.push(figures);
        }
        all.sort_by_key(|figures: &Figures| figures.shard);
        all
    }
}
