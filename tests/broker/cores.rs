// SPDX-License-Identifier: Apache-2.0
//! A data directory that is served on another number of cores than before, and partitions that move
//! between cores: nothing is lost, and idempotent producers go on.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::record::{BatchBuilder, Compression};

use crate::admin::{get, start_with, value};
use crate::client::Client;
use crate::process::{Broker, Ended, PATIENCE};

const PARTITIONS: i32 = 5;

/// A producer that counts its batches on each partition.
struct Producer {
    id: i64,
    epoch: i16,
    sent: BTreeMap<i32, i32>,
}

impl Producer {
    fn new(client: &mut Client) -> Producer {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        };
        let answer = client.call(4, &request);
        assert_eq!(answer.error_code, 0);
        Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
            sent: BTreeMap::new(),
        }
    }

    /// The batch with this number on its partition, always the same bytes.
    fn batch(&self, partition: i32, sequence: i32) -> Bytes {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.producer(self.id, self.epoch, sequence);
        let text = value_of(partition, sequence);
        batch.append(1_700_000_000_000, None, Some(text.as_bytes()), &[]);
        batch.build()
    }

    /// Sends the next batch of a partition until it is taken; how long it was refused, if it was.
    fn send(&mut self, client: &mut Client, topic: &str, partition: i32) -> Option<Duration> {
        let sequence = self.sent.entry(partition).or_default();
        let number = *sequence;
        *sequence += 1;
        let since = Instant::now();
        let mut refused = false;
        loop {
            let answer = client.produce(topic, partition, self.batch(partition, number));
            match answer.error_code {
                0 => {
                    assert_eq!(answer.base_offset, i64::from(number), "{topic}-{partition}");
                    return refused.then(|| since.elapsed());
                }
                // Not leader, for the moment.
                6 => refused = true,
                other => panic!("{topic}-{partition} {number}: error {other}"),
            }
            assert!(since.elapsed() < PATIENCE, "it is refused for ever");
        }
    }

    /// Sends the newest batches again: each is known, and has its old offset.
    fn send_again(&self, client: &mut Client, topic: &str) {
        for (partition, sent) in &self.sent {
            for sequence in (0..*sent).rev().take(5) {
                let answer = client.produce(topic, *partition, self.batch(*partition, sequence));
                let expected = (0, i64::from(sequence));
                assert_eq!((answer.error_code, answer.base_offset), expected);
            }
        }
    }

    fn check(&self, client: &mut Client, topic: &str) {
        for (partition, sent) in &self.sent {
            let expected: Vec<(i64, String)> = (0..*sent)
                .map(|sequence| (i64::from(sequence), value_of(*partition, sequence)))
                .collect();
            assert_eq!(
                client.read_all(topic, *partition),
                expected,
                "{topic}-{partition}"
            );
        }
    }
}

fn value_of(partition: i32, sequence: i32) -> String {
    let letters = usize::try_from(sequence % 7).expect("not negative") * 700;
    format!("{partition} {sequence} {}", "x".repeat(letters))
}

/// How many partitions each shard owns, by the admin port.
fn owned(admin: &str) -> Vec<usize> {
    let (status, text) = get(admin, "/shards");
    assert_eq!(status, 200, "{text}");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let shards = found["shards"].as_array().expect("a list").iter();
    shards
        .map(|shard| shard["partitions"].as_array().expect("a list").len())
        .collect()
}

#[test]
fn a_directory_is_served_on_any_number_of_cores() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut producer = None;
    let rounds = [
        (2, "stop"),
        (1, "kill"),
        (2, "kill"),
        (3, "stop"),
        (1, "stop"),
        (2, "kill"),
    ];
    for (round, (cores, end)) in rounds.into_iter().enumerate() {
        let (broker, admin) = start_with(data.path(), &["--cores", &cores.to_string()]);
        let mut client = Client::connect(&broker.address);
        let producer = producer.get_or_insert_with(|| {
            client.create_topic("furrow", PARTITIONS);
            Producer::new(&mut client)
        });
        let counts = owned(&admin);
        assert_eq!(counts.len(), cores, "round {round}");
        let even = usize::try_from(PARTITIONS).expect("few") / cores;
        assert!(
            counts.iter().all(|count| (even..=even + 1).contains(count)),
            "{counts:?}"
        );
        producer.check(&mut client, "furrow");
        producer.send_again(&mut client, "furrow");
        for number in 0..40 {
            producer.send(&mut client, "furrow", number % PARTITIONS);
        }
        match end {
            "kill" => broker.kill(),
            _ => assert_eq!(broker.stop().code(), Some(0)),
        }
    }
    let broker = Broker::start(data.path());
    producer
        .expect("it was made")
        .check(&mut Client::connect(&broker.address), "furrow");
}

#[test]
fn cores_may_be_listed_and_must_be_ours() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let listen = ["--listen", "127.0.0.1:0", "--cores"];
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = line.expect("it is there").trim();
    let first: String = list.chars().take_while(char::is_ascii_digit).collect();
    let one = format!("{first}-{first}");
    let mut broker = Broker::try_start(data.path(), &[&listen[..], &[&one]].concat());
    let broker = broker.as_mut().expect("our own core");
    broker.hear(&format!("1 data shards on the CPUs {first}"));
    let other = tempfile::tempdir().expect("a temporary directory");
    let refused = Broker::try_start(other.path(), &[&listen[..], &["1023-1023"]].concat());
    let Err(Ended { status, said }) = refused else {
        panic!("there is no such core here");
    };
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("1023") && said.contains("may not use"),
        "{said}"
    );
}

/// What `furlong shard move` says how long it took, if anything moved.
fn took_ms(said: &str) -> Option<f64> {
    let (_, time) = said.rsplit_once(" in ")?;
    time.trim().strip_suffix(" ms")?.parse().ok()
}

fn quantiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| {
        values
            .get(values.len() * part / 100)
            .copied()
            .unwrap_or(0.0)
    };
    let count = values.len();
    format!(
        "{count}, median {:.1}, p90 {:.1}, most {:.1}",
        at(50),
        at(90),
        at(99)
    )
}

/// Runs a command against an admin port.
fn furlong(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_furlong"))
        .args(arguments)
        .output();
    let output = output.expect("the program is built");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn partitions_move_while_producers_write_and_nothing_is_lost() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let (broker, admin) = start_with(data.path(), &["--cores", "2"]);
    Client::connect(&broker.address).create_topic("furrow", PARTITIONS);
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let (address, is_over) = (broker.address.clone(), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut client = Client::connect(&address);
                let mut producer = Producer::new(&mut client);
                let mut unserved = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    unserved.extend(producer.send(&mut client, "furrow", partition));
                }
                (producer, unserved)
            })
        })
        .collect();
    let mut took = Vec::new();
    for round in 0..10u16 {
        for partition in 0..PARTITIONS {
            let to = ((round + u16::try_from(partition).expect("few")) % 2).to_string();
            let partition = partition.to_string();
            let arguments = [
                "shard", "move", "--admin", &admin, "furrow", &partition, "--to", &to,
            ];
            let (code, said) = furlong(&arguments);
            assert_eq!(code, Some(0), "{said}");
            took.extend(took_ms(&said));
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut client = Client::connect(&broker.address);
    let mut unserved = Vec::new();
    let producers: Vec<Producer> = writers
        .into_iter()
        .map(|writer| {
            let (producer, refused) = writer.join().expect("it was never refused for long");
            unserved.extend(refused.into_iter().map(|time| time.as_secs_f64() * 1e3));
            producer
        })
        .collect();
    println!("milliseconds that moves took: {}", quantiles(took));
    println!("and that writers were refused: {}", quantiles(unserved));
    let (_, text) = get(&admin, "/metrics");
    let taken: f64 = (0..2)
        .map(|shard| {
            let name = format!("furlong_partitions_taken_total{{shard=\"{shard}\"}}");
            value(&text, &name)
        })
        .sum();
    assert!(taken >= 40.0, "{taken} moves");
    for producer in &producers {
        assert!(producer.sent.values().all(|sent| *sent > 0));
        producer.check(&mut client, "furrow");
        producer.send_again(&mut client, "furrow");
    }
    let before = owned(&admin);
    broker.kill();
    let (broker, admin) = start_with(data.path(), &["--cores", "2"]);
    assert_eq!(owned(&admin), before, "a move outlives the process");
    let mut client = Client::connect(&broker.address);
    for producer in &producers {
        producer.check(&mut client, "furrow");
    }
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn a_move_is_foretold_and_told_to_programs() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let (broker, admin) = start_with(data.path(), &["--cores", "2"]);
    Client::connect(&broker.address).create_topic("furrow", 2);
    let shift = |topic: &str, partition: &str, to: &str| {
        furlong(&[
            "shard", "move", "--admin", &admin, topic, partition, "--to", to,
        ])
    };
    let foretold = |topic: &str, partition: &str, to: &str| {
        furlong(&[
            "shard",
            "move",
            "--admin",
            &admin,
            topic,
            partition,
            "--to",
            to,
            "--dry-run",
        ])
    };
    for (topic, partition, to, words) in [
        ("fallow", "0", "1", "no topic"),
        ("furrow", "2", "1", "no partition 2"),
        ("furrow", "0", "2", "no shard 2"),
    ] {
        let (code, said) = foretold(topic, partition, to);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let before = owned(&admin);
    let (code, said) = foretold("furrow", "0", "1");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("would move furrow-0 from shard 0 to shard 1"),
        "{said}"
    );
    assert_eq!(owned(&admin), before, "nothing was moved");
    shift("furrow", "0", "1");
    let (_, said) = foretold("furrow", "0", "1");
    assert!(said.contains("nothing would be moved"), "{said}");
    let (code, said) = furlong(&[
        "shard", "move", "--admin", &admin, "furrow", "0", "--to", "0", "--format", "json",
    ]);
    assert_eq!(code, Some(0), "{said}");
    let moved: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(
        (&moved["from"], &moved["to"], &moved["done"]),
        (&1.into(), &0.into(), &true.into())
    );
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn a_move_is_asked_for_in_the_right_words_or_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let (broker, admin) = start_with(data.path(), &["--cores", "2"]);
    Client::connect(&broker.address).create_topic("furrow", 2);
    let shift = |topic: &str, partition: &str, to: &str| {
        furlong(&[
            "shard", "move", "--admin", &admin, topic, partition, "--to", to,
        ])
    };
    for (topic, partition, to, words) in [
        ("fallow", "0", "1", "no topic"),
        ("furrow", "2", "1", "no partition 2"),
        ("furrow", "0", "2", "no shard 2"),
    ] {
        let (code, said) = shift(topic, partition, to);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = shift("furrow", "0", "1");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("moved from shard 0 to shard 1"), "{said}");
    let (_, said) = shift("furrow", "0", "1");
    assert!(said.contains("already"), "{said}");
    let (code, said) = furlong(&["shard", "list", "--admin", &admin]);
    assert_eq!(code, Some(0), "{said}");
    let rows = said
        .lines()
        .filter(|line| line.starts_with('1') && line.contains("furrow"));
    assert_eq!(rows.count(), 2, "{said}");
    // A GET changes nothing, and a page in a browser cannot POST.
    assert_eq!(
        get(&admin, "/shards/move?topic=furrow&partition=0&to=0").0,
        405
    );
    assert_eq!(owned(&admin), [0, 2]);
    assert_eq!(broker.stop().code(), Some(0));
}
