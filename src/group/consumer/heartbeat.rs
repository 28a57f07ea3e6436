// SPDX-License-Identifier: Apache-2.0
//! Members join and are heard of (ConsumerGroupHeartbeat).
//!
//! Owns: the heartbeat side of groups of the new protocol. Invariants: a member that names another
//! epoch than its own is fenced, unless it has not heard of its last one or joins again; only who
//! names its own epoch gives anything up; a static member takes the place of one that has left for
//! a while, and of no other. Runs on: the shard that coordinates. Bounded by:
//! `group.consumer.max.size`, `GROUP_MEMBERS_MAX`.

use bytestring::ByteString;

use super::assignment::Assignment;
use super::change::Change;
use super::member::{AWAY, LEAVES, Part, updated};
use super::state::{ConsumerGroup, target_record};
use super::steps::Steps;
use crate::config::groups::GroupSettings;
use crate::group::classic::Group;
use crate::group::member::own;
use crate::group::request::{Caller, GroupAnswer, Origin};
use crate::group::turn::Turn;
use crate::model::error_code::ErrorCode;
use crate::wire::consumer_groups::MemberProfile;
use crate::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatAssignment,
};

/// First version in which a member names itself (KIP-1082).
const NAMES_ITSELF_FROM: i16 = 1;

/// A heartbeat, with all that belongs to it.
pub(in crate::group) struct Beat<'a> {
    pub(in crate::group) caller: Caller,
    pub(in crate::group) request: &'a ConsumerGroupHeartbeatRequest,
    pub(in crate::group) origin: &'a Origin,
}

/// Why a member is refused: a code, and a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Refusal {
    pub(in crate::group) code: ErrorCode,
    pub(in crate::group) sentence: String,
}

/// Makes a refusal.
pub(in crate::group) fn refusal(code: ErrorCode, sentence: impl Into<String>) -> Refusal {
    Refusal {
        code,
        sentence: sentence.into(),
    }
}

impl Refusal {
    /// As an answer.
    pub(in crate::group) fn answer(self) -> GroupAnswer {
        GroupAnswer::Beat(ConsumerGroupHeartbeatResponse {
            error_code: self.code.code(),
            error_message: Some(ByteString::from(self.sentence)),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }
}

/// Looks at a request by itself.
pub(in crate::group) fn check_request(
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    settings: &GroupSettings,
) -> Result<(), Refusal> {
    let wrong = |sentence: &str| Err(refusal(ErrorCode::InvalidRequest, sentence));
    let is_blank =
        |text: &Option<ByteString>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let has_no_id = request.member_id.trim().is_empty();
    if has_no_id && version >= NAMES_ITSELF_FROM {
        return wrong("The member id is empty: since version 1 a member names itself.");
    }
    if request.group_id.trim().is_empty() {
        return wrong("The group id is empty.");
    }
    if is_blank(&request.instance_id) || is_blank(&request.rack_id) {
        return wrong("The instance id and the rack id, where they are given, must not be empty.");
    }
    match request.member_epoch {
        0 => {
            if request.rebalance_timeout_ms < 0 {
                return wrong("A member that joins must give its rebalance timeout.");
            }
            if request
                .topic_partitions
                .as_ref()
                .is_none_or(|owned| !owned.is_empty())
            {
                return wrong("A member that joins must own no partitions, and say so.");
            }
            let names = &request.subscribed_topic_names;
            if names.is_none() && request.subscribed_topic_regex.is_none() {
                return wrong("A member that joins must say which topics it wants.");
            }
        }
        AWAY if request.instance_id.is_none() => {
            return wrong("Only a static member leaves for a while: the instance id is missing.");
        }
        1.. | LEAVES | AWAY if has_no_id => return wrong("The member id is empty."),
        1.. | LEAVES | AWAY => {}
        _ => return wrong("The member epoch is below -2."),
    }
    let wanted = request.server_assignor.as_ref();
    match wanted.filter(|name| !settings.assignors.contains(name)) {
        Some(name) => Err(refusal(
            ErrorCode::UnsupportedAssignor,
            format!(
                "There is no assignor {name} here, only: {}.",
                settings.assignors.join(", ")
            ),
        )),
        None => Ok(()),
    }
}

impl Group {
    /// A member of the new protocol joins or is heard of.
    pub(in crate::group) fn handle_beat(&mut self, beat: &Beat<'_>, turn: &mut Turn<'_>) {
        let caller = beat.caller;
        if let Err(refusal) = self.become_consumer_group(beat.request, turn) {
            turn.answer(caller, refusal.answer());
            return;
        }
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let mut steps = Steps::default();
        match group.beat(beat, &mut steps, turn) {
            Ok(response) => {
                let answer = GroupAnswer::Beat(response);
                steps.finish(group, Some((caller, answer)), turn);
            }
            Err(refusal) => {
                steps.take_back(group);
                turn.answer(caller, refusal.answer());
            }
        }
        self.drop_blank_consumer_group();
    }
}

impl ConsumerGroup {
    fn beat(
        &mut self,
        beat: &Beat<'_>,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let request = beat.request;
        let id = match &*request.member_id {
            "" => turn.member_id(""),
            _ => own(&request.member_id),
        };
        self.check_room(&id, request.instance_id.as_ref(), turn.settings)?;
        let mut owned = request.topic_partitions.as_deref().map(Assignment::of_wire);
        self.admit(&id, request, owned.as_ref(), steps, turn)?;
        let known = self.members.get(&id).map(|member| member.part.epoch);
        if known.is_some_and(|known| known != request.member_epoch) {
            // It may have been sent before the member was given what it does not name: a join, or a
            // heartbeat of the epoch before, that came late or twice is no word of what was given
            // up. Who has missed an answer says so again under the epoch that it is told now.
            owned = None;
        }
        let has_changed = self.take_profile(&id, beat, steps, turn)?;
        self.refresh(has_changed, steps, turn);
        self.make_target(steps, turn);
        let lead = self.lead_on(&id, owned.as_ref(), steps);
        self.renew_session(&id, turn);
        self.settle_revoke(&id, lead.has_moved, turn);
        let is_whole = request.rebalance_timeout_ms >= 0
            && request.topic_partitions.is_some()
            && (request.subscribed_topic_names.is_some()
                || request.subscribed_topic_regex.is_some());
        let part = self.members.get(&id).map(|member| &member.part);
        let wants = request.member_epoch == 0 || is_whole || lead.has_other_part;
        let assignment = part.filter(|_| wants).map(|part| HeartbeatAssignment {
            topic_partitions: part.assigned.to_wire(),
        });
        Ok(ConsumerGroupHeartbeatResponse {
            member_epoch: part.map_or(0, |part| part.epoch),
            member_id: Some(id),
            heartbeat_interval_ms: turn.pace(&self.id).heartbeat_ms,
            assignment,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// True if one more member is welcome; who is one already, or takes the place of one, is.
    pub(super) fn check_room(
        &self,
        id: &ByteString,
        instance: Option<&ByteString>,
        settings: &GroupSettings,
    ) -> Result<(), Refusal> {
        let is_one = self.members.contains_key(id)
            || instance.is_some_and(|instance| self.instances.contains_key(instance));
        if is_one || self.members.len() < settings.consumer_members_max {
            return Ok(());
        }
        Err(refusal(
            ErrorCode::GroupMaxSizeReached,
            format!("The group has {} members already.", self.members.len()),
        ))
    }

    /// Lets a member in that may come in under its id, its instance and its epoch.
    fn admit(
        &mut self,
        id: &ByteString,
        request: &ConsumerGroupHeartbeatRequest,
        owned: Option<&Assignment>,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let joins = request.member_epoch == 0;
        let instance = request.instance_id.as_ref();
        let holder = instance.and_then(|instance| self.instances.get(instance).cloned());
        if let (Some(instance), Some(holder)) = (instance, &holder) {
            let is_away = self
                .members
                .get(holder)
                .is_some_and(|member| member.part.epoch == AWAY);
            if joins && is_away {
                self.come_back(holder, id, steps, turn);
                return Ok(());
            }
            if holder != id {
                let code = match joins {
                    true => ErrorCode::UnreleasedInstanceId,
                    false => ErrorCode::FencedInstanceId,
                };
                let sentence =
                    format!("The member {holder} has the instance id {instance} of this member.");
                return Err(refusal(code, sentence));
            }
        }
        let is_stranger = instance.is_some() && holder.is_none() && !joins;
        let member = self.members.get(id).filter(|_| !is_stranger);
        match member {
            Some(member) => check_epoch(&member.part, request.member_epoch, owned),
            None if joins => Ok(()),
            None => Err(unknown(id)),
        }
    }

    /// A static member takes its place again, mostly under another id.
    fn come_back(
        &mut self,
        holder: &ByteString,
        id: &ByteString,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) {
        let Some(member) = self.members.get(holder) else {
            return;
        };
        let part = Part {
            epoch: 0,
            previous_epoch: 0,
            ..member.part.clone()
        };
        if holder != id {
            self.take_place(holder, id, steps, turn);
        }
        steps.make(self, Change::Current(id.clone(), Some(part.record())));
    }

    /// Gives the profile and the target of a member to another id.
    pub(super) fn take_place(
        &mut self,
        holder: &ByteString,
        id: &ByteString,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) {
        let Some(member) = self.members.get(holder) else {
            return;
        };
        let profile = member.profile.clone();
        let target = self.target.get(holder).map(target_record);
        self.cancel_alarms(holder, turn);
        steps.make(self, Change::Current(holder.clone(), None));
        steps.make(self, Change::TargetMember(holder.clone(), None));
        steps.make(self, Change::Member(holder.clone(), None));
        steps.make(self, Change::Member(id.clone(), Some(profile)));
        if let Some(target) = target {
            steps.make(self, Change::TargetMember(id.clone(), Some(target)));
        }
    }

    /// Takes what a member says of itself. True if the target has to be made anew for it.
    fn take_profile(
        &mut self,
        id: &ByteString,
        beat: &Beat<'_>,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) -> Result<bool, Refusal> {
        let member = self.members.get(id);
        if member.is_some_and(|member| says_nothing_new(&member.profile, beat)) {
            return Ok(false); // Most heartbeats.
        }
        let before = member.map(|member| member.profile.clone());
        let base = before.clone().unwrap_or_default();
        let mut profile = updated(&base, beat.request);
        profile.client_id = own(&beat.origin.client_id);
        profile.client_host = own(&beat.origin.client_host);
        if before.as_ref() == Some(&profile) {
            return Ok(false);
        }
        if let Some(text) = profile.subscribed_topic_regex.clone() {
            let found = self.look_up_pattern(&text, steps, turn);
            found.map_err(|why| {
                let sentence = format!("The pattern {text} cannot be read: {why}.");
                refusal(ErrorCode::InvalidRegularExpression, sentence)
            })?;
        }
        let wants_other = before.as_ref().is_none_or(|before| {
            before.subscribed_topic_names != profile.subscribed_topic_names
                || before.subscribed_topic_regex != profile.subscribed_topic_regex
        });
        self.set_profile(id, before.as_ref(), profile, steps);
        Ok(wants_other)
    }

    /// Keeps what a member says of itself.
    pub(super) fn set_profile(
        &mut self,
        id: &ByteString,
        before: Option<&MemberProfile>,
        profile: MemberProfile,
        steps: &mut Steps,
    ) {
        steps.make(self, Change::Member(id.clone(), Some(profile)));
        if let Some(before) = before {
            self.drop_pattern(before, steps);
        }
    }
}

/// True if a heartbeat says nothing of its member but that it is there.
fn says_nothing_new(profile: &MemberProfile, beat: &Beat<'_>) -> bool {
    let (request, origin) = (beat.request, beat.origin);
    profile.classic.is_none()
        && request.instance_id.is_none()
        && request.rack_id.is_none()
        && request.rebalance_timeout_ms < 0
        && request.server_assignor.is_none()
        && request.subscribed_topic_names.is_none()
        && request.subscribed_topic_regex.is_none()
        && profile.client_id == origin.client_id
        && profile.client_host == origin.client_host
}

/// A member that is not there.
pub(super) fn unknown(id: &ByteString) -> Refusal {
    let sentence = format!("The group has no member {id}.");
    refusal(ErrorCode::UnknownMemberId, sentence)
}

/// A member has to name its epoch. If it names the one before and owns nothing else than what it
/// may own, the answer with its new epoch was lost. One that was fenced joins again under its own
/// id (KIP-848).
fn check_epoch(part: &Part, named: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    let has_missed_one =
        named == part.previous_epoch && owned.is_some_and(|owned| owned.is_within(&part.assigned));
    let joins_again = named == 0;
    if joins_again || named == part.epoch || (named < part.epoch && has_missed_one) {
        return Ok(());
    }
    let sentence = format!(
        "The member's epoch is {} and not {named}: it must give up all its partitions and join \
         again.",
        part.epoch
    );
    Err(refusal(ErrorCode::FencedMemberEpoch, sentence))
}
