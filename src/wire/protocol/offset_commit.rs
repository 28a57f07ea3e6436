// SPDX-License-Identifier: Apache-2.0
//! OffsetCommit (8): how far a group has come.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 8, versions 2..=10, flexible 8:
OffsetCommitRequest => OffsetCommitResponse }

messages! {
    /// Says how far a group has come.
    pub struct OffsetCommitRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// Number of the generation, or epoch of the member; -1 from outside of the group.
        generation_id_or_member_epoch: i32 = -1, since(1).ignorable();
        /// The member, empty from outside of the group.
        member_id: ByteString = ByteString::new(), since(1).ignorable();
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(7).nullable(7);
        /// How long the offsets are to be kept, in milliseconds, -1 for as long as is usual.
        retention_time_ms: i64 = -1, since(2).until(4).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetCommitRequestTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Offsets of one topic.
    pub struct OffsetCommitRequestTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(9).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// One entry per partition.
        partitions: Vec<OffsetCommitRequestPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Offset of one partition.
    pub struct OffsetCommitRequestPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// The next offset that the group wants.
        committed_offset: i64 = 0, since(0);
        /// Leader epoch of the last record, -1 if not known (KIP-320).
        committed_leader_epoch: i32 = -1, since(6).ignorable();
        /// What the client wants to keep with it.
        committed_metadata: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// What became of it.
    pub struct OffsetCommitResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(3).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetCommitResponseTopic> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct OffsetCommitResponseTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(9).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// One entry per partition.
        partitions: Vec<OffsetCommitResponsePartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of one partition.
    pub struct OffsetCommitResponsePartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
