// SPDX-License-Identifier: Apache-2.0
//! ListOffsets (2): offsets by timestamp or by special position.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 2, versions 1..=11, flexible 6:
ListOffsetsRequest => ListOffsetsResponse }

messages! {
    /// Asks for offsets by timestamp.
    pub struct ListOffsetsRequest {
        /// Id of the broker that asks; -1 for a client.
        replica_id: i32 = 0, since(0);
        /// 0 reads everything below the high watermark, 1 only what is committed.
        isolation_level: i8 = 0, since(2);
        /// One entry per topic.
        topics: Vec<ListOffsetsTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// How long a look-up in remote storage may take, in milliseconds.
        timeout_ms: i32 = 0, since(10).ignorable();
    }

    /// Partitions of one topic.
    pub struct ListOffsetsTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<ListOffsetsPartition> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What is asked of one partition.
    pub struct ListOffsetsPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Leader epoch as the client knows it, -1 if it does not.
        current_leader_epoch: i32 = -1, since(4).ignorable();
        /// Timestamp in milliseconds, or a special position: -1 latest, -2 earliest, -3 largest
        /// timestamp, -4 earliest local, -5 latest tiered, -6 earliest not yet uploaded.
        timestamp: i64 = 0, since(0);
    }

    /// Offsets by timestamp.
    pub struct ListOffsetsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(2).ignorable();
        /// One entry per topic.
        topics: Vec<ListOffsetsTopicResponse> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Offsets of one topic.
    pub struct ListOffsetsTopicResponse {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<ListOffsetsPartitionResponse> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Offset of one partition.
    pub struct ListOffsetsPartitionResponse {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Timestamp of the record at the offset, -1 if it has none.
        timestamp: i64 = -1, since(1);
        /// The offset, -1 if there is none.
        offset: i64 = -1, since(1);
        /// Leader epoch, -1 if not known.
        leader_epoch: i32 = -1, since(4);
    }
}
