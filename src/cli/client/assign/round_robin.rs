// SPDX-License-Identifier: Apache-2.0
//! The assignor `roundrobin`.
//!
//! Owns: [`assign`]. Invariants: the turn goes on from one topic to the next, and passes over
//! members that do not want the topic. Runs on: the command's thread. Bounded by: members times
//! partitions.

use std::collections::BTreeMap;

use super::{Place, Wish, wanted};

/// The partitions of each member, in the order of the members.
pub(super) fn assign(wishes: &[&Wish], counts: &BTreeMap<String, i32>) -> Vec<Vec<Place>> {
    let mut given = vec![Vec::new(); wishes.len()];
    let mut turn = 0;
    for place in wanted(wishes, counts) {
        // Somebody wants it, so this ends within one round.
        while !wishes[turn].topics.contains(&place.0) {
            turn = (turn + 1) % wishes.len();
        }
        given[turn].push(place);
        turn = (turn + 1) % wishes.len();
    }
    given
}
