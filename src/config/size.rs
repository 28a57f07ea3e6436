// SPDX-License-Identifier: Apache-2.0
//! Sizes as people write them: `512MiB`, `2GiB`, `1000000`.
//!
//! Owns: [`parse_bytes`]. Invariants: what is not understood is an error that shows how to write
//! it; a size that does not fit 64 bits is one too.
//! Runs on: the start of the process. Bounded by: the text handed in.

/// Names of units and their bytes; longest first, so that `MiB` is not read as `B`.
const UNITS: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

/// The bytes that a text names.
///
/// # Errors
/// A sentence that says how to write a size.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, bytes)| Some((lower.strip_suffix(name)?, *bytes)))
        .unwrap_or((&lower, 1));
    let number = number.trim_end();
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let whole = number.parse::<u64>().ok().filter(|_| is_plain);
    whole
        .and_then(|whole| whole.checked_mul(unit))
        .ok_or_else(|| {
            format!("{text:?} is no size; write a whole number and a unit, like 512MiB or 2GiB")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("7b", 7),
            ("64KiB", 64 << 10),
            ("64k", 64 << 10),
            ("512MiB", 512 << 20),
            ("512m", 512 << 20),
            (" 2 GiB ", 2 << 30),
            ("2g", 2 << 30),
            ("1TiB", 1 << 40),
            ("5kB", 5_000),
            ("5MB", 5_000_000),
            ("5gb", 5_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_how_to_write_one() {
        for text in [
            "",
            "GiB",
            "-1",
            "+5",
            "1.5GiB",
            "1e9",
            "2 GiBB",
            "x",
            "1 2",
            "99999999999T",
            "18446744073709551616",
        ] {
            let sentence = parse_bytes(text).expect_err(text);
            assert!(sentence.contains("512MiB"), "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_size_or_a_sentence(text in ".*") {
            if let Err(sentence) = parse_bytes(&text) {
                prop_assert!(sentence.contains("is no size"));
            }
        }

        #[test]
        fn a_plain_number_is_itself(bytes in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        }
    }
}
