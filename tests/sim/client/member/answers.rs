// SPDX-License-Identifier: Apache-2.0
//! What a member makes of the answers that it gets.
//!
//! Invariants: what is told is noted before it is acted on; a code that a right client never gets
//! is a violation.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use furlong::wire::protocol::leave_group::LeaveGroupRequest;
use furlong::wire::protocol::sync_group::SyncGroupRequest;

use super::super::group_words::{decode_share, take_committed, take_fetched, take_found};
use super::super::link::decode;
use super::super::{Context, Phase};
use super::{Member, Stage, Tag, What, mixed, owner};
use crate::history::Entry;
use crate::history::groups::GroupEntry;

impl Member {
    pub(super) fn answered(
        &mut self,
        context: &mut Context<'_>,
        tag: Tag,
        version: i16,
        frame: Bytes,
    ) {
        let is_mine = tag.life == self.life && !tag.is_copy;
        if is_mine && matches!(tag.what, What::Find | What::Join | What::Sync) {
            self.is_waiting = false;
        }
        let is_commit = matches!(tag.what, What::Commit(_));
        let code = match tag.what {
            What::Find => {
                let code = take_found(context, version, frame);
                if code == Some(0) && is_mine {
                    self.stage = Stage::Out;
                }
                code
            }
            What::Join => self.take_joined(context, version, frame, tag.called, is_mine),
            What::Sync => self.take_synced(
                context,
                version,
                frame,
                (tag.called, tag.generation, tag.id),
                is_mine,
            ),
            What::Heartbeat => {
                let body = decode::<HeartbeatRequest>(context, version, frame);
                let code = body.map(|body| body.error_code);
                if code == Some(0) && is_mine && self.is_mixed() {
                    self.take_hold(context, tag.sent_us);
                }
                code
            }
            What::Commit(changes) => {
                let codes = take_committed(context, version, frame, changes);
                codes.first().copied()
            }
            What::Fetch => {
                let group = self.plan.group;
                let told = take_fetched(context, version, frame, group, tag.called);
                if let Some(told) = told.filter(|_| is_mine) {
                    let told = told.into_iter();
                    let positions = told.map(|(place, offset, _)| (place, offset.max(0)));
                    self.positions.extend(positions);
                }
                None
            }
            What::Leave => {
                let _ = decode::<LeaveGroupRequest>(context, version, frame);
                None
            }
        };
        if let Some(code) = code {
            self.heed(context, code, is_mine, is_commit);
        }
    }

    /// What a code means for whoever still is who asked.
    fn heed(&mut self, context: &mut Context<'_>, code: i16, is_mine: bool, is_commit: bool) {
        let is_healed = context.board.phase == Phase::Healed;
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => {
                let served = is_mine && matches!(self.stage, Stage::In);
                let served = served && (is_commit || self.owned.is_empty());
                self.is_settled |= served && is_healed;
                return;
            }
            Some(
                ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator,
            ) => {}
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) if is_mine => {
                self.rejoin();
            }
            // Only Kafka's newer versions say so; the group is to be made again.
            Some(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) if is_mine => {
                self.id.clear();
                self.rejoin();
            }
            Some(ErrorCode::FencedInstanceId) if is_mine => {
                context.stats.members_fenced += 1;
                self.forget(context);
                let pause = context.prng.skewed(1_000, 3 * self.session_us());
                self.away_until_us = context.now_us + pause;
                // Somebody else is this member now; nobody comes after the two of them.
                self.is_settled |= is_healed;
                if is_healed {
                    self.away_until_us = u64::MAX;
                }
            }
            Some(
                ErrorCode::RebalanceInProgress
                | ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId
                | ErrorCode::GroupIdNotFound
                | ErrorCode::FencedInstanceId
                | ErrorCode::MemberIdRequired,
            ) => {}
            _ => context.violation(&format!("a member got error {code}")),
        }
        self.has_failed |= is_mine;
    }

    fn take_joined(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        called: usize,
        is_mine: bool,
    ) -> Option<i16> {
        let body: JoinGroupResponse = decode::<JoinGroupRequest>(context, version, frame)?;
        if body.error_code == ErrorCode::MemberIdRequired.code() && is_mine {
            self.id = body.member_id.to_string();
            return None;
        }
        if body.error_code != 0 {
            return Some(body.error_code);
        }
        context.stats.group_joins += 1;
        if !self.is_mixed() {
            context.history.push(Entry::Group(GroupEntry::Joined {
                group: self.plan.group,
                called,
                generation: body.generation_id,
            }));
        } else if body.leader.is_empty() {
            context.board.mixed_is_new = true;
            context.stats.mixed_new_rounds += 1;
        }
        if !is_mine {
            return None;
        }
        self.change();
        self.id = body.member_id.to_string();
        self.generation = body.generation_id;
        self.protocol = body.protocol_name.as_ref().map(ToString::to_string);
        let leads = body.leader == body.member_id && !body.skip_assignment;
        if leads != (!body.members.is_empty() && !body.skip_assignment) {
            context.violation("a member that does not lead is told the members, or the other way");
        }
        let members = body.members.iter().filter(|_| leads);
        let members = members.map(|one| {
            let instance = one.group_instance_id.as_ref().map(ToString::to_string);
            (one.member_id.to_string(), instance)
        });
        self.stage = Stage::Joined(members.collect());
        None
    }

    fn take_synced(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        (called, generation, id): (usize, i32, String),
        is_mine: bool,
    ) -> Option<i16> {
        let body = decode::<SyncGroupRequest>(context, version, frame)?;
        if body.error_code != 0 {
            return Some(body.error_code);
        }
        context.stats.assignments_told += 1;
        if self.is_mixed() {
            let Some(places) = mixed::decode(context.board, body.assignment) else {
                context.violation("an assignment that cannot be read");
                return None;
            };
            self.note_told(context, (id, called, generation), &places, is_mine);
            if is_mine {
                self.stage = Stage::In;
                self.heartbeat_at_us = context.now_us;
            }
            return None;
        }
        let share = decode_share(body.assignment);
        let number = share.as_ref().map(|share| share.0);
        let places = share.map(|share| share.1).unwrap_or_default();
        context.history.push(Entry::Group(GroupEntry::Told {
            group: self.plan.group,
            called,
            generation,
            owner: owner(&id, self.plan.instance.as_deref()),
            member: id,
            number,
            places: places.clone(),
        }));
        if is_mine {
            self.stage = Stage::In;
            self.owned = places;
            self.heartbeat_at_us = context.now_us;
        }
        None
    }
}
