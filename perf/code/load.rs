// SPDX-License-Identifier: Apache-2.0
//! The load: ready-made produce requests with a window of unanswered ones, and a reader that checks
//! every batch's checksum. One connection and one thread for each partition.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use furlong::wire::checksum::crc32c;
use furlong::wire::protocol::create_topics::{CreatableTopic, CreateTopicsRequest};
use furlong::wire::protocol::delete_topics::DeleteTopicsRequest;
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use furlong::wire::protocol::{Request, decode_response, encode_request};
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, split_batches};
use hdrhistogram::Histogram;

use crate::figures::Transfer;
use crate::raw_disk::{fill, microseconds};

/// The version of produce requests.
pub const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 11;
const FETCH_BYTES: i32 = 4 << 20;

/// One shape of load.
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Partitions of its topic, and connections.
    pub partitions: i32,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Records of a batch; a request carries one batch.
    pub batch_records: u64,
    /// Requests of a connection that may be unanswered.
    pub window: usize,
}

/// Makes the topic and writes to all its partitions until the time is over.
pub fn produce(server: &str, topic: &str, scenario: &Scenario, time: Duration) -> Transfer {
    create_topic(server, topic, scenario.partitions);
    let began = Instant::now();
    produce_to_all(server, topic, scenario, move |_| began.elapsed() >= time)
}

/// Makes the topic and writes so many bytes of batches to it, the same to each partition.
pub fn fill_topic(server: &str, topic: &str, scenario: &Scenario, bytes: u64) -> Transfer {
    create_topic(server, topic, scenario.partitions);
    let batch_bytes = u64::try_from(batch(scenario).len()).expect("64 bits");
    let partitions = u64::try_from(scenario.partitions).expect("not negative");
    let each = bytes.div_ceil(batch_bytes * partitions);
    produce_to_all(server, topic, scenario, move |sent| sent >= each)
}

fn produce_to_all(
    server: &str,
    topic: &str,
    scenario: &Scenario,
    is_over: impl Fn(u64) -> bool + Copy + Send + 'static,
) -> Transfer {
    let batch = batch(scenario);
    let batch_bytes = u64::try_from(batch.len()).expect("64 bits");
    let began = Instant::now();
    let workers = (0..scenario.partitions).map(|partition| {
        let request = produce_request(topic, partition, batch.clone());
        let (server, window) = (server.to_owned(), scenario.window);
        thread::spawn(move || produce_to_one(&server, &request, window, &is_over))
    });
    let latencies_us = join(workers.collect());
    let requests = latencies_us.len();
    Transfer {
        records: requests * scenario.batch_records,
        bytes: requests * batch_bytes,
        seconds: began.elapsed().as_secs_f64(),
        latencies_us,
    }
}

/// Writes to every partition until the broker is no longer there; each thread gives the number of
/// records that were acknowledged.
pub fn produce_until_killed(
    server: &str,
    topic: &str,
    scenario: &Scenario,
) -> Vec<thread::JoinHandle<u64>> {
    let batch = batch(scenario);
    let records = scenario.batch_records;
    let workers = (0..scenario.partitions).map(|partition| {
        let request = produce_request(topic, partition, batch.clone());
        let mut stream = connect(server);
        thread::spawn(move || {
            let mut acknowledged = 0;
            loop {
                let mut length = [0; 4];
                let answer = stream
                    .write_all(&request)
                    .and_then(|()| stream.read_exact(&mut length));
                let Ok(()) = answer else {
                    return acknowledged;
                };
                let length = u64::from(u32::from_be_bytes(length));
                let answer = std::io::copy(&mut (&stream).take(length), &mut std::io::sink());
                if answer.ok() != Some(length) {
                    return acknowledged;
                }
                acknowledged += records;
            }
        })
    });
    workers.collect()
}

/// Writes one record to a partition and reads it back, as often as it takes until both succeed;
/// gives the record's offset and when each succeeded.
pub fn first_success(server: &str, topic: &str, partition: i32) -> (i64, Instant, Instant) {
    let mut stream = connect(server);
    let mut one = BatchBuilder::new(Compression::None);
    one.append(now_ms(), None, Some(b"again"), &[]);
    let request = produce_request(topic, partition, one.build());
    let offset = loop {
        stream.write_all(&request).expect("the broker reads");
        let frame = read_frame(&mut stream);
        let (_, response) =
            decode_response::<ProduceRequest>(frame, PRODUCE_VERSION).expect("a sound answer");
        let answer = &response.responses[0].partition_responses[0];
        if answer.error_code == 0 {
            break answer.base_offset;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let produced = Instant::now();
    loop {
        let request = fetch_request(topic, partition, offset);
        let response = call(&mut stream, FETCH_VERSION, &request);
        let data = &response.responses[0].partitions[0];
        let records = data.records.as_ref().map_or(0, Bytes::len);
        if data.error_code == 0 && records > 0 {
            return (offset, produced, Instant::now());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads all partitions of the topic from the first offset to the last.
pub fn fetch(server: &str, topic: &str, scenario: &Scenario) -> Transfer {
    let began = Instant::now();
    let workers = (0..scenario.partitions).map(|partition| {
        let (server, topic) = (server.to_owned(), topic.to_owned());
        thread::spawn(move || fetch_one(&server, &topic, partition))
    });
    let parts: Vec<Transfer> = workers
        .collect::<Vec<_>>()
        .into_iter()
        .map(|w| w.join().expect("no panic"))
        .collect();
    let mut latencies_us = histogram();
    parts
        .iter()
        .for_each(|part| latencies_us.add(&part.latencies_us).expect("one shape"));
    Transfer {
        records: parts.iter().map(|part| part.records).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        seconds: began.elapsed().as_secs_f64(),
        latencies_us,
    }
}

/// For latencies in microseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("sound bounds")
}

fn join(workers: Vec<thread::JoinHandle<Histogram<u64>>>) -> Histogram<u64> {
    let mut all = histogram();
    for worker in workers {
        all.add(worker.join().expect("no panic"))
            .expect("one shape");
    }
    all
}

/// A connection to the broker.
pub fn connect(server: &str) -> TcpStream {
    let stream = TcpStream::connect(server).expect("the broker listens");
    stream.set_nodelay(true).expect("it is TCP");
    stream
}

fn call<R: Request>(stream: &mut TcpStream, version: i16, body: &R) -> R::Response {
    let parts = encode_request(1, "smoke", version, body).expect("the version can say it");
    stream.write_all(&parts.concat()).expect("the broker reads");
    decode_response::<R>(read_frame(stream), version)
        .expect("a sound answer")
        .1
}

fn read_frame(stream: &mut TcpStream) -> Bytes {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("64 bits")];
    stream.read_exact(&mut frame).expect("the whole answer");
    frame.into()
}

/// Makes a topic.
pub fn create_topic(server: &str, name: &str, partitions: i32) {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    };
    let response = call(&mut connect(server), 7, &request);
    assert_eq!(
        response.topics[0].error_code, 0,
        "{:?}",
        response.topics[0].error_message
    );
}

/// Deletes a topic.
pub fn delete_topic(server: &str, name: &str) {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.into()],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = call(&mut connect(server), 5, &request);
    assert_eq!(response.responses[0].error_code, 0, "{name} is deleted");
}

/// The wall clock in milliseconds: records of long ago would be removed at the first roll, for
/// their age.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit 64 bits")
}

/// A batch of the scenario's records.
pub fn batch(scenario: &Scenario) -> Bytes {
    let mut value = vec![0; scenario.record_bytes];
    fill(&mut value);
    let mut batch = BatchBuilder::new(Compression::None);
    for _ in 0..scenario.batch_records {
        batch.append(now_ms(), None, Some(&value), &[]);
    }
    batch.build()
}

/// A produce request with one batch.
pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> Vec<u8> {
    let data = PartitionProduceData {
        index: partition,
        records: Some(batch),
    };
    let topic = TopicProduceData {
        name: topic.into(),
        partition_data: vec![data],
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    };
    encode_request(1, "smoke", PRODUCE_VERSION, &request)
        .expect("it can say it")
        .concat()
}

/// Writes until `is_over`, which is told how many requests were sent, and waits for all answers.
fn produce_to_one(
    server: &str,
    request: &[u8],
    window: usize,
    is_over: &dyn Fn(u64) -> bool,
) -> Histogram<u64> {
    let mut stream = connect(server);
    let (mut latencies, mut unanswered) = (histogram(), VecDeque::with_capacity(window));
    let mut sent = 0;
    loop {
        if unanswered.len() < window && !is_over(sent) {
            unanswered.push_back(Instant::now());
            stream.write_all(request).expect("the broker reads");
            sent += 1;
            continue;
        }
        let Some(start) = unanswered.pop_front() else {
            return latencies;
        };
        let frame = read_frame(&mut stream);
        latencies.saturating_record(microseconds(start.elapsed()));
        let (_, response) =
            decode_response::<ProduceRequest>(frame, PRODUCE_VERSION).expect("a sound answer");
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }
}

fn fetch_one(server: &str, topic: &str, partition: i32) -> Transfer {
    let mut stream = connect(server);
    let mut all = Transfer {
        records: 0,
        bytes: 0,
        seconds: 0.0,
        latencies_us: histogram(),
    };
    let mut offset = 0;
    loop {
        let start = Instant::now();
        let response = call(
            &mut stream,
            FETCH_VERSION,
            &fetch_request(topic, partition, offset),
        );
        all.latencies_us
            .saturating_record(microseconds(start.elapsed()));
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, 0, "{topic}-{partition} at {offset}");
        for batch in split_batches(data.records.as_ref().unwrap_or(&Bytes::new())) {
            let batch = batch.expect("whole batches");
            let header = BatchHeader::parse(&batch).expect("a sound batch");
            assert_eq!(crc32c(&batch[21..]), header.crc, "the checksum of {offset}");
            assert_eq!(header.base_offset, offset, "no gap");
            offset = header.last_offset() + 1;
            all.records += u64::try_from(header.record_count).expect("not negative");
            all.bytes += u64::try_from(batch.len()).expect("64 bits");
        }
        if offset == data.high_watermark {
            return all;
        }
    }
}

fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: FETCH_BYTES,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: topic.into(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_bytes: FETCH_BYTES,
        max_wait_ms: 100,
        min_bytes: 1,
        topics: vec![topic],
        ..Default::default()
    }
}
