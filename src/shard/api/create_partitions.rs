// SPDX-License-Identifier: Apache-2.0
//! CreatePartitions (37): more partitions for topics.
//!
//! Owns: its handler. Invariants: success is answered once every shard serves the new partitions;
//! the topics that the broker keeps for itself stay as they are.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest, MorePartitions};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;
use crate::shard::groups::is_internal;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=3;

/// First version whose client knows that its quota may be used up (KIP-599).
const STRICT_FROM: i16 = 3;

/// Asks the controller for the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: CreatePartitionsRequest = arrival.decode()?;
    let topics = request.topics.into_iter();
    let (kept, topics): (Vec<_>, Vec<_>) = topics.partition(|topic| is_internal(&topic.name));
    let refused: Vec<CreatePartitionsTopicResult> = kept.into_iter().map(refuse).collect();
    if topics.is_empty() && !refused.is_empty() {
        return arrival.call.reply(&CreatePartitionsResponse {
            results: refused,
            ..CreatePartitionsResponse::default()
        });
    }
    let add = ControlRequest::CreatePartitions {
        topics: topics.into_iter().map(more).collect(),
        validate_only: request.validate_only,
    };
    let add = shard.metered(&arrival.call, STRICT_FROM, add);
    let finish = move |_: &Shard, call: &Call, answer: ControlAnswer| finish(call, answer, refused);
    shard.ask_control(arrival.call, add, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

/// A name belongs to the partition that its hash gives, by the count of partitions: with another
/// count everything that is kept there would be looked for elsewhere. Kafka's server lets it
/// happen; its older tools refused it.
fn refuse(topic: CreatePartitionsTopic) -> CreatePartitionsTopicResult {
    let sentence = format!(
        "{} keeps its number of partitions: what is in it is found by that number.",
        topic.name
    );
    CreatePartitionsTopicResult {
        name: topic.name,
        error_code: ErrorCode::InvalidPartitions.code(),
        error_message: Some(sentence.into()),
    }
}

fn more(topic: CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.map(|assignments| {
        let brokers = assignments.into_iter().map(|one| one.broker_ids);
        brokers
            .map(|ids| ids.into_iter().map(BrokerId).collect())
            .collect()
    });
    MorePartitions {
        name: topic.name,
        count: topic.count,
        assignments,
    }
}

fn finish(
    call: &Call,
    answer: ControlAnswer,
    refused: Vec<CreatePartitionsTopicResult>,
) -> Result<Reply, ApiError> {
    let ControlAnswer::CreatePartitions(outcomes) = answer else {
        return Ok(Reply::Close);
    };
    let results = outcomes.into_iter().map(|(name, outcome)| {
        let (code, error_message) = match outcome {
            Ok(()) => (ErrorCode::None, None),
            Err(refusal) => (refusal.code, Some(refusal.message)),
        };
        CreatePartitionsTopicResult {
            name,
            error_code: code.code(),
            error_message,
        }
    });
    let results = results.chain(refused).collect();
    call.reply(&CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    })
}
