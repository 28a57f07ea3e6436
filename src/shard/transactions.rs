// SPDX-License-Identifier: Apache-2.0
//! The coordinators of transactions of this shard: one for each partition of `__transaction_state`
//! that it leads.
//!
//! Owns: the way of a call to its coordinator and back. Invariants: a transactional id belongs to
//! the shard that leads its partition; a call to a coordinator that is not here is refused, and its
//! client looks for it again. Runs on: its shard. Bounded by: the requests in flight.

use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use crate::model::coordinator::partition_of;
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::time::Now;
use crate::txn::{TRANSACTIONS_TOPIC, TxnAnswer, TxnCall};

/// A call to the coordinator of one partition.
#[derive(Debug)]
pub struct TxnAsk {
    /// Comes back with the answer.
    pub place: usize,
    /// The partition of the topic.
    pub partition: i32,
    /// What.
    pub call: TxnCall,
}

impl Shard {
    /// The partition of the topic that keeps a transactional id, and the shard that leads it.
    pub(super) fn coordinator_of_transaction(
        &self,
        transactional_id: &str,
    ) -> Result<(i32, ShardId), ErrorCode> {
        let topic = self.image.topics.get(TRANSACTIONS_TOPIC);
        let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = partition_of(transactional_id, count.max(1));
        let routed = self.route(topic, partition);
        let (_, owner) = routed.map_err(|_| ErrorCode::NotCoordinator)?;
        Ok((partition, owner))
    }

    /// Handles calls of `asker`.
    pub(super) fn handle_txn_asks(
        &mut self,
        _now: Now,
        asker: ShardId,
        request: u64,
        asks: Vec<TxnAsk>,
        effects: &mut Effects,
    ) {
        let refused = asks.into_iter().map(|ask| {
            let answer = ask.call.refusal(ErrorCode::NotCoordinator);
            (ask.place, answer)
        });
        let answers = refused.collect();
        self.send(asker, MeshMessage::TxnsSaid { request, answers }, effects);
    }

    /// Coordinators have answered.
    pub(super) fn take_txn_answers(
        &mut self,
        now: Now,
        request: u64,
        answers: Vec<(usize, TxnAnswer)>,
        effects: &mut Effects,
    ) {
        self.take_verified(now, request, answers, effects);
    }
}
