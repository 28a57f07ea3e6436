// SPDX-License-Identifier: Apache-2.0
//! JoinGroup (11): a member asks to be part of the next generation of its group.
//!
//! Owns: its handler. Invariants: answered once the generation is formed, or refused.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::groups::origin;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::join_group::JoinGroupRequest;

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=9;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: JoinGroupRequest = arrival.decode()?;
    let origin = origin(shard, &arrival);
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    let call = GroupCall::Join(request, arrival.call.version, origin);
    plan.push(shard, &group, call);
    plan.put(shard, arrival, |call, answers| {
        match answers.into_iter().next() {
            Some(GroupAnswer::Joined(response)) => call.reply(&response),
            _ => Ok(Reply::Close),
        }
    })
}
