// SPDX-License-Identifier: Apache-2.0
//! Any order of requests, delays and departures: nothing is lost, nothing is left behind.
//!
//! Owns: the model of what clients sent and saw. Invariants: one offset holds one value, ever; what
//! was acknowledged is read at its offset; answers come in request order; at the end no shard has
//! anything under way. Runs on: the test's thread. Bounded by: the number of steps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::ids::ConnectionId;
use furlong::wire::protocol::fetch::{FetchRequest, FetchResponse};
use furlong::wire::protocol::produce::ProduceRequest;
use furlong::wire::record::{records, split_batches};
use proptest::prelude::*;

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, fetch_request, frame, next, produce_request};

const PARTITIONS: i32 = 5;

/// One step of a story.
#[derive(Clone, Debug)]
enum Step {
    Produce {
        client: usize,
        partition: i32,
        acks: i16,
        records: usize,
    },
    Fetch {
        client: usize,
        partitions: Vec<i32>,
        back: i64,
        wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32,
    },
    Hold(Hold),
    Release,
    Pass(u64),
    Leave(usize),
    NewEpoch(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0usize..3;
    let produce = (
        client.clone(),
        0..PARTITIONS,
        prop::sample::select(vec![0i16, 1, -1]),
        1usize..4,
    )
        .prop_map(|(client, partition, acks, records)| Step::Produce {
            client,
            partition,
            acks,
            records,
        });
    let sizes = prop::sample::select(vec![0i32, 1, 200, 2000, i32::MAX]);
    let fetch = (
        client.clone(),
        prop::sample::subsequence((0..PARTITIONS).collect::<Vec<_>>(), 1..=5),
        0i64..4,
        prop::sample::select(vec![0i32, 1, 100, 5000]),
        sizes.clone(),
        sizes,
    )
        .prop_map(
            |(client, partitions, back, wait_ms, min_bytes, max_bytes)| Step::Fetch {
                client,
                partitions,
                back,
                wait_ms,
                min_bytes,
                max_bytes,
            },
        );
    let hold = prop::sample::select(vec![Hold::Flushes, Hold::Everything]).prop_map(Step::Hold);
    prop_oneof![
        8 => produce,
        8 => fetch,
        2 => hold,
        4 => Just(Step::Release),
        3 => prop::sample::select(vec![1u64, 99, 1000, 6000]).prop_map(Step::Pass),
        1 => client.prop_map(Step::Leave),
        1 => (0..PARTITIONS).prop_map(Step::NewEpoch),
    ]
}

/// A request whose answer has not come.
#[derive(Debug)]
enum Sent {
    Produce { partition: i32, values: Vec<String> },
    Fetch,
}

struct Client {
    connection: ConnectionId,
    sent: VecDeque<(i32, Sent)>,
}

/// What clients sent and saw.
struct Story {
    broker: Broker,
    clients: Vec<Client>,
    next_correlation: i32,
    next_value: u64,
    /// By partition and offset.
    seen: BTreeMap<(i32, i64), String>,
    acknowledged: BTreeMap<(i32, i64), String>,
    watermarks: BTreeMap<i32, i64>,
}

impl Story {
    fn new(shard_count: u16) -> Story {
        let mut broker = Broker::with_topic(shard_count, "t", PARTITIONS);
        let clients = (0..3)
            .map(|number| Client {
                connection: broker.connect(number % usize::from(shard_count)),
                sent: VecDeque::new(),
            })
            .collect();
        Story {
            broker,
            clients,
            next_correlation: 0,
            next_value: 0,
            seen: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            watermarks: BTreeMap::new(),
        }
    }

    fn tell(&mut self, step: Step) {
        match step {
            Step::Produce {
                client,
                partition,
                acks,
                records,
            } => self.produce(client, partition, acks, records),
            Step::Fetch {
                client,
                partitions,
                back,
                wait_ms,
                min_bytes,
                max_bytes,
            } => {
                let from: Vec<(i32, i64)> = partitions
                    .into_iter()
                    .map(|partition| {
                        let watermark = self.watermarks.get(&partition).copied().unwrap_or(0);
                        (partition, (watermark - back).max(0))
                    })
                    .collect();
                let request = FetchRequest {
                    max_wait_ms: wait_ms,
                    min_bytes,
                    max_bytes,
                    ..fetch_request("t", &from)
                };
                self.send(client, Sent::Fetch, |number| frame(number, 12, &request));
            }
            Step::Hold(hold) => self.broker.hold = hold,
            Step::Release => self.broker.release(),
            Step::Pass(ms) => self.broker.advance_ms(ms),
            Step::Leave(client) => self.leave(client),
            Step::NewEpoch(partition) => {
                self.broker.publish(|image| {
                    let topic = image.topics.get_mut("t").expect("there");
                    let index = usize::try_from(partition).expect("small");
                    Arc::make_mut(topic).partitions[index].leader_epoch += 1;
                });
                self.broker.settle();
            }
        }
        self.receive();
    }

    fn produce(&mut self, client: usize, partition: i32, acks: i16, records: usize) {
        let values: Vec<String> = (0..records)
            .map(|_| {
                self.next_value += 1;
                format!("value {}", self.next_value)
            })
            .collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let request = produce_request("t", partition, acks, batch(&texts));
        if acks == 0 {
            let connection = self.clients[client].connection;
            if self.broker.wires[&connection].grants > 0 {
                self.broker.send(connection, frame(-1, 9, &request));
            }
            return;
        }
        let sent = Sent::Produce { partition, values };
        self.send(client, sent, |number| frame(number, 9, &request));
    }

    fn send(&mut self, client: usize, sent: Sent, encode: impl FnOnce(i32) -> bytes::Bytes) {
        let client = &mut self.clients[client];
        if self.broker.wires[&client.connection].grants == 0 {
            return; // As many as allowed are under way.
        }
        let number = self.next_correlation;
        self.next_correlation += 1;
        client.sent.push_back((number, sent));
        self.broker.send(client.connection, encode(number));
    }

    fn leave(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let shard = self.broker.wires[&client.connection].shard;
        self.broker.disconnect(client.connection);
        client.sent.clear();
        client.connection = self.broker.connect(shard);
    }

    /// Takes in every answer, which must be that of the oldest request.
    fn receive(&mut self) {
        for index in 0..self.clients.len() {
            let connection = self.clients[index].connection;
            while !self.broker.wires[&connection].responses.is_empty() {
                let asked = self.clients[index].sent.pop_front();
                let (number, sent) = asked.expect("something was asked");
                match sent {
                    Sent::Produce { partition, values } => {
                        let answer = next::<ProduceRequest>(&mut self.broker, connection, 9);
                        let (told, response) = answer.expect("there is one");
                        assert_eq!(told, number, "answers come in request order");
                        let answer = &response.responses[0].partition_responses[0];
                        assert!([0, 7].contains(&answer.error_code), "{answer:?}");
                        if answer.error_code == 0 {
                            let offsets = answer.base_offset..;
                            let placed = offsets.zip(values);
                            let placed = placed.map(|(offset, value)| ((partition, offset), value));
                            self.acknowledged.extend(placed);
                        }
                    }
                    Sent::Fetch => {
                        let answer = next::<FetchRequest>(&mut self.broker, connection, 12);
                        let (told, response) = answer.expect("there is one");
                        assert_eq!(told, number, "answers come in request order");
                        self.see(&response);
                    }
                }
            }
        }
    }

    fn see(&mut self, response: &FetchResponse) {
        for partition in &response.responses[0].partitions {
            assert_eq!(partition.error_code, 0);
            let index = partition.partition_index;
            let watermark = self.watermarks.entry(index).or_insert(0);
            *watermark = partition.high_watermark.max(*watermark);
            let bytes = partition.records.clone().expect("never null");
            for batch in split_batches(&bytes) {
                let batch = batch.expect("whole batches");
                let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
                for record in opened.iter() {
                    let record = record.expect("well-formed");
                    assert!(record.offset < partition.high_watermark);
                    let value = String::from_utf8_lossy(record.value.expect("value")).into_owned();
                    let before = self.seen.insert((index, record.offset), value.clone());
                    assert!(before.is_none_or(|before| before == value));
                }
            }
        }
    }

    /// Lets everything come to its end and checks what is left.
    fn end(mut self) {
        self.broker.release();
        self.broker.advance_ms(600_000);
        self.receive();
        for client in &self.clients {
            assert!(client.sent.is_empty(), "unanswered: {:?}", client.sent);
        }
        for shard in &self.broker.shards {
            assert_eq!(shard.waiting_count(), (0, 0), "something is left behind");
            assert_eq!(shard.watch_count(), 0, "a watch is left behind");
        }
        let reader = self.broker.connect(0);
        for partition in 0..PARTITIONS {
            let mut offset = 0;
            loop {
                let request = fetch_request("t", &[(partition, offset)]);
                let response = call(&mut self.broker, reader, 12, &request);
                self.see(&response);
                let watermark = response.responses[0].partitions[0].high_watermark;
                let last = self.seen.range(..(partition, i64::MAX)).next_back();
                offset = last.map_or(
                    0,
                    |((at, offset), _)| {
                        if *at == partition { offset + 1 } else { 0 }
                    },
                );
                if offset >= watermark {
                    break;
                }
            }
        }
        for (place, value) in &self.acknowledged {
            assert_eq!(
                self.seen.get(place),
                Some(value),
                "acknowledged at {place:?}"
            );
        }
        let mut values: Vec<&String> = self.seen.values().collect();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), self.seen.len(), "every record is there once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_story_ends_with_nothing_lost_and_nothing_left_behind(
        shard_count in 1u16..4,
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut story = Story::new(shard_count);
        for step in steps {
            story.tell(step);
        }
        story.end();
    }
}
