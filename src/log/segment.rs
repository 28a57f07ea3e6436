// SPDX-License-Identifier: Apache-2.0
//! One segment of a log: a run of record batches in one file, and what is known of it in memory.
//!
//! Files of the segment with base offset 1200, in the partition's directory `<topic>-<n>/`:
//! ```text
//! 00000000000000001200.log         record batches v2, back to back, exactly as they are sent.
//!                                  Sealed and cleanly stopped: exact length. While it is written:
//!                                  whole blocks, zeros behind the last batch.
//! 00000000000000001200.index       see `offset_index`; written at the roll and at a clean stop
//! 00000000000000001200.timeindex   see `time_index`; likewise
//! 00000000000000001200.snapshot    see `producer_snapshot`; the state BEFORE the first batch
//! 00000000000000001200.cleaned     see `compaction_copy`: a copy that is being made
//! 00000000000000001200.swap        see `swap`: a copy that is about to take its place
//! 00000000000000001200.txnindex    see `aborted`; only where transactions were aborted
//! 00000000000000001200.recycled    see `spare`; the segment was removed, its file waits
//! ```
//!
//! Owns: `Segment`, file names. Invariants: the durable part is a prefix of the whole; a sealed
//! segment never changes, except that compaction puts another in its place.
//! Runs on: the core of the partition. Bounded by: `segment.bytes`, `segment.index.bytes`.

use super::damage::Damages;
use super::offset_index::OffsetIndex;
use super::time_index::TimeIndex;
use crate::model::disk::{DiskError, FileId};
use crate::model::ids::Offset;
use crate::wire::record::BatchHeader;

/// Kinds of files of a segment, by the end of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Producer state.
    Snapshot,
    /// Aborted transactions.
    TxnIndex,
    /// No part of the log any more: what will be the file of a later segment.
    Recycled,
    /// A compacted copy that is being written.
    Cleaned,
    /// A compacted copy that is whole.
    Swap,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [FileKind; 8] = [
        FileKind::Log,
        FileKind::Index,
        FileKind::TimeIndex,
        FileKind::Snapshot,
        FileKind::TxnIndex,
        FileKind::Recycled,
        FileKind::Cleaned,
        FileKind::Swap,
    ];

    /// True for files that are no part of the log, or not yet: a start removes them.
    pub(super) fn is_unfinished(self) -> bool {
        matches!(
            self,
            FileKind::Recycled | FileKind::Cleaned | FileKind::Swap
        )
    }

    fn ending(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::Index => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::Snapshot => "snapshot",
            FileKind::TxnIndex => "txnindex",
            FileKind::Recycled => "recycled",
            FileKind::Cleaned => "cleaned",
            FileKind::Swap => "swap",
        }
    }
}

/// The name of a file: base offset in 20 digits, a point, the kind.
#[must_use]
pub fn file_name(base_offset: Offset, kind: FileKind) -> String {
    assert!(base_offset >= 0);
    format!("{base_offset:020}.{}", kind.ending())
}

/// Reads a file name.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let (digits, ending) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let kind = FileKind::ALL
        .into_iter()
        .find(|kind| kind.ending() == ending)?;
    Some((digits.parse().ok()?, kind))
}

/// Both indexes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndexes {
    pub(super) offsets: OffsetIndex,
    pub(super) times: TimeIndex,
}

impl SegmentIndexes {
    pub(super) fn new(base_offset: Offset) -> SegmentIndexes {
        SegmentIndexes {
            offsets: OffsetIndex::new(base_offset),
            times: TimeIndex::new(base_offset),
        }
    }
}

/// Whether a segment can be read at once.
#[derive(Debug)]
pub(super) enum Warmth {
    /// File closed, indexes not in memory.
    Cold,
    /// Being opened and loaded; so many requests are under way.
    Warming {
        outstanding: u32,
        failed: Option<DiskError>,
        offsets: Option<OffsetIndex>,
        times: Option<TimeIndex>,
    },
    /// Its indexes are being rebuilt from its batches.
    Rebuilding,
    /// File open, indexes in memory.
    Warm,
}

/// What is rolled back when an undurable tail is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentMark {
    /// Bytes of good batches.
    pub(super) size_bytes: u64,
    /// The offset after the last of them.
    pub(super) next_offset: Offset,
    /// Bytes since the last index entry.
    pub(super) bytes_since_entry: u64,
    /// Largest timestamp so far and the last offset of the batch that first carried it.
    pub(super) max_timestamp: Option<(i64, Offset)>,
    /// Largest timestamp of the first batch (Kafka rolls by time relative to it).
    pub(super) first_timestamp: Option<i64>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base_offset: Offset,
    /// Everything appended, durable or not.
    pub(super) mark: SegmentMark,
    /// What of it is on stable storage.
    pub(super) durable: SegmentMark,
    /// False for a sealed segment until its time index was loaded once.
    pub(super) times_known: bool,
    /// Present if warm. `Some` always for a segment that is not sealed on disk yet.
    pub(super) indexes: Option<SegmentIndexes>,
    /// The open file, if any.
    pub(super) file: Option<FileId>,
    pub(super) warmth: Warmth,
    /// When it was last used, in uses of the log.
    pub(super) used: u64,
    /// Places that no batch can be read from; `None` until all of the file was looked at.
    pub(super) damages: Option<Damages>,
}

impl Segment {
    /// A segment without batches, to be written to.
    pub(super) fn empty(base_offset: Offset) -> Segment {
        let mark = SegmentMark {
            next_offset: base_offset,
            ..SegmentMark::default()
        };
        Segment {
            base_offset,
            mark,
            durable: mark,
            times_known: true,
            indexes: Some(SegmentIndexes::new(base_offset)),
            file: None,
            warmth: Warmth::Warm,
            used: 0,
            damages: None,
        }
    }

    /// A segment on disk of which only name and length are known.
    pub(super) fn sealed(base_offset: Offset, next_offset: Offset, size_bytes: u64) -> Segment {
        assert!(next_offset >= base_offset);
        let mark = SegmentMark {
            size_bytes,
            next_offset,
            ..SegmentMark::default()
        };
        Segment {
            mark,
            durable: mark,
            times_known: false,
            indexes: None,
            warmth: Warmth::Cold,
            ..Segment::empty(base_offset)
        }
    }

    /// Takes note of a batch with its final offsets that starts at `position`.
    pub(super) fn add_batch(&mut self, header: &BatchHeader, position: u64, interval_bytes: u32) {
        assert_eq!(position, self.mark.size_bytes);
        assert!(header.base_offset >= self.mark.next_offset);
        let last_offset = header.last_offset();
        let mark = &mut self.mark;
        if mark
            .max_timestamp
            .is_none_or(|(timestamp, _)| header.max_timestamp > timestamp)
        {
            mark.max_timestamp = Some((header.max_timestamp, last_offset));
        }
        mark.first_timestamp.get_or_insert(header.max_timestamp);
        if mark.bytes_since_entry > u64::from(interval_bytes) {
            let indexes = self
                .indexes
                .as_mut()
                .expect("a growing segment has its indexes");
            indexes.offsets.append(last_offset, position);
            if let Some((timestamp, offset)) = mark.max_timestamp {
                indexes.times.maybe_append(timestamp, offset);
            }
            mark.bytes_since_entry = 0;
        }
        let size = u64::try_from(header.size_bytes()).expect("sizes fit 64 bits");
        mark.bytes_since_entry += size;
        mark.size_bytes += size;
        mark.next_offset = last_offset + 1;
    }

    /// Leaves out damaged bytes up to `position`. The next batch gets an index entry, so that reads
    /// find it without passing the damage.
    pub(super) fn skip_to(&mut self, position: u64) {
        assert!(position > self.mark.size_bytes);
        self.mark.size_bytes = position;
        self.mark.bytes_since_entry = u64::MAX / 2;
    }

    /// All of the file was looked at.
    pub(super) fn note_damages(&mut self, damages: Damages) {
        self.damages = Some(damages);
    }

    /// Where a walk that met damage at `position` goes on to find `offset`, if that is known.
    pub(super) fn around(&self, position: u64, offset: Offset) -> Option<u64> {
        self.damages.as_ref()?.around(position, offset)
    }

    /// Makes the largest timestamp the last entry of the time index, as a sealed segment has it.
    pub(super) fn finish_time_index(&mut self) {
        if let (Some(indexes), Some((timestamp, offset))) =
            (self.indexes.as_mut(), self.mark.max_timestamp)
        {
            indexes.times.maybe_append(timestamp, offset);
        }
    }

    /// Forgets everything that is not durable.
    pub(super) fn roll_back(&mut self) {
        let mark = self.durable;
        assert!(mark.size_bytes <= self.mark.size_bytes);
        self.mark = mark;
        let indexes = self
            .indexes
            .as_mut()
            .expect("a growing segment has its indexes");
        indexes.offsets.truncate_to(mark.next_offset);
        indexes.times.truncate_to(mark.next_offset);
    }

    /// True if no further index entry may be added.
    pub(super) fn is_index_full(&self, index_bytes_max: u32) -> bool {
        self.indexes.as_ref().is_some_and(|indexes| {
            indexes.offsets.is_full(index_bytes_max) || indexes.times.is_full(index_bytes_max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression};

    fn header(base: Offset, timestamp: i64) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(timestamp, None, Some(&[7; 100]), &[]);
        let header = BatchHeader::parse(&builder.build()).expect("a built batch parses");
        BatchHeader {
            base_offset: base,
            ..header
        }
    }

    #[test]
    fn names_are_kafkas() {
        assert_eq!(
            file_name(1200, FileKind::TimeIndex),
            "00000000000000001200.timeindex"
        );
        for kind in FileKind::ALL {
            assert_eq!(parse_file_name(&file_name(7, kind)), Some((7, kind)));
        }
        for bad in [
            "7.log",
            "0000000000000000000x.log",
            "00000000000000001200",
            "00000000000000001200.log.tmp",
            "99999999999999999999.log",
            "leader-epoch-checkpoint",
        ] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_is_made_once_the_interval_is_exceeded() {
        let mut segment = Segment::empty(50);
        let size = u64::try_from(header(0, 0).size_bytes()).expect("small");
        let interval = u32::try_from(size).expect("small");
        for place in 0..6 {
            let base = 50 + i64::try_from(place).expect("small");
            segment.add_batch(&header(base, base), place * size, interval);
        }
        let indexes = segment.indexes.as_ref().expect("present");
        // More than one batch must lie between two entries: batches 2 and 4 get one.
        assert_eq!(indexes.offsets.len(), 2);
        assert_eq!(indexes.offsets.floor(53).position, 2 * size);
        assert_eq!(indexes.times.last(), Some((54, 54)));
        segment.finish_time_index();
        assert_eq!(
            segment.indexes.as_ref().expect("present").times.last(),
            Some((55, 55))
        );
    }

    #[test]
    fn rolling_back_restores_the_mark() {
        let mut segment = Segment::empty(0);
        segment.add_batch(&header(0, 9), 0, 0);
        segment.durable = segment.mark;
        let size = segment.mark.size_bytes;
        segment.add_batch(&header(1, 99), size, 0);
        segment.add_batch(&header(2, 5), 2 * size, 0);
        segment.roll_back();
        assert_eq!(segment.mark, segment.durable);
        assert!(
            segment
                .indexes
                .as_ref()
                .expect("present")
                .offsets
                .is_empty()
        );
        segment.add_batch(&header(1, 7), size, 0);
        assert_eq!(segment.mark.max_timestamp, Some((9, 0)));
    }
}
