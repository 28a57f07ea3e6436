// SPDX-License-Identifier: Apache-2.0
//! DescribeGroups (15): state and members of groups.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX};

api! { 15, versions 0..=6, flexible 5:
DescribeGroupsRequest => DescribeGroupsResponse }

messages! {
    /// Asks about groups.
    pub struct DescribeGroupsRequest {
        /// Their names.
        groups: Vec<ByteString> = Vec::new(), since(0).max(GROUPS_MAX);
        /// Whether to say what the client may do with each group.
        include_authorized_operations: bool = false, since(3);
    }

    /// The groups.
    pub struct DescribeGroupsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// One entry per group.
        groups: Vec<DescribedGroup> = Vec::new(), since(0).max(GROUPS_MAX);
    }

    /// One group.
    pub struct DescribedGroup {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything (KIP-1043).
        error_message: Option<ByteString> = None, since(6).nullable(6);
        /// Its name.
        group_id: ByteString = ByteString::new(), since(0);
        /// Its state.
        group_state: ByteString = ByteString::new(), since(0);
        /// The kind of group.
        protocol_type: ByteString = ByteString::new(), since(0);
        /// The protocol that was chosen, of a stable group.
        protocol_data: ByteString = ByteString::new(), since(0);
        /// One entry per member.
        members: Vec<DescribedGroupMember> = Vec::new(), since(0).max(GROUP_MEMBERS_MAX);
        /// Bits of what the client may do; the smallest number if not asked for.
        authorized_operations: i32 = i32::MIN, since(3);
    }

    /// One member.
    pub struct DescribedGroupMember {
        /// What the coordinator calls it.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(4).nullable(4).ignorable();
        /// What its client calls itself.
        client_id: ByteString = ByteString::new(), since(0);
        /// Where it is.
        client_host: ByteString = ByteString::new(), since(0);
        /// What it said in the chosen protocol.
        member_metadata: Bytes = Bytes::new(), since(0);
        /// What it got.
        member_assignment: Bytes = Bytes::new(), since(0);
    }
}
