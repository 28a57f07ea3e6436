// SPDX-License-Identifier: Apache-2.0
//! Members of the classic protocol in a group of the new one: the coordinator assigns for them,
//! too, and their generation is their epoch.
//!
//! A JoinGroup says what the member wants and still owns, so it is a heartbeat of the new protocol;
//! SyncGroup tells it what it may own; its Heartbeat tells it when to join again.
//!
//! Owns: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of such members. Invariants: such a member
//! leads nobody; it is told to join again when there is something to give up or to take. Runs on:
//! the shard that coordinates. Bounded by: `group.consumer.max.size`, `GROUP_MEMBERS_MAX`.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::assignment::Assignment;
use super::member::{AWAY, ConsumerMember, Part, Progress, ordered};
use super::state::ConsumerGroup;
use super::steps::Steps;
use crate::group::classic::{CONSUMER, Group};
use crate::group::join::{Join, KNOWN_IDS_FROM};
use crate::group::member::{own, own_protocols, rebalance_ms};
use crate::group::request::{Caller, GroupAnswer};
use crate::group::session::{is_at_odds, left};
use crate::group::turn::Turn;
use crate::model::error_code::ErrorCode;
use crate::wire::consumer_groups::{ClassicProfile, ClassicProtocol, MemberProfile};
use crate::wire::consumer_protocol::{ConsumerSubscription, decode, encode};
use crate::wire::protocol::heartbeat::HeartbeatRequest;
use crate::wire::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::wire::protocol::leave_group::{LeaveGroupResponse, MemberIdentity};
use crate::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Why a join is refused, and the member id that is told with it.
type JoinRefusal = (ErrorCode, ByteString);

impl Group {
    /// A classic member joins a group of the new protocol.
    pub(in crate::group) fn handle_classic_join(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let mut steps = Steps::default();
        match group.classic_join(join, &mut steps, turn) {
            Ok(response) => {
                let answer = GroupAnswer::Joined(response);
                steps.finish(group, Some((join.caller, answer)), turn);
            }
            Err((code, id)) => {
                steps.take_back(group);
                turn.refuse_join(join.caller, id, code);
            }
        }
        if self.may_go_back_without(&[], turn.settings) {
            self.go_back_to_classic(turn);
        }
    }

    /// A classic member wants to know what it may own.
    pub(in crate::group) fn handle_classic_sync(
        &mut self,
        caller: Caller,
        request: &SyncGroupRequest,
        turn: &mut Turn<'_>,
    ) {
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        match group.classic_sync(request, turn) {
            Ok(response) => {
                let answer = Some((caller, GroupAnswer::Synced(response)));
                Steps::default().finish(group, answer, turn);
            }
            Err(code) => turn.refuse_sync(caller, code),
        }
    }

    /// A classic member is heard of.
    pub(in crate::group) fn handle_classic_heartbeat(
        &mut self,
        caller: Caller,
        request: &HeartbeatRequest,
        turn: &mut Turn<'_>,
    ) {
        let Some(group) = self.consumer.as_deref_mut() else {
            return;
        };
        let code = group.classic_heartbeat(request, turn);
        let answer = GroupAnswer::Heartbeat(code.err().unwrap_or(ErrorCode::None));
        Steps::default().finish(group, Some((caller, answer)), turn);
    }

    /// Classic members leave, or an operator takes static members out.
    pub(in crate::group) fn handle_classic_leave(
        &mut self,
        caller: Caller,
        members: &[MemberIdentity],
        turn: &mut Turn<'_>,
    ) {
        let Some(group) = self.consumer.as_deref() else {
            return;
        };
        let mut ids: Vec<ByteString> = Vec::new();
        let mut answer = LeaveGroupResponse::default();
        for member in members {
            let code = match group.who_leaves(member) {
                Ok(id) if ids.contains(&id) => ErrorCode::UnknownMemberId,
                Ok(id) => {
                    ids.push(id);
                    ErrorCode::None
                }
                Err(code) => code,
            };
            answer.members.push(left(member, code));
        }
        let answer = GroupAnswer::Left(answer);
        if ids.is_empty() {
            turn.answer(caller, answer);
        } else {
            self.take_out_consumers(&ids, Some((caller, answer)), turn);
        }
    }
}

impl ConsumerGroup {
    fn classic_join(
        &mut self,
        join: &Join<'_>,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) -> Result<JoinGroupResponse, JoinRefusal> {
        let request = join.request;
        let told = |code| (code, request.member_id.clone());
        self.check_protocols(request).map_err(told)?;
        let named = &request.member_id;
        let instance = request.group_instance_id.as_ref();
        self.check_room(named, instance, turn.settings)
            .map_err(|refusal| (refusal.code, ByteString::new()))?;
        let id = match (named.is_empty(), instance) {
            (false, _) => own(named),
            (true, Some(instance)) => turn.member_id(instance),
            (true, None) => turn.member_id(&join.origin.client_id),
        };
        if named.is_empty() && instance.is_none() && join.version >= KNOWN_IDS_FROM {
            return Err((ErrorCode::MemberIdRequired, id));
        }
        let subscription = subscription(request).map_err(told)?;
        if let Some(instance) = instance {
            self.admit_classic(instance, &id, named.is_empty(), steps, turn)
                .map_err(told)?;
        }
        let before = self.members.get(&id).map(|member| member.profile.clone());
        let profile = profile(join, &subscription);
        let wants_other = before.as_ref().is_none_or(|before| {
            before.subscribed_topic_names != profile.subscribed_topic_names
                || before.subscribed_topic_regex.is_some()
        });
        if before.as_ref() != Some(&profile) {
            self.set_profile(&id, before.as_ref(), profile, steps);
        }
        self.refresh(wants_other, steps, turn);
        self.make_target(steps, turn);
        let owned = Assignment::of_named(&subscription.owned_partitions, turn.image);
        let lead = self.lead_on(&id, Some(&owned), steps);
        self.renew_session(&id, turn);
        self.settle_revoke(&id, lead.has_moved, turn);
        self.note_step(&id, turn);
        self.expect_step(&id, turn);
        let generation = self.members.get(&id).map_or(0, |one| one.part.epoch);
        let protocol = request.protocols.first().map(|one| one.name.clone());
        Ok(JoinGroupResponse {
            generation_id: generation,
            protocol_type: Some(ByteString::from_static(CONSUMER)),
            protocol_name: protocol,
            member_id: id,
            ..JoinGroupResponse::default()
        })
    }

    /// All classic members can do one of its protocols, as far as there are any.
    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let mut names: BTreeSet<&ByteString> =
            request.protocols.iter().map(|one| &one.name).collect();
        let others = self.members.iter();
        let others = others.filter(|(id, _)| **id != request.member_id);
        for classic in others.filter_map(|(_, member)| member.profile.classic.as_ref()) {
            let theirs: BTreeSet<&ByteString> =
                classic.protocols.iter().map(|one| &one.name).collect();
            names.retain(|name| theirs.contains(*name));
        }
        if request.protocol_type != CONSUMER || names.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// A static member of the classic protocol takes the place of whoever has its instance id if it
    /// comes without a member id, as in a classic group (KIP-345).
    fn admit_classic(
        &mut self,
        instance: &ByteString,
        id: &ByteString,
        is_new: bool,
        steps: &mut Steps,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let Some(holder) = self.instances.get(instance).cloned() else {
            return if is_new {
                Ok(())
            } else {
                Err(ErrorCode::UnknownMemberId)
            };
        };
        if holder == *id {
            return Ok(());
        }
        if !is_new {
            return Err(ErrorCode::FencedInstanceId);
        }
        let part = self.members.get(&holder).map(|member| member.part.clone());
        self.take_place(&holder, id, steps, turn);
        let part = Part {
            epoch: 0,
            previous_epoch: 0,
            ..part.unwrap_or_default()
        };
        steps.make(
            self,
            super::Change::Current(id.clone(), Some(part.record())),
        );
        Ok(())
    }

    fn classic_sync(
        &mut self,
        request: &SyncGroupRequest,
        turn: &mut Turn<'_>,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let (id, instance) = (&request.member_id, request.group_instance_id.as_ref());
        let member = self.classic_member(id, instance)?;
        if request.generation_id != member.part.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        let protocols = member.profile.classic.iter().flat_map(|one| &one.protocols);
        let first = protocols.clone().next();
        let kind = ByteString::from_static(CONSUMER);
        if is_at_odds(request.protocol_type.as_ref(), Some(&kind))
            || is_at_odds(request.protocol_name.as_ref(), first.map(|one| &one.name))
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.epoch > member.part.epoch && member.part.progress != Progress::Unrevoked {
            self.expect_step(id, turn);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let said = first.map(|one| decode::<ConsumerSubscription>(&one.metadata));
        let version = said.and_then(Result::ok).map_or(0, |(version, _)| version);
        let assignment = encode(&member.part.assigned.to_named(turn.image), version);
        let response = SyncGroupResponse {
            protocol_type: Some(kind),
            protocol_name: first.map(|one| one.name.clone()),
            assignment: assignment.map_err(|_| ErrorCode::UnknownServerError)?,
            ..SyncGroupResponse::default()
        };
        self.note_step(id, turn);
        self.renew_session(id, turn);
        Ok(response)
    }

    fn classic_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let (id, instance) = (&request.member_id, request.group_instance_id.as_ref());
        let member = self.classic_member(id, instance)?;
        if request.generation_id != member.part.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        let has_more = match member.part.progress {
            _ if member.part.epoch < self.epoch => true,
            Progress::Stable => false,
            Progress::Unrevoked => true,
            Progress::Unreleased => self.can_take_more(id, &member.part),
        };
        self.renew_session(id, turn);
        if !has_more {
            return Ok(());
        }
        self.expect_step(id, turn);
        Err(ErrorCode::RebalanceInProgress)
    }

    /// True if something that a member waits for is free.
    fn can_take_more(&self, id: &ByteString, part: &Part) -> bool {
        let target = self.target.get(id);
        let mut missing = target
            .into_iter()
            .flat_map(Assignment::iter)
            .filter(|(topic, one)| !part.assigned.contains(*topic, *one));
        missing.all(|(topic, one)| self.is_free_for(id, topic, one))
    }

    /// A member of the classic protocol.
    fn classic_member(
        &self,
        id: &ByteString,
        instance: Option<&ByteString>,
    ) -> Result<&ConsumerMember, ErrorCode> {
        self.check_identity(id, instance)
            .map_err(|refusal| refusal.code)?;
        let member = self.members.get(id).filter(|member| member.is_classic());
        member.ok_or(ErrorCode::UnknownMemberId)
    }

    /// The member that leaves, or that an operator names by its instance id.
    fn who_leaves(&self, member: &MemberIdentity) -> Result<ByteString, ErrorCode> {
        let instance = member.group_instance_id.as_ref();
        if member.member_id.is_empty() {
            let id = instance.and_then(|instance| self.instances.get(instance));
            return id.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        self.classic_member(&member.member_id, instance)?;
        Ok(own(&member.member_id))
    }

    /// True if nobody here speaks the new protocol but those who are named. A static member that
    /// is away may come back with it.
    pub(super) fn has_only_classic_without(&self, ids: &[ByteString]) -> bool {
        let left = self.members.iter().filter(|(id, _)| !ids.contains(id));
        let mut left = left.map(|(_, member)| member).peekable();
        left.peek().is_some() && left.all(|one| one.is_classic() && one.part.epoch != AWAY)
    }
}

/// What a member says in its first protocol.
fn subscription(request: &JoinGroupRequest) -> Result<ConsumerSubscription, ErrorCode> {
    let first = request.protocols.first();
    let said = first.map(|one| decode::<ConsumerSubscription>(&one.metadata));
    match said {
        Some(Ok((_, subscription))) => Ok(subscription),
        _ => Err(ErrorCode::InconsistentGroupProtocol),
    }
}

/// What a join says of the member.
fn profile(join: &Join<'_>, subscription: &ConsumerSubscription) -> MemberProfile {
    let request = join.request;
    MemberProfile {
        instance_id: request.group_instance_id.as_ref().map(own),
        client_id: own(&join.origin.client_id),
        client_host: own(&join.origin.client_host),
        rebalance_timeout_ms: rebalance_ms(request),
        classic: Some(ClassicProfile {
            session_timeout_ms: request.session_timeout_ms,
            protocols: classic_protocols(own_protocols(&request.protocols)),
        }),
        ..wishes(subscription)
    }
}

/// The protocols of a member, as a record keeps them.
pub(super) fn classic_protocols(
    protocols: Vec<(ByteString, bytes::Bytes)>,
) -> Vec<ClassicProtocol> {
    let protocols = protocols.into_iter();
    protocols
        .map(|(name, metadata)| ClassicProtocol { name, metadata })
        .collect()
}

/// What a subscription says of the member.
pub(super) fn wishes(subscription: &ConsumerSubscription) -> MemberProfile {
    MemberProfile {
        rack_id: subscription.rack_id.as_ref().map(own),
        subscribed_topic_names: ordered(&subscription.topics),
        ..MemberProfile::default()
    }
}
