// SPDX-License-Identifier: Apache-2.0
//! What a DescribeQuorum request names; its parts have the names of the response's.
//!
//! Owns: the layout of the request. Invariants: those of [`super::super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::super::describe::{messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

messages! {
    /// Asks for quorums.
    pub struct DescribeQuorumRequest {
        /// One entry per topic.
        topics: Vec<TopicData> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct TopicData {
        /// Name of the topic.
        topic_name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<PartitionData> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// One partition.
    pub struct PartitionData {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
    }
}
