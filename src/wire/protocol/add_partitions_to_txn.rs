// SPDX-License-Identifier: Apache-2.0
//! AddPartitionsToTxn (24): partitions that a transaction writes to.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX, TRANSACTIONS_MAX};

api! { 24, versions 0..=5, flexible 3:
AddPartitionsToTxnRequest => AddPartitionsToTxnResponse }

messages! {
    /// Adds partitions to transactions, or asks whether they belong to them (KIP-890).
    pub struct AddPartitionsToTxnRequest {
        /// One entry per transaction.
        transactions: Vec<AddPartitionsToTxnTransaction> = Vec::new(),
            since(4).max(TRANSACTIONS_MAX);
        /// The transactional id.
        v3_and_below_transactional_id: ByteString = ByteString::new(), since(0).until(3);
        /// Id of its producer.
        v3_and_below_producer_id: i64 = 0, since(0).until(3);
        /// Epoch of its producer.
        v3_and_below_producer_epoch: i16 = 0, since(0).until(3);
        /// The partitions.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> = Vec::new(),
            since(0).until(3).max(TOPICS_MAX);
    }

    /// Partitions of one transaction.
    pub struct AddPartitionsToTxnTransaction {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(4);
        /// Id of its producer.
        producer_id: i64 = 0, since(4);
        /// Epoch of its producer.
        producer_epoch: i16 = 0, since(4);
        /// Only ask whether they belong to it.
        verify_only: bool = false, since(4);
        /// The partitions.
        topics: Vec<AddPartitionsToTxnTopic> = Vec::new(), since(4).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct AddPartitionsToTxnTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of each.
    pub struct AddPartitionsToTxnResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code of the whole request, 0 for none.
        error_code: i16 = 0, since(4).ignorable();
        /// One entry per transaction.
        results_by_transaction: Vec<AddPartitionsToTxnResult> = Vec::new(),
            since(4).max(TRANSACTIONS_MAX);
        /// One entry per topic.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> = Vec::new(),
            since(0).until(3).max(TOPICS_MAX);
    }

    /// What became of one transaction's partitions.
    pub struct AddPartitionsToTxnResult {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(4);
        /// One entry per topic.
        topic_results: Vec<AddPartitionsToTxnTopicResult> = Vec::new(), since(4).max(TOPICS_MAX);
    }

    /// What became of one topic's partitions.
    pub struct AddPartitionsToTxnTopicResult {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of one partition.
    pub struct AddPartitionsToTxnPartitionResult {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        partition_error_code: i16 = 0, since(0);
    }
}
