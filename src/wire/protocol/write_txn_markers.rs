// SPDX-License-Identifier: Apache-2.0
//! WriteTxnMarkers (27): ends transactions in partitions.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX, TRANSACTIONS_MAX};

api! { 27, versions 1..=2, flexible 1:
WriteTxnMarkersRequest => WriteTxnMarkersResponse }

messages! {
    /// Ends transactions in partitions.
    pub struct WriteTxnMarkersRequest {
        /// One entry per transaction.
        markers: Vec<WritableTxnMarker> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
    }

    /// The end of one transaction.
    pub struct WritableTxnMarker {
        /// Id of the producer.
        producer_id: i64 = 0, since(0);
        /// Epoch of the producer.
        producer_epoch: i16 = 0, since(0);
        /// True if it was committed, false if it was aborted.
        transaction_result: bool = false, since(0);
        /// Where it is to be written.
        topics: Vec<WritableTxnMarkerTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Leader epoch of the partition that keeps the transaction.
        coordinator_epoch: i32 = 0, since(0);
        /// The `transaction.version` under which the transaction runs (KIP-1228).
        transaction_version: i8 = 0, since(2).ignorable();
    }

    /// Partitions of one topic.
    pub struct WritableTxnMarkerTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of each marker.
    pub struct WriteTxnMarkersResponse {
        /// One entry per transaction.
        markers: Vec<WritableTxnMarkerResult> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
    }

    /// What became of the markers of one transaction.
    pub struct WritableTxnMarkerResult {
        /// Id of the producer.
        producer_id: i64 = 0, since(0);
        /// One entry per topic.
        topics: Vec<WritableTxnMarkerTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of the markers of one topic.
    pub struct WritableTxnMarkerTopicResult {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<WritableTxnMarkerPartitionResult> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// What became of the marker of one partition.
    pub struct WritableTxnMarkerPartitionResult {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
