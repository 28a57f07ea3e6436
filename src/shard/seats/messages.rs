// SPDX-License-Identifier: Apache-2.0
//! Messages to coordinators, and of them.
//!
//! Owns: which kind of coordinator a message is for. Invariants: none of its own. Runs on: its
//! shard. Bounded by: nothing to bound.

use crate::group;
use crate::model::ids::ShardId;
use crate::model::time::Now;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::txn;

impl Shard {
    /// Handles a message to coordinators, or of them.
    pub(in crate::shard) fn handle_seat_message(
        &mut self,
        now: Now,
        from: ShardId,
        message: MeshMessage,
        effects: &mut Effects,
    ) {
        match message {
            MeshMessage::GroupAsks { request, asks } => {
                self.handle_seat_asks::<group::Coordinator>(now, from, request, asks, effects);
            }
            MeshMessage::GroupsSaid {
                request,
                waited_us,
                answers,
            } => {
                let said = (request, waited_us);
                self.take_call_answers::<group::Coordinator>(now, said, answers, effects);
            }
            MeshMessage::TxnAsks { request, asks } => {
                self.handle_seat_asks::<txn::Coordinator>(now, from, request, asks, effects);
            }
            MeshMessage::TxnsSaid { request, answers } => {
                self.take_txn_answers(now, request, answers, effects);
            }
            _ => debug_assert!(false, "meant for the control shard"),
        }
    }
}
