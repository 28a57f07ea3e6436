// SPDX-License-Identifier: Apache-2.0
//! What is asked of a coordinator, and its answers.
//!
//! Owns: the vocabulary between those who accept requests and a coordinator. Invariants: each call
//! is answered once, unless it is not expected any more. Runs on: made on any core, handled on the
//! one that coordinates. Bounded by: the frame that asked.

use bytes::Bytes;
use bytestring::ByteString;

pub use crate::model::coordinator::Caller;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::consumer_group_describe::DescribedConsumerGroup;
use crate::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use crate::wire::protocol::describe_groups::DescribedGroup;
use crate::wire::protocol::heartbeat::HeartbeatRequest;
use crate::wire::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::wire::protocol::leave_group::{LeaveGroupResponse, MemberIdentity};
use crate::wire::protocol::list_groups::ListedGroup;
use crate::wire::protocol::offset_commit::OffsetCommitRequest;
use crate::wire::protocol::offset_fetch::{OffsetFetchRequestTopics, OffsetFetchResponseTopics};
use crate::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Where a member speaks from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What its client calls itself.
    pub client_id: ByteString,
    /// Its address.
    pub client_host: ByteString,
}

/// A commit that is a part of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionalCommit {
    /// The transactional id.
    pub transactional_id: ByteString,
    /// Whose transaction it is.
    pub producer: TxnProducer,
    /// True if the partition that keeps the group is added to the transaction by it (KIP-890),
    /// false if it has to have been added.
    pub adds: bool,
    /// Offsets of topics that exist, named by name.
    pub request: OffsetCommitRequest,
}

/// A producer that has a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnProducer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupCall {
    /// To join, in this version of the request.
    Join(JoinGroupRequest, i16, Origin),
    /// To join, stay or leave by the new protocol, in this version of the request.
    Beat(ConsumerGroupHeartbeatRequest, i16, Origin),
    /// To take or hand in the assignment.
    Sync(SyncGroupRequest),
    /// To stay a member.
    Heartbeat(HeartbeatRequest),
    /// To leave.
    Leave {
        /// The group.
        group: ByteString,
        /// Who.
        members: Vec<MemberIdentity>,
    },
    /// To note offsets of topics that exist, named by name, in this version of the request.
    Commit(OffsetCommitRequest, i16),
    /// To note offsets as a part of a transaction, once its coordinator was asked. Answered like
    /// `Commit`.
    CommitInTransaction(Box<TransactionalCommit>),
    /// To tell offsets.
    Fetch {
        /// The group.
        group: ByteString,
        /// Partitions by the name of their topic, `None` for all that there are.
        topics: Option<Vec<OffsetFetchRequestTopics>>,
        /// The member that asks, if it says so, and its epoch.
        member: (Option<ByteString>, i32),
        /// Not those that an open transaction may change (KIP-447).
        only_stable: bool,
    },
    /// To forget offsets.
    Forget {
        /// The group.
        group: ByteString,
        /// Topics and partitions.
        topics: Vec<(ByteString, Vec<i32>)>,
    },
    /// To describe a group.
    Describe {
        /// The group.
        group: ByteString,
    },
    /// To describe a group of the new protocol.
    DescribeConsumer {
        /// The group.
        group: ByteString,
    },
    /// To list groups.
    List {
        /// Only those in these states, in lower case; all if empty.
        states: Vec<ByteString>,
        /// Only those of these types, in lower case; all if empty.
        types: Vec<ByteString>,
    },
    /// To delete a group.
    Delete {
        /// The group.
        group: ByteString,
    },
}

/// The answers, in the order of the calls.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupAnswer {
    /// To `Join`.
    Joined(JoinGroupResponse),
    /// To `Beat`.
    Beat(ConsumerGroupHeartbeatResponse),
    /// To `Sync`.
    Synced(SyncGroupResponse),
    /// To `Heartbeat`.
    Heartbeat(ErrorCode),
    /// To `Leave`.
    Left(LeaveGroupResponse),
    /// To `Commit`: a code for each partition in the order of the request.
    Committed(Vec<ErrorCode>),
    /// To `Fetch`.
    Fetched(Result<Vec<OffsetFetchResponseTopics>, ErrorCode>),
    /// To `Forget`: a code for each partition in the order of the request.
    Forgotten(Result<Vec<ErrorCode>, ErrorCode>),
    /// To `Describe`.
    Described(DescribedGroup),
    /// To `DescribeConsumer`.
    DescribedConsumer(DescribedConsumerGroup),
    /// To `List`.
    Listed(Result<Vec<ListedGroup>, ErrorCode>),
    /// To `Delete`.
    Deleted(ErrorCode),
}

impl GroupCall {
    /// The answer that only says what is wrong.
    #[must_use]
    pub fn refusal(&self, code: ErrorCode) -> GroupAnswer {
        match self {
            GroupCall::Join(request, _, _) => GroupAnswer::Joined(JoinGroupResponse {
                error_code: code.code(),
                member_id: request.member_id.clone(),
                ..JoinGroupResponse::default()
            }),
            GroupCall::Beat(..) => GroupAnswer::Beat(ConsumerGroupHeartbeatResponse {
                error_code: code.code(),
                ..ConsumerGroupHeartbeatResponse::default()
            }),
            GroupCall::Sync(_) => GroupAnswer::Synced(SyncGroupResponse {
                error_code: code.code(),
                ..SyncGroupResponse::default()
            }),
            GroupCall::Heartbeat(_) => GroupAnswer::Heartbeat(code),
            GroupCall::Leave { .. } => GroupAnswer::Left(LeaveGroupResponse {
                error_code: code.code(),
                ..LeaveGroupResponse::default()
            }),
            GroupCall::Commit(request, _) => refused_commit(request, code),
            GroupCall::CommitInTransaction(commit) => refused_commit(&commit.request, code),
            GroupCall::Fetch { .. } => GroupAnswer::Fetched(Err(code)),
            GroupCall::Forget { .. } => GroupAnswer::Forgotten(Err(code)),
            GroupCall::Describe { group } => GroupAnswer::Described(DescribedGroup {
                error_code: code.code(),
                group_id: group.clone(),
                ..DescribedGroup::default()
            }),
            GroupCall::DescribeConsumer { group } => {
                GroupAnswer::DescribedConsumer(DescribedConsumerGroup {
                    error_code: code.code(),
                    group_id: group.clone(),
                    ..DescribedConsumerGroup::default()
                })
            }
            GroupCall::List { .. } => GroupAnswer::Listed(Err(code)),
            GroupCall::Delete { .. } => GroupAnswer::Deleted(code),
        }
    }
}

/// The same code for each partition of a commit.
fn refused_commit(request: &OffsetCommitRequest, code: ErrorCode) -> GroupAnswer {
    let partitions = request.topics.iter().map(|topic| topic.partitions.len());
    GroupAnswer::Committed(vec![code; partitions.sum()])
}

impl GroupAnswer {
    /// The answer that the same caller gets if what it builds on was lost.
    #[must_use]
    pub(super) fn refused(self, code: ErrorCode) -> GroupAnswer {
        match self {
            GroupAnswer::Joined(response) => GroupAnswer::Joined(JoinGroupResponse {
                error_code: code.code(),
                member_id: response.member_id,
                ..JoinGroupResponse::default()
            }),
            GroupAnswer::Beat(_) => GroupAnswer::Beat(ConsumerGroupHeartbeatResponse {
                error_code: code.code(),
                ..ConsumerGroupHeartbeatResponse::default()
            }),
            GroupAnswer::Synced(_) => GroupAnswer::Synced(SyncGroupResponse {
                error_code: code.code(),
                ..SyncGroupResponse::default()
            }),
            GroupAnswer::Left(_) => GroupAnswer::Left(LeaveGroupResponse {
                error_code: code.code(),
                ..LeaveGroupResponse::default()
            }),
            GroupAnswer::Heartbeat(_) => GroupAnswer::Heartbeat(code),
            other => other,
        }
    }
}

/// Where a coordinator puts its effects. Reused from event to event.
#[derive(Debug, Default)]
pub struct GroupEffects {
    /// Answers.
    pub answers: Vec<(Caller, GroupAnswer)>,
    /// Batches for the log, in order, each with the number that comes back with `handle_written`.
    pub appends: Vec<(u64, Bytes)>,
}
