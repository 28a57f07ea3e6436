// SPDX-License-Identifier: Apache-2.0
//! OffsetDelete (47): a group forgets how far it has come (KIP-496).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 47, versions 0..=0, flexible 32767:
OffsetDeleteRequest => OffsetDeleteResponse }

messages! {
    /// Says what is to be forgotten.
    pub struct OffsetDeleteRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// One entry per topic.
        topics: Vec<OffsetDeleteRequestTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct OffsetDeleteRequestTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<OffsetDeleteRequestPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// One partition.
    pub struct OffsetDeleteRequestPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
    }

    /// What became of it.
    pub struct OffsetDeleteResponse {
        /// Error code of the group, 0 for none.
        error_code: i16 = 0, since(0);
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetDeleteResponseTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct OffsetDeleteResponseTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<OffsetDeleteResponsePartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of one partition.
    pub struct OffsetDeleteResponsePartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
