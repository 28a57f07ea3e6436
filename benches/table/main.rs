// SPDX-License-Identifier: Apache-2.0
//! `benches/compaction`: a real broker compacts a topic of many keys: how fast, and in how much
//! memory. Afterwards the topic is read from its begin: of each key the newest value must be there.
//!
//! Owns: the program. Invariants: nothing is compacted until all is written, so the time is that of
//! compaction alone. Runs on: one thread, beside the broker's process. Bounded by: its options.

#[path = "../../tests/broker/admin.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod admin;
#[path = "../../tests/broker/client.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod client;
#[path = "../../perf/code/machine.rs"]
#[allow(dead_code, reason = "other programs use the rest of it")]
mod machine;
#[path = "../../tests/broker/process.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod process;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use client::Client;
use process::Broker;

const TOPIC: &str = "table";
const BATCH_RECORDS: u64 = 5000;
const VALUE_BYTES: usize = 100;
/// A stride that meets every key: it shares no factor with the counts of keys that are asked for.
const STRIDE: u64 = 7_654_321;
/// All passes together.
const PATIENCE: Duration = Duration::from_secs(900);
/// Nothing new for so long: it is done.
const QUIET: Duration = Duration::from_secs(3);

struct Options {
    keys: u64,
    /// How often each key is written.
    rounds: u64,
    /// `log.cleaner.dedupe.buffer.size`.
    dedupe_bytes: String,
    memory: String,
    folder: PathBuf,
}

fn options() -> Options {
    let mut options = Options {
        keys: 10_000_000,
        rounds: 2,
        dedupe_bytes: "134217728".into(),
        memory: "4GiB".into(),
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--keys" => options.keys = value().parse().expect("a number of keys"),
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--dedupe-bytes" => options.dedupe_bytes = value(),
            "--memory" => options.memory = value(),
            "--folder" => options.folder = PathBuf::from(value()),
            // Cargo says so to every bench.
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    assert!(
        greatest_common_divisor(options.keys, STRIDE) == 1,
        "choose another number of keys"
    );
    options
}

impl Options {
    /// A tenth of what is written: all but the last segment is compacted.
    fn segment_bytes(&self) -> u64 {
        let record_bytes = u64::try_from(VALUE_BYTES).expect("small") + 16;
        (self.keys * self.rounds * record_bytes / 10).clamp(1 << 20, 128 << 20)
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

fn main() {
    let options = options();
    println!("{}", machine::facts(&options.folder));
    println!("load average {}", machine::load_average());
    let data = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
    let dedupe = format!("log.cleaner.dedupe.buffer.size={}", options.dedupe_bytes);
    let arguments = [
        "--memory",
        &options.memory,
        "--set",
        &dedupe,
        "--set",
        "log.cleaner.backoff.ms=100",
    ];
    let (mut broker, admin) = admin::start_with(data.path(), &arguments);
    let mut client = Client::connect(&broker.address);
    let segment_bytes = options.segment_bytes().to_string();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", segment_bytes.as_str()),
        ("min.cleanable.dirty.ratio", "0"),
        ("min.compaction.lag.ms", "864000000"),
    ];
    client.create_topic_with(TOPIC, 1, &settings);
    let began = Instant::now();
    for round in 0..options.rounds {
        write(&mut client, &options, round);
    }
    let written = figures(&admin);
    println!(
        "{} keys, {} times each: {:.2} GB written in {:.0} s, memory {:.0} MB",
        options.keys,
        options.rounds,
        written.size_bytes / 1e9,
        began.elapsed().as_secs_f64(),
        broker_memory(&broker) / 1e6
    );
    client.alter_topic(TOPIC, "min.compaction.lag.ms", Some("0"));
    let largest = wait(&admin, &broker);
    let done = figures(&admin);
    broker.assert_alive();
    tell(&written, &done, &largest);
    let found = read(&mut client, &options);
    println!(
        "{found} records are left, the newest value of each key among them; peak memory {:.0} MB",
        broker.memory_peak_bytes() as f64 / 1e6
    );
}

/// What the broker says of itself.
struct Numbers {
    passes: f64,
    read_bytes: f64,
    written_bytes: f64,
    microseconds: f64,
    size_bytes: f64,
    /// Of a pass under way.
    held_bytes: f64,
}

fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    });
    lines
        .map(|line| line.rsplit_once(' ').expect("a value").1)
        .map(|value| value.parse::<f64>().expect("a number"))
        .sum()
}

fn figures(admin: &str) -> Numbers {
    let (status, text) = admin::get(admin, "/metrics");
    assert_eq!(status, 200);
    Numbers {
        passes: sum(&text, "furlong_compaction_passes_total"),
        read_bytes: sum(&text, "furlong_compaction_read_bytes_total"),
        written_bytes: sum(&text, "furlong_compaction_written_bytes_total"),
        microseconds: sum(&text, "furlong_compaction_microseconds_total"),
        size_bytes: sum(&text, "kafka_log_log_size"),
        held_bytes: sum(&text, "furlong_memory_compaction_bytes"),
    }
}

fn broker_memory(broker: &Broker) -> f64 {
    let path = format!("/proc/{}/status", broker.pid());
    let text = std::fs::read_to_string(path).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("Linux tells it").trim().trim_end_matches(" kB");
    kib.trim().parse::<f64>().expect("a number") * 1024.0
}

/// Writes each key once, in an order that is no order.
fn write(client: &mut Client, options: &Options, round: u64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("the clock is past 1970").as_millis();
    let now_ms = i64::try_from(since).expect("milliseconds fit 64 bits");
    let mut value = vec![7; VALUE_BYTES];
    value[..8].copy_from_slice(&round.to_be_bytes());
    let mut sent = 0;
    while sent < options.keys {
        let mut builder = BatchBuilder::new(Compression::None);
        let end = options.keys.min(sent + BATCH_RECORDS);
        for number in sent..end {
            let key = (number * STRIDE + round) % options.keys;
            builder.append(now_ms, Some(&key.to_be_bytes()), Some(&value), &[]);
        }
        let answer = client.produce(TOPIC, 0, builder.build());
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        sent = end;
    }
}

/// The most that was seen while it compacted.
struct Largest {
    held_bytes: f64,
    memory_bytes: f64,
    /// From the moment when it was allowed until the last pass ended.
    seconds: f64,
}

/// Waits until nothing is compacted any more.
fn wait(admin: &str, broker: &Broker) -> Largest {
    let began = Instant::now();
    let mut largest = Largest {
        held_bytes: 0.0,
        memory_bytes: 0.0,
        seconds: 0.0,
    };
    let (mut passes, mut changed) = (0.0, Instant::now());
    loop {
        let now = figures(admin);
        largest.held_bytes = largest.held_bytes.max(now.held_bytes);
        largest.memory_bytes = largest.memory_bytes.max(broker_memory(broker));
        if now.passes > passes {
            largest.seconds = began.elapsed().as_secs_f64();
        }
        if now.passes > passes || now.held_bytes > 0.0 {
            (passes, changed) = (now.passes, Instant::now());
        }
        if passes > 0.0 && changed.elapsed() > QUIET {
            return largest;
        }
        assert!(began.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

fn tell(before: &Numbers, after: &Numbers, largest: &Largest) {
    let seconds = after.microseconds / 1e6;
    println!(
        "{:.0} passes in {:.1} s ({:.1} s of work): {:.2} GB read, {:.2} GB written, {:.0} MB/s \
         read and written",
        after.passes,
        largest.seconds,
        seconds,
        after.read_bytes / 1e9,
        after.written_bytes / 1e9,
        (after.read_bytes + after.written_bytes) / 1e6 / seconds
    );
    println!(
        "the log: {:.2} GB before, {:.2} GB after; a pass held {:.0} MB at most, the process {:.0} \
         MB",
        before.size_bytes / 1e9,
        after.size_bytes / 1e9,
        largest.held_bytes / 1e6,
        largest.memory_bytes / 1e6
    );
}

/// Reads the topic from its begin: the last value that comes of each key is its newest.
fn read(client: &mut Client, options: &Options) -> u64 {
    let keys = usize::try_from(options.keys).expect("64 bits");
    let mut newest: Vec<u64> = vec![u64::MAX; keys];
    let (mut offset, mut found) = (0, 0);
    loop {
        let answer = client.fetch(TOPIC, 0, offset);
        assert_eq!(answer.error_code, 0);
        let bytes = answer.records.clone().unwrap_or_default();
        if bytes.is_empty() {
            assert_eq!(offset, answer.high_watermark, "all was read");
            break;
        }
        for batch in split_batches(&bytes).map_while(Result::ok) {
            let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
            for record in &opened {
                let record = record.expect("a good record");
                let key = record
                    .key
                    .and_then(|key| key.first_chunk())
                    .expect("8 bytes");
                let value = record.value.and_then(|value| value.first_chunk());
                let key = usize::try_from(u64::from_be_bytes(*key)).expect("64 bits");
                newest[key] = u64::from_be_bytes(*value.expect("8 bytes"));
                found += 1;
            }
            offset = opened.header().last_offset() + 1;
        }
    }
    assert!(newest.iter().all(|round| *round == options.rounds - 1));
    found
}
