// SPDX-License-Identifier: Apache-2.0
//! Base64 (RFC 4648, with padding): how JSON carries bytes that are no text.
//!
//! Owns: [`encode`], [`decode`]. Invariants: one text for each row of bytes; any other is refused.
//! Runs on: the caller's thread. Bounded by: the input.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET[usize::try_from(sextet).expect("six bits")];
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// The bytes of a text; `None` if it is not what [`encode`] writes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let letters = chunk.iter().take_while(|letter| **letter != b'=').count();
        if chunk.len() != 4 || letters < 2 {
            return None;
        }
        let mut bits = 0;
        for letter in &chunk[..letters] {
            let sextet = ALPHABET.iter().position(|known| known == letter)?;
            bits = (bits << 6) | u32::try_from(sextet).ok()?;
        }
        bits <<= 6 * (4 - letters);
        bytes.extend_from_slice(&bits.to_be_bytes()[1..letters]);
    }
    // One text for each row of bytes: this refuses padding in between and bits beyond the end.
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["Z", "Zg=", "Zh==", "Zg==Zg==", "Z===", "Zm9v\n", "Zm-v"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            any in "\\PC{0,12}",
        ) {
            let written = encode(&bytes);
            prop_assert_eq!(decode(&written), Some(bytes));
            let _ = decode(&any);
        }
    }
}
