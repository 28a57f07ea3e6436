// SPDX-License-Identifier: Apache-2.0
//! What is told of groups.
//!
//! Owns: descriptions and lists. Invariants: reading changes nothing; groups come in the order of
//! their names, members in the order of their ids. Runs on: the shard that coordinates.
//! Bounded by: `GROUP_MEMBERS_MAX`.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use super::classic::Group;
use super::state::State;
use crate::wire::protocol::describe_groups::{DescribedGroup, DescribedGroupMember};
use crate::wire::protocol::list_groups::ListedGroup;

impl Group {
    /// Describes it with its members; what they say and got is told of a stable group only.
    pub(super) fn described(&self) -> DescribedGroup {
        if self.consumer.is_some() {
            return dead(&self.id); // As Kafka tells it: there is no classic group of this name.
        }
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| is_stable);
        let protocol = protocol.unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| {
            let (metadata, assignment) = if is_stable {
                (member.metadata(&protocol), member.assignment.clone())
            } else {
                (Bytes::new(), Bytes::new())
            };
            DescribedGroupMember {
                member_id: id.clone(),
                group_instance_id: member.instance.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                member_metadata: metadata,
                member_assignment: assignment,
            }
        });
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: ByteString::from_static(self.state.name()),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol_data: protocol,
            ..DescribedGroup::default()
        }
    }

    /// Counts itself and its members.
    pub(super) fn count(&self, counts: &mut GroupCounts) {
        let consumer = self.consumer.as_ref().filter(|_| self.state != State::Dead);
        let (kind, state, members) = match consumer {
            Some(group) => ("consumer", group.state_name(), group.members.len()),
            None => ("classic", self.state.name(), self.members.len()),
        };
        *counts.groups.entry((kind, state)).or_default() += 1;
        *counts.members.entry(kind).or_default() += members;
    }

    /// One line of a list.
    pub(super) fn listed(&self) -> ListedGroup {
        let consumer = self.consumer.as_ref().filter(|_| self.state != State::Dead);
        if let Some(group) = consumer {
            return group.listed();
        }
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: ByteString::from_static(self.state.name()),
            group_type: ByteString::from_static("classic"),
        }
    }
}

/// How many groups there are, by kind and state, and their members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    groups: BTreeMap<(&'static str, &'static str), usize>,
    members: BTreeMap<&'static str, usize>,
}

impl GroupCounts {
    /// Groups of a kind in a state, as they are listed.
    #[must_use]
    pub fn groups(&self, kind: &'static str, state: &'static str) -> usize {
        self.groups.get(&(kind, state)).copied().unwrap_or(0)
    }

    /// Members of all groups of a kind.
    #[must_use]
    pub fn members(&self, kind: &'static str) -> usize {
        self.members.get(kind).copied().unwrap_or(0)
    }
}

/// What is told of a group that is not there.
pub(super) fn dead(group: &ByteString) -> DescribedGroup {
    DescribedGroup {
        group_id: group.clone(),
        group_state: ByteString::from_static(State::Dead.name()),
        ..DescribedGroup::default()
    }
}
