// SPDX-License-Identifier: Apache-2.0
//! Which partition a key belongs to: as the Java client decides it, so that producers of different
//! languages agree.
//!
//! Owns: murmur2 as Kafka seeds it. Invariants: the result depends on the key and the number of
//! partitions alone. Runs on: any thread (pure). Bounded by: the key.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The 32-bit murmur2 hash with Kafka's seed.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    // Java's lengths are 32 bits wide.
    let length = u32::try_from(bytes.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut hash = SEED ^ length;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes(word.try_into().expect("four bytes"));
        word = word.wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        word = word.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let mut word = [0; 4];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The place of `key` among `partitions` partitions.
///
/// # Panics
/// If there are no partitions.
#[must_use]
pub fn partition_of(key: &[u8], partitions: usize) -> usize {
    assert!(partitions > 0, "a topic has a partition");
    let positive = usize::try_from(murmur2(key) & 0x7fff_ffff).expect("31 bits");
    positive % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own test of this hash.
    #[test]
    fn the_hash_is_that_of_the_java_client() {
        let vectors: &[(&[u8], i32)] = &[
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(
                murmur2(key).cast_signed(),
                *hash,
                "{}",
                String::from_utf8_lossy(key)
            );
        }
    }

    #[test]
    fn a_negative_hash_gives_a_place_all_the_same() {
        for partitions in 1..50 {
            for key in [b"21".as_slice(), b"", b"abc", b"foobar"] {
                assert!(partition_of(key, partitions) < partitions);
            }
        }
        // -973932308 & 0x7fffffff = 1173551340, of 12: 0.
        assert_eq!(partition_of(b"21", 12), 0);
    }
}
