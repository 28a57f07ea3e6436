// SPDX-License-Identifier: Apache-2.0
//! What the kernel's counters say about the way of the records to the disk: direct I/O, no answer
//! before its flush, how many flushes a round of many partitions costs, and that a consumer at the
//! tip needs no disk. Counters of the block layer and of the process see what io_uring does; a
//! trace of system calls would not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::client::{Client, batch_of};
use crate::flush_trace::FlushTrace;
use crate::process::Broker;
use crate::volume::{EXT4, Recipe, Volume, XFS};

/// Partitions of the test of many.
const PARTITIONS: i32 = 64;

/// Bytes of a file system of its own.
const VOLUME_BYTES: u64 = 512 << 20;

/// `O_DIRECT` in the flags that `/proc` shows.
const O_DIRECT: u32 = 0o40_000;

/// What a machine lacks is said, and in `.ci/run` it is a failure.
pub fn skip(sentence: &str) {
    let may_not = std::env::var_os("FURLONG_TESTS_MAY_NOT_SKIP").is_some();
    assert!(!may_not, "{sentence}");
    eprintln!("SKIPPED: {sentence}");
}

/// A folder on a real disk: what lies in memory has no disk to read.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}

/// The open `.log` files of a process and the flags of each.
fn open_logs(pid: u32) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    for descriptor in descriptors {
        let descriptor = descriptor.expect("the process runs");
        // One that was closed meanwhile has neither a target nor flags.
        let Ok(target) = fs::read_link(descriptor.path()) else {
            continue;
        };
        let number = descriptor.file_name().to_string_lossy().into_owned();
        let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")) else {
            continue;
        };
        if target
            .extension()
            .is_some_and(|extension| extension == "log")
        {
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.expect("Linux shows the flags").trim();
            found.push((
                target,
                u32::from_str_radix(flags, 8).expect("an octal number"),
            ));
        }
    }
    found
}

/// A count of `/proc/<pid>/io`.
fn io_count(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("the process runs");
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    let value = fields.find(|(field, _)| *field == name);
    let (_, value) = value.expect("Linux counts this");
    value.parse().expect("a number")
}

/// Bytes of a file that the page cache holds; `None` without the program that asks the kernel.
fn cached_bytes(path: &Path) -> Option<u64> {
    let done = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(path)
        .output()
        .ok()?;
    String::from_utf8_lossy(&done.stdout).trim().parse().ok()
}

pub fn values(count: usize, bytes: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{n} {}", "x".repeat(bytes)))
        .collect()
}

#[test]
fn appends_are_direct_and_leave_nothing_in_the_page_cache() {
    let data = folder();
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 4);
    let before = io_count(broker.pid(), "write_bytes");
    for n in 0..40 {
        client.produce_values("furrow", n % 4, &values(20, 1000));
    }
    let written = io_count(broker.pid(), "write_bytes") - before;
    assert!(
        written >= 40 * 20 * 1000,
        "only {written} bytes went to the disk"
    );
    let logs = open_logs(broker.pid());
    let of_topic = logs
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("/furrow-"));
    assert_eq!(of_topic.count(), 4, "one active segment each: {logs:?}");
    for (path, flags) in logs {
        assert!(
            flags & O_DIRECT != 0,
            "{} is open with {flags:o}",
            path.display()
        );
        match cached_bytes(&path) {
            Some(cached) => assert_eq!(cached, 0, "{} is in the page cache", path.display()),
            None => skip("fincore (tests/broker/install brings it) is missing"),
        }
    }
}

#[test]
fn no_answer_leaves_before_its_flush_on_ext4() {
    no_answer_leaves_before_its_flush(EXT4);
}

#[test]
fn no_answer_leaves_before_its_flush_on_xfs() {
    no_answer_leaves_before_its_flush(XFS);
}

/// One request after another, on a file system where nobody else flushes.
fn no_answer_leaves_before_its_flush(file_system: Recipe<'_>) {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let volume = match Volume::make(parent, file_system, VOLUME_BYTES) {
        Ok(volume) => volume,
        Err(sentence) => return skip(&sentence),
    };
    let broker = Broker::start(&volume.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 1);
    let quiet_before = volume.flushes();
    for _ in 0..50 {
        client.metadata("furrow");
    }
    let quiet = volume.flushes() - quiet_before;
    assert!(
        quiet < 10,
        "{quiet} flushes while nothing was written: the count says nothing"
    );
    for n in 0..50 {
        let before = volume.flushes();
        client.produce_values("furrow", 0, &values(1, 100));
        let after = volume.flushes();
        assert!(after > before, "request {n} was answered before any flush");
    }
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn flushes_of_a_round_of_many_partitions() {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let volume = match Volume::make(parent, EXT4, VOLUME_BYTES) {
        Ok(volume) => volume,
        Err(sentence) => return skip(&sentence),
    };
    let broker = Broker::start(&volume.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", PARTITIONS);
    // The first rounds may find files that are not ready yet for anything better.
    for _ in 0..20 {
        produce_round(&mut client);
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    let trace = match FlushTrace::start(&volume.path()) {
        Ok(trace) => trace,
        Err(sentence) => return skip(&sentence),
    };
    let rounds = 20;
    let device_before = volume.flushes();
    for _ in 0..rounds {
        produce_round(&mut client);
    }
    let files = trace.flushes();
    let device = volume.flushes() - device_before;
    let partitions = usize::try_from(PARTITIONS).expect("not negative");
    println!("{files} flushes of files, {device} of the device in {rounds} rounds of {partitions}");
    assert!(
        device >= rounds,
        "{device} flushes cannot have made {rounds} rounds durable"
    );
    let rounds = usize::try_from(rounds).expect("64 bits");
    let most = rounds * partitions / 4;
    assert!(files < most, "{files} flushes of files");
    let device = usize::try_from(device).expect("64 bits");
    assert!(device < most, "{device} flushes of the device");
    drop(trace);
    assert_eq!(broker.stop().code(), Some(0));
}

/// One small batch for every partition in one request.
fn produce_round(client: &mut Client) {
    let partition_data = (0..PARTITIONS)
        .map(|index| PartitionProduceData {
            index,
            records: Some(batch_of(&values(1, 50))),
        })
        .collect();
    let topic = TopicProduceData {
        name: "furrow".into(),
        partition_data,
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    };
    let response = client.call(9, &request);
    for partition in &response.responses[0].partition_responses {
        assert_eq!(partition.error_code, 0, "{:?}", partition.error_message);
    }
}

#[test]
fn a_consumer_at_the_tip_reads_no_disk() {
    let data = folder();
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 1);
    client.produce_values("furrow", 0, &values(1, 100));
    let before = io_count(broker.pid(), "read_bytes");
    for _ in 0..50 {
        let offset = client.produce_values("furrow", 0, &values(10, 500));
        let fetched = client.fetch("furrow", 0, offset);
        assert!(fetched.records.is_some_and(|records| records.len() > 5000));
    }
    let read = io_count(broker.pid(), "read_bytes") - before;
    assert_eq!(
        read, 0,
        "bytes that 50 fetches at the tip took from the disk"
    );
    assert_eq!(broker.stop().code(), Some(0));
    // The same count sees the reads of a consumer that comes after a restart.
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    let before = io_count(broker.pid(), "read_bytes");
    assert_eq!(client.read_all("furrow", 0).len(), 501);
    let read = io_count(broker.pid(), "read_bytes") - before;
    assert!(
        read >= 250_000,
        "{read} bytes: this count does not see direct reads"
    );
}
