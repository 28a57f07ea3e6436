// SPDX-License-Identifier: Apache-2.0
//! A log that could not be opened because the file system is full: it waits and tries again.
//!
//! Owns: [`Delay`]. Invariants: nothing of the failed opening is kept, so that the next one starts
//! from what is on disk; files that it had opened are closed. Runs on: the core of the partition.
//! Bounded by: one attempt every `OPEN_RETRY_MS`.

use super::aborted::AbortedTransactions;
use super::event::LogEvent;
use super::leader_epochs::LeaderEpochs;
use super::open::OpenStep;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase};
use super::point::Points;
use super::producer_state::ProducerState;
use crate::limits::OPEN_RETRY_MS;
use crate::model::disk::{DiskOperation, DiskQueue};
use crate::model::time::{MonotonicUs, Now};

/// An opening that is put off.
#[derive(Debug)]
pub(super) struct Delay {
    until: MonotonicUs,
    stop_wanted: bool,
}

impl Delay {
    /// When to try again.
    pub(super) fn until(&self) -> MonotonicUs {
        self.until
    }
}

impl PartitionLog {
    /// Puts the opening off.
    pub(super) fn delay_opening(
        &mut self,
        now: Now,
        step: OpenStep,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let stop_wanted = self.opening().stop_wanted;
        // One file is open at most, and none if it is its opening that failed.
        let is_open = !matches!(
            step,
            OpenStep::MakeFirst | OpenStep::ScanFile | OpenStep::CleanFile
        );
        for mut segment in std::mem::take(&mut self.segments) {
            if let Some(file) = segment.file.take().filter(|_| is_open) {
                self.push(Pending::Ignored, DiskOperation::Close { file }, disk);
            }
        }
        self.epochs = LeaderEpochs::new();
        self.producers = ProducerState::new();
        self.aborted = AbortedTransactions::default();
        self.points = Points::default();
        self.phase = Phase::Delayed(Delay {
            until: now.after_ms(OPEN_RETRY_MS),
            stop_wanted,
        });
        events.push(LogEvent::OpenDelayed);
        self.step_delay(events);
    }

    /// Tries again once it is time and nothing of the last attempt is under way.
    pub(super) fn go_on_delayed(&mut self, now: Now, disk: &mut DiskQueue) {
        let Phase::Delayed(delay) = &mut self.phase else {
            unreachable!("only a delayed opening asks so");
        };
        if delay.until > now.monotonic_us {
            return;
        }
        if !self.operations.is_empty() {
            delay.until = now.after_ms(OPEN_RETRY_MS);
            return;
        }
        self.phase = Phase::Closed;
        self.handle_open(now, disk);
    }

    /// Stops instead of trying again.
    pub(super) fn stop_delayed(&mut self, events: &mut Vec<LogEvent>) {
        if let Phase::Delayed(delay) = &mut self.phase {
            delay.stop_wanted = true;
        }
        self.step_delay(events);
    }

    /// Ends the delay if a stop is wanted and nothing is under way any more.
    pub(super) fn step_delay(&mut self, events: &mut Vec<LogEvent>) {
        let Phase::Delayed(delay) = &self.phase else {
            unreachable!("only a delayed opening asks so");
        };
        if delay.stop_wanted && self.operations.is_empty() {
            self.phase = Phase::Closed;
            events.push(LogEvent::Stopped);
        }
    }
}
