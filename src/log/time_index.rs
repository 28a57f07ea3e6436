// SPDX-License-Identifier: Apache-2.0
//! The sparse time index of one segment: from a timestamp to an offset before which every record is
//! older.
//!
//! The file `<base offset>.timeindex` is a row of entries of 12 bytes, big endian, timestamps
//! ascending:
//! ```text
//! 0  timestamp        i64 |  the largest timestamp of the segment up to here, in ms since 1970
//! 8  relative_offset  i32 |  LAST offset of the batch that carries it, minus the base offset
//! ```
//!
//! Owns: the entries. Invariants: timestamps strictly ascend, offsets never fall; a sealed
//! segment's last entry is its largest timestamp. Runs on: the core of the partition. Bounded by:
//! `segment.index.bytes` (the log rolls when full).

use crate::model::ids::Offset;

/// Bytes of one entry.
pub const TIME_INDEX_ENTRY_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    timestamp: i64,
    relative_offset: i32,
}

/// The time index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

impl TimeIndex {
    /// An empty index.
    #[must_use]
    pub fn new(base_offset: Offset) -> TimeIndex {
        assert!(base_offset >= 0);
        TimeIndex {
            base_offset,
            entries: Vec::new(),
        }
    }

    /// Adds the largest timestamp so far and the last offset of the batch that carries it, unless
    /// it is no news.
    pub fn maybe_append(&mut self, timestamp: i64, last_offset: Offset) {
        let relative_offset = i32::try_from(last_offset - self.base_offset)
            .expect("the log rolls before a relative offset exceeds 31 bits");
        if let Some(last) = self.entries.last() {
            if timestamp <= last.timestamp {
                return;
            }
            assert!(relative_offset >= last.relative_offset);
        }
        self.entries.push(Entry {
            timestamp,
            relative_offset,
        });
    }

    /// An offset at which a search for the first record of at least `timestamp` may start.
    #[must_use]
    pub fn floor(&self, timestamp: i64) -> Offset {
        let after = self
            .entries
            .partition_point(|entry| entry.timestamp < timestamp);
        match after.checked_sub(1) {
            None => self.base_offset,
            Some(place) => self.base_offset + i64::from(self.entries[place].relative_offset),
        }
    }

    /// The last entry: timestamp and offset.
    #[must_use]
    pub fn last(&self) -> Option<(i64, Offset)> {
        self.entries.last().map(|entry| {
            (
                entry.timestamp,
                self.base_offset + i64::from(entry.relative_offset),
            )
        })
    }

    /// Drops every entry whose offset is at or above `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let base = self.base_offset;
        let keep = self
            .entries
            .partition_point(|entry| base + i64::from(entry.relative_offset) < offset);
        self.entries.truncate(keep);
    }

    /// True once no further entry may be added; one place is kept for the entry made at the roll.
    #[must_use]
    pub fn is_full(&self, index_bytes_max: u32) -> bool {
        let bytes = (self.entries.len() + 2) * TIME_INDEX_ENTRY_BYTES;
        u32::try_from(bytes).map_or(true, |bytes| bytes > index_bytes_max)
    }

    /// The contents of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.entries.len() * TIME_INDEX_ENTRY_BYTES);
        for entry in &self.entries {
            file.extend_from_slice(&entry.timestamp.to_be_bytes());
            file.extend_from_slice(&entry.relative_offset.to_be_bytes());
        }
        file
    }

    /// Reads the file of a segment that ends before `next_offset`; `None` if it is damaged.
    #[must_use]
    pub fn decode(base_offset: Offset, next_offset: Offset, file: &[u8]) -> Option<TimeIndex> {
        let (rows, rest) = file.as_chunks::<TIME_INDEX_ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(rows.len());
        for row in rows {
            let (timestamp, offset) = row.split_at(8);
            let entry = Entry {
                timestamp: i64::from_be_bytes(timestamp.try_into().ok()?),
                relative_offset: i32::from_be_bytes(offset.try_into().ok()?),
            };
            let ascends = entries.last().is_none_or(|last| {
                entry.timestamp > last.timestamp && entry.relative_offset >= last.relative_offset
            });
            let is_inside = entry.relative_offset >= 0
                && base_offset + i64::from(entry.relative_offset) < next_offset;
            if !ascends || !is_inside {
                return None;
            }
            entries.push(entry);
        }
        Some(TimeIndex {
            base_offset,
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> TimeIndex {
        let mut index = TimeIndex::new(500);
        index.maybe_append(1_700_000_000_000, 509);
        index.maybe_append(1_700_000_000_000, 512);
        index.maybe_append(1_700_000_000_256, 520);
        index
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        let expected = [
            0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 9, // 1700000000000, 509
            0, 0, 1, 0x8b, 0xcf, 0xe5, 0x69, 0, 0, 0, 0, 20, // 1700000000256, 520
        ];
        assert_eq!(index().encode(), expected);
        assert_eq!(TimeIndex::decode(500, 521, &expected), Some(index()));
    }

    #[test]
    fn an_older_timestamp_adds_nothing() {
        let mut index = index();
        index.maybe_append(5, 600);
        assert_eq!(index.last(), Some((1_700_000_000_256, 520)));
    }

    #[test]
    fn a_search_starts_before_the_first_record_that_is_new_enough() {
        let index = index();
        assert_eq!(index.floor(0), 500);
        // The batch that first carried this timestamp ends at 509, so the search must start there.
        assert_eq!(index.floor(1_700_000_000_000), 500);
        assert_eq!(index.floor(1_700_000_000_001), 509);
        assert_eq!(index.floor(i64::MAX), 520);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let good = index().encode();
        assert!(TimeIndex::decode(500, 521, &good[1..]).is_none());
        assert!(TimeIndex::decode(500, 520, &good).is_none());
        let mut zero_tail = good;
        zero_tail.extend_from_slice(&[0; 12]);
        assert!(TimeIndex::decode(500, 521, &zero_tail).is_none());
    }

    #[test]
    fn fullness_keeps_a_place_for_the_roll() {
        assert!(!index().is_full(48));
        assert!(index().is_full(47));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_none_or_to_themselves(
            file in proptest::collection::vec(any::<u8>(), 0..72),
        ) {
            if let Some(index) = TimeIndex::decode(0, i64::MAX, &file) {
                prop_assert_eq!(index.encode(), file);
            }
        }
    }
}
