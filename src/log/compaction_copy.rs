// SPDX-License-Identifier: Apache-2.0
//! The copy that compaction makes of a group of segments: which records stay, and how it is
//! written.
//!
//! Owns: [`Group`]. Invariants: the copy is written under `.cleaned`, which no reader knows, and is
//! durable and of exact length before it gets another name; its indexes grow with it. Runs on: the
//! core of the partition.
//! Bounded by: `segment.bytes` and `segment.index.bytes`, unless one segment alone is larger.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::aborted::AbortedTransactions;
use super::compaction_pass::{Asked, Course, Pass};
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::segment::{FileKind, Segment};
use super::tail_buffer::file_len;
use super::time_index::TIME_INDEX_ENTRY_BYTES;
use crate::limits::{BLOCK_BYTES, COMPACTION_PIECE_BYTES, DECOMPRESSED_BYTES_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskOperation, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::Now;
use crate::wire::record::filter::{Retained, retain_records, without_records};
use crate::wire::record::{BatchHeader, RecordView};

/// Segments that become one.
#[derive(Debug)]
pub(super) struct Group {
    /// Base offset of the first one, and of the copy.
    pub(super) base: Offset,
    /// The offset after the last one.
    pub(super) next: Offset,
    /// Base offset of the last one.
    pub(super) last_source: Offset,
    /// How many there are.
    sources: usize,
    pub(super) file: FileId,
    pub(super) is_open: bool,
    /// What is known of the copy.
    pub(super) copy: Segment,
    /// Bytes of the copy that are not written yet.
    out: Vec<u8>,
    pub(super) written_bytes: u64,
    /// Something was removed or changed.
    is_changed: bool,
    /// Markers of transactions of which nothing else is left.
    pub(super) emptied: BTreeSet<Offset>,
    /// All of it is copied.
    is_complete: bool,
    /// The file that says so is durable: the copy takes its place, whatever happens.
    pub(super) is_committed: bool,
}

impl Group {
    /// Memory of what is not written yet.
    pub(super) fn held_bytes(&self) -> usize {
        self.out.capacity()
    }

    /// True if a whole piece waits to be written.
    pub(super) fn has_piece(&self) -> bool {
        self.out.len() >= COMPACTION_PIECE_BYTES
    }

    fn add(&mut self, batch: &[u8], interval_bytes: u32) {
        let header = BatchHeader::parse(batch).expect("a good batch stays one");
        let position = self.copy.mark.size_bytes;
        self.copy.add_batch(&header, position, interval_bytes);
        self.out.extend_from_slice(batch);
    }
}

impl Pass {
    /// Copies what stays of a batch.
    pub(super) fn copy_batch(
        &mut self,
        batch: &Bytes,
        header: &BatchHeader,
        is_last: bool,
        delete_retention_ms: u64,
        interval_bytes: u32,
        aborted: &AbortedTransactions,
    ) {
        let retained = self.retained(batch, header, delete_retention_ms, aborted);
        let is_last = is_last || self.producers.is_newest(header);
        let group = self.group.as_mut().expect("a copy has its group");
        match retained {
            Retained::Whole => return group.add(batch, interval_bytes),
            Retained::Part(part) => group.add(&part, interval_bytes),
            Retained::Nothing if is_last && header.record_count == 0 => {
                return group.add(batch, interval_bytes);
            }
            Retained::Nothing if is_last => group.add(&without_records(batch), interval_bytes),
            Retained::Nothing => {}
        }
        group.is_changed = true;
    }

    fn retained(
        &mut self,
        batch: &Bytes,
        header: &BatchHeader,
        delete_retention_ms: u64,
        aborted: &AbortedTransactions,
    ) -> Retained {
        let attributes = header.attributes;
        let is_within = header.base_offset < self.end;
        if attributes.is_control() {
            let (walk, producers) = (&mut self.transactions, &self.producers);
            let (retained, is_empty) =
                walk.retained(batch, header, producers, self.wall_ms, delete_retention_ms);
            if !is_within {
                return Retained::Whole;
            }
            if is_empty {
                let group = self.group.as_mut().expect("a copy has its group");
                group.emptied.insert(header.last_offset());
            }
            return retained;
        }
        let is_aborted =
            attributes.is_transactional() && self.transactions.take_batch(header, aborted);
        if !is_within {
            return Retained::Whole;
        }
        if is_aborted {
            return Retained::Nothing;
        }
        let has_horizon = header.attributes.has_delete_horizon();
        let is_past = has_horizon && self.wall_ms >= header.base_timestamp;
        let keep = |record: &RecordView<'_>| {
            // As in Kafka: a record without a key has no place in a compacted topic. It is from
            // the time before the topic was one.
            let Some(key) = record.key else {
                return false;
            };
            let newest = self.map.newest(key);
            let is_newest = newest.is_none_or(|newest| record.offset >= newest);
            is_newest && (record.value.is_some() || !is_past)
        };
        let horizon_ms = self.wall_ms.saturating_add_unsigned(delete_retention_ms);
        // What does not open is not judged.
        retain_records(batch, DECOMPRESSED_BYTES_MAX, horizon_ms, keep).unwrap_or(Retained::Whole)
    }
}

impl PartitionLog {
    /// The next group, its next segment, or the end of its copy.
    pub(super) fn go_on_copying(
        &mut self,
        pass: &mut Pass,
        now: Now,
        disk: &mut DiskQueue,
    ) -> Course {
        let Some(group) = &mut pass.group else {
            return self.begin_group(pass, disk);
        };
        let end = group.next;
        if !group.is_complete {
            if self.open_source(pass, end, disk) {
                return Course::Waits;
            }
            group_mut(pass).is_complete = true;
            return Course::GoesOn;
        }
        let group = group_mut(pass);
        if !group.is_changed && group.sources == 1 {
            return self.drop_copy(pass, disk);
        }
        if !group.out.is_empty() {
            return self.write_copy(pass, now, disk);
        }
        let (file, len_bytes) = (group.file, group.copy.mark.size_bytes);
        assert!(len_bytes > 0, "the last batch of a group stays");
        pass.asked = Some(Asked::SetLength);
        let cut = DiskOperation::SetLength { file, len_bytes };
        self.push(Pending::Compaction, cut, disk);
        Course::Waits
    }

    /// Takes the next segments, as many as fit one.
    fn begin_group(&mut self, pass: &mut Pass, disk: &mut DiskQueue) -> Course {
        if self.retention.is_busy() {
            // It ends by itself, and then the pass is called again.
            return Course::Waits;
        }
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset < pass.next_base);
        let first = self
            .segments
            .get(after)
            .filter(|first| first.base_offset < pass.end);
        let Some(first) = first else {
            self.write_cleaner_checkpoint(pass, disk);
            return Course::Waits;
        };
        let base = first.base_offset;
        let bound = self.compaction_bound();
        let written = self.stages.front().map_or(0, |stage| stage.base_offset);
        let (mut bytes, mut sources) = (0, 0);
        let (mut next, mut last_source) = (base, base);
        for segment in self.segments.range(after..) {
            let is_settled = segment.base_offset < written && segment.mark.next_offset <= bound;
            bytes += segment.mark.size_bytes;
            let fits = sources == 0
                || (bytes <= u64::from(self.config.segment_bytes)
                    && self.is_indexable(bytes)
                    && segment.mark.next_offset - base <= i64::from(i32::MAX));
            if !is_settled || !fits || segment.base_offset >= pass.end {
                break;
            }
            sources += 1;
            (next, last_source) = (segment.mark.next_offset, segment.base_offset);
        }
        assert!(sources > 0, "a pass ends before what is not settled");
        let file = self.new_file();
        pass.next_base = base;
        pass.group = Some(Group {
            base,
            next,
            last_source,
            sources,
            file,
            is_open: false,
            copy: Segment::empty(base),
            out: Vec::new(),
            written_bytes: 0,
            is_changed: false,
            emptied: BTreeSet::new(),
            is_complete: false,
            is_committed: false,
        });
        pass.asked = Some(Asked::OpenCopy);
        let path = self.segment_path(base, FileKind::Cleaned);
        let create = true;
        self.push(
            Pending::Compaction,
            DiskOperation::Open { file, path, create },
            disk,
        );
        Course::Waits
    }

    /// True if the indexes of so many bytes keep to their size.
    fn is_indexable(&self, bytes: u64) -> bool {
        let entries = bytes / u64::from(self.config.index_interval_bytes).max(1) + 2;
        let index_bytes = entries.saturating_mul(file_len(TIME_INDEX_ENTRY_BYTES));
        index_bytes <= u64::from(self.config.segment_index_bytes)
    }

    /// Writes a piece of the copy; the last one is filled up with zeros.
    pub(super) fn write_copy(&mut self, pass: &mut Pass, now: Now, disk: &mut DiskQueue) -> Course {
        let whole = pass.buffer.take();
        let whole = whole.filter(|buffer| buffer.len() == COMPACTION_PIECE_BYTES);
        let mut buffer = whole.unwrap_or_else(|| BlockBuffer::zeroed(COMPACTION_PIECE_BYTES));
        let group = group_mut(pass);
        let len = group.out.len().min(COMPACTION_PIECE_BYTES);
        buffer.as_mut_slice()[..len].copy_from_slice(&group.out[..len]);
        group.out.drain(..len);
        let write_len = len.next_multiple_of(BLOCK_BYTES);
        buffer.as_mut_slice()[len..write_len].fill(0);
        let write = DiskOperation::Write {
            file: group.file,
            position_bytes: group.written_bytes,
            len_bytes: u32::try_from(write_len).expect("a piece is small"),
            buffer,
        };
        group.written_bytes += file_len(len);
        pass.written_bytes += file_len(len);
        disk.cleaner()
            .charge(now.monotonic_us, len, &self.compaction.settings);
        pass.asked = Some(Asked::Write);
        self.push(Pending::Compaction, write, disk);
        Course::Waits
    }

    /// Nothing of the only segment is outdated: it stays.
    fn drop_copy(&mut self, pass: &mut Pass, disk: &mut DiskQueue) -> Course {
        let group = pass.group.take().expect("it was copied");
        pass.next_base = group.next;
        pass.asked = Some(Asked::Clean { left: 2 });
        let close = DiskOperation::Close { file: group.file };
        self.push(Pending::Compaction, close, disk);
        let path = self.segment_path(group.base, FileKind::Cleaned);
        self.push(
            Pending::Compaction,
            DiskOperation::RemoveFile { path },
            disk,
        );
        Course::Waits
    }
}

fn group_mut(pass: &mut Pass) -> &mut Group {
    pass.group.as_mut().expect("a copy has its group")
}

const _: () = assert!(COMPACTION_PIECE_BYTES >= BLOCK_BYTES);
