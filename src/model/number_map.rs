// SPDX-License-Identifier: Apache-2.0
//! Values under numbers that their owner gave out, found without a search tree: a warm map
//! allocates nothing, however values come and go.
//!
//! Owns: [`NumberMap`]. Invariants: its order is nobody's business, so there is no way to walk it;
//! who wants all values takes them out by rising number. The numbers come from counters of this
//! process, never from a peer, so the hash needs no secret. Runs on: every core. Bounded by: its
//! owner.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Spreads the bits of one number: neighbours differ at both ends of the hash.
#[derive(Clone, Copy, Debug, Default)]
struct NumberHasher {
    hash: u64,
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.hash ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Two multiplications, so that high bits reach the low end too.
        let spread = (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spread = (spread ^ (spread >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.hash = spread ^ (spread >> 32);
    }
}

/// Values under numbers.
#[derive(Clone, Debug)]
pub struct NumberMap<V> {
    values: HashMap<u64, V, BuildHasherDefault<NumberHasher>>,
}

impl<V> Default for NumberMap<V> {
    fn default() -> NumberMap<V> {
        NumberMap {
            values: HashMap::default(),
        }
    }
}

impl<V> NumberMap<V> {
    /// Keeps a value. Gives the one that was there.
    pub fn insert(&mut self, number: u64, value: V) -> Option<V> {
        self.values.insert(number, value)
    }

    /// The value under a number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&V> {
        self.values.get(&number)
    }

    /// The value under a number, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        self.values.get_mut(&number)
    }

    /// Takes out the value under a number.
    pub fn remove(&mut self, number: u64) -> Option<V> {
        self.values.remove(&number)
    }

    /// Takes out everything, by rising number.
    #[must_use]
    pub fn take_all(&mut self) -> Vec<(u64, V)> {
        let taken = std::mem::take(&mut self.values);
        let mut all: Vec<(u64, V)> = Vec::with_capacity(taken.len());
        all.extend(taken);
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_a_tree_holds(
            steps in proptest::collection::vec((any::<bool>(), 0u64..40), 0..200),
        ) {
            let (mut map, mut tree) = (NumberMap::default(), BTreeMap::new());
            for (place, (inserts, number)) in steps.into_iter().enumerate() {
                // Numbers that differ in their high bits only must not fall together.
                let number = number << 40;
                if inserts {
                    prop_assert_eq!(map.insert(number, place), tree.insert(number, place));
                } else {
                    prop_assert_eq!(map.remove(number), tree.remove(&number));
                }
                prop_assert_eq!(map.get(number), tree.get(&number));
                prop_assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
            }
            let all: Vec<(u64, usize)> = tree.into_iter().collect();
            prop_assert_eq!(map.take_all(), all);
            prop_assert!(map.is_empty());
        }
    }

    #[test]
    fn numbers_in_a_row_spread_over_both_ends_of_the_hash() {
        let hash = |number| {
            let mut hasher = NumberHasher::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        for shift in [0, 24, 48] {
            let low: std::collections::BTreeSet<u64> = (0..128)
                .map(|number: u64| hash(number << shift) & 127)
                .collect();
            let high: std::collections::BTreeSet<u64> = (0..128)
                .map(|number: u64| hash(number << shift) >> 57)
                .collect();
            assert!(
                low.len() > 48 && high.len() > 48,
                "{shift}: {} {}",
                low.len(),
                high.len()
            );
        }
    }
}
