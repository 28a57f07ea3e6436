// SPDX-License-Identifier: Apache-2.0
//! WriteTxnMarkers (27): the ends of transactions in partitions, for a coordinator elsewhere or an
//! administrator.
//!
//! Owns: its handler. Invariants: each marker is answered once it is committed; the answer has the
//! shape of the request. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::asks::AskPlan;
use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::parts::asks::Question;
use crate::shard::parts::markers::TxnMarker;
use crate::wire::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::wire::record::EndMarker;

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=2;

/// Hands the markers to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: WriteTxnMarkersRequest = arrival.decode()?;
    let mut plan = AskPlan::default();
    let mut response = WriteTxnMarkersResponse::default();
    for marker in request.markers {
        response.markers.push(add(shard, &mut plan, marker));
    }
    let (call, effects) = (arrival.call, arrival.effects);
    plan.put(shard, call, effects, move |call, outcomes| {
        let topics = response.markers.iter_mut();
        let partitions = topics
            .flat_map(|marker| &mut marker.topics)
            .flat_map(|topic| &mut topic.partitions);
        for (partition, outcome) in partitions.zip(outcomes) {
            let code = outcome.err().unwrap_or(ErrorCode::None);
            partition.error_code = code.code();
        }
        call.reply(&response)
    })
}

/// Adds the questions of one marker; gives the frame of its answer.
fn add(shard: &Shard, plan: &mut AskPlan, marker: WritableTxnMarker) -> WritableTxnMarkerResult {
    let question = Question::Marker(TxnMarker {
        producer_id: marker.producer_id,
        producer_epoch: marker.producer_epoch,
        marker: EndMarker {
            is_commit: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
        },
        transaction_version: i16::from(marker.transaction_version),
    });
    let may_be = marker.producer_id >= 0 && marker.producer_epoch >= 0;
    let mut result = WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics: Vec::with_capacity(marker.topics.len()),
    };
    for topic in marker.topics {
        let mut answer = WritableTxnMarkerTopicResult {
            partitions: Vec::with_capacity(topic.partition_indexes.len()),
            ..WritableTxnMarkerTopicResult::default()
        };
        for partition_index in topic.partition_indexes {
            let routed = if may_be {
                shard.route_by_name(&topic.name, partition_index)
            } else {
                Err(ErrorCode::InvalidRequest)
            };
            plan.push(routed, question);
            answer.partitions.push(WritableTxnMarkerPartitionResult {
                partition_index,
                error_code: ErrorCode::None.code(),
            });
        }
        answer.name = topic.name;
        result.topics.push(answer);
    }
    result
}
