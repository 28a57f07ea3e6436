// SPDX-License-Identifier: Apache-2.0
//! The assignor `range`.
//!
//! Owns: [`assign`]. Invariants: of each topic a member gets neighbours; members in front get one
//! more where it does not come out even. Runs on: the command's thread. Bounded by: members times
//! topics.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Wish};

/// The partitions of each member, in the order of the members.
pub(super) fn assign(wishes: &[&Wish], counts: &BTreeMap<String, i32>) -> Vec<Vec<Place>> {
    let mut given = vec![Vec::new(); wishes.len()];
    let topics: BTreeSet<&String> = wishes.iter().flat_map(|wish| &wish.topics).collect();
    for topic in topics {
        let takers: Vec<usize> = (0..wishes.len())
            .filter(|at| wishes[*at].topics.contains(topic))
            .collect();
        let count = usize::try_from(counts.get(topic).copied().unwrap_or(0)).unwrap_or(0);
        let (each, more) = (count / takers.len(), count % takers.len());
        let mut partitions = 0..;
        for (number, taker) in takers.into_iter().enumerate() {
            let share = each + usize::from(number < more);
            let next = partitions.by_ref().take(share);
            given[taker].extend(next.map(|partition| (topic.clone(), partition)));
        }
    }
    given
}
