// SPDX-License-Identifier: Apache-2.0
//! The checkers: what must hold in every history, each rule in its own file.
//!
//! Invariants: a checker sees the history and what was read at the end, and nothing of the broker;
//! it runs in time linear in the history (apart from maps). Topics whose deletion was asked for are
//! held to the rules that do not need to know which log a name stood for.

mod acked;
mod committed;
mod epochs;
mod groups;
mod high_watermark;
mod idempotence;
mod keys;
mod metadata;
mod no_divergence;
mod no_phantom;
mod order;
mod owners;
#[cfg(test)]
mod sample;
mod transactions;
mod trimmed;

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Place, RecordFact};

/// One record at its place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: RecordFact,
    /// Leader epoch of its batch.
    pub leader_epoch: i32,
    /// Checksum of its batch.
    pub crc: u32,
    /// Offset of its batch.
    pub base_offset: i64,
    /// Producer id, epoch and first sequence of its batch.
    pub producer: (i64, i16, i32),
    /// True if the broker set its timestamp.
    pub log_append_time: bool,
}

/// What the last reads found in one partition.
#[derive(Clone, Debug, Default)]
pub struct FinalLog {
    /// Where it starts.
    pub start: i64,
    /// Its records by offset.
    pub records: BTreeMap<i64, Stored>,
}

/// What the checkers look at.
pub struct Evidence<'a> {
    /// All that happened.
    pub history: &'a History,
    /// What was read at the end.
    pub logs: BTreeMap<Place, FinalLog>,
    /// Topics whose name may stand for several logs.
    pub deleted: BTreeSet<usize>,
}

impl<'a> Evidence<'a> {
    /// Gathers the final logs.
    pub fn new(history: &'a History) -> Evidence<'a> {
        let mut logs: BTreeMap<Place, FinalLog> = BTreeMap::new();
        for fetch in history.fetches().filter(|fetch| fetch.last_read) {
            let log = logs.entry(fetch.place).or_default();
            log.start = log.start.max(fetch.log_start_offset);
            for batch in &fetch.batches {
                for (record, offset) in batch.records.iter().zip(batch.base_offset..) {
                    let stored = Stored {
                        record: *record,
                        leader_epoch: batch.leader_epoch,
                        crc: batch.crc,
                        base_offset: batch.base_offset,
                        producer: batch.producer,
                        log_append_time: batch.log_append_time,
                    };
                    log.records.insert(offset, stored);
                }
            }
        }
        Evidence {
            history,
            logs,
            deleted: history.deleted.clone(),
        }
    }

    /// The final logs of topics that were never to be deleted.
    pub fn lasting_logs(&self) -> impl Iterator<Item = (Place, &FinalLog)> {
        let all = self.logs.iter().map(|(place, log)| (*place, log));
        all.filter(|(place, _)| !self.deleted.contains(&place.topic))
    }
}

/// Everything that is wrong with a history, a sentence each.
pub fn check(history: &History) -> Vec<String> {
    let evidence = Evidence::new(history);
    let mut wrong = history.violations.clone();
    acked::check(&evidence, &mut wrong);
    no_phantom::check(&evidence, &mut wrong);
    no_divergence::check(&evidence, &mut wrong);
    order::check(&evidence, &mut wrong);
    idempotence::check(&evidence, &mut wrong);
    high_watermark::check(&evidence, &mut wrong);
    epochs::check(&evidence, &mut wrong);
    metadata::check(&evidence, &mut wrong);
    trimmed::check(&evidence, &mut wrong);
    groups::check(&evidence, &mut wrong);
    committed::check(&evidence, &mut wrong);
    owners::check(&evidence, &mut wrong);
    keys::check(&evidence, &mut wrong);
    transactions::check(&evidence, &mut wrong);
    wrong
}
