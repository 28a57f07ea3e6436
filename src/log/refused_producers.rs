// SPDX-License-Identifier: Apache-2.0
//! Producers whose batches were refused before the log could remember anything of them: the
//! partition was not open, or the request waited too long.
//!
//! An idempotent producer sends several batches before it hears of the first. If the first is
//! refused and the second comes when the log has opened, the second must not pass for the first of
//! a new producer: the first, sent again, would be out of order for ever.
//!
//! Owns: [`RefusedProducers`]. Invariants: of each producer the first refused batch of its newest
//! epoch is kept. In memory alone: what was sent behind it came over the same connection. Runs on:
//! the core of the partition. Bounded by: `PRODUCERS_PER_PARTITION_MAX`.

use std::collections::BTreeMap;

use super::producer_state::FirstMissing;
use crate::limits::PRODUCERS_PER_PARTITION_MAX;
use crate::wire::record::BatchHeader;

/// The first refused batch of each producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedProducers {
    first: BTreeMap<i64, FirstMissing>,
}

impl RefusedProducers {
    /// True if nobody was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Takes note of a request's batches, which begin with this one; anything else is of no
    /// producer.
    pub fn note(&mut self, records: &[u8]) {
        let Ok(header) = BatchHeader::parse(records) else {
            return;
        };
        if header.producer_id >= 0 {
            self.note_first(header.producer_id, FirstMissing::of(&header));
        }
    }

    fn note_first(&mut self, producer_id: i64, missing: FirstMissing) {
        let known = self.first.entry(producer_id).or_insert(missing);
        if known.producer_epoch < missing.producer_epoch {
            *known = missing;
        }
        if self.first.len() > PRODUCERS_PER_PARTITION_MAX {
            // Ids ascend, so the first one is the oldest.
            self.first.pop_first();
        }
    }

    /// Takes over what another list has.
    pub fn append(&mut self, other: RefusedProducers) {
        for (producer_id, missing) in other.first {
            self.note_first(producer_id, missing);
        }
    }

    /// The producers of a log.
    pub(super) fn of(first: BTreeMap<i64, FirstMissing>) -> RefusedProducers {
        RefusedProducers { first }
    }

    /// Empties the list.
    pub(super) fn into_first(self) -> BTreeMap<i64, FirstMissing> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression};

    fn sent(producer_id: i64, epoch: i16, sequence: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.producer(producer_id, epoch, sequence);
        builder.append(1, None, Some(b"value"), &[]);
        builder.build().to_vec()
    }

    #[test]
    fn the_first_batch_of_the_newest_epoch_is_kept() {
        let mut refused = RefusedProducers::default();
        refused.note(b"no batch");
        refused.note(&sent(-1, -1, -1));
        assert!(refused.is_empty());
        for (epoch, sequence) in [(3, 5), (3, 6), (2, 0), (3, 4)] {
            refused.note(&sent(9, epoch, sequence));
        }
        let mut other = RefusedProducers::default();
        other.note(&sent(9, 3, 7));
        other.note(&sent(10, 0, 1));
        refused.append(other);
        let mut first = refused.clone().into_first();
        let nine = first.remove(&9).expect("noted");
        assert_eq!((nine.producer_epoch, nine.base_sequence), (3, 5));
        assert_eq!(first.len(), 1);
        refused.note(&sent(9, 4, 0));
        let newer = refused.into_first().remove(&9).expect("noted");
        assert_eq!((newer.producer_epoch, newer.base_sequence), (4, 0));
    }
}
