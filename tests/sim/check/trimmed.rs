// SPDX-License-Identifier: Apache-2.0
//! What administrators had done to partitions holds at the end: records that were deleted stay
//! deleted, and partitions that were added are there.

use super::Evidence;
use crate::history::{Entry, Place};

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    if evidence.logs.is_empty() {
        // The run did not come to its last reads, which is noted elsewhere.
        return;
    }
    for entry in &evidence.history.entries {
        match entry {
            Entry::Trimmed { place, offset } => check_start(evidence, *place, *offset, wrong),
            Entry::Grown { topic, partitions } if !evidence.deleted.contains(topic) => {
                for partition in 0..*partitions {
                    let place = Place {
                        topic: *topic,
                        partition,
                    };
                    if !evidence.logs.contains_key(&place) {
                        let name = evidence.history.name(place);
                        wrong.push(format!("metadata: {name} was added and is not there"));
                    }
                }
            }
            _ => {}
        }
    }
}

fn check_start(evidence: &Evidence<'_>, place: Place, offset: i64, wrong: &mut Vec<String>) {
    if evidence.deleted.contains(&place.topic) {
        return;
    }
    let start = evidence.logs.get(&place).map_or(0, |log| log.start);
    if start < offset {
        wrong.push(format!(
            "I1: {} was said to start at {offset} and starts at {start} in the end",
            evidence.history.name(place)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn records_that_came_back_are_seen() {
        let mut history = sample::history();
        history.entries.insert(
            0,
            Entry::Trimmed {
                place: sample::PLACE,
                offset: 2,
            },
        );
        sample::expect(&history, "was said to start at 2 and starts at 0");
    }

    #[test]
    fn a_partition_that_went_away_is_seen() {
        let mut history = sample::history();
        let (topic, partitions) = (0, 2);
        history.push(Entry::Grown { topic, partitions });
        sample::expect(&history, "was added and is not there");
    }

    #[test]
    fn a_start_behind_what_was_to_be_deleted_is_seen() {
        let mut history = sample::history();
        history.push(Entry::TrimAsked {
            place: sample::PLACE,
            offset: 2,
        });
        sample::last_read(&mut history).log_start_offset = 3;
        sample::expect(&history, "without any retention");
    }
}
