// SPDX-License-Identifier: Apache-2.0
//! A small deterministic generator (xoshiro256**), one stream per concern.
//!
//! Invariants: the same seed and salt give the same draws for ever; a draw of one stream never
//! moves another, so that a new network draw leaves the workload of an old seed as it was.

/// What a stream of random numbers is for. The number is part of the seed of the stream.
#[derive(Clone, Copy)]
pub enum Salt {
    /// The parameters of the whole run.
    Plan = 1,
    /// What the clients do.
    Workload = 2,
    /// Delays and drops between clients and broker, and between cores.
    Network = 3,
    /// Latencies, orders and errors of the disk.
    Disk = 4,
    /// When the process dies, how, and how it comes back.
    Crash = 5,
    /// What a start draws for itself: ids and entropy.
    Boot = 6,
    /// Which partition moves to which shard, and when.
    Moves = 7,
    /// Which groups there are, and their members.
    Groups = 8,
    /// Who writes to a compacted topic.
    Keys = 9,
    /// Which transactional producers there are.
    Transactions = 10,
    /// Which members of the new group protocol there are.
    NewMembers = 11,
}

/// One stream.
#[derive(Clone)]
pub struct Prng([u64; 4]);

impl Prng {
    /// The stream of a seed for one concern.
    pub fn new(seed: u64, salt: Salt) -> Prng {
        let mut state = seed ^ (salt as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Prng(std::array::from_fn(|_| splitmix(&mut state)))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("a product of 64-bit numbers shifted by 64")
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high);
        low + self.below(high - low + 1)
    }

    /// A number in `low..=high`, small ones more often: uniform in its logarithm.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        assert!(low > 0 && low <= high);
        let span_bits = u64::from((high / low).ilog2()) + 1;
        let ceiling = low
            .saturating_mul(1 << self.between(0, span_bits))
            .min(high);
        self.between(low, ceiling)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Sixteen bytes.
    pub fn bytes_16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.draw().to_le_bytes());
        bytes[8..].copy_from_slice(&self.draw().to_le_bytes());
        bytes
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A digest that the checkers use to compare payloads (FNV-1a over 8-byte words, then over the
/// rest).
pub fn digest(bytes: &[u8], start: u64) -> u64 {
    let mut hash = start ^ 0xcbf2_9ce4_8422_2325;
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        hash = (hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (bytes.len() as u64).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draws = |salt| {
            let mut prng = Prng::new(7, salt);
            (0..8).map(|_| prng.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(Salt::Disk), draws(Salt::Disk));
        assert_ne!(draws(Salt::Disk), draws(Salt::Network));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut prng = Prng::new(1, Salt::Plan);
        for _ in 0..1000 {
            assert!(prng.below(3) < 3);
            assert!((5..=9).contains(&prng.between(5, 9)));
            assert!((4..=900).contains(&prng.skewed(4, 900)));
        }
        assert!(!prng.chance(0));
        assert!(prng.chance(1000));
    }
}
