// SPDX-License-Identifier: Apache-2.0
//! The assignors `sticky` (KIP-54) and `cooperative-sticky` (KIP-429).
//!
//! Who has a partition keeps it; what nobody has goes to whoever has least. Then, as long as one
//! member has two more than another, a partition goes from the one to the other, if need be through
//! members between them: a path is searched breadth first, so the fewest partitions move.
//!
//! Owns: [`assign`], [`without_what_others_have`]. Invariants: no member could give a partition to
//! another, directly or through others, so that the loads come closer; of two members that claim a
//! partition the later generation is right, and of the same generation neither is.
//! Runs on: the command's thread. Bounded by: partitions times members times topics, in the worst
//! case.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Place, Wish, wanted};

/// The partitions of each member, in the order of the members.
pub(super) fn assign(wishes: &[&Wish], counts: &BTreeMap<String, i32>) -> Vec<Vec<Place>> {
    let places = wanted(wishes, counts);
    let mut shares = Shares {
        wishes,
        given: vec![BTreeMap::new(); wishes.len()],
        loads: vec![0; wishes.len()],
    };
    let mut left = Vec::new();
    let owners = owners(wishes);
    for place in places {
        match owners.get(&place) {
            Some(owner) if wishes[*owner].topics.contains(&place.0) => shares.give(*owner, &place),
            _ => left.push(place),
        }
    }
    // What few want has the fewest places to go to.
    left.sort_by_cached_key(|place| {
        let takers = wishes.iter().filter(|wish| wish.topics.contains(&place.0));
        (takers.count(), place.clone())
    });
    for place in left {
        let takers = (0..wishes.len()).filter(|at| wishes[*at].topics.contains(&place.0));
        let least = takers.min_by_key(|at| shares.loads[*at]);
        shares.give(least.expect("somebody wants it"), &place);
    }
    while shares.even_out() {}
    let flat = shares.given.into_iter().map(|topics| {
        let places = topics.into_iter().flat_map(|(topic, partitions)| {
            let place = move |partition| (topic.clone(), partition);
            partitions.into_iter().map(place)
        });
        places.collect()
    });
    flat.collect()
}

/// Who has each partition, where that is beyond doubt.
fn owners(wishes: &[&Wish]) -> BTreeMap<Place, usize> {
    let mut claims: BTreeMap<&Place, (i32, Option<usize>)> = BTreeMap::new();
    for (at, wish) in wishes.iter().enumerate() {
        let owned: BTreeSet<&Place> = wish.owned.iter().collect();
        for place in owned {
            let claim = claims.entry(place).or_insert((i32::MIN, None));
            *claim = match wish.generation.cmp(&claim.0) {
                std::cmp::Ordering::Greater => (wish.generation, Some(at)),
                std::cmp::Ordering::Equal => (claim.0, None),
                std::cmp::Ordering::Less => *claim,
            };
        }
    }
    let sure = claims.into_iter();
    sure.filter_map(|(place, (_, owner))| Some((place.clone(), owner?)))
        .collect()
}

struct Shares<'a> {
    wishes: &'a [&'a Wish],
    /// Of each member, by topic.
    given: Vec<BTreeMap<String, BTreeSet<i32>>>,
    /// Partitions of each member.
    loads: Vec<usize>,
}

impl Shares<'_> {
    fn give(&mut self, to: usize, (topic, partition): &Place) {
        let partitions = self.given[to].entry(topic.clone()).or_default();
        assert!(partitions.insert(*partition), "it has one owner");
        self.loads[to] += 1;
    }

    /// The last partition of a topic changes hands: members keep their oldest.
    fn pass(&mut self, topic: &str, from: usize, to: usize) {
        let partitions = self.given[from].get_mut(topic).expect("it has the topic");
        let partition = partitions.pop_last().expect("it has a partition of it");
        if partitions.is_empty() {
            self.given[from].remove(topic);
        }
        self.loads[from] -= 1;
        self.give(to, &(topic.to_owned(), partition));
    }

    /// Brings one partition nearer to where it is missing; false if nothing can be done.
    fn even_out(&mut self) -> bool {
        let mut fullest: Vec<usize> = (0..self.loads.len()).collect();
        fullest.sort_by_key(|at| std::cmp::Reverse(self.loads[*at]));
        for from in fullest {
            if let Some(path) = self.path_from(from) {
                let mut giver = from;
                for (topic, taker) in path {
                    self.pass(&topic, giver, taker);
                    giver = taker;
                }
                return true;
            }
        }
        false
    }

    /// The shortest way from a member to one that has at least two partitions less: each step is a
    /// topic of which the one before has a partition, and the member that takes it.
    fn path_from(&self, from: usize) -> Option<Vec<(String, usize)>> {
        let is_goal = |at: usize| self.loads[at] + 1 < self.loads[from];
        if !(0..self.loads.len()).any(is_goal) {
            return None;
        }
        let mut came: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(giver) = queue.pop_front() {
            for topic in self.given[giver].keys() {
                let mut takers: Vec<usize> = (0..self.wishes.len())
                    .filter(|at| *at != from && !came.contains_key(at))
                    .filter(|at| self.wishes[*at].topics.contains(topic))
                    .collect();
                takers.sort_by_key(|at| self.loads[*at]);
                for taker in takers {
                    came.insert(taker, (giver, topic));
                    if is_goal(taker) {
                        return Some(way(&came, from, taker));
                    }
                    queue.push_back(taker);
                }
            }
        }
        None
    }
}

fn way(came: &BTreeMap<usize, (usize, &str)>, from: usize, to: usize) -> Vec<(String, usize)> {
    let (mut steps, mut at) = (Vec::new(), to);
    while at != from {
        let (giver, topic) = came[&at];
        steps.push((topic.to_owned(), at));
        at = giver;
    }
    steps.reverse();
    steps
}

/// What of an assignment may be handed out at once: a partition that another member still has is
/// given to nobody until that one has given it up and joined again (KIP-429).
pub(super) fn without_what_others_have(
    wishes: &[&Wish],
    target: Vec<Vec<Place>>,
) -> Vec<Vec<Place>> {
    let mut holders: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (at, wish) in wishes.iter().enumerate() {
        for place in &wish.owned {
            holders.entry(place).or_default().push(at);
        }
    }
    let free = |(at, places): (usize, Vec<Place>)| {
        let mut places = places;
        places.retain(|place| {
            let others = holders.get(place);
            others.is_none_or(|holders| holders.iter().all(|holder| *holder == at))
        });
        places
    };
    target.into_iter().enumerate().map(free).collect()
}
