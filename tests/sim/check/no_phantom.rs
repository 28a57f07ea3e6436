// SPDX-License-Identifier: Apache-2.0
//! I2: no record is read that was never sent to that partition.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::Entry;

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut sent = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::Sent { batch, .. } => {
                let fact = &history.batches[*batch];
                for record in &fact.records {
                    sent.insert((fact.place, record.digest), record.timestamp);
                }
            }
            Entry::Fetched(fetch) => {
                for batch in &fetch.batches {
                    for (record, offset) in batch.records.iter().zip(batch.base_offset..) {
                        let timestamp = sent.get(&(fetch.place, record.digest));
                        let same = timestamp.is_some_and(|timestamp| {
                            batch.log_append_time || *timestamp == record.timestamp
                        });
                        if !same {
                            let name = history.name(fetch.place);
                            wrong.push(format!(
                                "I2: {name} offset {offset} holds a record never sent there"
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_record_from_nowhere_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches[1].records[0].digest = 77;
        sample::expect(&history, "I2: sample-0 offset 2");
    }

    #[test]
    fn a_changed_timestamp_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches[1].records[1].timestamp += 1;
        sample::expect(&history, "I2: sample-0 offset 3");
    }
}
