// SPDX-License-Identifier: Apache-2.0
//! DescribeConfigs (32): reads configurations with their origins.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{CONFIG_RESOURCES_MAX, CONFIGS_PER_RESOURCE_MAX};

api! { 32, versions 1..=4, flexible 4:
DescribeConfigsRequest => DescribeConfigsResponse }

messages! {
    /// Asks for configurations.
    pub struct DescribeConfigsRequest {
        /// One entry per resource.
        resources: Vec<DescribeConfigsResource> = Vec::new(), since(0).max(CONFIG_RESOURCES_MAX);
        /// Whether to name where else each value could come from.
        include_synonyms: bool = false, since(1);
        /// Whether to explain each setting.
        include_documentation: bool = false, since(3);
    }

    /// One resource asked for.
    pub struct DescribeConfigsResource {
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger.
        resource_type: i8 = 0, since(0);
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
        /// Settings asked for, null for all of them.
        configuration_keys: Option<Vec<ByteString>> = Some(Vec::new()),
            since(0).nullable(0).max(CONFIGS_PER_RESOURCE_MAX);
    }

    /// Configurations.
    pub struct DescribeConfigsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per resource.
        results: Vec<DescribeConfigsResult> = Vec::new(), since(0).max(CONFIG_RESOURCES_MAX);
    }

    /// Configuration of one resource.
    pub struct DescribeConfigsResult {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger.
        resource_type: i8 = 0, since(0);
        /// Name of the topic, id of the broker.
        resource_name: ByteString = ByteString::new(), since(0);
        /// One entry per setting.
        configs: Vec<DescribeConfigsResourceResult> = Vec::new(),
            since(0).max(CONFIGS_PER_RESOURCE_MAX);
    }

    /// One setting.
    pub struct DescribeConfigsResourceResult {
        /// Name of the setting.
        name: ByteString = ByteString::new(), since(0);
        /// Its value, null if it is a secret or has none.
        value: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// Whether it cannot be changed.
        read_only: bool = false, since(0);
        /// Where the value comes from, -1 if not told.
        config_source: i8 = -1, since(1).ignorable();
        /// Whether the value is a secret.
        is_sensitive: bool = false, since(0);
        /// Where the value could come from, the one in force first.
        synonyms: Vec<DescribeConfigsSynonym> = Vec::new(),
            since(1).max(CONFIGS_PER_RESOURCE_MAX).ignorable();
        /// Type of the value: 1 bool, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class,
        /// 9 password.
        config_type: i8 = 0, since(3).ignorable();
        /// Explanation, if it was asked for.
        documentation: Option<ByteString> = Some(ByteString::new()),
            since(3).nullable(0).ignorable();
    }

    /// One origin of a value.
    pub struct DescribeConfigsSynonym {
        /// Name of the setting there.
        name: ByteString = ByteString::new(), since(1);
        /// Its value there.
        value: Option<ByteString> = Some(ByteString::new()), since(1).nullable(0);
        /// Which origin it is.
        source: i8 = 0, since(1);
    }
}
