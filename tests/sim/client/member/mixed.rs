// SPDX-License-Identifier: Apache-2.0
//! A classic member of a group that has members of the new protocol as well, now and then: what it
//! holds is noted as theirs is.
//!
//! Invariants: it takes what it was assigned with its first heartbeat that is answered well, and
//! holds it as long as its session lasts, counted from when it asked; it gives up everything before
//! it joins again. It sends no join twice: the coordinator would take the second for its word that
//! it has given up what it was assigned in the meantime.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::{Board, Context};
use super::Member;
use crate::history::groups::MIXED_GROUP;
use crate::history::owners::{OwnerEntry, Spot};
use crate::history::{Entry, History, Place};

impl Member {
    /// True for a member of the group with members of both protocols.
    pub(super) fn is_mixed(&self) -> bool {
        self.plan.group == MIXED_GROUP
    }

    /// It was assigned something.
    pub(super) fn note_told(
        &mut self,
        context: &mut Context<'_>,
        (id, called, generation): (String, usize, i32),
        places: &[Place],
        is_mine: bool,
    ) {
        context.history.push(Entry::Owner(OwnerEntry::Epoch {
            group: MIXED_GROUP,
            member: id,
            called,
            epoch: generation,
        }));
        if is_mine {
            self.told = places.to_vec();
        }
    }

    /// A heartbeat was answered well that left then.
    pub(super) fn take_hold(&mut self, context: &mut Context<'_>, sent_us: u64) {
        if sent_us + self.session_us() <= context.now_us {
            return;
        }
        self.heard_us = self.heard_us.max(sent_us);
        if self.owned.is_empty() {
            self.owned = self.told.clone();
        }
        self.has_noted = !self.owned.is_empty();
        self.note_holds(context);
    }

    /// It holds nothing any more, if that is so.
    pub(super) fn note_end(&mut self, context: &mut Context<'_>) {
        if self.is_mixed() && self.owned.is_empty() && std::mem::take(&mut self.has_noted) {
            self.note_holds(context);
        }
    }

    fn note_holds(&mut self, context: &mut Context<'_>) {
        let board = &*context.board;
        let spots = self.owned.iter();
        let spots: Vec<Spot> = spots
            .filter_map(|place| {
                let topic = board.topic(place.topic)?;
                (!topic.id.is_zero()).then_some((topic.id, place.partition))
            })
            .collect();
        if !spots.is_empty() {
            self.held_as = self.id.clone();
        }
        context.history.push(Entry::Owner(OwnerEntry::Holds {
            group: MIXED_GROUP,
            member: self.held_as.clone(),
            at_us: context.now_us,
            until_us: self.heard_us + self.session_us(),
            spots,
        }));
    }

    /// True if it must not think any more that it holds what it holds.
    pub(super) fn is_over(&self, now_us: u64) -> bool {
        let is_over = self.heard_us + self.session_us() <= now_us;
        self.is_mixed() && !self.owned.is_empty() && is_over
    }
}

/// An assignment as consumers know it (`ConsumerProtocolAssignment` v0).
pub(super) fn encode(history: &History, places: &[Place]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(places.len()).expect("few partitions"));
    for place in places {
        let name = &history.topics[place.topic];
        bytes.put_i16(i16::try_from(name.len()).expect("a short name"));
        bytes.put_slice(name.as_bytes());
        bytes.put_i32(1);
        bytes.put_i32(place.partition);
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Reads one of any version; nothing is assigned where there is none.
pub(super) fn decode(board: &Board, mut bytes: Bytes) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    if bytes.is_empty() {
        return Some(places);
    }
    bytes.try_get_i16().ok()?;
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if length > bytes.len() {
            return None;
        }
        let name = bytes.split_to(length);
        let name = std::str::from_utf8(&name).ok()?.to_owned();
        let topic = board.topics.iter().find(|known| known.name == name);
        for _ in 0..bytes.try_get_i32().ok()? {
            let partition = bytes.try_get_i32().ok()?;
            if let Some(topic) = topic.map(|known| known.topic) {
                places.push(Place { topic, partition });
            }
        }
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::KnownTopic;
    use furlong::model::ids::Uuid;

    #[test]
    fn an_assignment_is_read_back_whole() {
        let mut history = History::default();
        let mut board = Board::new();
        for name in ["stay-0", "kept-1"] {
            board.topics.push(KnownTopic {
                topic: history.topic(name),
                name: name.to_owned(),
                id: Uuid([1; 16]),
                partitions: 4,
                usable: true,
            });
        }
        let places = [(1, 3), (0, 0)].map(|(topic, partition)| Place { topic, partition });
        let bytes = encode(&history, &places);
        assert_eq!(decode(&board, bytes.clone()), Some(places.to_vec()));
        assert_eq!(decode(&board, bytes.slice(..bytes.len() - 10)), None);
        assert_eq!(decode(&board, Bytes::new()), Some(Vec::new()));
    }
}
