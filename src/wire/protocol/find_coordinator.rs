// SPDX-License-Identifier: Apache-2.0
//! FindCoordinator (10): which broker coordinates a group or a transaction.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::COORDINATOR_KEYS_MAX;

api! { 10, versions 0..=6, flexible 3:
FindCoordinatorRequest => FindCoordinatorResponse }

messages! {
    /// Asks which broker coordinates.
    pub struct FindCoordinatorRequest {
        /// Group or transactional id.
        key: ByteString = ByteString::new(), since(0).until(3);
        /// What the keys are: 0 groups, 1 transactional ids, 2 share groups.
        key_type: i8 = 0, since(1);
        /// Group or transactional ids.
        coordinator_keys: Vec<ByteString> = Vec::new(), since(4).max(COORDINATOR_KEYS_MAX);
    }

    /// Which broker coordinates.
    pub struct FindCoordinatorResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0).until(3);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = Some(ByteString::new()),
            since(1).until(3).nullable(1).ignorable();
        /// Id of the broker.
        node_id: i32 = 0, since(0).until(3);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(0).until(3);
        /// Port.
        port: i32 = 0, since(0).until(3);
        /// One entry per key.
        coordinators: Vec<Coordinator> = Vec::new(), since(4).max(COORDINATOR_KEYS_MAX);
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        /// The key.
        key: ByteString = ByteString::new(), since(4);
        /// Id of the broker.
        node_id: i32 = 0, since(4);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(4);
        /// Port.
        port: i32 = 0, since(4);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(4);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = Some(ByteString::new()),
            since(4).nullable(4).ignorable();
    }
}
