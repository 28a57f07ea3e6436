// SPDX-License-Identifier: Apache-2.0
//! LeaveGroup (13): members leave their group.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::GROUP_MEMBERS_MAX;

api! { 13, versions 0..=5, flexible 4:
LeaveGroupRequest => LeaveGroupResponse }

messages! {
    /// Says who leaves.
    pub struct LeaveGroupRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// The member.
        member_id: ByteString = ByteString::new(), since(0).until(2);
        /// The members.
        members: Vec<MemberIdentity> = Vec::new(), since(3).max(GROUP_MEMBERS_MAX);
    }

    /// One member.
    pub struct MemberIdentity {
        /// What the coordinator calls it; may be empty for a static one.
        member_id: ByteString = ByteString::new(), since(3);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(3).nullable(3);
        /// Why it leaves, for a person (KIP-800).
        reason: Option<ByteString> = None, since(5).nullable(5).ignorable();
    }

    /// What became of it.
    pub struct LeaveGroupResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// One entry per member.
        members: Vec<MemberResponse> = Vec::new(), since(3).max(GROUP_MEMBERS_MAX);
    }

    /// What became of one member.
    pub struct MemberResponse {
        /// What the coordinator calls it.
        member_id: ByteString = ByteString::new(), since(3);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = Some(ByteString::new()), since(3).nullable(3);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(3);
    }
}
