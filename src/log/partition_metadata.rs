// SPDX-License-Identifier: Apache-2.0
//! The file `partition.metadata`: which topic a directory belongs to (KIP-516). Text:
//! ```text
//! version: 0
//! topic_id: <22 characters of base64>
//! ```
//! without a line end after the second line, as Kafka writes it.
//!
//! Owns: the layout. Invariants: written before the first segment is made. Runs on: the core of the
//! partition.
//! Bounded by: two lines.

use crate::model::ids::Uuid;

/// File name.
pub const PARTITION_METADATA: &str = "partition.metadata";

/// The contents of the file.
#[must_use]
pub fn encode(topic_id: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {topic_id}").into_bytes()
}

/// Reads the file; `None` if it is damaged.
#[must_use]
pub fn decode(file: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(file).ok()?;
    let (version, topic_id) = text.trim_end().split_once('\n')?;
    if version.trim_end() != "version: 0" {
        return None;
    }
    parse_base64(topic_id.strip_prefix("topic_id: ")?.trim())
}

/// Reads base64 (URL alphabet, no padding) of 16 bytes.
fn parse_base64(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (place, letter) in text.bytes().enumerate() {
        let sextet = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        // 22 letters carry 132 bits: the last one brings two, its low four are padding.
        bits = if place == 21 {
            (bits << 2) | u128::from(sextet >> 4)
        } else {
            (bits << 6) | u128::from(sextet)
        };
    }
    Some(Uuid(bits.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_has_kafkas_layout() {
        assert_eq!(
            encode(Uuid::ZERO),
            b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"
        );
    }

    #[test]
    fn a_damaged_file_is_refused() {
        for bad in [
            "",
            "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            "version: 0\ntopic_id: AAA",
            "version: 0",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
        let with_line_end = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA\n";
        assert_eq!(decode(with_line_end), Some(Uuid::ZERO));
    }

    proptest! {
        #[test]
        fn any_id_comes_back(id: [u8; 16]) {
            prop_assert_eq!(decode(&encode(Uuid(id))), Some(Uuid(id)));
        }
    }
}
