// SPDX-License-Identifier: Apache-2.0
//! Members leave, for good or for a while, or are taken out.
//!
//! Owns: the end of members. Invariants: the group's epoch rises with every member that is gone;
//! where only members of the classic protocol are left, the group goes back to it, if that is
//! allowed. Runs on: the shard that coordinates. Bounded by: `GROUP_MEMBERS_MAX`.

use bytestring::ByteString;

use super::change::Change;
use super::heartbeat::{Beat, Refusal, refusal, unknown};
use super::member::{AWAY, Part};
use super::state::ConsumerGroup;
use super::steps::Steps;
use crate::group::classic::Group;
use crate::group::request::{Caller, GroupAnswer};
use crate::group::turn::Turn;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;

impl Group {
    /// A member of the new protocol leaves.
    pub(in crate::group) fn handle_goodbye(&mut self, beat: &Beat<'_>, turn: &mut Turn<'_>) {
        let (request, id) = (beat.request, &beat.request.member_id);
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let instance = request.instance_id.as_ref();
        if let Err(refusal) = group.check_identity(id, instance) {
            turn.answer(beat.caller, refusal.answer());
            return;
        }
        let answer = GroupAnswer::Beat(ConsumerGroupHeartbeatResponse {
            member_id: Some(id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        });
        let answer = Some((beat.caller, answer));
        if request.member_epoch == AWAY {
            let mut steps = Steps::default();
            group.go_away(id, &mut steps, turn);
            steps.finish(group, answer, turn);
            return;
        }
        self.take_out_consumers(std::slice::from_ref(id), answer, turn);
    }

    /// Takes members out.
    pub(in crate::group) fn take_out_consumers(
        &mut self,
        ids: &[ByteString],
        answer: Option<(Caller, GroupAnswer)>,
        turn: &mut Turn<'_>,
    ) {
        let is_left_to_classic = self.may_go_back_without(ids, turn.settings);
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let mut steps = Steps::default();
        for id in ids {
            group.take_out(id, &mut steps, turn);
        }
        group.refresh(true, &mut steps, turn);
        let has_room = steps.finish(group, answer, turn);
        if is_left_to_classic && has_room {
            self.go_back_to_classic(turn);
        }
    }
}

impl ConsumerGroup {
    /// Says who a member is, if it is one.
    pub(super) fn check_identity(
        &self,
        id: &ByteString,
        instance: Option<&ByteString>,
    ) -> Result<(), Refusal> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(unknown(id)),
                Some(holder) if holder != id => {
                    let sentence = format!("The member {holder} has the instance id {instance}.");
                    return Err(refusal(ErrorCode::FencedInstanceId, sentence));
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(id) {
            true => Ok(()),
            false => Err(unknown(id)),
        }
    }

    /// A static member leaves for a while: what it owns waits for it as long as its session lasts.
    fn go_away(&mut self, id: &ByteString, steps: &mut Steps, turn: &mut Turn<'_>) {
        self.stop_waiting(id, turn);
        if let Some(member) = self.members.get(id) {
            let part = Part {
                epoch: AWAY,
                // Who is away has given up what it was to give up.
                revoking: super::assignment::Assignment::default(),
                ..member.part.clone()
            };
            steps.make(self, Change::Current(id.clone(), Some(part.record())));
        }
    }

    /// Ends all that there is of a member.
    pub(super) fn take_out(&mut self, id: &ByteString, steps: &mut Steps, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let profile = member.profile.clone();
        self.cancel_alarms(id, turn);
        steps.make(self, Change::Current(id.clone(), None));
        if self.target.contains_key(id) {
            steps.make(self, Change::TargetMember(id.clone(), None));
        }
        steps.make(self, Change::Member(id.clone(), None));
        self.drop_pattern(&profile, steps);
    }
}
