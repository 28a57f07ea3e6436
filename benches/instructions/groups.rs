// SPDX-License-Identifier: Apache-2.0
//! Groups of many members: what a heartbeat, an offset commit and a round of joins cost their
//! coordinator.
//!
//! Owns: [`Members`]. Invariants: the group is stable between two steps; its log takes everything
//! at once. Runs on: the program's one thread. Bounded by: the members.

use bytes::Bytes;
use bytestring::ByteString;
use furlong::config::groups::GroupSettings;
use furlong::config::layers::Settings;
use furlong::group::{Caller, Coordinator, GroupAnswer, GroupCall, GroupEffects, Origin};
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::ShardId;
use furlong::model::time::Now;
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use furlong::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use furlong::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::allocation::counted;

const GROUP: &str = "the group";
/// A subscription to one topic with some user data, and an assignment of some partitions.
const METADATA_BYTES: usize = 80;
const ASSIGNMENT_BYTES: usize = 60;
/// `max.message.bytes` of the topic: the record of a generation of 10,000 members is larger than
/// its default lets pass.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Without a wait for further members, and ids that are given at once.
const JOIN_VERSION: i16 = 3;

/// A stable group.
struct Members {
    coordinator: Coordinator,
    effects: GroupEffects,
    now: Now,
    generation: i32,
    /// The leader first.
    ids: Vec<ByteString>,
    next: usize,
}

fn join(member: &ByteString) -> GroupCall {
    let request = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        member_id: member.clone(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(&[7; METADATA_BYTES]),
        }],
        ..JoinGroupRequest::default()
    };
    let origin = Origin {
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
    };
    GroupCall::Join(request, JOIN_VERSION, origin)
}

impl Members {
    fn new(count: usize) -> Members {
        let mut settings = Settings::new();
        settings.insert("group.initial.rebalance.delay.ms".into(), "0".into());
        let settings = GroupSettings::of(&settings);
        let mut members = Members {
            coordinator: Coordinator::new(settings, [1; 32], BATCH_BYTES_MAX),
            effects: GroupEffects::default(),
            now: Now {
                monotonic_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            generation: 0,
            ids: Vec::with_capacity(count),
            next: 0,
        };
        let effects = &mut members.effects;
        members.coordinator.handle_load_done(members.now, effects);
        for place in 0..count {
            let answers = members.call(place, join(&ByteString::new()));
            assert!(answers.is_empty(), "a new group waits for further members");
        }
        let (now, effects) = (members.now.after_ms(1), &mut members.effects);
        members.now.monotonic_us = now;
        members.coordinator.handle_timeout(members.now, effects);
        let mut answers = std::mem::take(&mut effects.answers);
        answers.sort_by_key(|(caller, _)| caller.request);
        members.ids = members.take_joined(answers);
        assert_eq!(members.ids.len(), count);
        members.sync();
        members
    }

    /// Makes a call, has its records committed, and takes the answers.
    fn call(&mut self, place: usize, call: GroupCall) -> Vec<(Caller, GroupAnswer)> {
        let caller = Caller {
            shard: ShardId(0),
            request: u64::try_from(place).expect("64 bits"),
            place: 0,
            came_us: self.now.monotonic_us,
            waited_us: None,
        };
        counted(|| {
            self.coordinator
                .handle_call(self.now, caller, call, &mut self.effects);
            while let Some((number, _)) = self.effects.appends.pop() {
                self.coordinator
                    .handle_written(self.now, number, Ok(()), &mut self.effects);
            }
        });
        std::mem::take(&mut self.effects.answers)
    }

    fn take_joined(&mut self, answers: Vec<(Caller, GroupAnswer)>) -> Vec<ByteString> {
        let ids = answers.into_iter().map(|(_, answer)| match answer {
            GroupAnswer::Joined(response) => {
                assert_eq!(response.error_code, 0);
                self.generation = response.generation_id;
                response.member_id
            }
            other => panic!("a join was answered with {other:?}"),
        });
        ids.collect()
    }

    /// The leader hands in the assignments, and then the others take theirs.
    fn sync(&mut self) {
        let assignments = self.ids.iter().map(|id| SyncGroupRequestAssignment {
            member_id: id.clone(),
            assignment: Bytes::from_static(&[5; ASSIGNMENT_BYTES]),
        });
        let mut assignments: Vec<SyncGroupRequestAssignment> = assignments.collect();
        for place in 0..self.ids.len() {
            let request = SyncGroupRequest {
                group_id: GROUP.into(),
                generation_id: self.generation,
                member_id: self.ids[place].clone(),
                assignments: std::mem::take(&mut assignments),
                ..SyncGroupRequest::default()
            };
            let answers = self.call(place, GroupCall::Sync(request));
            let [(_, GroupAnswer::Synced(response))] = answers.as_slice() else {
                panic!("a sync is answered at once");
            };
            assert_eq!(response.assignment.len(), ASSIGNMENT_BYTES);
        }
    }

    fn a_member(&mut self) -> ByteString {
        self.next = (self.next + 7_919) % self.ids.len();
        self.ids[self.next].clone()
    }
}

/// A heartbeat of one member of a stable group.
pub fn heartbeat(count: usize) -> Box<dyn FnMut()> {
    let mut members = Members::new(count);
    Box::new(move || {
        members.now.monotonic_us += 1000;
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: members.generation,
            member_id: members.a_member(),
            ..HeartbeatRequest::default()
        };
        let answers = members.call(0, GroupCall::Heartbeat(request));
        assert!(matches!(
            answers.as_slice(),
            [(_, GroupAnswer::Heartbeat(ErrorCode::None))]
        ));
    })
}

/// A commit of one offset by one member, to the end of its record's write.
pub fn commit(count: usize) -> Box<dyn FnMut()> {
    let mut members = Members::new(count);
    let mut offset = 0;
    Box::new(move || {
        members.now.monotonic_us += 1000;
        offset += 1;
        let member_id = members.a_member();
        let partition = OffsetCommitRequestPartition {
            partition_index: i32::try_from(members.next).expect("few"),
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: members.generation,
            member_id,
            topics: vec![OffsetCommitRequestTopic {
                name: "orders".into(),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let answers = members.call(0, GroupCall::Commit(request, 8));
        let [(_, GroupAnswer::Committed(codes))] = answers.as_slice() else {
            panic!("a commit is answered at once");
        };
        assert_eq!(codes, &[ErrorCode::None]);
    })
}

/// A whole round: all members join, the leader hands in the assignments, all take them.
pub fn round(count: usize) -> Box<dyn FnMut()> {
    let mut members = Members::new(count);
    Box::new(move || {
        members.now.monotonic_us += 1000;
        let mut answers = Vec::new();
        for place in 0..members.ids.len() {
            let id = members.ids[place].clone();
            answers.extend(members.call(place, join(&id)));
        }
        assert_eq!(members.take_joined(answers).len(), members.ids.len());
        members.sync();
    })
}
