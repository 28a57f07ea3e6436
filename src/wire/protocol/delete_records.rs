// SPDX-License-Identifier: Apache-2.0
//! DeleteRecords (21): removes the oldest records of partitions (KIP-107).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 21, versions 0..=2, flexible 2:
DeleteRecordsRequest => DeleteRecordsResponse }

messages! {
    /// Asks to remove the records below given offsets.
    pub struct DeleteRecordsRequest {
        /// One entry per topic.
        topics: Vec<DeleteRecordsTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// How long to wait, in milliseconds.
        timeout_ms: i32 = 0, since(0);
    }

    /// Partitions of one topic.
    pub struct DeleteRecordsTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<DeleteRecordsPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What is to go in one partition.
    pub struct DeleteRecordsPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// The first offset that stays; -1 for the high watermark.
        offset: i64 = 0, since(0);
    }

    /// What became of each partition.
    pub struct DeleteRecordsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per topic.
        topics: Vec<DeleteRecordsTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct DeleteRecordsTopicResult {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<DeleteRecordsPartitionResult> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of one partition.
    pub struct DeleteRecordsPartitionResult {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// The first offset that every live replica still has, -1 after an error.
        low_watermark: i64 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
