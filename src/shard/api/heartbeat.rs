// SPDX-License-Identifier: Apache-2.0
//! Heartbeat (12): a member is alive, and hears whether its group forms a new generation.
//!
//! Owns: its handler. Invariants: none of its own.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: HeartbeatRequest = arrival.decode()?;
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    plan.push(shard, &group, GroupCall::Heartbeat(request));
    plan.put(shard, arrival, |call, answers| {
        match answers.into_iter().next() {
            Some(GroupAnswer::Heartbeat(code)) => call.reply(&HeartbeatResponse {
                error_code: code.code(),
                ..HeartbeatResponse::default()
            }),
            _ => Ok(Reply::Close),
        }
    })
}
