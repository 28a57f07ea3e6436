// SPDX-License-Identifier: Apache-2.0
//! DescribeLogDirs (35): the log directory, and how much each partition takes of it.
//!
//! Owns: its handler. Invariants: partitions that are not there are left out, as in Kafka; a leader
//! is never behind itself, so the lag is 0. The size of the volume is not told (-1).
//! Runs on: the shard that accepted the connection. Bounded by: the metadata.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::asks::AskPlan;
use super::{ApiError, Arrival, Reply};
use crate::shard::machine::Shard;
use crate::shard::parts::asks::{Question, Said};
use crate::wire::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=5;

/// Asks the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeLogDirsRequest = arrival.decode()?;
    let wanted = wanted(shard, &request);
    let mut plan = AskPlan::default();
    let mut named = Vec::new();
    for (topic, partitions) in wanted {
        for index in partitions {
            if let Ok(routed) = shard.route_by_name(&topic, index) {
                plan.push(Ok(routed), Question::Size);
                named.push((topic.clone(), index));
            }
        }
    }
    let log_dir = ByteString::from(&*shard.config.data_directory);
    plan.put(shard, arrival, move |call, outcomes| {
        let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
        for ((name, partition_index), outcome) in named.into_iter().zip(outcomes) {
            let Ok(Said::Size(bytes)) = outcome else {
                continue;
            };
            if topics.last().is_none_or(|topic| topic.name != name) {
                let partitions = Vec::new();
                topics.push(DescribeLogDirsTopic { name, partitions });
            }
            let topic = topics.last_mut().expect("just made");
            topic.partitions.push(DescribeLogDirsPartition {
                partition_index,
                partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
                ..DescribeLogDirsPartition::default()
            });
        }
        call.reply(&DescribeLogDirsResponse {
            results: vec![DescribeLogDirsResult {
                log_dir,
                topics,
                ..DescribeLogDirsResult::default()
            }],
            ..DescribeLogDirsResponse::default()
        })
    })
}

/// Topics by name, each with the partitions that are asked for, none twice.
fn wanted(
    shard: &Shard,
    request: &DescribeLogDirsRequest,
) -> BTreeMap<ByteString, std::collections::BTreeSet<i32>> {
    let mut wanted: BTreeMap<ByteString, std::collections::BTreeSet<i32>> = BTreeMap::new();
    match &request.topics {
        Some(topics) => {
            for topic in topics {
                let partitions = wanted.entry(topic.topic.clone()).or_default();
                partitions.extend(topic.partitions.iter().copied());
            }
        }
        None => {
            for topic in shard.image().topics.values() {
                let partitions = wanted.entry(topic.name.clone()).or_default();
                partitions.extend((0..).take(topic.partitions.len()));
            }
        }
    }
    wanted
}
