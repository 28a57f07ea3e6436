// SPDX-License-Identifier: Apache-2.0
//! SyncGroup (14): the leader of a group hands in the assignment, each member takes its part.
//!
//! Owns: its handler. Invariants: answered once the assignment is committed, or refused.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version that has to say which protocol it is about (KIP-559).
const PROTOCOL_FROM: i16 = 5;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: SyncGroupRequest = arrival.decode()?;
    let says_it = request.protocol_type.is_some() && request.protocol_name.is_some();
    if arrival.call.version >= PROTOCOL_FROM && !says_it {
        return arrival.call.reply(&SyncGroupResponse {
            error_code: ErrorCode::InconsistentGroupProtocol.code(),
            ..SyncGroupResponse::default()
        });
    }
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    plan.push(shard, &group, GroupCall::Sync(request));
    plan.put(shard, arrival, |call, answers| {
        match answers.into_iter().next() {
            Some(GroupAnswer::Synced(response)) => call.reply(&response),
            _ => Ok(Reply::Close),
        }
    })
}
