// SPDX-License-Identifier: Apache-2.0
//! One member of a group of the new protocol.
//!
//! Owns: [`ConsumerMember`], [`Part`], the states of a member. Invariants: what it gives up is not
//! among what it owns; what it says is a copy of its own, so that it holds no frame. Runs on: the
//! shard that coordinates. Bounded by: its record.

use bytestring::ByteString;

use super::assignment::Assignment;
use crate::group::alarm::Alarm;
use crate::group::member::own;
use crate::wire::consumer_groups::{CurrentPart, MemberProfile};
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

/// The epoch with which a member leaves.
pub(super) const LEAVES: i32 = -1;

/// The epoch of a static member that has left for a while.
pub(super) const AWAY: i32 = -2;

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// It owns what it is to own.
    #[default]
    Stable,
    /// It has to give partitions up.
    Unrevoked,
    /// It waits for partitions that others have to give up.
    Unreleased,
}

impl Progress {
    fn code(self) -> i8 {
        match self {
            Progress::Stable => 0,
            Progress::Unrevoked => 1,
            Progress::Unreleased => 2,
        }
    }

    /// What a record says. A state that is not known is one in which all is looked at anew.
    fn of(code: i8) -> Progress {
        match code {
            0 => Progress::Stable,
            1 => Progress::Unrevoked,
            _ => Progress::Unreleased,
        }
    }
}

/// What a member owns, and as of when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    pub(super) assigned: Assignment,
    pub(super) revoking: Assignment,
}

impl Part {
    pub(super) fn record(&self) -> CurrentPart {
        CurrentPart {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.progress.code(),
            assigned_partitions: self.assigned.to_wire(),
            partitions_pending_revocation: self.revoking.to_wire(),
        }
    }

    pub(super) fn of(record: &CurrentPart) -> Part {
        Part {
            epoch: record.member_epoch,
            previous_epoch: record.previous_member_epoch,
            progress: Progress::of(record.state),
            assigned: Assignment::of_wire(&record.assigned_partitions),
            revoking: Assignment::of_wire(&record.partitions_pending_revocation),
        }
    }
}

/// A member.
#[derive(Debug, Default)]
pub(in crate::group) struct ConsumerMember {
    pub(super) profile: MemberProfile,
    pub(super) part: Part,
    /// The end of its session.
    pub(super) session: Alarm,
    /// By then it has given up what it has to give up.
    pub(super) revoke: Alarm,
    /// By then it has joined again, or has asked for its assignment, if it is a classic one.
    pub(super) step: Alarm,
}

impl ConsumerMember {
    /// True if it speaks the classic protocol.
    pub(in crate::group) fn is_classic(&self) -> bool {
        self.profile.classic.is_some()
    }
}

/// What a member says now, where it said that before.
pub(super) fn updated(
    before: &MemberProfile,
    request: &ConsumerGroupHeartbeatRequest,
) -> MemberProfile {
    let mut profile = before.clone();
    // Who speaks the new protocol does not speak the old one any more.
    profile.classic = None;
    if request.instance_id.is_some() {
        profile.instance_id = request.instance_id.as_ref().map(own);
    }
    if request.rack_id.is_some() {
        profile.rack_id = request.rack_id.as_ref().map(own);
    }
    if request.rebalance_timeout_ms >= 0 {
        profile.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if request.server_assignor.is_some() {
        profile.server_assignor = request.server_assignor.as_ref().map(own);
    }
    if let Some(names) = &request.subscribed_topic_names {
        profile.subscribed_topic_names = ordered(names);
    }
    if let Some(pattern) = &request.subscribed_topic_regex {
        // An empty one takes the pattern back.
        profile.subscribed_topic_regex = Some(own(pattern)).filter(|text| !text.is_empty());
    }
    profile
}

/// Names of their own, each once, in order.
pub(super) fn ordered(names: &[ByteString]) -> Vec<ByteString> {
    let mut names: Vec<ByteString> = names.iter().map(own).collect();
    names.sort_unstable();
    names.dedup();
    names
}
