// SPDX-License-Identifier: Apache-2.0
//! ConsumerGroupDescribe (69): state, epochs and members of groups of the new protocol (KIP-848).
//!
//! Owns: its handler. Invariants: a group of the classic protocol is not found here, as in Kafka:
//! its tools ask with DescribeGroups then. Runs on: the shard that accepted the connection.
//! Bounded by: the frame.

use std::ops::RangeInclusive;

use super::describe_groups::GROUP_OPERATIONS;
use super::groups::GroupPlan;
use super::{ApiError, Arrival, Reply};
use crate::group::{GroupAnswer, GroupCall};
use crate::shard::machine::Shard;
use crate::wire::protocol::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// Asks the coordinators.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ConsumerGroupDescribeRequest = arrival.decode()?;
    let with_operations = request.include_authorized_operations;
    let mut plan = GroupPlan::default();
    for group in request.group_ids {
        let name = group.clone();
        plan.push(shard, &name, GroupCall::DescribeConsumer { group });
    }
    plan.put(shard, arrival, move |call, answers| {
        let groups = answers.into_iter().filter_map(|answer| match answer {
            GroupAnswer::DescribedConsumer(mut group) => {
                if with_operations && group.error_code == 0 {
                    group.authorized_operations = GROUP_OPERATIONS;
                }
                Some(group)
            }
            _ => None,
        });
        call.reply(&ConsumerGroupDescribeResponse {
            groups: groups.collect(),
            ..ConsumerGroupDescribeResponse::default()
        })
    })
}
