// SPDX-License-Identifier: Apache-2.0
//! ListConfigResources (74): the resources that have settings (KIP-1142; version 0 knows client
//! metrics only).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::CONFIG_RESOURCES_MAX;

api! { 74, versions 0..=1, flexible 0:
ListConfigResourcesRequest => ListConfigResourcesResponse }

messages! {
    /// Asks for resources.
    pub struct ListConfigResourcesRequest {
        /// Types of resources; none for all.
        resource_types: Vec<i8> = Vec::new(), since(1).max(CONFIG_RESOURCES_MAX);
    }

    /// The resources.
    pub struct ListConfigResourcesResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// One entry per resource.
        config_resources: Vec<ConfigResource> = Vec::new(), since(0).max(CONFIG_RESOURCES_MAX);
    }

    /// One resource.
    pub struct ConfigResource {
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 = 16, since(1).ignorable();
    }
}
