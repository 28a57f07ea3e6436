// SPDX-License-Identifier: Apache-2.0
//! Calls that look at groups, and those that end offsets and groups.
//!
//! Owns: the side of [`Coordinator`] that operators and their tools see. Invariants: looking
//! changes nothing. Runs on: the shard that coordinates. Bounded by: the request.

use bytestring::ByteString;

use super::classic::Group;
use super::coordinator::Coordinator;
use super::describe::dead;
use super::request::{Caller, GroupAnswer, GroupCall, GroupEffects};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;

impl Coordinator {
    /// What a call sees that only looks.
    pub(super) fn look(&self, call: &GroupCall) -> GroupAnswer {
        match call {
            GroupCall::Fetch {
                group,
                topics,
                member,
                only_stable,
            } => {
                let told = self.fetch(group, topics.as_deref(), member, *only_stable);
                GroupAnswer::Fetched(told)
            }
            GroupCall::Describe { group } => {
                let described = self.groups.get(group).map(Group::described);
                GroupAnswer::Described(described.unwrap_or_else(|| dead(group)))
            }
            GroupCall::DescribeConsumer { group } => self.describe_consumer(group),
            GroupCall::List { states, types } => GroupAnswer::Listed(Ok(self.list(states, types))),
            other => other.refusal(ErrorCode::UnknownServerError),
        }
    }

    pub(super) fn forget(
        &mut self,
        now: Now,
        caller: Caller,
        group: &ByteString,
        topics: &[(ByteString, Vec<i32>)],
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        match groups.get_mut(group) {
            Some(group) => group.handle_forget(caller, topics, &mut turn),
            None => {
                let answer = GroupAnswer::Forgotten(Err(ErrorCode::GroupIdNotFound));
                turn.answer(caller, answer);
            }
        }
    }

    pub(super) fn delete(
        &mut self,
        now: Now,
        caller: Caller,
        group: &ByteString,
        effects: &mut GroupEffects,
    ) {
        let (groups, mut turn) = self.split(now, effects);
        match groups.get_mut(group) {
            Some(group) => group.handle_delete(caller, &mut turn),
            None => {
                let answer = GroupAnswer::Deleted(ErrorCode::GroupIdNotFound);
                turn.answer(caller, answer);
            }
        }
    }
}
