// SPDX-License-Identifier: Apache-2.0
//! G1: no partition has two owners in one generation, and what members of a generation are told is
//! one assignment of its leader. G2: once a generation has been told with its assignment, nobody
//! who asks later is told an older one, and no member of an older one commits.
//!
//! A generation whose assignment nobody was told may come again: only an assignment makes it a
//! record. The group that is deleted now and then begins its numbers anew, and is held to G1 within
//! each of its assignments only.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::groups::{CHURN_GROUP, GROUPS, GroupEntry, GroupIndex, Outcome, Share};
use crate::history::{Entry, Place};

/// An assignment as its leader sent it.
struct Assignment<'a> {
    group: GroupIndex,
    generation: i32,
    shares: &'a [Share],
}

/// What was told of one generation.
#[derive(Default)]
struct Generation<'a> {
    number: Option<u64>,
    owners: BTreeMap<Place, &'a str>,
}

/// The newest generation that was told, by the moment of its telling.
#[derive(Default)]
struct Rising(Vec<(usize, i32)>);

impl Rising {
    fn before(&self, moment: usize) -> i32 {
        let step = self.0.partition_point(|(when, _)| *when < moment);
        step.checked_sub(1).map_or(-1, |step| self.0[step].1)
    }

    fn raise(&mut self, moment: usize, generation: i32) {
        if self.0.last().is_none_or(|(_, known)| *known < generation) {
            self.0.push((moment, generation));
        }
    }
}

#[derive(Default)]
struct Known<'a> {
    assignments: BTreeMap<u64, Assignment<'a>>,
    generations: BTreeMap<(GroupIndex, i32), Generation<'a>>,
    told: BTreeMap<GroupIndex, Rising>,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut known = Known::default();
    for (moment, entry) in history.entries.iter().enumerate() {
        let Entry::Group(entry) = entry else {
            continue;
        };
        match entry {
            GroupEntry::Assigned {
                group,
                generation,
                number,
                shares,
            } => {
                let (group, generation) = (*group, *generation);
                known.assignments.insert(
                    *number,
                    Assignment {
                        group,
                        generation,
                        shares,
                    },
                );
            }
            GroupEntry::Joined {
                group,
                called,
                generation,
            } => known.check_age(*group, *called, *generation, "joined", wrong),
            GroupEntry::Told {
                group,
                called,
                generation,
                ..
            } => {
                known.check_age(*group, *called, *generation, "was assigned", wrong);
                known.check_told(evidence, entry, wrong);
                let rising = known.told.entry(*group).or_default();
                rising.raise(moment, *generation);
            }
            GroupEntry::ChangeEnded { change } => {
                let change = &history.changes[*change];
                let done = matches!(change.ended, Some((_, Outcome::Done)));
                if done && change.generation >= 0 {
                    let (group, generation) = (change.group, change.generation);
                    known.check_age(group, change.asked, generation, "committed", wrong);
                }
            }
            GroupEntry::ChangeAsked | GroupEntry::Offset { .. } => {}
        }
    }
}

impl<'a> Known<'a> {
    fn check_age(
        &self,
        group: GroupIndex,
        called: usize,
        generation: i32,
        what: &str,
        wrong: &mut Vec<String>,
    ) {
        let before = self.told.get(&group).map_or(-1, |it| it.before(called));
        if generation < before && group != CHURN_GROUP {
            wrong.push(format!(
                "G2: a member of {} {what} in generation {generation}, and asked when generation \
                 {before} had been told",
                GROUPS[group]
            ));
        }
    }

    fn check_told(
        &mut self,
        evidence: &Evidence<'a>,
        entry: &'a GroupEntry,
        wrong: &mut Vec<String>,
    ) {
        let GroupEntry::Told {
            group,
            generation,
            member,
            owner,
            number,
            places,
            ..
        } = entry
        else {
            return;
        };
        let name = GROUPS[*group];
        let assignment = number.and_then(|number| self.assignments.get(&number));
        let share = assignment
            .filter(|it| it.group == *group && it.generation == *generation)
            .and_then(|it| it.shares.iter().find(|share| share.owner == *owner));
        if share.is_none_or(|share| share.places != *places) {
            wrong.push(format!(
                "G1: {member} of {name} was told in generation {generation} what no leader \
                 assigned to it: {number:?} {places:?}"
            ));
            return;
        }
        if *group == CHURN_GROUP {
            return;
        }
        let told = self.generations.entry((*group, *generation)).or_default();
        if let Some(before) = told.number.filter(|before| Some(*before) != *number) {
            wrong.push(format!(
                "G1: members of {name} were told two assignments of generation {generation}: \
                 {before} and {number:?}"
            ));
        }
        told.number = *number;
        for place in places {
            let before = told.owners.insert(*place, owner);
            if let Some(before) = before.filter(|before| *before != owner) {
                wrong.push(format!(
                    "G1: {} has two owners in generation {generation} of {name}: {before} and \
                     {owner}",
                    evidence.history.name(*place)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::groups::{GroupEntry, Share};
    use crate::history::{Entry, History};

    /// A generation of two members, told to both.
    fn history() -> History {
        let mut history = sample::history();
        let share = |member: &str, partition| Share {
            member: member.to_owned(),
            owner: member.to_owned(),
            places: vec![sample::place(partition)],
        };
        history.push(Entry::Group(GroupEntry::Assigned {
            group: 0,
            generation: 3,
            number: 9,
            shares: vec![share("a", 0), share("b", 1)],
        }));
        for (member, partition) in [("a", 0), ("b", 1)] {
            history.push(told(member, 3, Some(9), partition));
        }
        history
    }

    fn told(member: &str, generation: i32, number: Option<u64>, partition: i32) -> Entry {
        Entry::Group(GroupEntry::Told {
            group: 0,
            called: 0,
            generation,
            member: member.to_owned(),
            owner: member.to_owned(),
            number,
            places: vec![sample::place(partition)],
        })
    }

    #[test]
    fn a_right_generation_is_right() {
        assert_eq!(super::super::check(&history()), Vec::<String>::new());
    }

    #[test]
    fn the_share_of_another_is_seen() {
        let mut history = history();
        history.push(told("a", 3, Some(9), 1));
        sample::expect(&history, "G1: a of lasting-group was told in generation 3");
    }

    #[test]
    fn a_second_assignment_of_one_generation_is_seen() {
        let mut history = history();
        history.push(Entry::Group(GroupEntry::Assigned {
            group: 0,
            generation: 3,
            number: 10,
            shares: vec![Share {
                member: "b".to_owned(),
                owner: "b".to_owned(),
                places: vec![sample::place(0)],
            }],
        }));
        history.push(told("b", 3, Some(10), 0));
        sample::expect(&history, "two assignments of generation 3: 9 and Some(10)");
        sample::expect(&history, "has two owners in generation 3");
    }

    #[test]
    fn an_older_generation_is_seen() {
        let mut history = history();
        let called = history.entries.len();
        history.push(Entry::Group(GroupEntry::Joined {
            group: 0,
            called: 0,
            generation: 2,
        }));
        assert_eq!(super::super::check(&history), Vec::<String>::new());
        history.push(Entry::Group(GroupEntry::Joined {
            group: 0,
            called,
            generation: 2,
        }));
        sample::expect(
            &history,
            "G2: a member of lasting-group joined in generation 2",
        );
    }
}
