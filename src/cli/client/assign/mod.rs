// SPDX-License-Identifier: Apache-2.0
//! How the leader of a classic group divides partitions among its members.
//!
//! Owns: [`Assignor`], [`Wish`], [`assign`]. Invariants: each partition of a topic that somebody
//! wants goes to exactly one member that wants it (in a cooperative round, to one at most); the
//! same members and partitions in any order give the same result. Runs on: the command's thread;
//! no clock, no randomness. Bounded by: members times topics of one group.

mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::offsets::Place;

/// A way to divide partitions, by the name that members agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Neighbouring partitions of each topic together; the first members get one more.
    Range,
    /// One partition after the other, topic by topic, to one member after the other.
    RoundRobin,
    /// Even, and as before where possible.
    Sticky,
    /// The same; what moves is given up first, and all else stays where it is (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Members keep what they have while the group rebalances.
    #[must_use]
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }
}

/// What a member wants and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What the coordinator calls it.
    pub member: String,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<String>,
    /// Topics that it wants.
    pub topics: BTreeSet<String>,
    /// What it has.
    pub owned: Vec<Place>,
    /// The generation in which it got that, -1 if not known.
    pub generation: i32,
}

impl Wish {
    /// Kafka's order of members: static ones first, by their own names, which outlive a restart.
    fn order(&self, other: &Wish) -> Ordering {
        match (&self.instance, &other.instance) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.member.cmp(&other.member),
        }
    }
}

/// The partitions of each member, sorted.
pub type Shares = BTreeMap<String, Vec<Place>>;

/// Divides the partitions of topics (by their count) among members.
#[must_use]
pub fn assign(assignor: Assignor, wishes: &[Wish], counts: &BTreeMap<String, i32>) -> Shares {
    let mut wishes: Vec<&Wish> = wishes.iter().collect();
    wishes.sort_by(|left, right| left.order(right));
    let given = match assignor {
        Assignor::Range => range::assign(&wishes, counts),
        Assignor::RoundRobin => round_robin::assign(&wishes, counts),
        Assignor::Sticky => sticky::assign(&wishes, counts),
        Assignor::CooperativeSticky => {
            let target = sticky::assign(&wishes, counts);
            sticky::without_what_others_have(&wishes, target)
        }
    };
    let shares = wishes.iter().zip(given).map(|(wish, mut places)| {
        places.sort();
        (wish.member.clone(), places)
    });
    shares.collect()
}

/// The partitions that somebody wants, by topic and index.
fn wanted(wishes: &[&Wish], counts: &BTreeMap<String, i32>) -> Vec<Place> {
    let topics: BTreeSet<&String> = wishes.iter().flat_map(|wish| &wish.topics).collect();
    let places = topics.into_iter().flat_map(|topic| {
        let count = counts.get(topic).copied().unwrap_or(0);
        (0..count).map(move |partition| (topic.clone(), partition))
    });
    places.collect()
}
