// SPDX-License-Identifier: Apache-2.0
//! LeaveGroup (13): members leave their group.
//!
//! Owns: its handler. Invariants: before version 3 the code of the one member is that of the whole
//! answer. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version with a list of members (KIP-345).
const LISTS_FROM: i16 = 3;

/// Asks the coordinator.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: LeaveGroupRequest = arrival.decode()?;
    let members = if arrival.call.version >= LISTS_FROM {
        request.members
    } else {
        vec![MemberIdentity {
            member_id: request.member_id,
            ..MemberIdentity::default()
        }]
    };
    let group = request.group_id.clone();
    let mut plan = GroupPlan::default();
    let call = GroupCall::Leave {
        group: request.group_id,
        members,
    };
    plan.push(shard, &group, call);
    plan.put(shard, arrival, |call, answers| {
        let Some(GroupAnswer::Left(mut response)) = answers.into_iter().next() else {
            return Ok(Reply::Close);
        };
        if call.version < LISTS_FROM {
            fold(&mut response);
        }
        call.reply(&response)
    })
}

/// Makes the code of the only member that of the answer.
fn fold(response: &mut LeaveGroupResponse) {
    let member = std::mem::take(&mut response.members).into_iter().next();
    if response.error_code == 0 {
        response.error_code = member.map_or(0, |member| member.error_code);
    }
}
