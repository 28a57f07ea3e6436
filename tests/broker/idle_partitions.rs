// SPDX-License-Identifier: Apache-2.0
//! The disk that partitions hold which got a record each and then no more.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use furlong::limits::{IDLE_PARTITION_DISK_BYTES_MAX, WRITE_AHEAD_BYTES_MIN};
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::client::{Client, batch_of};
use crate::process::{Broker, PATIENCE};
use crate::volume::{EXT4, Volume};

const PARTITIONS: i32 = 1000;
/// The file system of the test, in bytes.
const VOLUME_BYTES: u64 = 1 << 30;

fn skip(sentence: &str) {
    let may_not = std::env::var_os("FURLONG_TESTS_MAY_NOT_SKIP").is_some();
    assert!(!may_not, "{sentence}");
    eprintln!("SKIPPED: {sentence}");
}

/// One record for each partition.
fn request() -> ProduceRequest {
    let value = ["x".repeat(100)];
    let partition_data = (0..PARTITIONS)
        .map(|index| PartitionProduceData {
            index,
            records: Some(batch_of(&value)),
        })
        .collect();
    let topic = TopicProduceData {
        name: "idle".into(),
        partition_data,
        ..Default::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// The segments of the topic: how many, the disk given to them, and their length, in bytes.
fn segments(data: &Path) -> (usize, u64, u64) {
    let of_topic = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("idle-")
    };
    let list = |path: &Path| {
        let entries = fs::read_dir(path).expect("it is there");
        entries.flatten().map(|entry| entry.path())
    };
    let logs = list(data)
        .filter(of_topic)
        .flat_map(|directory| list(&directory).collect::<Vec<_>>())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.fold((0, 0, 0), |(count, disk, len), path| {
        let metadata = fs::metadata(path).expect("it is there");
        (
            count + 1,
            disk + metadata.blocks() * 512,
            len + metadata.len(),
        )
    })
}

/// What `furlong check` says of the zeros, in KiB.
fn checked_kib(data: &Path) -> u64 {
    let output = Command::new(env!("CARGO_BIN_EXE_furlong"))
        .args(["check", "--data"])
        .arg(data)
        .output()
        .expect("the program is built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = said.lines().find_map(|line| {
        let rest = line.strip_prefix("written ahead of the records: ")?;
        rest.split(' ').next()?.parse().ok()
    });
    figure.unwrap_or_else(|| panic!("the check does not say how much is written ahead: {said}"))
}

#[test]
fn a_thousand_idle_partitions_hold_little_disk_and_the_check_says_how_much() {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let volume = match Volume::make(parent, EXT4, VOLUME_BYTES) {
        Ok(volume) => volume,
        Err(sentence) => return skip(&sentence),
    };
    let data = volume.path();
    let partitions = u64::try_from(PARTITIONS).expect("positive");
    let broker = Broker::start(&data);
    let mut client = Client::connect(&broker.address);
    client.create_topic("idle", PARTITIONS);
    let response = client.call(9, &request());
    let answers = &response.responses[0].partition_responses;
    assert!(answers.iter().all(|answer| answer.error_code == 0));
    let record_bytes = u64::try_from(batch_of(&["x".repeat(100)]).len()).expect("small");
    let begun = Instant::now();
    let (mut disk, mut len) = (0, 0);
    while begun.elapsed() < PATIENCE && len < partitions * (WRITE_AHEAD_BYTES_MIN + 4096) {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let (count, now, length) = segments(&data);
        assert_eq!(count, 1000);
        (disk, len) = (now, length);
    }
    let beyond = disk - partitions * record_bytes;
    let checked = checked_kib(&data);
    println!(
        "1,000 idle partitions hold {} KiB beyond their records ({} KiB each); the check says \
         {checked} KiB",
        beyond / 1024,
        beyond / 1024 / partitions
    );
    assert!(
        beyond >= partitions * WRITE_AHEAD_BYTES_MIN,
        "no zeros were written ahead: the bound says nothing"
    );
    assert!(beyond <= partitions * IDLE_PARTITION_DISK_BYTES_MAX);
    assert!(
        (checked * 1024).abs_diff(beyond) <= (partitions + 200) * 4096,
        "the rest of the last block, and the metadata log, is all that they may differ by"
    );
    assert_eq!(broker.stop().code(), Some(0));
    let (_, disk, len) = segments(&data);
    assert_eq!(len, partitions * record_bytes, "cut to their exact length");
    assert_eq!(disk, partitions * 4096);
}
