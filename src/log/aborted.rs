// SPDX-License-Identifier: Apache-2.0
//! The aborted transactions of a log: what readers of committed records have to leave out.
//!
//! `<base>.txnindex`, Kafka's file, has one entry for each transaction whose abort marker lies in
//! that segment, in the order of the markers. A segment without any has no file. Big endian, 34
//! bytes each:
//! ```text
//!  0  version            i16 |  0
//!  2  producer_id        i64
//! 10  first_offset       i64 |  of the transaction; may lie in an earlier segment
//! 18  last_offset        i64 |  of the marker
//! 26  last_stable_offset i64 |  where readers of committed records could read to, once it was
//!                               aborted: no transaction that was aborted later begins before it
//! ```
//! The file has no checksum (it is Kafka's): what does not fit its segment is refused whole, and
//! rebuilt from the batches.
//!
//! Owns: [`AbortedTransactions`]. Invariants: markers ascend; of a segment that is removed nothing
//! is kept. Runs on: the core of the partition.
//! Bounded by: `ABORTED_PER_PARTITION_MAX`: past it no transaction begins here.

use std::collections::{BTreeSet, VecDeque};

use crate::limits::ABORTED_PER_PARTITION_MAX;
use crate::model::ids::Offset;

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;

/// One aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The end of what was decided, once it was aborted.
    pub last_stable_offset: Offset,
}

/// Those of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortedTransactions {
    entries: VecDeque<AbortedTransaction>,
    /// Segments that have a file.
    files: BTreeSet<Offset>,
}

impl AbortedTransactions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if a further transaction may not begin, since it might be aborted.
    #[must_use]
    pub fn is_full(&self, open: usize) -> bool {
        self.entries.len() + open >= ABORTED_PER_PARTITION_MAX
    }

    /// Takes note of one whose marker is the newest.
    pub fn push(&mut self, aborted: AbortedTransaction) {
        let last = self.entries.back();
        assert!(last.is_none_or(|last| last.last_offset < aborted.last_offset));
        assert!(aborted.first_offset <= aborted.last_offset);
        self.entries.push_back(aborted);
    }

    /// Takes over what the file of a segment says.
    pub fn take_file(&mut self, base_offset: Offset, entries: Vec<AbortedTransaction>) {
        self.files.insert(base_offset);
        entries.into_iter().for_each(|aborted| self.push(aborted));
    }

    /// There is a file of this segment, or there is going to be.
    pub fn note_file(&mut self, base_offset: Offset) {
        self.files.insert(base_offset);
    }

    /// Forgets those whose marker is at this offset or behind it: the log was cut there.
    pub fn truncate_from_end(&mut self, offset: Offset) {
        let kept = self.before(offset);
        self.entries.truncate(kept);
    }

    /// The segment with this base offset is gone, and the log begins at `next`. True if it had a
    /// file.
    #[must_use]
    pub fn forget_segment(&mut self, base_offset: Offset, next: Offset) -> bool {
        let gone = self.before(next);
        self.entries.drain(..gone);
        self.files.remove(&base_offset)
    }

    /// The contents of the file of a segment that ends before `next`; nothing if it needs none.
    #[must_use]
    pub fn file(&self, base_offset: Offset, next: Offset) -> Option<Vec<u8>> {
        let range = self.before(base_offset)..self.before(next);
        if range.is_empty() && !self.files.contains(&base_offset) {
            return None;
        }
        let mut file = Vec::with_capacity(range.len() * ENTRY_BYTES);
        for aborted in self.entries.range(range) {
            file.extend_from_slice(&VERSION.to_be_bytes());
            file.extend_from_slice(&aborted.producer_id.to_be_bytes());
            file.extend_from_slice(&aborted.first_offset.to_be_bytes());
            file.extend_from_slice(&aborted.last_offset.to_be_bytes());
            file.extend_from_slice(&aborted.last_stable_offset.to_be_bytes());
        }
        Some(file)
    }

    /// True if the record of this producer at this offset was aborted.
    #[must_use]
    pub fn is_aborted(&self, producer_id: i64, offset: Offset) -> bool {
        for aborted in self.entries.range(self.before(offset)..) {
            if aborted.producer_id == producer_id && aborted.first_offset <= offset {
                return true;
            }
            if aborted.last_stable_offset > offset {
                return false;
            }
        }
        false
    }

    /// The contents of the file of a segment that takes the place of those from `base_offset` to
    /// before `next`, without the transactions of these markers, of which no record is left;
    /// nothing if it needs none, or if the file that is there is right.
    #[must_use]
    pub fn merged_file(
        &self,
        base_offset: Offset,
        next: Offset,
        emptied: &BTreeSet<Offset>,
    ) -> Option<Vec<u8>> {
        let has_others = self.files.range(base_offset + 1..next).next().is_some();
        if emptied.is_empty() && !has_others {
            return None;
        }
        let mut left = AbortedTransactions {
            entries: self.entries.clone(),
            files: self.files.clone(),
        };
        left.merge_files(base_offset, next, emptied);
        left.file(base_offset, next)
    }

    /// One segment stands for those from `base_offset` to before `next`, and of the transactions of
    /// these markers nothing is left. The other segments that had a file.
    pub fn merge_files(
        &mut self,
        base_offset: Offset,
        next: Offset,
        emptied: &BTreeSet<Offset>,
    ) -> Vec<Offset> {
        self.entries
            .retain(|aborted| !emptied.contains(&aborted.last_offset));
        let others: Vec<Offset> = self.files.range(base_offset + 1..next).copied().collect();
        for other in &others {
            self.files.remove(other);
            self.files.insert(base_offset);
        }
        others
    }

    /// True if a read from this offset on may meet one.
    #[must_use]
    pub fn concerns(&self, offset: Offset) -> bool {
        let newest = self.entries.back();
        newest.is_some_and(|newest| newest.last_offset >= offset)
    }

    /// Those that have records from `offset` on and before `end`, by rising first offset: a client
    /// takes them up one after the other as it reads.
    #[must_use]
    pub fn within(&self, offset: Offset, end: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for aborted in self.entries.range(self.before(offset)..) {
            if aborted.first_offset < end {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= end {
                break;
            }
        }
        found.sort_unstable_by_key(|aborted| (aborted.first_offset, aborted.producer_id));
        found
    }

    /// How many have their marker before this offset.
    fn before(&self, offset: Offset) -> usize {
        self.entries
            .partition_point(|aborted| aborted.last_offset < offset)
    }
}

/// Reads the file of a segment that begins at `base_offset` and ends before `next`; `None` if it is
/// damaged.
#[must_use]
pub fn decode(file: &[u8], base_offset: Offset, next: Offset) -> Option<Vec<AbortedTransaction>> {
    let (rows, rest) = file.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let mut entries: Vec<AbortedTransaction> = Vec::with_capacity(rows.len());
    for row in rows {
        let aborted = decode_entry(row)?;
        let follows = entries
            .last()
            .map_or(base_offset, |before| before.last_offset + 1);
        let fits = aborted.producer_id >= 0
            && (0..=aborted.last_offset).contains(&aborted.first_offset)
            && (follows..next).contains(&aborted.last_offset)
            && (0..=aborted.last_offset + 1).contains(&aborted.last_stable_offset);
        if !fits {
            return None;
        }
        entries.push(aborted);
    }
    Some(entries)
}

fn decode_entry(row: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
    let (version, row) = row.split_first_chunk()?;
    let (producer_id, row) = row.split_first_chunk()?;
    let (first_offset, row) = row.split_first_chunk()?;
    let (last_offset, last_stable_offset) = row.split_first_chunk()?;
    let aborted = AbortedTransaction {
        producer_id: i64::from_be_bytes(*producer_id),
        first_offset: i64::from_be_bytes(*first_offset),
        last_offset: i64::from_be_bytes(*last_offset),
        last_stable_offset: i64::from_be_bytes(*last_stable_offset.first_chunk()?),
    };
    (i16::from_be_bytes(*version) == VERSION).then_some(aborted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aborted(
        producer_id: i64,
        first: Offset,
        last: Offset,
        stable: Offset,
    ) -> AbortedTransaction {
        AbortedTransaction {
            producer_id,
            first_offset: first,
            last_offset: last,
            last_stable_offset: stable,
        }
    }

    fn firsts(found: &[AbortedTransaction]) -> Vec<Offset> {
        found.iter().map(|one| one.first_offset).collect()
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        let mut list = AbortedTransactions::default();
        assert_eq!(list.file(0, 100), None, "without transactions no file");
        list.push(aborted(5, 0x11, 0x22, 0x23));
        let mut expected = vec![0, 0];
        for field in [5u8, 0x11, 0x22, 0x23] {
            expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, field]);
        }
        assert_eq!(list.file(0, 100), Some(expected.clone()));
        assert_eq!(
            list.file(0x23, 100),
            None,
            "it is of the segment of its marker"
        );
        let back = decode(&expected, 0, 100).expect("a good file");
        assert_eq!(back, [aborted(5, 0x11, 0x22, 0x23)]);
        let mut other = AbortedTransactions::default();
        other.take_file(0, back);
        assert_eq!(other.within(0, 100), list.within(0, 100));
        other.truncate_from_end(0x22);
        let emptied = other.file(0, 100).expect("the old file must not stay");
        assert!(emptied.is_empty());
    }

    #[test]
    fn what_does_not_fit_the_segment_is_refused() {
        let mut list = AbortedTransactions::default();
        list.push(aborted(5, 11, 22, 23));
        list.push(aborted(6, 21, 30, 31));
        let file = list.file(0, 100).expect("there are two");
        assert!(decode(&file, 11, 31).is_some());
        assert!(
            decode(&file, 23, 31).is_none(),
            "a marker before the segment"
        );
        assert!(decode(&file, 11, 30).is_none(), "a marker behind it");
        assert!(decode(&file[..50], 0, 100).is_none(), "half an entry");
        let mut swapped = file[ENTRY_BYTES..].to_vec();
        swapped.extend_from_slice(&file[..ENTRY_BYTES]);
        assert!(
            decode(&swapped, 0, 100).is_none(),
            "the order of the markers"
        );
        for place in [0, 1, 2, 10, 18, 26] {
            let mut bad = file.clone();
            bad[place] = 0xff;
            assert!(decode(&bad, 0, 100).is_none(), "byte {place}");
        }
    }

    #[test]
    fn a_read_is_told_of_what_it_meets_by_first_offset() {
        let mut list = AbortedTransactions::default();
        // The second began first and ended last.
        list.push(aborted(1, 10, 20, 5));
        list.push(aborted(2, 5, 30, 31));
        list.push(aborted(3, 40, 50, 51));
        assert_eq!(firsts(&list.within(0, 100)), [5, 10, 40]);
        assert_eq!(firsts(&list.within(20, 25)), [5, 10]);
        assert_eq!(firsts(&list.within(21, 40)), [5]);
        assert_eq!(firsts(&list.within(31, 41)), [40]);
        assert!(list.within(0, 5).is_empty());
        assert!(list.concerns(50) && !list.concerns(51));
    }

    #[test]
    fn a_merged_segment_has_what_is_left_of_all() {
        let mut list = AbortedTransactions::default();
        list.take_file(0, vec![aborted(1, 3, 8, 9)]);
        list.take_file(20, vec![aborted(2, 15, 30, 31), aborted(1, 16, 32, 33)]);
        list.take_file(40, vec![aborted(3, 41, 45, 46)]);
        let none = BTreeSet::new();
        assert_eq!(list.merged_file(0, 20, &none), None, "its file is right");
        let merged = list.merged_file(0, 40, &none).expect("it has another");
        let entries = decode(&merged, 0, 40).expect("a good file");
        assert_eq!(firsts(&entries), [3, 15, 16]);
        let emptied = BTreeSet::from([8, 30, 99]);
        let merged = list.merged_file(0, 40, &emptied).expect("it has another");
        let entries = decode(&merged, 0, 40).expect("a good file");
        assert_eq!(firsts(&entries), [16]);
        assert_eq!(list.len(), 4, "nothing has changed yet");
        assert_eq!(list.merge_files(0, 40, &emptied), [20]);
        assert_eq!(list.file(0, 40), Some(merged));
        assert_eq!(list.file(20, 40).map(|file| file.len()), Some(ENTRY_BYTES));
        assert_eq!(firsts(&list.within(0, 100)), [16, 41]);
        // A file that must become empty is written empty.
        let all = BTreeSet::from([32]);
        assert_eq!(list.merged_file(0, 40, &all), Some(Vec::new()));
        assert_eq!(list.merge_files(0, 40, &all), [0i64; 0]);
    }

    #[test]
    fn a_segment_takes_its_own_with_it() {
        let mut list = AbortedTransactions::default();
        list.push(aborted(1, 10, 20, 21));
        list.push(aborted(2, 15, 30, 31));
        list.note_file(0);
        assert!(list.forget_segment(0, 25));
        assert!(!list.forget_segment(0, 25));
        assert_eq!(firsts(&list.within(0, 100)), [15]);
        assert_eq!(list.len(), 1);
        assert!(list.is_full(ABORTED_PER_PARTITION_MAX - 1) && !list.is_full(0));
    }

    proptest! {
        /// Against looking at each entry: no transaction that a read meets is left out, and none
        /// is named that it cannot meet.
        #[test]
        fn a_read_is_told_of_exactly_what_it_meets(
            steps in proptest::collection::vec((0..6i64, 0..4u8), 1..80),
            offset in 0..80i64,
            len in 1..30i64,
        ) {
            let mut open = std::collections::BTreeMap::new();
            let mut list = AbortedTransactions::default();
            let mut all = Vec::new();
            for (at, (producer, what)) in (0i64..).zip(steps) {
                if what > 0 {
                    open.entry(producer).or_insert(at);
                } else if let Some(first) = open.remove(&producer) {
                    let stable = open.values().min().copied().unwrap_or(at + 1);
                    list.push(aborted(producer, first, at, stable));
                    all.push(aborted(producer, first, at, stable));
                }
            }
            let end = offset + len;
            for at in 0..80 {
                for producer in 0..6 {
                    let is_it = |one: &AbortedTransaction| {
                        let range = one.first_offset..=one.last_offset;
                        one.producer_id == producer && range.contains(&at)
                    };
                    let expected = all.iter().any(is_it);
                    prop_assert_eq!(list.is_aborted(producer, at), expected);
                }
            }
            all.retain(|one| one.first_offset < end && one.last_offset >= offset);
            all.sort_by_key(|one| one.first_offset);
            prop_assert_eq!(list.within(offset, end), all);
        }
    }
}
