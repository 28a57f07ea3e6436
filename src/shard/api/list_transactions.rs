// SPDX-License-Identifier: Apache-2.0
//! ListTransactions (66): the transactional ids that this broker coordinates.
//!
//! Owns: its handler. Invariants: while one coordinator is loading the list is refused, for it
//! would not be whole. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::transactions::TxnPlan;
use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::txn::{IdPattern, ListFilter, TxnAnswer, TxnCall, unknown_states};
use crate::wire::protocol::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Asks all coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ListTransactionsRequest = arrival.decode()?;
    let text = request.transactional_id_pattern.unwrap_or_default();
    let pattern = (!text.is_empty()).then(|| IdPattern::new(&text));
    if matches!(pattern, Some(None)) {
        return arrival.call.reply(&ListTransactionsResponse {
            error_code: ErrorCode::InvalidRegularExpression.code(),
            ..ListTransactionsResponse::default()
        });
    }
    let unknown = unknown_states(&request.state_filters);
    let mut plan = TxnPlan::default();
    let call = TxnCall::List(ListFilter {
        states: request.state_filters,
        producer_ids: request.producer_id_filters,
        duration_ms: request.duration_filter,
        pattern: pattern.flatten(),
    });
    plan.push_to_all(shard, &call);
    plan.put(shard, arrival, |call, answers| {
        let mut response = ListTransactionsResponse {
            unknown_state_filters: unknown,
            ..ListTransactionsResponse::default()
        };
        for answer in answers {
            match answer {
                TxnAnswer::Listed(Ok(some)) => response.transaction_states.extend(some),
                TxnAnswer::Listed(Err(code)) => response.error_code = code.code(),
                _ => return Ok(Reply::Close),
            }
        }
        if response.error_code != 0 {
            response.transaction_states.clear();
        }
        let states = &mut response.transaction_states;
        states.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        call.reply(&response)
    })
}
