// SPDX-License-Identifier: Apache-2.0
//! Look-ups of offsets in partitions of this shard.
//!
//! Owns: the ListOffsets parts. Invariants: a part is answered when every one of its look-ups has
//! ended.
//! Runs on: the shard that owns the partitions. Bounded by: the requests in flight.

use super::{Part, SubId};
use crate::model::ids::{LeaderEpoch, ShardId, TopicPartition};
use crate::partition::{FetchError, FoundOffset, Isolation, OffsetQuery, QueryStart};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;

/// A look-up in one partition.
#[derive(Clone, Copy, Debug)]
pub struct OffsetLookup {
    /// Comes back with the result.
    pub place: usize,
    /// Where.
    pub at: TopicPartition,
    /// What.
    pub query: OffsetQuery,
    /// Leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// What of transactions the client sees.
    pub isolation: Isolation,
}

/// How one look-up ended.
#[derive(Debug)]
pub struct OffsetResult {
    /// Of the look-up.
    pub place: usize,
    /// The outcome.
    pub result: Result<FoundOffset, FetchError>,
}

/// Look-ups under way for one request.
#[derive(Debug)]
pub struct OffsetsPart {
    asker: ShardId,
    request: u64,
    /// Places in the request, in the order of the look-ups.
    places: Vec<usize>,
    results: Vec<OffsetResult>,
}

impl Shard {
    /// Looks up offsets for a request of `asker`.
    pub(in crate::shard) fn handle_offsets(
        &mut self,
        asker: ShardId,
        request: u64,
        lookups: Vec<OffsetLookup>,
        effects: &mut Effects,
    ) {
        let number = self.parts.next_number();
        let part = OffsetsPart {
            asker,
            request,
            places: lookups.iter().map(|lookup| lookup.place).collect(),
            results: Vec::with_capacity(lookups.len()),
        };
        self.parts.insert(number, Part::Offsets(part));
        for (place, lookup) in lookups.into_iter().enumerate() {
            let sub = SubId {
                part: number,
                place,
            };
            let started = self.on_partition(lookup.at, &mut effects.disk, |partition, disk, _| {
                partition.handle_offset_query(
                    sub.pack(),
                    lookup.query,
                    lookup.current_leader_epoch,
                    lookup.isolation,
                    disk,
                )
            });
            match started.unwrap_or(Err(FetchError::NotLeader)) {
                Ok(QueryStart::Started) => {}
                Ok(QueryStart::Done(found)) => self.handle_offset_found(sub, Ok(found), effects),
                Err(error) => self.handle_offset_found(sub, Err(error), effects),
            }
        }
    }

    /// A look-up ended.
    pub(in crate::shard) fn handle_offset_found(
        &mut self,
        sub: SubId,
        result: Result<FoundOffset, FetchError>,
        effects: &mut Effects,
    ) {
        let Some(Part::Offsets(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        let place = part.places[sub.place];
        part.results.push(OffsetResult { place, result });
        if part.results.len() < part.places.len() {
            return;
        }
        if let Some(Part::Offsets(part)) = self.parts.remove(sub.part) {
            let answer = MeshMessage::OffsetsFound {
                request: part.request,
                results: part.results,
            };
            self.send(part.asker, answer, effects);
        }
    }
}
