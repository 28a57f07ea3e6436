// SPDX-License-Identifier: Apache-2.0
//! The checker: what must be in the log after a crash, what may be, and what must not.

use crate::history::{History, Life, Moment, Outcome, ReadBatch, SentBatch};
use crate::plan::{Place, RETENTION_BYTES, TOPICS};
use crate::read::PartitionRead;
use std::collections::{BTreeMap, BTreeSet};

/// Violations of one kind and partition that are told one by one.
const TOLD_MAX: usize = 3;

/// What was known at a moment: what the broker had promised by then.
#[derive(Clone, Default)]
pub struct Knowledge {
    at: Moment,
    /// Batches whose offset was told, or that were read.
    placed: BTreeMap<Place, BTreeMap<i64, u64>>,
    /// Batches that are stored somewhere.
    stored: BTreeMap<Place, BTreeSet<u64>>,
    violations: Vec<String>,
}

fn must_live(life: &Life, at: Moment) -> bool {
    life.created.is_some_and(|created| created <= at)
        && life.delete_sent.is_none_or(|delete_sent| delete_sent > at)
}

fn may_live(life: &Life, at: Moment) -> bool {
    life.create_sent <= at && life.deleted.is_none_or(|deleted| deleted > at)
}

impl Knowledge {
    /// What the history says about a moment.
    pub fn of(history: &History, at: Moment) -> Knowledge {
        let mut knowledge = Knowledge {
            at,
            ..Knowledge::default()
        };
        for batch in history.batches() {
            let lives = history.lives(batch.place.topic);
            if !must_live(&lives[batch.life], at) {
                continue;
            }
            match batch.outcome {
                Outcome::At(offset, told) if told <= at => {
                    knowledge.place(batch.place, offset, batch.plan.number);
                }
                Outcome::Stored(told) if told <= at => {
                    let stored = knowledge.stored.entry(batch.place).or_default();
                    stored.insert(batch.plan.number);
                }
                _ => {}
            }
        }
        for seen in history.observations() {
            if seen.at <= at {
                knowledge.place(seen.place, seen.batch.offset, seen.batch.number);
            }
        }
        knowledge
    }

    /// A promise: this batch is at this offset. Two promises for one offset are a violation.
    pub fn place(&mut self, place: Place, offset: i64, number: u64) {
        let placed = self.placed.entry(place).or_default();
        if let Some(other) = placed.insert(offset, number)
            && other != number
        {
            self.violations.push(format!(
                "{place}: offset {offset} was batch {other}, and then batch {number}"
            ));
        }
    }

    /// Batches promised.
    pub fn promised(&self) -> usize {
        let placed = self.placed.values().map(BTreeMap::len).sum::<usize>();
        placed + self.stored.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Everything that is wrong with what was read.
    pub fn check(&self, history: &History, reads: &BTreeMap<Place, PartitionRead>) -> Vec<String> {
        let mut violations = self.violations.clone();
        for (place, read) in reads {
            violations.extend(read.violations.iter().cloned());
            let lives = history.lives(place.topic);
            if !read.exists {
                if lives.iter().any(|life| must_live(life, self.at)) {
                    violations.push(format!("{place}: the topic is gone"));
                }
                continue;
            }
            let mut batches = Vec::new();
            for found in &read.batches {
                batches.push((
                    found,
                    history.batch(found.number).expect("checked when read"),
                ));
            }
            violations.extend(shorten(self.allowed(*place, &batches, &lives)));
            violations.extend(shorten(copies(*place, &batches)));
            violations.extend(shorten(sequences(*place, read, &batches)));
            violations.extend(shorten(self.missing(*place, read)));
            violations.extend(log_start(*place, read));
        }
        violations
    }

    /// Nothing is read that was not sent by then, or that belongs to a topic deleted by then.
    fn allowed(
        &self,
        place: Place,
        batches: &[(&ReadBatch, SentBatch)],
        lives: &[Life],
    ) -> Vec<String> {
        let mut violations = Vec::new();
        let first_life = batches.first().map(|(_, sent)| sent.life);
        for (found, sent) in batches {
            let (number, offset) = (found.number, found.offset);
            let batch = format!("{place}: batch {number} at offset {offset}");
            if sent.sent > self.at {
                violations.push(format!("{batch} was sent only after this moment"));
            }
            if !may_live(&lives[sent.life], self.at) {
                violations.push(format!("{batch} belongs to a topic that was deleted"));
            }
            if first_life != Some(sent.life) {
                violations.push(format!("{batch} belongs to another life of the topic"));
            }
        }
        violations
    }

    /// What was promised is there.
    fn missing(&self, place: Place, read: &PartitionRead) -> Vec<String> {
        let mut violations = Vec::new();
        let found: BTreeMap<i64, u64> = read
            .batches
            .iter()
            .map(|batch| (batch.offset, batch.number))
            .collect();
        let (from, end) = (read.from.max(read.log_start), read.end);
        for (offset, number) in self.placed.get(&place).into_iter().flatten() {
            let there = found.get(offset);
            if *offset >= from && there != Some(number) {
                violations.push(format!(
                    "{place}: batch {number} was acknowledged or read at offset {offset}, and \
                     there is now {there:?} (the log runs from {from} to {end})"
                ));
            }
        }
        let numbers: BTreeSet<u64> = read.batches.iter().map(|batch| batch.number).collect();
        for number in self.stored.get(&place).into_iter().flatten() {
            // Where it lies is not known, so it is excused once anything was removed or left out.
            if from == 0 && !numbers.contains(number) {
                violations.push(format!(
                    "{place}: batch {number} was acknowledged and is gone"
                ));
            }
        }
        violations
    }
}

/// No batch is there twice: idempotent producers are promised that, and the others never repeat a
/// batch.
fn copies(place: Place, batches: &[(&ReadBatch, SentBatch)]) -> Vec<String> {
    let mut first: BTreeMap<u64, i64> = BTreeMap::new();
    let mut violations = Vec::new();
    for (found, _) in batches {
        if let Some(other) = first.insert(found.number, found.offset) {
            let (number, offset) = (found.number, found.offset);
            violations.push(format!(
                "{place}: batch {number} is at {other} and at {offset}"
            ));
        }
    }
    violations
}

/// The batches of an idempotent producer follow each other without a gap.
fn sequences(
    place: Place,
    read: &PartitionRead,
    batches: &[(&ReadBatch, SentBatch)],
) -> Vec<String> {
    let mut next: BTreeMap<(i64, i16), i32> = BTreeMap::new();
    let mut violations = Vec::new();
    for (found, sent) in batches {
        let Some(stamp) = sent.plan.stamp else {
            continue;
        };
        let producer = (stamp.id, stamp.epoch);
        let expected = next.get(&producer).copied();
        let expected = expected.or((read.from == 0).then_some(0));
        if expected.is_some_and(|expected| expected != stamp.sequence) {
            let (offset, sequence) = (found.offset, stamp.sequence);
            violations.push(format!(
                "{place}: producer {producer:?} goes on at offset {offset} with sequence \
                 {sequence} instead of {expected:?}"
            ));
        }
        next.insert(producer, stamp.sequence + sent.count);
    }
    violations
}

/// The start of the log moves only where retention says so, and leaves what it must.
fn log_start(place: Place, read: &PartitionRead) -> Option<String> {
    let (start, bytes) = (read.log_start, read.bytes);
    if start > 0 && !TOPICS[place.topic].is_retained {
        return Some(format!(
            "{place}: the log starts at {start} and nothing may remove records"
        ));
    }
    // A crash may take the newest, not yet acknowledged records with it: hence the half.
    let kept = usize::try_from(RETENTION_BYTES / 2).expect("positive");
    if start > 0 && read.from == start && bytes < kept {
        return Some(format!(
            "{place}: retention left {bytes} bytes, and the log starts at {start}"
        ));
    }
    None
}

/// The first few, and how many there are.
fn shorten(mut violations: Vec<String>) -> Vec<String> {
    let count = violations.len();
    if count > TOLD_MAX {
        violations.truncate(TOLD_MAX);
        let last = violations.last_mut().expect("there are some");
        last.push_str(&format!(" (and {} more like it)", count - TOLD_MAX));
    }
    violations
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
