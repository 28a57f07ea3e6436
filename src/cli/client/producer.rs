// SPDX-License-Identifier: Apache-2.0
//! Producing: records into batches, batches to the leaders, several under way at once.
//!
//! Owns: the open batch of each partition, the batches that no broker has acknowledged, the
//! connections to the leaders.
//! Invariants: batches of a partition are sent, and sent again, in the order of their sequence
//! numbers; none is sent again while a later one is under way; a record is counted as acknowledged
//! only when its batch was. The first record that definitely failed ends it: nothing more is sent.
//! Runs on: one thread. Bounded by: `OPEN_BYTES_MAX` in open batches, `UNDER_WAY_MAX` batches
//! per broker.

use super::Retry;
use super::cluster::{Cluster, Leadership};
use super::connection::Connection;
use crate::cli::error::{ClientError, is_retriable, refusal};
use crate::limits::RECORD_BATCH_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse};
use crate::wire::record::{BatchBuilder, Compression};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

mod requests;

use requests::{init_producer_id, request_of};

/// Batches under way to one broker; brokers remember five per idempotent producer.
const UNDER_WAY_MAX: usize = 5;
/// Bytes at which an open batch is sent, before compression. Fits Kafka's default limit of a batch.
const BATCH_BYTES: usize = 1_000_000;
/// Largest record, key and value together; leaves room for what a codec adds to bytes that do not
/// compress.
pub const RECORD_BYTES_MAX: usize = RECORD_BATCH_BYTES_MAX / 4 * 3;
/// Bytes in all open batches; past it all of them are sent.
const OPEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a batch is tried before its records have failed (Kafka's delivery.timeout.ms).
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// The sequence number after the largest is 0.
const SEQUENCE_MASK: i32 = i32::MAX;

/// How to produce.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// The topic.
    pub topic: String,
    /// Acknowledgements: 0 none, 1 the leader, -1 the in-sync replicas.
    pub acks: i16,
    /// The codec of the batches.
    pub compression: Compression,
    /// How long a batch is tried.
    pub delivery_timeout: Duration,
}

impl ProducerOptions {
    /// Acknowledged by the in-sync replicas, uncompressed.
    #[must_use]
    pub fn new(topic: &str) -> ProducerOptions {
        ProducerOptions {
            topic: topic.to_string(),
            acks: -1,
            compression: Compression::None,
            delivery_timeout: DELIVERY_TIMEOUT,
        }
    }
}

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that a broker acknowledged (or that were sent, with acks=0).
    pub acknowledged: u64,
    /// Bytes of their batches as sent.
    pub batch_bytes: u64,
    /// Records whose batch failed or was never tried.
    pub failed: u64,
    /// Times that the batches of a partition had to be sent again.
    pub retries: u64,
}

#[derive(Debug)]
struct Batch {
    id: u64,
    records: u64,
    bytes: Bytes,
    built: Instant,
    is_under_way: bool,
}

#[derive(Debug)]
struct Partition {
    index: i32,
    leader: i32,
    open: Option<BatchBuilder>,
    next_sequence: i32,
    /// In the order of their sequence numbers.
    unacknowledged: VecDeque<Batch>,
    under_way: usize,
    /// A batch failed for a passing reason; the rest waits until nothing is under way.
    is_recovering: bool,
}

#[derive(Debug)]
struct Leader {
    connection: Connection,
    /// Place of the partition and id of the batch of each request, oldest first.
    under_way: VecDeque<(usize, u64)>,
}

/// A producer to one topic.
#[derive(Debug)]
pub struct Producer {
    cluster: Cluster,
    options: ProducerOptions,
    topic: ByteString,
    producer: Option<(i64, i16)>,
    partitions: Vec<Partition>,
    leaders: BTreeMap<i32, Leader>,
    next_batch_id: u64,
    open_bytes: usize,
    tally: Tally,
    failure: Option<String>,
    last_trouble: String,
}

impl Producer {
    /// Finds the leaders of the topic (which a broker may create for it) and, unless
    /// acknowledgements are waived, takes a producer id so that a batch sent twice is stored once.
    pub fn new(mut cluster: Cluster, options: ProducerOptions) -> Result<Producer, ClientError> {
        let leaders = cluster.leaders(&options.topic, true)?;
        let producer = match options.acks {
            -1 => Some(init_producer_id(&mut cluster)?),
            _ => None,
        };
        Ok(Producer {
            cluster,
            topic: options.topic.as_str().into(),
            options,
            producer,
            partitions: leaders.iter().map(Partition::new).collect(),
            leaders: BTreeMap::new(),
            next_batch_id: 0,
            open_bytes: 0,
            tally: Tally::default(),
            failure: None,
            last_trouble: String::new(),
        })
    }

    /// Number of partitions of the topic.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// What became of the records so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Why no more is sent, once a record definitely failed.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Appends a record to the open batch of a partition (by place); sends the batch first if the
    /// record would overfill it.
    pub fn append(
        &mut self,
        place: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        self.append_with_headers(place, timestamp, key, value, &[]);
    }

    /// The same with headers: names and values.
    pub fn append_with_headers(
        &mut self,
        place: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.failure.is_some() {
            self.tally.failed += 1;
            return;
        }
        let coming = BatchBuilder::record_bytes_max(key, value) + headers_bytes_max(headers);
        if coming > RECORD_BYTES_MAX {
            self.tally.failed += 1;
            self.fail(format!(
                "a record of {coming} bytes is too large for topic {}; {RECORD_BYTES_MAX} bytes is \
                 the most that any topic takes",
                self.options.topic
            ));
            return;
        }
        let open = self.partitions[place]
            .open
            .as_ref()
            .map_or(0, BatchBuilder::size_bytes);
        if open > 0 && open + coming > BATCH_BYTES {
            self.close(place);
        }
        let codec = self.options.compression;
        let builder = self.partitions[place]
            .open
            .get_or_insert_with(|| BatchBuilder::with_capacity(codec, BATCH_BYTES));
        let before = builder.size_bytes();
        builder.append(timestamp, key, value, headers);
        self.open_bytes += builder.size_bytes() - before;
        if self.open_bytes > OPEN_BYTES_MAX {
            self.send_open();
        }
    }

    /// Sends every open batch.
    pub fn send_open(&mut self) {
        for place in 0..self.partitions.len() {
            self.close(place);
        }
    }

    /// Sends every open batch and waits until each record is acknowledged or has failed.
    pub fn flush(&mut self) {
        self.send_open();
        for place in 0..self.partitions.len() {
            while !self.partitions[place].unacknowledged.is_empty() {
                self.advance(place);
            }
        }
        if self.options.acks == 0 {
            self.see_that_all_arrived();
        }
    }

    /// Closes the open batch of a partition and sends it, waiting for room where needed.
    fn close(&mut self, place: usize) {
        let partition = &mut self.partitions[place];
        let Some(mut builder) = partition.open.take() else {
            return;
        };
        self.open_bytes -= builder.size_bytes() - crate::wire::record::BATCH_HEADER_BYTES;
        let count = builder.count();
        if let Some((id, epoch)) = self.producer {
            builder.producer(id, epoch, partition.next_sequence);
            partition.next_sequence = partition.next_sequence.wrapping_add(count) & SEQUENCE_MASK;
        }
        let records = u64::try_from(count).expect("a count is not negative");
        if self.failure.is_some() {
            self.tally.failed += records;
            return;
        }
        let id = self.next_batch_id;
        self.next_batch_id += 1;
        let bytes = builder.build();
        let batch = Batch {
            id,
            records,
            bytes,
            built: Instant::now(),
            is_under_way: false,
        };
        partition.unacknowledged.push_back(batch);
        while self.failure.is_none() && self.partitions[place].has_unsent() {
            if self.partitions[place].is_recovering {
                self.advance(place);
            } else {
                self.send_unsent(place);
            }
        }
    }

    /// Makes progress for a partition: reads an answer, or sends again what has to be.
    fn advance(&mut self, place: usize) {
        if self.failure.is_some() && self.partitions[place].under_way == 0 {
            self.give_up(place);
        } else if self.partitions[place].under_way > 0 {
            self.receive_one(self.partitions[place].leader);
        } else {
            self.recover(place);
        }
    }

    /// Counts what was never acknowledged as failed.
    fn give_up(&mut self, place: usize) {
        for batch in self.partitions[place].unacknowledged.drain(..) {
            self.tally.failed += batch.records;
        }
    }

    fn fail(&mut self, sentence: String) {
        // The first reason is the one that explains the rest.
        self.failure.get_or_insert(sentence);
    }

    /// Sends the unsent batches of a partition, in order, as far as there is room.
    fn send_unsent(&mut self, place: usize) {
        let broker = self.partitions[place].leader;
        if let Err(error) = self.open_leader(broker) {
            self.trouble(place, &error);
            return;
        }
        let Some(leader) = self.leaders.get_mut(&broker) else {
            return;
        };
        if leader.under_way.len() >= UNDER_WAY_MAX {
            self.receive_one(broker);
            return;
        }
        let partition = &mut self.partitions[place];
        let Some(batch) = partition
            .unacknowledged
            .iter_mut()
            .find(|batch| !batch.is_under_way)
        else {
            return;
        };
        let acks = self.options.acks;
        let request = request_of(&self.topic, acks, partition.index, batch.bytes.clone());
        let (id, records, size) = (batch.id, batch.records, batch.bytes.len());
        let sent = match acks {
            0 => leader.connection.send_unanswered(&request),
            _ => leader.connection.send(&request),
        };
        match sent {
            Ok(()) if acks == 0 => {
                partition.unacknowledged.retain(|batch| batch.id != id);
                self.count(records, size);
            }
            Ok(()) => {
                batch.is_under_way = true;
                partition.under_way += 1;
                leader.under_way.push_back((place, id));
            }
            Err(error) => {
                self.trouble(place, &error);
                self.lose(broker, &error);
            }
        }
    }

    fn open_leader(&mut self, broker: i32) -> Result<(), ClientError> {
        if !self.leaders.contains_key(&broker) {
            let connection = self.cluster.open(broker)?;
            self.leaders.insert(
                broker,
                Leader {
                    connection,
                    under_way: VecDeque::new(),
                },
            );
        }
        Ok(())
    }

    fn count(&mut self, records: u64, size: usize) {
        self.tally.acknowledged += records;
        self.tally.batch_bytes += u64::try_from(size).expect("a usize of 64 bits");
    }

    /// Reads the answer to the oldest request under way to a broker.
    fn receive_one(&mut self, broker: i32) {
        let leader = self
            .leaders
            .get_mut(&broker)
            .expect("a request is under way to it");
        match leader.connection.receive::<ProduceRequest>() {
            Ok(answer) => {
                let (place, id) = leader
                    .under_way
                    .pop_front()
                    .expect("a request is under way");
                self.partitions[place].under_way -= 1;
                self.take_answer(place, id, &answer);
            }
            Err(error) => self.lose(broker, &error),
        }
    }

    fn take_answer(&mut self, place: usize, id: u64, answer: &ProduceResponse) {
        let partition = &mut self.partitions[place];
        let at = partition
            .unacknowledged
            .iter()
            .position(|batch| batch.id == id);
        let at = at.expect("a batch under way is not acknowledged");
        let index = partition.index;
        let found = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .find(|result| result.index == index);
        let Some(result) = found else {
            let topic = &self.options.topic;
            self.fail(format!(
                "the broker's answer does not name partition {index} of {topic}"
            ));
            return;
        };
        let code = result.error_code;
        let is_stored =
            code == ErrorCode::None.code() || code == ErrorCode::DuplicateSequenceNumber.code();
        // After a failed batch those behind it are out of order; they are sent again, too.
        let is_behind = code == ErrorCode::OutOfOrderSequenceNumber.code()
            && self.producer.is_some()
            && partition.is_recovering;
        if is_stored {
            let batch = partition
                .unacknowledged
                .remove(at)
                .expect("it was just found");
            self.count(batch.records, batch.bytes.len());
        } else if is_behind || is_retriable(code) {
            partition.unacknowledged[at].is_under_way = false;
            partition.is_recovering = true;
            if !is_behind {
                self.last_trouble = self.refusal(result);
            }
        } else {
            let batch = partition
                .unacknowledged
                .remove(at)
                .expect("it was just found");
            self.tally.failed += batch.records;
            let sentence = self.refusal(result);
            self.fail(sentence);
        }
    }

    fn refusal(&self, result: &PartitionProduceResponse) -> String {
        let what = format!("partition {} of topic {}", result.index, self.options.topic);
        let message = result.error_message.as_deref();
        let mut sentence = refusal(&what, result.error_code, message);
        for record in result.record_errors.iter().take(3) {
            let message = record
                .batch_index_error_message
                .as_deref()
                .unwrap_or("refused");
            sentence.push_str(&format!(
                "; record {} of its batch: {message}",
                record.batch_index
            ));
        }
        sentence
    }

    fn trouble(&mut self, place: usize, error: &ClientError) {
        self.partitions[place].is_recovering = true;
        self.last_trouble = error.to_string();
        if !error.is_retriable() {
            self.fail(error.to_string());
        }
    }

    /// A connection broke: what was under way on it has to be sent again.
    fn lose(&mut self, broker: i32, error: &ClientError) {
        let Some(leader) = self.leaders.remove(&broker) else {
            return;
        };
        for (place, id) in leader.under_way {
            let partition = &mut self.partitions[place];
            partition.under_way -= 1;
            let batch = partition
                .unacknowledged
                .iter_mut()
                .find(|batch| batch.id == id);
            batch
                .expect("a batch under way is not acknowledged")
                .is_under_way = false;
            self.trouble(place, error);
        }
        if !error.is_retriable() {
            self.fail(error.to_string());
        }
    }

    /// Asks for the leaders again and sends what a partition has not had acknowledged.
    fn recover(&mut self, place: usize) {
        let deadline = self.options.delivery_timeout;
        let Some(oldest) = self.partitions[place].unacknowledged.front() else {
            self.partitions[place].is_recovering = false;
            return;
        };
        let spent = oldest.built.elapsed();
        if spent >= deadline {
            self.fail(format!(
                "gave up after {} seconds; the last trouble was: {}",
                spent.as_secs(),
                self.last_trouble
            ));
            return;
        }
        let mut retry = Retry::lasting(deadline - spent);
        while retry.pause() {
            match self.cluster.leaders(&self.options.topic, false) {
                Ok(leaders) => {
                    self.learn(&leaders);
                    break;
                }
                Err(error) if error.is_retriable() => self.last_trouble = error.to_string(),
                Err(error) => {
                    self.fail(error.to_string());
                    return;
                }
            }
        }
        self.tally.retries += 1;
        self.partitions[place].is_recovering = false;
        while self.failure.is_none()
            && !self.partitions[place].is_recovering
            && self.partitions[place].has_unsent()
        {
            self.send_unsent(place);
        }
    }

    /// Moves partitions to the leaders of new metadata; one with requests under way moves later.
    fn learn(&mut self, leaders: &[Leadership]) {
        for partition in &mut self.partitions {
            let found = leaders.iter().find(|one| one.partition == partition.index);
            if let Some(found) = found
                && partition.under_way == 0
            {
                partition.leader = found.leader;
            }
        }
    }

    /// Without acknowledgements a broker says nothing, but it answers in order: an answer to a
    /// later question shows that it has read everything before.
    fn see_that_all_arrived(&mut self) {
        let question = crate::wire::protocol::api_versions::ApiVersionsRequest::default();
        for leader in self.leaders.values_mut() {
            if let Err(error) = leader.connection.call(&question) {
                self.failure.get_or_insert(format!(
                    "{error}; with --acks 0 nobody knows which records were stored"
                ));
            }
        }
    }
}

/// The most bytes that headers take in a record: each name and value with its length before it, and
/// their number.
fn headers_bytes_max(headers: &[(&[u8], Option<&[u8]>)]) -> usize {
    const LENGTH_BYTES_MAX: usize = 5;
    let one = |(name, value): &(&[u8], Option<&[u8]>)| {
        2 * LENGTH_BYTES_MAX + name.len() + value.map_or(0, <[u8]>::len)
    };
    headers.iter().map(one).sum::<usize>() + LENGTH_BYTES_MAX
}

impl Partition {
    fn new(leadership: &Leadership) -> Partition {
        Partition {
            index: leadership.partition,
            leader: leadership.leader,
            open: None,
            next_sequence: 0,
            unacknowledged: VecDeque::new(),
            under_way: 0,
            is_recovering: false,
        }
    }

    fn has_unsent(&self) -> bool {
        self.unacknowledged.iter().any(|batch| !batch.is_under_way)
    }
}
