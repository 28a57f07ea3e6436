// SPDX-License-Identifier: Apache-2.0
//! What a member of the new protocol makes of the answers that it gets.
//!
//! Invariants: what is told is noted before it is acted on; a code that a right client never gets
//! is a violation.

use std::collections::BTreeSet;

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, HeartbeatAssignment,
};

use super::super::group_words::{take_committed, take_fetched, take_found};
use super::super::link::decode;
use super::super::{Context, Phase};
use super::holding::Word;
use super::{NewMember, Stage, Tag, What};
use crate::history::Entry;
use crate::history::owners::{OwnerEntry, Spot};
use crate::plan::{NEW_REBALANCE_US, NEW_SESSION_US};

impl NewMember {
    pub(super) fn answered(
        &mut self,
        context: &mut Context<'_>,
        tag: Tag,
        version: i16,
        frame: Bytes,
    ) {
        let is_mine = tag.life == self.life && !tag.is_copy;
        if is_mine && matches!(tag.what, What::Find | What::Beat(_)) {
            self.is_waiting = false;
        }
        let Tag {
            what,
            called,
            id,
            epoch,
            ..
        } = tag;
        let told = |code| (code, is_mine, id.clone(), epoch);
        match what {
            What::Find => {
                let code = take_found(context, version, frame);
                if code == Some(0) && is_mine {
                    self.stage = Stage::Out;
                }
                self.has_failed |= code != Some(0);
            }
            What::Beat(word) => {
                self.take_beat(
                    context,
                    (version, frame),
                    (called, id, epoch),
                    word,
                    is_mine,
                );
            }
            What::Leave => {
                let body = decode::<ConsumerGroupHeartbeatRequest>(context, version, frame);
                if body.is_some_and(|body| body.error_code == 0) {
                    self.note_outcast(context, &id, i32::MAX);
                }
            }
            What::Commit(changes) => {
                let codes = take_committed(context, version, frame, changes);
                if let Some(code) = codes.first() {
                    self.is_served |= is_mine && *code == 0;
                    self.heed(context, told(*code), true);
                }
            }
            What::Fetch => {
                let group = self.plan.group;
                let offsets = take_fetched(context, version, frame, group, called);
                if let Some(offsets) = offsets.filter(|_| is_mine) {
                    let owned = self.places(context);
                    let offsets = offsets.into_iter();
                    let offsets = offsets.filter(|(place, ..)| owned.contains(place));
                    let positions = offsets.map(|(place, offset, _)| (place, offset.max(0)));
                    self.positions.extend(positions);
                }
            }
        }
    }

    fn note_outcast(&self, context: &mut Context<'_>, id: &str, epoch: i32) {
        context.history.push(Entry::Owner(OwnerEntry::Outcast {
            group: self.plan.group,
            member: id.to_owned(),
            epoch,
        }));
    }

    fn take_beat(
        &mut self,
        context: &mut Context<'_>,
        (version, frame): (i16, Bytes),
        (called, id, epoch): (usize, String, i32),
        word: Word,
        is_mine: bool,
    ) {
        let Some(body) = decode::<ConsumerGroupHeartbeatRequest>(context, version, frame) else {
            return;
        };
        if body.error_code != 0 {
            return self.heed(context, (body.error_code, is_mine, id, epoch), false);
        }
        context.stats.new_beats += 1;
        let named = body.member_id.as_deref().unwrap_or_default();
        if named.is_empty() || !(id.is_empty() || id == named) {
            let sentence = format!("the member {id:?} is called {named:?}");
            return context.violation(&sentence);
        }
        context.history.push(Entry::Owner(OwnerEntry::Epoch {
            group: self.plan.group,
            member: named.to_owned(),
            called,
            epoch: body.member_epoch,
        }));
        if !is_mine {
            return;
        }
        self.id = named.to_owned();
        let given = body.assignment.as_ref().map(spots);
        context.stats.new_assignments += u64::from(given.is_some());
        if word.is_whole && given.is_none() {
            context.violation("a heartbeat that says everything is not told its assignment");
        }
        let (was_asked, changes) = (self.holding.is_asked(), self.holding.changes());
        if !self.holding.take(word, epoch == 0, given, context.now_us) {
            self.has_failed = true;
            return;
        }
        self.note(context);
        if self.holding.changes() != changes || self.epoch != body.member_epoch {
            self.stir(context.now_us);
            self.is_served = false;
        }
        self.is_another = false;
        (self.epoch, self.stage) = (body.member_epoch, Stage::In);
        if self.holding.is_asked() && !was_asked {
            context.stats.revocations += 1;
            let longest = match context.board.phase {
                Phase::Faulty => 2 * NEW_REBALANCE_US,
                _ => 10_000,
            };
            self.give_up_at_us = context.now_us + context.prng.skewed(1_000, longest);
        }
        let owned = self.places(context);
        self.positions.retain(|place, _| owned.contains(place));
    }

    /// What a code means for whoever still is who asked.
    fn heed(
        &mut self,
        context: &mut Context<'_>,
        (code, is_mine, id, epoch): (i16, bool, String, i32),
        is_commit: bool,
    ) {
        let code = ErrorCode::from_code(code);
        self.has_failed |= is_mine && code != Some(ErrorCode::None);
        match code {
            Some(ErrorCode::None) => {}
            Some(
                ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator,
            ) => {
                if is_mine && !is_commit {
                    self.holding.doubt();
                    self.stir(context.now_us);
                }
            }
            Some(ErrorCode::StaleMemberEpoch) if is_commit => {}
            Some(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                context.stats.new_members_unknown += 1;
                self.note_outcast(context, &id, epoch);
                if is_mine {
                    self.come_out(context);
                    // The coordinator does not know it, and so cannot have asked anything of it.
                    self.holding.begin(context.now_us);
                }
            }
            Some(ErrorCode::FencedMemberEpoch) if !is_commit => {
                context.stats.new_members_fenced += 1;
                if epoch > 0 {
                    self.note_outcast(context, &id, epoch);
                } else {
                    context.violation("a member that joins is fenced for its epoch");
                }
                if is_mine {
                    self.holding.doubt();
                    self.come_out(context);
                }
            }
            Some(ErrorCode::UnreleasedInstanceId) if self.plan.instance.is_some() => {
                context.stats.instances_unreleased += 1;
                let has_waited = self.quiet_since_us.map(|at| context.now_us - at);
                self.is_another |= is_mine && has_waited.is_some_and(|us| us > LOSER_US);
                self.beat_at_us = context.now_us + NEW_SESSION_US / 3;
            }
            Some(ErrorCode::FencedInstanceId) if self.plan.instance.is_some() => {
                context.stats.members_fenced += 1;
                self.note_outcast(context, &id, epoch);
                if is_mine {
                    self.start_anew(context);
                    self.away_until_us = context.now_us + NEW_SESSION_US;
                }
            }
            _ => context.violation(&format!("a member of the new protocol got {code:?}")),
        }
    }
}

/// Longer than a coordinator waits for somebody who does not come back.
const LOSER_US: u64 = NEW_SESSION_US * 3 / 2;

/// What an answer gives.
fn spots(assignment: &HeartbeatAssignment) -> BTreeSet<Spot> {
    let topics = assignment.topic_partitions.iter();
    let all = topics.flat_map(|topic| {
        let id = topic.topic_id;
        topic.partitions.iter().map(move |one| (id, *one))
    });
    all.collect()
}
