// SPDX-License-Identifier: Apache-2.0
//! Metadata (3): brokers, topics, partitions and their leaders.
//!
//! Owns: its handler. Invariants: answers from one published image; leader epochs never go back,
//! since images do not. Missing topics are made first, where the request and the settings allow it,
//! and the answer names them with their leaders. Runs on: the shard that accepted the connection.
//! Bounded by: the metadata, the frame.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::describe_cluster::CLUSTER_OPERATIONS;
use super::groups::offsets_topic;
use super::transactions::transactions_topic;
use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest, NewTopic, Refusal};
use crate::control::topic_name;
use crate::model::error_code::ErrorCode;
use crate::model::ids::TopicId;
use crate::model::image::{MetadataImage, PartitionImage, TopicImage};
use crate::shard::groups::is_internal;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::txn::TRANSACTIONS_TOPIC;
use crate::wire::protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=13;

/// First version in which a topic may be asked for by id (the field is older than its meaning).
const IDS_FROM: i16 = 12;

/// All that may be done to a topic, one bit each (KIP-430): read, write, create, delete, alter,
/// describe, describe and alter configs.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Why topics that are missing could not be made.
type Refusals = BTreeMap<ByteString, ErrorCode>;

/// Answers from the image, after missing topics were made.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request: MetadataRequest = arrival.decode()?;
    if names_by_id_too_early(&request, arrival.call.version) {
        return arrival.call.reply(&refused_whole(&request));
    }
    keep_ids_alone(&mut request);
    let may_create = request.allow_auto_topic_creation && shard.config.auto_create_topics;
    let missing = if may_create {
        missing_topics(shard, &request)
    } else {
        Vec::new()
    };
    if missing.is_empty() {
        return arrival
            .call
            .reply(&response(shard, &arrival.call, &request, &Refusals::new()));
    }
    let create = ControlRequest::CreateTopics {
        topics: missing,
        validate_only: false,
    };
    let finish = move |shard: &Shard, call: &Call, answer: ControlAnswer| {
        let refusals = refusals(answer);
        call.reply(&response(shard, call, &request, &refusals))
    };
    shard.ask_control(arrival.call, create, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

/// True if a version that cannot ask by id does so, or leaves a name out.
fn names_by_id_too_early(request: &MetadataRequest, version: i16) -> bool {
    let mut topics = request.topics.iter().flatten();
    version < IDS_FROM && topics.any(|topic| topic.name.is_none() || !topic.topic_id.is_zero())
}

/// The answer to a request that is refused as a whole: each topic with the error, nothing else.
fn refused_whole(request: &MetadataRequest) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        refused(Some(name), topic.topic_id, ErrorCode::InvalidRequest)
    });
    MetadataResponse {
        topics: topics.collect(),
        ..MetadataResponse::default()
    }
}

/// Kafka's rule: where one topic is asked for by id, those by name are not looked at; and none is
/// answered twice.
fn keep_ids_alone(request: &mut MetadataRequest) {
    let Some(topics) = &mut request.topics else {
        return;
    };
    if topics.iter().any(|topic| !topic.topic_id.is_zero()) {
        topics.retain(|topic| !topic.topic_id.is_zero());
        topics.iter_mut().for_each(|topic| topic.name = None);
    }
    let mut seen = BTreeSet::new();
    topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
}

/// The topics that were asked for by a name that is allowed and not there.
fn missing_topics(shard: &Shard, request: &MetadataRequest) -> Vec<NewTopic> {
    let image = shard.image();
    let names = request.topics.iter().flatten();
    let names = names.filter_map(|topic| topic.name.as_ref());
    let missing: BTreeSet<&ByteString> = names
        .filter(|name| !image.topics.contains_key(*name) && topic_name::check(name).is_ok())
        .collect();
    let new = missing.into_iter().map(|name| match is_internal(name) {
        true if name == TRANSACTIONS_TOPIC => transactions_topic(shard),
        true => offsets_topic(shard),
        false => NewTopic {
            name: name.clone(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        },
    });
    new.collect()
}

fn refusals(answer: ControlAnswer) -> Refusals {
    let ControlAnswer::CreateTopics(outcomes) = answer else {
        return Refusals::new();
    };
    let refused = outcomes.into_iter().filter_map(|(name, outcome)| {
        let Refusal { code, .. } = outcome.err()?;
        Some((name, code))
    });
    refused.collect()
}

fn response(
    shard: &Shard,
    call: &Call,
    request: &MetadataRequest,
    refusals: &Refusals,
) -> MetadataResponse {
    let image = shard.image();
    let brokers = image.brokers.values().map(|broker| MetadataResponseBroker {
        node_id: broker.id.0,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
    });
    let mut topics = topics(image, call.version, request, refusals);
    if request.include_topic_authorized_operations {
        for topic in &mut topics {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let mut response = MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(image.cluster_id.to_string().into()),
        controller_id: image.controller_id.0,
        topics,
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

fn topics(
    image: &MetadataImage,
    version: i16,
    request: &MetadataRequest,
    refusals: &Refusals,
) -> Vec<MetadataResponseTopic> {
    match &request.topics {
        Some(wanted) if !(wanted.is_empty() && version == 0) => wanted
            .iter()
            .map(|topic| one_topic(image, topic, refusals))
            .collect(),
        _ => image
            .topics
            .values()
            .map(|topic| described(topic))
            .collect(),
    }
}

fn one_topic(
    image: &MetadataImage,
    wanted: &MetadataRequestTopic,
    refusals: &Refusals,
) -> MetadataResponseTopic {
    let Some(name) = &wanted.name else {
        return topic_by_id(image, wanted.topic_id);
    };
    if let Some(topic) = image.topics.get(name) {
        return described(topic);
    }
    let error = match refusals.get(name) {
        _ if topic_name::check(name).is_err() => ErrorCode::InvalidTopicException,
        // Made by someone else meanwhile and not seen here yet: the client asks again.
        Some(ErrorCode::TopicAlreadyExists) => ErrorCode::LeaderNotAvailable,
        Some(code) => *code,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    refused(Some(name.clone()), TopicId::ZERO, error)
}

fn topic_by_id(image: &MetadataImage, id: TopicId) -> MetadataResponseTopic {
    match image.topic_by_id(id) {
        Some(topic) => described(topic),
        None => refused(None, id, ErrorCode::UnknownTopicId),
    }
}

fn refused(name: Option<ByteString>, topic_id: TopicId, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.code(),
        name,
        topic_id,
        ..MetadataResponseTopic::default()
    }
}

fn described(topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions
            .map(|(index, partition)| described_partition(index, partition))
            .collect(),
        ..MetadataResponseTopic::default()
    }
}

/// What clients are told of a partition, whichever API they ask.
pub(super) struct PartitionFacts {
    /// LEADER_NOT_AVAILABLE, or 0.
    pub(super) error_code: i16,
    /// The leader, or -1.
    pub(super) leader_id: i32,
    /// The brokers that hold it.
    pub(super) replica_nodes: Vec<i32>,
    /// Those of them that are in sync.
    pub(super) isr_nodes: Vec<i32>,
}

impl PartitionFacts {
    pub(super) fn of(partition: &PartitionImage) -> PartitionFacts {
        let error = match partition.leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        };
        PartitionFacts {
            error_code: error.code(),
            leader_id: partition.leader.map_or(-1, |leader| leader.0),
            replica_nodes: partition.replicas.iter().map(|broker| broker.0).collect(),
            isr_nodes: partition.isr.iter().map(|broker| broker.0).collect(),
        }
    }
}

fn described_partition(index: i32, partition: &PartitionImage) -> MetadataResponsePartition {
    let facts = PartitionFacts::of(partition);
    MetadataResponsePartition {
        error_code: facts.error_code,
        partition_index: index,
        leader_id: facts.leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: facts.replica_nodes,
        isr_nodes: facts.isr_nodes,
        offline_replicas: Vec::new(),
    }
}
