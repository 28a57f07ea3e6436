// SPDX-License-Identifier: Apache-2.0
//! CreateTopics (19): creates topics.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{
    CONFIGS_PER_RESOURCE_MAX, PARTITIONS_PER_TOPIC_MAX, REPLICAS_PER_PARTITION_MAX, TOPICS_MAX,
};
use crate::model::ids::Uuid;

api! { 19, versions 2..=7, flexible 5:
CreateTopicsRequest => CreateTopicsResponse }

messages! {
    /// Creates topics.
    pub struct CreateTopicsRequest {
        /// One entry per topic.
        topics: Vec<CreatableTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// How long it may take, in milliseconds.
        timeout_ms: i32 = 60_000, since(0);
        /// Whether to check only and create nothing.
        validate_only: bool = false, since(1);
    }

    /// One topic to create.
    pub struct CreatableTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Number of partitions; -1 for the default or where `assignments` says it.
        num_partitions: i32 = 0, since(0);
        /// Replicas of each partition; -1 for the default or where `assignments` says it.
        replication_factor: i16 = 0, since(0);
        /// Brokers of each partition, empty to let the controller choose.
        assignments: Vec<CreatableReplicaAssignment> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
        /// Settings that differ from the defaults.
        configs: Vec<CreatableTopicConfig> = Vec::new(), since(0).max(CONFIGS_PER_RESOURCE_MAX);
    }

    /// Brokers of one partition.
    pub struct CreatableReplicaAssignment {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Brokers, the preferred leader first.
        broker_ids: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
    }

    /// One setting of a new topic.
    pub struct CreatableTopicConfig {
        /// Name of the setting.
        name: ByteString = ByteString::new(), since(0);
        /// Its value.
        value: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// What became of each topic.
    pub struct CreateTopicsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(2).ignorable();
        /// One entry per topic.
        topics: Vec<CreatableTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct CreatableTopicResult {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(7).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = Some(ByteString::new()),
            since(1).nullable(0).ignorable();
        /// Why the settings are withheld, 0 if they are not.
        topic_config_error_code: i16 = 0, since(5).tag(0).ignorable();
        /// Number of partitions, -1 if not told.
        num_partitions: i32 = -1, since(5).ignorable();
        /// Replicas of each partition, -1 if not told.
        replication_factor: i16 = -1, since(5).ignorable();
        /// All settings of the topic, null if not told.
        configs: Option<Vec<CreatableTopicConfigs>> = Some(Vec::new()),
            since(5).nullable(5).max(CONFIGS_PER_RESOURCE_MAX).ignorable();
    }

    /// One setting of a created topic.
    pub struct CreatableTopicConfigs {
        /// Name of the setting.
        name: ByteString = ByteString::new(), since(5);
        /// Its value, null if it is a secret.
        value: Option<ByteString> = Some(ByteString::new()), since(5).nullable(5);
        /// Whether it cannot be changed.
        read_only: bool = false, since(5);
        /// Where the value comes from, -1 if not told.
        config_source: i8 = -1, since(5).ignorable();
        /// Whether the value is a secret.
        is_sensitive: bool = false, since(5);
    }
}
