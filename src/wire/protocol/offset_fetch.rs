// SPDX-License-Identifier: Apache-2.0
//! OffsetFetch (9): how far groups have come.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{GROUPS_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 9, versions 1..=10, flexible 6:
OffsetFetchRequest => OffsetFetchResponse }

messages! {
    /// Asks how far groups have come.
    pub struct OffsetFetchRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0).until(7);
        /// One entry per topic, null for all of them.
        topics: Option<Vec<OffsetFetchRequestTopic>> = Some(Vec::new()),
            since(0).until(7).nullable(2).max(TOPICS_MAX);
        /// The groups (KIP-709).
        groups: Vec<OffsetFetchRequestGroup> = Vec::new(), since(8).max(GROUPS_MAX);
        /// Whether to refuse offsets that an open transaction may change (KIP-447).
        require_stable: bool = false, since(7);
    }

    /// Partitions of one topic.
    pub struct OffsetFetchRequestTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(7);
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> = Vec::new(), since(0).until(7).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// One group.
    pub struct OffsetFetchRequestGroup {
        /// Its name.
        group_id: ByteString = ByteString::new(), since(8);
        /// The member that asks (KIP-848).
        member_id: Option<ByteString> = None, since(9).nullable(9).ignorable();
        /// Epoch of that member, -1 where it has none.
        member_epoch: i32 = -1, since(9).ignorable();
        /// One entry per topic, null for all of them.
        topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Vec::new()),
            since(8).nullable(8).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct OffsetFetchRequestTopics {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(8).until(9).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> = Vec::new(), since(8).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// How far they have come.
    pub struct OffsetFetchResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(3).ignorable();
        /// One entry per topic.
        topics: Vec<OffsetFetchResponseTopic> = Vec::new(), since(0).until(7).max(TOPICS_MAX);
        /// Error code of the group, 0 for none.
        error_code: i16 = 0, since(2).until(7).ignorable();
        /// One entry per group.
        groups: Vec<OffsetFetchResponseGroup> = Vec::new(), since(8).max(GROUPS_MAX);
    }

    /// Offsets of one topic.
    pub struct OffsetFetchResponseTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(7);
        /// One entry per partition.
        partitions: Vec<OffsetFetchResponsePartition> = Vec::new(),
            since(0).until(7).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Offset of one partition.
    pub struct OffsetFetchResponsePartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0).until(7);
        /// The next offset that the group wants, -1 if none was committed.
        committed_offset: i64 = 0, since(0).until(7);
        /// Leader epoch of the last record, -1 if not known.
        committed_leader_epoch: i32 = -1, since(5).until(7).ignorable();
        /// What the client kept with it.
        metadata: Option<ByteString> = Some(ByteString::new()), since(0).until(7).nullable(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0).until(7);
    }

    /// How far one group has come.
    pub struct OffsetFetchResponseGroup {
        /// Its name.
        group_id: ByteString = ByteString::new(), since(8);
        /// One entry per topic.
        topics: Vec<OffsetFetchResponseTopics> = Vec::new(), since(8).max(TOPICS_MAX);
        /// Error code of the group, 0 for none.
        error_code: i16 = 0, since(8);
    }

    /// Offsets of one topic.
    pub struct OffsetFetchResponseTopics {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(8).until(9).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// One entry per partition.
        partitions: Vec<OffsetFetchResponsePartitions> = Vec::new(),
            since(8).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Offset of one partition.
    pub struct OffsetFetchResponsePartitions {
        /// Index of the partition.
        partition_index: i32 = 0, since(8);
        /// The next offset that the group wants, -1 if none was committed.
        committed_offset: i64 = 0, since(8);
        /// Leader epoch of the last record, -1 if not known.
        committed_leader_epoch: i32 = -1, since(8).ignorable();
        /// What the client kept with it.
        metadata: Option<ByteString> = Some(ByteString::new()), since(8).nullable(8);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(8);
    }
}
