// SPDX-License-Identifier: Apache-2.0
//! Produce (0): appends record batches.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{BROKERS_MAX, PARTITIONS_PER_TOPIC_MAX, RECORD_ERRORS_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 0, versions 3..=13, flexible 9:
ProduceRequest => ProduceResponse }

messages! {
    /// Appends record batches to partitions.
    pub struct ProduceRequest {
        /// Transactional id of the producer, if it has one.
        transactional_id: Option<ByteString> = None, since(3).nullable(3);
        /// Acknowledgements wanted: 0 none, 1 the leader, -1 the whole ISR.
        acks: i16 = 0, since(0);
        /// How long the acknowledgements may take, in milliseconds.
        timeout_ms: i32 = 0, since(0);
        /// One entry per topic.
        topic_data: Vec<TopicProduceData> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Batches for one topic.
    pub struct TopicProduceData {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(12).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(13).ignorable();
        /// One entry per partition.
        partition_data: Vec<PartitionProduceData> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Batches for one partition.
    pub struct PartitionProduceData {
        /// Index of the partition.
        index: i32 = 0, since(0);
        /// The batches, back to back.
        records: Option<Bytes> = Some(Bytes::new()), since(0).nullable(0);
    }

    /// Where batches were appended.
    pub struct ProduceResponse {
        /// One entry per topic.
        responses: Vec<TopicProduceResponse> = Vec::new(), since(0).max(TOPICS_MAX);
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Where to reach the leaders that `current_leader` names.
        node_endpoints: Vec<NodeEndpoint> = Vec::new(), since(10).tag(0).max(BROKERS_MAX);
    }

    /// Results of one topic.
    pub struct TopicProduceResponse {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0).until(12).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(13).ignorable();
        /// One entry per partition.
        partition_responses: Vec<PartitionProduceResponse> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Result of one partition.
    pub struct PartitionProduceResponse {
        /// Index of the partition.
        index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Offset of the first record.
        base_offset: i64 = 0, since(0);
        /// Timestamp that the broker gave the batch; -1 where the producer stamps.
        log_append_time_ms: i64 = -1, since(2).ignorable();
        /// First offset of the log, -1 if not known.
        log_start_offset: i64 = -1, since(5).ignorable();
        /// Records that had the batch refused (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage> = Vec::new(),
            since(8).max(RECORD_ERRORS_MAX).ignorable();
        /// What was wrong with the batch, if anything.
        error_message: Option<ByteString> = None, since(8).nullable(8).ignorable();
        /// Leader to turn to instead, told where this broker does not lead.
        current_leader: LeaderIdAndEpoch = LeaderIdAndEpoch::default(), since(10).tag(0);
    }

    /// One record that had its batch refused.
    pub struct BatchIndexAndErrorMessage {
        /// Index of the record in the batch.
        batch_index: i32 = 0, since(8);
        /// What is wrong with it.
        batch_index_error_message: Option<ByteString> = None, since(8).nullable(8);
    }

    /// A leader and its epoch.
    pub struct LeaderIdAndEpoch {
        /// Broker that leads, -1 if there is none.
        leader_id: i32 = -1, since(10);
        /// Leader epoch, -1 if not known.
        leader_epoch: i32 = -1, since(10);
    }

    /// Where to reach a broker.
    pub struct NodeEndpoint {
        /// Id of the broker.
        node_id: i32 = 0, since(10);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(10);
        /// Port.
        port: i32 = 0, since(10);
        /// Rack of the broker, if it has one.
        rack: Option<ByteString> = None, since(10).nullable(10);
    }
}
