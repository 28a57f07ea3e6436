// SPDX-License-Identifier: Apache-2.0
//! The newest offset of each key in the dirty part of a log, in memory of a fixed size.
//!
//! A key is known by 128 bits of a hash, as in Kafka: two keys that share them are one key here, so
//! the older one would be lost. SipHash over the key under two prefixes; with 2^32 keys the chance
//! is one in 2^65.
//!
//! Owns: [`OffsetMap`]. Invariants: offsets of one key ascend; a map that is full takes no
//! further key, and says so. Runs on: the core of the partition. Bounded by: the bytes that its
//! maker names; the memory is zeroed pages that cost nothing until they are used.

use std::hash::{DefaultHasher, Hasher};

use crate::model::ids::Offset;

/// Two words of hash, one of offset plus one (zero: nobody is here).
const WORDS: usize = 3;

/// Bytes of one key.
pub(super) const SLOT_BYTES: usize = WORDS * 8;

/// The map.
#[derive(Debug)]
pub(super) struct OffsetMap {
    words: Vec<u64>,
    slots: usize,
    len: usize,
}

fn hash(prefix: u64, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(prefix);
    hasher.write(key);
    hasher.finish()
}

impl OffsetMap {
    /// An empty map for at most so many keys in at most so many bytes.
    pub(super) fn new(keys_max: u64, bytes_max: usize) -> OffsetMap {
        // A tenth stays free, or looking for a key would take long.
        let wanted = keys_max.saturating_add(keys_max / 8).saturating_add(2);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let slots = wanted.min(bytes_max / SLOT_BYTES).max(2);
        OffsetMap {
            words: vec![0; slots * WORDS],
            slots,
            len: 0,
        }
    }

    /// Notes that the key is at this offset. False, and nothing is noted, if there is no room.
    pub(super) fn insert(&mut self, key: &[u8], offset: Offset) -> bool {
        let (first, second) = (hash(0, key), hash(1, key));
        let place = self.place(first, second);
        let noted = u64::try_from(offset).expect("offsets are not negative") + 1;
        let slot = &mut self.words[place * WORDS..(place + 1) * WORDS];
        if slot[2] == 0 {
            if self.len >= self.slots - self.slots.div_ceil(10) {
                return false;
            }
            self.len += 1;
        }
        assert!(noted > slot[2], "the walk ascends");
        slot.copy_from_slice(&[first, second, noted]);
        true
    }

    /// The newest offset of the key, if it was noted.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let place = self.place(hash(0, key), hash(1, key));
        let noted = self.words[place * WORDS + 2].checked_sub(1)?;
        Some(i64::try_from(noted).expect("it was an offset"))
    }

    /// Where the key is, or would be. There is always a free place.
    fn place(&self, first: u64, second: u64) -> usize {
        let slots = u64::try_from(self.slots).expect("fits");
        let start = usize::try_from(first % slots).expect("below the number of slots");
        let mut place = start;
        loop {
            let slot = &self.words[place * WORDS..(place + 1) * WORDS];
            if slot[2] == 0 || (slot[0] == first && slot[1] == second) {
                return place;
            }
            place = (place + 1) % self.slots;
            assert_ne!(place, start, "a tenth stays free");
        }
    }

    /// Bytes of its memory, be they touched or not.
    pub(super) fn held_bytes(&self) -> usize {
        self.slots * SLOT_BYTES
    }

    /// Keys that were noted.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_knows_what_a_map_of_whole_keys_knows(
            keys in proptest::collection::vec(0u16..60, 0..300),
        ) {
            let mut map = OffsetMap::new(60, 1 << 20);
            let mut model = BTreeMap::new();
            for (offset, key) in (0i64..).zip(keys) {
                prop_assert!(map.insert(&key.to_be_bytes(), offset));
                model.insert(key, offset);
            }
            prop_assert_eq!(map.len(), model.len());
            for key in 0u16..80 {
                prop_assert_eq!(map.newest(&key.to_be_bytes()), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_full_map_takes_newer_offsets_and_no_new_key() {
        let mut map = OffsetMap::new(u64::MAX, 100 * SLOT_BYTES);
        let fits = (0..200u32).take_while(|key| map.insert(&key.to_be_bytes(), i64::from(*key)));
        assert_eq!(fits.count(), 90);
        assert!(map.insert(&7u32.to_be_bytes(), 1000));
        assert!(!map.insert(&5000u32.to_be_bytes(), 1001));
        assert_eq!(map.newest(&7u32.to_be_bytes()), Some(1000));
        assert_eq!(map.newest(&5000u32.to_be_bytes()), None);
    }

    #[test]
    fn the_smallest_map_holds_a_key() {
        let mut map = OffsetMap::new(0, 0);
        assert!(map.insert(b"", 0));
        assert!(!map.insert(b"x", 1));
        assert_eq!(map.newest(b""), Some(0));
    }
}
