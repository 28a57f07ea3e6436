// SPDX-License-Identifier: Apache-2.0
//! OffsetFetch (9): how far groups have come.
//!
//! Owns: its handler. Invariants: a group that does not exist has come nowhere, which is no error;
//! topics that are named by an id that nobody knows are refused by themselves.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::model::error_code::ErrorCode;
use crate::model::image::MetadataImage;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=10;

/// First version with a code of its own for the group.
const GROUP_CODE_FROM: i16 = 2;

/// First version that may ask for several groups (KIP-709).
const GROUPS_FROM: i16 = 8;

/// First version that names topics by id (KIP-848).
const IDS_FROM: i16 = 10;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: OffsetFetchRequest = arrival.decode()?;
    let version = arrival.call.version;
    let groups = if version >= GROUPS_FROM {
        request.groups
    } else {
        vec![OffsetFetchRequestGroup {
            group_id: request.group_id,
            topics: request
                .topics
                .map(|topics| topics.into_iter().map(widen).collect()),
            ..OffsetFetchRequestGroup::default()
        }]
    };
    let image = std::sync::Arc::clone(&shard.image);
    let mut plan = GroupPlan::default();
    let mut asked = Vec::with_capacity(groups.len());
    for group in groups {
        let mut known = group.topics.clone();
        let topics = known.iter_mut().flatten();
        if version >= IDS_FROM {
            topics.for_each(|topic| name(&image, topic));
        }
        if let Some(topics) = &mut known {
            topics.retain(|topic| version < IDS_FROM || !topic.name.is_empty());
        }
        let call = GroupCall::Fetch {
            group: group.group_id.clone(),
            topics: known,
            member: (group.member_id.clone(), group.member_epoch),
            only_stable: request.require_stable,
        };
        plan.push(shard, &group.group_id, call);
        asked.push(group);
    }
    plan.put(shard, arrival, move |call, answers| {
        let fetched = asked.into_iter().zip(answers);
        let groups: Vec<OffsetFetchResponseGroup> = fetched
            .map(|(asked, answer)| group(call, &image, asked, answer))
            .collect();
        call.reply(&response(call, groups))
    })
}

/// Gives a topic that was named by its id its name, if it has one.
fn name(image: &MetadataImage, topic: &mut OffsetFetchRequestTopics) {
    let name = image.topic_names.get(&topic.topic_id);
    topic.name = name.cloned().unwrap_or_default();
}

fn widen(topic: OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..OffsetFetchRequestTopics::default()
    }
}

/// The answer for one group.
fn group(
    call: &Call,
    image: &MetadataImage,
    asked: OffsetFetchRequestGroup,
    answer: GroupAnswer,
) -> OffsetFetchResponseGroup {
    let mut group = OffsetFetchResponseGroup {
        group_id: asked.group_id,
        ..OffsetFetchResponseGroup::default()
    };
    match answer {
        GroupAnswer::Fetched(Ok(topics)) => group.topics = topics,
        GroupAnswer::Fetched(Err(code)) if call.version < GROUP_CODE_FROM => {
            let topics = asked.topics.unwrap_or_default();
            group.topics = topics
                .into_iter()
                .map(|topic| nothing(topic, code))
                .collect();
            return group;
        }
        GroupAnswer::Fetched(Err(code)) => {
            group.error_code = code.code();
            return group;
        }
        _ => group.error_code = ErrorCode::UnknownServerError.code(),
    }
    if call.version >= IDS_FROM {
        let topics = &mut group.topics;
        for topic in topics.iter_mut() {
            let id = image.topics.get(&topic.name).map(|topic| topic.id);
            topic.topic_id = id.unwrap_or(topic.topic_id);
        }
        // What has no id cannot be told in this version.
        topics.retain(|topic| !topic.topic_id.is_zero());
        let unknown = asked.topics.unwrap_or_default().into_iter();
        let unknown = unknown.filter(|topic| !image.topic_names.contains_key(&topic.topic_id));
        topics.extend(unknown.map(|topic| nothing(topic, ErrorCode::UnknownTopicId)));
    }
    group
}

/// A topic of which nothing can be told.
fn nothing(topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.into_iter();
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|partition_index| OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: -1,
                metadata: Some(ByteString::new()),
                error_code: code.code(),
                ..OffsetFetchResponsePartitions::default()
            })
            .collect(),
    }
}

fn response(call: &Call, groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if call.version >= GROUPS_FROM {
        return OffsetFetchResponse {
            groups,
            ..OffsetFetchResponse::default()
        };
    }
    let group = groups.into_iter().next().unwrap_or_default();
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(narrow).collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

fn narrow(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    }
}
