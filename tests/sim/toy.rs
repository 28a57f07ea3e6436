// SPDX-License-Identifier: Apache-2.0
//! A broker of a few hundred lines that is right by being slow: one request at a time, each log a
//! small file that is replaced whole before the answer leaves. The simulator, its clients and its
//! checkers are tried on it.
//!
//! Invariants: the first data shard does everything, the other machines only start and stop. A
//! spoilt toy breaks one rule, and the checkers must say which.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use furlong::model::disk::{DiskCompletion, DiskOperation, DiskOutcome, DiskToken};
use furlong::model::ids::{ConnectionId, Uuid};
use furlong::model::time::{MonotonicUs, Now};
use furlong::shard::contract::{Effects, Event, Machine, NetworkEffect, ProcessEffect};
use furlong::wire::codec::Reader;
use furlong::wire::protocol::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use furlong::wire::protocol::create_topics::{
    CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use furlong::wire::protocol::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use furlong::wire::protocol::describe_configs::DescribeConfigsRequest;
use furlong::wire::protocol::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use furlong::wire::protocol::incremental_alter_configs::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use furlong::wire::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use furlong::wire::protocol::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use furlong::wire::protocol::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use furlong::wire::protocol::{
    ApiKey, Message, Request, RequestHeader, decode_request_header, encode_response,
};
use furlong::wire::record::{BatchHeader, patch_offsets, split_batches};

/// Which rule a toy breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// None.
    No,
    /// It answers before the file is replaced.
    AnswersFirst,
    /// It leads in the same epoch after every start.
    NoNewEpoch,
    /// It takes every batch for a new one.
    NoIdempotence,
}

#[derive(Default)]
struct Log {
    /// Batches by their last offset.
    batches: Vec<(i64, Vec<u8>)>,
    end: i64,
    readable: i64,
    /// Last sequence and its offset by producer.
    producers: BTreeMap<i64, Vec<(i32, i64)>>,
}

impl Log {
    fn append(&mut self, batch: &Bytes, epoch: i32, spoilt: Spoilt) -> i64 {
        let mut batch = batch.to_vec();
        let header = BatchHeader::parse(&batch).expect("clients send right batches");
        let known = self.producers.entry(header.producer_id).or_default();
        let repeated = known
            .iter()
            .find(|(sequence, _)| *sequence == header.base_sequence);
        if let Some((_, offset)) = repeated
            && header.producer_id >= 0
            && spoilt != Spoilt::NoIdempotence
        {
            return *offset;
        }
        known.push((header.base_sequence, self.end));
        let base = self.end;
        patch_offsets(&mut batch, base, epoch);
        self.end = base + i64::from(header.last_offset_delta) + 1;
        self.batches.push((self.end - 1, batch));
        base
    }

    /// A few batches from an offset on.
    fn read_from(&self, offset: i64) -> Bytes {
        let first = self.batches.partition_point(|(last, _)| *last < offset);
        let wanted = self.batches[first..].iter().take(20);
        let readable = wanted.take_while(|(last, _)| *last < self.readable);
        let parts: Vec<&[u8]> = readable.map(|(_, batch)| batch.as_slice()).collect();
        parts.concat().into()
    }

    fn contents(&self) -> Vec<u8> {
        let parts: Vec<&[u8]> = self
            .batches
            .iter()
            .map(|(_, batch)| batch.as_slice())
            .collect();
        parts.concat()
    }
}

/// The machine that does everything.
pub struct Toy {
    spoilt: Spoilt,
    topics: BTreeMap<String, (Uuid, usize)>,
    logs: BTreeMap<(String, i32), Log>,
    epoch: i32,
    to_load: Vec<String>,
    operation: u32,
    writes_left: usize,
    answer: Option<(ConnectionId, Vec<Bytes>)>,
    waiting: VecDeque<(ConnectionId, Bytes)>,
    is_serving: bool,
    is_stopping: bool,
}

impl Toy {
    fn new(spoilt: Spoilt) -> Toy {
        Toy {
            spoilt,
            topics: BTreeMap::new(),
            logs: BTreeMap::new(),
            epoch: 0,
            to_load: Vec::new(),
            operation: 0,
            writes_left: 0,
            answer: None,
            waiting: VecDeque::new(),
            is_serving: false,
            is_stopping: false,
        }
    }

    fn push(&mut self, operation: DiskOperation, effects: &mut Effects) {
        self.operation += 1;
        let token = DiskToken {
            owner: 0,
            operation: self.operation,
        };
        effects.disk.push(token, operation);
    }

    fn replace(&mut self, path: String, contents: Vec<u8>, effects: &mut Effects) {
        self.writes_left += 1;
        let path = path.into_boxed_str();
        self.push(DiskOperation::ReplaceFile { path, contents }, effects);
    }

    fn loaded(&mut self, contents: Vec<u8>) {
        let name = self.to_load.pop().expect("a file was asked for");
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["topic", name] => {
                let id = Uuid(contents[..16].try_into().expect("sixteen bytes"));
                self.topics
                    .insert(name.to_owned(), (id, usize::from(contents[16])));
            }
            ["log", name, partition] => {
                let mut log = Log::default();
                for batch in split_batches(&Bytes::from(contents)) {
                    let batch = batch.expect("replaced whole");
                    let epoch = BatchHeader::parse(&batch).expect("replaced whole");
                    log.append(&batch, epoch.partition_leader_epoch, Spoilt::No);
                }
                log.readable = log.end;
                let partition = partition.parse().expect("a number");
                self.logs.insert((name.to_owned(), partition), log);
            }
            ["epoch"] => {
                let epoch = i32::from_be_bytes(contents.try_into().expect("four bytes"));
                self.epoch = epoch + i32::from(self.spoilt != Spoilt::NoNewEpoch);
            }
            _ => {}
        }
    }

    fn on_disk(&mut self, completion: DiskCompletion, effects: &mut Effects) {
        match completion.result {
            Err(error) => {
                let sentence = error.to_string().into();
                effects.process.push(ProcessEffect::Fatal { sentence });
                return;
            }
            Ok(DiskOutcome::Listed { entries }) => {
                let names = entries.into_iter().map(|entry| entry.name.into_string());
                self.to_load = names.filter(|name| !name.ends_with(".tmp")).collect();
            }
            Ok(DiskOutcome::FileRead { contents }) => self.loaded(contents),
            Ok(_) => self.writes_left -= 1,
        }
        if !self.is_serving {
            if let Some(path) = self.to_load.last().cloned().map(String::into_boxed_str) {
                return self.push(DiskOperation::ReadFile { path }, effects);
            }
            if self.operation != u32::MAX && self.writes_left == 0 && !self.is_serving {
                self.is_serving = true;
                effects.network.push(NetworkEffect::Listen);
                let epoch = self.epoch.to_be_bytes().to_vec();
                self.replace("epoch".to_owned(), epoch, effects);
            }
            return;
        }
        if self.writes_left == 0 {
            for log in self.logs.values_mut() {
                log.readable = log.end;
            }
            if let Some((connection, parts)) = self.answer.take() {
                effects
                    .network
                    .push(NetworkEffect::Send { connection, parts });
            }
            self.go_on(effects);
        }
    }

    fn go_on(&mut self, effects: &mut Effects) {
        while self.is_serving && self.writes_left == 0 {
            if self.is_stopping {
                effects.process.push(ProcessEffect::Stopped);
                return;
            }
            let Some((connection, frame)) = self.waiting.pop_front() else {
                return;
            };
            effects
                .network
                .push(NetworkEffect::ReceiveNext { connection });
            let Some(parts) = self.handle(frame, effects) else {
                effects.network.push(NetworkEffect::Close { connection });
                continue;
            };
            if parts.is_empty() {
                continue;
            }
            if self.writes_left == 0 || self.spoilt == Spoilt::AnswersFirst {
                effects
                    .network
                    .push(NetworkEffect::Send { connection, parts });
            } else {
                self.answer = Some((connection, parts));
            }
        }
    }

    /// The answer; `None` closes the connection.
    fn handle(&mut self, frame: Bytes, effects: &mut Effects) -> Option<Vec<Bytes>> {
        let mut reader = Reader::new(frame);
        let header = decode_request_header(&mut reader).ok()?;
        let (key, reader) = (ApiKey::from_code(header.api_key)?, &mut reader);
        match key {
            ApiKey::ApiVersions => {
                let all = ApiKey::ALL.iter().map(|api| ApiVersion {
                    api_key: api.code(),
                    min_version: *api.versions().start(),
                    max_version: *api.versions().end(),
                });
                let answer = ApiVersionsResponse {
                    api_keys: all.collect(),
                    ..ApiVersionsResponse::default()
                };
                respond::<ApiVersionsRequest>(&header, reader, |_| answer)
            }
            ApiKey::Metadata => respond::<MetadataRequest>(&header, reader, |_| self.metadata()),
            ApiKey::CreateTopics => {
                respond::<CreateTopicsRequest>(&header, reader, |body| self.create(&body, effects))
            }
            ApiKey::InitProducerId => respond::<InitProducerIdRequest>(&header, reader, |_| {
                let topics = self.topics.len();
                let id = i64::from(self.epoch) * 1_000_000 + i64::from(self.operation);
                self.operation += 1;
                InitProducerIdResponse {
                    producer_id: id * 100 + i64::try_from(topics).expect("few"),
                    ..InitProducerIdResponse::default()
                }
            }),
            ApiKey::Produce => {
                let is_silent = std::cell::Cell::new(false);
                let parts = respond::<ProduceRequest>(&header, reader, |body| {
                    is_silent.set(body.acks == 0);
                    self.produce(&body, effects)
                });
                if is_silent.get() {
                    Some(Vec::new())
                } else {
                    parts
                }
            }
            ApiKey::Fetch => respond::<FetchRequest>(&header, reader, |body| self.fetch(&body)),
            ApiKey::ListOffsets => {
                respond::<ListOffsetsRequest>(&header, reader, |body| self.list_offsets(&body))
            }
            ApiKey::IncrementalAlterConfigs => {
                respond::<IncrementalAlterConfigsRequest>(&header, reader, |_| {
                    let mut answer = IncrementalAlterConfigsResponse::default();
                    answer.responses.push(AlterConfigsResourceResponse {
                        error_code: 41,
                        ..AlterConfigsResourceResponse::default()
                    });
                    answer
                })
            }
            ApiKey::DeleteTopics => respond::<DeleteTopicsRequest>(&header, reader, |_| {
                let mut answer = DeleteTopicsResponse::default();
                answer.responses.push(DeletableTopicResult {
                    error_code: 41,
                    ..DeletableTopicResult::default()
                });
                answer
            }),
            ApiKey::DescribeConfigs => {
                respond::<DescribeConfigsRequest>(&header, reader, |_| Default::default())
            }
            _ => None,
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let topics = self.topics.iter().map(|(name, (id, count))| {
            let partitions = (0..*count).map(|index| MetadataResponsePartition {
                partition_index: i32::try_from(index).expect("few"),
                leader_epoch: self.epoch,
                ..MetadataResponsePartition::default()
            });
            MetadataResponseTopic {
                name: Some(name.clone().into()),
                topic_id: *id,
                partitions: partitions.collect(),
                ..MetadataResponseTopic::default()
            }
        });
        MetadataResponse {
            topics: topics.collect(),
            ..MetadataResponse::default()
        }
    }

    fn create(
        &mut self,
        body: &CreateTopicsRequest,
        effects: &mut Effects,
    ) -> CreateTopicsResponse {
        let mut answer = CreateTopicsResponse::default();
        for topic in &body.topics {
            let count = u8::try_from(topic.num_partitions).expect("few partitions");
            let name = topic.name.to_string();
            let mut id = [7; 16];
            id[..8].copy_from_slice(&u64::from(self.operation + 1).to_be_bytes());
            id[8..12].copy_from_slice(&self.epoch.to_be_bytes());
            let is_new = !self.topics.contains_key(&name);
            if is_new {
                self.topics
                    .insert(name.clone(), (Uuid(id), usize::from(count)));
                let mut contents = id.to_vec();
                contents.push(count);
                self.replace(format!("topic.{name}"), contents, effects);
            }
            answer.topics.push(CreatableTopicResult {
                name: topic.name.clone(),
                error_code: if is_new { 0 } else { 36 },
                ..CreatableTopicResult::default()
            });
        }
        answer
    }

    fn name_of(&self, name: &str, id: Uuid) -> Option<String> {
        let mut all = self.topics.iter();
        all.find(|(known, (its, _))| known.as_str() == name || *its == id)
            .map(|(known, _)| known.clone())
    }

    fn produce(&mut self, body: &ProduceRequest, effects: &mut Effects) -> ProduceResponse {
        let mut answer = ProduceResponse::default();
        for topic in &body.topic_data {
            let mut part = TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                ..TopicProduceResponse::default()
            };
            let Some(name) = self.name_of(&topic.name, topic.topic_id) else {
                continue;
            };
            for data in &topic.partition_data {
                let log = self.logs.entry((name.clone(), data.index)).or_default();
                let batch = data.records.clone().expect("a batch");
                let base_offset = log.append(&batch, self.epoch, self.spoilt);
                if self.spoilt == Spoilt::AnswersFirst {
                    log.readable = log.end;
                }
                let bytes = log.contents();
                self.replace(format!("log.{name}.{}", data.index), bytes, effects);
                part.partition_responses.push(PartitionProduceResponse {
                    index: data.index,
                    base_offset,
                    ..PartitionProduceResponse::default()
                });
            }
            answer.responses.push(part);
        }
        answer
    }

    fn fetch(&mut self, body: &FetchRequest) -> FetchResponse {
        let mut answer = FetchResponse::default();
        for topic in &body.topics {
            let mut part = FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                ..FetchableTopicResponse::default()
            };
            let Some(name) = self.name_of(&topic.topic, topic.topic_id) else {
                continue;
            };
            for wanted in &topic.partitions {
                let log = self
                    .logs
                    .entry((name.clone(), wanted.partition))
                    .or_default();
                part.partitions.push(PartitionData {
                    partition_index: wanted.partition,
                    high_watermark: log.readable,
                    log_start_offset: 0,
                    records: Some(log.read_from(wanted.fetch_offset)),
                    ..PartitionData::default()
                });
            }
            answer.responses.push(part);
        }
        answer
    }

    fn list_offsets(&mut self, body: &ListOffsetsRequest) -> ListOffsetsResponse {
        let mut answer = ListOffsetsResponse::default();
        for topic in &body.topics {
            let mut part = ListOffsetsTopicResponse {
                name: topic.name.clone(),
                ..ListOffsetsTopicResponse::default()
            };
            for wanted in &topic.partitions {
                let place = (topic.name.to_string(), wanted.partition_index);
                let end = self.logs.get(&place).map_or(0, |log| log.readable);
                part.partitions.push(ListOffsetsPartitionResponse {
                    partition_index: wanted.partition_index,
                    offset: if wanted.timestamp == -2 { 0 } else { end },
                    ..ListOffsetsPartitionResponse::default()
                });
            }
            answer.topics.push(part);
        }
        answer
    }
}

fn respond<R: Request>(
    header: &RequestHeader,
    reader: &mut Reader,
    handle: impl FnOnce(R) -> R::Response,
) -> Option<Vec<Bytes>> {
    let body = <R as Message>::decode(reader, header.api_version).ok()?;
    let answer = handle(body);
    let parts = encode_response(header.correlation_id, header.api_version, &answer);
    Some(parts.expect("an answer can be said"))
}

impl Machine for Toy {
    fn handle_event(&mut self, _: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Start => {
                let path = "".into();
                self.push(DiskOperation::ListDirectory { path }, effects);
            }
            Event::Connected { connection, .. } => {
                effects
                    .network
                    .push(NetworkEffect::ReceiveNext { connection });
            }
            Event::Frame {
                connection, frame, ..
            } => {
                self.waiting.push_back((connection, frame));
                self.go_on(effects);
            }
            Event::Disconnected { connection } => {
                self.waiting.retain(|(waiting, _)| *waiting != connection);
            }
            Event::Disk(completion) => self.on_disk(completion, effects),
            Event::Stop => {
                self.is_stopping = true;
                self.go_on(effects);
            }
            Event::Mesh { .. }
            | Event::Progress { .. }
            | Event::Sent { .. }
            | Event::Spent { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        None
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Effects) {}
}

/// A machine that only starts and stops.
struct Idle;

impl Machine for Idle {
    fn handle_event(&mut self, _: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Start => effects.process.push(ProcessEffect::Ready),
            Event::Stop => effects.process.push(ProcessEffect::Stopped),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        None
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Effects) {}
}

fn boot(spoilt: Spoilt) -> crate::boot::Boot {
    Box::new(move |shards, _| {
        let mut machines: Vec<Box<dyn Machine>> = vec![Box::new(Toy::new(spoilt))];
        machines.extend((0..shards).map(|_| Box::new(Idle) as Box<dyn Machine>));
        machines
    })
}

/// Runs a toy. The disk is never full: a toy cannot take back what it has answered to nobody yet,
/// so it would give up, which a broker must not.
fn wrong(seed: u64, spoilt: Spoilt) -> Vec<String> {
    let mut plan = crate::plan::Plan::new(seed, crate::plan::Lie::None);
    plan.full_windows = 0;
    plan.members.clear();
    plan.mixed_members.clear();
    plan.new_members.clear();
    plan.key_writers.clear();
    plan.transactional.clear();
    crate::run::run_plan(plan, boot(spoilt)).violations
}

#[test]
fn a_right_toy_passes() {
    for seed in 0..10 {
        assert_eq!(wrong(seed, Spoilt::No), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_spoilt_toy_is_noticed() {
    for (spoilt, words) in [
        (Spoilt::AnswersFirst, "I1"),
        (Spoilt::NoNewEpoch, "epochs"),
        (Spoilt::NoIdempotence, "I5"),
    ] {
        let named = (0..50).any(|seed| {
            let wrong = wrong(seed, spoilt);
            wrong.iter().any(|sentence| sentence.starts_with(words))
        });
        assert!(named, "no seed notices {spoilt:?}");
    }
}
