// SPDX-License-Identifier: Apache-2.0
//! `perf/restart`: how long a broker with much data takes from the start of its process until every
//! partition has taken a record and given it back, after a kill -9 in the middle of writing.

#[path = "../figures.rs"]
#[allow(dead_code)]
mod figures;
#[path = "../load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../machine.rs"]
#[allow(dead_code)]
mod machine;
#[path = "../../../tests/broker/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../raw_disk.rs"]
#[allow(dead_code)]
mod raw_disk;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use figures::Figures;
use load::{Scenario, fill_topic, first_success, produce_until_killed};
use process::Broker;

const TOPIC: &str = "granary";

/// How long every partition is written to before the broker is killed.
const LOAD_TIME: Duration = Duration::from_millis(500);

/// Batches of 1 MB, several unanswered.
const SCENARIO: Scenario = Scenario {
    name: "12 p, 1 MB batches",
    partitions: 12,
    record_bytes: 1024,
    batch_records: 960,
    window: 2,
};

struct Options {
    gb: u64,
    rounds: usize,
    folder: PathBuf,
    json: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options {
        gb: 18,
        rounds: 3,
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        json: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--gb" => options.gb = value().parse().expect("a number of GB"),
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--folder" => options.folder = PathBuf::from(value()),
            "--json" => options.json = Some(PathBuf::from(value())),
            // Cargo says so to every bench.
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let facts = machine::facts(&options.folder);
    println!("{facts}\nload average {}", machine::load_average());
    let data = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
    let mut broker = Broker::start(data.path());
    let mut figures = Figures::default();
    let filled = fill_topic(
        &broker.address,
        TOPIC,
        &SCENARIO,
        options.gb * 1_000_000_000,
    );
    broker.assert_alive();
    println!(
        "filled: {:.1} GB in {:.1} s, {:.0} MB/s, peak memory {:.0} MB",
        filled.bytes as f64 / 1e9,
        filled.seconds,
        filled.bytes as f64 / 1e6 / filled.seconds,
        broker.memory_peak_bytes() as f64 / 1e6
    );
    let partitions = u64::try_from(SCENARIO.partitions).expect("not negative");
    let mut acknowledged: Vec<u64> = (0..partitions)
        .map(|_| filled.records / partitions)
        .collect();
    for _ in 0..options.rounds {
        broker = round(
            broker,
            data.path(),
            &options,
            &mut acknowledged,
            &mut figures,
        );
    }
    assert_eq!(broker.stop().code(), Some(0));
    let name = format!("after kill -9 with {} GB in 12 partitions", options.gb);
    clean_start(data.path(), &mut figures);
    println!("{name}, load average {}", machine::load_average());
    print!("{}", figures.table());
    if let Some(path) = &options.json {
        figures.append_json(path, &format!("{name}; {facts}"));
    }
}

/// Kills a broker that is being written to, starts it again, and takes the times.
fn round(
    broker: Broker,
    data: &Path,
    options: &Options,
    acknowledged: &mut [u64],
    figures: &mut Figures,
) -> Broker {
    let writers = produce_until_killed(&broker.address, TOPIC, &SCENARIO);
    thread::sleep(LOAD_TIME);
    broker.kill();
    for (writer, known) in writers.into_iter().zip(acknowledged.iter_mut()) {
        *known += writer.join().expect("no panic");
    }
    let last_segments = last_segment_bytes(data);
    let name = format!("kill -9, {} GB", options.gb);
    let (broker, offsets) = start(data, &name, figures);
    figures.add(&name, "MB in the last segments", last_segments / 1e6);
    for (offset, known) in offsets.into_iter().zip(acknowledged) {
        let found = u64::try_from(offset).expect("not negative");
        assert!(found >= *known, "{found} records of {known} acknowledged");
        // What was written when the broker died may be there, too; and one more is now.
        *known = found + 1;
    }
    broker
}

/// A start for comparison: after a clean stop.
fn clean_start(data: &Path, figures: &mut Figures) {
    let (broker, _) = start(data, "clean stop", figures);
    broker.kill();
}

/// Starts the broker; the times count from before its process is there. Gives the offset of the
/// first new record of each partition.
fn start(data: &Path, name: &str, figures: &mut Figures) -> (Broker, Vec<i64>) {
    let began = Instant::now();
    let broker = Broker::start(data);
    let ready = began.elapsed();
    let probes: Vec<_> = (0..SCENARIO.partitions)
        .map(|partition| {
            let server = broker.address.clone();
            thread::spawn(move || first_success(&server, TOPIC, partition))
        })
        .collect();
    let probes: Vec<(i64, Instant, Instant)> = probes
        .into_iter()
        .map(|probe| probe.join().expect("no panic"))
        .collect();
    let produced = probes.iter().map(|probe| probe.1 - began).max();
    let fetched = probes.iter().map(|probe| probe.2 - began).max();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    figures.add(name, "ms until it says that it serves", ms(ready));
    let produced = produced.expect("there are partitions");
    figures.add(
        name,
        "ms until every partition has taken a record",
        ms(produced),
    );
    let fetched = fetched.expect("there are partitions");
    figures.add(
        name,
        "ms until every partition has given it back",
        ms(fetched),
    );
    figures.add(
        name,
        "MB read from the disk by then",
        read_bytes(broker.pid()) / 1e6,
    );
    figures.add(
        name,
        "MB of memory at most",
        broker.memory_peak_bytes() as f64 / 1e6,
    );
    let offsets = probes.iter().map(|probe| probe.0).collect();
    (broker, offsets)
}

/// Bytes of the newest segment of each partition, which a recovery may have to scan.
fn last_segment_bytes(data: &Path) -> f64 {
    let mut sum = 0;
    for partition in 0..SCENARIO.partitions {
        let folder = data.join(format!("{TOPIC}-{partition}"));
        let entries = fs::read_dir(folder).expect("the partition is there");
        let paths = entries.map(|entry| entry.expect("the partition is there").path());
        let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let last = logs.max().expect("every partition has a segment");
        sum += last.metadata().expect("it is there").len();
    }
    sum as f64
}

/// Bytes that a process has read from disks so far.
fn read_bytes(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("the process runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    line.expect("Linux counts this").parse().expect("a number")
}
