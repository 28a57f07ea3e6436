// SPDX-License-Identifier: Apache-2.0
//! How long the stages of requests took on one executor, as histograms.
//!
//! Owns: [`StageTimes`]. Invariants: a sample is recorded in place, without memory being reserved;
//! one that is longer than the histogram knows counts as the longest.
//! Runs on: its executor; copies go to whoever asks. Bounded by: `STAGE_US_MAX` at two digits, 11
//! histograms of about 20 KiB.

use hdrhistogram::Histogram;

use crate::limits::STAGE_US_MAX;
use crate::shard::stage::{Stage, StageSample};

/// Histograms in microseconds, one for each stage.
#[derive(Clone, Debug)]
pub struct StageTimes {
    histograms: Vec<Histogram<u64>>,
    sums_us: Vec<u64>,
}

impl Default for StageTimes {
    fn default() -> StageTimes {
        let histogram = || Histogram::new_with_bounds(1, STAGE_US_MAX, 2).expect("sound bounds");
        StageTimes {
            histograms: Stage::ALL.iter().map(|_| histogram()).collect(),
            sums_us: vec![0; Stage::ALL.len()],
        }
    }
}

impl StageTimes {
    /// Adds a sample.
    pub fn record(&mut self, sample: StageSample) {
        let place = sample.stage.place();
        self.histograms[place].saturating_record(sample.took_us);
        self.sums_us[place] = self.sums_us[place].saturating_add(sample.took_us);
    }

    /// The histogram of a stage, in microseconds.
    #[must_use]
    pub fn of(&self, stage: Stage) -> &Histogram<u64> {
        &self.histograms[stage.place()]
    }

    /// All its samples together, in microseconds.
    #[must_use]
    pub fn sum_us(&self, stage: Stage) -> u64 {
        self.sums_us[stage.place()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_to_their_stage() {
        let mut times = StageTimes::default();
        for took_us in [100, 200, 300, STAGE_US_MAX * 10] {
            let stage = Stage::Flush;
            times.record(StageSample { stage, took_us });
        }
        assert_eq!(times.of(Stage::Flush).len(), 4);
        assert_eq!(times.of(Stage::Write).len(), 0);
        assert_eq!(times.sum_us(Stage::Flush), 600 + STAGE_US_MAX * 10);
        let median = times.of(Stage::Flush).value_at_quantile(0.5);
        assert!((198..=202).contains(&median), "{median}");
    }
}
