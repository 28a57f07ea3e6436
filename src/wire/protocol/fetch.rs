// SPDX-License-Identifier: Apache-2.0
//! Fetch (1): reads record batches, for consumers and for followers.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{ABORTED_TRANSACTIONS_MAX, BROKERS_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 1, versions 4..=18, flexible 12:
FetchRequest => FetchResponse }

messages! {
    /// Asks for record batches from given offsets on.
    pub struct FetchRequest {
        /// Id of the cluster the client believes to talk to, if it knows.
        cluster_id: Option<ByteString> = None, since(12).nullable(12).tag(0).ignorable();
        /// Id of the follower that asks; -1 for a consumer.
        replica_id: i32 = -1, since(0).until(14);
        /// The follower that asks and its broker epoch (KIP-903).
        replica_state: ReplicaState = ReplicaState::default(), since(15).tag(1);
        /// How long to wait for `min_bytes`, in milliseconds.
        max_wait_ms: i32 = 0, since(0);
        /// Bytes to wait for.
        min_bytes: i32 = 0, since(0);
        /// Bytes of records in the whole answer; the first batch may be larger.
        max_bytes: i32 = i32::MAX, since(3).ignorable();
        /// 0 reads everything below the high watermark, 1 only what is committed.
        isolation_level: i8 = 0, since(4).ignorable();
        /// Fetch session (KIP-227), 0 for none.
        session_id: i32 = 0, since(7).ignorable();
        /// Place of this request in its session; -1 for a full fetch without one.
        session_epoch: i32 = -1, since(7).ignorable();
        /// One entry per topic.
        topics: Vec<FetchTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Partitions to take out of the session.
        forgotten_topics_data: Vec<ForgottenTopic> = Vec::new(), since(7).max(TOPICS_MAX);
        /// Rack of the consumer.
        rack_id: ByteString = ByteString::new(), since(11).ignorable();
    }

    /// A follower and its broker epoch.
    pub struct ReplicaState {
        /// Id of the follower; -1 for a consumer.
        replica_id: i32 = -1, since(15);
        /// Broker epoch of the follower, -1 if not known.
        replica_epoch: i64 = -1, since(15);
    }

    /// Partitions of one topic to read.
    pub struct FetchTopic {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0).until(12).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(13).ignorable();
        /// One entry per partition.
        partitions: Vec<FetchPartition> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Where to read in one partition.
    pub struct FetchPartition {
        /// Index of the partition.
        partition: i32 = 0, since(0);
        /// Leader epoch as the client knows it, -1 if it does not.
        current_leader_epoch: i32 = -1, since(9).ignorable();
        /// First offset wanted.
        fetch_offset: i64 = 0, since(0);
        /// Epoch of the last record that the client holds, -1 if it holds none.
        last_fetched_epoch: i32 = -1, since(12);
        /// First offset of the log of the follower that asks.
        log_start_offset: i64 = -1, since(5).ignorable();
        /// Bytes of records from this partition; the first batch may be larger.
        partition_max_bytes: i32 = 0, since(0);
        /// Log directory of the follower that asks.
        replica_directory_id: Uuid = Uuid::ZERO, since(17).tag(0).ignorable();
        /// High watermark as the follower knows it, -1 if it does not; the largest number if it
        /// does not say (KIP-1166).
        high_watermark: i64 = i64::MAX, since(18).tag(1).ignorable();
    }

    /// Partitions of one topic to take out of the session.
    pub struct ForgottenTopic {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(7).until(12).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(13).ignorable();
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(7).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Record batches of partitions.
    pub struct FetchResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(7).ignorable();
        /// Fetch session, 0 for none.
        session_id: i32 = 0, since(7);
        /// One entry per topic.
        responses: Vec<FetchableTopicResponse> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Where to reach the leaders that `current_leader` names.
        node_endpoints: Vec<NodeEndpoint> = Vec::new(), since(16).tag(0).max(BROKERS_MAX);
    }

    /// Batches of one topic.
    pub struct FetchableTopicResponse {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0).until(12).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(13).ignorable();
        /// One entry per partition.
        partitions: Vec<PartitionData> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// Batches of one partition.
    pub struct PartitionData {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// High watermark.
        high_watermark: i64 = 0, since(0);
        /// First offset that an open transaction may still decide; -1 if not known.
        last_stable_offset: i64 = -1, since(4).ignorable();
        /// First offset of the log, -1 if not known.
        log_start_offset: i64 = -1, since(5).ignorable();
        /// Largest epoch and its end that client and leader share, told where their logs part
        /// (KIP-595).
        diverging_epoch: EpochEndOffset = EpochEndOffset::default(), since(12).tag(0);
        /// Leader to turn to instead, told where this broker does not lead.
        current_leader: LeaderIdAndEpoch = LeaderIdAndEpoch::default(), since(12).tag(1);
        /// Snapshot to load where the log begins past the asked offset.
        snapshot_id: SnapshotId = SnapshotId::default(), since(12).tag(2);
        /// Aborted transactions within the answer.
        aborted_transactions: Option<Vec<AbortedTransaction>> = Some(Vec::new()),
            since(4).nullable(4).max(ABORTED_TRANSACTIONS_MAX).ignorable();
        /// Replica to read from instead, -1 for none (KIP-392).
        preferred_read_replica: i32 = -1, since(11);
        /// The batches, back to back. Empty rather than null where there are none.
        records: Option<Bytes> = Some(Bytes::new()), since(0).nullable(0);
    }

    /// An epoch and the offset behind its last record.
    pub struct EpochEndOffset {
        /// The epoch.
        epoch: i32 = -1, since(12);
        /// Offset behind its last record.
        end_offset: i64 = -1, since(12);
    }

    /// A leader and its epoch.
    pub struct LeaderIdAndEpoch {
        /// Broker that leads, -1 if there is none.
        leader_id: i32 = -1, since(12);
        /// Leader epoch, -1 if not known.
        leader_epoch: i32 = -1, since(12);
    }

    /// Names a snapshot.
    pub struct SnapshotId {
        /// Offset behind its last record.
        end_offset: i64 = -1, since(0);
        /// Epoch of its last record.
        epoch: i32 = -1, since(0);
    }

    /// One aborted transaction.
    pub struct AbortedTransaction {
        /// Its producer.
        producer_id: i64 = 0, since(4);
        /// Its first offset.
        first_offset: i64 = 0, since(4);
    }

    /// Where to reach a broker.
    pub struct NodeEndpoint {
        /// Id of the broker.
        node_id: i32 = 0, since(16);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(16);
        /// Port.
        port: i32 = 0, since(16);
        /// Rack of the broker, if it has one.
        rack: Option<ByteString> = None, since(16).nullable(16);
    }
}
