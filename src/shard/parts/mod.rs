// SPDX-License-Identifier: Apache-2.0
//! This shard's parts of requests, whichever shard's client made them: what is under way on its own
//! partitions.
//!
//! Owns: [`PartTable`]. Invariants: a part is answered once to the shard that asked and then
//! forgotten; what comes in for a forgotten part is dropped. Runs on: the shard that owns the
//! partitions.
//! Bounded by: the requests in flight of all shards.

pub mod asks;
pub mod fetch;
pub mod markers;
pub mod offsets;
pub mod produce;
pub mod verifications;
pub mod verify;

use crate::model::ids::ShardId;
use crate::model::number_map::NumberMap;
use asks::AsksPart;
use fetch::FetchPart;
use offsets::OffsetsPart;
use produce::ProducePart;

/// Bits of a [`SubId`] that name the place within its part.
const PLACE_BITS: u32 = 24;

/// Most partitions that one part may name.
pub const PLACES_MAX: usize = 1 << PLACE_BITS;

/// Names one partition's share of a part, so that its end finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubId {
    /// The part.
    pub part: u64,
    /// The place within the part.
    pub place: usize,
}

impl SubId {
    /// As one number.
    #[must_use]
    pub fn pack(self) -> u64 {
        assert!(self.place < PLACES_MAX, "requests are bounded before");
        let place = u64::try_from(self.place).expect("bounded above");
        self.part << PLACE_BITS | place
    }

    /// From one number.
    #[must_use]
    pub fn unpack(number: u64) -> SubId {
        let place = number & ((1 << PLACE_BITS) - 1);
        SubId {
            part: number >> PLACE_BITS,
            place: usize::try_from(place).expect("24 bits fit"),
        }
    }
}

/// Where the answer of one partition stands in the answer of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerPlace {
    /// Which topic.
    pub topic: usize,
    /// Which of its partitions.
    pub partition: usize,
}

/// A part under way.
#[derive(Debug)]
pub enum Part {
    /// Appends.
    Produce(ProducePart),
    /// Reads.
    Fetch(FetchPart),
    /// Look-ups of offsets.
    Offsets(OffsetsPart),
    /// Questions that are asked seldom.
    Asks(AsksPart),
}

/// All parts under way.
#[derive(Debug, Default)]
pub struct PartTable {
    parts: NumberMap<Part>,
    /// Parts of fetches by who asked, since the asker may end them.
    fetches: NumberMap<u64>,
    next: u64,
}

impl PartTable {
    /// A number for a part.
    pub fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// True if none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn insert(&mut self, number: u64, part: Part) {
        if let Part::Fetch(fetch) = &part {
            self.fetches
                .insert(asked_by(fetch.asker, fetch.request), number);
        }
        let before = self.parts.insert(number, part);
        assert!(before.is_none(), "a number is used once");
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Part> {
        self.parts.get_mut(number)
    }

    fn remove(&mut self, number: u64) -> Option<Part> {
        let part = self.parts.remove(number)?;
        if let Part::Fetch(fetch) = &part {
            self.fetches.remove(asked_by(fetch.asker, fetch.request));
        }
        Some(part)
    }

    fn fetch_number(&self, asker: ShardId, request: u64) -> Option<u64> {
        self.fetches.get(asked_by(asker, request)).copied()
    }
}

/// One number for a request and the shard that it came from.
fn asked_by(asker: ShardId, request: u64) -> u64 {
    assert!(request < 1 << 48, "a shard counts its requests from 0");
    u64::from(asker.0) << 48 | request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_id_survives_packing() {
        for part in [0, 1, u64::from(u32::MAX)] {
            for place in [0, 1, PLACES_MAX - 1] {
                let id = SubId { part, place };
                assert_eq!(SubId::unpack(id.pack()), id);
            }
        }
    }
}
