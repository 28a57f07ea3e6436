// SPDX-License-Identifier: Apache-2.0
//! I3: no offset ever holds two different records: not in two reads, not in an acknowledgement and
//! a read, not in two acknowledgements. The whole batch counts: its base offset, its leader epoch
//! and its checksum.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::{Entry, Place};

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    digest: u64,
    /// Base offset, leader epoch and checksum of the batch, once it was read.
    batch: Option<(i64, i32, u32)>,
}

struct Offsets<'a, 'b> {
    evidence: &'a Evidence<'b>,
    seen: BTreeMap<(Place, i64), Seen>,
}

impl Offsets<'_, '_> {
    fn note(&mut self, place: Place, offset: i64, now: Seen, wrong: &mut Vec<String>) {
        if self.evidence.deleted.contains(&place.topic) {
            return;
        }
        let known = self.seen.entry((place, offset)).or_insert(now);
        let differs = known.batch.is_some() && now.batch.is_some() && known.batch != now.batch;
        if known.digest != now.digest || differs {
            let name = self.evidence.history.name(place);
            let (before, after) = (known.batch, now.batch);
            let what = if differs { "batches" } else { "records" };
            wrong.push(format!(
                "I3: {name} offset {offset} held two {what}: (base, epoch, crc) \
                 {before:?}, {after:?}"
            ));
        }
        known.batch = known.batch.or(now.batch);
    }
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let seen = BTreeMap::new();
    let mut offsets = Offsets { evidence, seen };
    for entry in &history.entries {
        match entry {
            Entry::Acked {
                batch, base_offset, ..
            } => {
                let fact = &history.batches[*batch];
                for (record, offset) in fact.records.iter().zip(*base_offset..) {
                    let digest = record.digest;
                    let batch = None;
                    offsets.note(fact.place, offset, Seen { digest, batch }, wrong);
                }
            }
            Entry::Fetched(fetch) => {
                for read in &fetch.batches {
                    let batch = Some((read.base_offset, read.leader_epoch, read.crc));
                    for (record, offset) in read.records.iter().zip(read.base_offset..) {
                        let digest = record.digest;
                        offsets.note(fetch.place, offset, Seen { digest, batch }, wrong);
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
    use crate::history::Entry;

    #[test]
    fn two_reads_that_differ_are_seen() {
        let mut history = sample::history();
        let mut again = sample::last_read(&mut history).clone();
        again.batches[0].leader_epoch += 1;
        history.push(Entry::Fetched(again));
        sample::expect(&history, "I3: sample-0 offset 0 held two batches");
    }

    #[test]
    fn an_offset_acknowledged_twice_is_seen() {
        let mut history = sample::history();
        history.push(Entry::Acked {
            batch: 2,
            attempt: 1,
            base_offset: 0,
            incarnation: 1,
        });
        sample::expect(&history, "I3: sample-0 offset 0 held two records");
    }
}
