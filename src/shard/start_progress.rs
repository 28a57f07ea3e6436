// SPDX-License-Identifier: Apache-2.0
//! How far the start of a shard has come, told while the partitions of the first image are opened
//! and once when all of them are.
//!
//! Owns: [`StartProgress`], [`RecoveryProgress`]. Invariants: a shard that has nothing to open
//! tells nothing; the last telling comes before the answer to the first image.
//! Runs on: its shard. Bounded by: one telling every `START_PROGRESS_MS`.

use super::contract::{Effects, ProcessEffect};
use super::machine::Shard;
use super::timers::Timer;
use crate::limits::START_PROGRESS_MS;
use crate::log::RecoveryReport;
use crate::model::time::Now;

/// What is known of a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Partitions that are to be opened.
    pub partitions: u64,
    /// Of them, those that are open.
    pub opened: u64,
    /// Of those, the new ones.
    pub created: u64,
    /// Those that had been stopped in order.
    pub clean: u64,
    /// Those of which bytes had to be read and checked, or would have been if there were any.
    pub scanned: u64,
    /// Those that wait for space on the disk.
    pub delayed: u64,
    /// Bytes to be read, as far as that is known.
    pub bytes_to_scan: u64,
    /// Bytes that were read.
    pub bytes_scanned: u64,
    /// Bytes that recovery points made unnecessary to read.
    pub bytes_skipped: u64,
    /// Bytes of torn writes that were cut.
    pub torn_bytes_cut: u64,
    /// Damaged places that were found.
    pub damaged_places: u64,
    /// Small files that were rebuilt.
    pub files_rebuilt: u64,
}

impl RecoveryProgress {
    /// Takes the work of one log into account.
    fn add_work(&mut self, report: &RecoveryReport) {
        self.bytes_to_scan += report.bytes_to_scan;
        self.bytes_scanned += report.bytes_scanned;
        self.bytes_skipped += report.bytes_skipped;
        self.torn_bytes_cut += report.torn_bytes_cut;
        self.damaged_places += u64::from(report.damaged_places);
        self.files_rebuilt += u64::from(report.files_rebuilt);
    }

    /// One more log is open.
    fn add_opened(&mut self, report: &RecoveryReport) {
        self.opened += 1;
        match report {
            RecoveryReport { created: true, .. } => self.created += 1,
            RecoveryReport { clean: true, .. } => self.clean += 1,
            _ => self.scanned += 1,
        }
        self.add_work(report);
    }

    /// Adds what another shard says.
    pub fn add(&mut self, other: &RecoveryProgress) {
        self.partitions += other.partitions;
        self.opened += other.opened;
        self.created += other.created;
        self.clean += other.clean;
        self.scanned += other.scanned;
        self.delayed += other.delayed;
        self.bytes_to_scan += other.bytes_to_scan;
        self.bytes_scanned += other.bytes_scanned;
        self.bytes_skipped += other.bytes_skipped;
        self.torn_bytes_cut += other.torn_bytes_cut;
        self.damaged_places += other.damaged_places;
        self.files_rebuilt += other.files_rebuilt;
    }
}

/// Where the start of a shard stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StartProgress {
    /// No image has come.
    #[default]
    Waiting,
    /// The partitions of the first image are being opened; what is known of those that are.
    Opening(RecoveryProgress),
    /// They are open.
    Done,
}

impl Shard {
    /// The first image has come; this many partitions are to be opened.
    pub(super) fn begin_start(&mut self, now: Now, partitions: usize) {
        if self.start != StartProgress::Waiting {
            return;
        }
        if partitions == 0 {
            self.start = StartProgress::Done;
            return;
        }
        self.start = StartProgress::Opening(RecoveryProgress {
            partitions: u64::try_from(partitions).expect("counts fit 64 bits"),
            ..RecoveryProgress::default()
        });
        let at = now.after_ms(START_PROGRESS_MS);
        self.timers.insert(at, Timer::StartProgress);
    }

    /// A partition has opened.
    pub(super) fn note_opened(&mut self, report: &RecoveryReport) {
        if let StartProgress::Opening(progress) = &mut self.start {
            progress.add_opened(report);
        }
    }

    /// A partition cannot be opened for want of space.
    pub(super) fn note_delayed(&mut self) {
        if let StartProgress::Opening(progress) = &mut self.start {
            progress.delayed += 1;
        }
    }

    /// It is time to tell how far the start has come.
    pub(super) fn tell_start(&mut self, now: Now, effects: &mut Effects) {
        let StartProgress::Opening(mut progress) = self.start else {
            return;
        };
        for (_, partition) in self.partitions.iter() {
            if let Some(report) = partition.opening_report() {
                progress.add_work(&report);
            }
        }
        effects.process.push(ProcessEffect::Recovering { progress });
        let at = now.after_ms(START_PROGRESS_MS);
        self.timers.insert(at, Timer::StartProgress);
    }

    /// The first image is about to be answered.
    pub(super) fn finish_start(&mut self, effects: &mut Effects) {
        if let StartProgress::Opening(progress) = self.start {
            effects.process.push(ProcessEffect::Recovering { progress });
        }
        self.start = StartProgress::Done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_counted_by_how_they_were_left() {
        let clean = RecoveryReport {
            clean: true,
            ..RecoveryReport::default()
        };
        let created = RecoveryReport {
            created: true,
            ..RecoveryReport::default()
        };
        let torn = RecoveryReport {
            bytes_to_scan: 100,
            bytes_scanned: 90,
            bytes_skipped: 1000,
            torn_bytes_cut: 7,
            damaged_places: 2,
            files_rebuilt: 1,
            ..RecoveryReport::default()
        };
        let mut one = RecoveryProgress::default();
        [clean, created, torn, torn]
            .iter()
            .for_each(|report| one.add_opened(report));
        let mut both = one;
        both.add(&one);
        assert_eq!(
            (both.opened, both.clean, both.created, both.scanned),
            (8, 2, 2, 4)
        );
        assert_eq!((both.bytes_to_scan, both.bytes_scanned), (400, 360));
        assert_eq!((both.bytes_skipped, both.torn_bytes_cut), (4000, 28));
        assert_eq!((both.damaged_places, both.files_rebuilt), (8, 4));
    }
}
