// SPDX-License-Identifier: Apache-2.0
//! DeleteRecords (21): the oldest records of partitions go (KIP-107).
//!
//! Owns: its handler. Invariants: success is told once the new log start is on stable storage. One
//! that is waited for is never given up: it takes one small write, whatever time the client allows.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::asks::{AskPlan, Outcome};
use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::parts::asks::{Question, Said};
use crate::wire::protocol::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Tells the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DeleteRecordsRequest = arrival.decode()?;
    let mut plan = AskPlan::default();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let routed = shard.route_by_name(&topic.name, partition.partition_index);
            plan.push(routed, Question::DeleteRecords(partition.offset));
        }
    }
    plan.put(
        shard,
        arrival.call,
        arrival.effects,
        move |call, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let topics = request.topics.into_iter().map(|topic| {
                let indexes = topic.partitions.iter().map(|asked| asked.partition_index);
                let partitions = indexes.zip(outcomes.by_ref());
                DeleteRecordsTopicResult {
                    partitions: partitions
                        .map(|(index, outcome)| low_watermark(index, outcome))
                        .collect(),
                    name: topic.name,
                }
            });
            let topics = topics.collect();
            call.reply(&DeleteRecordsResponse {
                topics,
                ..DeleteRecordsResponse::default()
            })
        },
    )
}

fn low_watermark(partition_index: i32, outcome: Outcome) -> DeleteRecordsPartitionResult {
    let (low_watermark, code) = match outcome {
        Ok(Said::LowWatermark(offset)) => (offset, ErrorCode::None),
        Ok(_) => (-1, ErrorCode::UnknownServerError),
        Err(code) => (-1, code),
    };
    DeleteRecordsPartitionResult {
        partition_index,
        low_watermark,
        error_code: code.code(),
    }
}
