// SPDX-License-Identifier: Apache-2.0
//! I1: what was acknowledged (with acks=-1 or 1) is read at its offset, bit for bit, unless
//! retention took it.

use std::collections::BTreeSet;

use super::Evidence;
use crate::history::{Entry, Place};

/// Topics from which retention may have taken records: some setting named it.
fn with_retention(evidence: &Evidence<'_>) -> BTreeSet<usize> {
    let names = |key: &str| key.starts_with("retention.");
    let entries = evidence.history.entries.iter();
    entries
        .filter_map(|entry| match entry {
            Entry::Created { topic, configs } => {
                configs.iter().any(|(key, _)| names(key)).then_some(*topic)
            }
            Entry::ConfigAsked { topic, key, .. } => names(key).then_some(*topic),
            _ => None,
        })
        .collect()
}

/// The largest offset below which records of a partition were to be deleted.
fn asked_to_go(evidence: &Evidence<'_>, wanted: Place) -> i64 {
    let entries = evidence.history.entries.iter();
    let asked = entries.filter_map(|entry| match entry {
        Entry::TrimAsked { place, offset } if *place == wanted => Some(*offset),
        _ => None,
    });
    asked.max().unwrap_or(0)
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    if evidence.logs.is_empty() {
        // The run did not come to its last reads, which is noted elsewhere.
        return;
    }
    let with_retention = with_retention(evidence);
    for (place, log) in evidence.lasting_logs() {
        let asked = asked_to_go(evidence, place);
        if log.start > asked && !with_retention.contains(&place.topic) {
            let name = history.name(place);
            let start = log.start;
            wrong.push(format!(
                "I1: {name} starts at {start} without any retention"
            ));
        }
    }
    for entry in &history.entries {
        let Entry::Acked {
            batch, base_offset, ..
        } = entry
        else {
            continue;
        };
        let fact = &history.batches[*batch];
        if evidence.deleted.contains(&fact.place.topic) {
            continue;
        }
        let name = history.name(fact.place);
        let Some(log) = evidence.logs.get(&fact.place) else {
            wrong.push(format!(
                "I1: {name} was acknowledged and is not there at the end"
            ));
            continue;
        };
        for (record, offset) in fact.records.iter().zip(*base_offset..) {
            if offset < log.start {
                continue;
            }
            let stored = log.records.get(&offset);
            let same = stored.is_some_and(|stored| {
                stored.record.digest == record.digest
                    && (stored.log_append_time || stored.record.timestamp == record.timestamp)
            });
            if !same {
                let found = if stored.is_some() {
                    "another record"
                } else {
                    "nothing"
                };
                wrong.push(format!(
                    "I1: {name} offset {offset} of batch {batch} was acknowledged (acks {}) and \
                     the last read found {found} there",
                    fact.acks
                ));
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_lost_batch_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches.pop();
        sample::expect(&history, "I1: sample-0 offset 4");
    }

    #[test]
    fn a_start_that_moved_without_retention_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).log_start_offset = 2;
        sample::expect(&history, "without any retention");
    }
}
