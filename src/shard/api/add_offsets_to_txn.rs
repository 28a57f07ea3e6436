// SPDX-License-Identifier: Apache-2.0
//! AddOffsetsToTxn (25): a transaction is going to commit offsets of a group.
//!
//! Owns: its handler. Invariants: what is added is the partition that keeps the group; its topic is
//! made where it is missing. Runs on: the shard that accepted the connection. Bounded by: the
//! frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::offsets_topic;
use super::transactions::{TxnPlan, fenced_code};
use super::{ApiError, Arrival, Reply};
use crate::control::request::ControlRequest;
use crate::group::OFFSETS_TOPIC;
use crate::model::coordinator::partition_of;
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::txn::{AddPartitions, Producer, TxnAnswer, TxnCall, TxnPartition};
use crate::wire::protocol::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: AddOffsetsToTxnRequest = arrival.decode()?;
    let (id, version) = (request.transactional_id, arrival.call.version);
    if id.is_empty() {
        return arrival.call.reply(&answer(ErrorCode::InvalidRequest));
    }
    let Some(partition) = shard.partition_of_group(&request.group_id) else {
        return make_topic(shard, arrival);
    };
    let call = TxnCall::AddPartitions(AddPartitions {
        transactional_id: id.clone(),
        producer: Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        partitions: vec![partition],
        verify_only: false,
        // Clients of KIP-890 do not ask: their offsets add the group.
        transaction_version: 0,
        patience_ms: 0,
    });
    let mut plan = TxnPlan::default();
    plan.push(shard, &id, call);
    plan.put(shard, arrival, move |call, answers| {
        match answers.into_iter().next() {
            Some(TxnAnswer::Added(codes)) => {
                let code = codes.first().copied().unwrap_or(ErrorCode::None);
                call.reply(&answer(fenced_code(code, version, FENCED_FROM)))
            }
            _ => Ok(Reply::Close),
        }
    })
}

/// The topic of groups is not there, as before the first group: it is made, and the client, which
/// may never have looked for a group, asks again.
fn make_topic(shard: &mut Shard, arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let create = ControlRequest::CreateTopics {
        topics: vec![offsets_topic(shard)],
        validate_only: false,
    };
    let again =
        |_: &Shard, call: &Call, _| call.reply(&answer(ErrorCode::CoordinatorLoadInProgress));
    shard.ask_control(arrival.call, create, Box::new(again), arrival.effects);
    Ok(Reply::Pending)
}

fn answer(code: ErrorCode) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse {
        error_code: code.code(),
        ..AddOffsetsToTxnResponse::default()
    }
}

impl Shard {
    /// The partition that keeps a group, as a transaction names it; nothing while the topic of
    /// groups is not there.
    pub(in crate::shard) fn partition_of_group(&self, group: &str) -> Option<TxnPartition> {
        let topic = self.image().topics.get(OFFSETS_TOPIC)?;
        let count = i32::try_from(topic.partitions.len()).ok()?;
        let partition = partition_of(group, count.max(1));
        Some((ByteString::from_static(OFFSETS_TOPIC), partition))
    }
}
