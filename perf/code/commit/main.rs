// SPDX-License-Identifier: Apache-2.0
//! `perf/smoke --places disk,ext4,xfs`: what a commit costs when a load of the same size is spread
//! over 1, 16, 128 and 1,000 partitions, with one flush for the device and with one for each
//! partition, beside what the file system does by itself in the same minutes. And on the first
//! place: the latency at half of what it takes at most, beside a plain write and flush under the
//! same CPU load; and that of single records beside the zeros that are written behind another log.
//!
//! Three ratios must hold; they are printed last.

mod beside;
#[path = "../figures.rs"]
mod figures;
#[path = "../load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../machine.rs"]
mod machine;
#[path = "../lab/measured.rs"]
#[allow(dead_code)]
mod measured;
mod pace;
#[path = "../../../tests/broker/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../raw_disk.rs"]
#[allow(dead_code)]
mod raw_disk;
#[path = "../lab/ring.rs"]
#[allow(dead_code)]
mod ring;
#[path = "../lab/rounds.rs"]
#[allow(dead_code)]
mod rounds;
mod spread;
mod twin;
#[path = "../../../tests/broker/volume.rs"]
#[allow(dead_code)]
mod volume;

use std::path::{Path, PathBuf};
use std::time::Duration;

use figures::{Figures, Transfer};
use load::Scenario;
use measured::Measured;
use process::Broker;
use volume::{EXT4, Recipe, Volume, XFS};

/// Bytes of the image of a loop device.
const IMAGE_BYTES: u64 = 6 << 30;

/// Time for what the broker does in the background after a topic was made.
const SETTLE: Duration = Duration::from_millis(500);

/// Who flushes, and how the broker is told.
const STRATEGIES: [(&str, &str); 2] = [
    ("one flush for the device", "log.flush.device=true"),
    ("a flush for each partition", "log.flush.device=false"),
];

struct Options {
    rounds: usize,
    time: Duration,
    places: Vec<String>,
    partitions: Vec<i32>,
    /// Settings that each broker of the floods gets as well.
    settings: Vec<String>,
    folder: PathBuf,
    json: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options {
        rounds: 3,
        time: Duration::from_secs(3),
        places: Vec::new(),
        partitions: vec![1, 16, 128, 1000],
        settings: Vec::new(),
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        json: None,
    };
    let list = |text: String| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--short" => (options.rounds, options.time) = (1, Duration::from_millis(500)),
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--seconds" => options.time = Duration::from_secs(value().parse().expect("seconds")),
            "--places" => options.places = list(value()),
            "--partitions" => {
                let counts = list(value());
                let counts = counts.iter().map(|count| count.parse().expect("a count"));
                options.partitions = counts.collect();
            }
            "--set" => options.settings.push(value()),
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
    println!("{facts}");
    println!(
        "client: own load generator, 4 connections with 4 requests of a 64 KB batch or 32 of a \
         single record under way each, the next partition for each request; acks=all, idempotence \
         off, flush before every answer; ext4 (with a journal) and xfs are on loop devices (direct \
         I/O) on that disk"
    );
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for place in &options.places {
            println!(
                "round {round} of {}, {place}: load average {}",
                options.rounds,
                machine::load_average()
            );
            measure(&options, place, &mut figures);
        }
    }
    print!("{}", figures.table());
    for (name, bound) in [
        (SPREAD, "at least 0.70"),
        (HALF, "at most 3"),
        (beside::RATIO, "at most 3"),
    ] {
        println!("must hold: {name}: {bound}");
    }
    if let Some(path) = &options.json {
        figures.append_json(path, &facts);
    }
}

/// Ratios that must hold, by name.
const SPREAD: &str = "MB/s of 128 partitions against 1, one flush for the device";
const HALF: &str = "p99 at half load against 64 KiB written and flushed under the same CPU load";

fn measure(options: &Options, place: &str, figures: &mut Figures) {
    let file_system = match place {
        "disk" => None,
        "ext4" => Some(EXT4),
        "xfs" => Some(XFS),
        other => panic!("{other} is no place: disk, ext4 or xfs"),
    };
    let volume = file_system.map(|file_system| {
        let recipe = Recipe {
            is_written: true,
            ..file_system
        };
        Volume::make(&options.folder, recipe, IMAGE_BYTES)
            .unwrap_or_else(|sentence| panic!("no loop device: {sentence}"))
    });
    let folder = volume
        .as_ref()
        .map_or_else(|| options.folder.clone(), Volume::path);
    raw(&folder, place, options.time, figures);
    let mut one_partition = None;
    for (strategy, setting) in STRATEGIES {
        let floods = floods(options, &folder, (place, strategy, setting), figures);
        let rate = |partitions| {
            let found = floods.iter().find(|(count, _)| *count == partitions);
            found.map(|(_, mb_per_second)| *mb_per_second)
        };
        if setting == STRATEGIES[0].1 {
            one_partition = rate(1);
            if let (Some(one), Some(many)) = (rate(1), rate(128)) {
                figures.add(&format!("{place}: {SPREAD}"), "ratio", many / one);
            }
        }
    }
    if let (Some(mb_per_second), None) = (one_partition, file_system) {
        half_load(options, &folder, mb_per_second, figures);
        beside::run(&folder, options.time, figures);
    }
}

/// What the file system does by itself: rounds of 4 KiB into so many files, made durable in each
/// way.
fn raw(folder: &Path, place: &str, time: Duration, figures: &mut Figures) {
    let below = tempfile::tempdir_in(folder).expect("the folder can be written");
    let mut say = |what: &str, how: &str, measured: &Measured| {
        let name = format!("{place}, raw, {what} of 4 KiB, {how}");
        figures.add(&name, "MB/s", measured.mb_per_second());
        figures.add(&name, "p50 us", measured.percentile_us(50));
        figures.add(&name, "p99 us", measured.percentile_us(99));
    };
    rounds::run(below.path(), time, &mut say);
}

/// The load of half a maximum, and one of the two floods.
fn batches_of_64_kb(partitions: i32) -> Scenario {
    Scenario {
        name: "64 KB batches",
        partitions,
        record_bytes: 1024,
        batch_records: 63,
        window: 4,
    }
}

/// The other flood: what is dear here is not the bytes.
fn single_records(partitions: i32) -> Scenario {
    Scenario {
        name: "single 1 KB records",
        partitions,
        record_bytes: 1024,
        batch_records: 1,
        window: 32,
    }
}

/// A broker that is told so, on a directory of its own.
pub fn start(data: &Path, settings: &[&str]) -> Broker {
    let mut arguments = vec!["--listen", "127.0.0.1:0"];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    Broker::try_start(data, &arguments)
        .unwrap_or_else(|ended| panic!("the broker ended with {}: {}", ended.status, ended.said))
}

/// The flood over each count of partitions; gives MB/s of each.
fn floods(
    options: &Options,
    folder: &Path,
    (place, strategy, setting): (&str, &str, &str),
    figures: &mut Figures,
) -> Vec<(i32, f64)> {
    let data = tempfile::tempdir_in(folder).expect("the folder can be written");
    let mut settings = vec![setting];
    settings.extend(options.settings.iter().map(String::as_str));
    let mut broker = start(data.path(), &settings);
    let mut rates = Vec::new();
    for partitions in &options.partitions {
        for scenario in [batches_of_64_kb(*partitions), single_records(*partitions)] {
            let topic = format!("spread-{partitions}-{}", scenario.batch_records);
            load::create_topic(&broker.address, &topic, *partitions);
            spread::warm(&broker.address, &topic, &scenario);
            std::thread::sleep(SETTLE);
            let cpu_before = machine::cpu_seconds(broker.pid());
            let sent = spread::flood(&broker.address, &topic, &scenario, options.time);
            let cpu = machine::cpu_seconds(broker.pid()) - cpu_before;
            broker.assert_alive();
            let name = format!(
                "{place}, {strategy}, {}, {partitions} partitions",
                scenario.name
            );
            figures.add_transfer(&name, &sent, cpu);
            if scenario.batch_records > 1 {
                rates.push((*partitions, mb_per_second(&sent)));
            }
            load::delete_topic(&broker.address, &topic);
        }
    }
    assert_eq!(broker.stop().code(), Some(0));
    rates
}

fn mb_per_second(transfer: &Transfer) -> f64 {
    transfer.bytes as f64 / 1e6 / transfer.seconds
}

/// Half of what one partition takes, and the same commits without a broker under the same CPU load.
fn half_load(options: &Options, folder: &Path, most_mb_per_second: f64, figures: &mut Figures) {
    let data = tempfile::tempdir_in(folder).expect("the folder can be written");
    let broker = start(data.path(), &[]);
    let (topic, scenario) = ("half", batches_of_64_kb(1));
    load::create_topic(&broker.address, topic, 1);
    spread::warm(&broker.address, topic, &scenario);
    std::thread::sleep(SETTLE);
    let commits_per_second = most_mb_per_second / 2.0 / 0.0655;
    let cpu = || {
        let client = machine::cpu_seconds(std::process::id());
        (machine::cpu_seconds(broker.pid()), client)
    };
    let before = cpu();
    let sent = spread::paced(
        &broker.address,
        topic,
        &scenario,
        commits_per_second,
        options.time,
    );
    let after = cpu();
    let load = twin::Load {
        broker_cores: (after.0 - before.0) / sent.seconds,
        client_cores: (after.1 - before.1) / sent.seconds,
        commits_per_second,
    };
    let name = "disk, half load, one partition";
    figures.add_transfer(name, &sent, after.0 - before.0);
    figures.add(name, "client CPU, cores", load.client_cores);
    assert_eq!(broker.stop().code(), Some(0));
    let raw = twin::run(data.path(), load, options.time);
    figures.add_latencies(
        "disk, the same commits without a broker, CPU load the same",
        &raw,
    );
    let of = |latencies: &hdrhistogram::Histogram<u64>| latencies.value_at_quantile(0.99) as f64;
    figures.add(HALF, "ratio", of(&sent.latencies_us) / of(&raw));
}
