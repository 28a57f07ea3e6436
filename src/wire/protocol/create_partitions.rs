// SPDX-License-Identifier: Apache-2.0
//! CreatePartitions (37): adds partitions to topics.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, REPLICAS_PER_PARTITION_MAX, TOPICS_MAX};

api! { 37, versions 0..=3, flexible 2:
CreatePartitionsRequest => CreatePartitionsResponse }

messages! {
    /// Asks for more partitions.
    pub struct CreatePartitionsRequest {
        /// One entry per topic.
        topics: Vec<CreatePartitionsTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// How long to wait, in milliseconds.
        timeout_ms: i32 = 0, since(0);
        /// Whether to check only and change nothing.
        validate_only: bool = false, since(0);
    }

    /// More partitions for one topic.
    pub struct CreatePartitionsTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// How many partitions it is to have.
        count: i32 = 0, since(0);
        /// Replicas of each new partition; null to let the controller choose.
        assignments: Option<Vec<CreatePartitionsAssignment>> = Some(Vec::new()),
            since(0).nullable(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Replicas of one new partition.
    pub struct CreatePartitionsAssignment {
        /// Ids of the brokers, the preferred leader first.
        broker_ids: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
    }

    /// What became of each topic.
    pub struct CreatePartitionsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per topic.
        results: Vec<CreatePartitionsTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct CreatePartitionsTopicResult {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = None, since(0).nullable(0);
    }
}
