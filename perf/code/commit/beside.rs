// SPDX-License-Identifier: Apache-2.0
//! Single records, one at a time, beside a stream into another log: what do the zeros that the
//! broker writes behind that log cost those who wait for a commit?

use std::path::Path;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::figures::Figures;
use crate::load::{self, Scenario};
use crate::spread;

/// The ratio that must hold.
pub const RATIO: &str = "p99 of a commit beside the broker's own background writes against without";

/// What is measured: a record of 1 KB in a batch of its own.
const SINGLE: Scenario = Scenario {
    name: "one record",
    partitions: 1,
    record_bytes: 1024,
    batch_records: 1,
    window: 1,
};

/// Single records a second.
const SINGLES_PER_SECOND: f64 = 500.0;

/// The stream: batches small enough that zeros are written behind its log.
const STREAM: Scenario = Scenario {
    name: "stream",
    partitions: 4,
    record_bytes: 1024,
    batch_records: 63,
    window: 4,
};

/// Batches of the stream a second: 65 MB/s.
const STREAM_PER_SECOND: f64 = 1000.0;

/// The three cases: name, setting, whether the stream runs.
const CASES: [(&str, &str, bool); 3] = [
    ("alone", "log.write.ahead=true", false),
    (
        "beside a stream without zeros",
        "log.write.ahead=false",
        true,
    ),
    ("beside a stream with zeros", "log.write.ahead=true", true),
];

/// Measures the three.
pub fn run(folder: &Path, time: Duration, figures: &mut Figures) {
    let mut p99 = Vec::new();
    for (case, setting, has_stream) in CASES {
        let latencies = commits(folder, setting, has_stream, time);
        figures.add_latencies(&format!("disk, one 1 KB record, {case}"), &latencies);
        p99.push(latencies.value_at_quantile(0.99) as f64);
    }
    figures.add(RATIO, "ratio", p99[2] / p99[1]);
    figures.add(&format!("{RATIO} (alone)"), "ratio", p99[2] / p99[0]);
}

fn commits(folder: &Path, setting: &str, has_stream: bool, time: Duration) -> Histogram<u64> {
    let data = tempfile::tempdir_in(folder).expect("the folder can be written");
    let broker = crate::start(data.path(), &[setting]);
    for (topic, scenario) in [("single", &SINGLE), ("stream", &STREAM)] {
        load::create_topic(&broker.address, topic, scenario.partitions);
        spread::warm(&broker.address, topic, scenario);
    }
    thread::sleep(crate::SETTLE);
    let server = broker.address.as_str();
    let latencies = thread::scope(|scope| {
        if has_stream {
            scope.spawn(|| spread::paced(server, "stream", &STREAM, STREAM_PER_SECOND, time));
        }
        spread::paced(server, "single", &SINGLE, SINGLES_PER_SECOND, time).latencies_us
    });
    assert_eq!(broker.stop().code(), Some(0));
    latencies
}
