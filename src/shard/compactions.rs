// SPDX-License-Identifier: Apache-2.0
//! What compaction got done on a shard.
//!
//! Owns: [`CompactionCounts`]. Invariants: totals never fall. Runs on: its shard.
//! Bounded by: a few counters; one line for each pass, for those who look closely.

use super::contract::{Effects, ProcessEffect};
use super::machine::Shard;
use crate::log::CompactionReport;

/// Totals since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionCounts {
    /// Passes that came to their end.
    pub passes: u64,
    /// Passes that were given up: for a stop, a full disk, or damage.
    pub given_up: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// By how much logs became smaller.
    pub removed_bytes: u64,
    /// How long passes took, in microseconds.
    pub took_us: u64,
}

impl CompactionCounts {
    fn take(&mut self, report: &CompactionReport) {
        if report.is_whole {
            self.passes += 1;
        } else {
            self.given_up += 1;
        }
        self.read_bytes += report.read_bytes;
        self.written_bytes += report.written_bytes;
        self.removed_bytes += report.removed_bytes;
        self.took_us += report.took_us;
    }
}

/// What is said of a pass over the log in this directory.
fn line(directory: &str, report: &CompactionReport) -> String {
    let CompactionReport {
        clean_end,
        keys,
        read_bytes,
        written_bytes,
        removed_bytes,
        took_us,
        ..
    } = report;
    let took_ms = took_us / 1000;
    let outcome = if report.is_whole {
        format!("each key occurs once below offset {clean_end}")
    } else {
        "given up, to be begun again".to_owned()
    };
    format!(
        "{directory} was compacted in {took_ms} ms ({outcome}): {keys} keys; {read_bytes} bytes \
         read, {written_bytes} written, the log is {removed_bytes} smaller."
    )
}

impl Shard {
    /// A pass on the log of a partition ended.
    pub(super) fn note_compaction(
        &mut self,
        slot: u32,
        report: &CompactionReport,
        effects: &mut Effects,
    ) {
        self.compactions.take(report);
        let Some(partition) = self.partitions.get(slot) else {
            return;
        };
        let sentence = line(&partition.spec().directory, report).into();
        effects.process.push(ProcessEffect::Detail { sentence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(is_whole: bool) -> CompactionReport {
        CompactionReport {
            is_whole,
            clean_end: 1200,
            keys: 30,
            read_bytes: 5000,
            written_bytes: 700,
            removed_bytes: 4000,
            took_us: 12_345,
        }
    }

    #[test]
    fn totals_are_sums() {
        let mut counts = CompactionCounts::default();
        counts.take(&report(true));
        counts.take(&report(false));
        counts.take(&report(true));
        let expected = CompactionCounts {
            passes: 2,
            given_up: 1,
            read_bytes: 15_000,
            written_bytes: 2100,
            removed_bytes: 12_000,
            took_us: 37_035,
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_line_says_what_was_done() {
        let line = line("data/orders-3", &report(true));
        assert_eq!(
            line,
            "data/orders-3 was compacted in 12 ms (each key occurs once below offset 1200): 30 \
             keys; 5000 bytes read, 700 written, the log is 4000 smaller."
        );
    }
}
