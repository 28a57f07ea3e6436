// SPDX-License-Identifier: Apache-2.0
//! Patterns of topics: a regular expression that has to fit the whole name.
//!
//! Owns: [`Pattern`]. Invariants: the syntax is that of RE2, as far as both it and the crate
//! `regex` know it (nothing that looks back or ahead), with `\Q...\E`; a name is looked at in
//! linear time; no pattern stands for an internal topic. Runs on: the shard that coordinates.
//! Bounded by: `PATTERN_BYTES_MAX`, `PATTERN_COMPILED_BYTES_MAX`.

use bytestring::ByteString;
use regex::{Regex, RegexBuilder};

use crate::group::topic::OFFSETS_TOPIC;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX};
use crate::model::image::MetadataImage;

/// Topics that serve Kafka's own purposes.
const INTERNAL: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

/// A pattern that was understood.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Reads one; else says what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "it has {} bytes, more than {PATTERN_BYTES_MAX}",
                text.len()
            ));
        }
        let plain = unquoted(text);
        // By itself first: a parenthesis that it does not open must not close ours.
        compile(&plain)?;
        let regex = compile(&format!(r"\A(?:{plain})\z"))?;
        Ok(Pattern { regex })
    }

    /// True if it fits a whole name.
    pub(super) fn fits(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// The topics that it stands for, in order.
    pub(super) fn topics(&self, image: &MetadataImage) -> Vec<ByteString> {
        let names = image.topics.keys();
        names
            .filter(|name| !INTERNAL.contains(&&***name) && self.fits(name))
            .cloned()
            .collect()
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(PATTERN_COMPILED_BYTES_MAX);
    builder.dfa_size_limit(PATTERN_COMPILED_BYTES_MAX);
    builder.build().map_err(|error| {
        let said = error.to_string();
        let last = said.lines().last().unwrap_or("it cannot be read");
        last.trim_start_matches("error: ").to_owned()
    })
}

/// Replaces `\Q...\E`, which stands for its text as it is, by what means the same.
fn unquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(quoted) = behind.strip_prefix('Q') {
            let end = quoted.find(r"\E");
            let (inside, after) =
                end.map_or((quoted, ""), |end| (&quoted[..end], &quoted[end + 2..]));
            plain.push_str(&regex::escape(inside));
            rest = after;
            continue;
        }
        let mut next = behind.chars();
        plain.push('\\');
        plain.extend(next.next());
        rest = next.as_str();
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).expect("it can be read").fits(name)
    }

    #[test]
    fn a_pattern_fits_a_whole_name() {
        assert!(fits("orders-.*", "orders-eu"));
        assert!(!fits("orders", "orders-eu") && !fits("eu", "orders-eu"));
        assert!(fits("a|b", "b") && !fits("a|b", "ab"));
        assert!(fits("[[:alpha:]]+[0-9]{2}", "abc12"));
        assert!(fits(r"(?i)ORDERS", "orders"));
        assert!(fits(r"\Qa.b\E.", "a.bc") && !fits(r"\Qa.b\E.", "aXbc"));
        assert!(fits(r"\Qa.b", "a.b") && fits(r"\\Q", r"\Q"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        for wrong in [
            "(",
            "a)(b",
            "*",
            "(?<name",
            r"(a)\1",
            "(?=a)",
            "a{1001}{1001}",
        ] {
            let said = Pattern::new(wrong).map(|_| ()).expect_err(wrong);
            assert!(!said.is_empty(), "{wrong}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert!(Pattern::new(&long).is_err());
        assert!(
            Pattern::new("a)|(?:b").is_err(),
            "it closes what it did not open"
        );
    }
}
