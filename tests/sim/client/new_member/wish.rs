// SPDX-License-Identifier: Apache-2.0
//! What a member of the new protocol wants: topics by name, by pattern, or both.
//!
//! Invariants: it wants only topics that nobody deletes, some of which are never made.

use bytestring::ByteString;

use super::super::{Board, KnownTopic};
use crate::history::owners::Spot;
use crate::prng::Prng;

/// Names of topics that stay.
const NAMES: [&str; 5] = ["stay-0", "kept-1", "stay-2", "kept-3", "stay-nowhere"];

/// A pattern, and what it stands for.
type Pattern = (&'static str, fn(&str) -> bool);

const PATTERNS: [Pattern; 3] = [
    ("stay-.*", |name| name.starts_with("stay-")),
    (r"\Qkept-\E[0-9]+", |name| name.starts_with("kept-")),
    ("(stay|kept)-[01]", |name| {
        ["stay-0", "stay-1", "kept-0", "kept-1"].contains(&name)
    }),
];

/// What a member wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    names: Vec<&'static str>,
    pattern: Option<usize>,
}

impl Wish {
    /// Draws one.
    pub fn draw(prng: &mut Prng, may_be_pattern: bool) -> Wish {
        let pattern = (may_be_pattern && prng.chance(300)).then(|| prng.index(PATTERNS.len()));
        let needs_names = pattern.is_none() || prng.chance(300);
        let mut names = Vec::new();
        for name in NAMES {
            if needs_names && prng.chance(750) {
                names.push(name);
            }
        }
        Wish { names, pattern }
    }

    /// The names, as a request says them.
    pub fn names(&self) -> Vec<ByteString> {
        let names = self.names.iter();
        names.map(|name| ByteString::from_static(name)).collect()
    }

    /// The pattern, as a request says it.
    pub fn pattern(&self) -> Option<ByteString> {
        self.pattern
            .map(|index| ByteString::from_static(PATTERNS[index].0))
    }

    fn takes(&self, topic: &KnownTopic) -> bool {
        let fits = |index: usize| PATTERNS[index].1(&topic.name);
        self.names.contains(&&*topic.name) || self.pattern.is_some_and(fits)
    }

    /// The partitions that it means, as far as the topics are known by their ids.
    pub fn spots(&self, board: &Board) -> Vec<Spot> {
        let topics = board.topics.iter();
        let topics = topics.filter(|it| it.usable && !it.id.is_zero() && self.takes(it));
        let spots = topics.flat_map(|it| (0..it.partitions).map(|partition| (it.id, partition)));
        spots.collect()
    }
}
