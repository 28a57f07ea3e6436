// SPDX-License-Identifier: Apache-2.0
//! AlterConfigs (33): replaces whole configurations (older than IncrementalAlterConfigs).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{CONFIG_RESOURCES_MAX, CONFIGS_PER_RESOURCE_MAX};

api! { 33, versions 0..=2, flexible 2:
AlterConfigsRequest => AlterConfigsResponse }

messages! {
    /// Replaces configurations: what is not named goes back to its default.
    pub struct AlterConfigsRequest {
        /// One entry per resource.
        resources: Vec<AlterConfigsResource> = Vec::new(), since(0).max(CONFIG_RESOURCES_MAX);
        /// Whether to check only and change nothing.
        validate_only: bool = false, since(0);
    }

    /// The configuration of one resource.
    pub struct AlterConfigsResource {
        /// Type of the resource: 2 topic, 4 broker.
        resource_type: i8 = 0, since(0);
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
        /// One entry per setting.
        configs: Vec<AlterableConfig> = Vec::new(), since(0).max(CONFIGS_PER_RESOURCE_MAX);
    }

    /// One setting.
    pub struct AlterableConfig {
        /// Name of the setting.
        name: ByteString = ByteString::new(), since(0);
        /// Its value.
        value: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// What became of each resource.
    pub struct AlterConfigsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per resource.
        responses: Vec<AlterConfigsResourceResponse> = Vec::new(),
            since(0).max(CONFIG_RESOURCES_MAX);
    }

    /// What became of one resource.
    pub struct AlterConfigsResourceResponse {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// Type of the resource.
        resource_type: i8 = 0, since(0);
        /// Its name.
        resource_name: ByteString = ByteString::new(), since(0);
    }
}
