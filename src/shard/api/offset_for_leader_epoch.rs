// SPDX-License-Identifier: Apache-2.0
//! OffsetForLeaderEpoch (23): where leader epochs end (KIP-101, KIP-320).
//!
//! Owns: its handler. Invariants: what is not known is -1 without an error (Kafka's habit).
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::asks::{AskPlan, Outcome};
use super::{ApiError, Arrival, Reply};
use crate::shard::machine::Shard;
use crate::shard::parts::asks::{Question, Said};
use crate::wire::protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 2..=4;

/// Asks the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: OffsetForLeaderEpochRequest = arrival.decode()?;
    let mut plan = AskPlan::default();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let question = Question::EndOfEpoch {
                current_leader_epoch: partition.current_leader_epoch,
                epoch: partition.leader_epoch,
            };
            plan.push(
                shard.route_by_name(&topic.topic, partition.partition),
                question,
            );
        }
    }
    plan.put(
        shard,
        arrival.call,
        arrival.effects,
        move |call, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let topics = request.topics.into_iter().map(|topic| {
                let indexes = topic.partitions.iter().map(|asked| asked.partition);
                let partitions = indexes.zip(outcomes.by_ref());
                OffsetForLeaderTopicResult {
                    partitions: partitions
                        .map(|(index, outcome)| end(index, outcome))
                        .collect(),
                    topic: topic.topic,
                }
            });
            let topics = topics.collect();
            call.reply(&OffsetForLeaderEpochResponse {
                topics,
                ..OffsetForLeaderEpochResponse::default()
            })
        },
    )
}

fn end(partition: i32, outcome: Outcome) -> EpochEndOffset {
    let mut answer = EpochEndOffset {
        partition,
        ..EpochEndOffset::default()
    };
    match outcome {
        Ok(Said::EndOfEpoch(epoch, end)) if end >= 0 => {
            answer.leader_epoch = epoch;
            answer.end_offset = end;
        }
        Ok(_) => {}
        Err(code) => answer.error_code = code.code(),
    }
    answer
}
