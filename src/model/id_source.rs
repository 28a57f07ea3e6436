// SPDX-License-Identifier: Apache-2.0
//! Draws ids that are unlike all others: of topics, of members of groups.
//!
//! Owns: [`IdSource`], the generator xoshiro256**. Invariants: the same seed draws the same ids;
//! one that differs in a single bit draws others from the first one on; an id is a random UUID
//! (version 4), and its text never begins with `-`, so that a command line takes it.
//! Runs on: the core of its owner. Bounded by: its four words.

use super::ids::Uuid;

/// Index of `-` in the alphabet of the text form.
const DASH: u8 = 62;

/// Steps until every bit of a seed has reached every word: the first numbers come of one word each.
const STEPS_BEFORE_FIRST: usize = 32;

/// A source of ids.
#[derive(Clone, Debug)]
pub struct IdSource {
    words: [u64; 4],
}

impl IdSource {
    /// A source that draws what this seed gives.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> IdSource {
        let mut words = [0x9e37_79b9_7f4a_7c15; 4];
        let (chunks, _) = seed.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word ^= u64::from_le_bytes(*chunk);
        }
        // A state of zeros only would stay so for ever.
        if words == [0; 4] {
            words[0] = 1;
        }
        let mut source = IdSource { words };
        for _ in 0..STEPS_BEFORE_FIRST {
            source.word();
        }
        source
    }

    /// The next id.
    pub fn draw(&mut self) -> Uuid {
        loop {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&self.word().to_be_bytes());
            id[8..].copy_from_slice(&self.word().to_be_bytes());
            id[6] = (id[6] & 0x0f) | 0x40;
            id[8] = (id[8] & 0x3f) | 0x80;
            if id[0] >> 2 != DASH {
                return Uuid(id);
            }
        }
    }

    fn word(&mut self) -> u64 {
        let [a, b, c, d] = self.words;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.words = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_distinct_random_uuids() {
        let mut source = IdSource::new([7; 32]);
        let ids: BTreeSet<Uuid> = (0..10_000).map(|_| source.draw()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in &ids {
            assert_eq!((id.0[6] >> 4, id.0[8] >> 6), (4, 2));
            assert!(!id.to_string().starts_with('-'));
        }
    }

    #[test]
    fn a_seed_decides() {
        let drawn = |seed: u8| IdSource::new([seed; 32]).draw();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_ne!(drawn(0), Uuid::ZERO);
    }

    #[test]
    fn every_bit_of_a_seed_counts_for_the_first_id() {
        let like_none = IdSource::new([7; 32]).draw();
        for bit in 0..256 {
            let mut seed = [7; 32];
            seed[bit / 8] ^= 1 << (bit % 8);
            let id = IdSource::new(seed).draw();
            let pairs = id.0.iter().zip(&like_none.0);
            let differing: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!(
                differing > 30,
                "bit {bit} changes {differing} bits of the id"
            );
        }
    }
}
