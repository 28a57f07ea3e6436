// SPDX-License-Identifier: Apache-2.0
//! What a member of the new protocol sent comes again, late.
//!
//! Owns: nothing. Invariants: a copy is what was sent, bit for bit. Runs on: the simulator.
//! Bounded by: one held request a member.

use super::{Held, NewMember, Tag, What};
use crate::client::Context;
use crate::client::group_words::note_commit;

impl NewMember {
    /// A commit waits until its sender has another epoch: there it must count for nothing. What
    /// says what its sender owns goes only as long as that is so.
    pub(super) fn is_time_to_send_again(&mut self, context: &mut Context<'_>) -> bool {
        let per_mille = match &self.held {
            None => return false,
            Some(Held::Commit(_, body, _)) => {
                let is_late = self.epoch > body.generation_id_or_member_epoch;
                if is_late { 300 } else { 1 }
            }
            Some(Held::Beat(_, body, changes)) => {
                let says_owned = body.topic_partitions.is_some() && body.member_epoch > 0;
                let is_so = *changes == self.holding.changes() && body.member_epoch == self.epoch;
                if says_owned && !is_so {
                    self.held = None;
                    return false;
                }
                100
            }
        };
        context.prng.chance(per_mille)
    }

    pub(super) fn send_again(&mut self, context: &mut Context<'_>) {
        context.stats.new_copies += 1;
        let life = self.life;
        let called = context.history.entries.len();
        let tag = |what, id: &str, epoch| Tag {
            what,
            life,
            called,
            id: id.to_owned(),
            epoch,
            is_copy: true,
        };
        match self.held.take() {
            Some(Held::Beat(version, body, _)) => {
                self.holding.doubt();
                let word = self.holding.word(context.now_us, false, false);
                let tag = tag(What::Beat(word), &body.member_id, body.member_epoch);
                self.link.request(context, version, &body, tag);
            }
            Some(Held::Commit(version, body, marks)) => {
                let epoch = body.generation_id_or_member_epoch;
                let who = (&*body.member_id, epoch);
                let changes = note_commit(context, self.plan.group, who, &marks);
                let tag = tag(What::Commit(changes), &body.member_id, epoch);
                self.link.request(context, version, &body, tag);
            }
            None => {}
        }
    }
}
