// SPDX-License-Identifier: Apache-2.0
//! One member of a group.
//!
//! Owns: [`Member`]. Invariants: at most one join and one sync of it wait; what it says is a copy
//! of its own, so that it holds no frame. Runs on: the shard that coordinates. Bounded by:
//! `GROUP_MEMBER_BYTES_MAX`.

use bytes::Bytes;
use bytestring::ByteString;

use super::alarm::Alarm;
use super::request::Caller;
use crate::wire::offsets_topic::MemberMetadata;
use crate::wire::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<ByteString>,
    pub(super) client_id: ByteString,
    pub(super) client_host: ByteString,
    pub(super) rebalance_ms: i32,
    pub(super) session_ms: i32,
    /// What it can do, the best first, and what it says in it.
    pub(super) protocols: Vec<(ByteString, Bytes)>,
    pub(super) assignment: Bytes,
    /// It has joined for the first time, and no generation has been formed since.
    pub(super) is_new: bool,
    /// Its join waits for the generation.
    pub(super) joining: Option<Caller>,
    /// Its sync waits for the assignment.
    pub(super) syncing: Option<Caller>,
    /// The end of its session.
    pub(super) session: Alarm,
}

/// A text of its own, which holds no frame.
pub(super) fn own(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

/// Bytes of their own.
pub(super) fn own_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The protocols of a request, as a member keeps them.
pub(super) fn own_protocols(protocols: &[JoinGroupRequestProtocol]) -> Vec<(ByteString, Bytes)> {
    let protocols = protocols.iter();
    protocols
        .map(|protocol| (own(&protocol.name), own_bytes(&protocol.metadata)))
        .collect()
}

/// How long a rebalance may take, as a request says it: version 0 says it with its session.
pub(super) fn rebalance_ms(request: &JoinGroupRequest) -> i32 {
    match request.rebalance_timeout_ms {
        ..0 => request.session_timeout_ms,
        given => given,
    }
}

impl Member {
    /// True if its session does not end while it waits: it cannot be heard of then.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// What it says in a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let mut said = self.protocols.iter();
        let said = said.find(|(name, _)| name == protocol);
        said.map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// True if a request says what it said before.
    pub(super) fn says(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let said = self.protocols.iter().map(|(name, said)| (name, said));
        said.eq(protocols.iter().map(|one| (&one.name, &one.metadata)))
    }

    /// As it stands in a record.
    pub(super) fn record(
        &self,
        id: &ByteString,
        protocol: &str,
        assignment: Bytes,
    ) -> MemberMetadata {
        MemberMetadata {
            member_id: id.clone(),
            group_instance_id: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_ms,
            session_timeout: self.session_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// From a record.
    pub(super) fn of(record: MemberMetadata, protocol: ByteString) -> Member {
        Member {
            instance: record.group_instance_id.as_ref().map(own),
            client_id: own(&record.client_id),
            client_host: own(&record.client_host),
            rebalance_ms: match record.rebalance_timeout {
                0 => record.session_timeout,
                given => given,
            },
            session_ms: record.session_timeout,
            protocols: vec![(protocol, own_bytes(&record.subscription))],
            assignment: own_bytes(&record.assignment),
            is_new: false,
            joining: None,
            syncing: None,
            session: Alarm::default(),
        }
    }
}

/// Milliseconds that a request or record names; none are negative once they are checked.
pub(super) fn millis(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
