// SPDX-License-Identifier: Apache-2.0
//! Requests of this shard's clients that the controller answers.
//!
//! Owns: nothing; verbs of the shard. Invariants: each is answered once, as its continuation says.
//! Runs on: its shard. Bounded by: the requests in flight.

use super::api::Reply;
use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::request_table::{Call, Continuation, Pending};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::model::ids::ShardId;
use crate::model::time::Now;

impl Shard {
    /// Asks the controller.
    pub(super) fn send_control(
        &mut self,
        request: u64,
        body: ControlRequest,
        effects: &mut Effects,
    ) {
        let message = MeshMessage::ControlRequest { request, body };
        self.send(ShardId::CONTROL, message, effects);
    }

    /// Asks the controller for a client, whose answer `finish` makes.
    pub(super) fn ask_control(
        &mut self,
        call: Call,
        body: ControlRequest,
        finish: Continuation,
        effects: &mut Effects,
    ) {
        let request = self.requests.next_number();
        self.requests
            .insert(request, call, Pending::Control(finish));
        self.connections.note_request(call.slot, request);
        self.send_control(request, body, effects);
    }

    pub(super) fn handle_control_answer(
        &mut self,
        now: Now,
        request: u64,
        answer: ControlAnswer,
        effects: &mut Effects,
    ) {
        let Some(answer) = self.take_producer_ids(now, request, answer, effects) else {
            return;
        };
        let (throttle_ms, answer) = match answer {
            ControlAnswer::Throttled { ms, answer } => (ms, *answer),
            answer => (0, answer),
        };
        if let Some((call, Pending::Control(finish))) = self.requests.remove(request) {
            let mut reply = finish(self, &call, answer);
            if let Ok(Reply::Send(answer)) = &mut reply {
                self.throttle_mutation(&call, answer, throttle_ms);
            }
            self.conclude(call, reply, effects);
        }
    }
}
