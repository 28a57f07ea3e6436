// SPDX-License-Identifier: Apache-2.0
//! Consumers: long polls from the start or the tip of some partitions, now and then from somewhere
//! else.
//!
//! Invariants: one request under way at a time; a position moves only past what was read, to an
//! answer of ListOffsets, or back to something that was read before.

use std::collections::BTreeMap;

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use super::link::{Answer, Link, PATIENCE_US, decode};
use super::payload::read;
use super::{Client, ClientEffect, Context, Phase};
use crate::history::{Entry, FetchFact, Place};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LARGEST_TIMESTAMP: i64 = -3;

/// Where a consumer is in one partition.
#[derive(Clone, Copy, Debug)]
enum Position {
    /// It has to ask for the offset of this special timestamp.
    Ask(i64),
    /// It reads from here.
    At(i64),
}

/// What a request was for, and how long the history was when it was sent.
enum Tag {
    Fetch {
        called: usize,
        asked: BTreeMap<Place, i64>,
        at_us: u64,
    },
    ListOffsets {
        called: usize,
        timestamp: i64,
    },
}

/// A consumer.
pub struct Consumer {
    link: Link<Tag>,
    positions: BTreeMap<Place, Position>,
    pause_us_max: u64,
}

impl Consumer {
    /// A consumer that has not connected yet.
    pub fn new(pause_us_max: u64) -> Consumer {
        Consumer {
            link: Link::new(),
            positions: BTreeMap::new(),
            pause_us_max,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a consumer got no answer for a minute");
            }
            context.effects.push(ClientEffect::Close);
            self.closed(context);
            return;
        }
        if context.board.phase != Phase::Faulty || !self.link.connect(context) {
            return;
        }
        if self.link.in_flight() > 0 {
            return;
        }
        self.choose(context);
        let ask = self.positions.values().find_map(|position| match position {
            Position::Ask(timestamp) => Some(*timestamp),
            Position::At(_) => None,
        });
        match ask {
            Some(timestamp) => self.list_offsets(context, timestamp),
            None if self.positions.is_empty() => {}
            None => self.fetch(context),
        }
    }

    fn sleep(&self, context: &mut Context<'_>) {
        let pause = if context.board.phase != Phase::Faulty {
            PATIENCE_US
        } else if let Some(pause) = self.link.idle_us(context, 1) {
            pause
        } else {
            context.prng.skewed(10, self.pause_us_max)
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    /// Takes up a partition, moves about, drops what is gone.
    fn choose(&mut self, context: &mut Context<'_>) {
        let board = &context.board;
        self.positions
            .retain(|place, _| board.topic(place.topic).is_some_and(|it| it.usable));
        if self.positions.len() < 8 && context.prng.chance(200) {
            let Some(topic) = context.board.pick_topic(context.prng) else {
                return;
            };
            let (topic, count) = (topic.topic, topic.partitions);
            let count = u64::try_from(count).expect("not negative");
            let partition = i32::try_from(context.prng.below(count)).expect("few partitions");
            let start = if context.prng.chance(600) {
                EARLIEST
            } else {
                LATEST
            };
            let place = Place { topic, partition };
            self.positions.entry(place).or_insert(Position::Ask(start));
        }
        if !self.positions.is_empty() && context.prng.chance(20) {
            let places: Vec<Place> = self.positions.keys().copied().collect();
            let place = *context.prng.pick(&places);
            let position = match (context.prng.below(3), self.positions[&place]) {
                (0, Position::At(offset)) if offset > 0 => {
                    let bound = u64::try_from(offset).expect("positive");
                    let back = context.prng.below(bound);
                    Position::At(i64::try_from(back).expect("below an offset"))
                }
                (1, _) => Position::Ask(EARLIEST),
                _ => Position::Ask(LATEST),
            };
            self.positions.insert(place, position);
        }
    }

    fn list_offsets(&mut self, context: &mut Context<'_>, timestamp: i64) {
        let mut topics = BTreeMap::new();
        for (place, position) in &self.positions {
            if !matches!(position, Position::Ask(asked) if *asked == timestamp) {
                continue;
            }
            let Some(topic) = context.board.topic(place.topic) else {
                continue;
            };
            let topic = topics.entry(topic.name.clone()).or_insert_with(Vec::new);
            topic.push(ListOffsetsPartition {
                partition_index: place.partition,
                current_leader_epoch: -1,
                timestamp,
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: name.into(),
                partitions,
            });
        let body = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: 0,
            topics: topics.collect(),
            timeout_ms: 30_000,
        };
        let version = self.link.version::<ListOffsetsRequest>(context, i16::MAX);
        let called = context.history.entries.len();
        let tag = Tag::ListOffsets { called, timestamp };
        self.link.request(context, version, &body, tag);
    }

    fn fetch(&mut self, context: &mut Context<'_>) {
        let mut asked = BTreeMap::new();
        let mut topics: BTreeMap<usize, FetchTopic> = BTreeMap::new();
        let mut with_ids = true;
        for (place, position) in &self.positions {
            let Position::At(offset) = *position else {
                continue;
            };
            let Some(known) = context.board.topic(place.topic) else {
                continue;
            };
            with_ids &= !known.id.is_zero();
            let topic = topics.entry(place.topic).or_insert_with(|| FetchTopic {
                topic: known.name.clone().into(),
                topic_id: known.id,
                partitions: Vec::new(),
            });
            asked.insert(*place, offset);
            topic.partitions.push(FetchPartition {
                partition: place.partition,
                fetch_offset: offset,
                partition_max_bytes: small(context.prng.skewed(1, 200_000)),
                ..FetchPartition::default()
            });
        }
        let body = FetchRequest {
            max_wait_ms: small(*context.prng.pick(&[0, 10, 500, 5_000])),
            min_bytes: small(*context.prng.pick(&[0, 1, 1, 1, 10_000])),
            max_bytes: small(context.prng.skewed(1, 1_000_000)),
            isolation_level: i8::from(context.prng.chance(300)),
            topics: topics.into_values().collect(),
            ..FetchRequest::default()
        };
        let at_most = if with_ids { i16::MAX } else { 12 };
        let version = self.link.version::<FetchRequest>(context, at_most);
        let called = context.history.entries.len();
        let at_us = context.now_us;
        let tag = Tag::Fetch {
            called,
            asked,
            at_us,
        };
        self.link.request(context, version, &body, tag);
    }

    fn take_offsets(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        called: usize,
        timestamp: i64,
    ) {
        let Some(body) = decode::<ListOffsetsRequest>(context, version, frame) else {
            return;
        };
        for topic in &body.topics {
            let Some(known) = context.board.find(&topic.name, Uuid::ZERO) else {
                continue;
            };
            let index = known.topic;
            for answer in &topic.partitions {
                let place = Place {
                    topic: index,
                    partition: answer.partition_index,
                };
                if answer.error_code != 0 {
                    check_error(context, place, answer.error_code);
                    continue;
                }
                if timestamp != LARGEST_TIMESTAMP {
                    context.history.push(Entry::Bound {
                        place,
                        called,
                        start: timestamp == EARLIEST,
                        offset: answer.offset,
                    });
                }
                self.positions
                    .insert(place, Position::At(answer.offset.max(0)));
            }
        }
    }

    fn take_fetched(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        called: usize,
        asked: &BTreeMap<Place, i64>,
    ) {
        let Some(body) = decode::<FetchRequest>(context, version, frame) else {
            return;
        };
        if body.error_code != 0 {
            context.violation(&format!("Fetch is refused with error {}", body.error_code));
        }
        for topic in &body.responses {
            let name = if version >= 13 { "" } else { &*topic.topic };
            let Some(index) = context.board.find(name, topic.topic_id).map(|it| it.topic) else {
                continue;
            };
            for answer in &topic.partitions {
                let place = Place {
                    topic: index,
                    partition: answer.partition_index,
                };
                match asked.get(&place) {
                    Some(offset) => self.take_partition(context, place, called, *offset, answer),
                    None => context.violation("Fetch answers what was not asked"),
                }
            }
        }
    }

    fn take_partition(
        &mut self,
        context: &mut Context<'_>,
        place: Place,
        called: usize,
        fetch_offset: i64,
        answer: &PartitionData,
    ) {
        let error = answer.error_code;
        if let Some(fact) = fetch_fact(context, place, called, fetch_offset, answer, false) {
            let end = fact.batches.last().map(|batch| batch.end_offset());
            let known = self.positions.get_mut(&place);
            if let (Some(end), Some(position)) = (end, known) {
                *position = Position::At(end);
            }
            context.history.push(Entry::Fetched(fact));
        }
        if error == ErrorCode::OffsetOutOfRange.code() {
            context.stats.out_of_range += 1;
            self.positions.insert(place, Position::Ask(EARLIEST));
        } else if error != 0 {
            check_error(context, place, error);
        }
    }
}

/// What an answer to a fetch says of one partition, if it can be read.
pub fn fetch_fact(
    context: &mut Context<'_>,
    place: Place,
    called: usize,
    fetch_offset: i64,
    answer: &PartitionData,
    last_read: bool,
) -> Option<FetchFact> {
    let batches = match read(&answer.records.clone().unwrap_or_default()) {
        Ok(batches) => batches,
        Err(sentence) => {
            let name = context.name(place);
            context.violation(&format!("{name} from {fetch_offset}: {sentence}"));
            return None;
        }
    };
    let count = batches.iter().map(|batch| batch.records.len() as u64);
    context.stats.records_read += count.sum::<u64>();
    Some(FetchFact {
        client: context.me,
        place,
        called,
        fetch_offset,
        error: answer.error_code,
        high_watermark: answer.high_watermark,
        log_start_offset: answer.log_start_offset,
        batches,
        last_read,
    })
}

/// Errors that a right question may get while faults happen; others are noted.
fn check_error(context: &mut Context<'_>, place: Place, error: i16) {
    let name = context.name(place);
    match ErrorCode::from_code(error) {
        Some(
            ErrorCode::KafkaStorageError
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable,
        ) => {}
        Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
            if context.history.deleted.contains(&place.topic) => {}
        _ => context.violation(&format!("{name}: a consumer got error {error}")),
    }
}

fn small(value: u64) -> i32 {
    i32::try_from(value).expect("a small number")
}

impl Client for Consumer {
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
            Answer::To(Tag::ListOffsets { called, timestamp }, version, frame) => {
                self.take_offsets(context, version, frame, called, timestamp);
            }
            Answer::To(
                Tag::Fetch {
                    called,
                    asked,
                    at_us,
                },
                version,
                frame,
            ) => {
                context.stats.long_polls += u64::from(context.now_us > at_us + 400_000);
                self.take_fetched(context, version, frame, called, &asked);
            }
            Answer::Ready | Answer::Nonsense => {}
        }
        self.sleep(context);
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        self.link.closed();
        self.sleep(context);
    }
}
