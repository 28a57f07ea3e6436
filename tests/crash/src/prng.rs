// SPDX-License-Identifier: Apache-2.0
//! Pseudo-random numbers from a seed (splitmix64), one stream per concern, so that a draw for one
//! does not change another.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Prng(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Prng {
    /// The stream of a seed and of what it is for.
    pub fn new(seed: u64, purpose: u64) -> Prng {
        let mut prng = Prng(seed ^ purpose.wrapping_mul(STEP).rotate_left(17));
        prng.next();
        prng
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0");
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).expect("below 2^64")
    }

    /// An index below `end`.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).expect("64 bits"))).expect("64 bits")
    }

    /// A number from `first` to `last`, small ones more often.
    pub fn mostly_small(&mut self, first: u64, last: u64) -> u64 {
        let span = self.below(last - first + 1) + 1;
        first + self.below(span)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}
