// SPDX-License-Identifier: Apache-2.0
//! Groups of the new protocol. N1: no partition is held by two members at one time. N2: the epoch
//! of a member never goes back while it is one. N3: who names an older epoch than it was told, or
//! was thrown out, commits nothing. N4: once a group has come to rest, every partition that
//! a member wants is held.
//!
//! A member holds what it was told from the answer on that told it, until it gave it up, or until
//! its session was over or the time that it had to give something up: by its own clock, counted
//! from when it asked, so that the coordinator cannot have been earlier. If another member is told
//! what one has let run out so, the coordinator has thrown that one out.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::Entry;
use crate::history::groups::{Change, GROUPS, GroupEntry, GroupIndex, Outcome};
use crate::history::owners::{OwnerEntry, Spot};

/// A member by its group and its id.
type Who<'a> = (GroupIndex, &'a str);

/// Epochs by the moment from which they were known, rising.
#[derive(Default)]
struct Epochs(Vec<(usize, i32)>);

impl Epochs {
    fn before(&self, moment: usize) -> i32 {
        let step = self.0.partition_point(|(when, _)| *when < moment);
        step.checked_sub(1).map_or(-1, |step| self.0[step].1)
    }

    fn last(&self) -> i32 {
        self.before(usize::MAX)
    }

    fn raise(&mut self, moment: usize, epoch: i32) {
        if self.last() < epoch {
            self.0.push((moment, epoch));
        }
    }
}

#[derive(Default)]
struct Known<'a> {
    epochs: BTreeMap<Who<'a>, Epochs>,
    /// Up to which epoch a member is none any more.
    outcasts: BTreeMap<Who<'a>, Epochs>,
    /// When a member was told last that it is none any more.
    told_out: BTreeMap<Who<'a>, usize>,
    /// Until when a member holds what it holds.
    until: BTreeMap<Who<'a>, (u64, &'a [Spot])>,
    holders: BTreeMap<(GroupIndex, Spot), &'a str>,
    /// The last wish of each client, and when it was noted.
    wishes: BTreeMap<(GroupIndex, usize), (u64, &'a [Spot])>,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut known = Known::default();
    for (moment, entry) in history.entries.iter().enumerate() {
        match entry {
            Entry::Owner(entry) => known.take(moment, entry, wrong),
            Entry::Group(GroupEntry::ChangeEnded { change }) => {
                known.check_commit(&history.changes[*change], wrong);
            }
            _ => {}
        }
    }
    known.check_rest(wrong);
}

impl<'a> Known<'a> {
    fn take(&mut self, moment: usize, entry: &'a OwnerEntry, wrong: &mut Vec<String>) {
        match entry {
            OwnerEntry::Epoch {
                group,
                member,
                called,
                epoch,
            } => {
                let epochs = self.epochs.entry((*group, member)).or_default();
                let out = self.outcasts.entry((*group, member)).or_default();
                let told_out = self.told_out.get(&(*group, &**member));
                if told_out.is_some_and(|moment| moment < called) && *epoch <= out.last() {
                    // It was told that it is out, and joined again under its id: the group had been
                    // removed in the meantime, and its epochs began anew.
                    out.0.push((moment, *epoch - 1));
                    epochs.0.push((moment, *epoch));
                    return;
                }
                let before = epochs.before(*called);
                if *epoch < before {
                    wrong.push(format!(
                        "N2: {member} of {} was told epoch {epoch}, and asked when it had been \
                         told {before}",
                        GROUPS[*group]
                    ));
                }
                epochs.raise(moment, *epoch);
            }
            OwnerEntry::Holds {
                group,
                member,
                at_us,
                until_us,
                spots,
            } => {
                self.let_go((*group, member));
                for spot in spots {
                    self.hold(moment, (*group, member), *spot, *at_us, wrong);
                }
                self.until.insert((*group, member), (*until_us, spots));
            }
            OwnerEntry::Outcast {
                group,
                member,
                epoch,
            } => {
                let out = self.outcasts.entry((*group, member)).or_default();
                out.raise(moment, *epoch);
                self.told_out.insert((*group, member), moment);
            }
            OwnerEntry::Wants {
                group,
                client,
                at_us,
                spots,
            } => {
                self.wishes.insert((*group, *client), (*at_us, spots));
            }
        }
    }

    /// A member says anew what it holds.
    fn let_go(&mut self, who: Who<'a>) {
        let Some((_, spots)) = self.until.remove(&who) else {
            return;
        };
        for spot in spots {
            let at = (who.0, *spot);
            if self.holders.get(&at) == Some(&who.1) {
                self.holders.remove(&at);
            }
        }
    }

    fn hold(
        &mut self,
        moment: usize,
        (group, member): Who<'a>,
        spot: Spot,
        at_us: u64,
        wrong: &mut Vec<String>,
    ) {
        let Some(other) = self.holders.insert((group, spot), member) else {
            return;
        };
        let until = self.until.get(&(group, other));
        let until_us = until.map_or(0, |until| until.0);
        if until_us > at_us {
            wrong.push(format!(
                "N1: partition {} of topic {} has two owners in {} at {at_us} us: {member}, and \
                 {other} until {until_us}",
                spot.1, spot.0, GROUPS[group]
            ));
            return;
        }
        let epoch = self.epochs.get(&(group, other)).map_or(-1, Epochs::last);
        let out = self.outcasts.entry((group, other)).or_default();
        out.raise(moment, epoch);
    }

    fn check_commit(&self, change: &Change, wrong: &mut Vec<String>) {
        if !matches!(change.ended, Some((_, Outcome::Done))) || change.member.is_empty() {
            return;
        }
        let who = (change.group, &*change.member);
        let epoch = change.generation;
        let told = self.epochs.get(&who);
        let told = told.map_or(-1, |epochs| epochs.before(change.asked));
        let out = self.outcasts.get(&who);
        let out = out.map_or(-1, |epochs| epochs.before(change.asked));
        let why = if epoch < told {
            format!("had been told {told}")
        } else if epoch >= 0 && epoch <= out {
            "had been thrown out".to_owned()
        } else {
            return;
        };
        wrong.push(format!(
            "N3: {} of {} committed with epoch {epoch}, when it {why}",
            change.member, GROUPS[change.group]
        ));
    }

    fn check_rest(&self, wrong: &mut Vec<String>) {
        let mut ends: BTreeMap<GroupIndex, u64> = BTreeMap::new();
        for ((group, _), (at_us, _)) in &self.wishes {
            let end = ends.entry(*group).or_default();
            *end = (*end).max(*at_us);
        }
        for ((group, client), (_, spots)) in &self.wishes {
            for spot in *spots {
                let holder = self.holders.get(&(*group, *spot));
                let until = holder.and_then(|holder| self.until.get(&(*group, *holder)));
                if until.is_none_or(|until| until.0 <= ends[group]) {
                    wrong.push(format!(
                        "N4: {} has come to rest, and nobody holds partition {} of topic {}, which \
                         client {client} wants",
                        GROUPS[*group], spot.1, spot.0
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use furlong::model::ids::Uuid;

    use super::super::sample;
    use crate::history::groups::{Change, NEW_GROUP, Outcome};
    use crate::history::owners::{OwnerEntry, Spot};
    use crate::history::{Entry, History};

    fn spots(partitions: &[i32]) -> Vec<Spot> {
        let partitions = partitions.iter();
        partitions.map(|one| (Uuid([7; 16]), *one)).collect()
    }

    fn holds(history: &mut History, member: &str, (at_us, until_us): (u64, u64), all: &[i32]) {
        history.push(Entry::Owner(OwnerEntry::Holds {
            group: NEW_GROUP,
            member: member.to_owned(),
            at_us,
            until_us,
            spots: spots(all),
        }));
    }

    fn epoch(history: &mut History, called: usize, epoch: i32) {
        history.push(Entry::Owner(OwnerEntry::Epoch {
            group: NEW_GROUP,
            member: "a".to_owned(),
            called,
            epoch,
        }));
    }

    fn commit(history: &mut History, generation: i32, outcome: Outcome) {
        let change = history.ask_change(Change {
            group: NEW_GROUP,
            place: Some(sample::PLACE),
            mark: Some(1),
            member: "a".to_owned(),
            generation,
            incarnation: 1,
            asked: 0,
            ended: None,
        });
        history.end_change(change, outcome);
    }

    fn wants(history: &mut History, at_us: u64, all: &[i32]) {
        history.push(Entry::Owner(OwnerEntry::Wants {
            group: NEW_GROUP,
            client: 3,
            at_us,
            spots: spots(all),
        }));
    }

    fn is_right(history: &History) {
        assert_eq!(super::super::check(history), Vec::<String>::new());
    }

    /// Member `a` gives partition 1 up, `b` takes it, `c` takes what `a` has let run out.
    fn history() -> History {
        let mut history = sample::history();
        let called = history.entries.len();
        epoch(&mut history, called, 3);
        holds(&mut history, "a", (10, 100), &[0, 1]);
        holds(&mut history, "a", (20, 100), &[0]);
        holds(&mut history, "b", (30, 200), &[1]);
        commit(&mut history, 3, Outcome::Done);
        holds(&mut history, "c", (100, 300), &[0]);
        history
    }

    #[test]
    fn one_after_the_other_is_right() {
        let mut history = history();
        wants(&mut history, 150, &[0, 1]);
        is_right(&history);
    }

    #[test]
    fn two_owners_are_seen() {
        let mut history = history();
        holds(&mut history, "d", (150, 400), &[1]);
        sample::expect(
            &history,
            "has two owners in new-group at 150 us: d, and b until 200",
        );
        // One that it had before is as good as a new one.
        let mut history = self::history();
        holds(&mut history, "b", (250, 400), &[1]);
        holds(&mut history, "c", (250, 400), &[0, 1]);
        sample::expect(&history, "N1: ");
    }

    #[test]
    fn an_epoch_that_goes_back_is_seen() {
        let mut history = history();
        epoch(&mut history, 0, 2);
        is_right(&history);
        let called = history.entries.len();
        epoch(&mut history, called, 2);
        sample::expect(&history, "N2: a of new-group was told epoch 2");
    }

    #[test]
    fn commits_of_an_older_epoch_are_seen() {
        let mut history = history();
        let called = history.entries.len();
        epoch(&mut history, called, 4);
        commit(&mut history, 3, Outcome::Refused);
        is_right(&history);
        commit(&mut history, 3, Outcome::Done);
        sample::expect(&history, "committed with epoch 3, when it had been told 4");
    }

    #[test]
    fn commits_of_those_who_were_thrown_out_are_seen() {
        let mut history = history();
        commit(&mut history, 3, Outcome::Done);
        let words = "committed with epoch 3, when it had been thrown out";
        sample::expect(&history, words);
        let mut history = sample::history();
        let called = history.entries.len();
        epoch(&mut history, called, 5);
        history.push(Entry::Owner(OwnerEntry::Outcast {
            group: NEW_GROUP,
            member: "a".to_owned(),
            epoch: 5,
        }));
        commit(&mut history, 5, Outcome::Refused);
        is_right(&history);
        commit(&mut history, 5, Outcome::Done);
        sample::expect(&history, "when it had been thrown out");
    }

    #[test]
    fn epochs_of_a_group_that_was_removed_begin_anew() {
        let mut history = sample::history();
        let called = history.entries.len();
        epoch(&mut history, called, 5);
        history.push(Entry::Owner(OwnerEntry::Outcast {
            group: NEW_GROUP,
            member: "a".to_owned(),
            epoch: 5,
        }));
        let called = history.entries.len();
        epoch(&mut history, called, 3);
        commit(&mut history, 3, Outcome::Done);
        is_right(&history);
        // An answer to what it had asked before it was thrown out is not a word of that group.
        epoch(&mut history, called - 2, 4);
        commit(&mut history, 3, Outcome::Done);
        sample::expect(&history, "had been told 4");
    }

    #[test]
    fn what_nobody_holds_at_the_end_is_seen() {
        let mut history = history();
        wants(&mut history, 150, &[0, 1, 2]);
        sample::expect(&history, "nobody holds partition 2");
        let mut history = self::history();
        wants(&mut history, 250, &[1]);
        sample::expect(&history, "nobody holds partition 1");
    }
}
