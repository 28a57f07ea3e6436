// SPDX-License-Identifier: Apache-2.0
//! I5: one copy of every record, and the batches of an idempotent producer in the order of their
//! sequence numbers.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::Entry;

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    for (place, log) in evidence.lasting_logs() {
        let mut first = BTreeMap::new();
        let mut last_sequence = BTreeMap::new();
        for (offset, stored) in &log.records {
            if let Some(before) = first.insert(stored.record.digest, *offset) {
                let name = history.name(place);
                wrong.push(format!(
                    "I5: {name} holds one record at {before} and {offset}"
                ));
            }
            let (id, epoch, sequence) = stored.producer;
            if id < 0 {
                continue;
            }
            let before = last_sequence.insert((id, epoch), sequence);
            if before.is_some_and(|before| before > sequence) {
                wrong.push(format!(
                    "I5: {} offset {offset}: sequence {sequence} of producer {id} stands behind {}",
                    history.name(place),
                    before.expect("checked")
                ));
            }
        }
    }
    let mut acked = BTreeMap::new();
    for entry in &history.entries {
        let Entry::Acked {
            batch, base_offset, ..
        } = entry
        else {
            continue;
        };
        let place = history.batches[*batch].place;
        let before = acked.insert(batch, base_offset);
        let moved = before.is_some_and(|before| before != base_offset);
        if moved && !evidence.deleted.contains(&place.topic) {
            wrong.push(format!(
                "I5: {} batch {batch} was acknowledged at {} and at {base_offset}",
                history.name(place),
                before.expect("checked")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::Entry;

    #[test]
    fn a_second_copy_is_seen() {
        let mut history = sample::history();
        let read = sample::last_read(&mut history);
        let mut copy = read.batches[0].clone();
        copy.base_offset = 6;
        read.batches.push(copy);
        sample::expect(&history, "I5: sample-0 holds one record at 0 and 6");
        sample::expect(
            &history,
            "I5: sample-0 offset 6: sequence 0 of producer 9 stands behind 4",
        );
    }

    #[test]
    fn a_batch_with_two_offsets_is_seen() {
        let mut history = sample::history();
        history.push(Entry::Acked {
            batch: 0,
            attempt: 2,
            base_offset: 6,
            incarnation: 1,
        });
        sample::expect(
            &history,
            "I5: sample-0 batch 0 was acknowledged at 0 and at 6",
        );
    }
}
