// SPDX-License-Identifier: Apache-2.0
//! OffsetDelete (47): a group forgets how far it has come (KIP-496).
//!
//! Owns: its handler. Invariants: partitions that do not exist are refused here, each by itself.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Asks the coordinator for what exists.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: OffsetDeleteRequest = arrival.decode()?;
    let mut response = OffsetDeleteResponse::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut answer = OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            ..OffsetDeleteResponseTopic::default()
        };
        let mut known = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let routed = shard.route_by_name(&topic.name, index);
            let code = match routed {
                Err(ErrorCode::UnknownTopicOrPartition) => ErrorCode::UnknownTopicOrPartition,
                _ => ErrorCode::None,
            };
            if code == ErrorCode::None {
                known.push(index);
            }
            answer.partitions.push(OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: code.code(),
            });
        }
        topics.push((topic.name, known));
        response.topics.push(answer);
    }
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    let call = GroupCall::Forget {
        group: request.group_id,
        topics,
    };
    plan.push(shard, &group, call);
    plan.put(shard, arrival, move |call, answers| {
        let Some(GroupAnswer::Forgotten(outcome)) = answers.into_iter().next() else {
            return Ok(Reply::Close);
        };
        match outcome {
            Ok(codes) => {
                let topics = response.topics.iter_mut();
                let partitions = topics.flat_map(|topic| &mut topic.partitions);
                let known = partitions.filter(|partition| partition.error_code == 0);
                for (partition, code) in known.zip(codes) {
                    partition.error_code = code.code();
                }
            }
            Err(code) => {
                response.topics.clear();
                response.error_code = code.code();
            }
        }
        call.reply(&response)
    })
}
