// SPDX-License-Identifier: Apache-2.0
//! Writers of compacted topics: few keys, overwritten and deleted again and again, and keys that
//! are written once, deleted later, and then left alone, so that their tombstone is the last of
//! them.
//!
//! Invariants: one batch under way at a time; one with a producer id sends a batch until it knows
//! its offset, one without sends it once. A write is in the history before it leaves.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use furlong::wire::record::{BatchBuilder, Compression};

use super::link::{Answer, Link, decode};
use super::{Client, ClientEffect, Context, KnownTopic, Phase};
use crate::history::Place;
use crate::history::keys::Write;
use crate::prng::Prng;

/// Keys that are left alone are those from here on: no two writes have one.
const LONE_KEYS: u64 = 1_000;

/// Keys of one partition.
const KEYS: u64 = 6;

/// What a request was for.
enum Tag {
    ProducerId,
    Produce(Batch),
}

/// A batch that is under way.
#[derive(Clone)]
struct Batch {
    place: Place,
    first: usize,
    count: usize,
    bytes: Bytes,
}

/// A writer.
pub struct KeyWriter {
    link: Link<Tag>,
    is_idempotent: bool,
    id: Option<(i64, i16)>,
    /// The next sequence number of each partition.
    sequences: BTreeMap<Place, i32>,
    /// A batch whose end is not known.
    unsettled: Option<Batch>,
    /// Keys that were written once.
    lone: VecDeque<(Place, u64)>,
    pause_us_max: u64,
    has_failed: bool,
    is_counted: bool,
}

impl KeyWriter {
    /// A writer that has not connected yet.
    pub fn new(is_idempotent: bool, pause_us_max: u64) -> KeyWriter {
        KeyWriter {
            link: Link::new(),
            is_idempotent,
            id: None,
            sequences: BTreeMap::new(),
            unsettled: None,
            lone: VecDeque::new(),
            pause_us_max,
            has_failed: false,
            is_counted: false,
        }
    }

    /// Counts itself among those that are not through.
    fn count(&mut self, context: &mut Context<'_>) {
        let is_busy = context.board.phase == Phase::Faulty || self.unsettled.is_some();
        if is_busy && !self.is_counted {
            context.board.busy_clients += 1;
        } else if !is_busy && self.is_counted {
            context.board.busy_clients -= 1;
        }
        self.is_counted = is_busy;
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a writer of keys got no answer for a minute");
            }
            context.effects.push(ClientEffect::Close);
            self.closed(context);
            return;
        }
        let faulty = context.board.phase == Phase::Faulty;
        let is_through = !faulty && self.unsettled.is_none();
        if is_through || !self.link.connect(context) || self.link.in_flight() > 0 {
            return;
        }
        if self.is_idempotent && self.id.is_none() {
            let version = self.link.version::<InitProducerIdRequest>(context, 4);
            let body = InitProducerIdRequest {
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdRequest::default()
            };
            self.link.request(context, version, &body, Tag::ProducerId);
            return;
        }
        let batch = match self.unsettled.take() {
            Some(batch) => Some(batch),
            None => self.make(context),
        };
        if let Some(batch) = batch {
            self.send(context, batch);
        }
    }

    fn make(&mut self, context: &mut Context<'_>) -> Option<Batch> {
        let compacted = context.board.topics.iter();
        let compacted: Vec<&KnownTopic> = compacted.filter(|it| it.is_compacted()).collect();
        let topic = *compacted.first()?;
        let count = u64::try_from(topic.partitions).expect("not negative");
        let partition = i32::try_from(context.prng.below(count)).expect("few partitions");
        let place = Place {
            topic: topic.topic,
            partition,
        };
        let codecs = [Compression::None, Compression::None, Compression::Gzip];
        let mut builder = BatchBuilder::new(*context.prng.pick(&codecs));
        let mut writes = Vec::new();
        for _ in 0..context.prng.skewed(1, 24) {
            context.board.last_record += 1;
            let number = context.board.last_record;
            let (key, value) = self.draw_record(context.prng, place, number);
            let bytes = value.map(|value| {
                let len = context.prng.index(40);
                let mut bytes = value.to_be_bytes().to_vec();
                bytes.resize(8 + len, 0);
                bytes
            });
            let made_ms = context.wall_ms;
            builder.append(made_ms, Some(&key.to_be_bytes()), bytes.as_deref(), &[]);
            writes.push(Write {
                place,
                key,
                value,
                made_ms,
                asked: context.history.entries.len(),
                offset: None,
            });
        }
        let count = writes.len();
        if let Some((id, epoch)) = self.id {
            let sequence = self.sequences.entry(place).or_default();
            builder.producer(id, epoch, *sequence);
            *sequence += i32::try_from(count).expect("a small batch");
        }
        let bytes = builder.build();
        let first = context.history.ask_writes(writes);
        Some(Batch {
            place,
            first,
            count,
            bytes,
        })
    }

    /// A key and the number that is its value, or none if it is deleted.
    fn draw_record(&mut self, prng: &mut Prng, place: Place, number: u64) -> (u64, Option<u64>) {
        match prng.below(10) {
            0 => {
                let key = LONE_KEYS + number;
                self.lone.push_back((place, key));
                (key, Some(number))
            }
            1 if self.lone.front().is_some_and(|(there, _)| *there == place) => {
                let lone = self.lone.pop_front();
                (lone.map_or(0, |(_, key)| key), None)
            }
            _ => {
                let value = (!prng.chance(250)).then_some(number);
                (prng.below(KEYS), value)
            }
        }
    }

    fn send(&mut self, context: &mut Context<'_>, batch: Batch) {
        let Some(topic) = context.board.topic(batch.place.topic).cloned() else {
            return;
        };
        let at_most = if topic.id.is_zero() { 12 } else { i16::MAX };
        let link = &self.link;
        let version = link.version_between::<ProduceRequest>(context, 3, at_most);
        let data = PartitionProduceData {
            index: batch.place.partition,
            records: Some(batch.bytes.clone()),
        };
        let body = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.name.into(),
                topic_id: topic.id,
                partition_data: vec![data],
            }],
            ..ProduceRequest::default()
        };
        self.unsettled = Some(batch.clone());
        self.link
            .request(context, version, &body, Tag::Produce(batch));
    }

    fn take_answer(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        batch: &Batch,
    ) {
        let Some(body) = decode::<ProduceRequest>(context, version, frame) else {
            return;
        };
        let topic = body.responses.first();
        let Some(answer) = topic.and_then(|topic| topic.partition_responses.first()) else {
            return context.violation("Produce answers nothing");
        };
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {
                let (first, count) = (batch.first, batch.count);
                context.stats.keys_written += count as u64;
                context.history.end_writes(first, count, answer.base_offset);
                self.unsettled = None;
            }
            Some(
                ErrorCode::KafkaStorageError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::RequestTimedOut,
            ) => {
                self.has_failed = true;
                self.give_up_if_plain();
            }
            // Its answer was lost, and five batches more cannot have come since: it is there, and
            // the broker does not know any more where.
            _ => {
                let (code, name) = (answer.error_code, context.name(batch.place));
                context.violation(&format!("{name} refused a batch of keys with error {code}"));
                self.unsettled = None;
            }
        }
    }

    fn give_up_if_plain(&mut self) {
        if !self.is_idempotent {
            self.unsettled = None;
        }
    }

    fn sleep(&mut self, context: &mut Context<'_>) {
        self.count(context);
        let pause = if context.board.phase != Phase::Faulty && self.unsettled.is_none() {
            10_000_000
        } else if let Some(pause) = self.link.idle_us(context, 1) {
            pause
        } else if std::mem::take(&mut self.has_failed) {
            context.prng.between(1_000, 100_000)
        } else {
            context.prng.skewed(10, self.pause_us_max)
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}

impl Client for KeyWriter {
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
            Answer::To(Tag::ProducerId, version, frame) => {
                let body = decode::<InitProducerIdRequest>(context, version, frame);
                if let Some(body) = body.filter(|body| body.error_code == 0) {
                    self.id = Some((body.producer_id, body.producer_epoch));
                }
            }
            Answer::To(Tag::Produce(batch), version, frame) => {
                self.take_answer(context, version, frame, &batch);
            }
            Answer::Ready | Answer::Nonsense => {}
        }
        self.sleep(context);
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        self.link.closed();
        self.give_up_if_plain();
        self.sleep(context);
    }
}
