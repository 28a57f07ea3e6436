// SPDX-License-Identifier: Apache-2.0
//! DescribeQuorum (55): who votes on the metadata, and how far everybody is (KIP-595).
//!
//! Owns: its handler. Invariants: there is one quorum, that of partition 0 of the metadata topic; a
//! request that asks for anything else gets an error for each of its partitions, as in Kafka.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::control::topic_name::METADATA_TOPIC;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{LeaderEpoch, Offset};
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::describe_quorum::request::DescribeQuorumRequest;
use crate::wire::protocol::describe_quorum::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// First version that names the voters' directories and listeners.
const NODES_FROM: i16 = 2;

/// Asks the controller how far it is.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeQuorumRequest = arrival.decode()?;
    if !asks_for_metadata(&request) {
        return arrival.call.reply(&refused(request));
    }
    let wall_ms = arrival.now.wall_ms;
    let finish = move |shard: &Shard, call: &Call, answer: ControlAnswer| {
        let ControlAnswer::Quorum {
            leader_epoch,
            high_watermark,
        } = answer
        else {
            return Ok(Reply::Close);
        };
        let partition = quorum(shard, call.version, wall_ms, leader_epoch, high_watermark);
        call.reply(&DescribeQuorumResponse {
            topics: vec![TopicData {
                topic_name: ByteString::from_static(METADATA_TOPIC),
                partitions: vec![partition],
            }],
            nodes: nodes(shard, call.version),
            ..DescribeQuorumResponse::default()
        })
    };
    let ask = ControlRequest::DescribeQuorum;
    shard.ask_control(arrival.call, ask, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &request.topics[..] else {
        return false;
    };
    let [partition] = &topic.partitions[..] else {
        return false;
    };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

fn refused(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some("This server does not host this topic-partition.".into()),
        ..PartitionData::default()
    };
    let topics = request.topics.into_iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|asked| asked.partition_index);
        TopicData {
            partitions: indexes.map(partition).collect(),
            topic_name: topic.topic_name,
        }
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..DescribeQuorumResponse::default()
    }
}

fn quorum(
    shard: &Shard,
    version: i16,
    wall_ms: i64,
    leader_epoch: LeaderEpoch,
    high_watermark: Offset,
) -> PartitionData {
    let id = shard.config.node_id;
    let broker = shard.image().brokers.get(&id);
    let directory = broker.map(|broker| broker.directory_id).unwrap_or_default();
    let voter = ReplicaState {
        replica_id: id.0,
        replica_directory_id: if version >= NODES_FROM {
            directory
        } else {
            Default::default()
        },
        log_end_offset: high_watermark,
        // A leader is where it is, at any moment.
        last_fetch_timestamp: wall_ms,
        last_caught_up_timestamp: wall_ms,
    };
    PartitionData {
        leader_id: shard.image().controller_id.0,
        leader_epoch,
        high_watermark,
        current_voters: vec![voter],
        ..PartitionData::default()
    }
}

fn nodes(shard: &Shard, version: i16) -> Vec<Node> {
    let broker = shard.image().brokers.get(&shard.config.node_id);
    let Some(broker) = broker.filter(|_| version >= NODES_FROM) else {
        return Vec::new();
    };
    vec![Node {
        node_id: broker.id.0,
        listeners: vec![Listener {
            name: ByteString::from_static("CONTROLLER"),
            host: broker.host.clone(),
            port: broker.port,
        }],
    }]
}
