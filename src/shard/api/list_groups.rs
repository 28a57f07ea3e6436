// SPDX-License-Identifier: Apache-2.0
//! ListGroups (16): the groups that this broker coordinates.
//!
//! Owns: its handler. Invariants: while one coordinator is loading the list is refused, for it
//! would not be whole. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// Asks all coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ListGroupsRequest = arrival.decode()?;
    let mut plan = GroupPlan::default();
    let call = GroupCall::List {
        states: lower(&request.states_filter),
        types: lower(&request.types_filter),
    };
    plan.push_to_all(shard, &call);
    plan.put(shard, arrival, |call, answers| {
        let mut response = ListGroupsResponse::default();
        for answer in answers {
            match answer {
                GroupAnswer::Listed(Ok(groups)) => response.groups.extend(groups),
                GroupAnswer::Listed(Err(code)) => response.error_code = code.code(),
                _ => return Ok(Reply::Close),
            }
        }
        if response.error_code != 0 {
            response.groups.clear();
        }
        response.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        call.reply(&response)
    })
}

fn lower(words: &[ByteString]) -> Vec<ByteString> {
    let words = words.iter();
    words
        .map(|word| ByteString::from(word.to_ascii_lowercase()))
        .collect()
}
