// SPDX-License-Identifier: Apache-2.0
//! CreateTopics (19): new topics.
//!
//! Owns: its handler. Invariants: a topic named twice in one request is refused and made by none of
//! the two; success is answered once every shard serves the new partitions.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::config::topic;
use crate::control::request::{ControlAnswer, ControlRequest, CreatedTopic, NewTopic, Refusal};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 2..=7;

/// First version whose client knows that its quota may be used up (KIP-599).
const STRICT_FROM: i16 = 6;

/// Asks the controller for the topics.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: CreateTopicsRequest = arrival.decode()?;
    let mut times: BTreeMap<ByteString, usize> = BTreeMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let mut topics = request.topics;
    topics.retain(|topic| times.get(&topic.name) == Some(&1));
    let create = ControlRequest::CreateTopics {
        topics: topics.into_iter().map(new_topic).collect(),
        validate_only: request.validate_only,
    };
    let repeated: Vec<ByteString> = times
        .into_iter()
        .filter_map(|(name, count)| (count > 1).then_some(name))
        .collect();
    let finish = move |shard: &Shard, call: &Call, answer: ControlAnswer| {
        finish(shard, call, repeated, answer)
    };
    let create = shard.metered(&arrival.call, STRICT_FROM, create);
    shard.ask_control(arrival.call, create, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.into_iter().map(|assignment| {
        let brokers = assignment.broker_ids.into_iter().map(BrokerId);
        (assignment.partition_index, brokers.collect())
    });
    let configs = topic.configs.into_iter();
    NewTopic {
        name: topic.name,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.map(|config| (config.name, config.value)).collect(),
    }
}

fn finish(
    shard: &Shard,
    call: &Call,
    repeated: Vec<ByteString>,
    answer: ControlAnswer,
) -> Result<Reply, ApiError> {
    let ControlAnswer::CreateTopics(outcomes) = answer else {
        return Ok(Reply::Close);
    };
    let mut topics: Vec<CreatableTopicResult> = outcomes
        .into_iter()
        .map(|(name, outcome)| match outcome {
            Ok(created) => created_topic(shard, name, &created),
            Err(refusal) => refused(name, refusal),
        })
        .collect();
    topics.extend(repeated.into_iter().map(|name| {
        let message = ByteString::from_static("the request names this topic more than once");
        let code = ErrorCode::InvalidRequest;
        refused(name, Refusal { code, message })
    }));
    call.reply(&CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    })
}

fn refused(name: ByteString, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..CreatableTopicResult::default()
    }
}

fn created_topic(shard: &Shard, name: ByteString, created: &CreatedTopic) -> CreatableTopicResult {
    let overrides = shard.image().topics.get(&name);
    let overrides = overrides.map(|topic| topic.overrides.clone());
    let described = topic::describe(shard.broker_layers(), &overrides.unwrap_or_default());
    let configs = described.into_iter().map(|config| CreatableTopicConfigs {
        name: ByteString::from_static(config.name),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
    });
    CreatableTopicResult {
        name,
        topic_id: created.id,
        error_message: None,
        num_partitions: created.num_partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}
