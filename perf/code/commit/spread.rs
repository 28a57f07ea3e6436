// SPDX-License-Identifier: Apache-2.0
//! A load of the same size however many partitions it is spread over: so many connections, so many
//! requests each under way, every request a batch for the next partition.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use furlong::wire::protocol::decode_response;
use furlong::wire::protocol::produce::ProduceRequest;
use hdrhistogram::Histogram;

use crate::figures::Transfer;
use crate::load::{PRODUCE_VERSION, Scenario, batch, connect, histogram, produce_request};
use crate::pace::{Pace, fine_sleep};
use crate::raw_disk::microseconds;

/// Connections, each with a thread.
pub const CONNECTIONS: u32 = 4;

/// A produce request that can be sent to any partition of its topic.
#[derive(Clone)]
struct Template {
    frame: Vec<u8>,
    /// Where the number of the partition stands.
    partition_at: usize,
    batch_bytes: u64,
}

impl Template {
    fn new(topic: &str, scenario: &Scenario) -> Template {
        let batch = batch(scenario);
        let batch_bytes = u64::try_from(batch.len()).expect("64 bits");
        let frame = produce_request(topic, 0, batch.clone());
        let other = produce_request(topic, i32::MAX, batch);
        let differs = frame.iter().zip(&other).position(|(one, two)| one != two);
        Template {
            frame,
            partition_at: differs.expect("the partition stands in the request"),
            batch_bytes,
        }
    }

    fn send(&mut self, stream: &mut TcpStream, partition: i32) {
        let place = self.partition_at..self.partition_at + 4;
        self.frame[place].copy_from_slice(&partition.to_be_bytes());
        stream.write_all(&self.frame).expect("the broker reads");
    }
}

/// The partitions that one connection writes to, in turn, for ever.
fn turns(connection: u32, partitions: i32) -> impl Iterator<Item = i32> {
    let step = i32::try_from(CONNECTIONS).expect("few");
    let mut next = i32::try_from(connection).expect("few") % partitions;
    std::iter::repeat_with(move || {
        let this = next;
        next = (next + step) % partitions;
        this
    })
}

fn read_answer(stream: &mut TcpStream) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).expect("the whole answer");
    let (_, response) = decode_response::<ProduceRequest>(Bytes::from(frame), PRODUCE_VERSION)
        .expect("a sound answer");
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
}

/// One batch to each partition, so that each has a file and what belongs to it.
pub fn warm(server: &str, topic: &str, scenario: &Scenario) {
    let mut template = Template::new(topic, scenario);
    let mut stream = connect(server);
    for partition in 0..scenario.partitions {
        template.send(&mut stream, partition);
        read_answer(&mut stream);
    }
}

/// As much as the broker takes, `scenario.window` requests of each connection under way.
pub fn flood(server: &str, topic: &str, scenario: &Scenario, time: Duration) -> Transfer {
    let template = Template::new(topic, scenario);
    let began = Instant::now();
    let workers = (0..CONNECTIONS).map(|connection| {
        let (mut template, mut stream) = (template.clone(), connect(server));
        let mut turns = turns(connection, scenario.partitions);
        let window = scenario.window;
        thread::spawn(move || {
            let mut latencies = histogram();
            let mut under_way = std::collections::VecDeque::with_capacity(window);
            loop {
                if under_way.len() < window && began.elapsed() < time {
                    let partition = turns.next().expect("without end");
                    under_way.push_back(Instant::now());
                    template.send(&mut stream, partition);
                    continue;
                }
                let Some(start) = under_way.pop_front() else {
                    return latencies;
                };
                read_answer(&mut stream);
                latencies.saturating_record(microseconds(start.elapsed()));
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    transfer(&template, scenario, began, join(workers))
}

/// So many requests a second over all connections, whatever the broker does; latency counts from
/// when a request was due.
pub fn paced(
    server: &str,
    topic: &str,
    scenario: &Scenario,
    requests_per_second: f64,
    time: Duration,
) -> Transfer {
    let template = Template::new(topic, scenario);
    let began = Instant::now();
    let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / requests_per_second);
    let workers = (0..CONNECTIONS).map(|connection| {
        let (mut template, mut stream) = (template.clone(), connect(server));
        let mut turns = turns(connection, scenario.partitions);
        // The connections take turns in time, too.
        let first = began + pause * connection / CONNECTIONS;
        let (sender, due) = channel::<Instant>();
        let mut answers = stream.try_clone().expect("a socket can be shared");
        thread::spawn(move || {
            fine_sleep();
            let mut pace = Pace::new(first, pause);
            while began.elapsed() < time {
                let due = pace.wait();
                template.send(&mut stream, turns.next().expect("without end"));
                sender.send(due).expect("its reader lives");
            }
        });
        thread::spawn(move || {
            let mut latencies = histogram();
            for due in due {
                read_answer(&mut answers);
                latencies.saturating_record(microseconds(due.elapsed()));
            }
            latencies
        })
    });
    let workers: Vec<_> = workers.collect();
    transfer(&template, scenario, began, join(workers))
}

fn join(workers: Vec<thread::JoinHandle<Histogram<u64>>>) -> Histogram<u64> {
    let mut all = histogram();
    for worker in workers {
        let one = worker.join().expect("no panic");
        all.add(one).expect("one shape");
    }
    all
}

fn transfer(
    template: &Template,
    scenario: &Scenario,
    began: Instant,
    latencies_us: Histogram<u64>,
) -> Transfer {
    let requests = latencies_us.len();
    Transfer {
        records: requests * scenario.batch_records,
        bytes: requests * template.batch_bytes,
        seconds: began.elapsed().as_secs_f64(),
        latencies_us,
    }
}
