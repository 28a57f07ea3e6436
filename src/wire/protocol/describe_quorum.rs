// SPDX-License-Identifier: Apache-2.0
//! DescribeQuorum (55): who votes on the metadata, and how far everybody is (KIP-595).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{BROKERS_MAX, LISTENERS_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

pub mod request;

pub use request::DescribeQuorumRequest;

api! { 55, versions 0..=2, flexible 0:
DescribeQuorumRequest => DescribeQuorumResponse }

messages! {
    /// The quorums.
    pub struct DescribeQuorumResponse {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()),
            since(2).nullable(2).ignorable();
        /// One entry per topic.
        topics: Vec<TopicData> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Where the voters are reached.
        nodes: Vec<Node> = Vec::new(), since(2).max(BROKERS_MAX);
    }

    /// Quorums of one topic.
    pub struct TopicData {
        /// Name of the topic.
        topic_name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<PartitionData> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// The quorum of one partition.
    pub struct PartitionData {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()),
            since(2).nullable(2).ignorable();
        /// Who leads, -1 if not known.
        leader_id: i32 = 0, since(0);
        /// Leader epoch.
        leader_epoch: i32 = 0, since(0);
        /// High watermark.
        high_watermark: i64 = 0, since(0);
        /// Who votes.
        current_voters: Vec<ReplicaState> = Vec::new(), since(0).max(BROKERS_MAX);
        /// Who only reads.
        observers: Vec<ReplicaState> = Vec::new(), since(0).max(BROKERS_MAX);
    }

    /// How far one replica is.
    pub struct ReplicaState {
        /// Its id.
        replica_id: i32 = 0, since(0);
        /// Id of its directory.
        replica_directory_id: Uuid = Uuid::ZERO, since(2);
        /// Offset after its last record, -1 if not known.
        log_end_offset: i64 = 0, since(0);
        /// When it last fetched, in milliseconds by the leader's clock, -1 if not known.
        last_fetch_timestamp: i64 = -1, since(1).ignorable();
        /// When it last had all that the leader has, -1 if not known.
        last_caught_up_timestamp: i64 = -1, since(1).ignorable();
    }

    /// One voter.
    pub struct Node {
        /// Its id.
        node_id: i32 = 0, since(2);
        /// Its listeners.
        listeners: Vec<Listener> = Vec::new(), since(2).max(LISTENERS_MAX);
    }

    /// One listener.
    pub struct Listener {
        /// Its name.
        name: ByteString = ByteString::new(), since(2);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(2);
        /// Port.
        port: u16 = 0, since(2);
    }
}
