// SPDX-License-Identifier: Apache-2.0
//! DeleteGroups (42): groups go, with their offsets (KIP-229).
//!
//! Owns: its handler. Invariants: a group that is named twice is answered once.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DeleteGroupsRequest = arrival.decode()?;
    let mut seen = BTreeSet::new();
    let mut names: Vec<ByteString> = request.groups_names;
    names.retain(|name| seen.insert(name.clone()));
    let mut plan = GroupPlan::default();
    for group in &names {
        let call = GroupCall::Delete {
            group: group.clone(),
        };
        plan.push(shard, group, call);
    }
    plan.put(shard, arrival, |call, answers| {
        let results = names.into_iter().zip(answers);
        let results = results.map(|(group_id, answer)| DeletableGroupResult {
            group_id,
            error_code: match answer {
                GroupAnswer::Deleted(code) => code.code(),
                _ => ErrorCode::UnknownServerError.code(),
            },
        });
        call.reply(&DeleteGroupsResponse {
            results: results.collect(),
            ..DeleteGroupsResponse::default()
        })
    })
}
