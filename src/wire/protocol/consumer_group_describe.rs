// SPDX-License-Identifier: Apache-2.0
//! ConsumerGroupDescribe (69): state, epochs and members of groups of the new protocol (KIP-848).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX, PARTITIONS_MAX, TOPICS_MAX};
use crate::model::ids::Uuid;

api! { 69, versions 0..=1, flexible 0:
ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse }

messages! {
    /// Asks about groups.
    pub struct ConsumerGroupDescribeRequest {
        /// Their names.
        group_ids: Vec<ByteString> = Vec::new(), since(0).max(GROUPS_MAX);
        /// Whether to say what the client may do with each group.
        include_authorized_operations: bool = false, since(0);
    }

    /// The groups.
    pub struct ConsumerGroupDescribeResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per group.
        groups: Vec<DescribedConsumerGroup> = Vec::new(), since(0).max(GROUPS_MAX);
    }

    /// One group.
    pub struct DescribedConsumerGroup {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = None, since(0).nullable(0);
        /// Its name.
        group_id: ByteString = ByteString::new(), since(0);
        /// Its state.
        group_state: ByteString = ByteString::new(), since(0);
        /// Its epoch.
        group_epoch: i32 = 0, since(0);
        /// The epoch that its target assignment was made for.
        assignment_epoch: i32 = 0, since(0);
        /// The assignor that is used.
        assignor_name: ByteString = ByteString::new(), since(0);
        /// One entry per member.
        members: Vec<DescribedConsumer> = Vec::new(), since(0).max(GROUP_MEMBERS_MAX);
        /// Bits of what the client may do; the smallest number if not asked for.
        authorized_operations: i32 = i32::MIN, since(0);
    }

    /// One member.
    pub struct DescribedConsumer {
        /// What it is called.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        instance_id: Option<ByteString> = None, since(0).nullable(0);
        /// Where it is.
        rack_id: Option<ByteString> = None, since(0).nullable(0);
        /// Its epoch.
        member_epoch: i32 = 0, since(0);
        /// What its client calls itself.
        client_id: ByteString = ByteString::new(), since(0);
        /// Its address.
        client_host: ByteString = ByteString::new(), since(0);
        /// Topics that it wants.
        subscribed_topic_names: Vec<ByteString> = Vec::new(), since(0).max(TOPICS_MAX);
        /// A pattern of topics that it wants.
        subscribed_topic_regex: Option<ByteString> = None, since(0).nullable(0);
        /// What it owns.
        assignment: DescribedAssignment = DescribedAssignment::default(), since(0);
        /// What it is to own.
        target_assignment: DescribedAssignment = DescribedAssignment::default(), since(0);
        /// 0 for a member of the classic protocol, 1 for one of the new one (KIP-1099).
        member_type: i8 = -1, since(1).ignorable();
    }

    /// Partitions by topic.
    pub struct DescribedAssignment {
        /// One entry per topic.
        topic_partitions: Vec<NamedTopicPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct NamedTopicPartitions {
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(0);
        /// Its name.
        topic_name: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_MAX);
    }
}
