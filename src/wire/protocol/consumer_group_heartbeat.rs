// SPDX-License-Identifier: Apache-2.0
//! ConsumerGroupHeartbeat (68): a member joins, stays, hears what it owns, and leaves (KIP-848).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 68, versions 0..=1, flexible 0:
ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse }

messages! {
    /// Says that a member is there. What is null has not changed since it was said last.
    pub struct ConsumerGroupHeartbeatRequest {
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
        /// The member; since version 1 it names itself (KIP-1082).
        member_id: ByteString = ByteString::new(), since(0);
        /// Its epoch: 0 to join, -1 to leave, -2 to leave for a while as a static member.
        member_epoch: i32 = 0, since(0);
        /// What its operator calls it, if it is a static one.
        instance_id: Option<ByteString> = None, since(0).nullable(0);
        /// Where it is.
        rack_id: Option<ByteString> = None, since(0).nullable(0);
        /// How long it may take to give partitions up, in milliseconds.
        rebalance_timeout_ms: i32 = -1, since(0);
        /// Topics that it wants.
        subscribed_topic_names: Option<Vec<ByteString>> = None,
            since(0).nullable(0).max(TOPICS_MAX);
        /// A pattern of topics that it wants.
        subscribed_topic_regex: Option<ByteString> = None, since(1).nullable(1);
        /// The assignor that it would like.
        server_assignor: Option<ByteString> = None, since(0).nullable(0);
        /// What it owns.
        topic_partitions: Option<Vec<TopicPartitions>> = None,
            since(0).nullable(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_MAX);
    }

    /// What the coordinator makes of it.
    pub struct ConsumerGroupHeartbeatResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = None, since(0).nullable(0);
        /// What the member is called.
        member_id: Option<ByteString> = None, since(0).nullable(0);
        /// The epoch that the member has now.
        member_epoch: i32 = 0, since(0);
        /// How long it waits until its next heartbeat, in milliseconds.
        heartbeat_interval_ms: i32 = 0, since(0);
        /// What it may own, null if that has not changed.
        assignment: Option<HeartbeatAssignment> = None, since(0).nullable(0);
    }

    /// What a member may own.
    pub struct HeartbeatAssignment {
        /// Partitions by topic.
        topic_partitions: Vec<TopicPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
    }
}
