// SPDX-License-Identifier: Apache-2.0
//! Which known name was probably meant.
//!
//! Owns: [`nearest`]. Invariants: none is proposed unless it is close.
//! Runs on: any core. Bounded by: `NAME_BYTES_MAX` per name.

/// Longer names are not compared.
const NAME_BYTES_MAX: usize = 128;

/// The candidate with the fewest edits from `name`, if they are few (a third of its letters at
/// most).
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let allowed = (name.len() / 3).max(1);
    candidates
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Number of insertions, removals and replacements of one byte that turn `from` into `to`.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, left) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b""), 3);
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"same", b"same"), 0);
    }

    #[test]
    fn only_a_close_name_is_proposed() {
        let known = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(
            nearest("retention.mss", known.into_iter()),
            Some("retention.ms")
        );
        assert_eq!(
            nearest("retentoin.ms", known.into_iter()),
            Some("retention.ms")
        );
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(nearest("", known.into_iter()), None);
        assert_eq!(nearest(&"r".repeat(500), known.into_iter()), None);
    }
}
