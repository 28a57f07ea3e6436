// SPDX-License-Identifier: Apache-2.0
//! ListGroups (16): the groups that a broker coordinates.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{GROUP_FILTERS_MAX, GROUPS_MAX};

api! { 16, versions 0..=5, flexible 3:
ListGroupsRequest => ListGroupsResponse }

messages! {
    /// Asks for groups.
    pub struct ListGroupsRequest {
        /// States that are wanted, none for all (KIP-518).
        states_filter: Vec<ByteString> = Vec::new(), since(4).max(GROUP_FILTERS_MAX);
        /// Types that are wanted, none for all (KIP-848).
        types_filter: Vec<ByteString> = Vec::new(), since(5).max(GROUP_FILTERS_MAX);
    }

    /// The groups.
    pub struct ListGroupsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// One entry per group.
        groups: Vec<ListedGroup> = Vec::new(), since(0).max(GROUPS_MAX);
    }

    /// One group.
    pub struct ListedGroup {
        /// Its name.
        group_id: ByteString = ByteString::new(), since(0);
        /// The kind of group, like `consumer`.
        protocol_type: ByteString = ByteString::new(), since(0);
        /// Its state.
        group_state: ByteString = ByteString::new(), since(4).ignorable();
        /// Whether it is a `classic` one.
        group_type: ByteString = ByteString::new(), since(5).ignorable();
    }
}
