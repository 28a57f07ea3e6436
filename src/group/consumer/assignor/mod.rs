// SPDX-License-Identifier: Apache-2.0
//! Who is to own which partition of the topics that the members of a group want.
//!
//! Owns: [`Assignor`], what assignors are given and what they make of it. Invariants: each
//! partition that somebody wants has one owner, who wants its topic; nothing else is assigned; the
//! same question has the same answer. Runs on: the shard that coordinates. Bounded by:
//! `GROUP_MEMBERS_MAX`, `PARTITIONS_MAX`; the cost is near linear in both, see each assignor.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::assignment::Assignment;
use crate::model::ids::TopicId;

/// The assignors of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Everybody owns as many as everybody else, and keeps what it owns.
    Uniform,
    /// Of each topic everybody owns neighbours, and of equal topics the same.
    Range,
}

/// A member, as an assignor sees it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// What its operator calls it, if it is a static one.
    pub instance: Option<&'a ByteString>,
    /// Index of its topics in [`Question::wishes`].
    pub wish: usize,
    /// What it was to own before.
    pub before: Option<&'a Assignment>,
}

/// What an assignor is asked.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    /// The members.
    pub members: BTreeMap<&'a ByteString, Candidate<'a>>,
    /// The different sets of topics that members want.
    pub wishes: Vec<BTreeSet<TopicId>>,
    /// How many partitions each topic has.
    pub topics: BTreeMap<TopicId, i32>,
}

/// What every member is to own.
pub type Answer = BTreeMap<ByteString, Assignment>;

impl Assignor {
    /// Its name in requests and settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Assignor> {
        let mut all = [Assignor::Uniform, Assignor::Range].into_iter();
        all.find(|assignor| assignor.name() == name)
    }

    /// Assigns.
    #[must_use]
    pub fn assign(self, question: &Question<'_>) -> Answer {
        match self {
            Assignor::Uniform => uniform::assign(question),
            Assignor::Range => range::assign(question),
        }
    }
}
