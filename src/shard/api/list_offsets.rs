// SPDX-License-Identifier: Apache-2.0
//! ListOffsets (2): offsets by name or by timestamp.
//!
//! Owns: its handler, requests that wait. Invariants: no offset past the high watermark is told; a
//! partition that is named twice is refused; a name that the version does not have is
//! UNSUPPORTED_VERSION for its partition.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition};
use crate::partition::{FetchError, Isolation, OffsetQuery};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::PLACES_MAX;
use crate::shard::parts::offsets::{OffsetLookup, OffsetResult};
use crate::shard::request_table::{Call, Pending};
use crate::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=11;

/// First version with leader epochs.
const EPOCHS_FROM: i16 = 4;

/// First version that knows OFFSET_NOT_AVAILABLE (KIP-207).
const NOT_AVAILABLE_FROM: i16 = 5;

/// A request whose look-ups are under way.
pub struct OffsetsPending {
    /// Name and number of partitions of each topic, in the order of the request.
    topics: Vec<(ByteString, usize)>,
    /// One for each partition, in the order of the request.
    partitions: Vec<ListOffsetsPartitionResponse>,
    /// Shards that have not answered.
    outstanding: usize,
}

/// Hands the look-ups to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ListOffsetsRequest = arrival.decode()?;
    let call = arrival.call;
    let (mut pending, lookups) = plan(shard, &call, &request);
    if pending.partitions.len() > PLACES_MAX {
        return Ok(Reply::Close);
    }
    if lookups.is_empty() {
        return conclude(&call, pending);
    }
    pending.outstanding = lookups.len();
    let number = shard.requests.next_number();
    for (owner, lookups) in lookups {
        let message = MeshMessage::Offsets {
            request: number,
            lookups,
        };
        shard.send(owner, message, arrival.effects);
    }
    shard.connections.note_request(call.slot, number);
    shard
        .requests
        .insert(number, call, Pending::Offsets(pending));
    Ok(Reply::Pending)
}

/// The frame of the answer, and which look-ups go to which shard.
fn plan(
    shard: &Shard,
    call: &Call,
    request: &ListOffsetsRequest,
) -> (OffsetsPending, BTreeMap<ShardId, Vec<OffsetLookup>>) {
    let mut pending = OffsetsPending {
        topics: Vec::with_capacity(request.topics.len()),
        partitions: Vec::new(),
        outstanding: 0,
    };
    let repeated = repeated(request);
    let mut lookups: BTreeMap<ShardId, Vec<OffsetLookup>> = BTreeMap::new();
    for topic in &request.topics {
        pending
            .topics
            .push((topic.name.clone(), topic.partitions.len()));
        let image = shard.image().topics.get(&topic.name);
        for partition in &topic.partitions {
            let place = pending.partitions.len();
            let index = partition.partition_index;
            let mut answer = ListOffsetsPartitionResponse {
                partition_index: index,
                ..ListOffsetsPartitionResponse::default()
            };
            let routed = if request.replica_id >= 0 {
                Err(ErrorCode::TopicAuthorizationFailed)
            } else if repeated.contains(&(&topic.name, index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                let image = image.ok_or(ErrorCode::UnknownTopicOrPartition);
                image.and_then(|image| shard.route(image, index))
            };
            let query = query(call.version, partition.timestamp);
            match routed.and_then(|routed| Ok((routed, query?))) {
                Ok(((at, owner), query)) => {
                    let isolation = Isolation::from_wire(request.isolation_level);
                    let lookup = lookup(place, at, query, isolation, partition);
                    lookups.entry(owner).or_default().push(lookup);
                }
                Err(code) => answer.error_code = code.code(),
            }
            pending.partitions.push(answer);
        }
    }
    (pending, lookups)
}

fn lookup(
    place: usize,
    at: TopicPartition,
    query: OffsetQuery,
    isolation: Isolation,
    partition: &ListOffsetsPartition,
) -> OffsetLookup {
    OffsetLookup {
        place,
        at,
        query,
        current_leader_epoch: partition.current_leader_epoch,
        isolation,
    }
}

/// Partitions that the request names more than once.
fn repeated(request: &ListOffsetsRequest) -> BTreeSet<(&ByteString, i32)> {
    let mut seen = BTreeSet::new();
    let named = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (&topic.name, partition.partition_index))
    });
    named.filter(|one| !seen.insert(*one)).collect()
}

/// What a timestamp asks for in a version.
fn query(version: i16, timestamp: i64) -> Result<OffsetQuery, ErrorCode> {
    let (since, query) = match timestamp {
        -1 => (1, OffsetQuery::Latest),
        -2 => (1, OffsetQuery::Earliest),
        -3 => (7, OffsetQuery::MaxTimestamp),
        // Nothing is tiered, so the local log starts where the log does.
        -4 => (8, OffsetQuery::Earliest),
        -5 => (9, OffsetQuery::Tiered),
        -6 => (11, OffsetQuery::Tiered),
        0.. => (1, OffsetQuery::Timestamp(timestamp)),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version < since {
        return Err(ErrorCode::UnsupportedVersion);
    }
    Ok(query)
}

fn conclude(call: &Call, pending: OffsetsPending) -> Result<Reply, ApiError> {
    let mut partitions = pending.partitions.into_iter();
    let topics = pending
        .topics
        .into_iter()
        .map(|(name, count)| ListOffsetsTopicResponse {
            name,
            partitions: partitions.by_ref().take(count).collect(),
        });
    call.reply(&ListOffsetsResponse {
        topics: topics.collect(),
        ..ListOffsetsResponse::default()
    })
}

impl Shard {
    /// A shard has ended its look-ups.
    pub(in crate::shard) fn finish_offsets(
        &mut self,
        request: u64,
        results: Vec<OffsetResult>,
        effects: &mut Effects,
    ) {
        let Some((call, Pending::Offsets(mut pending))) = self.requests.remove(request) else {
            return;
        };
        for one in results {
            take_result(&mut pending.partitions[one.place], call.version, one.result);
        }
        pending.outstanding -= 1;
        if pending.outstanding > 0 {
            self.requests
                .insert(request, call, Pending::Offsets(pending));
            return;
        }
        let reply = conclude(&call, pending);
        self.conclude(call, reply, effects);
    }
}

fn take_result(
    answer: &mut ListOffsetsPartitionResponse,
    version: i16,
    result: Result<crate::partition::FoundOffset, FetchError>,
) {
    match result {
        Ok(found) => {
            answer.offset = found.offset;
            answer.timestamp = found.timestamp;
            if version >= EPOCHS_FROM {
                answer.leader_epoch = found.leader_epoch;
            }
        }
        Err(FetchError::OffsetNotAvailable) if version < NOT_AVAILABLE_FROM => {
            answer.error_code = ErrorCode::LeaderNotAvailable.code();
        }
        Err(error) => answer.error_code = ErrorCode::from(error).code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_offset_needs_the_version_that_has_it() {
        let names = [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)];
        for (timestamp, since) in names {
            for version in VERSIONS {
                assert_eq!(query(version, timestamp).is_ok(), version >= since);
            }
        }
        assert_eq!(query(11, -7), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(1, 0), Ok(OffsetQuery::Timestamp(0)));
    }
}
