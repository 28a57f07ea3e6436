// SPDX-License-Identifier: Apache-2.0
//! Where a consumer begins and ends in each partition.
//!
//! Owns: asking leaders for offsets, [`place`]. Invariants: a start or an end that is no offset is
//! turned into one once, so all readers of a partition see the same. Runs on: the caller's thread.
//! Bounded by: the partitions of one topic.

use super::Retry;
use super::cluster::Cluster;
use super::consumer::{Isolation, Position, Start, TROUBLE_FOR, Until};
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use std::collections::BTreeMap;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// What a consumer is to read.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Where to begin.
    pub start: Start,
    /// Where to end.
    pub until: Until,
    /// What of transactions is read.
    pub isolation: Isolation,
}

/// Where each of these partitions begins and ends. `committed` are offsets that beat the start,
/// where they lie in the log.
pub fn place(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    range: &Range,
    committed: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, Position>, ClientError> {
    let begins = list_offsets(cluster, topic, partitions, EARLIEST)?;
    let ends = list_offsets_as(cluster, topic, partitions, LATEST, range.isolation)?;
    // Past what is committed there may be more that was written, and a group may have come to it.
    let tops = match committed.is_empty() {
        true => ends.clone(),
        false => list_offsets(cluster, topic, partitions, LATEST)?,
    };
    let at_time = |cluster: &mut Cluster, moment| -> Result<BTreeMap<i32, i64>, ClientError> {
        let mut found = list_offsets_as(cluster, topic, partitions, moment, range.isolation)?;
        // Where no record is that late, the next one will be.
        found.retain(|_, offset| *offset >= 0);
        let one = |one: &i32| (*one, found.get(one).copied().unwrap_or(ends[one]));
        Ok(partitions.iter().map(one).collect())
    };
    let starts = match range.start {
        Start::Time(moment) => at_time(cluster, moment)?,
        _ => BTreeMap::new(),
    };
    let stops = match range.until {
        Until::Time(moment) => at_time(cluster, moment)?,
        _ => BTreeMap::new(),
    };
    let place = |partition: &i32| {
        let (begin, end) = (begins[partition], ends[partition]);
        let next = match committed.get(partition) {
            Some(offset) if (begin..=tops[partition]).contains(offset) => *offset,
            _ => match range.start {
                Start::Time(_) => starts[partition],
                start => start_within(start, begin, end, topic, *partition)?,
            },
        };
        let end = match range.until {
            Until::Never => i64::MAX,
            Until::End => end,
            Until::Time(_) => stops[partition],
        };
        Ok((*partition, Position { next, end }))
    };
    partitions.iter().map(place).collect()
}

fn start_within(
    start: Start,
    begin: i64,
    end: i64,
    topic: &str,
    partition: i32,
) -> Result<i64, ClientError> {
    match start {
        Start::Beginning | Start::Time(_) => Ok(begin),
        Start::End => Ok(end),
        Start::BeforeEnd(count) => Ok(end.saturating_sub(count).max(begin)),
        Start::At(offset) if (begin..=end).contains(&offset) => Ok(offset),
        Start::At(offset) => Err(ClientError::Refused {
            what: format!("offset {offset} of partition {partition} of {topic}"),
            code: ErrorCode::OffsetOutOfRange.code(),
            message: Some(format!(
                "it is outside the log, which goes from {begin} to {end}"
            )),
        }),
    }
}

/// Asks the leaders for an offset of each partition.
pub fn list_offsets(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    list_offsets_as(
        cluster,
        topic,
        partitions,
        timestamp,
        Isolation::ReadUncommitted,
    )
}

/// The same as a reader of this isolation sees them.
pub fn list_offsets_as(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
    isolation: Isolation,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut retry = Retry::lasting(TROUBLE_FOR);
    loop {
        match list_offsets_once(cluster, topic, partitions, timestamp, isolation) {
            Err(error) if error.is_retriable() && cluster.may_retry(&mut retry) => {}
            result => return result,
        }
    }
}

fn list_offsets_once(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
    isolation: Isolation,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for one in cluster.leaders(topic, false)? {
        if partitions.contains(&one.partition) {
            by_leader
                .entry(one.leader)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: one.partition,
                    timestamp,
                    ..ListOffsetsPartition::default()
                });
        }
    }
    let mut offsets = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.code(),
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions,
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = cluster.open(leader)?.call(&request)?;
        for result in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if result.error_code != ErrorCode::None.code() {
                return Err(refused(topic, result.partition_index, result.error_code));
            }
            offsets.insert(result.partition_index, result.offset);
        }
    }
    match partitions
        .iter()
        .find(|partition| !offsets.contains_key(partition))
    {
        Some(missing) => Err(refused(
            topic,
            *missing,
            ErrorCode::LeaderNotAvailable.code(),
        )),
        None => Ok(offsets),
    }
}

/// The error for a code of one partition.
pub(super) fn refused(topic: &str, partition: i32, code: i16) -> ClientError {
    ClientError::Refused {
        what: format!("partition {partition} of topic {topic}"),
        code,
        message: None,
    }
}
