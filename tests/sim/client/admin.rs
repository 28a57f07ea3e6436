// SPDX-License-Identifier: Apache-2.0
//! The administrator: makes, changes and deletes topics, and asks for metadata.
//!
//! Invariants: one request under way at a time; topics called `stay` are never deleted, topics
//! called `churn` come and go under the same names; only topics called `kept` have a retention, and
//! only theirs is changed.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use furlong::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use furlong::wire::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use furlong::wire::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use furlong::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataResponse};

use super::link::{Answer, Link, PATIENCE_US, decode};
use super::{
    COMPACTED, Client, ClientEffect, Context, KnownTopic, Phase, TRANSACTIONAL, is_private,
};
use crate::history::{Entry, Place};

/// What a request was for.
#[derive(Clone, Debug)]
enum Tag {
    Create {
        topic: usize,
        name: String,
        configs: Vec<(String, String)>,
    },
    Delete {
        topic: usize,
        name: String,
    },
    Alter {
        topic: usize,
        key: String,
        value: String,
    },
    Trim {
        place: Place,
    },
    Grow {
        topic: usize,
        partitions: i32,
    },
    Metadata,
}

/// A topic to make.
#[derive(Clone)]
struct Wanted {
    name: String,
    /// 0 until it is drawn.
    partitions: i32,
    configs: Vec<(String, String)>,
}

/// The administrator.
pub struct Admin {
    link: Link<Tag>,
    /// Topics to make first, with their settings.
    wanted: Vec<Wanted>,
    epochs: std::collections::BTreeMap<Place, i32>,
    pause_us_max: u64,
    batch_bytes_max: u64,
}

impl Admin {
    /// An administrator who begins by making so many topics.
    pub fn new(
        topics: u64,
        (keys, transactions): (bool, bool),
        pause_us_max: u64,
        batch_bytes_max: u64,
    ) -> Admin {
        let private = [(keys, COMPACTED), (transactions, TRANSACTIONAL)];
        let private = private.into_iter().filter(|(is_wanted, _)| *is_wanted);
        let private = private.map(|(_, name)| Wanted {
            name: name.to_owned(),
            partitions: 0,
            configs: Vec::new(),
        });
        let wanted = (0..topics).map(|number| {
            let kind = if number % 2 == 0 { "stay" } else { "kept" };
            Wanted {
                name: format!("{kind}-{number}"),
                partitions: 0,
                configs: Vec::new(),
            }
        });
        Admin {
            link: Link::new(),
            wanted: wanted.chain(private).collect(),
            epochs: std::collections::BTreeMap::new(),
            pause_us_max,
            batch_bytes_max,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            context.effects.push(ClientEffect::Close);
            self.link.closed();
            return;
        }
        if context.board.phase != Phase::Faulty || !self.link.connect(context) {
            return;
        }
        if self.link.in_flight() > 0 {
            return;
        }
        if let Some(wanted) = self.wanted.first_mut() {
            if wanted.partitions == 0 {
                wanted.partitions = i32::try_from(context.prng.between(1, 4)).expect("small");
                let is_kept = wanted.name.starts_with("kept");
                wanted.configs = if wanted.name == COMPACTED {
                    draw_compaction(context)
                } else {
                    draw_configs(context, self.batch_bytes_max, is_kept)
                };
            }
            let Wanted {
                name,
                partitions,
                configs,
            } = wanted.clone();
            self.create(context, name, partitions, configs);
            return;
        }
        match context.prng.below(12) {
            0 => {
                let name = format!("churn-{}", context.prng.below(2));
                let configs = draw_configs(context, self.batch_bytes_max, false);
                let there = context
                    .board
                    .find(&name, Uuid::ZERO)
                    .is_some_and(|it| it.usable);
                if !there {
                    let partitions = i32::try_from(context.prng.between(1, 3)).expect("small");
                    self.create(context, name, partitions, configs);
                }
            }
            1 => self.delete(context),
            2..=3 => self.alter(context),
            4 => self.trim(context),
            5 => self.grow(context),
            _ => self.ask_metadata(context),
        }
    }

    fn sleep(&self, context: &mut Context<'_>) {
        let pause = if context.board.phase != Phase::Faulty {
            PATIENCE_US
        } else if let Some(pause) = self.link.idle_us(context, 1) {
            pause
        } else if self.wanted.is_empty() {
            context.prng.skewed(100, self.pause_us_max * 4)
        } else {
            context.prng.skewed(100, 20_000)
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn create(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        partitions: i32,
        configs: Vec<(String, String)>,
    ) {
        let topic = context.history.topic(&name);
        context.history.push(Entry::CreateAsked { topic });
        let all = configs.iter().map(|(key, value)| CreatableTopicConfig {
            name: key.clone().into(),
            value: Some(value.clone().into()),
        });
        let wanted = CreatableTopic {
            name: name.clone().into(),
            num_partitions: partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: all.collect(),
        };
        let body = CreateTopicsRequest {
            topics: vec![wanted],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let version = self.link.version::<CreateTopicsRequest>(context, i16::MAX);
        let tag = Tag::Create {
            topic,
            name,
            configs,
        };
        self.link.request(context, version, &body, tag);
    }

    fn delete(&mut self, context: &mut Context<'_>) {
        let found = context.board.topics.iter_mut();
        let mut found = found.filter(|it| it.usable && it.name.starts_with("churn"));
        let Some(known) = found.next() else {
            return;
        };
        known.usable = false;
        let (topic, name, id) = (known.topic, known.name.clone(), known.id);
        context.history.push(Entry::DeleteAsked { topic });
        let version = self.link.version::<DeleteTopicsRequest>(context, i16::MAX);
        let by_id = !id.is_zero() && context.prng.chance(500);
        let state = DeleteTopicState {
            name: (!by_id).then(|| name.clone().into()),
            topic_id: if by_id { id } else { Uuid::ZERO },
        };
        let new_form = version >= 6;
        let body = DeleteTopicsRequest {
            topics: if new_form { vec![state] } else { Vec::new() },
            topic_names: if new_form {
                Vec::new()
            } else {
                vec![name.clone().into()]
            },
            timeout_ms: 30_000,
        };
        let tag = Tag::Delete { topic, name };
        self.link.request(context, version, &body, tag);
    }

    fn alter(&mut self, context: &mut Context<'_>) {
        let kept = context.board.topics.iter();
        let kept: Vec<&KnownTopic> = kept.filter(|it| it.name.starts_with("kept")).collect();
        if kept.is_empty() {
            return;
        }
        let known = *context.prng.pick(&kept);
        let (topic, name) = (known.topic, known.name.clone());
        let (key, value) = match context.prng.below(3) {
            0 => ("retention.ms", context.prng.skewed(1_000, 100_000)),
            1 => ("retention.bytes", context.prng.skewed(1_000, 1_000_000)),
            _ => ("segment.ms", context.prng.skewed(500, 60_000)),
        };
        let (key, value) = (key.to_owned(), value.to_string());
        context.history.push(Entry::ConfigAsked {
            topic,
            key: key.clone(),
            value: value.clone(),
        });
        let change = AlterableConfig {
            name: key.clone().into(),
            config_operation: 0,
            value: Some(value.clone().into()),
        };
        let body = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                resource_name: name.into(),
                configs: vec![change],
            }],
            validate_only: false,
        };
        let version = self
            .link
            .version::<IncrementalAlterConfigsRequest>(context, i16::MAX);
        let tag = Tag::Alter { topic, key, value };
        self.link.request(context, version, &body, tag);
    }

    fn trim(&mut self, context: &mut Context<'_>) {
        let lasting = context.board.topics.iter();
        let lasting: Vec<&KnownTopic> = lasting
            .filter(|it| it.usable && !it.name.starts_with("churn"))
            .collect();
        if lasting.is_empty() {
            return;
        }
        let known = *context.prng.pick(&lasting);
        let (topic, name) = (known.topic, known.name.clone());
        let partitions = u64::try_from(known.partitions).expect("never negative");
        let partition = i32::try_from(context.prng.below(partitions)).expect("few partitions");
        // Where retention may move the start as it likes, everything may be asked to go.
        let all = name.starts_with("kept") && context.prng.chance(300);
        let offset = match all {
            true => -1,
            false => i64::try_from(context.prng.skewed(1, 300)).expect("small"),
        };
        let place = Place { topic, partition };
        context.history.push(Entry::TrimAsked { place, offset });
        let body = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: name.into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: partition,
                    offset,
                }],
            }],
            timeout_ms: 30_000,
        };
        let version = self.link.version::<DeleteRecordsRequest>(context, i16::MAX);
        self.link
            .request(context, version, &body, Tag::Trim { place });
    }

    fn grow(&mut self, context: &mut Context<'_>) {
        let lasting = context.board.topics.iter();
        let lasting: Vec<&KnownTopic> = lasting
            .filter(|it| it.usable && !it.name.starts_with("churn") && it.partitions < 6)
            .collect();
        if lasting.is_empty() {
            return;
        }
        let known = *context.prng.pick(&lasting);
        let (topic, name, partitions) = (known.topic, known.name.clone(), known.partitions + 1);
        let body = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: name.into(),
                count: partitions,
                assignments: None,
            }],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let version = self
            .link
            .version::<CreatePartitionsRequest>(context, i16::MAX);
        let tag = Tag::Grow { topic, partitions };
        self.link.request(context, version, &body, tag);
    }

    fn ask_metadata(&mut self, context: &mut Context<'_>) {
        let version = self.link.version::<MetadataRequest>(context, i16::MAX);
        self.link
            .request(context, version, &all_topics(version), Tag::Metadata);
    }

    fn answered(&mut self, context: &mut Context<'_>, tag: Tag, version: i16, frame: Bytes) {
        match tag {
            Tag::Create {
                topic,
                name,
                configs,
            } => {
                let Some(body) = decode::<CreateTopicsRequest>(context, version, frame) else {
                    return;
                };
                let Some(result) = body.topics.first() else {
                    return context.violation("CreateTopics answers nothing");
                };
                let code = ErrorCode::from_code(result.error_code);
                match code {
                    Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => {
                        context.stats.topics_created += 1;
                        self.wanted.retain(|wanted| wanted.name != name);
                        context.history.push(Entry::Created { topic, configs });
                    }
                    _ => check_code(context, "CreateTopics", result.error_code),
                }
            }
            Tag::Delete { topic, name } => {
                let Some(body) = decode::<DeleteTopicsRequest>(context, version, frame) else {
                    return;
                };
                let code = body.responses.first().map(|result| result.error_code);
                match code {
                    Some(0) => {
                        context.stats.topics_deleted += 1;
                        context.history.push(Entry::Deleted { topic });
                        context.board.topics.retain(|known| known.name != name);
                    }
                    Some(code) => check_code(context, "DeleteTopics", code),
                    None => context.violation("DeleteTopics answers nothing"),
                }
            }
            Tag::Alter { topic, key, value } => {
                let body = decode::<IncrementalAlterConfigsRequest>(context, version, frame);
                let Some(body) = body else {
                    return;
                };
                match body.responses.first().map(|result| result.error_code) {
                    Some(0) => {
                        context.stats.configs_changed += 1;
                        context
                            .history
                            .push(Entry::ConfigDone { topic, key, value });
                    }
                    Some(code) => check_code(context, "IncrementalAlterConfigs", code),
                    None => context.violation("IncrementalAlterConfigs answers nothing"),
                }
            }
            Tag::Trim { place } => trim_answered(context, place, version, frame),
            Tag::Grow { topic, partitions } => {
                grow_answered(context, topic, partitions, version, frame);
            }
            Tag::Metadata => {
                if let Some(body) = decode::<MetadataRequest>(context, version, frame) {
                    self.take_metadata(context, version, &body);
                }
            }
        }
    }

    fn take_metadata(&mut self, context: &mut Context<'_>, version: i16, body: &MetadataResponse) {
        let mut there = Vec::new();
        for answer in &body.topics {
            let name = answer.name.clone().unwrap_or_default().to_string();
            if answer.error_code != 0 || name.starts_with("__") {
                continue;
            }
            let topic = context.history.topic(&name);
            there.push(topic);
            let partitions = i32::try_from(answer.partitions.len()).expect("few partitions");
            let id = if version >= 10 {
                answer.topic_id
            } else {
                Uuid::ZERO
            };
            let is_private = is_private(&name);
            let known = context
                .board
                .topics
                .iter_mut()
                .find(|known| known.topic == topic);
            match known {
                Some(known) => {
                    known.partitions = partitions;
                    known.usable = !is_private;
                    // Made again under the same name: the old id is not usable any more.
                    known.id = if version >= 10 { id } else { known.id };
                }
                None => context.board.topics.push(KnownTopic {
                    topic,
                    name,
                    id,
                    partitions,
                    usable: !is_private,
                }),
            }
            for partition in answer.partitions.iter().filter(|_| version >= 7) {
                let place = Place {
                    topic,
                    partition: partition.partition_index,
                };
                let leader_epoch = partition.leader_epoch;
                let incarnation = context.incarnation;
                let before = self.epochs.insert(place, leader_epoch);
                context.stats.epoch_bumps += u64::from(before.is_some_and(|it| it < leader_epoch));
                context.history.push(Entry::Epoch {
                    place,
                    leader_epoch,
                    incarnation,
                });
            }
        }
        context
            .board
            .topics
            .retain(|known| there.contains(&known.topic));
    }
}

fn trim_answered(context: &mut Context<'_>, place: Place, version: i16, frame: Bytes) {
    let Some(body) = decode::<DeleteRecordsRequest>(context, version, frame) else {
        return;
    };
    let answers = body.topics.first().and_then(|it| it.partitions.first());
    let Some(answer) = answers else {
        return context.violation("DeleteRecords answers nothing");
    };
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None) => {
            context.stats.trims += 1;
            let offset = answer.low_watermark;
            context.history.push(Entry::Trimmed { place, offset });
        }
        // The offset was drawn blindly; a leader may be about to open its log.
        Some(ErrorCode::OffsetOutOfRange | ErrorCode::NotLeaderOrFollower) => {}
        _ => check_code(context, "DeleteRecords", answer.error_code),
    }
}

fn grow_answered(
    context: &mut Context<'_>,
    topic: usize,
    partitions: i32,
    version: i16,
    frame: Bytes,
) {
    let Some(body) = decode::<CreatePartitionsRequest>(context, version, frame) else {
        return;
    };
    let Some(result) = body.results.first() else {
        return context.violation("CreatePartitions answers nothing");
    };
    match ErrorCode::from_code(result.error_code) {
        Some(ErrorCode::None) => {
            context.stats.growths += 1;
            context.history.push(Entry::Grown { topic, partitions });
        }
        // An earlier request was carried out, and its answer was lost.
        Some(ErrorCode::InvalidPartitions) => {}
        _ => check_code(context, "CreatePartitions", result.error_code),
    }
}

/// The request for the metadata of all topics.
pub fn all_topics(version: i16) -> MetadataRequest {
    MetadataRequest {
        topics: (version == 0).then(Vec::new),
        allow_auto_topic_creation: version < 4,
        ..MetadataRequest::default()
    }
}

/// Settings of a compacted topic: little dirt is enough, and a segment holds few batches.
fn draw_compaction(context: &mut Context<'_>) -> Vec<(String, String)> {
    let prng = &mut *context.prng;
    let lag_ms = if prng.chance(500) {
        0
    } else {
        prng.skewed(100, 5_000)
    };
    let settings = [
        ("cleanup.policy", "compact".to_owned()),
        (
            "internal.segment.bytes",
            prng.skewed(2_000, 6_000).to_string(),
        ),
        (
            "min.cleanable.dirty.ratio",
            (*prng.pick(&["0.01", "0.01", "0.5"])).to_owned(),
        ),
        ("delete.retention.ms", prng.skewed(50, 20_000).to_string()),
        ("min.compaction.lag.ms", lag_ms.to_string()),
        ("segment.ms", prng.skewed(500, 60_000).to_string()),
    ];
    settings.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Settings of a new topic: small segments, so that they are rolled often.
fn draw_configs(
    context: &mut Context<'_>,
    batch_bytes_max: u64,
    with_retention: bool,
) -> Vec<(String, String)> {
    let mut configs = Vec::new();
    let mut set = |key: &str, value: String| configs.push((key.to_owned(), value));
    let prng = &mut *context.prng;
    if prng.chance(800) {
        set(
            "internal.segment.bytes",
            prng.skewed(batch_bytes_max, 20 * batch_bytes_max)
                .to_string(),
        );
    }
    if prng.chance(300) {
        set("segment.ms", prng.skewed(500, 60_000).to_string());
    }
    if prng.chance(300) {
        set("index.interval.bytes", prng.skewed(1, 5_000).to_string());
    }
    if prng.chance(200) {
        set("message.timestamp.type", "LogAppendTime".to_owned());
    }
    if prng.chance(150) {
        let codecs = ["uncompressed", "gzip", "snappy", "lz4", "zstd"];
        set("compression.type", (*prng.pick(&codecs)).to_owned());
    }
    if with_retention {
        set("file.delete.delay.ms", prng.skewed(1, 10_000).to_string());
        if prng.chance(500) {
            set("retention.ms", prng.skewed(500, 50_000).to_string());
        } else {
            set("retention.bytes", prng.skewed(1_000, 500_000).to_string());
        }
    }
    configs
}

/// Errors that a right request may get while faults happen; others are noted.
fn check_code(context: &mut Context<'_>, what: &str, code: i16) {
    match ErrorCode::from_code(code) {
        Some(
            ErrorCode::KafkaStorageError
            | ErrorCode::RequestTimedOut
            | ErrorCode::NotController
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::LeaderNotAvailable,
        ) => {}
        _ => context.violation(&format!("{what} is refused with error {code}")),
    }
}

impl Client for Admin {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        self.sleep(context);
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
        self.sleep(context);
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        if let Answer::To(tag, version, frame) = self.link.frame(context, frame) {
            self.answered(context, tag, version, frame);
        }
        self.sleep(context);
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        self.link.closed();
        self.sleep(context);
    }
}
