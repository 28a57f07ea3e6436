// SPDX-License-Identifier: Apache-2.0
//! ConsumerGroupHeartbeat (68): a member joins, stays, hears what it owns, and leaves (KIP-848).
//!
//! Owns: its handler. Invariants: answered once what it tells is committed in the log.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::{GroupPlan, origin};
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ConsumerGroupHeartbeatRequest = arrival.decode()?;
    let origin = origin(shard, &arrival);
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    let call = GroupCall::Beat(request, arrival.call.version, origin);
    plan.push(shard, &group, call);
    plan.put(shard, arrival, |call, answers| {
        match answers.into_iter().next() {
            Some(GroupAnswer::Beat(response)) => call.reply(&response),
            _ => Ok(Reply::Close),
        }
    })
}
