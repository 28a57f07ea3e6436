// SPDX-License-Identifier: Apache-2.0
//! OffsetCommit (8): how far a group has come.
//!
//! Owns: its handler. Invariants: answered once the offsets are committed in the log; partitions
//! that do not exist are refused here, each by itself; the answer keeps the order of the request.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::model::error_code::ErrorCode;
use crate::model::image::TopicImage;
use crate::shard::machine::Shard;
use crate::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 2..=10;

/// First version that names topics by id (KIP-848).
const IDS_FROM: i16 = 10;

/// Asks the coordinator for what exists.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request: OffsetCommitRequest = arrival.decode()?;
    let version = arrival.call.version;
    let group = request.group_id.clone();
    let mut response = OffsetCommitResponse::default();
    for topic in &mut request.topics {
        response.topics.push(judge(shard, version, topic));
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    if request.topics.is_empty() {
        return arrival.call.reply(&response);
    }
    let mut plan = GroupPlan::default();
    plan.push(shard, &group, GroupCall::Commit(request, version));
    plan.put(shard, arrival, move |call, answers| {
        let Some(GroupAnswer::Committed(codes)) = answers.into_iter().next() else {
            return Ok(Reply::Close);
        };
        let topics = response.topics.iter_mut();
        let partitions = topics.flat_map(|topic| &mut topic.partitions);
        let taken = partitions.filter(|partition| partition.error_code == 0);
        for (partition, code) in taken.zip(codes) {
            partition.error_code = code.code();
        }
        call.reply(&response)
    })
}

/// The frame of a topic's answer. What does not exist is refused in it and leaves the request.
fn judge(
    shard: &Shard,
    version: i16,
    topic: &mut OffsetCommitRequestTopic,
) -> OffsetCommitResponseTopic {
    let mut answer = OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        ..OffsetCommitResponseTopic::default()
    };
    let (image, missing) = if version >= IDS_FROM {
        let image = shard.image().topic_by_id(topic.topic_id);
        (image, ErrorCode::UnknownTopicId)
    } else {
        let image = shard.image().topics.get(&topic.name);
        (image, ErrorCode::UnknownTopicOrPartition)
    };
    let image: Option<&TopicImage> = image.map(|image| &**image);
    if let Some(image) = image {
        topic.name = image.name.clone();
    }
    topic.partitions.retain(|partition| {
        let code = match image {
            None => missing,
            Some(image) => match shard.route(image, partition.partition_index) {
                Err(ErrorCode::UnknownTopicOrPartition) => ErrorCode::UnknownTopicOrPartition,
                _ => ErrorCode::None,
            },
        };
        answer.partitions.push(OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: code.code(),
        });
        code == ErrorCode::None
    });
    answer
}
