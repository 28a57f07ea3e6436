// SPDX-License-Identifier: Apache-2.0
//! G3: a committed offset goes back only if somebody asks for it. Each offset of each group is a
//! register: whoever is told it is told what the newest attempt has written of those that came
//! about, where an attempt comes about at some moment between its asking and its end, and one
//! without an answer may come about as long as its process lives, or not at all.
//!
//! So what is told must not have been overwritten for certain: by an attempt that began when the
//! last one which could have written it was over, and that was acknowledged, or had been told to
//! somebody, before the question was asked.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::groups::{Change, GROUPS, GroupEntry, GroupIndex, Outcome};
use crate::history::{Entry, Place};

/// An attempt as one register sees it.
#[derive(Clone, Copy)]
struct Attempt {
    mark: Option<u64>,
    asked: usize,
    /// From then on it changes nothing.
    over: usize,
    /// From then on it is known to have come about.
    known: usize,
    may_be: bool,
}

const NEVER: usize = usize::MAX;

/// One offset that somebody was told.
#[derive(Clone, Copy)]
struct Reading {
    mark: Option<u64>,
    called: usize,
    at: usize,
}

#[derive(Default)]
struct Register {
    attempts: Vec<Attempt>,
    readings: Vec<Reading>,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    for ((group, place), mut register) in registers(evidence) {
        register.learn_from_readings();
        for reading in &register.readings {
            if let Some(sentence) = register.fault(reading) {
                let name = evidence.history.name(place);
                wrong.push(format!("G3: {name} of {}: {sentence}", GROUPS[group]));
                break;
            }
        }
    }
}

fn registers(evidence: &Evidence<'_>) -> BTreeMap<(GroupIndex, Place), Register> {
    let history = evidence.history;
    let ends = ends_of_lives(evidence);
    let mut registers: BTreeMap<(GroupIndex, Place), Register> = BTreeMap::new();
    for (moment, entry) in history.entries.iter().enumerate() {
        if let Entry::Group(GroupEntry::Offset {
            group,
            place,
            called,
            mark,
            ..
        }) = entry
        {
            let register = registers.entry((*group, *place)).or_default();
            register.readings.push(Reading {
                mark: *mark,
                called: *called,
                at: moment,
            });
        }
    }
    for ((group, place), register) in &mut registers {
        let all = history.changes.iter();
        let mine = all.filter(|change| {
            change.group == *group && change.place.is_none_or(|one| one == *place)
        });
        register.attempts = mine.map(|change| attempt(change, &ends)).collect();
    }
    registers
}

/// When each process was certainly gone: somebody heard from a later one.
fn ends_of_lives(evidence: &Evidence<'_>) -> Vec<(u32, usize)> {
    let mut firsts: Vec<(u32, usize)> = Vec::new();
    for (moment, entry) in evidence.history.entries.iter().enumerate() {
        let incarnation = match entry {
            Entry::Acked { incarnation, .. }
            | Entry::Epoch { incarnation, .. }
            | Entry::Group(GroupEntry::Offset { incarnation, .. }) => *incarnation,
            _ => continue,
        };
        if firsts.last().is_none_or(|(last, _)| *last < incarnation) {
            firsts.push((incarnation, moment));
        }
    }
    firsts
}

fn attempt(change: &Change, ends: &[(u32, usize)]) -> Attempt {
    let later = ends.partition_point(|(incarnation, _)| *incarnation <= change.incarnation);
    let gone = ends.get(later).map_or(NEVER, |(_, moment)| *moment);
    let (over, outcome) = match change.ended {
        Some((at, outcome)) => (at, Some(outcome)),
        None => (gone, None),
    };
    Attempt {
        mark: change.mark,
        asked: change.asked,
        over,
        known: if outcome == Some(Outcome::Done) {
            over
        } else {
            NEVER
        },
        may_be: outcome != Some(Outcome::Refused),
    }
}

impl Register {
    /// What was told has come about, where only one attempt could have done it.
    fn learn_from_readings(&mut self) {
        for reading in &self.readings {
            let Some(mark) = reading.mark else {
                continue;
            };
            let mut writers = self.attempts.iter_mut();
            let mut writers = writers
                .by_ref()
                .filter(|it| it.mark == Some(mark) && it.may_be);
            if let (Some(one), None) = (writers.next(), writers.next()) {
                one.known = one.known.min(reading.at);
            }
        }
    }

    /// What is wrong with a reading.
    fn fault(&self, reading: &Reading) -> Option<String> {
        let writers = self.attempts.iter().filter(|it| it.mark == reading.mark);
        let writers = writers.filter(|it| it.may_be && it.asked < reading.at);
        // Before anything was written there was nothing.
        let first = Attempt {
            mark: None,
            asked: 0,
            over: 0,
            known: 0,
            may_be: true,
        };
        let first = reading.mark.is_none().then_some(&first);
        let writers: Vec<&Attempt> = writers.chain(first).collect();
        if writers.is_empty() {
            return Some(format!("{:?} was told, which nobody wrote", reading.mark));
        }
        let mut over = writers
            .iter()
            .map(|writer| self.overwritten(writer, reading));
        let last = over.try_fold(None, |_, by| by.map(Some))?;
        let by = last.flatten();
        Some(format!(
            "{:?} was told at {} and had been overwritten by {by:?} before {}",
            reading.mark, reading.at, reading.called
        ))
    }

    /// What certainly came about behind this attempt, and before the question.
    fn overwritten(&self, writer: &Attempt, reading: &Reading) -> Option<Option<u64>> {
        let mut later = self.attempts.iter();
        let later = later.find(|it| it.asked > writer.over && it.known < reading.called);
        later.map(|it| it.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::groups::{Change, GroupEntry, Outcome};
    use crate::history::{Entry, History};

    fn ask(history: &mut History, mark: Option<u64>) -> usize {
        history.ask_change(Change {
            group: 0,
            place: Some(sample::PLACE),
            mark,
            member: String::new(),
            generation: -1,
            incarnation: 1,
            asked: 0,
            ended: None,
        })
    }

    fn write(history: &mut History, mark: Option<u64>, outcome: Outcome) {
        let change = ask(history, mark);
        history.end_change(change, outcome);
    }

    fn read(history: &mut History, mark: Option<u64>) {
        let called = history.entries.len();
        read_late(history, called, mark);
    }

    fn read_late(history: &mut History, called: usize, mark: Option<u64>) {
        history.push(Entry::Group(GroupEntry::Offset {
            group: 0,
            place: sample::PLACE,
            called,
            mark,
            incarnation: 1,
        }));
    }

    fn is_right(history: &History) {
        assert_eq!(super::super::check(history), Vec::<String>::new());
    }

    #[test]
    fn the_newest_commit_is_told() {
        let mut history = sample::history();
        read(&mut history, None);
        write(&mut history, Some(1), Outcome::Done);
        read(&mut history, Some(1));
        write(&mut history, Some(2), Outcome::Done);
        read(&mut history, Some(2));
        write(&mut history, None, Outcome::Done);
        read(&mut history, None);
        is_right(&history);
    }

    #[test]
    fn a_commit_that_went_back_is_seen() {
        let mut history = sample::history();
        write(&mut history, Some(1), Outcome::Done);
        let called = history.entries.len();
        write(&mut history, Some(2), Outcome::Done);
        read_late(&mut history, called, Some(1));
        is_right(&history);
        read(&mut history, Some(1));
        sample::expect(&history, "G3: sample-0 of lasting-group: Some(1) was told");
    }

    #[test]
    fn a_lost_commit_is_seen() {
        let mut history = sample::history();
        write(&mut history, Some(1), Outcome::Done);
        read(&mut history, None);
        sample::expect(&history, "G3: sample-0 of lasting-group: None was told");
    }

    #[test]
    fn a_refused_commit_that_counts_is_seen() {
        let mut history = sample::history();
        write(&mut history, Some(1), Outcome::Refused);
        read(&mut history, Some(1));
        sample::expect(&history, "Some(1) was told, which nobody wrote");
    }

    #[test]
    fn an_attempt_without_an_answer_may_come_about_late_or_never() {
        let mut history = sample::history();
        ask(&mut history, Some(1));
        write(&mut history, Some(2), Outcome::Done);
        read(&mut history, Some(2));
        read(&mut history, Some(1));
        is_right(&history);
    }

    #[test]
    fn what_one_was_told_another_is_not_told_older() {
        let mut history = sample::history();
        write(&mut history, Some(1), Outcome::Done);
        write(&mut history, Some(2), Outcome::Over);
        read(&mut history, Some(1));
        read(&mut history, Some(2));
        is_right(&history);
        read(&mut history, Some(1));
        sample::expect(&history, "Some(1) was told");
    }
}
