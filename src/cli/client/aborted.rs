// SPDX-License-Identifier: Apache-2.0
//! Which batches of a fetched answer belong to aborted transactions.
//!
//! Owns: [`Aborted`]. Invariants: batches are shown in the order of their offsets; a transaction
//! that is listed is over at its marker, and the next one of its producer is another. Runs on: a
//! thread per leader; no clock, no randomness. Bounded by: the list in the answer.

use std::collections::{BTreeSet, VecDeque};

use crate::wire::protocol::fetch::AbortedTransaction;
use crate::wire::record::{BatchHeader, EndMarker};

/// The aborted transactions of an answer, and those of them that are open where it is read.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// First offset and producer, in the order of the offsets.
    ahead: VecDeque<(i64, i64)>,
    /// Producers.
    open: BTreeSet<i64>,
}

impl Aborted {
    /// As the answer lists them.
    pub(super) fn of(listed: Option<&[AbortedTransaction]>) -> Aborted {
        let listed = listed.unwrap_or_default().iter();
        let mut ahead: Vec<(i64, i64)> = listed
            .map(|one| (one.first_offset, one.producer_id))
            .collect();
        ahead.sort_unstable();
        Aborted {
            ahead: ahead.into(),
            open: BTreeSet::new(),
        }
    }

    /// Whether the next batch is to be handed out.
    pub(super) fn keeps(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        while let Some((first, producer)) = self.ahead.front().copied()
            && first <= header.last_offset()
        {
            self.open.insert(producer);
            self.ahead.pop_front();
        }
        let attributes = header.attributes;
        if attributes.is_control() {
            if EndMarker::of_batch(batch).is_some_and(|marker| !marker.is_commit) {
                self.open.remove(&header.producer_id);
            }
            return true;
        }
        !(attributes.is_transactional() && self.open.contains(&header.producer_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression};

    fn batch(offset: i64, producer: i64, is_transactional: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.offsets(offset, 0);
        if producer >= 0 {
            builder.producer(producer, 0, 0);
        }
        if is_transactional {
            builder.transactional();
        }
        builder.append(0, None, Some(b"v"), &[]);
        builder.build().to_vec()
    }

    fn marker(offset: i64, producer: i64, is_commit: bool) -> Vec<u8> {
        let marker = EndMarker {
            is_commit,
            coordinator_epoch: 0,
        };
        let mut bytes = marker.batch(producer, 0, 0).to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes
    }

    fn kept(listed: &[(i64, i64)], batches: &[Vec<u8>]) -> Vec<i64> {
        let listed: Vec<AbortedTransaction> = listed
            .iter()
            .map(|(first_offset, producer_id)| AbortedTransaction {
                first_offset: *first_offset,
                producer_id: *producer_id,
            })
            .collect();
        let mut aborted = Aborted::of(Some(&listed));
        let mut offsets = Vec::new();
        for bytes in batches {
            let header = BatchHeader::parse(bytes).expect("a batch");
            if aborted.keeps(&header, bytes) && !header.attributes.is_control() {
                offsets.push(header.base_offset);
            }
        }
        offsets
    }

    #[test]
    fn what_was_aborted_is_left_out_and_nothing_else() {
        let log = [
            batch(0, -1, false),
            batch(1, 7, true),
            batch(2, 8, true),
            batch(3, 7, true),
            marker(4, 7, false),
            batch(5, 7, true),
            batch(6, 9, false),
            marker(7, 8, true),
            marker(8, 7, true),
        ];
        assert_eq!(kept(&[(1, 7)], &log), [0, 2, 5, 6]);
        assert_eq!(kept(&[], &log), [0, 1, 2, 3, 5, 6]);
        assert_eq!(kept(&[(2, 8), (1, 7)], &log), [0, 5, 6]);
    }

    #[test]
    fn an_answer_may_begin_inside_a_transaction() {
        let log = [batch(10, 7, true), marker(11, 7, false), batch(12, 7, true)];
        assert_eq!(kept(&[(3, 7)], &log), [12]);
        // The same producer aborts twice.
        let log = [
            batch(10, 7, true),
            marker(11, 7, false),
            batch(12, 7, true),
            marker(13, 7, false),
        ];
        assert_eq!(kept(&[(3, 7), (12, 7)], &log), [0; 0]);
    }
}
