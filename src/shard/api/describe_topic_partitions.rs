// SPDX-License-Identifier: Apache-2.0
//! DescribeTopicPartitions (75): topics and their partitions, page by page (KIP-966).
//!
//! Owns: its handler. Invariants: topics in the order of their names; a page has at least one
//! partition and at most what the client and `DESCRIBED_PARTITIONS_PER_PAGE_MAX` allow; a cursor
//! names the next partition that is not told, whether it will be there or not.
//! Runs on: the shard that accepted the connection. Bounded by: the page.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::metadata::{PartitionFacts, TOPIC_OPERATIONS};
use super::{ApiError, Arrival, Reply};
use crate::control::topic_name;
use crate::limits::DESCRIBED_PARTITIONS_PER_PAGE_MAX;
use crate::model::error_code::ErrorCode;
use crate::model::image::{MetadataImage, PartitionImage};
use crate::shard::groups::is_internal;
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Answers one page from the image.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeTopicPartitionsRequest = arrival.decode()?;
    let response = match topics(shard.image(), &request) {
        Some(topics) => page(shard.image(), &request, topics),
        None => refused(&request),
    };
    arrival.call.reply(&response)
}

/// The names from the cursor on; nothing if the cursor cannot be.
fn topics(
    image: &MetadataImage,
    request: &DescribeTopicPartitionsRequest,
) -> Option<BTreeSet<ByteString>> {
    let first = request.cursor.as_ref().map(|cursor| &cursor.topic_name);
    let is_due = |name: &&ByteString| first.is_none_or(|first| *name >= first);
    let topics: BTreeSet<ByteString> = if request.topics.is_empty() {
        image.topics.keys().filter(is_due).cloned().collect()
    } else {
        let named = request.topics.iter().map(|topic| &topic.name);
        named.filter(is_due).cloned().collect()
    };
    if let Some(cursor) = &request.cursor {
        let is_named = request.topics.is_empty() || topics.contains(&cursor.topic_name);
        if !is_named || cursor.partition_index < 0 {
            return None;
        }
    }
    Some(topics)
}

fn page(
    image: &MetadataImage,
    request: &DescribeTopicPartitionsRequest,
    topics: BTreeSet<ByteString>,
) -> DescribeTopicPartitionsResponse {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = limit.clamp(1, DESCRIBED_PARTITIONS_PER_PAGE_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in topics {
        let cursor = request.cursor.as_ref();
        let first = cursor.filter(|cursor| cursor.topic_name == name);
        let first = first.map_or(0, |cursor| cursor.partition_index);
        if left == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: 0,
            });
            break;
        }
        let Some(topic) = image.topics.get(&name) else {
            response.topics.push(missing(name));
            continue;
        };
        let partitions = (0..).zip(&topic.partitions);
        let partitions = partitions.skip_while(|(index, _)| *index < first);
        let told = partitions
            .take(left)
            .map(|(index, one)| described(index, one));
        let told: Vec<DescribeTopicPartitionsResponsePartition> = told.collect();
        left -= told.len();
        let next = told.last().map_or(first, |last| last.partition_index + 1);
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            partitions: told,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        if usize::try_from(next).is_ok_and(|next| next < topic.partitions.len()) {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: next,
            });
            break;
        }
    }
    response
}

fn missing(name: ByteString) -> DescribeTopicPartitionsResponseTopic {
    let code = match topic_name::check(&name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn described(index: i32, partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let facts = PartitionFacts::of(partition);
    DescribeTopicPartitionsResponsePartition {
        error_code: facts.error_code,
        partition_index: index,
        leader_id: facts.leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: facts.replica_nodes,
        isr_nodes: facts.isr_nodes,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: Vec::new(),
    }
}

/// Every topic of the request is refused, for the cursor fits none of them.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter();
    let topics = topics.map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name.clone()),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}
