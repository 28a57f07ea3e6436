// SPDX-License-Identifier: Apache-2.0
//! DescribeProducers (61): the idempotent producers that a partition remembers (KIP-664).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, PRODUCERS_PER_PARTITION_MAX, TOPICS_MAX};

api! { 61, versions 0..=0, flexible 0:
DescribeProducersRequest => DescribeProducersResponse }

messages! {
    /// Asks for producers.
    pub struct DescribeProducersRequest {
        /// One entry per topic.
        topics: Vec<TopicRequest> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct TopicRequest {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// The producers.
    pub struct DescribeProducersResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0).ignorable();
        /// One entry per topic.
        topics: Vec<TopicResponse> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Producers of one topic.
    pub struct TopicResponse {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<PartitionResponse> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Producers of one partition.
    pub struct PartitionResponse {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = None, since(0).nullable(0);
        /// One entry per producer.
        active_producers: Vec<ProducerState> = Vec::new(),
            since(0).max(PRODUCERS_PER_PARTITION_MAX);
    }

    /// One producer.
    pub struct ProducerState {
        /// Its id.
        producer_id: i64 = 0, since(0);
        /// Its epoch.
        producer_epoch: i32 = 0, since(0);
        /// Sequence number of its last record, -1 if there is none.
        last_sequence: i32 = -1, since(0);
        /// Timestamp of its last batch, -1 if there is none.
        last_timestamp: i64 = -1, since(0);
        /// Epoch of the coordinator that wrote its last marker.
        coordinator_epoch: i32 = 0, since(0);
        /// First offset of its open transaction, -1 if there is none.
        current_txn_start_offset: i64 = -1, since(0);
    }
}
