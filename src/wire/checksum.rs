// SPDX-License-Identifier: Apache-2.0
//! CRC-32C (Castagnoli), the checksum of record batches. Not the IEEE polynomial that `crc32fast`
//! computes: our own structures use that one, and the two names never meet in one file.
//!
//! Owns: the one place that names the implementation.
//! Invariants: `crc32c_append(crc32c(a), b) == crc32c(a ++ b)`.
//! Runs on: every core (pure). Bounded by: its input.

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// Goes on with `crc`, the CRC-32C of everything before `bytes`.
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_castagnoli_polynomial() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
        // RFC 3720, B.4: 32 bytes of zeros and of ones.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn appending_equals_hashing_at_once() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for cut in [0, 1, 7, 64, 4095, 5000] {
            assert_eq!(
                crc32c_append(crc32c(&bytes[..cut]), &bytes[cut..]),
                crc32c(&bytes)
            );
        }
    }
}
