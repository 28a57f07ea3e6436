// SPDX-License-Identifier: Apache-2.0
//! Looks for the next batch behind damage, byte by byte.
//!
//! Owns: [`BatchSearch`]. Invariants: what it finds is only plausible; its checksum is for the
//! scanner to check. Runs on: the core of the partition. Bounded by: one header of carried bytes.

use super::batch_scanner::INDEX_SPAN_MAX;
use super::tail_buffer::file_len;
use crate::model::ids::{LeaderEpoch, Offset};
use crate::wire::record::{BATCH_HEADER_BYTES, BatchHeader};

const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;

/// A search from some position on.
#[derive(Clone, Debug)]
pub(super) struct BatchSearch {
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
    /// The bytes that may still begin a header, and where they start.
    carry: Vec<u8>,
    position: u64,
}

impl BatchSearch {
    /// A search from `position` on for a batch that may follow what was good before the damage.
    pub(super) fn new(
        position: u64,
        next_offset: Offset,
        leader_epoch: LeaderEpoch,
    ) -> BatchSearch {
        BatchSearch {
            next_offset,
            leader_epoch,
            carry: Vec::new(),
            position,
        }
    }

    /// Goes on with the next bytes of the file; the position of a plausible batch.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<u64> {
        self.carry.extend_from_slice(bytes);
        let count = (self.carry.len() + 1).saturating_sub(BATCH_HEADER_BYTES);
        for place in 0..count {
            if self.carry[place + MAGIC_AT] == MAGIC && self.is_plausible(&self.carry[place..]) {
                return Some(self.position + file_len(place));
            }
        }
        self.carry.drain(..count);
        self.position += file_len(count);
        None
    }

    fn is_plausible(&self, bytes: &[u8]) -> bool {
        BatchHeader::parse(bytes).is_ok_and(|header| {
            let distance = header.base_offset.saturating_sub(self.next_offset);
            (0..=INDEX_SPAN_MAX).contains(&distance)
                && header.partition_leader_epoch >= self.leader_epoch
                && header.record_count == header.last_offset_delta.saturating_add(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression};

    #[test]
    fn the_next_batch_is_found_in_steps_of_any_size() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.offsets(50, 3);
        builder.append(0, None, Some(b"value"), &[]);
        let mut bytes = vec![2; 1000];
        bytes.extend_from_slice(&builder.build());
        for step in [1, 60, 61, 62, 500, 5000] {
            let find = |next_offset, leader_epoch| {
                let mut search = BatchSearch::new(7, next_offset, leader_epoch);
                bytes.chunks(step).find_map(|chunk| search.feed(chunk))
            };
            assert_eq!(find(40, 3), Some(1007), "steps of {step}");
            assert_eq!(find(51, 3), None, "an offset that was there before");
            assert_eq!(find(40, 4), None, "an epoch that fell");
        }
    }
}
