// SPDX-License-Identifier: Apache-2.0
//! EndTxn (26): a transaction is committed or aborted.
//!
//! Owns: its handler. Invariants: from version 5 on the answer says who the producer is in its next
//! transaction (KIP-890). Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::transactions::{TxnPlan, fenced_code};
use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::txn::{EPOCH_PER_TRANSACTION, EndTransaction, Producer, TxnAnswer, TxnCall};
use crate::wire::protocol::end_txn::{EndTxnRequest, EndTxnResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// First version whose clients expect another epoch afterwards.
const EPOCH_FROM: i16 = 5;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: EndTxnRequest = arrival.decode()?;
    let id = request.transactional_id;
    if id.is_empty() {
        return arrival.call.reply(&answer(Err(ErrorCode::InvalidRequest)));
    }
    let version = arrival.call.version;
    let call = TxnCall::End(EndTransaction {
        transactional_id: id.clone(),
        producer: Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        is_commit: request.committed,
        transaction_version: match version {
            EPOCH_FROM.. => EPOCH_PER_TRANSACTION,
            _ => 0,
        },
    });
    let mut plan = TxnPlan::default();
    plan.push(shard, &id, call);
    plan.put(shard, arrival, move |call, answers| {
        match answers.into_iter().next() {
            Some(TxnAnswer::Ended(ended)) => {
                let ended = ended.map_err(|code| fenced_code(code, version, FENCED_FROM));
                call.reply(&answer(ended))
            }
            _ => Ok(Reply::Close),
        }
    })
}

fn answer(ended: Result<Producer, ErrorCode>) -> EndTxnResponse {
    match ended {
        Ok(producer) => EndTxnResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..EndTxnResponse::default()
        },
        Err(code) => EndTxnResponse {
            error_code: code.code(),
            ..EndTxnResponse::default()
        },
    }
}
