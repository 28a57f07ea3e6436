// SPDX-License-Identifier: Apache-2.0
//! What a log holds in memory, and how it gives some of it up.
//!
//! Owns: [`LogMemory`]. Invariants: what is reported is the size of the buffers, not of the good
//! bytes in them; giving up never touches what is not durable or what somebody waits for.
//! Runs on: the core of the partition. Bounded by: its shard, which asks for bytes back.

use super::partition_log::PartitionLog;
use super::segment::SegmentMark;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;

/// What a log holds in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMemory {
    /// The tail cache: what `handle_shed` can free.
    pub cached_bytes: usize,
    /// Appended and not durable.
    pub unflushed_bytes: usize,
    /// Buffers of reads under way.
    pub reading_bytes: usize,
    /// What was read ahead and not asked for yet: what `handle_read_ahead_shed` can free.
    pub ahead_bytes: usize,
    /// The map of keys and the buffers of a pass of compaction.
    pub compacting_bytes: usize,
}

impl PartitionLog {
    /// What it holds in memory.
    #[must_use]
    pub fn memory(&self) -> LogMemory {
        LogMemory {
            cached_bytes: self.tail_cache.held_bytes(),
            unflushed_bytes: self.unflushed_bytes,
            reading_bytes: self.reading_bytes,
            ahead_bytes: self.read_ahead.held_bytes(),
            compacting_bytes: self.compaction.held_bytes(),
        }
    }

    /// True if what starts at this offset is in memory, so that no disk is needed to read it.
    #[must_use]
    pub fn is_in_memory(&self, offset: Offset) -> bool {
        let segment = self.segment_of(offset);
        let is_cached = segment.and_then(|segment| self.tail_cache.floor(segment, offset));
        is_cached.is_some() || self.read_ahead.has(offset)
    }

    /// Gives up at least so many cached bytes, the oldest first, or all there are. Their buffers
    /// are the next ones that are taken.
    pub fn handle_shed(&mut self, wanted_bytes: usize, disk: &mut DiskQueue) {
        let target = self.memory().cached_bytes.saturating_sub(wanted_bytes);
        while self.memory().cached_bytes > target {
            if !self.tail_cache.give_up_oldest(disk.buffers()) {
                return;
            }
        }
    }

    /// Keeps the writes of a round that has become durable.
    pub(super) fn cache_round(
        &mut self,
        segment: Offset,
        before: SegmentMark,
        after: SegmentMark,
        written: &mut Vec<(u64, BlockBuffer)>,
        disk: &mut DiskQueue,
    ) {
        written.sort_unstable_by_key(|(position, _)| *position);
        self.tail_cache
            .mark(segment, before.size_bytes, before.next_offset);
        for (position, buffer) in written.drain(..) {
            let end = after.size_bytes;
            self.tail_cache
                .insert(segment, position, end, buffer, disk.buffers());
        }
    }
}
