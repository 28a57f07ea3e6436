// SPDX-License-Identifier: Apache-2.0
//! Transactions and kill -9: at whatever moment of its end the process dies, a transaction is
//! visible entirely or not at all, and as its client was told.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use furlong::txn::Producer;
use furlong::wire::protocol::encode_request;
use furlong::wire::protocol::end_txn::EndTxnRequest;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::produce::ProduceRequest;
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::client::{Client, fetch_request, produce_request};
use crate::process::{Broker, PATIENCE};

const PARTITIONS: i32 = 2;

/// A version of produce whose clients leave it to the broker to add partitions (KIP-890).
const NEW_FLOW: i16 = 12;

/// What clients try again. 19 is what producers are told while the coordinator of their transaction
/// is on its way back (KIP-890).
const PASSING: [i16; 7] = [3, 6, 14, 15, 16, 19, 51];

/// Asks until the answer is none that a client tries again.
fn until<T>(mut ask: impl FnMut() -> (i16, T)) -> (i16, T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, answer) = ask();
        if !PASSING.contains(&code) {
            return (code, answer);
        }
        assert!(Instant::now() < deadline, "still {code}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until there is a coordinator.
pub fn find(client: &mut Client) {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["tx".into()],
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    let (code, ()) = until(|| (client.call(6, &request).coordinators[0].error_code, ()));
    assert_eq!(code, 0);
}

/// A producer of the id `tx`, in a new epoch.
pub fn init(client: &mut Client) -> Producer {
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let (code, producer) = until(|| {
        let answer = client.call(5, &request);
        let producer = Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        };
        (answer.error_code, producer)
    });
    assert_eq!(code, 0);
    producer
}

/// Writes in the open transaction of `tx`.
pub fn write(client: &mut Client, producer: Producer, partition: i32, value: &str) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .producer(producer.id, producer.epoch, 0)
        .transactional();
    // Markers have the time of the broker: records from long ago would be rolled away from them,
    // and removed.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since_1970.expect("after 1970").as_millis();
    let now_ms = i64::try_from(now_ms).expect("soon enough");
    builder.append(now_ms, None, Some(value.as_bytes()), &[]);
    let request = ProduceRequest {
        transactional_id: Some("tx".into()),
        ..produce_request("furrow", partition, builder.build())
    };
    let (code, ()) = until(|| {
        let answer = client.call(NEW_FLOW, &request);
        (answer.responses[0].partition_responses[0].error_code, ())
    });
    assert_eq!(code, 0, "{value} to {partition}");
}

/// The end of its transaction.
pub fn end_request(producer: Producer, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: "tx".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    }
}

fn end(client: &mut Client, producer: Producer, committed: bool) -> Producer {
    let request = end_request(producer, committed);
    let (code, next) = until(|| {
        let answer = client.call(5, &request);
        let next = Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        };
        (answer.error_code, next)
    });
    assert_eq!(code, 0);
    next
}

/// What a reader of committed records sees of a partition, once nothing in it is open.
fn committed(client: &mut Client, partition: i32) -> Vec<String> {
    let request = FetchRequest {
        isolation_level: 1,
        ..fetch_request("furrow", partition, 0)
    };
    let (code, data) = until(|| {
        let data = client
            .call(11, &request)
            .responses
            .remove(0)
            .partitions
            .remove(0);
        let is_open = data.last_stable_offset < data.high_watermark;
        // An open end is asked for again.
        (if is_open { PASSING[0] } else { data.error_code }, data)
    });
    assert_eq!(code, 0);
    let mut aborted: Vec<(i64, i64)> = data
        .aborted_transactions
        .iter()
        .flatten()
        .map(|one| (one.producer_id, one.first_offset))
        .collect();
    aborted.sort_by_key(|(_, first)| *first);
    let mut values = Vec::new();
    for batch in split_batches(&data.records.unwrap_or_default()) {
        let batch: Bytes = batch.expect("whole batches");
        let opened = records(&batch, 1 << 26).expect("a sound batch");
        let header = opened.header();
        let place = aborted
            .iter()
            .position(|(id, first)| *id == header.producer_id && *first <= header.base_offset);
        if header.attributes.is_control() {
            if let Some(place) = place {
                aborted.remove(place);
            }
            continue;
        }
        if place.is_none() {
            let views = opened.iter().map(|record| record.expect("a sound record"));
            values.extend(views.map(|record| {
                String::from_utf8_lossy(record.value.expect("a value")).into_owned()
            }));
        }
    }
    values
}

fn check(client: &mut Client, expected: &[String], round: usize) {
    for partition in 0..PARTITIONS {
        let seen = committed(client, partition);
        assert_eq!(seen, expected, "partition {partition} in round {round}");
    }
}

#[test]
fn whenever_the_broker_is_killed_a_transaction_is_visible_entirely_or_not_at_all() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut expected: Vec<String> = Vec::new();
    // How long after the wish to end the process dies; nothing for "with the answer".
    let deaths = [None, Some(0), Some(1), None, Some(3), Some(8)];
    let mut producer = None;
    for (round, death) in deaths.into_iter().enumerate() {
        let broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        if round == 0 {
            client.create_topic("furrow", PARTITIONS);
        }
        find(&mut client);
        let held = producer.take().unwrap_or_else(|| init(&mut client));
        let is_commit = round % 3 != 2;
        let value = format!("round {round}");
        for partition in 0..PARTITIONS {
            write(&mut client, held, partition, &value);
        }
        let request = end_request(held, is_commit);
        let parts = encode_request(9, "test", 5, &request).expect("the version can say it");
        client.send(&parts.concat()).expect("the broker reads");
        match death {
            None => {
                client.read_frame().expect("an answer");
            }
            Some(ms) => thread::sleep(Duration::from_millis(ms)),
        }
        broker.kill();
        let broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        find(&mut client);
        // Whether it was decided or not: who asks again gets what was asked for.
        let next = end(&mut client, held, is_commit);
        assert_eq!((next.id, next.epoch), (held.id, held.epoch + 1));
        if is_commit {
            expected.push(value);
        }
        check(&mut client, &expected, round);
        producer = Some(next);
        broker.kill();
    }
}

#[test]
fn what_a_dead_client_left_open_is_aborted_by_the_next_and_a_clean_stop_loses_nothing() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", PARTITIONS);
    find(&mut client);
    let first = init(&mut client);
    for partition in 0..PARTITIONS {
        write(&mut client, first, partition, "kept");
    }
    let second = end(&mut client, first, true);
    for partition in 0..PARTITIONS {
        write(&mut client, second, partition, "left open");
    }
    assert!(broker.stop().success());
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    find(&mut client);
    let third = init(&mut client);
    assert_eq!((third.id, third.epoch), (first.id, second.epoch + 2));
    for partition in 0..PARTITIONS {
        write(&mut client, third, partition, "and on");
    }
    end(&mut client, third, true);
    check(&mut client, &["kept".to_owned(), "and on".to_owned()], 0);
    assert!(broker.stop().success());
}
