// SPDX-License-Identifier: Apache-2.0
//! Which names a topic can have.
//!
//! Owns: [`check`], the key of a collision. Invariants: Kafka's rules: a name is a part of a
//! directory's name, and a dot and an underscore are the same where metrics are named.
//! Runs on: any core. Bounded by: `TOPIC_NAME_BYTES_MAX`.

use crate::limits::TOPIC_NAME_BYTES_MAX;

/// The topic that holds the metadata itself; clients cannot make it.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a name is refused, as a sentence.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("A topic name cannot be empty.".to_owned());
    }
    if name == "." || name == ".." {
        return Err("A topic cannot be named \".\" or \"..\".".to_owned());
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(format!(
            "A topic name has at most {TOPIC_NAME_BYTES_MAX} letters; this one has {}.",
            name.len()
        ));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if !name.chars().all(allowed) {
        return Err(format!(
            "The topic name \"{}\" has other letters than a-z, A-Z, 0-9, \".\", \"_\" and \"-\".",
            name.escape_default()
        ));
    }
    Ok(())
}

/// What two names that must not exist side by side have in common; `None` if a name collides with
/// no other.
pub(super) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka() {
        for name in [
            "a",
            "A.b_c-9",
            "...",
            "__consumer_offsets",
            &"x".repeat(249),
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "naïve",
            "a\0",
            "a:b",
            &"x".repeat(250),
        ] {
            let sentence = check(name).expect_err(name);
            assert!(sentence.ends_with('.') && sentence.is_ascii(), "{sentence}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("a.c"));
        assert_eq!(collision_key("plain"), None);
    }
}
