// SPDX-License-Identifier: Apache-2.0
//! What a classic member sent comes again, late.
//!
//! Owns: nothing. Invariants: a copy is what was sent, bit for bit. Runs on: the simulator.
//! Bounded by: one held request a member.

use super::{Held, Member, Stage, What};
use crate::client::Context;
use crate::client::group_words::note_commit;

impl Member {
    /// A commit waits until its sender is in another generation: there it must count for nothing.
    pub(super) fn is_time_to_send_again(&self, context: &mut Context<'_>) -> bool {
        let per_mille = match &self.held {
            None => return false,
            Some(Held::Commit(_, body, _)) => {
                let is_late = self.generation > body.generation_id_or_member_epoch;
                if is_late && matches!(self.stage, Stage::In) {
                    300
                } else {
                    1
                }
            }
            Some(_) => 100,
        };
        context.prng.chance(per_mille)
    }

    pub(super) fn send_again(&mut self, context: &mut Context<'_>) {
        context.stats.group_copies += 1;
        match self.held.take() {
            Some(Held::Join(version, body)) => {
                self.ask_as(context, version, &body, What::Join, true);
            }
            Some(Held::Sync(version, body)) => {
                let generation = std::mem::replace(&mut self.generation, body.generation_id);
                let id = std::mem::replace(&mut self.id, body.member_id.to_string());
                self.ask_as(context, version, &body, What::Sync, true);
                (self.generation, self.id) = (generation, id);
            }
            Some(Held::Heartbeat(version, body)) => {
                self.ask_as(context, version, &body, What::Heartbeat, true);
            }
            Some(Held::Commit(version, body, marks)) => {
                let generation = body.generation_id_or_member_epoch;
                let who = (&*body.member_id, generation);
                let changes = note_commit(context, self.plan.group, who, &marks);
                self.ask_as(context, version, &body, What::Commit(changes), true);
            }
            Some(Held::Leave(version, body)) => {
                self.ask_as(context, version, &body, What::Leave, true);
            }
            None => {}
        }
    }
}
