// SPDX-License-Identifier: Apache-2.0
//! The last client: after the last heal it writes to every partition, then reads everything from
//! the beginning.
//!
//! Invariants: it asks for nothing before the producers are through; an error that it gets is a
//! violation, for nothing fails any more.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use furlong::wire::protocol::metadata::MetadataRequest;
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use super::admin::all_topics;
use super::consumer::fetch_fact;
use super::link::{Answer, Link, decode};
use super::payload::{Sizes, make};
use super::{Client, ClientEffect, Context, Phase, is_private};
use crate::history::{BatchFact, Entry, Place};

/// `NOT_LEADER_OR_FOLLOWER`: the partition is not open yet.
const NOT_OPEN: i16 = 6;

/// What a request was for.
#[derive(Clone, Copy)]
enum Tag {
    Metadata,
    Produce { place: Place, batch: usize },
    Start(Place),
    Fetch { place: Place, offset: i64 },
    Configs(usize),
}

/// What is left to do in one partition.
#[derive(Clone, Copy)]
enum Left {
    Write,
    AskStart,
    Read(i64),
}

/// The verifier.
pub struct Verifier {
    link: Link<Tag>,
    knows_topics: bool,
    left: BTreeMap<Place, Left>,
    configs: BTreeSet<usize>,
    ids: BTreeMap<usize, Uuid>,
}

impl Verifier {
    /// A verifier that waits for its time.
    pub fn new() -> Verifier {
        Verifier {
            link: Link::new(),
            knows_topics: false,
            left: BTreeMap::new(),
            configs: BTreeSet::new(),
            ids: BTreeMap::new(),
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if context.board.phase == Phase::Healed && context.board.busy_clients == 0 {
            context.board.phase = Phase::LastReads;
        }
        if context.board.phase != Phase::LastReads || !self.link.connect(context) {
            return;
        }
        if self.link.in_flight() > 0 {
            return;
        }
        if !self.knows_topics {
            let version = self.link.version::<MetadataRequest>(context, i16::MAX);
            self.link
                .request(context, version, &all_topics(version), Tag::Metadata);
            return;
        }
        let next = self
            .left
            .first_key_value()
            .map(|(place, left)| (*place, *left));
        match next {
            Some((place, Left::Write)) => self.write(context, place),
            Some((place, Left::AskStart)) => self.ask_start(context, place),
            Some((place, Left::Read(offset))) => self.read(context, place, offset),
            None => match self.configs.first().copied() {
                Some(topic) => self.describe(context, topic),
                None if context.board.last_readers > 0 => {}
                None => context.board.phase = Phase::Done,
            },
        }
    }

    fn write(&mut self, context: &mut Context<'_>, place: Place) {
        let sizes = Sizes {
            value_bytes_max: 100,
            records_max: 3,
        };
        let (bytes, records) = make(context, sizes, None);
        let batch = context.history.new_batch(BatchFact {
            client: context.me,
            place,
            acks: -1,
            producer: None,
            connection: context.connection,
            records,
        });
        context.history.push(Entry::Sent { batch });
        context.stats.batches_sent += 1;
        let body = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: context.history.topics[place.topic].clone().into(),
                topic_id: self.ids[&place.topic],
                partition_data: vec![PartitionProduceData {
                    index: place.partition,
                    records: Some(bytes),
                }],
            }],
            ..ProduceRequest::default()
        };
        let at_most = if self.ids[&place.topic].is_zero() {
            12
        } else {
            i16::MAX
        };
        let link = &self.link;
        let version = link.version_between::<ProduceRequest>(context, 7, at_most);
        let tag = Tag::Produce { place, batch };
        self.link.request(context, version, &body, tag);
    }

    fn ask_start(&mut self, context: &mut Context<'_>, place: Place) {
        let body = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: context.history.topics[place.topic].clone().into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: place.partition,
                    timestamp: -2,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let version = self.link.version::<ListOffsetsRequest>(context, i16::MAX);
        self.link
            .request(context, version, &body, Tag::Start(place));
    }

    fn read(&mut self, context: &mut Context<'_>, place: Place, offset: i64) {
        let body = FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            topics: vec![FetchTopic {
                topic: context.history.topics[place.topic].clone().into(),
                topic_id: self.ids[&place.topic],
                partitions: vec![FetchPartition {
                    partition: place.partition,
                    fetch_offset: offset,
                    partition_max_bytes: 10_000_000,
                    ..FetchPartition::default()
                }],
            }],
            ..FetchRequest::default()
        };
        let at_most = if self.ids[&place.topic].is_zero() {
            12
        } else {
            i16::MAX
        };
        let version = self.link.version::<FetchRequest>(context, at_most).max(5);
        let tag = Tag::Fetch { place, offset };
        self.link.request(context, version, &body, tag);
    }

    fn describe(&mut self, context: &mut Context<'_>, topic: usize) {
        let body = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: 2,
                resource_name: context.history.topics[topic].clone().into(),
                configuration_keys: None,
            }],
            ..DescribeConfigsRequest::default()
        };
        let version = self
            .link
            .version::<DescribeConfigsRequest>(context, i16::MAX);
        self.link
            .request(context, version, &body, Tag::Configs(topic));
    }

    fn take_topics(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes) {
        let Some(body) = decode::<MetadataRequest>(context, version, frame) else {
            return;
        };
        self.knows_topics = true;
        let mut names = Vec::new();
        for answer in &body.topics {
            let name = answer.name.clone().unwrap_or_default().to_string();
            if name.starts_with("__") {
                continue;
            }
            if answer.error_code != 0 {
                context.violation(&format!(
                    "{name} has error {} at the end",
                    answer.error_code
                ));
            }
            let topic = context.history.topic(&name);
            let id = if version >= 10 {
                answer.topic_id
            } else {
                Uuid::ZERO
            };
            self.ids.insert(topic, id);
            let is_private = is_private(&name);
            for partition in answer.partitions.iter().filter(|_| !is_private) {
                let place = Place {
                    topic,
                    partition: partition.partition_index,
                };
                self.left.insert(place, Left::Write);
            }
            names.push(name);
        }
        for entry in &context.history.entries {
            if let Entry::ConfigDone { topic, .. } = entry {
                self.configs.insert(*topic);
            }
        }
        context.history.push(Entry::TopicsAtEnd { names });
    }

    fn take_written(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        place: Place,
        batch: usize,
    ) {
        let Some(body) = decode::<ProduceRequest>(context, version, frame) else {
            return;
        };
        let answer = body
            .responses
            .first()
            .and_then(|it| it.partition_responses.first());
        match answer {
            Some(answer) if answer.error_code == 0 => {
                context.history.push(Entry::Acked {
                    batch,
                    attempt: 1,
                    base_offset: answer.base_offset,
                    incarnation: context.incarnation,
                });
                context.stats.batches_acked += 1;
                self.left.insert(place, Left::AskStart);
            }
            // Not open yet: it is asked again, until the world says that nothing moves any more.
            Some(answer) if answer.error_code == NOT_OPEN => {}
            other => {
                let code = other.map(|answer| answer.error_code);
                let name = context.name(place);
                let sentence = format!("liveness: {name} takes no batch at the end: {code:?}");
                context.violation(&sentence);
                self.left.insert(place, Left::AskStart);
            }
        }
    }

    fn take_start(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes, place: Place) {
        let Some(body) = decode::<ListOffsetsRequest>(context, version, frame) else {
            return;
        };
        let answer = body
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        match answer {
            Some(answer) if answer.error_code == 0 => {
                self.left.insert(place, Left::Read(answer.offset));
            }
            Some(answer) if answer.error_code == NOT_OPEN => {}
            other => {
                let name = context.name(place);
                context.violation(&format!("{name} has no start at the end: {other:?}"));
                self.left.remove(&place);
            }
        }
    }

    fn take_read(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        place: Place,
        offset: i64,
    ) {
        let Some(body) = decode::<FetchRequest>(context, version, frame) else {
            return;
        };
        let answer = body
            .responses
            .first()
            .and_then(|topic| topic.partitions.first());
        let name = context.name(place);
        if answer.is_some_and(|answer| answer.error_code == NOT_OPEN) {
            return;
        }
        let Some(answer) = answer.filter(|answer| answer.error_code == 0) else {
            // Retention may take the place that it is about to read.
            let start = answer.is_some_and(|answer| answer.error_code == 1);
            if start && name.starts_with("kept") {
                self.left.insert(place, Left::AskStart);
                return;
            }
            let code = answer.map_or(body.error_code, |answer| answer.error_code);
            context.violation(&format!("{name} from {offset} at the end: error {code}"));
            self.left.remove(&place);
            return;
        };
        let called = context.history.entries.len();
        let Some(fact) = fetch_fact(context, place, called, offset, answer, true) else {
            self.left.remove(&place);
            return;
        };
        context.stats.records_at_end += fact
            .batches
            .iter()
            .map(|batch| batch.records.len() as u64)
            .sum::<u64>();
        let end = fact
            .batches
            .last()
            .map_or(offset, |batch| batch.end_offset());
        if end >= fact.high_watermark {
            self.left.remove(&place);
        } else if end == offset {
            let high_watermark = fact.high_watermark;
            context.violation(&format!(
                "liveness: {name} gives nothing at {offset} below {high_watermark}"
            ));
            self.left.remove(&place);
        } else {
            self.left.insert(place, Left::Read(end));
        }
        context.history.push(Entry::Fetched(fact));
    }

    fn take_configs(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        topic: usize,
    ) {
        self.configs.remove(&topic);
        let Some(body) = decode::<DescribeConfigsRequest>(context, version, frame) else {
            return;
        };
        for result in &body.results {
            for config in &result.configs {
                context.history.push(Entry::ConfigAtEnd {
                    topic,
                    key: config.name.to_string(),
                    value: config.value.clone().unwrap_or_default().to_string(),
                });
            }
        }
    }
}

impl Client for Verifier {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        let pause = if context.board.phase == Phase::LastReads {
            self.link.idle_us(context, 1).unwrap_or(1_000)
        } else {
            200_000
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        let Answer::To(tag, version, frame) = self.link.frame(context, frame) else {
            return;
        };
        match tag {
            Tag::Metadata => self.take_topics(context, version, frame),
            Tag::Produce { place, batch } => {
                self.take_written(context, version, frame, place, batch);
            }
            Tag::Start(place) => self.take_start(context, version, frame, place),
            Tag::Fetch { place, offset } => self.take_read(context, version, frame, place, offset),
            Tag::Configs(topic) => self.take_configs(context, version, frame, topic),
        }
        self.work(context);
    }

    fn closed(&mut self, _: &mut Context<'_>) {
        self.link.closed();
    }
}
