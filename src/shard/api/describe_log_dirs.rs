// SPDX-License-Identifier: Apache-2.0
//! DescribeLogDirs (35): the log directory, and how much each partition takes of it.
//!
//! Owns: its handler. Invariants: partitions that are not there are left out, as in Kafka; a leader
//! is never behind itself, so the lag is 0; a size that the volume does not tell is -1.
//! Runs on: the shard that accepted the connection. Bounded by: the metadata.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::asks::AskPlan;
use super::{ApiError, Arrival, Reply};
use crate::model::disk::VolumeSize;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::parts::asks::{Question, Said};
use crate::shard::request_table::Call;
use crate::wire::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=5;

/// First version that tells the size of the volume (KIP-827).
const VOLUME_FROM: i16 = 4;

/// Stands for a size that is not known.
const UNKNOWN_BYTES: i64 = -1;

/// Asks the disk, where the version tells its size, and then the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeLogDirsRequest = arrival.decode()?;
    let call = arrival.call;
    if call.version >= VOLUME_FROM {
        shard.ask_volume(call, request, arrival.effects);
        return Ok(Reply::Pending);
    }
    describe(shard, call, &request, None, arrival.effects)
}

/// Asks the partitions.
pub(in crate::shard) fn describe(
    shard: &mut Shard,
    call: Call,
    request: &DescribeLogDirsRequest,
    volume: Option<VolumeSize>,
    effects: &mut Effects,
) -> Result<Reply, ApiError> {
    let wanted = wanted(shard, request);
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
    plan.put(shard, call, effects, move |call, outcomes| {
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
                partition_size: signed(bytes),
                ..DescribeLogDirsPartition::default()
            });
        }
        call.reply(&DescribeLogDirsResponse {
            results: vec![DescribeLogDirsResult {
                log_dir,
                topics,
                total_bytes: volume.map_or(UNKNOWN_BYTES, |volume| signed(volume.total_bytes)),
                usable_bytes: volume.map_or(UNKNOWN_BYTES, |volume| signed(volume.usable_bytes)),
                ..DescribeLogDirsResult::default()
            }],
            ..DescribeLogDirsResponse::default()
        })
    })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
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
