// SPDX-License-Identifier: Apache-2.0
//! DescribeGroups (15): state and members of groups.
//!
//! Owns: its handler. Invariants: a group that is not there is dead, and since version 6 an error.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall, State};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=6;

/// First version in which the absence of a group is an error (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;

/// All that may be done to a group, one bit each (KIP-430): read, delete, describe, describe and
/// alter configs.
pub(super) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeGroupsRequest = arrival.decode()?;
    let with_operations = request.include_authorized_operations;
    let mut plan = GroupPlan::default();
    for group in request.groups {
        let name = group.clone();
        plan.push(shard, &name, GroupCall::Describe { group });
    }
    plan.put(shard, arrival, move |call, answers| {
        let answers = answers.into_iter().filter_map(|answer| match answer {
            GroupAnswer::Described(group) => Some(group),
            _ => None,
        });
        let groups = answers.map(|group| finish(group, call.version, with_operations));
        call.reply(&DescribeGroupsResponse {
            groups: groups.collect(),
            ..DescribeGroupsResponse::default()
        })
    })
}

fn finish(mut group: DescribedGroup, version: i16, with_operations: bool) -> DescribedGroup {
    let is_dead = group.group_state == State::Dead.name();
    if version >= NOT_FOUND_FROM && is_dead && group.error_code == 0 {
        group.error_code = ErrorCode::GroupIdNotFound.code();
        let message = format!("There is no group {}.", group.group_id);
        group.error_message = Some(ByteString::from(message));
    }
    if with_operations && group.error_code == 0 {
        group.authorized_operations = GROUP_OPERATIONS;
    }
    group
}
