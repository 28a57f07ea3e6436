// SPDX-License-Identifier: Apache-2.0
//! Producers: idempotent ones that resend until they know, and plain ones that send once.
//!
//! Invariants: an idempotent producer has at most five batches of a partition under way, sends them
//! in the order of their sequence numbers and after an error waits until nothing is under way
//! before it starts again from the oldest; a plain producer never sends a batch twice. A batch is
//! in the history before it leaves.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};

use super::link::{Answer, Link, decode};
use super::payload::{Sizes, is_zstd, make};
use super::{Client, ClientEffect, Context, KnownTopic, Phase};
use crate::history::{BatchFact, Entry, Place};

/// Kafka's limit for idempotent producers.
const IN_FLIGHT_PER_PARTITION_MAX: usize = 5;

/// How a producer behaves.
#[derive(Clone, Copy, Debug)]
pub struct ProducerPlan {
    /// With a producer id.
    pub idempotent: bool,
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// How large batches are.
    pub sizes: Sizes,
    /// Longest pause while it is busy, in microseconds.
    pub pause_us_max: u64,
}

/// A batch that an idempotent producer has not yet settled.
struct Unsettled {
    batch: usize,
    /// The how manieth batch of this partition it is.
    number: usize,
    sequence: i32,
    count: i32,
    bytes: Bytes,
    attempts: u32,
    in_flight: bool,
    /// Nothing older was unsettled when it was last sent.
    was_first: bool,
    /// High watermark known when it was last sent.
    known_end: i64,
}

#[derive(Default)]
struct Partition {
    next_sequence: i32,
    /// Batches made so far.
    made: usize,
    unsettled: VecDeque<Unsettled>,
    /// An attempt failed: nothing more is sent until nothing is under way.
    is_blocked: bool,
    /// Largest end of an acknowledged batch.
    known_end: i64,
}

impl Partition {
    fn in_flight(&self) -> usize {
        self.unsettled.iter().filter(|it| it.in_flight).count()
    }

    /// True if one more batch would lie so far behind the oldest unsettled one that a broker may
    /// have forgotten whether it has that: it remembers five. Kafka's clients do not go on then,
    /// whatever else has been answered meanwhile.
    fn is_stretched(&self) -> bool {
        let oldest = self.unsettled.front();
        oldest.is_some_and(|oldest| self.made - oldest.number >= IN_FLIGHT_PER_PARTITION_MAX)
    }

    fn unblock(&mut self) {
        if self.in_flight() == 0 {
            self.is_blocked = false;
        }
    }
}

/// What a request was for.
enum Tag {
    ProducerId,
    Produce(Vec<Asked>),
}

/// One batch of a request.
#[derive(Clone, Copy)]
struct Asked {
    place: Place,
    batch: usize,
    /// The topic's id as far as it was known.
    topic_id: Uuid,
}

/// Batches for one topic: where to, which, and their bytes.
type OfTopic = (KnownTopic, Vec<(Place, usize, Bytes)>);

/// A producer.
pub struct Producer {
    plan: ProducerPlan,
    link: Link<Tag>,
    id: Option<(i64, i16)>,
    partitions: BTreeMap<Place, Partition>,
    attempts: BTreeMap<usize, u32>,
    is_counted: bool,
    /// An attempt failed: it waits a little.
    has_failed: bool,
}

impl Producer {
    /// A producer that has not connected yet.
    pub fn new(plan: ProducerPlan) -> Producer {
        Producer {
            plan,
            link: Link::new(),
            id: None,
            partitions: BTreeMap::new(),
            attempts: BTreeMap::new(),
            is_counted: false,
            has_failed: false,
        }
    }

    fn is_settled(&self) -> bool {
        let unsettled = self.partitions.values().all(|it| it.unsettled.is_empty());
        unsettled && self.link.in_flight() == 0
    }

    /// Counts itself among those that are not through.
    fn count(&mut self, context: &mut Context<'_>) {
        let is_busy = context.board.phase == Phase::Faulty || !self.is_settled();
        if is_busy != self.is_counted {
            self.is_counted = is_busy;
            if is_busy {
                context.board.busy_clients += 1;
            } else {
                context.board.busy_clients -= 1;
            }
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a producer got no answer for a minute");
            }
            context.effects.push(ClientEffect::Close);
            self.closed(context);
            return;
        }
        if context.board.phase != Phase::Faulty {
            // Nobody knows any more what these names stand for.
            let deleted = &context.history.deleted;
            self.partitions
                .retain(|place, _| !deleted.contains(&place.topic));
        }
        let is_settled = context.board.phase != Phase::Faulty && self.is_settled();
        if is_settled || !self.link.connect(context) {
            return;
        }
        if self.plan.idempotent && self.id.is_none() {
            if self.link.in_flight() == 0 {
                self.ask_for_id(context);
            }
            return;
        }
        if self.link.in_flight() < self.plan.in_flight_max {
            self.send(context);
        }
    }

    fn ask_for_id(&mut self, context: &mut Context<'_>) {
        let version = self.link.version::<InitProducerIdRequest>(context, 4);
        let body = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 0,
            producer_id: -1,
            producer_epoch: -1,
        };
        self.link.request(context, version, &body, Tag::ProducerId);
    }

    /// A batch for each of a few partitions, by topic.
    fn choose(&mut self, context: &mut Context<'_>, acks: i16) -> BTreeMap<usize, OfTopic> {
        let mut chosen: BTreeMap<usize, OfTopic> = BTreeMap::new();
        for _ in 0..context.prng.skewed(1, 6) {
            let Some((topic, place)) = self.pick_place(context) else {
                continue;
            };
            let of_topic = chosen.entry(place.topic);
            let of_topic = of_topic.or_insert_with(|| (topic, Vec::new()));
            if of_topic.1.iter().any(|(other, ..)| *other == place) {
                continue;
            }
            if let Some((batch, bytes)) = self.next_batch(context, place, acks) {
                of_topic.1.push((place, batch, bytes));
            }
        }
        chosen.retain(|_, (_, batches)| !batches.is_empty());
        chosen
    }

    /// Sends one request with a batch for each of a few partitions.
    fn send(&mut self, context: &mut Context<'_>) {
        let acks = match (self.plan.idempotent, context.prng.below(10)) {
            (true, _) | (false, 0..=5) => -1,
            (false, 6..=8) => 1,
            _ => 0,
        };
        let chosen = self.choose(context, acks);
        if chosen.is_empty() {
            return;
        }
        let with_ids = chosen.values().all(|(topic, _)| !topic.id.is_zero());
        let at_most = if with_ids { i16::MAX } else { 12 };
        let mut batches = chosen.values().flat_map(|(_, batches)| batches);
        let with_zstd = batches.any(|(.., bytes)| is_zstd(bytes));
        let at_least = if with_zstd { 7 } else { 0 };
        let link = &self.link;
        let version = link.version_between::<ProduceRequest>(context, at_least, at_most);
        let mut sent = Vec::new();
        let mut topic_data = Vec::new();
        for (topic, batches) in chosen.into_values() {
            let mut partition_data = Vec::new();
            for (place, batch, bytes) in batches {
                let attempt = self.attempts.entry(batch).or_default();
                *attempt += 1;
                let attempt = *attempt;
                context.history.push(Entry::Sent { batch });
                context.stats.batches_sent += 1;
                context.stats.batches_resent += u64::from(attempt > 1);
                sent.push(Asked {
                    place,
                    batch,
                    topic_id: topic.id,
                });
                partition_data.push(PartitionProduceData {
                    index: place.partition,
                    records: Some(bytes),
                });
            }
            topic_data.push(TopicProduceData {
                name: topic.name.into(),
                topic_id: topic.id,
                partition_data,
            });
        }
        let body = ProduceRequest {
            transactional_id: None,
            acks,
            timeout_ms: 30_000,
            topic_data,
        };
        if acks == 0 {
            self.link.request_unanswered(context, version, &body);
        } else {
            self.link
                .request(context, version, &body, Tag::Produce(sent));
        }
    }

    /// Where to send next: what is unsettled first, once no new batches are made.
    fn pick_place(&self, context: &mut Context<'_>) -> Option<(KnownTopic, Place)> {
        let waiting: Vec<Place> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.unsettled.iter().any(|it| !it.in_flight))
            .map(|(place, _)| *place)
            .collect();
        let faulty = context.board.phase == Phase::Faulty;
        if !waiting.is_empty() && (!faulty || context.prng.chance(700)) {
            let place = *context.prng.pick(&waiting);
            return Some((context.board.topic(place.topic)?.clone(), place));
        }
        if !faulty {
            return None;
        }
        let topic = context.board.pick_topic(context.prng)?.clone();
        let count = u64::try_from(topic.partitions).expect("not negative");
        let partition = i32::try_from(context.prng.below(count)).expect("few partitions");
        let place = Place {
            topic: topic.topic,
            partition,
        };
        Some((topic, place))
    }

    /// The batch that a partition is due to get: the oldest that is not under way, or a new one.
    fn next_batch(
        &mut self,
        context: &mut Context<'_>,
        place: Place,
        acks: i16,
    ) -> Option<(usize, Bytes)> {
        let connection = context.connection;
        let Some((id, epoch)) = self.id else {
            let (bytes, records) = make(context, self.plan.sizes, None);
            let batch = context.history.new_batch(BatchFact {
                client: context.me,
                place,
                acks,
                producer: None,
                connection,
                records,
            });
            return Some((batch, bytes));
        };
        let partition = self.partitions.entry(place).or_default();
        if partition.is_blocked || partition.in_flight() >= IN_FLIGHT_PER_PARTITION_MAX {
            return None;
        }
        let waiting = partition.unsettled.iter().position(|it| !it.in_flight);
        let index = match waiting {
            Some(index) => index,
            None if context.board.phase != Phase::Faulty || partition.is_stretched() => {
                return None;
            }
            None => {
                let sequence = partition.next_sequence;
                let producer = Some((id, epoch, sequence));
                let (bytes, records) = make(context, self.plan.sizes, producer);
                let count = i32::try_from(records.len()).expect("a batch is small");
                partition.next_sequence += count;
                let batch = context.history.new_batch(BatchFact {
                    client: context.me,
                    place,
                    acks,
                    producer,
                    connection: 0,
                    records,
                });
                let number = partition.made;
                partition.made += 1;
                partition.unsettled.push_back(Unsettled {
                    batch,
                    number,
                    sequence,
                    count,
                    bytes,
                    attempts: 0,
                    in_flight: false,
                    was_first: false,
                    known_end: -1,
                });
                partition.unsettled.len() - 1
            }
        };
        let known_end = partition.known_end;
        let unsettled = &mut partition.unsettled[index];
        unsettled.in_flight = true;
        unsettled.attempts += 1;
        unsettled.was_first = index == 0;
        unsettled.known_end = known_end;
        Some((unsettled.batch, unsettled.bytes.clone()))
    }

    fn take_id(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes) {
        let Some(body) = decode::<InitProducerIdRequest>(context, version, frame) else {
            return;
        };
        if body.error_code == 0 {
            self.id = Some((body.producer_id, body.producer_epoch));
        }
    }

    fn take_answer(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        sent: &[Asked],
    ) {
        let Some(body) = decode::<ProduceRequest>(context, version, frame) else {
            return;
        };
        let all = sent.iter().map(|asked| (asked.place, asked.batch));
        let mut left: BTreeMap<Place, usize> = all.collect();
        for topic in &body.responses {
            let mut all = sent.iter();
            let asked = all.find(|asked| match version {
                13.. => asked.topic_id == topic.topic_id,
                _ => context.history.topics[asked.place.topic] == *topic.name,
            });
            let index = asked.map(|asked| asked.place.topic);
            for answer in &topic.partition_responses {
                let place = index.map(|topic| Place {
                    topic,
                    partition: answer.index,
                });
                match place.and_then(|place| left.remove(&place).map(|batch| (place, batch))) {
                    Some((place, batch)) => self.settle(context, place, batch, answer),
                    None => context.violation("Produce answers what was not sent"),
                }
            }
        }
        for place in left.into_keys() {
            let name = context.name(place);
            context.violation(&format!("Produce does not answer for {name}"));
        }
    }

    fn settle(
        &mut self,
        context: &mut Context<'_>,
        place: Place,
        batch: usize,
        answer: &PartitionProduceResponse,
    ) {
        let attempt = self.attempts.get(&batch).copied().unwrap_or(1);
        if answer.error_code == 0 {
            context.stats.batches_acked += 1;
            context.history.push(Entry::Acked {
                batch,
                attempt,
                base_offset: answer.base_offset,
                incarnation: context.incarnation,
            });
        } else {
            context.stats.batches_failed += 1;
            self.has_failed = true;
        }
        if answer.error_code != 0 && !self.plan.idempotent {
            self.refused(context, place, answer.error_code, true, -1);
        }
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let Some(at) = partition.unsettled.iter().position(|it| it.batch == batch) else {
            return;
        };
        if answer.error_code == 0 {
            let unsettled = partition.unsettled.remove(at).expect("found a moment ago");
            let end = answer.base_offset + i64::from(unsettled.count);
            let repeated = unsettled.attempts > 1 && answer.base_offset < unsettled.known_end;
            context.stats.duplicates_recognised += u64::from(repeated);
            partition.known_end = partition.known_end.max(end);
        } else {
            partition.unsettled[at].in_flight = false;
            partition.is_blocked = true;
            let (was_first, sequence) = {
                let failed = &partition.unsettled[at];
                (failed.was_first, failed.sequence)
            };
            self.refused(context, place, answer.error_code, was_first, sequence);
        }
        if let Some(partition) = self.partitions.get_mut(&place) {
            partition.unblock();
        }
    }

    fn refused(
        &mut self,
        context: &mut Context<'_>,
        place: Place,
        error: i16,
        was_first: bool,
        sequence: i32,
    ) {
        let was_deleted = context.history.deleted.contains(&place.topic);
        let name = context.name(place);
        match ErrorCode::from_code(error) {
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {
                if was_deleted {
                    self.partitions.remove(&place);
                } else {
                    context.violation(&format!("{name} is unknown to Produce (error {error})"));
                }
            }
            Some(ErrorCode::OutOfOrderSequenceNumber) if !was_first => {}
            Some(
                ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::DuplicateSequenceNumber
                | ErrorCode::UnknownProducerId
                | ErrorCode::InvalidProducerEpoch,
            ) => {
                if !was_deleted {
                    context.violation(&format!(
                        "{name} refused sequence {sequence} of {:?}, the oldest that is not \
                         settled, with error {error}",
                        self.id
                    ));
                }
                self.start_over(context);
            }
            Some(
                ErrorCode::KafkaStorageError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::RequestTimedOut,
            ) => {}
            _ => context.violation(&format!("{name} refused a right batch with error {error}")),
        }
    }

    /// Gives up what is unsettled and asks for a new producer id.
    fn start_over(&mut self, context: &mut Context<'_>) {
        context.stats.producer_resets += 1;
        let unsettled = self.partitions.values().map(|it| it.unsettled.len() as u64);
        context.stats.batches_unknown += unsettled.sum::<u64>();
        self.partitions.clear();
        self.id = None;
    }

    fn sleep(&mut self, context: &mut Context<'_>) {
        self.count(context);
        let faulty = context.board.phase == Phase::Faulty;
        let pause = if !faulty && self.is_settled() {
            10_000_000
        } else if let Some(pause) = self.link.idle_us(context, self.plan.in_flight_max) {
            pause
        } else if std::mem::take(&mut self.has_failed) {
            context.prng.between(1_000, 100_000)
        } else if faulty && context.prng.chance(3) {
            context.prng.skewed(1_000_000, 60_000_000)
        } else {
            context.prng.skewed(10, self.plan.pause_us_max)
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}

impl Client for Producer {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        self.sleep(context);
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
        self.sleep(context);
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        match self.link.frame(context, frame) {
            Answer::To(Tag::ProducerId, version, frame) => self.take_id(context, version, frame),
            Answer::To(Tag::Produce(sent), version, frame) => {
                self.take_answer(context, version, frame, &sent);
            }
            Answer::Ready | Answer::Nonsense => {}
        }
        self.sleep(context);
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        for tag in self.link.closed() {
            if let Tag::Produce(sent) = tag {
                context.stats.batches_unknown += sent.len() as u64;
            }
        }
        for partition in self.partitions.values_mut() {
            for unsettled in &mut partition.unsettled {
                unsettled.in_flight = false;
            }
            partition.is_blocked = false;
        }
        self.sleep(context);
    }
}
