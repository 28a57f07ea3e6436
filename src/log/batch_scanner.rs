// SPDX-License-Identifier: Apache-2.0
//! Walks the bytes of a segment as they come from the disk and says where the good batches end.
//!
//! Owns: the place of the walk. Invariants: a batch is reported only once all its bytes were seen
//! and its checksum, its offsets and its leader epoch fit what came before; after the first bad
//! batch nothing is reported. Nothing is assembled: a batch that spans many reads is checked piece
//! by piece. Runs on: the core of the partition.
//! Bounded by: one header and one marker of carried bytes.

use crate::model::ids::{LeaderEpoch, Offset};
use crate::wire::checksum::{crc32c, crc32c_append};
use crate::wire::record::{BATCH_HEADER_BYTES, BatchHeader, EndMarker, MARKER_BYTES_MAX};

/// Where the checksummed part of a batch starts.
pub const CHECKSUMMED_AT: usize = 21;

/// Largest offset distance and position that an index entry can name.
pub const INDEX_SPAN_MAX: i64 = 0x7fff_ffff;

/// A good batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedBatch {
    /// Where it starts in the file.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
    /// What it says, if it ends a transaction.
    pub marker: Option<EndMarker>,
}

/// How strictly the offsets of one batch must follow those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Each batch starts where the one before ended: a log as it is written.
    Exact,
    /// Gaps are fine: a sealed segment may have been compacted.
    Ascending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Collecting a header; so many bytes of it are carried.
    Header { carried: usize },
    /// Inside the records of a batch.
    Body {
        batch: ScannedBatch,
        remaining: usize,
        crc: u32,
    },
    /// A bad batch was met.
    Bad,
}

/// The walk.
#[derive(Clone, Debug)]
pub struct BatchScanner {
    continuity: Continuity,
    next_offset: Offset,
    /// No batch may reach this offset.
    limit_offset: Offset,
    leader_epoch: LeaderEpoch,
    /// End of the last good batch.
    good_end: u64,
    /// The file from `good_end` on up to here was fed.
    fed_end: u64,
    carry: [u8; BATCH_HEADER_BYTES],
    /// The first bytes of the records of a control batch.
    control: [u8; MARKER_BYTES_MAX],
    place: Place,
    /// End of the last byte after `good_end` that is not zero.
    nonzero_end: u64,
}

impl BatchScanner {
    /// A walk from the start of the segment with this base offset, of which no batch reaches
    /// `limit_offset`. (Offset and leader epoch lie outside a batch's checksum.)
    #[must_use]
    pub fn new(base_offset: Offset, limit_offset: Offset, continuity: Continuity) -> BatchScanner {
        let span_limit = base_offset.saturating_add(INDEX_SPAN_MAX + 1);
        BatchScanner {
            continuity,
            next_offset: base_offset,
            limit_offset: limit_offset.min(span_limit),
            leader_epoch: -1,
            good_end: 0,
            fed_end: 0,
            carry: [0; BATCH_HEADER_BYTES],
            control: [0; MARKER_BYTES_MAX],
            place: Place::Header { carried: 0 },
            nonzero_end: 0,
        }
    }

    /// A walk through the segment with this base offset from a position on, behind batches that are
    /// known to be good and end before `next_offset` in this leader epoch.
    #[must_use]
    pub fn behind(
        base_offset: Offset,
        position: u64,
        next_offset: Offset,
        leader_epoch: LeaderEpoch,
    ) -> BatchScanner {
        assert!(next_offset >= base_offset);
        BatchScanner {
            next_offset,
            leader_epoch,
            good_end: position,
            fed_end: position,
            nonzero_end: position,
            ..BatchScanner::new(base_offset, Offset::MAX, Continuity::Exact)
        }
    }

    /// End of the last good batch, in bytes.
    #[must_use]
    pub fn good_end(&self) -> u64 {
        self.good_end
    }

    /// The offset after the last good batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Bytes behind the last good batch, up to the last one that is not zero.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.nonzero_end.saturating_sub(self.good_end)
    }

    /// True once a bad batch was met.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.place == Place::Bad
    }

    /// The leader epoch of the last good batch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// A walk that goes on behind damage, at a batch that starts at `position`.
    #[must_use]
    pub fn resumed(&self, position: u64) -> BatchScanner {
        assert!(position > self.good_end);
        BatchScanner {
            continuity: Continuity::Ascending,
            good_end: position,
            fed_end: position,
            nonzero_end: position,
            place: Place::Header { carried: 0 },
            ..self.clone()
        }
    }

    /// From here on each batch starts where the one before ended.
    pub fn be_exact(&mut self) {
        self.continuity = Continuity::Exact;
    }

    /// Where the batch behind the last good one says that it ends, if its header says anything.
    #[must_use]
    pub fn claimed_end(&self) -> Option<u64> {
        if matches!(self.place, Place::Header { .. }) {
            return None;
        }
        let header = BatchHeader::parse(&self.carry).ok()?;
        Some(self.good_end + u64::try_from(header.size_bytes()).ok()?)
    }

    /// Goes on with the next bytes of the file and reports the batches that end in them.
    pub fn feed(&mut self, bytes: &[u8], mut report: impl FnMut(ScannedBatch)) {
        let start = self.fed_end;
        self.fed_end += u64::try_from(bytes.len()).expect("lengths fit 64 bits");
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            self.nonzero_end = start + u64::try_from(last).expect("lengths fit 64 bits") + 1;
        }
        let mut rest = bytes;
        while !rest.is_empty() && self.place != Place::Bad {
            rest = self.step(rest, &mut report);
        }
    }

    fn step<'a>(&mut self, bytes: &'a [u8], report: &mut impl FnMut(ScannedBatch)) -> &'a [u8] {
        match self.place {
            Place::Header { carried } => {
                let taken = bytes.len().min(BATCH_HEADER_BYTES - carried);
                let (head, rest) = bytes.split_at(taken);
                self.carry[carried..carried + taken].copy_from_slice(head);
                self.place = Place::Header {
                    carried: carried + taken,
                };
                if carried + taken == BATCH_HEADER_BYTES {
                    self.enter_body(report);
                }
                rest
            }
            Place::Body {
                batch,
                remaining,
                crc,
            } => {
                let taken = bytes.len().min(remaining);
                let (body, rest) = bytes.split_at(taken);
                let crc = crc32c_append(crc, body);
                self.keep_control(&batch.header, remaining, body);
                self.place = Place::Body {
                    batch,
                    remaining: remaining - taken,
                    crc,
                };
                self.finish_body(report);
                rest
            }
            Place::Bad => &[],
        }
    }

    fn enter_body(&mut self, report: &mut impl FnMut(ScannedBatch)) {
        let Ok(header) = BatchHeader::parse(&self.carry) else {
            self.place = Place::Bad;
            return;
        };
        let follows = match self.continuity {
            Continuity::Exact => header.base_offset == self.next_offset,
            Continuity::Ascending => header.base_offset >= self.next_offset,
        };
        let is_inside = header.last_offset() < self.limit_offset
            && i64::try_from(self.good_end).is_ok_and(|position| position <= INDEX_SPAN_MAX);
        if !follows || !is_inside || header.partition_leader_epoch < self.leader_epoch {
            self.place = Place::Bad;
            return;
        }
        self.place = Place::Body {
            batch: ScannedBatch {
                position: self.good_end,
                header,
                marker: None,
            },
            remaining: header.size_bytes() - BATCH_HEADER_BYTES,
            crc: crc32c(&self.carry[CHECKSUMMED_AT..]),
        };
        self.finish_body(report);
    }

    /// Keeps what may be a marker, as far as there is room.
    fn keep_control(&mut self, header: &BatchHeader, remaining: usize, body: &[u8]) {
        let at = header.size_bytes() - BATCH_HEADER_BYTES - remaining;
        if header.attributes.is_control() && at < MARKER_BYTES_MAX {
            let kept = body.len().min(MARKER_BYTES_MAX - at);
            self.control[at..at + kept].copy_from_slice(&body[..kept]);
        }
    }

    fn finish_body(&mut self, report: &mut impl FnMut(ScannedBatch)) {
        let Place::Body {
            mut batch,
            remaining: 0,
            crc,
        } = self.place
        else {
            return;
        };
        if crc != batch.header.crc {
            self.place = Place::Bad;
            return;
        }
        self.good_end += u64::try_from(batch.header.size_bytes()).expect("sizes fit 64 bits");
        self.next_offset = batch.header.last_offset() + 1;
        self.leader_epoch = batch.header.partition_leader_epoch;
        self.place = Place::Header { carried: 0 };
        assert!(self.good_end <= self.fed_end);
        if batch.header.attributes.is_control() {
            let len = batch.header.size_bytes() - BATCH_HEADER_BYTES;
            let kept = len.min(MARKER_BYTES_MAX);
            batch.marker = EndMarker::of_records(&batch.header, &self.control[..kept]);
        }
        report(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression};
    use proptest::prelude::*;

    fn batch(base: Offset, epoch: LeaderEpoch, count: usize, value_bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.offsets(base, epoch);
        for _ in 0..count {
            builder.append(1, None, Some(&vec![7; value_bytes]), &[]);
        }
        builder.build().to_vec()
    }

    fn segment() -> (Vec<u8>, Vec<u64>) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut base = 10;
        for (count, value) in [(1, 5), (3, 2000), (2, 1), (1, 9000)] {
            bytes.extend(batch(base, 4, count, value));
            base += i64::try_from(count).expect("small");
            ends.push(u64::try_from(bytes.len()).expect("small"));
        }
        (bytes, ends)
    }

    fn scan(bytes: &[u8], step: usize) -> (BatchScanner, usize) {
        let mut scanner = BatchScanner::new(10, i64::MAX, Continuity::Exact);
        let mut found = 0;
        for chunk in bytes.chunks(step) {
            scanner.feed(chunk, |_| found += 1);
        }
        (scanner, found)
    }

    #[test]
    fn a_good_segment_is_found_whole_in_steps_of_any_size() {
        let (bytes, _) = segment();
        for step in [1, 7, 60, 61, 62, 4096, 1 << 20] {
            let (scanner, found) = scan(&bytes, step);
            assert_eq!((found, scanner.next_offset()), (4, 17), "steps of {step}");
            assert_eq!(
                scanner.good_end(),
                u64::try_from(bytes.len()).expect("small")
            );
            assert!(!scanner.is_bad());
        }
    }

    #[test]
    fn a_marker_is_read_in_steps_of_any_size() {
        let marker = EndMarker {
            is_commit: true,
            coordinator_epoch: 3,
        };
        let mut bytes = batch(10, 4, 2, 5);
        let mut control = marker.batch(7, 1, 0).to_vec();
        crate::wire::record::patch_offsets(&mut control, 12, 4);
        bytes.extend(control);
        bytes.extend(batch(13, 4, 1, 5));
        for step in [1, 7, 60, 4096] {
            let mut scanner = BatchScanner::new(10, i64::MAX, Continuity::Exact);
            let mut markers = Vec::new();
            for chunk in bytes.chunks(step) {
                scanner.feed(chunk, |batch| markers.push(batch.marker));
            }
            assert_eq!(markers, [None, Some(marker), None], "steps of {step}");
        }
    }

    #[test]
    fn padding_of_zeros_is_not_torn() {
        let (mut bytes, ends) = segment();
        bytes.resize(bytes.len() + 5000, 0);
        let (scanner, _) = scan(&bytes, 4096);
        assert_eq!((scanner.good_end(), scanner.torn_bytes()), (ends[3], 0));
    }

    #[test]
    fn offsets_and_epochs_must_follow() {
        let first = batch(10, 4, 2, 5);
        for (second, good) in [
            (batch(12, 4, 1, 5), 2),
            (batch(12, 5, 1, 5), 2),
            (batch(13, 4, 1, 5), 1),
            (batch(11, 4, 1, 5), 1),
            (batch(12, 3, 1, 5), 1),
        ] {
            let bytes = [first.clone(), second].concat();
            assert_eq!(scan(&bytes, 100).1, good);
        }
    }

    #[test]
    fn a_compacted_segment_may_have_gaps() {
        let bytes = [batch(12, 4, 1, 5), batch(20, 4, 1, 5)].concat();
        let mut scanner = BatchScanner::new(10, 21, Continuity::Ascending);
        let mut found = 0;
        scanner.feed(&bytes, |_| found += 1);
        assert_eq!((found, scanner.next_offset()), (2, 21));
    }

    proptest! {
        /// Any set of lost sectors: what is found is exactly the batches before the first damaged
        /// one.
        #[test]
        fn any_lost_sectors_cut_at_the_first_damaged_batch(
            lost in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let (mut bytes, ends) = segment();
            let whole = bytes.clone();
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            for (sector, _) in lost.iter().enumerate().filter(|(_, lost)| **lost) {
                if let Some(sector) = bytes.chunks_mut(512).nth(sector) {
                    sector.fill(0);
                }
            }
            let first_bad = whole.iter().zip(&bytes).position(|(a, b)| a != b);
            let first_bad = first_bad.unwrap_or(whole.len());
            let first_bad = u64::try_from(first_bad).expect("small");
            let (scanner, found) = scan(&bytes, 4096);
            prop_assert_eq!(found, ends.iter().filter(|end| **end <= first_bad).count());
            prop_assert!(scanner.good_end() <= first_bad);
        }
    }
}
