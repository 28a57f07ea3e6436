// SPDX-License-Identifier: Apache-2.0
//! TxnOffsetCommit (28): how far a group has come, if a transaction is committed (KIP-98, KIP-447).
//!
//! Owns: its handler. Invariants: answered once the offsets are in the log as a part of the
//! transaction; partitions that do not exist are refused here, each by itself; the answer keeps the
//! order of the request. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall, TransactionalCommit, TxnProducer};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version whose clients bear that a coordinator is loading (KAFKA-7296).
const LOADING_FROM: i16 = 2;

/// First version whose clients know that a transaction can only be aborted (KIP-1050).
const ABORTABLE_FROM: i16 = 4;

/// First version that adds the group to the transaction by itself (KIP-890).
const ADDS_FROM: i16 = 5;

/// Asks the coordinator of the group for what exists.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: TxnOffsetCommitRequest = arrival.decode()?;
    let version = arrival.call.version;
    let mut response = TxnOffsetCommitResponse::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let (known, answer) = judge(shard, topic);
        topics.extend(Some(known).filter(|topic| !topic.partitions.is_empty()));
        response.topics.push(answer);
    }
    if topics.is_empty() {
        return arrival.call.reply(&response);
    }
    let group = request.group_id.clone();
    let commit = TransactionalCommit {
        transactional_id: request.transactional_id,
        producer: TxnProducer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        adds: version >= ADDS_FROM,
        request: OffsetCommitRequest {
            group_id: request.group_id,
            generation_id_or_member_epoch: request.generation_id,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            topics,
            ..OffsetCommitRequest::default()
        },
    };
    let mut plan = GroupPlan::default();
    let call = GroupCall::CommitInTransaction(Box::new(commit));
    plan.push(shard, &group, call);
    plan.put(shard, arrival, move |call, answers| {
        let Some(GroupAnswer::Committed(codes)) = answers.into_iter().next() else {
            return Ok(Reply::Close);
        };
        let topics = response.topics.iter_mut();
        let partitions = topics.flat_map(|topic| &mut topic.partitions);
        let taken = partitions.filter(|partition| partition.error_code == 0);
        for (partition, code) in taken.zip(codes) {
            partition.error_code = told(call.version, code).code();
        }
        call.reply(&response)
    })
}

/// The partitions of a topic that exist, as a plain commit names them, and the frame of the answer,
/// in which the others are refused.
fn judge(
    shard: &Shard,
    topic: TxnOffsetCommitRequestTopic,
) -> (OffsetCommitRequestTopic, TxnOffsetCommitResponseTopic) {
    let mut answer = TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: Vec::with_capacity(topic.partitions.len()),
    };
    let mut known = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let index = partition.partition_index;
        let code = match shard.route_by_name(&topic.name, index) {
            Err(ErrorCode::UnknownTopicOrPartition) => ErrorCode::UnknownTopicOrPartition,
            _ => ErrorCode::None,
        };
        answer.partitions.push(TxnOffsetCommitResponsePartition {
            partition_index: index,
            error_code: code.code(),
        });
        if code == ErrorCode::None {
            known.push(OffsetCommitRequestPartition {
                partition_index: index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                committed_metadata: partition.committed_metadata,
            });
        }
    }
    let known = OffsetCommitRequestTopic {
        name: topic.name,
        partitions: known,
        ..OffsetCommitRequestTopic::default()
    };
    (known, answer)
}

/// The code that a client of this age understands.
fn told(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < LOADING_FROM => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::TransactionAbortable if version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        code => code,
    }
}
