// SPDX-License-Identifier: Apache-2.0
//! DeleteGroups (42): groups go, with their offsets (KIP-229).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::GROUPS_MAX;

api! { 42, versions 0..=2, flexible 2:
DeleteGroupsRequest => DeleteGroupsResponse }

messages! {
    /// Deletes groups.
    pub struct DeleteGroupsRequest {
        /// Their names.
        groups_names: Vec<ByteString> = Vec::new(), since(0).max(GROUPS_MAX);
    }

    /// What became of them.
    pub struct DeleteGroupsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per group.
        results: Vec<DeletableGroupResult> = Vec::new(), since(0).max(GROUPS_MAX);
    }

    /// What became of one group.
    pub struct DeletableGroupResult {
        /// Its name.
        group_id: ByteString = ByteString::new(), since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
