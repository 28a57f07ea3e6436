// SPDX-License-Identifier: Apache-2.0
//! DeleteTopics (20): topics that are to go.
//!
//! Owns: its handler. Invariants: success is answered once every shard has removed the partitions.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::{ApiError, Arrival, Reply};
use crate::control::request::{
    ControlAnswer, ControlRequest, DeletedTopic, Refusal, TopicSelector,
};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=6;

/// First version whose client knows that its quota may be used up (KIP-599).
const STRICT_FROM: i16 = 5;

/// Asks the controller to delete the topics.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DeleteTopicsRequest = arrival.decode()?;
    let by_name = request.topic_names.into_iter().map(TopicSelector::Name);
    let is_ambiguous = |topic: &DeleteTopicState| topic.name.is_some() && !topic.topic_id.is_zero();
    let (ambiguous, clear): (Vec<_>, Vec<_>) = request.topics.into_iter().partition(is_ambiguous);
    let selected = clear.into_iter().map(|topic| match topic.name {
        Some(name) => TopicSelector::Name(name),
        None => TopicSelector::Id(topic.topic_id),
    });
    let delete = ControlRequest::DeleteTopics {
        topics: by_name.chain(selected).collect(),
    };
    let refused: Vec<DeletableTopicResult> = ambiguous.into_iter().map(refused).collect();
    let finish = move |_: &Shard, call: &Call, answer: ControlAnswer| finish(call, refused, answer);
    let delete = shard.metered(&arrival.call, STRICT_FROM, delete);
    shard.ask_control(arrival.call, delete, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

/// A topic is named or it is identified: both could mean two topics.
fn refused(topic: DeleteTopicState) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some("a topic is named or identified, not both".into()),
    }
}

fn finish(
    call: &Call,
    refused: Vec<DeletableTopicResult>,
    answer: ControlAnswer,
) -> Result<Reply, ApiError> {
    let ControlAnswer::DeleteTopics(outcomes) = answer else {
        return Ok(Reply::Close);
    };
    let responses = outcomes
        .into_iter()
        .map(|(selector, outcome)| result(selector, outcome));
    call.reply(&DeleteTopicsResponse {
        responses: refused.into_iter().chain(responses).collect(),
        ..DeleteTopicsResponse::default()
    })
}

fn result(selector: TopicSelector, outcome: Result<DeletedTopic, Refusal>) -> DeletableTopicResult {
    let mut result = DeletableTopicResult::default();
    match selector {
        TopicSelector::Name(name) => result.name = Some(name),
        TopicSelector::Id(id) => {
            result.name = None;
            result.topic_id = id;
        }
    }
    match outcome {
        Ok(deleted) => {
            result.name = Some(deleted.name);
            result.topic_id = deleted.id;
        }
        Err(refusal) => {
            result.error_code = refusal.code.code();
            result.error_message = Some(refusal.message);
        }
    }
    result
}
