// SPDX-License-Identifier: Apache-2.0
//! A compacted topic of a real broker, killed again and again while it compacts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::client::Client;
use crate::process::{Broker, PATIENCE};

const KEYS: usize = 50;
const TOPIC: &str = "table";

fn start(data: &Path) -> Broker {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--set",
        "log.cleaner.backoff.ms=20",
        // Slow enough that a kill meets a pass.
        "--set",
        "log.cleaner.io.max.bytes.per.second=3e6",
    ];
    Broker::try_start(data, &arguments).expect("the broker starts")
}

/// Bytes of all segments of the partition.
fn stored_bytes(data: &Path) -> u64 {
    let directory = fs::read_dir(data.join(format!("{TOPIC}-0"))).expect("it is there");
    let entries = directory.filter_map(Result::ok);
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "log"));
    logs.filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Each batch has a value for each key: the number of the batch.
fn batch(number: u64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for key in 0..KEYS {
        let value = [number.to_be_bytes().to_vec(), vec![7; 300]].concat();
        builder.append(
            1_700_000_000_000,
            Some(&[u8::try_from(key).expect("small")]),
            Some(&value),
            &[],
        );
    }
    builder.build()
}

/// The newest value of each key, and how many records there are; offsets ascend.
fn read_table(client: &mut Client) -> (BTreeMap<u8, u64>, usize) {
    let (mut table, mut count, mut offset) = (BTreeMap::new(), 0, 0);
    loop {
        let answer = client.fetch(TOPIC, 0, offset);
        assert_eq!(answer.error_code, 0);
        let bytes = answer.records.clone().unwrap_or_default();
        if bytes.is_empty() {
            assert_eq!(offset, answer.high_watermark, "all was read");
            return (table, count);
        }
        for batch in split_batches(&bytes).map_while(Result::ok) {
            let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
            for record in &opened {
                let record = record.expect("good records");
                assert!(record.offset >= offset);
                let value = record
                    .value
                    .and_then(|value| value.first_chunk())
                    .expect("8 bytes");
                table.insert(record.key.expect("a key")[0], u64::from_be_bytes(*value));
                count += 1;
            }
            offset = opened.header().last_offset() + 1;
        }
    }
}

#[test]
fn a_broker_killed_while_it_compacts_keeps_the_newest_of_each_key() {
    let data = tempfile::tempdir().expect("a directory");
    let mut broker = start(data.path());
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    Client::connect(&broker.address).create_topic_with(TOPIC, 1, &settings);
    let mut number = 0;
    for life in 0..6 {
        let mut client = Client::connect(&broker.address);
        for _ in 0..800 {
            let answer = client.produce(TOPIC, 0, batch(number));
            assert_eq!(answer.error_code, 0);
            number += 1;
        }
        thread::sleep(Duration::from_millis(130 * life));
        broker.kill();
        broker = start(data.path());
        let (table, _) = read_table(&mut Client::connect(&broker.address));
        assert_eq!(table.len(), KEYS);
        assert!(
            table.values().all(|newest| *newest == number - 1),
            "{table:?}"
        );
    }
    let sent = usize::try_from(number).expect("small") * KEYS;
    let deadline = Instant::now() + PATIENCE;
    let mut client = Client::connect(&broker.address);
    loop {
        let (table, count) = read_table(&mut client);
        assert!(
            table.values().all(|newest| *newest == number - 1),
            "{table:?}"
        );
        if count < sent / 4 {
            break;
        }
        let stored = stored_bytes(data.path());
        assert!(
            Instant::now() < deadline,
            "{count} of {sent} records, {stored} bytes"
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert!(broker.stop().success());
}

#[test]
fn how_compaction_runs_can_be_changed_while_it_runs() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    // Slower than a byte in the time of this test, and looked at once in a day.
    client.alter_brokers("log.cleaner.backoff.ms", Some("86400000"));
    client.alter_brokers("log.cleaner.io.max.bytes.per.second", Some("1"));
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    client.create_topic_with(TOPIC, 1, &settings);
    for number in 0..3000 {
        assert_eq!(client.produce(TOPIC, 0, batch(number)).error_code, 0);
    }
    client.alter_brokers("log.cleaner.backoff.ms", Some("20"));
    client.alter_brokers("log.cleaner.io.max.bytes.per.second", None);
    let deadline = Instant::now() + PATIENCE;
    while read_table(&mut client).1 >= 3000 * KEYS / 2 {
        assert!(Instant::now() < deadline, "it was not compacted");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(broker.stop().success());
}
