// SPDX-License-Identifier: Apache-2.0
//! OffsetForLeaderEpoch (23): where the records of a leader epoch end (KIP-101, KIP-320).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 23, versions 2..=4, flexible 4:
OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse }

messages! {
    /// Asks where leader epochs end.
    pub struct OffsetForLeaderEpochRequest {
        /// The follower that asks; -1 for a consumer, -2 for a follower that debugs.
        replica_id: i32 = -2, since(3).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetForLeaderTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct OffsetForLeaderTopic {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<OffsetForLeaderPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What is asked of one partition.
    pub struct OffsetForLeaderPartition {
        /// Index of the partition.
        partition: i32 = 0, since(0);
        /// Leader epoch as the client knows it, -1 if it does not.
        current_leader_epoch: i32 = -1, since(2).ignorable();
        /// The epoch whose end is asked for.
        leader_epoch: i32 = 0, since(0);
    }

    /// Where leader epochs end.
    pub struct OffsetForLeaderEpochResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(2).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetForLeaderTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Ends of one topic.
    pub struct OffsetForLeaderTopicResult {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<EpochEndOffset> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// The end of an epoch in one partition.
    pub struct EpochEndOffset {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Index of the partition.
        partition: i32 = 0, since(0);
        /// The largest epoch at or below the one that was asked for, -1 if there is none.
        leader_epoch: i32 = -1, since(1).ignorable();
        /// Offset behind its last record, -1 if there is none.
        end_offset: i64 = -1, since(0);
    }
}
