// SPDX-License-Identifier: Apache-2.0
//! The sparse offset index of one segment: from an offset to the position of a batch at or below
//! it.
//!
//! The file `<base offset>.index` is a row of entries of 8 bytes, big endian, ascending in both
//! fields:
//! ```text
//! 0  relative_offset  i32 |  LAST offset of a batch, minus the segment's base offset
//! 4  position         i32 |  where that batch starts in the .log file, in bytes
//! ```
//!
//! Owns: the entries. Invariants: offsets and positions strictly ascend; the index is a hint that
//! can be rebuilt from the segment at any time. Runs on: the core of the partition.
//! Bounded by: `segment.index.bytes` (the log rolls when it is full).

use crate::model::ids::Offset;

/// Bytes of one entry.
pub const OFFSET_INDEX_ENTRY_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    relative_offset: i32,
    position: i32,
}

/// Where a search in a segment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedPosition {
    /// Byte position of a batch.
    pub position: u64,
    /// The last offset of that batch; `None` for the start of the segment.
    pub last_offset: Option<Offset>,
}

/// The offset index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

impl OffsetIndex {
    /// An empty index.
    #[must_use]
    pub fn new(base_offset: Offset) -> OffsetIndex {
        assert!(base_offset >= 0);
        OffsetIndex {
            base_offset,
            entries: Vec::new(),
        }
    }

    /// Adds a batch by its last offset and position.
    ///
    /// # Panics
    /// If the entry does not ascend or does not fit: the log rolls before that can happen.
    pub fn append(&mut self, last_offset: Offset, position: u64) {
        let relative_offset = i32::try_from(last_offset - self.base_offset)
            .expect("the log rolls before a relative offset exceeds 31 bits");
        let position =
            i32::try_from(position).expect("the log rolls before a position exceeds 31 bits");
        if let Some(last) = self.entries.last() {
            assert!(relative_offset > last.relative_offset);
            assert!(position > last.position);
        }
        self.entries.push(Entry {
            relative_offset,
            position,
        });
    }

    /// The last indexed batch whose last offset is at or below `offset`; the segment's start if
    /// there is none.
    #[must_use]
    pub fn floor(&self, offset: Offset) -> IndexedPosition {
        let relative = offset - self.base_offset;
        let after = self
            .entries
            .partition_point(|entry| i64::from(entry.relative_offset) <= relative);
        match after.checked_sub(1).map(|place| self.entries[place]) {
            None => IndexedPosition {
                position: 0,
                last_offset: None,
            },
            Some(entry) => IndexedPosition {
                position: u64::from(entry.position.unsigned_abs()),
                last_offset: Some(self.base_offset + i64::from(entry.relative_offset)),
            },
        }
    }

    /// Position of the last entry, if any.
    #[must_use]
    pub fn last_position(&self) -> Option<u64> {
        self.entries
            .last()
            .map(|entry| u64::from(entry.position.unsigned_abs()))
    }

    /// Drops every entry at or above `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let base = self.base_offset;
        let keep = self
            .entries
            .partition_point(|entry| base + i64::from(entry.relative_offset) < offset);
        self.entries.truncate(keep);
    }

    /// True once no further entry may be added.
    #[must_use]
    pub fn is_full(&self, index_bytes_max: u32) -> bool {
        let bytes = (self.entries.len() + 1) * OFFSET_INDEX_ENTRY_BYTES;
        u32::try_from(bytes).map_or(true, |bytes| bytes > index_bytes_max)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The contents of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.entries.len() * OFFSET_INDEX_ENTRY_BYTES);
        for entry in &self.entries {
            file.extend_from_slice(&entry.relative_offset.to_be_bytes());
            file.extend_from_slice(&entry.position.to_be_bytes());
        }
        file
    }

    /// Reads the file of a segment of `segment_bytes` that ends before `next_offset`; `None` if it
    /// is damaged.
    #[must_use]
    pub fn decode(
        base_offset: Offset,
        next_offset: Offset,
        segment_bytes: u64,
        file: &[u8],
    ) -> Option<OffsetIndex> {
        let (rows, rest) = file.as_chunks::<OFFSET_INDEX_ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(rows.len());
        for row in rows {
            let [o0, o1, o2, o3, p0, p1, p2, p3] = *row;
            let entry = Entry {
                relative_offset: i32::from_be_bytes([o0, o1, o2, o3]),
                position: i32::from_be_bytes([p0, p1, p2, p3]),
            };
            let ascends = entries.last().is_none_or(|last| {
                entry.relative_offset > last.relative_offset && entry.position > last.position
            });
            let is_inside = entry.relative_offset >= 0
                && base_offset + i64::from(entry.relative_offset) < next_offset
                && u64::try_from(entry.position).is_ok_and(|position| position < segment_bytes);
            if !ascends || !is_inside {
                return None;
            }
            entries.push(entry);
        }
        Some(OffsetIndex {
            base_offset,
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> OffsetIndex {
        let mut index = OffsetIndex::new(1000);
        index.append(1009, 4096);
        index.append(1020, 8500);
        index.append(1300, 70_000);
        index
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        let expected = [
            0, 0, 0, 9, 0, 0, 0x10, 0, // 1009 at 4096
            0, 0, 0, 20, 0, 0, 0x21, 0x34, // 1020 at 8500
            0, 0, 1, 0x2c, 0, 1, 0x11, 0x70, // 1300 at 70000
        ];
        assert_eq!(index().encode(), expected);
        assert_eq!(
            OffsetIndex::decode(1000, 1301, 70_001, &expected),
            Some(index())
        );
    }

    #[test]
    fn a_floor_is_the_last_entry_at_or_below() {
        let index = index();
        let floor = |offset| index.floor(offset);
        assert_eq!(
            floor(1008),
            IndexedPosition {
                position: 0,
                last_offset: None
            }
        );
        assert_eq!(
            floor(1009),
            IndexedPosition {
                position: 4096,
                last_offset: Some(1009)
            }
        );
        assert_eq!(floor(1019).position, 4096);
        assert_eq!(floor(1020).position, 8500);
        assert_eq!(floor(i64::MAX).position, 70_000);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let good = index().encode();
        let decode = |file: &[u8]| OffsetIndex::decode(1000, 1301, 70_001, file);
        assert!(decode(&good[..good.len() - 1]).is_none(), "half an entry");
        assert!(
            OffsetIndex::decode(1000, 1300, 70_001, &good).is_none(),
            "past the end"
        );
        assert!(
            OffsetIndex::decode(1000, 1301, 70_000, &good).is_none(),
            "past the bytes"
        );
        let mut zero_tail = good.clone();
        zero_tail.extend_from_slice(&[0; 8]);
        assert!(decode(&zero_tail).is_none(), "does not ascend");
        let mut negative = good;
        negative[0] = 0x80;
        assert!(decode(&negative).is_none());
    }

    #[test]
    fn truncation_drops_what_reaches_the_offset() {
        let mut index = index();
        index.truncate_to(1020);
        assert_eq!(index.len(), 1);
        index.truncate_to(1000);
        assert!(index.is_empty());
    }

    #[test]
    fn fullness_counts_the_next_entry() {
        assert!(!index().is_full(32));
        assert!(index().is_full(31));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_none_or_to_themselves(
            file in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Some(index) = OffsetIndex::decode(0, i64::MAX, u64::MAX, &file) {
                prop_assert_eq!(index.encode(), file);
            }
        }
    }
}
