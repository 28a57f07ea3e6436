// SPDX-License-Identifier: Apache-2.0
//! SyncGroup (14): the leader of a group hands in the assignment, each member takes its part.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::GROUP_MEMBERS_MAX;

api! { 14, versions 0..=5, flexible 4:
SyncGroupRequest => SyncGroupResponse }

messages! {
    /// Asks for the assignment, or brings it.
    pub struct SyncGroupRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// Number of the generation.
        generation_id: i32 = 0, since(0);
        /// The member.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(3).nullable(3);
        /// The kind of group (KIP-559).
        protocol_type: Option<ByteString> = None, since(5).nullable(5).ignorable();
        /// The protocol that was chosen.
        protocol_name: Option<ByteString> = None, since(5).nullable(5).ignorable();
        /// What each member gets, from the leader alone.
        assignments: Vec<SyncGroupRequestAssignment> = Vec::new(), since(0).max(GROUP_MEMBERS_MAX);
    }

    /// What one member gets.
    pub struct SyncGroupRequestAssignment {
        /// The member.
        member_id: ByteString = ByteString::new(), since(0);
        /// What it gets.
        assignment: Bytes = Bytes::new(), since(0);
    }

    /// What the member gets.
    pub struct SyncGroupResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// The kind of group.
        protocol_type: Option<ByteString> = None, since(5).nullable(5).ignorable();
        /// The protocol that was chosen.
        protocol_name: Option<ByteString> = None, since(5).nullable(5).ignorable();
        /// What it gets.
        assignment: Bytes = Bytes::new(), since(0);
    }
}
