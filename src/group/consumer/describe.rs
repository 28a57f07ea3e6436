// SPDX-License-Identifier: Apache-2.0
//! What a group of the new protocol looks like to those who list and describe groups.
//!
//! Owns: the answers about [`ConsumerGroup`]. Invariants: topics that are gone are left out, since
//! they have no name any more. Runs on: the shard that coordinates. Bounded by:
//! `GROUP_MEMBERS_MAX`.

use bytestring::ByteString;

use super::assignment::Assignment;
use super::member::ConsumerMember;
use super::state::ConsumerGroup;
use crate::config::groups::GroupSettings;
use crate::model::image::MetadataImage;
use crate::wire::protocol::consumer_group_describe::{
    DescribedAssignment, DescribedConsumer, DescribedConsumerGroup, NamedTopicPartitions,
};
use crate::wire::protocol::list_groups::ListedGroup;

impl ConsumerGroup {
    /// Describes it with its members.
    pub(in crate::group) fn described(
        &self,
        settings: &GroupSettings,
        image: &MetadataImage,
    ) -> DescribedConsumerGroup {
        let members = self.members.iter();
        DescribedConsumerGroup {
            group_id: self.id.clone(),
            group_state: ByteString::from_static(self.state_name()),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: ByteString::from_static(self.assignor(settings).name()),
            members: members
                .map(|(id, member)| self.described_member(id, member, image))
                .collect(),
            ..DescribedConsumerGroup::default()
        }
    }

    fn described_member(
        &self,
        id: &ByteString,
        member: &ConsumerMember,
        image: &MetadataImage,
    ) -> DescribedConsumer {
        let profile = member.profile.clone();
        let target = self.target.get(id);
        DescribedConsumer {
            member_id: id.clone(),
            instance_id: profile.instance_id,
            rack_id: profile.rack_id,
            member_epoch: member.part.epoch,
            client_id: profile.client_id,
            client_host: profile.client_host,
            subscribed_topic_names: profile.subscribed_topic_names,
            subscribed_topic_regex: profile.subscribed_topic_regex,
            assignment: described(&member.part.assigned, image),
            target_assignment: target.map(|one| described(one, image)).unwrap_or_default(),
            member_type: i8::from(!member.is_classic()),
        }
    }

    /// One line of a list.
    pub(in crate::group) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: ByteString::from_static("consumer"),
            group_state: ByteString::from_static(self.state_name()),
            group_type: ByteString::from_static("consumer"),
        }
    }
}

fn described(assignment: &Assignment, image: &MetadataImage) -> DescribedAssignment {
    let topics = assignment.named(image);
    let topics = topics.map(|(topic_id, topic_name, partitions)| NamedTopicPartitions {
        topic_id,
        topic_name,
        partitions,
    });
    DescribedAssignment {
        topic_partitions: topics.collect(),
    }
}
