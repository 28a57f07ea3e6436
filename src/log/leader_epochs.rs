// SPDX-License-Identifier: Apache-2.0
//! Which leader epoch wrote from which offset on (KIP-101, KIP-279).
//!
//! The file `leader-epoch-checkpoint` is text:
//! ```text
//! 0                         version
//! 2                         number of entries
//! 3 0                       epoch, start offset
//! 7 1200
//! ```
//!
//! Owns: the entries of one log. Invariants: epochs and start offsets both ascend strictly. The
//! file is written at a roll and at a clean stop; what the last segment adds is in its batches and
//! comes back from them in recovery.
//! Runs on: the core of the partition. Bounded by: one entry per change of leader within the
//! retained log.

use std::fmt::Write as _;

use crate::model::ids::{LeaderEpoch, Offset};

/// File name of the checkpoint.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// The answer where an epoch is not known.
pub const UNKNOWN_EPOCH: (LeaderEpoch, Offset) = (-1, -1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    epoch: LeaderEpoch,
    start_offset: Offset,
}

/// The leader epochs of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<Entry>,
}

impl LeaderEpochs {
    /// No epoch yet.
    #[must_use]
    pub fn new() -> LeaderEpochs {
        LeaderEpochs::default()
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that a batch of this epoch starts at this offset. An epoch that fell changes nothing:
    /// the caller refuses such a batch.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        if self.latest().is_some_and(|latest| epoch <= latest) || epoch < 0 {
            return;
        }
        // An epoch without a record was never seen by anybody: the newer one takes its place.
        while self
            .entries
            .last()
            .is_some_and(|last| last.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(Entry {
            epoch,
            start_offset,
        });
    }

    /// The largest known epoch at or below `epoch`, and the offset where it ends (KIP-279).
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        if epoch < 0 {
            return UNKNOWN_EPOCH;
        }
        if self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match (after.checked_sub(1), self.entries.get(after)) {
            (_, None) => UNKNOWN_EPOCH,
            (None, Some(next)) => (epoch, next.start_offset),
            (Some(floor), Some(next)) => (self.entries[floor].epoch, next.start_offset),
        }
    }

    /// The epoch that wrote this offset, if it is known.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|place| self.entries[place].epoch)
    }

    /// Forgets what starts at or above `offset`.
    pub fn truncate_from_end(&mut self, offset: Offset) {
        let keep = self
            .entries
            .partition_point(|entry| entry.start_offset < offset);
        self.entries.truncate(keep);
    }

    /// Forgets what ends at or below `offset`; the epoch that covers it then starts there.
    pub fn truncate_from_start(&mut self, offset: Offset) {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        let Some(place) = after.checked_sub(1) else {
            return;
        };
        self.entries[place].start_offset = offset;
        self.entries.drain(..place);
    }

    /// The contents of the checkpoint file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            writeln!(text, "{} {}", entry.epoch, entry.start_offset)
                .expect("writing to a string cannot fail");
        }
        text.into_bytes()
    }

    /// Reads the checkpoint file; `None` if it is damaged.
    #[must_use]
    pub fn decode(file: &[u8]) -> Option<LeaderEpochs> {
        let text = std::str::from_utf8(file).ok()?;
        if !text.ends_with('\n') {
            // Cut off: the last number may have lost digits.
            return None;
        }
        let mut lines = text.lines();
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let mut epochs = LeaderEpochs::new();
        for line in lines {
            let (epoch, start_offset) = line.split_once(' ')?;
            let entry = Entry {
                epoch: epoch.parse().ok()?,
                start_offset: start_offset.parse().ok()?,
            };
            let ascends = epochs.entries.last().is_none_or(|last| {
                entry.epoch > last.epoch && entry.start_offset > last.start_offset
            });
            if !ascends || entry.epoch < 0 || entry.start_offset < 0 {
                return None;
            }
            epochs.entries.push(entry);
        }
        (epochs.entries.len() == count).then_some(epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        epochs.assign(3, 0);
        epochs.assign(3, 10);
        epochs.assign(7, 1200);
        epochs
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        assert_eq!(epochs().encode(), b"0\n2\n3 0\n7 1200\n");
        assert_eq!(LeaderEpochs::decode(b"0\n2\n3 0\n7 1200\n"), Some(epochs()));
        assert_eq!(LeaderEpochs::decode(b"0\n0\n"), Some(LeaderEpochs::new()));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        for bad in [
            "",
            "1\n0\n",
            "0\n1\n",
            "0\n2\n3 0\n",
            "0\n2\n7 0\n3 5\n",
            "0\n1\n3\n",
            "0\n1\n3 10",
            "0\n1\nx 0\n",
            "0\n1\n-1 0\n",
        ] {
            assert_eq!(LeaderEpochs::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn kip_279_answers_with_the_largest_epoch_at_or_below() {
        let epochs = epochs();
        assert_eq!(epochs.end_offset_for(7, 1500), (7, 1500));
        assert_eq!(epochs.end_offset_for(5, 1500), (3, 1200));
        assert_eq!(epochs.end_offset_for(3, 1500), (3, 1200));
        assert_eq!(epochs.end_offset_for(2, 1500), (2, 0));
        assert_eq!(epochs.end_offset_for(8, 1500), UNKNOWN_EPOCH);
        assert_eq!(epochs.end_offset_for(-1, 1500), UNKNOWN_EPOCH);
    }

    #[test]
    fn truncation_at_both_ends() {
        let mut epochs = epochs();
        epochs.truncate_from_start(100);
        assert_eq!(epochs.encode(), b"0\n2\n3 100\n7 1200\n");
        epochs.truncate_from_start(1300);
        assert_eq!(epochs.encode(), b"0\n1\n7 1300\n");
        epochs.truncate_from_end(1300);
        assert_eq!(epochs.latest(), None);
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut epochs = epochs();
        epochs.assign(8, 1300);
        epochs.assign(9, 1300);
        assert_eq!(epochs.encode(), b"0\n3\n3 0\n7 1200\n9 1300\n");
        assert_eq!(epochs.epoch_of(1299), Some(7));
        assert_eq!(epochs.epoch_of(1300), Some(9));
    }

    proptest! {
        #[test]
        fn any_assignments_survive_the_file(
            steps in proptest::collection::vec((0..20i32, 0..50i64), 0..20),
        ) {
            let mut epochs = LeaderEpochs::new();
            let mut offset = 0;
            for (epoch, distance) in steps {
                offset += distance;
                epochs.assign(epoch, offset);
            }
            prop_assert_eq!(LeaderEpochs::decode(&epochs.encode()), Some(epochs));
        }
    }
}
