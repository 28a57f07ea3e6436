// SPDX-License-Identifier: Apache-2.0
//! One producer: several requests under way, the unknown ones remembered. An idempotent one sends
//! what is unknown again, in order, until it knows; a plain one never sends a batch twice.

use crate::client::{Connection, PRODUCE, code};
use crate::history::{History, Outcome};
use crate::load::Gate;
use crate::plan::{self, Place, Stamp, TOPICS};
use crate::prng::Prng;
use bytes::Bytes;
use furlong::wire::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Requests under way; a broker remembers five batches of a producer (Kafka's number).
const WINDOW: usize = 4;
/// Partitions of one request.
const PARTITIONS_PER_REQUEST: u64 = 4;
/// Pause before something is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A producer.
pub struct Producer {
    history: Arc<History>,
    gate: Arc<Gate>,
    index: usize,
    topics: Vec<usize>,
    life: usize,
    pace: Duration,
    prng: Prng,
    identity: Option<(i64, i16)>,
    connection: Option<Connection>,
    /// The numbers of the batches of each request under way.
    under_way: VecDeque<Vec<u64>>,
    next_sequence: BTreeMap<Place, i32>,
    /// Batches of an idempotent producer that are to be sent again.
    unknown: BTreeSet<u64>,
}

/// A request for these batches.
pub fn produce_request(acks: i16, batches: Vec<(Place, Bytes)>) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (place, bytes) in batches {
        let name = TOPICS[place.topic].name;
        if topics.last().is_none_or(|topic| topic.name != name) {
            topics.push(TopicProduceData {
                name: name.into(),
                ..Default::default()
            });
        }
        let topic = topics.last_mut().expect("it was just put there");
        topic.partition_data.push(PartitionProduceData {
            index: place.partition,
            records: Some(bytes),
        });
    }
    ProduceRequest {
        acks,
        timeout_ms: 20_000,
        topic_data: topics,
        ..Default::default()
    }
}

/// Error code and offset of each batch of an answer.
pub fn outcomes(response: &ProduceResponse) -> Vec<(i16, i64)> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions
        .map(|partition| (partition.error_code, partition.base_offset))
        .collect()
}

impl Producer {
    /// A producer of these topics; idempotent if its index is even.
    pub fn new(
        history: &Arc<History>,
        gate: &Arc<Gate>,
        index: usize,
        topics: Vec<usize>,
        pace: Duration,
    ) -> Producer {
        let purpose = 0x9000 + u64::try_from(index).expect("64 bits");
        Producer {
            history: Arc::clone(history),
            gate: Arc::clone(gate),
            index,
            topics,
            life: 0,
            pace,
            prng: Prng::new(history.seed, purpose),
            identity: None,
            connection: None,
            under_way: VecDeque::new(),
            next_sequence: BTreeMap::new(),
            unknown: BTreeSet::new(),
        }
    }

    fn is_idempotent(&self) -> bool {
        self.index.is_multiple_of(2)
    }

    /// Begins with a topic that was just created: what was sent to the last one is forgotten.
    pub fn begin_life(&mut self, life: usize) {
        self.life = life;
        self.unknown.clear();
        self.next_sequence.clear();
    }

    /// Produces until all is over.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Sends or receives something; false when all is over.
    pub fn step(&mut self) -> bool {
        if !self.gate.is_open() {
            self.drain();
        }
        if !self.gate.is_open() || self.connection.is_none() {
            let Some(address) = self.gate.wait() else {
                return false;
            };
            if self.connection.is_none() && !self.connect(&address) {
                thread::sleep(RETRY_PAUSE);
                return true;
            }
        }
        let pause = u64::try_from(self.pace.as_micros()).expect("64 bits");
        thread::sleep(Duration::from_micros(self.prng.below(pause + 1)));
        let done = match self.unknown.is_empty() {
            true => self.send_new().and_then(|()| self.receive_some()),
            false => self.repeat(),
        };
        if done.is_err() {
            self.lose_connection();
        }
        true
    }

    fn connect(&mut self, address: &str) -> bool {
        let Ok(mut connection) = Connection::open(address) else {
            return false;
        };
        if self.is_idempotent() && self.identity.is_none() {
            match connection.producer_id() {
                Ok(Ok(identity)) => self.identity = Some(identity),
                _ => return false,
            }
        }
        self.connection = Some(connection);
        true
    }

    /// The outcome of whatever is under way is unknown.
    fn lose_connection(&mut self) {
        self.connection = None;
        let numbers = self.under_way.drain(..).flatten();
        if self.identity.is_some() {
            self.unknown.extend(numbers);
        }
    }

    /// Waits for what is under way.
    pub fn drain(&mut self) {
        while !self.under_way.is_empty() {
            if self.receive().is_err() {
                self.lose_connection();
            }
        }
    }

    fn send_new(&mut self) -> Result<(), String> {
        if self.under_way.len() >= WINDOW {
            return Ok(());
        }
        let mut places = BTreeSet::new();
        for _ in 0..=self.prng.below(PARTITIONS_PER_REQUEST) {
            let topic = self.topics[self.prng.index(self.topics.len())];
            let partitions = u64::try_from(TOPICS[topic].partitions).expect("positive");
            let partition = i32::try_from(self.prng.below(partitions)).expect("small");
            places.insert(Place { topic, partition });
        }
        let (mut numbers, mut batches) = (Vec::new(), Vec::new());
        for place in places {
            let next = self.next_sequence.entry(place).or_insert(0);
            let identity = self.identity;
            let (number, bytes) = self.history.send(self.index, place, self.life, |count| {
                identity.map(|(id, epoch)| {
                    let sequence = *next;
                    *next += count;
                    Stamp {
                        id,
                        epoch,
                        sequence,
                    }
                })
            });
            numbers.push(number);
            batches.push((place, bytes));
        }
        // Half of the plain ones ask for one acknowledgement only, which is as good on one broker.
        let acks = if self.index % 4 == 1 { 1 } else { -1 };
        self.under_way.push_back(numbers);
        let connection = self.connection.as_mut().expect("connected");
        connection.send(PRODUCE, &produce_request(acks, batches))
    }

    /// Answers, if enough is under way or by chance.
    fn receive_some(&mut self) -> Result<(), String> {
        while self.under_way.len() >= WINDOW
            || (!self.under_way.is_empty() && self.prng.percent(30))
        {
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), String> {
        let connection = self
            .connection
            .as_mut()
            .expect("something is under way on it");
        let response = connection.receive::<ProduceRequest>()?;
        let now = self.history.now();
        let numbers = self.under_way.pop_front().expect("it was under way");
        let outcomes = outcomes(&response);
        if outcomes.len() != numbers.len() {
            self.history
                .violation("an answer does not name all its partitions".into());
        }
        for (number, (error, offset)) in numbers.into_iter().zip(outcomes) {
            self.take(number, error, offset, now);
        }
        Ok(())
    }

    fn take(&mut self, number: u64, error: i16, offset: i64, now: usize) {
        let batch = self.history.batch(number).expect("it was sent");
        let follows = self.unknown.iter().any(|other| {
            *other < number
                && self
                    .history
                    .batch(*other)
                    .is_some_and(|o| o.place == batch.place)
        });
        let passes = code::PASSING.contains(&error) || error == code::UNKNOWN_TOPIC_OR_PARTITION;
        match error {
            code::NONE => self.history.resolve(number, Outcome::At(offset, now)),
            code::DUPLICATE_SEQUENCE => self.history.resolve(number, Outcome::Stored(now)),
            code::OUT_OF_ORDER_SEQUENCE if follows => {
                self.unknown.insert(number);
            }
            _ if passes => {
                if self.identity.is_some() {
                    self.unknown.insert(number);
                }
            }
            _ => {
                self.history.resolve(number, Outcome::Refused);
                let (place, stamp) = (batch.place, batch.plan.stamp);
                self.history.violation(format!(
                    "{place}: batch {number} ({stamp:?}) was refused with error {error}"
                ));
            }
        }
    }

    /// Sends the oldest unknown batch again, alone.
    fn repeat(&mut self) -> Result<(), String> {
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        let Some(number) = self.unknown.pop_first() else {
            return Ok(());
        };
        let batch = self.history.batch(number).expect("it was sent");
        let bytes = plan::encode(self.history.seed, &batch.plan);
        self.under_way.push_back(vec![number]);
        let connection = self.connection.as_mut().expect("connected");
        connection.send(PRODUCE, &produce_request(-1, vec![(batch.place, bytes)]))?;
        self.receive()?;
        if self.unknown.contains(&number) {
            thread::sleep(RETRY_PAUSE);
        }
        Ok(())
    }
}
