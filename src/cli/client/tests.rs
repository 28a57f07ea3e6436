// SPDX-License-Identifier: Apache-2.0
//! Producer and consumer against the fake broker, through faults.
//!
//! Owns: nothing. Invariants: none. Runs on: the test runner. Bounded by: the time-outs of each
//! test.

use super::cluster::Cluster;
use super::connection::Connection;
use super::consumer::{Consumer, ConsumerOptions, Event, Isolation, Position, Start, Until};
use super::fake_broker::{FakeBroker, Fault, TOPIC};
use super::fetcher::Fetcher;
use super::positions::{Range, list_offsets};
use super::producer::{Producer, ProducerOptions, RECORD_BYTES_MAX};
use crate::cli::error::ClientError;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::metadata::MetadataRequest;
use crate::wire::record::{Compression, records};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

fn producer(broker: &FakeBroker, adjust: impl FnOnce(&mut ProducerOptions)) -> Producer {
    let mut options = ProducerOptions::new(TOPIC);
    adjust(&mut options);
    Producer::new(Cluster::connect(&broker.address).unwrap(), options).unwrap()
}

/// Sends `count` numbered records of half a batch each, so that every second one closes a batch.
fn send(producer: &mut Producer, count: u32) {
    for number in 0..count {
        let mut value = vec![b'.'; 499_000];
        value[..4].copy_from_slice(&number.to_be_bytes());
        let place = usize::try_from(number).unwrap() % producer.partition_count();
        producer.append(place, 1, None, Some(&value));
    }
    producer.flush();
}

/// The numbers stored in each partition, in their order.
fn stored(broker: &FakeBroker) -> Vec<Vec<u32>> {
    let number = |value: &[u8]| u32::from_be_bytes(*value.first_chunk().unwrap());
    let numbers = |log: &Vec<bytes::Bytes>| {
        let mut found = Vec::new();
        for batch in log {
            for record in &records(batch, DECOMPRESSED_BYTES_MAX).unwrap() {
                found.push(number(record.unwrap().value.unwrap()));
            }
        }
        found
    };
    broker.with(|state| state.logs.values().map(numbers).collect())
}

fn expected(count: u32, partitions: u32) -> Vec<Vec<u32>> {
    (0..partitions)
        .map(|first| (first..count).step_by(partitions as usize).collect())
        .collect()
}

#[test]
fn records_arrive_once_and_in_order() {
    for codec in Compression::ALL {
        let broker = FakeBroker::start(3);
        let mut producer = producer(&broker, |options| options.compression = codec);
        send(&mut producer, 40);
        assert_eq!(producer.failure(), None);
        assert_eq!(producer.tally().acknowledged, 40);
        assert_eq!(stored(&broker), expected(40, 3));
    }
}

#[test]
fn records_arrive_once_and_in_order_through_every_passing_fault() {
    let not_leader = Fault::Refuse(ErrorCode::NotLeaderOrFollower.code());
    for fault in [not_leader, Fault::LoseRequest, Fault::LoseAnswer] {
        for partitions in [1, 3] {
            let broker = FakeBroker::start(partitions);
            broker.with(|state| state.faults.extend([(1, fault), (2, fault), (9, fault)]));
            let mut producer = producer(&broker, |_| {});
            send(&mut producer, 40);
            assert_eq!(producer.failure(), None, "{fault:?}");
            assert_eq!(producer.tally().acknowledged, 40, "{fault:?}");
            assert!(producer.tally().retries > 0);
            let partitions = u32::try_from(partitions).unwrap();
            assert_eq!(stored(&broker), expected(40, partitions), "{fault:?}");
        }
    }
}

#[test]
fn a_definite_refusal_ends_it_and_every_record_is_accounted_for() {
    let broker = FakeBroker::start(2);
    let too_large = Fault::Refuse(ErrorCode::MessageTooLarge.code());
    broker.with(|state| state.faults.insert(3, too_large));
    let mut producer = producer(&broker, |_| {});
    send(&mut producer, 60);
    let sentence = producer.failure().unwrap().to_string();
    assert!(
        sentence.contains(TOPIC) && sentence.contains("max.message.bytes"),
        "{sentence}"
    );
    let tally = producer.tally();
    assert_eq!(tally.acknowledged + tally.failed, 60);
    let arrived: usize = stored(&broker).iter().map(Vec::len).sum();
    // What was stored behind the refused batch may have been acknowledged or not.
    assert!(tally.acknowledged <= u64::try_from(arrived).unwrap());
    assert!(tally.failed >= 2);
}

#[test]
fn nobody_waits_for_ever() {
    let broker = FakeBroker::start(1);
    let not_leader = Fault::Refuse(ErrorCode::NotLeaderOrFollower.code());
    broker.with(|state| {
        state
            .faults
            .extend((0..10_000).map(|number| (number, not_leader)))
    });
    let mut producer = producer(&broker, |options| {
        options.delivery_timeout = Duration::from_millis(300)
    });
    send(&mut producer, 3);
    let sentence = producer.failure().unwrap().to_string();
    assert!(
        sentence.contains("gave up") && sentence.contains(TOPIC),
        "{sentence}"
    );
    assert_eq!(
        (producer.tally().acknowledged, producer.tally().failed),
        (0, 3)
    );
}

#[test]
fn fewer_acknowledgements_work_too() {
    for acks in [0, 1] {
        let broker = FakeBroker::start(2);
        let mut producer = producer(&broker, |options| options.acks = acks);
        send(&mut producer, 20);
        assert_eq!(producer.failure(), None);
        assert_eq!(producer.tally().acknowledged, 20);
        assert_eq!(stored(&broker), expected(20, 2));
    }
}

#[test]
fn a_record_that_no_topic_takes_is_refused_here() {
    let broker = FakeBroker::start(1);
    let mut producer = producer(&broker, |_| {});
    producer.append(0, 1, None, Some(&vec![0; RECORD_BYTES_MAX]));
    producer.flush();
    assert!(producer.failure().unwrap().contains("too large"));
    assert_eq!(producer.tally().failed, 1);
}

fn range(start: Start) -> Range {
    Range {
        start,
        until: Until::End,
        isolation: Isolation::ReadUncommitted,
    }
}

fn consume(broker: &FakeBroker, adjust: impl FnOnce(&mut ConsumerOptions)) -> Vec<Vec<u32>> {
    let mut options = ConsumerOptions {
        topic: TOPIC.to_string(),
        partition: None,
        range: range(Start::Beginning),
    };
    adjust(&mut options);
    let cluster = Cluster::connect(&broker.address).unwrap();
    let mut consumer = Consumer::new(cluster, options).unwrap();
    let mut found = vec![Vec::new(); broker.with(|state| state.logs.len())];
    while let Some(chunk) = consumer.next_chunk(|| Ok::<(), ClientError>(())).unwrap() {
        for batch in &chunk.batches {
            for record in &records(batch, DECOMPRESSED_BYTES_MAX).unwrap() {
                let record = record.unwrap();
                if (chunk.from..chunk.until).contains(&record.offset) {
                    let number = u32::from_be_bytes(*record.value.unwrap().first_chunk().unwrap());
                    found[usize::try_from(chunk.partition).unwrap()].push(number);
                }
            }
        }
    }
    found
}

#[test]
fn what_was_produced_is_consumed_through_lost_connections() {
    let broker = FakeBroker::start(3);
    send(
        &mut producer(&broker, |options| options.compression = Compression::Lz4),
        40,
    );
    assert_eq!(consume(&broker, |_| {}), expected(40, 3));
    broker.with(|state| state.fetches_left = Some(2));
    let renewed = std::sync::Arc::clone(&broker.state);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(120));
        renewed.lock().unwrap().fetches_left = None;
    });
    assert_eq!(consume(&broker, |_| {}), expected(40, 3));
}

#[test]
fn whoever_waits_hears_that_the_broker_answers() {
    let broker = FakeBroker::start(1);
    let mut cluster = Cluster::connect(&broker.address).unwrap();
    cluster.leaders(TOPIC, false).unwrap();
    let listener = Arc::new(());
    let position = Position {
        next: 0,
        end: i64::MAX,
    };
    let fetcher = Fetcher {
        connection: cluster.open(1).unwrap(),
        topic: TOPIC.to_string(),
        positions: [(0, position)].into(),
        isolation: Isolation::ReadUncommitted,
        listener: Arc::downgrade(&listener),
        turn: 0,
    };
    let (sender, events) = sync_channel(1);
    let thread = std::thread::spawn(move || fetcher.run(&sender));
    for _ in 0..2 {
        assert!(matches!(events.recv().unwrap(), Event::Quiet));
    }
    // Nobody listens any more, and it ends.
    drop(events);
    thread.join().unwrap();
    drop(listener);
}

#[test]
fn a_topic_that_was_just_created_may_be_unknown_for_a_while() {
    let broker = FakeBroker::start(2);
    broker.with(|state| state.unknown_metadata = 3);
    let mut cluster = Cluster::connect(&broker.address).unwrap();
    assert!(
        cluster.leaders(TOPIC, false).is_err(),
        "nobody said that it is new"
    );
    assert_eq!(cluster.leaders_of_new(TOPIC).unwrap().len(), 2);
    assert_eq!(broker.with(|state| state.unknown_metadata), 0);
}

#[test]
fn consuming_begins_where_it_is_told() {
    let broker = FakeBroker::start(2);
    send(&mut producer(&broker, |_| {}), 20);
    let all = expected(20, 2);
    let second = |options: &mut ConsumerOptions| options.partition = Some(1);
    assert_eq!(consume(&broker, second), [Vec::new(), all[1].clone()]);
    let from_three = consume(&broker, |options| options.range.start = Start::At(3));
    assert_eq!(from_three, [all[0][3..].to_vec(), all[1][3..].to_vec()]);
    let last_three = consume(&broker, |options| options.range.start = Start::BeforeEnd(3));
    assert_eq!(last_three, [all[0][7..].to_vec(), all[1][7..].to_vec()]);
    assert_eq!(
        consume(&broker, |options| options.range.start = Start::End),
        [Vec::<u32>::new(), Vec::new()]
    );
    let mut cluster = Cluster::connect(&broker.address).unwrap();
    let ends = list_offsets(&mut cluster, TOPIC, &[0, 1], -1).unwrap();
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(0, 10), (1, 10)]);
}

#[test]
fn places_that_do_not_exist_are_sentences() {
    let broker = FakeBroker::start(2);
    let refused = |topic: &str, partition, start| {
        let topic = topic.to_string();
        let options = ConsumerOptions {
            topic,
            partition,
            range: range(start),
        };
        let cluster = Cluster::connect(&broker.address).unwrap();
        Consumer::new(cluster, options)
            .expect_err("no such place")
            .to_string()
    };
    let sentence = refused("hedge", None, Start::Beginning);
    assert!(
        sentence.contains("topic hedge") && sentence.contains("no such topic"),
        "{sentence}"
    );
    let sentence = refused(TOPIC, Some(2), Start::Beginning);
    assert!(
        sentence.contains("partition 2") && sentence.contains("0 to 1"),
        "{sentence}"
    );
    let sentence = refused(TOPIC, None, Start::At(1));
    assert!(
        sentence.contains("offset 1") && sentence.contains("from 0 to 0"),
        "{sentence}"
    );
}

#[test]
fn a_damaged_batch_is_never_handed_out() {
    let broker = FakeBroker::start(1);
    send(&mut producer(&broker, |_| {}), 2);
    broker.with(|state| {
        let log = state.logs.get_mut(&0).unwrap();
        let mut bytes = log[0].to_vec();
        bytes[100] ^= 1;
        log[0] = bytes.into();
    });
    let options = ConsumerOptions {
        topic: TOPIC.to_string(),
        partition: None,
        range: range(Start::Beginning),
    };
    let cluster = Cluster::connect(&broker.address).unwrap();
    let mut consumer = Consumer::new(cluster, options).unwrap();
    let error = consumer
        .next_chunk(|| Ok::<(), ClientError>(()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("CRC-32C") && error.contains("partition 0"),
        "{error}"
    );
}

#[test]
fn an_older_broker_is_asked_in_its_own_version() {
    let broker = FakeBroker::start(1);
    broker.with(|state| state.is_old = true);
    let mut connection = Connection::open(&broker.address).unwrap();
    assert_eq!(connection.version_of::<MetadataRequest>().unwrap(), 12);
    assert!(connection.call(&MetadataRequest::default()).is_ok());
}

/// What a connection says about a server that sends these bytes to everybody.
fn met_with(bytes: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 64];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let _ = std::io::Write::write_all(&mut stream, bytes);
        }
    });
    Connection::open(&address).unwrap_err().to_string()
}

#[test]
fn a_server_that_is_no_broker_is_a_sentence() {
    let sentence = met_with(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(
        sentence.contains("does not look like a Kafka broker"),
        "{sentence}"
    );
    let sentence = met_with(b"\xff\xff\xff\xff");
    assert!(
        sentence.contains("does not look like a Kafka broker"),
        "{sentence}"
    );
    // Half an answer, an answer to another question, an answer with a lying count.
    let sentence = met_with(b"\0\0\0\x10\0\0");
    assert!(sentence.contains("broke"), "{sentence}");
    let sentence = met_with(b"\0\0\0\x0c\0\0\0\x07\0\0\x01\0\0\0\0\0");
    assert!(
        sentence.contains("number 7") || sentence.contains("cannot be read"),
        "{sentence}"
    );
    let sentence = met_with(b"\0\0\0\x0b\0\0\0\0\0\0\xff\xff\xff\xff\x0f");
    assert!(sentence.contains("cannot be read"), "{sentence}");
    let sentence = met_with(b"\0\0\0\0");
    assert!(sentence.contains("cannot be read"), "{sentence}");
}
