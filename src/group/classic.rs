// SPDX-License-Identifier: Apache-2.0
//! One group, most of it for the classic protocol: its members and what they have in common.
//!
//! Owns: [`Group`]. Invariants: the counts of members that join and of protocols are those of the
//! members; a static member has one id; the leader is a member; every caller that is dropped is
//! answered. Runs on: the shard that coordinates. Bounded by: `GROUP_MEMBERS_MAX`,
//! `GROUP_PROTOCOLS_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::alarm::{Alarm, AlarmOwner};
use super::consumer::ConsumerGroup;
use super::member::{Member, millis};
use super::offsets::OffsetTable;
use super::request::{Caller, GroupAnswer};
use super::state::State;
use super::turn::Turn;
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;
use crate::wire::offsets_topic::{GroupMetadataKey, GroupMetadataValue};
use crate::wire::protocol::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use crate::wire::protocol::sync_group::SyncGroupResponse;

/// The kind of group whose members say which topics they want.
pub(super) const CONSUMER: &str = "consumer";

/// What the end of a wait for members to join means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinWait {
    /// A new group waits for further members; so many milliseconds may follow at most.
    Initial { remaining_ms: u64 },
    /// Those who have not joined again are left out.
    Rebalance,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: ByteString,
    pub(super) state: State,
    /// The state before, which tells a first rebalance from later ones.
    pub(super) previous: State,
    /// Since when it is in its state, in milliseconds since 1970.
    pub(super) since_ms: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<ByteString>,
    pub(super) protocol: Option<ByteString>,
    pub(super) leader: Option<ByteString>,
    pub(super) members: BTreeMap<ByteString, Member>,
    /// Static members by what their operators call them.
    pub(super) instances: BTreeMap<ByteString, ByteString>,
    /// Ids that were given and not used yet.
    pub(super) pending: BTreeMap<ByteString, Alarm>,
    /// Members of this generation that have not asked for their assignment.
    pub(super) unsynced: BTreeSet<ByteString>,
    joining: usize,
    /// How many members can do each protocol.
    protocols: BTreeMap<ByteString, usize>,
    pub(super) join_wait: Option<JoinWait>,
    pub(super) join_alarm: Alarm,
    pub(super) sync_alarm: Alarm,
    /// A member came while a new group waits for further ones.
    pub(super) has_newcomer: bool,
    /// Topics that its members want, where that is known.
    pub(super) topics: Option<BTreeSet<ByteString>>,
    pub(super) offsets: OffsetTable,
    /// The rest of it, if it is one of the new protocol; then there is nothing else here but its
    /// offsets, and it is empty or dead.
    pub(super) consumer: Option<Box<ConsumerGroup>>,
}

impl Group {
    /// A group without members.
    pub(super) fn new(id: ByteString, now: Now) -> Group {
        Group {
            id,
            state: State::Empty,
            previous: State::Empty,
            since_ms: now.wall_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            joining: 0,
            protocols: BTreeMap::new(),
            join_wait: None,
            join_alarm: Alarm::default(),
            sync_alarm: Alarm::default(),
            has_newcomer: false,
            topics: None,
            offsets: OffsetTable::default(),
            consumer: None,
        }
    }

    /// Goes to another state.
    pub(super) fn enter(&mut self, next: State, now: Now) {
        assert!(
            self.state.may_become(next),
            "no transition of a group that is not in the table"
        );
        self.previous = self.state;
        self.state = next;
        self.since_ms = now.wall_ms;
    }

    /// True if it has members of the new protocol.
    pub(super) fn has_consumers(&self) -> bool {
        let group = self.consumer.as_ref().filter(|_| self.state != State::Dead);
        group.is_some_and(|group| !group.members.is_empty())
    }

    /// True if nothing would be lost with it.
    pub(super) fn is_blank(&self) -> bool {
        self.state == State::Empty
            && self.generation == 0
            && self.pending.is_empty()
            && self.consumer.is_none()
            && self.offsets.is_empty()
    }

    /// How many members wait for the generation.
    pub(super) fn joining_count(&self) -> usize {
        self.joining
    }

    /// True if every member has joined, and everybody with an id.
    pub(super) fn has_all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    /// The longest that a member may take to join again, in milliseconds.
    pub(super) fn rebalance_ms(&self) -> u64 {
        let members = self.members.values();
        members
            .map(|member| millis(member.rebalance_ms))
            .max()
            .unwrap_or(0)
    }

    /// True if members with these protocols may be in it.
    pub(super) fn can_take<'a>(
        &self,
        protocol_type: &str,
        mut protocols: impl Iterator<Item = &'a ByteString>,
    ) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.any(|name| self.can_all(name))
    }

    /// True for a protocol that every member can do; without members that is any.
    fn can_all(&self, name: &ByteString) -> bool {
        self.protocols.get(name).copied().unwrap_or(0) == self.members.len()
    }

    /// Says who a member is, if it is one.
    pub(super) fn check_member(
        &self,
        member: &ByteString,
        instance: Option<&ByteString>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(id) if id != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) {
            return Ok(());
        }
        Err(ErrorCode::UnknownMemberId)
    }

    /// True for the member that assigns.
    pub(super) fn is_leader(&self, member: &ByteString) -> bool {
        self.leader.as_ref() == Some(member)
    }

    /// Adds a member.
    pub(super) fn add(&mut self, id: ByteString, member: Member, protocol_type: &ByteString) {
        if self.members.is_empty() {
            self.protocol_type = Some(super::member::own(protocol_type));
        }
        for (name, _) in &member.protocols {
            *self.protocols.entry(name.clone()).or_default() += 1;
        }
        self.joining += usize::from(member.joining.is_some());
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        let before = self.members.insert(id, member);
        assert!(before.is_none(), "a member is added once");
    }

    /// Removes a member; what it waits for is answered with `code`.
    pub(super) fn remove(&mut self, id: &ByteString, code: ErrorCode, turn: &mut Turn<'_>) {
        self.end_waits(id, code, turn);
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        member.session.cancel(turn.queue, || {
            AlarmOwner::Session(self.id.clone(), id.clone())
        });
        for (name, _) in &member.protocols {
            self.uncount_protocol(name);
        }
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
        self.unsynced.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn uncount_protocol(&mut self, name: &ByteString) {
        let count = self.protocols.get_mut(name).map(|count| {
            *count -= 1;
            *count
        });
        if count == Some(0) {
            self.protocols.remove(name);
        }
    }

    /// Answers the join and the sync of a member with a code.
    pub(super) fn end_waits(&mut self, id: &ByteString, code: ErrorCode, turn: &mut Turn<'_>) {
        if let Some(caller) = self.take_joining(id) {
            turn.refuse_join(turn.end_wait(caller), id.clone(), code);
        }
        let member = self.members.get_mut(id);
        if let Some(caller) = member.and_then(|member| member.syncing.take()) {
            turn.refuse_sync(turn.end_wait(caller), code);
        }
    }

    /// Takes the join of a member that waits.
    pub(super) fn take_joining(&mut self, id: &ByteString) -> Option<Caller> {
        let caller = self.members.get_mut(id)?.joining.take()?;
        self.joining -= 1;
        Some(caller)
    }

    /// Lets the join of a member wait. One that waits already was given up by its client.
    pub(super) fn set_joining(&mut self, id: &ByteString, caller: Caller, turn: &mut Turn<'_>) {
        if let Some(before) = self.take_joining(id) {
            let before = turn.end_wait(before);
            turn.refuse_join(before, id.clone(), ErrorCode::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(id) {
            member.joining = Some(caller);
            self.joining += 1;
        }
    }

    /// Replaces what a member can do.
    pub(super) fn set_protocols(&mut self, id: &ByteString, protocols: Vec<(ByteString, Bytes)>) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        for (name, _) in &protocols {
            *self.protocols.entry(name.clone()).or_default() += 1;
        }
        let before = std::mem::replace(&mut member.protocols, protocols);
        for (name, _) in &before {
            self.uncount_protocol(name);
        }
    }

    /// The protocol that most members like best among those that all can do; the leader's taste
    /// decides where they are at odds.
    pub(super) fn choose_protocol(&self) -> Option<ByteString> {
        let mut votes: BTreeMap<&ByteString, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name);
            if let Some(name) = names.find(|name| self.can_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        let tastes = leader.into_iter().flat_map(|leader| &leader.protocols);
        let mut liked = tastes.map(|(name, _)| name);
        let liked = liked.find(|name| votes.get(name) == Some(most));
        let first = || {
            let mut all = votes.iter();
            all.find(|(_, count)| *count == most).map(|(name, _)| *name)
        };
        liked.or_else(first).cloned()
    }

    /// Notes which topics the members want, of groups that consume.
    pub(super) fn read_subscriptions(&mut self) {
        self.topics = match (&self.protocol_type, &self.protocol) {
            (Some(kind), Some(protocol)) if kind == CONSUMER => {
                let members = self.members.values();
                let lists = members.map(|member| subscribed_topics(&member.metadata(protocol)));
                let lists: Option<Vec<Vec<ByteString>>> = lists.collect();
                lists.map(|lists| lists.into_iter().flatten().collect())
            }
            (Some(kind), None) if kind == CONSUMER && self.members.is_empty() => {
                Some(BTreeSet::new())
            }
            _ => None,
        };
    }

    /// True if its members consume and want this topic, or may want it: before they have agreed on
    /// a protocol nobody knows what they want.
    pub(super) fn is_subscribed_to(&self, topic: &ByteString) -> bool {
        if let Some(group) = &self.consumer {
            return group.wants(topic);
        }
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.consumes() && !self.members.is_empty(),
        }
    }

    /// True if it is a group of consumers.
    pub(super) fn consumes(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// The key and value of its record, with these assignments.
    pub(super) fn record(
        &self,
        assignment: &dyn Fn(&ByteString, &Member) -> Bytes,
        since_ms: i64,
    ) -> (GroupMetadataKey, GroupMetadataValue) {
        let protocol = self.protocol.clone();
        let members = self.members.iter().map(|(id, member)| {
            let name = protocol.as_deref().unwrap_or("");
            member.record(id, name, assignment(id, member))
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            leader: self.leader.clone(),
            current_state_timestamp: since_ms,
            members: members.collect(),
            protocol,
        };
        let group = self.id.clone();
        (GroupMetadataKey { group }, value)
    }

    /// What the leader is told of the members.
    pub(super) fn member_list(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or("");
        let members = self
            .members
            .iter()
            .map(|(id, member)| JoinGroupResponseMember {
                member_id: id.clone(),
                group_instance_id: member.instance.clone(),
                metadata: member.metadata(protocol),
            });
        members.collect()
    }

    /// What a member is told of the generation.
    pub(super) fn joined(&self, member: &ByteString, with_members: bool) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: Some(self.protocol.clone().unwrap_or_default()),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member.clone(),
            members: if with_members {
                self.member_list()
            } else {
                Vec::new()
            },
            ..JoinGroupResponse::default()
        }
    }

    /// What a member is told of its assignment.
    pub(super) fn synced(&self, assignment: Bytes) -> GroupAnswer {
        GroupAnswer::Synced(SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
            ..SyncGroupResponse::default()
        })
    }

    /// A member was heard of: its session begins anew.
    pub(super) fn renew_session(&mut self, id: &ByteString, turn: &mut Turn<'_>) {
        let ms = self.members.get(id).map(|member| millis(member.session_ms));
        self.set_session(id, ms.unwrap_or(0), turn);
    }

    /// The session of a member ends after so many milliseconds.
    pub(super) fn set_session(&mut self, id: &ByteString, ms: u64, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get_mut(id) {
            let at = turn.now.after_ms(ms);
            let owner = || AlarmOwner::Session(self.id.clone(), id.clone());
            member.session.set(at, turn.queue, owner);
        }
    }
}

/// The topics in what a consumer says (`ConsumerProtocolSubscription`); `None` if it cannot be
/// read.
fn subscribed_topics(metadata: &Bytes) -> Option<Vec<ByteString>> {
    let mut bytes = metadata.clone();
    let version = bytes.try_get_i16().ok()?;
    let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    if version < 0 || count > bytes.remaining() / 2 {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if length > bytes.remaining() {
            return None;
        }
        let name = bytes.split_to(length);
        topics.push(ByteString::from(std::str::from_utf8(&name).ok()?));
    }
    Some(topics)
}
