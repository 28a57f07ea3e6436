// SPDX-License-Identifier: Apache-2.0
//! A coordinator by itself, with a log that takes what it is told to take, when it is told to.

mod beats;
mod commits;
mod consumers;
mod joins;
mod lifecycle;
mod loads;
mod migrations;
mod random;
mod random_consumers;
mod sessions;
mod statics;
mod transactions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::*;
use crate::config::groups::GroupSettings;
use crate::config::layers::Settings;
use crate::limits::{DECOMPRESSED_BYTES_MAX, RECORD_BATCH_BYTES_DEFAULT_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::image::MetadataImage;
use crate::model::time::Now;
use crate::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use crate::wire::protocol::heartbeat::HeartbeatRequest;
use crate::wire::protocol::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use crate::wire::protocol::leave_group::{LeaveGroupResponse, MemberIdentity};
use crate::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::protocol::offset_fetch::OffsetFetchRequestTopics;
use crate::wire::protocol::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use crate::wire::record::filter::{Retained, retain_records, without_records};
use crate::wire::record::{RecordView, records};

/// The group of most tests.
pub const GROUP: &str = "g";

/// The session of a member unless a test says otherwise.
pub const SESSION_MS: i32 = 10_000;

/// How long a member may take to join again unless a test says otherwise.
pub const REBALANCE_MS: i32 = 30_000;

/// A coordinator, its log and its callers.
pub struct Bench {
    pub coordinator: Coordinator,
    settings: GroupSettings,
    pub image: Arc<MetadataImage>,
    pub now: Now,
    effects: GroupEffects,
    /// Batches that are not committed.
    pub held: VecDeque<(u64, Bytes)>,
    /// What is committed.
    pub log: Vec<Bytes>,
    /// Batches wait for `commit_log` or `lose`.
    pub holds: bool,
    answers: BTreeMap<u64, GroupAnswer>,
    next: u64,
    /// How many coordinators there have been.
    lives: u8,
}

/// Settings: no wait for further members, unless a test asks for one.
pub fn settings(changes: &[(&'static str, &str)]) -> GroupSettings {
    let mut settings = Settings::new();
    let delay = ("group.initial.rebalance.delay.ms", "0");
    for (name, value) in std::iter::once(&delay).chain(changes) {
        settings.insert((*name).into(), (*value).into());
    }
    GroupSettings::of(&settings)
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[])
    }

    /// A coordinator of an empty log.
    pub fn with(changes: &[(&'static str, &str)]) -> Bench {
        let settings = settings(changes);
        let mut bench = Bench {
            coordinator: coordinator(&settings, 1),
            settings,
            image: Arc::new(MetadataImage::empty()),
            now: Now {
                monotonic_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            effects: GroupEffects::default(),
            held: VecDeque::new(),
            log: Vec::new(),
            holds: false,
            answers: BTreeMap::new(),
            next: 0,
            lives: 1,
        };
        bench.load();
        bench
    }

    /// Reads the log into a new coordinator: the broker was started again.
    pub fn restart(&mut self) {
        self.held.clear();
        self.lives = self
            .lives
            .checked_add(1)
            .expect("a test restarts less often");
        self.coordinator = coordinator(&self.settings, self.lives);
        self.coordinator.handle_image(Arc::clone(&self.image));
        self.load();
    }

    /// Compacts the log: of each key the newest record stays. Of what is emptied every other batch
    /// stays without its records, as the last one of a segment does.
    pub fn compact(&mut self) {
        let mut newest = BTreeMap::new();
        for (number, batch) in self.log.iter().enumerate() {
            for record in records(batch, DECOMPRESSED_BYTES_MAX).expect("ours").iter() {
                let record = record.expect("ours");
                newest.insert(record.key.map(<[u8]>::to_vec), (number, record.offset));
            }
        }
        let log = std::mem::take(&mut self.log).into_iter().enumerate();
        let kept = log.filter_map(|(number, batch)| {
            let keep = |record: &RecordView<'_>| {
                let key = record.key.map(<[u8]>::to_vec);
                newest.get(&key) == Some(&(number, record.offset))
            };
            match retain_records(&batch, DECOMPRESSED_BYTES_MAX, i64::MAX, keep) {
                Ok(Retained::Whole) => Some(batch),
                Ok(Retained::Part(part)) => Some(part.into()),
                Ok(Retained::Nothing) if number.is_multiple_of(2) => None,
                Ok(Retained::Nothing) => Some(without_records(&batch).into()),
                Err(error) => panic!("{error}"),
            }
        });
        self.log = kept.collect();
    }

    fn load(&mut self) {
        for batch in &self.log {
            self.coordinator.handle_loaded(batch);
        }
        let unreadable = self
            .coordinator
            .handle_load_done(self.now, &mut self.effects);
        assert_eq!(unreadable, 0, "what was written can be read");
    }

    /// Makes a call; its number.
    pub fn call(&mut self, call: GroupCall) -> u64 {
        self.next += 1;
        let caller = Caller {
            shard: ShardId(0),
            request: self.next,
            place: 0,
            came_us: self.now.monotonic_us,
            waited_us: None,
        };
        self.coordinator
            .handle_call(self.now, caller, call, &mut self.effects);
        self.settle();
        self.next
    }

    /// The answer to a call, if it has come.
    pub fn answer(&mut self, call: u64) -> Option<GroupAnswer> {
        self.answers.remove(&call)
    }

    /// Makes a call and expects its answer at once.
    pub fn ask(&mut self, call: GroupCall) -> GroupAnswer {
        let number = self.call(call);
        self.answer(number).expect("answered at once")
    }

    /// Takes effects; commits at once what is not held.
    pub fn settle(&mut self) {
        loop {
            let effects = std::mem::take(&mut self.effects);
            for (caller, answer) in effects.answers {
                let before = self.answers.insert(caller.request, answer);
                assert!(before.is_none(), "a call is answered once");
            }
            self.held.extend(effects.appends);
            if self.holds || self.held.is_empty() {
                return;
            }
            self.commit_one();
        }
    }

    fn commit_one(&mut self) {
        if let Some((number, batch)) = self.held.pop_front() {
            self.log.push(batch);
            self.coordinator
                .handle_written(self.now, number, Ok(()), &mut self.effects);
        }
    }

    /// Commits what is held.
    pub fn commit_log(&mut self) {
        while !self.held.is_empty() {
            self.commit_one();
            self.settle();
        }
    }

    /// Loses what is held.
    pub fn lose(&mut self, error: WriteError) {
        for (number, _) in std::mem::take(&mut self.held) {
            self.coordinator
                .handle_written(self.now, number, Err(error), &mut self.effects);
        }
        self.settle();
        if self.coordinator.wants_reload() {
            self.unload();
            self.restart();
        }
    }

    /// The partition is led elsewhere.
    pub fn unload(&mut self) {
        self.held.clear();
        self.coordinator.handle_unload(self.now, &mut self.effects);
        self.settle();
    }

    /// Topics are deleted.
    pub fn delete_topics(&mut self, topics: &[&str]) {
        let topics: Vec<ByteString> = topics.iter().map(|name| ByteString::from(*name)).collect();
        self.coordinator
            .handle_topics_deleted(self.now, &topics, &mut self.effects);
        self.settle();
    }

    /// Lets time pass, and does what becomes due on the way at its moment.
    pub fn advance_ms(&mut self, ms: u64) {
        let end = self.now.monotonic_us + ms * 1000;
        while let Some(due) = self.coordinator.next_deadline().filter(|due| *due <= end) {
            let due = due.max(self.now.monotonic_us);
            self.jump_to(due);
            self.coordinator.handle_timeout(self.now, &mut self.effects);
            self.settle();
        }
        self.jump_to(end);
    }

    fn jump_to(&mut self, monotonic_us: u64) {
        let passed = monotonic_us - self.now.monotonic_us;
        self.now.monotonic_us = monotonic_us;
        self.now.wall_ms += i64::try_from(passed / 1000).expect("short");
    }

    pub fn state(&self) -> Option<State> {
        self.coordinator.state_of(GROUP)
    }

    // The requests of a member.

    pub fn join(&mut self, request: JoinGroupRequest) -> u64 {
        self.join_as(request, 9)
    }

    pub fn join_as(&mut self, request: JoinGroupRequest, version: i16) -> u64 {
        let origin = Origin {
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
        };
        self.call(GroupCall::Join(request, version, origin))
    }

    /// The answer to a join, if it has come.
    pub fn joined(&mut self, call: u64) -> Option<JoinGroupResponse> {
        match self.answer(call)? {
            GroupAnswer::Joined(response) => Some(response),
            other => panic!("a join was answered with {other:?}"),
        }
    }

    /// A join that is answered at once.
    pub fn ask_join(&mut self, request: JoinGroupRequest) -> JoinGroupResponse {
        let call = self.join(request);
        self.joined(call).expect("answered at once")
    }

    /// The id that a new member is given.
    pub fn new_id(&mut self) -> ByteString {
        let response = self.ask_join(join_request(""));
        assert_eq!(response.error_code, ErrorCode::MemberIdRequired.code());
        response.member_id
    }

    pub fn sync(&mut self, member: &ByteString, generation: i32, parts: &[(&str, &str)]) -> u64 {
        self.call(GroupCall::Sync(sync_request(member, generation, parts)))
    }

    pub fn synced(&mut self, call: u64) -> Option<SyncGroupResponse> {
        match self.answer(call)? {
            GroupAnswer::Synced(response) => Some(response),
            other => panic!("a sync was answered with {other:?}"),
        }
    }

    pub fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member.into(),
            group_instance_id: None,
        };
        match self.ask(GroupCall::Heartbeat(request)) {
            GroupAnswer::Heartbeat(code) => code,
            other => panic!("a heartbeat was answered with {other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
        let members = members.iter().map(|(id, instance)| MemberIdentity {
            member_id: ByteString::from(*id),
            group_instance_id: instance.map(ByteString::from),
            reason: None,
        });
        let call = GroupCall::Leave {
            group: GROUP.into(),
            members: members.collect(),
        };
        match self.ask(call) {
            GroupAnswer::Left(response) => response,
            other => panic!("a leave was answered with {other:?}"),
        }
    }

    /// Commits an offset of one partition, and expects the answer at once.
    pub fn commit(
        &mut self,
        member: &str,
        generation: i32,
        at: (&str, i32),
        offset: i64,
    ) -> ErrorCode {
        let call = self.call(GroupCall::Commit(
            commit_request(member, generation, at, offset),
            9,
        ));
        self.committed(call).expect("answered at once")[0]
    }

    pub fn committed(&mut self, call: u64) -> Option<Vec<ErrorCode>> {
        match self.answer(call)? {
            GroupAnswer::Committed(codes) => Some(codes),
            other => panic!("a commit was answered with {other:?}"),
        }
    }

    /// The committed offset of one partition.
    pub fn offset(&mut self, topic: &str, partition: i32) -> i64 {
        let topics = vec![OffsetFetchRequestTopics {
            name: topic.into(),
            partition_indexes: vec![partition],
            ..OffsetFetchRequestTopics::default()
        }];
        let call = GroupCall::Fetch {
            group: GROUP.into(),
            topics: Some(topics),
            member: (None, -1),
            only_stable: false,
        };
        match self.ask(call) {
            GroupAnswer::Fetched(Ok(topics)) => topics[0].partitions[0].committed_offset,
            other => panic!("a fetch of offsets was answered with {other:?}"),
        }
    }

    pub fn delete(&mut self) -> ErrorCode {
        let group = GROUP.into();
        match self.ask(GroupCall::Delete { group }) {
            GroupAnswer::Deleted(code) => code,
            other => panic!("a deletion was answered with {other:?}"),
        }
    }

    // Whole groups.

    /// A stable group of new members, by id; the leader comes first.
    pub fn stable(&mut self, count: usize) -> (i32, Vec<ByteString>) {
        let ids: Vec<ByteString> = (0..count).map(|_| self.new_id()).collect();
        let calls: Vec<u64> = ids.iter().map(|id| self.join(join_request(id))).collect();
        self.advance_ms(0);
        let joined: Vec<JoinGroupResponse> = calls
            .iter()
            .map(|call| self.joined(*call).expect("all have joined"))
            .collect();
        self.assign(&joined);
        let leader = joined[0].leader.clone();
        let others = ids.into_iter().filter(|id| *id != leader);
        let all = std::iter::once(leader.clone()).chain(others).collect();
        (joined[0].generation_id, all)
    }

    /// Gives every member that has joined its own id as its assignment.
    pub fn assign(&mut self, joined: &[JoinGroupResponse]) {
        let leader = joined.iter().find(|one| one.leader == one.member_id);
        let leader = leader.expect("the leader has joined");
        let parts: Vec<(&str, &str)> = leader
            .members
            .iter()
            .map(|member| (&*member.member_id, &*member.member_id))
            .collect();
        let generation = leader.generation_id;
        let mut calls = Vec::new();
        for one in joined {
            let parts = if one.member_id == leader.member_id {
                &parts[..]
            } else {
                &[]
            };
            let call = self.sync(&one.member_id, generation, parts);
            calls.push((call, one.member_id.clone()));
        }
        for (call, id) in calls {
            let synced = self.synced(call).expect("all are assigned");
            assert_eq!(synced.error_code, 0);
            assert_eq!(synced.assignment, id.as_bytes());
        }
    }
}

fn coordinator(settings: &GroupSettings, seed: u8) -> Coordinator {
    Coordinator::new(settings.clone(), [seed; 32], RECORD_BATCH_BYTES_DEFAULT_MAX)
}

pub fn join_request(member: &str) -> JoinGroupRequest {
    join_with(member, &[("range", "r"), ("roundrobin", "rr")])
}

pub fn join_with(member: &str, protocols: &[(&str, &str)]) -> JoinGroupRequest {
    let protocols = protocols
        .iter()
        .map(|(name, metadata)| JoinGroupRequestProtocol {
            name: ByteString::from(*name),
            metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        });
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: protocols.collect(),
        ..JoinGroupRequest::default()
    }
}

pub fn join_static(member: &str, instance: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_instance_id: Some(instance.into()),
        ..join_request(member)
    }
}

pub fn sync_request(
    member: &ByteString,
    generation: i32,
    parts: &[(&str, &str)],
) -> SyncGroupRequest {
    let parts = parts.iter().map(|(id, part)| SyncGroupRequestAssignment {
        member_id: ByteString::from(*id),
        assignment: Bytes::copy_from_slice(part.as_bytes()),
    });
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: generation,
        member_id: member.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: parts.collect(),
        ..SyncGroupRequest::default()
    }
}

pub fn commit_request(
    member: &str,
    generation: i32,
    (topic, partition): (&str, i32),
    offset: i64,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: 5,
                committed_metadata: Some("m".into()),
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

/// The subscription of a consumer to these topics (`ConsumerProtocolSubscription` 0).
pub fn subscription(topics: &[&str]) -> String {
    let mut bytes = vec![0u8, 0, 0, 0, 0, u8::try_from(topics.len()).expect("few")];
    for topic in topics {
        bytes.extend([0, u8::try_from(topic.len()).expect("short")]);
        bytes.extend(topic.as_bytes());
    }
    bytes.extend([0, 0, 0, 0]);
    String::from_utf8(bytes).expect("small numbers are ASCII")
}
