// SPDX-License-Identifier: Apache-2.0
//! IncrementalAlterConfigs (44): changes single configuration entries.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{CONFIG_RESOURCES_MAX, CONFIGS_PER_RESOURCE_MAX};

api! { 44, versions 0..=1, flexible 1:
IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse }

messages! {
    /// Changes single entries of configurations.
    pub struct IncrementalAlterConfigsRequest {
        /// One entry per resource.
        resources: Vec<AlterConfigsResource> = Vec::new(), since(0).max(CONFIG_RESOURCES_MAX);
        /// Whether to check only and change nothing.
        validate_only: bool = false, since(0);
    }

    /// Changes of one resource.
    pub struct AlterConfigsResource {
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger.
        resource_type: i8 = 0, since(0);
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
        /// One entry per change.
        configs: Vec<AlterableConfig> = Vec::new(), since(0).max(CONFIGS_PER_RESOURCE_MAX);
    }

    /// One change.
    pub struct AlterableConfig {
        /// Name of the setting.
        name: ByteString = ByteString::new(), since(0);
        /// What to do: 0 set, 1 delete, 2 append to a list, 3 take from a list.
        config_operation: i8 = 0, since(0);
        /// The value to do it with.
        value: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// What became of each resource.
    pub struct IncrementalAlterConfigsResponse {
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
        /// What went wrong, if anything.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger.
        resource_type: i8 = 0, since(0);
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
    }
}
