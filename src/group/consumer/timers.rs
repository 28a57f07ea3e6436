// SPDX-License-Identifier: Apache-2.0
//! What a member of a group of the new protocol has time for: to be heard of, to give partitions
//! up, and (if it speaks the classic protocol) to join again and to ask for its assignment.
//!
//! Owns: the alarms of members. Invariants: who lets a time pass is taken out. Runs on: the shard
//! that coordinates. Bounded by: `GROUP_MEMBERS_MAX`.

use bytestring::ByteString;

use super::member::{ConsumerMember, Progress};
use super::state::ConsumerGroup;
use crate::group::alarm::{Alarm, AlarmOwner};
use crate::group::classic::Group;
use crate::group::member::millis;
use crate::group::turn::Turn;

/// The alarms of a member.
#[derive(Clone, Copy)]
enum Kind {
    Session,
    Revoke,
    Step,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Session, Kind::Revoke, Kind::Step];

    fn owner(self, group: &ByteString, id: &ByteString) -> AlarmOwner {
        let (group, id) = (group.clone(), id.clone());
        match self {
            Kind::Session => AlarmOwner::Session(group, id),
            Kind::Revoke => AlarmOwner::Revoke(group, id),
            Kind::Step => AlarmOwner::Step(group, id),
        }
    }

    fn of(self, member: &mut ConsumerMember) -> &mut Alarm {
        match self {
            Kind::Session => &mut member.session,
            Kind::Revoke => &mut member.revoke,
            Kind::Step => &mut member.step,
        }
    }
}

impl ConsumerGroup {
    fn set_alarm(&mut self, kind: Kind, id: &ByteString, ms: u64, turn: &mut Turn<'_>) {
        let (group, at) = (&self.id, turn.now.after_ms(ms));
        if let Some(member) = self.members.get_mut(id) {
            let owner = || kind.owner(group, id);
            kind.of(member).set(at, turn.queue, owner);
        }
    }

    fn cancel_alarm(&mut self, kind: Kind, id: &ByteString, turn: &mut Turn<'_>) {
        let group = &self.id;
        if let Some(member) = self.members.get_mut(id) {
            let owner = || kind.owner(group, id);
            kind.of(member).cancel(turn.queue, owner);
        }
    }

    /// Takes all alarms of a member back.
    pub(super) fn cancel_alarms(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        for kind in Kind::ALL {
            self.cancel_alarm(kind, id, turn);
        }
    }

    /// A member was heard of: its session begins anew.
    pub(super) fn renew_session(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get(id) {
            let ms = match &member.profile.classic {
                Some(classic) => millis(classic.session_timeout_ms),
                None => turn.pace(&self.id).session_ms,
            };
            self.set_alarm(Kind::Session, id, ms, turn);
        }
    }

    /// A member that has to give partitions up has its rebalance timeout for it, from the moment
    /// that it is told.
    pub(super) fn settle_revoke(&mut self, id: &ByteString, has_moved: bool, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        if member.part.progress != Progress::Unrevoked {
            self.cancel_alarm(Kind::Revoke, id, turn);
        } else if has_moved || !member.revoke.is_set() {
            let ms = millis(member.profile.rebalance_timeout_ms);
            self.cancel_alarm(Kind::Revoke, id, turn);
            self.set_alarm(Kind::Revoke, id, ms, turn);
        }
    }

    /// A classic member has its rebalance timeout for its next step; a time that runs stays.
    pub(super) fn expect_step(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        let member = self.members.get(id).filter(|one| !one.step.is_set());
        if let Some(member) = member {
            let ms = millis(member.profile.rebalance_timeout_ms);
            self.set_alarm(Kind::Step, id, ms, turn);
        }
    }

    /// A member that is away is waited for only as long as its session lasts.
    pub(super) fn stop_waiting(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        self.cancel_alarm(Kind::Revoke, id, turn);
        self.cancel_alarm(Kind::Step, id, turn);
    }

    /// A classic member has made its step.
    pub(super) fn note_step(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        self.cancel_alarm(Kind::Step, id, turn);
    }

    /// The group has been read: everybody has all its time again.
    pub(in crate::group) fn start_alarms(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<ByteString> = self.members.keys().cloned().collect();
        for id in ids {
            self.renew_session(&id, turn);
            self.settle_revoke(&id, true, turn);
        }
    }

    fn is_due(&mut self, kind: Kind, id: &ByteString, turn: &mut Turn<'_>) -> bool {
        let group = &self.id;
        let Some(member) = self.members.get_mut(id) else {
            return false;
        };
        let owner = || kind.owner(group, id);
        kind.of(member).is_due(turn.now, turn.queue, owner)
    }
}

impl Group {
    /// An alarm of a member of the new protocol came up.
    pub(in crate::group) fn ring_consumer(&mut self, owner: &AlarmOwner, turn: &mut Turn<'_>) {
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let (kind, id) = match owner {
            AlarmOwner::Session(_, id) => (Kind::Session, id),
            AlarmOwner::Revoke(_, id) => (Kind::Revoke, id),
            AlarmOwner::Step(_, id) => (Kind::Step, id),
            _ => return,
        };
        if group.is_due(kind, id, turn) {
            self.take_out_consumers(std::slice::from_ref(id), None, turn);
        }
    }
}
