// SPDX-License-Identifier: Apache-2.0
//! Figures by name, over rounds: medians and ranges.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use hdrhistogram::Histogram;

/// What one transfer moved.
pub struct Transfer {
    /// Records.
    pub records: u64,
    /// Bytes of record batches.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Time from sending a request to its answer, in microseconds.
    pub latencies_us: Histogram<u64>,
}

/// All figures of a run, in the order in which they were first seen.
#[derive(Default)]
pub struct Figures {
    rows: Vec<(String, &'static str, Vec<f64>)>,
}

impl Figures {
    /// Adds one round's value of a figure.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.0 == name && row.1 == unit);
        match known {
            Some((_, _, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), unit, vec![value])),
        }
    }

    /// Adds what a transfer says: rate, latency, and the broker's CPU time for each gigabyte.
    pub fn add_transfer(&mut self, name: &str, transfer: &Transfer, cpu_seconds: f64) {
        let (records, bytes) = (transfer.records as f64, transfer.bytes as f64);
        self.add(name, "records/s", records / transfer.seconds);
        self.add(name, "MB/s", bytes / 1e6 / transfer.seconds);
        self.add_latencies(name, &transfer.latencies_us);
        self.add(name, "broker CPU s/GB", cpu_seconds / (bytes / 1e9));
    }

    /// Adds the median and the 99th percentile.
    pub fn add_latencies(&mut self, name: &str, latencies_us: &Histogram<u64>) {
        self.add(name, "p50 us", latencies_us.value_at_quantile(0.5) as f64);
        self.add(name, "p99 us", latencies_us.value_at_quantile(0.99) as f64);
    }

    /// The figures as a Markdown table: median and range.
    pub fn table(&self) -> String {
        let mut out = "\n| | figure | median | range |\n|---|---|---|---|\n".to_owned();
        let mut last = "";
        for (name, unit, values) in &self.rows {
            let shown = if name == last { "" } else { name };
            last = name;
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
            let middle = median(&sorted);
            let line = format!("{} | {} - {}", number(middle), number(low), number(high));
            writeln!(out, "| {shown} | {unit} | {line} |").expect("a string grows");
        }
        out
    }

    /// Appends every value of every round to a file, a line of JSON each.
    pub fn append_json(&self, path: &Path, facts: &str) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.expect("the file can be written");
        for (name, unit, values) in &self.rows {
            let values: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
            let line = format!(
                "{{\"figure\":{name:?},\"unit\":{unit:?},\"values\":[{}],\"facts\":{facts:?}}}",
                values.join(",")
            );
            writeln!(file, "{line}").expect("the file can be written");
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// Three figures are as many as such a measurement has.
fn number(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}
