// SPDX-License-Identifier: Apache-2.0
//! Metadata (3): brokers, topics, partitions and their leaders.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{
    BROKERS_MAX, PARTITIONS_PER_TOPIC_MAX, REPLICAS_PER_PARTITION_MAX, TOPICS_MAX,
};
use crate::model::ids::Uuid;

api! { 3, versions 0..=13, flexible 9:
MetadataRequest => MetadataResponse }

messages! {
    /// Asks for brokers, topics and partitions.
    pub struct MetadataRequest {
        /// Topics asked for. Null means all of them; in version 0 an empty list does.
        topics: Option<Vec<MetadataRequestTopic>> = Some(Vec::new()),
            since(0).nullable(1).max(TOPICS_MAX);
        /// Whether the broker may create topics that are missing.
        allow_auto_topic_creation: bool = true, since(4);
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool = false, since(8).until(10);
        /// Whether to say what the client may do with each topic.
        include_topic_authorized_operations: bool = false, since(8);
    }

    /// One topic asked for, by name or by id.
    pub struct MetadataRequestTopic {
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// Name of the topic, null if asked for by id.
        name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(10);
    }

    /// Brokers, topics and partitions.
    pub struct MetadataResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(3).ignorable();
        /// The brokers of the cluster.
        brokers: Vec<MetadataResponseBroker> = Vec::new(), since(0).max(BROKERS_MAX);
        /// Id of the cluster.
        cluster_id: Option<ByteString> = None, since(2).nullable(2).ignorable();
        /// Broker to send controller requests to, -1 if there is none.
        controller_id: i32 = -1, since(1).ignorable();
        /// One entry per topic.
        topics: Vec<MetadataResponseTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Bits of what the client may do with the cluster; the smallest number if not asked for.
        cluster_authorized_operations: i32 = i32::MIN, since(8).until(10);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(13).ignorable();
    }

    /// One broker and where to reach it.
    pub struct MetadataResponseBroker {
        /// Id of the broker.
        node_id: i32 = 0, since(0);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(0);
        /// Port.
        port: i32 = 0, since(0);
        /// Rack of the broker, if it has one.
        rack: Option<ByteString> = None, since(1).nullable(1).ignorable();
    }

    /// One topic.
    pub struct MetadataResponseTopic {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Name of the topic; null if an id was asked for that nobody knows.
        name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(12);
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(10).ignorable();
        /// Whether the topic serves the broker's own purposes.
        is_internal: bool = false, since(1).ignorable();
        /// One entry per partition.
        partitions: Vec<MetadataResponsePartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
        /// Bits of what the client may do with the topic; the smallest number if not asked for.
        topic_authorized_operations: i32 = i32::MIN, since(8);
    }

    /// One partition and its replicas.
    pub struct MetadataResponsePartition {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Broker that leads, -1 if there is none.
        leader_id: i32 = 0, since(0);
        /// Leader epoch, -1 if not known.
        leader_epoch: i32 = -1, since(7).ignorable();
        /// Brokers that hold a replica.
        replica_nodes: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers in the ISR.
        isr_nodes: Vec<i32> = Vec::new(), since(0).max(REPLICAS_PER_PARTITION_MAX);
        /// Brokers whose replica is offline.
        offline_replicas: Vec<i32> = Vec::new(),
            since(5).max(REPLICAS_PER_PARTITION_MAX).ignorable();
    }
}
