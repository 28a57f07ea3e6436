// SPDX-License-Identifier: Apache-2.0
//! DescribeTopicPartitions (75): topics and their partitions, page by page (KIP-966).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, REPLICAS_PER_PARTITION_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 75, versions 0..=0, flexible 0:
DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse }

messages! {
    /// Asks for one page of topics.
    pub struct DescribeTopicPartitionsRequest {
        /// The topics; none for all.
        topics: Vec<TopicRequest> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Partitions of one page.
        response_partition_limit: i32 = 2000, since(0);
        /// Where the page begins.
        cursor: Option<Cursor> = None, since(0).nullable(0);
    }

    /// One topic.
    pub struct TopicRequest {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
    }

    /// Where a page begins.
    pub struct Cursor {
        /// First topic.
        topic_name: ByteString = ByteString::new(), since(0);
        /// First partition of it.
        partition_index: i32 = 0, since(0);
    }

    /// One page of topics.
    pub struct DescribeTopicPartitionsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0).ignorable();
        /// One entry per topic.
        topics: Vec<DescribeTopicPartitionsResponseTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Where the next page begins, if there is one.
        next_cursor: Option<Cursor> = None, since(0).nullable(0);
    }

    /// One topic.
    pub struct DescribeTopicPartitionsResponseTopic {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Name of the topic.
        name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// Its id.
        topic_id: Uuid = Uuid::ZERO, since(0).ignorable();
        /// Whether the broker made it for itself.
        is_internal: bool = false, since(0).ignorable();
        /// One entry per partition of the page.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
        /// One bit per operation that the client may do; the smallest number if nobody asked.
        topic_authorized_operations: i32 = i32::MIN, since(0);
    }

    /// One partition.
    pub struct DescribeTopicPartitionsResponsePartition {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Broker that leads, -1 if there is none.
        leader_id: i32 = 0, since(0);
        /// Leader epoch.
        leader_epoch: i32 = -1, since(0).ignorable();
        /// Brokers that have it.
        replica_nodes: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers in sync.
        isr_nodes: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers out of sync that hold everything that is committed.
        eligible_leader_replicas: Option<Vec<i32>> = None,
            since(0).nullable(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers of which that was last known.
        last_known_elr: Option<Vec<i32>> = None,
            since(0).nullable(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers that have it and are not there.
        offline_replicas: Vec<i32> = Vec::new(),
            since(0).max(REPLICAS_PER_PARTITION_MAX).ignorable();
    }
}
