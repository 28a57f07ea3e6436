// SPDX-License-Identifier: Apache-2.0
//! AddPartitionsToTxn (24): a transaction is going to write to partitions; or a broker asks whether
//! it may (KIP-890).
//!
//! Owns: its handler. Invariants: one partition that is not there refuses all of its transaction:
//! the others are told OPERATION_NOT_ATTEMPTED. The answer has the shape of the request. Runs on:
//! the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::transactions::{TxnPlan, fenced_code};
use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::groups::is_internal;
use crate::shard::machine::Shard;
use crate::txn::{
    AddPartitions, EPOCH_PER_TRANSACTION, Producer, TxnAnswer, TxnCall, TxnPartition,
};
use crate::wire::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// First version with many transactions, and the question whether partitions belong to one.
const BATCHED_FROM: i16 = 4;

/// First version that is asked on behalf of clients that expect an epoch for each transaction, and
/// that knows TRANSACTION_ABORTABLE.
const EPOCH_FROM: i16 = 5;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request: AddPartitionsToTxnRequest = arrival.decode()?;
    let version = arrival.call.version;
    if version < BATCHED_FROM {
        request.transactions = vec![AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        }];
    }
    let mut plan = TxnPlan::default();
    let mut frames = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        frames.push(add(shard, &mut plan, version, transaction));
    }
    plan.put(shard, arrival, move |call, answers| {
        let mut answers = answers.into_iter();
        for frame in frames.iter_mut().filter(|frame| frame.is_asked) {
            let Some(TxnAnswer::Added(codes)) = answers.next() else {
                return Ok(Reply::Close);
            };
            let codes = codes.into_iter();
            fill(
                &mut frame.result,
                codes.map(|code| told(call.version, code)),
            );
        }
        let mut results = frames.into_iter().map(|frame| frame.result);
        let mut response = AddPartitionsToTxnResponse::default();
        if call.version < BATCHED_FROM {
            let only = results.next();
            response.results_by_topic_v3_and_below =
                only.map_or(Vec::new(), |one| one.topic_results);
        } else {
            response.results_by_transaction = results.collect();
        }
        call.reply(&response)
    })
}

/// The code that a client of this age understands.
fn told(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::TransactionAbortable if version < EPOCH_FROM => ErrorCode::InvalidTxnState,
        code => fenced_code(code, version, FENCED_FROM),
    }
}

/// The answer to one transaction, whose codes may be missing yet.
struct Frame {
    result: AddPartitionsToTxnResult,
    is_asked: bool,
}

/// Adds the call of one transaction, unless it is refused.
fn add(
    shard: &Shard,
    plan: &mut TxnPlan,
    version: i16,
    transaction: AddPartitionsToTxnTransaction,
) -> Frame {
    let mut result = AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id.clone(),
        topic_results: transaction.topics.iter().map(unanswered).collect(),
    };
    let partitions = partitions_of(&transaction.topics);
    let codes = check(shard, version, &transaction, &partitions);
    if codes.iter().any(|code| *code != ErrorCode::None) {
        fill(&mut result, codes.into_iter());
        return Frame {
            result,
            is_asked: false,
        };
    }
    let call = TxnCall::AddPartitions(AddPartitions {
        transactional_id: transaction.transactional_id.clone(),
        producer: Producer {
            id: transaction.producer_id,
            epoch: transaction.producer_epoch,
        },
        partitions,
        verify_only: transaction.verify_only,
        transaction_version: match version {
            EPOCH_FROM.. => EPOCH_PER_TRANSACTION,
            _ => 0,
        },
        patience_ms: 0,
    });
    plan.push(shard, &transaction.transactional_id, call);
    Frame {
        result,
        is_asked: true,
    }
}

/// What is wrong with a transaction before its coordinator is asked: a code for each partition.
fn check(
    shard: &Shard,
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
    partitions: &[TxnPartition],
) -> Vec<ErrorCode> {
    if transaction.transactional_id.is_empty() {
        return vec![ErrorCode::InvalidRequest; partitions.len()];
    }
    let codes = partitions.iter().map(|(topic, partition)| {
        match shard.route_by_name(topic, *partition) {
            // A client writes to the topics of the broker through the APIs for that alone.
            Ok(_) if is_internal(topic) && version < BATCHED_FROM => {
                ErrorCode::TopicAuthorizationFailed
            }
            Ok(_) | Err(ErrorCode::NotLeaderOrFollower) => ErrorCode::None,
            Err(code) => code,
        }
    });
    let mut codes: Vec<ErrorCode> = codes.collect();
    if codes.iter().any(|code| *code != ErrorCode::None) {
        let others = codes.iter_mut().filter(|code| **code == ErrorCode::None);
        others.for_each(|code| *code = ErrorCode::OperationNotAttempted);
    }
    codes
}

fn partitions_of(topics: &[AddPartitionsToTxnTopic]) -> Vec<TxnPartition> {
    let topics = topics.iter();
    topics
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.name.clone(), *partition))
        })
        .collect()
}

fn unanswered(topic: &AddPartitionsToTxnTopic) -> AddPartitionsToTxnTopicResult {
    let partitions = topic.partitions.iter();
    AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: partitions
            .map(|index| AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: ErrorCode::None.code(),
            })
            .collect(),
    }
}

fn fill(result: &mut AddPartitionsToTxnResult, codes: impl Iterator<Item = ErrorCode>) {
    let topics = result.topic_results.iter_mut();
    let partitions = topics.flat_map(|topic| &mut topic.results_by_partition);
    for (partition, code) in partitions.zip(codes) {
        partition.partition_error_code = code.code();
    }
}
