// SPDX-License-Identifier: Apache-2.0
//! Calls of the new protocol, from the coordinator to their group.
//!
//! Owns: the side of [`Coordinator`] that only groups of the new protocol have. Invariants: a group
//! is made by a member that joins, and by nobody else. Runs on: the shard that coordinates.
//! Bounded by: `GROUPS_PER_COORDINATOR_MAX`.

use std::sync::Arc;

use bytestring::ByteString;

use super::classic::Group;
use super::consumer::{Beat, check_request, refusal};
use super::coordinator::{Coordinator, drop_blank};
use super::member::own;
use super::request::{Caller, GroupAnswer, GroupEffects, Origin};
use super::state::State;
use crate::limits::{GROUP_ID_BYTES_MAX, GROUPS_PER_COORDINATOR_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::image::MetadataImage;
use crate::model::time::Now;
use crate::wire::protocol::consumer_group_describe::DescribedConsumerGroup;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

impl Coordinator {
    /// Takes new metadata: members are assigned what is there once they are heard of.
    pub fn handle_image(&mut self, image: Arc<MetadataImage>) {
        self.image = image;
    }

    /// True if the log has lost what groups in memory build on, and nothing is under way any more:
    /// the coordinator is to be given up and made anew.
    #[must_use]
    pub fn wants_reload(&self) -> bool {
        self.is_tainted && self.writes.is_empty()
    }

    pub(super) fn beat(
        &mut self,
        now: Now,
        caller: Caller,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        origin: &Origin,
        effects: &mut GroupEffects,
    ) {
        let id = &request.group_id;
        let is_known = self.groups.contains_key(id);
        let leaves = request.member_epoch < 0;
        let refused = if let Err(refused) = check_request(request, version, &self.settings) {
            Some(refused)
        } else if id.len() > GROUP_ID_BYTES_MAX {
            Some(refusal(
                ErrorCode::InvalidGroupId,
                "The group id is too long.",
            ))
        } else if !is_known && request.member_epoch != 0 {
            let sentence = format!("There is no group {id}.");
            Some(refusal(ErrorCode::GroupIdNotFound, sentence))
        } else if !is_known && self.groups.len() >= GROUPS_PER_COORDINATOR_MAX {
            let sentence = "There are too many groups.";
            Some(refusal(ErrorCode::CoordinatorNotAvailable, sentence))
        } else {
            None
        };
        let (groups, mut turn) = self.split(now, effects);
        if let Some(refused) = refused {
            turn.answer(caller, refused.answer());
            return;
        }
        let group = groups
            .entry(own(id))
            .or_insert_with_key(|id| Group::new(id.clone(), now));
        let beat = Beat {
            caller,
            request,
            origin,
        };
        if leaves && group.state != State::Dead && group.consumer.is_none() {
            let sentence = format!("The group {id} is not of the consumer protocol.");
            let refused = refusal(ErrorCode::GroupIdNotFound, sentence);
            turn.answer(caller, refused.answer());
        } else if leaves && group.state != State::Dead {
            group.handle_goodbye(&beat, &mut turn);
        } else {
            group.handle_beat(&beat, &mut turn);
        }
        drop_blank(groups, id);
    }

    pub(super) fn describe_consumer(&self, id: &ByteString) -> GroupAnswer {
        let group = self.groups.get(id);
        let group = group.filter(|group| group.state != State::Dead);
        let described = match group.map(|group| group.consumer.as_deref()) {
            Some(Some(group)) => group.described(&self.settings, &self.image),
            Some(None) => absent(
                id,
                format!("The group {id} is not of the consumer protocol."),
            ),
            None => absent(id, format!("There is no group {id}.")),
        };
        GroupAnswer::DescribedConsumer(described)
    }
}

fn absent(id: &ByteString, sentence: String) -> DescribedConsumerGroup {
    DescribedConsumerGroup {
        error_code: ErrorCode::GroupIdNotFound.code(),
        error_message: Some(ByteString::from(sentence)),
        group_id: id.clone(),
        ..DescribedConsumerGroup::default()
    }
}
