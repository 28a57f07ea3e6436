// SPDX-License-Identifier: Apache-2.0
//! The coordinator of all groups that one partition of `__consumer_offsets` keeps.
//!
//! Owns: [`Coordinator`]. Invariants: no call is answered before its records are committed; nothing
//! is answered from a log that is not read to its end, but for heartbeats, which then are always
//! well; a coordinator that is given up answers everybody who waits. Runs on: the shard that leads
//! the partition. Bounded by: `GROUPS_PER_COORDINATOR_MAX`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::alarm::{Alarm, AlarmOwner, AlarmQueue};
use super::classic::Group;
use super::commit::told;
use super::describe::GroupCounts;
use super::join::Join;
use super::load::Loading;
use super::member::own;
use super::request::{Caller, GroupAnswer, GroupCall, GroupEffects, Origin};
use super::session::left;
use super::state::State;
use super::turn::Turn;
use super::write::{Write, Writes};
use super::written::refuse;
use crate::config::groups::GroupSettings;
use crate::limits::{GROUP_ID_BYTES_MAX, GROUPS_PER_COORDINATOR_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::id_source::IdSource;
use crate::model::image::MetadataImage;
use crate::model::time::{MonotonicUs, Now};
use crate::wire::protocol::heartbeat::HeartbeatRequest;
use crate::wire::protocol::join_group::JoinGroupRequest;
use crate::wire::protocol::leave_group::{LeaveGroupResponse, MemberIdentity};
use crate::wire::protocol::list_groups::ListedGroup;
use crate::wire::protocol::offset_commit::OffsetCommitRequest;
use crate::wire::protocol::offset_fetch::{OffsetFetchRequestTopics, OffsetFetchResponseTopics};
use crate::wire::protocol::sync_group::SyncGroupRequest;

/// Groups whose offsets are looked at in one turn.
const RETENTION_GROUPS_PER_TURN: usize = 256;

/// The groups of one partition.
pub struct Coordinator {
    pub(super) settings: GroupSettings,
    pub(super) groups: BTreeMap<ByteString, Group>,
    loading: Option<Loading>,
    /// Groups for which a producer has offsets in its open transaction, and perhaps some more.
    pub(super) transactions: BTreeMap<i64, BTreeSet<ByteString>>,
    queue: AlarmQueue,
    pub(super) writes: Writes,
    ids: IdSource,
    retention: Alarm,
    /// The group behind which old offsets are looked for next, while that is under way.
    looked_at: Option<ByteString>,
    pub(super) image: Arc<MetadataImage>,
    /// The log has lost a record that groups in memory build on.
    pub(super) is_tainted: bool,
}

impl Coordinator {
    /// A coordinator whose log has to be read; member ids follow from the seed.
    #[must_use]
    pub fn new(settings: GroupSettings, seed: [u8; 32], batch_bytes_max: usize) -> Coordinator {
        Coordinator {
            settings,
            groups: BTreeMap::new(),
            loading: Some(Loading::default()),
            transactions: BTreeMap::new(),
            queue: AlarmQueue::default(),
            writes: Writes::new(batch_bytes_max),
            ids: IdSource::new(seed),
            retention: Alarm::default(),
            looked_at: None,
            image: Arc::new(MetadataImage::empty()),
            is_tainted: false,
        }
    }

    /// True until its log is read.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Counts its groups and their members.
    pub fn count(&self, counts: &mut GroupCounts) {
        for group in self.groups.values() {
            group.count(counts);
        }
    }

    /// True if nothing is under way to the log.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writes.is_empty()
    }

    /// The state of a group.
    #[must_use]
    pub fn state_of(&self, group: &str) -> Option<State> {
        self.groups.get(group).map(|group| group.state)
    }

    /// Takes whole batches of the log, in order.
    pub fn handle_loaded(&mut self, batches: &Bytes) {
        if let Some(loading) = &mut self.loading {
            loading.take(batches);
        }
    }

    /// The log is read. Gives the number of records that could not be read.
    pub fn handle_load_done(&mut self, now: Now, effects: &mut GroupEffects) -> usize {
        let Some(loading) = self.loading.take() else {
            return 0;
        };
        let loaded = loading.finish(now);
        let unreadable = loaded.unreadable;
        self.groups = loaded.groups;
        self.transactions = loaded.transactions;
        self.writes.begin_behind(loaded.records);
        let check_ms = self.settings.retention_check_ms;
        let at = now.after_ms(check_ms);
        self.retention
            .set(at, &mut self.queue, || AlarmOwner::Retention);
        let (groups, mut turn) = self.split(now, effects);
        for group in groups.values_mut() {
            let ids: Vec<ByteString> = group.members.keys().cloned().collect();
            for id in ids {
                group.renew_session(&id, &mut turn);
            }
            if let Some(group) = group.consumer.as_deref_mut() {
                group.start_alarms(&mut turn);
            }
        }
        unreadable
    }

    /// The partition is not led here any more: whoever waits is told, all is forgotten.
    pub fn handle_unload(&mut self, now: Now, effects: &mut GroupEffects) {
        let code = ErrorCode::NotCoordinator;
        let writes: Vec<Write> = self.writes.take_all().collect();
        let (groups, mut turn) = self.split(now, effects);
        for group in groups.values_mut() {
            let ids: Vec<ByteString> = group.members.keys().cloned().collect();
            for id in ids {
                group.end_waits(&id, code, &mut turn);
            }
        }
        for write in writes {
            refuse(write, code, &mut turn);
        }
        self.groups.clear();
        self.transactions.clear();
        self.queue.clear();
        self.loading = Some(Loading::default());
        self.looked_at = None;
        self.retention = Alarm::default();
        self.is_tainted = false;
    }

    pub(super) fn split<'a>(
        &'a mut self,
        now: Now,
        effects: &'a mut GroupEffects,
    ) -> (&'a mut BTreeMap<ByteString, Group>, Turn<'a>) {
        let turn = Turn {
            now,
            settings: &self.settings,
            queue: &mut self.queue,
            writes: &mut self.writes,
            ids: &mut self.ids,
            effects,
            image: &self.image,
        };
        (&mut self.groups, turn)
    }

    /// Handles a call. Its answer comes now or later.
    pub fn handle_call(
        &mut self,
        now: Now,
        caller: Caller,
        call: GroupCall,
        effects: &mut GroupEffects,
    ) {
        if self.is_loading() {
            let code = match call {
                // A member that is not known yet must not be thrown out for it.
                GroupCall::Heartbeat(_) => ErrorCode::None,
                _ => ErrorCode::CoordinatorLoadInProgress,
            };
            effects.answers.push((caller, call.refusal(code)));
            return;
        }
        if self.is_tainted {
            let code = match call {
                GroupCall::Heartbeat(_) => ErrorCode::None,
                _ => ErrorCode::CoordinatorNotAvailable,
            };
            effects.answers.push((caller, call.refusal(code)));
            return;
        }
        match call {
            GroupCall::Join(request, version, origin) => {
                self.join(now, caller, &request, version, &origin, effects);
            }
            GroupCall::Beat(request, version, origin) => {
                self.beat(now, caller, &request, version, &origin, effects);
            }
            GroupCall::Sync(request) => self.sync(now, caller, &request, effects),
            GroupCall::Heartbeat(request) => self.heartbeat(now, caller, &request, effects),
            GroupCall::Leave { group, members } => {
                self.leave(now, caller, &group, &members, effects);
            }
            GroupCall::Commit(request, version) => {
                self.commit(now, caller, &request, version, effects);
            }
            GroupCall::CommitInTransaction(commit) => {
                self.commit_in_transaction(now, caller, &commit, effects);
            }
            GroupCall::Forget { group, topics } => {
                self.forget(now, caller, &group, &topics, effects);
            }
            GroupCall::Delete { group } => self.delete(now, caller, &group, effects),
            call => effects.answers.push((caller, self.look(&call))),
        }
        self.settle(now, effects);
    }

    fn join(
        &mut self,
        now: Now,
        caller: Caller,
        request: &JoinGroupRequest,
        version: i16,
        origin: &Origin,
        effects: &mut GroupEffects,
    ) {
        let id = &request.group_id;
        let is_known = self.groups.contains_key(id);
        let is_allowed = self
            .settings
            .session_ms
            .contains(&request.session_timeout_ms);
        let refusal = if !is_group_id(id) {
            Some(ErrorCode::InvalidGroupId)
        } else if !is_allowed {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if !is_known && !request.member_id.is_empty() {
            Some(ErrorCode::UnknownMemberId)
        } else if !is_known && self.groups.len() >= GROUPS_PER_COORDINATOR_MAX {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        };
        let (groups, mut turn) = self.split(now, effects);
        if let Some(code) = refusal {
            turn.refuse_join(caller, request.member_id.clone(), code);
            return;
        }
        let group = groups
            .entry(own(id))
            .or_insert_with_key(|id| Group::new(id.clone(), now));
        let join = Join {
            caller,
            request,
            version,
            origin,
        };
        if group.has_consumers() {
            group.handle_classic_join(&join, &mut turn);
        } else {
            if group.consumer.is_some() && group.state != State::Dead {
                group.become_classic_group(&mut turn);
            }
            group.handle_join(&join, &mut turn);
        }
        drop_blank(groups, id);
    }

    fn sync(
        &mut self,
        now: Now,
        caller: Caller,
        request: &SyncGroupRequest,
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        if !is_group_id(&request.group_id) {
            turn.refuse_sync(caller, ErrorCode::InvalidGroupId);
            return;
        }
        match groups.get_mut(&request.group_id) {
            Some(group) if group.has_consumers() => {
                group.handle_classic_sync(caller, request, &mut turn);
            }
            Some(group) => group.handle_sync(caller, request, &mut turn),
            None => turn.refuse_sync(caller, ErrorCode::UnknownMemberId),
        }
    }

    fn heartbeat(
        &mut self,
        now: Now,
        caller: Caller,
        request: &HeartbeatRequest,
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        let code = match groups.get_mut(&request.group_id) {
            _ if !is_group_id(&request.group_id) => ErrorCode::InvalidGroupId,
            Some(group) if group.has_consumers() => {
                group.handle_classic_heartbeat(caller, request, &mut turn);
                return;
            }
            Some(group) => group.handle_heartbeat(request, &mut turn),
            None => ErrorCode::UnknownMemberId,
        };
        turn.answer(caller, GroupAnswer::Heartbeat(code));
    }

    fn leave(
        &mut self,
        now: Now,
        caller: Caller,
        id: &ByteString,
        members: &[MemberIdentity],
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        let outcome = match groups.get_mut(id) {
            _ if !is_group_id(id) => Err(ErrorCode::InvalidGroupId),
            Some(group) if group.has_consumers() => {
                group.handle_classic_leave(caller, members, &mut turn);
                return;
            }
            Some(group) => group.handle_leave(members, &mut turn),
            None => {
                let members = members.iter();
                Ok(members
                    .map(|member| left(member, ErrorCode::UnknownMemberId))
                    .collect())
            }
        };
        let mut answer = LeaveGroupResponse::default();
        match outcome {
            Ok(members) => answer.members = members,
            Err(code) => answer.error_code = code.code(),
        }
        turn.answer(caller, GroupAnswer::Left(answer));
        drop_blank(groups, id);
    }

    fn commit(
        &mut self,
        now: Now,
        caller: Caller,
        request: &OffsetCommitRequest,
        version: i16,
        effects: &mut GroupEffects,
    ) {
        /// First version in which the absence of a group has a code of its own (KIP-848).
        const NOT_FOUND_FROM: i16 = 9;
        let id = &request.group_id;
        let is_known = self.groups.contains_key(id);
        let refusal = if id.len() > GROUP_ID_BYTES_MAX {
            Some(ErrorCode::InvalidGroupId)
        } else if is_known {
            None
        } else if request.generation_id_or_member_epoch >= 0 {
            Some(match version {
                NOT_FOUND_FROM.. => ErrorCode::GroupIdNotFound,
                _ => ErrorCode::IllegalGeneration,
            })
        } else if self.groups.len() >= GROUPS_PER_COORDINATOR_MAX {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        };
        let (groups, mut turn) = self.split(now, effects);
        if let Some(code) = refusal {
            let count = request.topics.iter().map(|topic| topic.partitions.len());
            let codes = vec![code; count.sum()];
            turn.answer(caller, GroupAnswer::Committed(codes));
            return;
        }
        let group = groups
            .entry(own(id))
            .or_insert_with_key(|id| Group::new(id.clone(), now));
        group.handle_commit(caller, request, version, &mut turn);
        drop_blank(groups, id);
    }

    /// A group that is not there has committed nothing, which is no error.
    pub(super) fn fetch(
        &self,
        group: &ByteString,
        topics: Option<&[OffsetFetchRequestTopics]>,
        (member, epoch): &(Option<ByteString>, i32),
        only_stable: bool,
    ) -> Result<Vec<OffsetFetchResponseTopics>, ErrorCode> {
        let group = self.groups.get(group);
        if let Some(group) = group.filter(|group| group.state != State::Dead) {
            if let Some(consumer) = &group.consumer {
                consumer.check_fetch(member.as_ref(), *epoch)?;
            }
            return Ok(group.fetch(topics, only_stable));
        }
        let topics = topics.unwrap_or_default().iter();
        let nothing = topics.map(|topic| OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partition_indexes
                .iter()
                .map(|index| told(*index, None))
                .collect(),
        });
        Ok(nothing.collect())
    }

    /// The groups in these states and of these types (in lower case), or all.
    #[must_use]
    pub fn list(&self, states: &[ByteString], types: &[ByteString]) -> Vec<ListedGroup> {
        let is_among = |value: &ByteString, wanted: &[ByteString]| {
            let value = value.to_ascii_lowercase();
            wanted.is_empty() || wanted.iter().any(|one| **one == *value)
        };
        let groups = self.groups.values().map(Group::listed);
        groups
            .filter(|one| is_among(&one.group_state, states) && is_among(&one.group_type, types))
            .collect()
    }

    /// Topics are gone: their offsets go, too.
    pub fn handle_topics_deleted(
        &mut self,
        now: Now,
        topics: &[ByteString],
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        for group in groups.values_mut() {
            group.handle_topics_deleted(topics, &mut turn);
        }
        self.settle(now, effects);
    }

    /// When it wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        // What is lost is read again before anything else happens.
        self.queue.next().filter(|_| !self.is_tainted)
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut GroupEffects) {
        if self.is_tainted {
            return;
        }
        while let Some(owner) = self.queue.pop_due(now) {
            if owner == AlarmOwner::Retention {
                self.handle_retention(now, effects);
                break; // What is left comes up in the next turn.
            }
            let (groups, mut turn) = self.split(now, effects);
            ring(groups, owner, &mut turn);
        }
        self.settle(now, effects);
    }

    fn handle_retention(&mut self, now: Now, effects: &mut GroupEffects) {
        let owner = || AlarmOwner::Retention;
        if !self.retention.is_due(now, &mut self.queue, owner) {
            return;
        }
        let from = self
            .looked_at
            .take()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let (groups, mut turn) = self.split(now, effects);
        let mut last = None;
        let some = groups.range_mut((from, Bound::Unbounded));
        for (looked, (id, group)) in some.enumerate() {
            if looked == RETENTION_GROUPS_PER_TURN {
                last = Some(id.clone());
                break;
            }
            group.handle_retention(&mut turn);
        }
        let pause_ms = match &last {
            Some(_) => 0,
            None => self.settings.retention_check_ms,
        };
        // The one that was not looked at comes first: its predecessor is where it goes on.
        self.looked_at = last.and_then(|id| {
            let before = self.groups.range(..id);
            before.map(|(id, _)| id.clone()).next_back()
        });
        let at = now.after_ms(pause_ms);
        self.retention.set(at, &mut self.queue, owner);
    }
}

/// An alarm of a group came up.
fn ring(groups: &mut BTreeMap<ByteString, Group>, owner: AlarmOwner, turn: &mut Turn<'_>) {
    let (AlarmOwner::Join(id)
    | AlarmOwner::Sync(id)
    | AlarmOwner::Session(id, _)
    | AlarmOwner::Revoke(id, _)
    | AlarmOwner::Step(id, _)
    | AlarmOwner::Pending(id, _)) = &owner
    else {
        return;
    };
    let Some(group) = groups.get_mut(id) else {
        return;
    };
    let again = || owner.clone();
    match &owner {
        owner if group.consumer.is_some() => group.ring_consumer(owner, turn),
        AlarmOwner::Revoke(..) | AlarmOwner::Step(..) | AlarmOwner::Retention => {}
        AlarmOwner::Join(_) => {
            if group.join_alarm.is_due(turn.now, turn.queue, again) {
                group.handle_join_alarm(turn);
            }
        }
        AlarmOwner::Sync(_) => {
            if group.sync_alarm.is_due(turn.now, turn.queue, again) {
                group.handle_sync_alarm(turn);
            }
        }
        AlarmOwner::Session(_, member) => {
            let session = group.members.get_mut(member).map(|one| &mut one.session);
            if session.is_some_and(|alarm| alarm.is_due(turn.now, turn.queue, again)) {
                group.handle_session_end(member, turn);
            }
        }
        AlarmOwner::Pending(_, member) => {
            let pending = group.pending.get_mut(member);
            if pending.is_some_and(|alarm| alarm.is_due(turn.now, turn.queue, again)) {
                group.handle_pending_end(member, turn);
            }
        }
    }
    drop_blank(groups, id);
}

/// Forgets a group of which nothing was ever written.
pub(super) fn drop_blank(groups: &mut BTreeMap<ByteString, Group>, id: &ByteString) {
    if groups.get(id).is_some_and(Group::is_blank) {
        groups.remove(id);
    }
}

/// True for a name that a group with members may have.
fn is_group_id(id: &ByteString) -> bool {
    !id.is_empty() && id.len() <= GROUP_ID_BYTES_MAX
}
