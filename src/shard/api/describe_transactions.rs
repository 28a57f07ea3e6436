// SPDX-License-Identifier: Apache-2.0
//! DescribeTransactions (65): what transactional ids do.
//!
//! Owns: its handler. Invariants: none of its own. Runs on: the shard that accepted the connection.
//! Bounded by: the frame.

use std::ops::RangeInclusive;

use super::transactions::TxnPlan;
use super::{ApiError, Arrival, Reply};
use crate::shard::machine::Shard;
use crate::txn::{TxnAnswer, TxnCall};
use crate::wire::protocol::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeTransactionsRequest = arrival.decode()?;
    let mut plan = TxnPlan::default();
    for transactional_id in request.transactional_ids {
        let id = transactional_id.clone();
        plan.push(shard, &id, TxnCall::Describe { transactional_id });
    }
    plan.put(shard, arrival, |call, answers| {
        let answers = answers.into_iter().filter_map(|answer| match answer {
            TxnAnswer::Described(state) => Some(state),
            _ => None,
        });
        call.reply(&DescribeTransactionsResponse {
            transaction_states: answers.collect(),
            ..DescribeTransactionsResponse::default()
        })
    })
}
