// SPDX-License-Identifier: Apache-2.0
//! The file `recovery-point`: up to where a recovery need not look. Two slots of one block each,
//! written in turn, so that a torn write leaves the other one:
//! ```text
//! slot 0 at 0, slot 1 at 4096; numbers big-endian
//!   0  8  "FURLRPT1"
//!   8  8  sequence; the valid slot with the larger one counts
//!  16  8  base offset of the segment
//!  24  8  position in its file: every byte below was durable before this slot was written
//!  32  8  offset of the next record
//!  40  8  bytes since the last index entry
//!  48  8  largest timestamp       56  8  last offset of the batch that first carried it, -1: none
//!  64  8  largest timestamp of the first batch   72  1  whether there is one
//!  73  4  leader epoch of the last batch
//!  77  4  CRC-32 (IEEE) of the 77 bytes before
//! ```
//!
//! Owns: the layout. Invariants: a slot counts only if its checksum fits and its numbers can be
//! true. Runs on: the core of the partition. Bounded by: two blocks.

use super::segment::SegmentMark;
use crate::limits::BLOCK_BYTES;
use crate::model::block_buffer::BlockBuffer;
use crate::model::ids::{LeaderEpoch, Offset};

/// File name.
pub const RECOVERY_POINT: &str = "recovery-point";

const MAGIC: [u8; 8] = *b"FURLRPT1";
const CRC_AT: usize = 77;

/// A place in a log, with what is known of its segment up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecoveryPoint {
    /// Base offset of the segment.
    pub(super) segment_base: Offset,
    /// What is known up to there; its size is the position.
    pub(super) mark: SegmentMark,
    /// The leader epoch of the last batch before it. The checkpoint of the epochs carries no
    /// checksum: where it says something else, the point does not count.
    pub(super) leader_epoch: LeaderEpoch,
}

impl RecoveryPoint {
    /// The block of a slot.
    pub(super) fn encode(&self, sequence: u64) -> BlockBuffer {
        let mark = &self.mark;
        let (timestamp, offset) = mark.max_timestamp.unwrap_or((-1, -1));
        let first = mark.first_timestamp.unwrap_or(-1);
        let mut head = Vec::with_capacity(CRC_AT);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&sequence.to_be_bytes());
        head.extend_from_slice(&self.segment_base.to_be_bytes());
        head.extend_from_slice(&mark.size_bytes.to_be_bytes());
        head.extend_from_slice(&mark.next_offset.to_be_bytes());
        head.extend_from_slice(&mark.bytes_since_entry.to_be_bytes());
        head.extend_from_slice(&timestamp.to_be_bytes());
        head.extend_from_slice(&offset.to_be_bytes());
        head.extend_from_slice(&first.to_be_bytes());
        head.push(u8::from(mark.first_timestamp.is_some()));
        head.extend_from_slice(&self.leader_epoch.to_be_bytes());
        assert_eq!(head.len(), CRC_AT);
        let crc = crc32fast::hash(&head);
        head.extend_from_slice(&crc.to_be_bytes());
        let mut block = BlockBuffer::zeroed(BLOCK_BYTES);
        block.as_mut_slice()[..head.len()].copy_from_slice(&head);
        block
    }

    /// Where the slot with this sequence lies in the file.
    pub(super) fn slot_position(sequence: u64) -> u64 {
        (sequence % 2) * super::tail_buffer::BLOCK
    }

    /// The newest valid slot of a file, with its sequence.
    pub(super) fn newest(file: &[u8]) -> Option<(u64, RecoveryPoint)> {
        let slots = file.chunks(BLOCK_BYTES).take(2).filter_map(decode);
        slots.max_by_key(|(sequence, _)| *sequence)
    }
}

/// What the newest valid slot of a file claims, for those who check it: the base offset of a
/// segment, a position in its file and the offset of the batch that starts there.
#[must_use]
pub fn claim_of(file: &[u8]) -> Option<(Offset, u64, Offset)> {
    let (_, point) = RecoveryPoint::newest(file)?;
    Some((
        point.segment_base,
        point.mark.size_bytes,
        point.mark.next_offset,
    ))
}

fn decode(slot: &[u8]) -> Option<(u64, RecoveryPoint)> {
    let (head, rest) = slot.split_at_checked(CRC_AT)?;
    let crc = u32::from_be_bytes(*rest.first_chunk()?);
    if head[..8] != MAGIC || crc != crc32fast::hash(head) {
        return None;
    }
    let word = |at: usize| -> Option<[u8; 8]> { head.get(at..at + 8)?.try_into().ok() };
    let signed = |at| word(at).map(i64::from_be_bytes);
    let unsigned = |at| word(at).map(u64::from_be_bytes);
    let (timestamp, offset) = (signed(48)?, signed(56)?);
    let mark = SegmentMark {
        size_bytes: unsigned(24)?,
        next_offset: signed(32)?,
        bytes_since_entry: unsigned(40)?,
        max_timestamp: (offset >= 0).then_some((timestamp, offset)),
        first_timestamp: (head[72] == 1).then_some(signed(64)?),
    };
    let segment_base = signed(16)?;
    let leader_epoch = LeaderEpoch::from_be_bytes(*head[73..].first_chunk()?);
    let point = RecoveryPoint {
        segment_base,
        mark,
        leader_epoch,
    };
    let can_be = segment_base >= 0
        && mark.next_offset > segment_base
        && mark.size_bytes > 0
        && offset < mark.next_offset;
    can_be.then_some((unsigned(8)?, point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(next_offset: Offset) -> RecoveryPoint {
        RecoveryPoint {
            segment_base: 100,
            mark: SegmentMark {
                size_bytes: 5000,
                next_offset,
                bytes_since_entry: 17,
                max_timestamp: Some((-5, next_offset - 1)),
                first_timestamp: Some(-1),
            },
            leader_epoch: 4,
        }
    }

    fn file(slots: &[(u64, RecoveryPoint)]) -> Vec<u8> {
        let mut file = vec![0; 2 * BLOCK_BYTES];
        for (sequence, point) in slots {
            let at = usize::try_from(RecoveryPoint::slot_position(*sequence)).expect("small");
            file[at..at + BLOCK_BYTES].copy_from_slice(point.encode(*sequence).as_slice());
        }
        file
    }

    #[test]
    fn the_newest_valid_slot_counts() {
        let mut file = file(&[(6, point(200)), (7, point(300))]);
        assert_eq!(RecoveryPoint::newest(&file), Some((7, point(300))));
        file[BLOCK_BYTES + 30] ^= 1;
        assert_eq!(RecoveryPoint::newest(&file), Some((6, point(200))));
        file[3] ^= 1;
        assert_eq!(RecoveryPoint::newest(&file), None);
        assert_eq!(RecoveryPoint::newest(&[]), None);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let mut wrong = point(200);
        wrong.mark.next_offset = 100;
        assert_eq!(RecoveryPoint::newest(&file(&[(1, wrong)])), None);
        let mut without = point(200);
        without.mark.max_timestamp = None;
        without.mark.first_timestamp = None;
        let found = RecoveryPoint::newest(&file(&[(1, without)]));
        assert_eq!(found, Some((1, without)));
    }

    proptest! {
        /// A slot that is torn anywhere is not taken for whole.
        #[test]
        fn a_torn_slot_does_not_count(
            cut in 0..81usize,
            old in 101..1000i64,
            new in 1001..2000i64,
        ) {
            let before = point(old).encode(2);
            let after = point(new).encode(4);
            let mut torn = after.as_slice().to_vec();
            torn[cut..].copy_from_slice(&before.as_slice()[cut..]);
            let found = decode(&torn);
            let allowed = [None, Some((2, point(old))), Some((4, point(new)))];
            prop_assert!(allowed.contains(&found), "{found:?}");
        }
    }
}
