// SPDX-License-Identifier: Apache-2.0
//! `perf/smoke`: raw disk, produce and fetch in one run, in alternated rounds, so that the figures
//! of one run may be compared with each other. Figures of different runs may not: the disk under a
//! shared machine moves by half.

mod figures;
// The other programs here use more of it.
#[allow(dead_code)]
mod load;
mod machine;
#[path = "../../tests/broker/process.rs"]
#[allow(dead_code)]
mod process;
mod raw_disk;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use figures::Figures;
use load::{Scenario, fetch, produce};
use process::Broker;

/// What is produced and fetched. Payloads are incompressible and sent uncompressed, acks=all.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "1 p, 1 MB batches",
        partitions: 1,
        record_bytes: 1024,
        batch_records: 960,
        window: 4,
    },
    Scenario {
        name: "4 p, 64 KB batches",
        partitions: 4,
        record_bytes: 1024,
        batch_records: 63,
        window: 4,
    },
    Scenario {
        name: "1 p, 100 B records",
        partitions: 1,
        record_bytes: 100,
        batch_records: 1000,
        window: 4,
    },
    Scenario {
        name: "1 p, one 1 KB record at a time",
        partitions: 1,
        record_bytes: 1024,
        batch_records: 1,
        window: 1,
    },
];

struct Options {
    rounds: usize,
    time: Duration,
    cores: Option<String>,
    folder: PathBuf,
    json: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options {
        rounds: 1,
        time: Duration::from_secs(3),
        cores: None,
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        json: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--short" => options.time = Duration::from_millis(500),
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--seconds" => options.time = Duration::from_secs(value().parse().expect("seconds")),
            "--cores" => options.cores = Some(value()),
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
    println!("{}", machine::facts(&options.folder));
    println!(
        "client: own load generator of this repository (ready-made requests, blocking sockets, \
        loopback, unpinned); \
         acks=all, idempotence off, flush before every answer"
    );
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        println!(
            "round {round} of {}, load average {}",
            options.rounds,
            machine::load_average()
        );
        raw_disk::run(&options.folder, options.time, &mut figures);
        broker_round(&options, &mut figures);
    }
    print!("{}", figures.table());
    if let Some(path) = &options.json {
        figures.append_json(path, &machine::facts(&options.folder));
    }
}

/// One fresh broker in a fresh directory: every scenario in, then out again.
fn broker_round(options: &Options, figures: &mut Figures) {
    let data = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
    let mut broker = start(data.path(), options);
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let topic = format!("smoke-{number}");
        let cpu_before = machine::cpu_seconds(broker.pid());
        let sent = produce(&broker.address, &topic, scenario, options.time);
        let cpu = machine::cpu_seconds(broker.pid()) - cpu_before;
        let name = format!("produce, {}", scenario.name);
        figures.add_transfer(&name, &sent, cpu);
        broker.assert_alive();
        let cpu_before = machine::cpu_seconds(broker.pid());
        let received = fetch(&broker.address, &topic, scenario);
        let cpu = machine::cpu_seconds(broker.pid()) - cpu_before;
        assert_eq!(
            received.records, sent.records,
            "what came out is what went in"
        );
        figures.add_transfer(&format!("fetch, {}", scenario.name), &received, cpu);
    }
    figures.add(
        "broker, peak memory",
        "MB",
        broker.memory_peak_bytes() as f64 / 1e6,
    );
    broker.assert_alive();
    broker.kill();
    let began = Instant::now();
    let broker = start(data.path(), options);
    figures.add(
        "broker, serving again after kill -9",
        "ms",
        began.elapsed().as_secs_f64() * 1e3,
    );
    assert_eq!(broker.stop().code(), Some(0));
}

fn start(data: &Path, options: &Options) -> Broker {
    let Some(cores) = &options.cores else {
        return Broker::start(data);
    };
    let arguments = ["--listen", "127.0.0.1:0", "--cores", cores];
    Broker::try_start(data, &arguments)
        .unwrap_or_else(|ended| panic!("the broker ended with {}: {}", ended.status, ended.said))
}
