// SPDX-License-Identifier: Apache-2.0
//! Heartbeat (12): a member is alive, and hears whether its group forms a new generation.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the frame.

use bytestring::ByteString;

use super::describe::{api, messages, since};

api! { 12, versions 0..=4, flexible 4:
HeartbeatRequest => HeartbeatResponse }

messages! {
    /// Says that a member is alive.
    pub struct HeartbeatRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// Number of the generation.
        generation_id: i32 = 0, since(0);
        /// The member.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(3).nullable(3);
    }

    /// Whether all is well.
    pub struct HeartbeatResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
