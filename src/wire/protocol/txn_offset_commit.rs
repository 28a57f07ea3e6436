// SPDX-License-Identifier: Apache-2.0
//! TxnOffsetCommit (28): how far a group has come, if a transaction is committed.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 28, versions 0..=5, flexible 3:
TxnOffsetCommitRequest => TxnOffsetCommitResponse }

messages! {
    /// Commits offsets as a part of a transaction.
    pub struct TxnOffsetCommitRequest {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// Id of the producer.
        producer_id: i64 = 0, since(0);
        /// Epoch of the producer.
        producer_epoch: i16 = 0, since(0);
        /// Generation of the member, -1 if it is none.
        generation_id: i32 = -1, since(3);
        /// Id of the member.
        member_id: ByteString = ByteString::new(), since(3);
        /// Instance id of a static member.
        group_instance_id: Option<ByteString> = None, since(3).nullable(3);
        /// One entry per topic.
        topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Offsets of one topic.
    pub struct TxnOffsetCommitRequestTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<TxnOffsetCommitRequestPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// The offset of one partition.
    pub struct TxnOffsetCommitRequestPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// The next offset to read.
        committed_offset: i64 = 0, since(0);
        /// Leader epoch of the last record that was read, -1 if not known.
        committed_leader_epoch: i32 = -1, since(2).ignorable();
        /// What the client keeps with it.
        committed_metadata: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// What became of each offset.
    pub struct TxnOffsetCommitResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per topic.
        topics: Vec<TxnOffsetCommitResponseTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of the offsets of one topic.
    pub struct TxnOffsetCommitResponseTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<TxnOffsetCommitResponsePartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of the offset of one partition.
    pub struct TxnOffsetCommitResponsePartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
