// SPDX-License-Identifier: Apache-2.0
//! JoinGroup (11): a member asks to be part of the next generation of its group.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{GROUP_MEMBERS_MAX, GROUP_PROTOCOLS_MAX};

api! { 11, versions 0..=9, flexible 6:
JoinGroupRequest => JoinGroupResponse }

messages! {
    /// Asks to join.
    pub struct JoinGroupRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// Without a heartbeat for so many milliseconds the member counts as dead.
        session_timeout_ms: i32 = 0, since(0);
        /// How long the group waits for its members in a rebalance, in milliseconds; the session
        /// timeout stands for it where it is missing.
        rebalance_timeout_ms: i32 = -1, since(1).ignorable();
        /// What the coordinator called the member, empty at first.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls the member, if it is a static one (KIP-345).
        group_instance_id: Option<ByteString> = None, since(5).nullable(5);
        /// The kind of group, like `consumer`.
        protocol_type: ByteString = ByteString::new(), since(0);
        /// What the member can do, the best first.
        protocols: Vec<JoinGroupRequestProtocol> = Vec::new(), since(0).max(GROUP_PROTOCOLS_MAX);
        /// Why it joins, for a person (KIP-800).
        reason: Option<ByteString> = None, since(8).nullable(8).ignorable();
    }

    /// One protocol that a member can do.
    pub struct JoinGroupRequestProtocol {
        /// Its name.
        name: ByteString = ByteString::new(), since(0);
        /// What the member says in it.
        metadata: Bytes = Bytes::new(), since(0);
    }

    /// The generation that was formed.
    pub struct JoinGroupResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(2).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Number of the generation.
        generation_id: i32 = -1, since(0);
        /// The kind of group.
        protocol_type: Option<ByteString> = None, since(7).nullable(7).ignorable();
        /// The protocol that all members can do.
        protocol_name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(7);
        /// The member that assigns.
        leader: ByteString = ByteString::new(), since(0);
        /// Whether the leader is to leave the assignment as it is (KIP-814).
        skip_assignment: bool = false, since(9);
        /// What the coordinator calls the member.
        member_id: ByteString = ByteString::new(), since(0);
        /// All members, for the leader alone.
        members: Vec<JoinGroupResponseMember> = Vec::new(), since(0).max(GROUP_MEMBERS_MAX);
    }

    /// One member, as the leader sees it.
    pub struct JoinGroupResponseMember {
        /// What the coordinator calls it.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(5).nullable(5).ignorable();
        /// What it said in the chosen protocol.
        metadata: Bytes = Bytes::new(), since(0);
    }
}
