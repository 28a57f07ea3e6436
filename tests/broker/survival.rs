// SPDX-License-Identifier: Apache-2.0
//! What survives kill -9: everything that was acknowledged, under its offset, and no epoch twice.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, batch_of, produce_request};
use crate::process::Broker;
use furlong::wire::protocol::encode_request;

#[test]
fn acknowledged_records_survive_kill_and_restart() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut expected: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    for round in 0..4 {
        let broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        if round == 0 {
            client.create_topic("furrow", 3);
        }
        for (partition, records) in &expected {
            assert_eq!(
                &client.read_all("furrow", *partition),
                records,
                "round {round}"
            );
        }
        for n in 0..60 {
            let partition = n % 3;
            let values: Vec<String> = (0..=n % 7).map(|i| format!("{round} {n} {i}")).collect();
            let base = client.produce_values("furrow", partition, &values);
            let records = expected.entry(partition).or_default();
            records.extend((base..).zip(values));
        }
        broker.kill();
    }
}

#[test]
fn a_kill_in_the_middle_of_writing_loses_nothing_acknowledged() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    Client::connect(&broker.address).create_topic("furrow", 1);
    let address = broker.address.clone();
    let writer = thread::spawn(move || {
        let mut client = Client::connect(&address);
        let mut acknowledged = Vec::new();
        for n in 0.. {
            let value = format!("{n} {}", "x".repeat(n % 9000));
            let request = produce_request("furrow", 0, batch_of(std::slice::from_ref(&value)));
            let parts = encode_request(7, "test", 9, &request).expect("the version can say it");
            if client.send(&parts.concat()).is_err() || client.read_frame().is_err() {
                return acknowledged;
            }
            acknowledged.push(value);
        }
        acknowledged
    });
    thread::sleep(Duration::from_millis(400));
    broker.kill();
    let acknowledged = writer.join().expect("the writer ends");
    assert!(!acknowledged.is_empty());
    let broker = Broker::start(data.path());
    let found = Client::connect(&broker.address).read_all("furrow", 0);
    let values: Vec<&String> = found.iter().map(|(_, value)| value).collect();
    // The one batch that was under way may be there or not.
    assert!(values.len() <= acknowledged.len() + 1);
    assert!(values.iter().zip(&acknowledged).all(|(a, b)| *a == b));
    assert!(
        values.len() >= acknowledged.len(),
        "{} of {}",
        values.len(),
        acknowledged.len()
    );
    assert!(found.iter().zip(0..).all(|((offset, _), n)| *offset == n));
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 1);
    client.produce_values("furrow", 0, &["first".to_owned(), "second".to_owned()]);
    broker.kill();
    append_half_a_batch(data.path().join("furrow-0/00000000000000000000.log"));
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    assert_eq!(client.read_all("furrow", 0).len(), 2);
    assert_eq!(client.produce_values("furrow", 0, &["third".to_owned()]), 2);
    assert_eq!(client.read_all("furrow", 0).len(), 3);
}

/// Puts the first half of a sound batch behind the last batch of a segment, as a torn write would.
fn append_half_a_batch(segment: PathBuf) {
    let contents = std::fs::read(&segment).expect("the segment is there");
    let mut end = 0;
    while contents.len() >= end + 61 && contents[end + 8..end + 12] != [0; 4] {
        let length = contents[end + 8..end + 12].try_into().expect("four bytes");
        end += 12 + usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
    }
    let mut batch = batch_of(&["x".repeat(600)]).to_vec();
    batch[..8].copy_from_slice(&2i64.to_be_bytes());
    let kept = batch.len() / 2;
    let mut torn = contents;
    torn.truncate(end);
    torn.extend_from_slice(&batch[..kept]);
    torn.resize(torn.len().next_multiple_of(4096), 0);
    let mut file = std::fs::File::create(&segment).expect("the segment can be written");
    file.write_all(&torn).expect("the segment can be written");
}

#[test]
fn every_start_leads_in_a_new_epoch() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut epochs = Vec::new();
    for round in 0..4 {
        let broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        if round == 0 {
            client.create_topic("furrow", 2);
        }
        epochs.push(client.leader_epoch("furrow", 1));
        if round % 2 == 0 {
            broker.kill();
        } else {
            assert_eq!(broker.stop().code(), Some(0));
        }
    }
    assert!(
        epochs.windows(2).all(|pair| pair[0] < pair[1]),
        "{epochs:?}"
    );
}

#[test]
fn a_deleted_topic_stays_deleted_and_its_name_is_free() {
    use furlong::wire::protocol::delete_topics::DeleteTopicsRequest;
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("fallow", 2);
    client.produce_values("fallow", 0, &["old".to_owned()]);
    let request = DeleteTopicsRequest {
        topic_names: vec!["fallow".into()],
        timeout_ms: 30_000,
        ..Default::default()
    };
    assert_eq!(client.call(5, &request).responses[0].error_code, 0);
    broker.kill();
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    assert_eq!(client.metadata("fallow").topics[0].error_code, 3);
    client.create_topic("fallow", 1);
    assert_eq!(client.read_all("fallow", 0), []);
    assert_eq!(client.produce_values("fallow", 0, &["new".to_owned()]), 0);
}

#[test]
fn retention_looks_as_often_as_it_is_told() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["--listen", "127.0.0.1:0", "--set"];
    let set = ["log.retention.check.interval.ms=200"];
    let arguments = [&arguments[..], &set[..]].concat();
    let broker = Broker::try_start(data.path(), &arguments).expect("it starts");
    let mut client = Client::connect(&broker.address);
    let settings = [("segment.bytes", "1048576"), ("retention.bytes", "1048576")];
    client.create_topic_with("furrow", 1, &settings);
    let large = ["x".repeat(500_000)];
    for _ in 0..10 {
        client.produce_values("furrow", 0, &large);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.fetch("furrow", 0, 0).error_code != 1 {
        assert!(Instant::now() < deadline, "nothing was removed");
        thread::sleep(Duration::from_millis(50));
    }
}
