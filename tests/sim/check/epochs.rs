// SPDX-License-Identifier: Apache-2.0
//! Every start leads in a leader epoch of its own: what a process appended carries a higher epoch
//! than anything that an earlier process appended or named, and epochs never fall along a log.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::{Entry, Place};

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    for (place, log) in &evidence.logs {
        let mut last = -1;
        for (offset, stored) in &log.records {
            if stored.leader_epoch < last {
                let name = history.name(*place);
                let epoch = stored.leader_epoch;
                wrong.push(format!(
                    "epochs: {name} offset {offset} has leader epoch {epoch} behind {last}"
                ));
            }
            last = stored.leader_epoch;
        }
    }
    let mut ranges: BTreeMap<Place, BTreeMap<u32, (i32, i32)>> = BTreeMap::new();
    for (place, incarnation, epoch) in sightings(evidence) {
        let of_place = ranges.entry(place).or_default();
        let range = of_place.entry(incarnation).or_insert((epoch, epoch));
        *range = (range.0.min(epoch), range.1.max(epoch));
    }
    for (place, of_place) in ranges {
        let mut last: Option<(u32, i32)> = None;
        for (incarnation, (low, high)) in of_place {
            if let Some((before, epoch)) = last.filter(|(_, epoch)| *epoch >= low) {
                wrong.push(format!(
                    "epochs: {} process {before} led in epoch {epoch} and process {incarnation} \
                     in epoch {low}",
                    history.name(place)
                ));
            }
            last = Some((incarnation, high));
        }
    }
}

/// In which epoch which process was seen to lead.
fn sightings(evidence: &Evidence<'_>) -> Vec<(Place, u32, i32)> {
    let history = evidence.history;
    let mut sightings = Vec::new();
    for entry in &history.entries {
        let (place, incarnation, epoch) = match entry {
            Entry::Epoch {
                place,
                leader_epoch,
                incarnation,
            } => (*place, *incarnation, Some(*leader_epoch)),
            // A later attempt may be the answer to a batch that an earlier process had stored.
            Entry::Acked {
                batch,
                attempt: 1,
                base_offset,
                incarnation,
            } => {
                let place = history.batches[*batch].place;
                let log = evidence.logs.get(&place);
                let stored = log.and_then(|log| log.records.get(base_offset));
                (
                    place,
                    *incarnation,
                    stored.map(|stored| stored.leader_epoch),
                )
            }
            _ => continue,
        };
        if let Some(epoch) = epoch
            && !evidence.deleted.contains(&place.topic)
        {
            sightings.push((place, incarnation, epoch));
        }
    }
    sightings
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_start_without_a_new_epoch_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches[2].leader_epoch = 0;
        sample::expect(
            &history,
            "process 0 led in epoch 0 and process 1 in epoch 0",
        );
    }

    #[test]
    fn a_falling_epoch_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches[0].leader_epoch = 1;
        sample::expect(&history, "sample-0 offset 2 has leader epoch 0 behind 1");
    }
}
