// SPDX-License-Identifier: Apache-2.0
//! The newest durable bytes of a log in memory: the buffers of the last write rounds, kept instead
//! of freed, so that a consumer at the tip never waits for the disk.
//!
//! Owns: [`TailCache`]. Invariants: only what a completed flush covers is in it, so it never has to
//! be taken back; it is a gapless end of the log, so a later chunk reaches at least as far as
//! every earlier one; a read of one round is a slice, nothing is copied; a buffer is at least half
//! used or at most two blocks large, so that the memory held follows the bytes held.
//! Small rounds rewrite one block again and again; their new bytes are copied behind the old ones,
//! so that they share a buffer.
//! Runs on: the core of the partition. Bounded by: its shard, which takes the oldest from the
//! coldest log when all logs together hold more than `MemoryBudget::tail_cache_bytes`.

use std::collections::VecDeque;

use bytes::Bytes;

use super::tail_buffer::{block_floor, file_len, memory_len};
use crate::limits::{BLOCK_BYTES, TAIL_CACHE_BUFFER_MERGED_MAX, TAIL_CACHE_ROUND_MERGED_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::buffer_pool::BufferPool;
use crate::model::ids::Offset;

/// The bytes of one write, or of several small ones.
#[derive(Debug)]
struct Chunk {
    /// Base offset of the segment.
    segment: Offset,
    /// Position of the first byte.
    start: u64,
    /// Position behind the last good byte.
    end: u64,
    /// A whole buffer of blocks, of which readers have parts.
    buffer: Bytes,
}

impl Chunk {
    /// The good bytes from `position` on.
    fn from(&self, position: u64) -> &[u8] {
        assert!((self.start..self.end).contains(&position));
        let inside = memory_len(position - self.start)..memory_len(self.end - self.start);
        &self.buffer[inside]
    }

    /// Likewise, without a copy.
    fn share(&self, position: u64) -> Bytes {
        let inside = memory_len(position - self.start)..memory_len(self.end - self.start);
        self.buffer.slice(inside)
    }

    /// True if bytes up to `end` have room in the buffer.
    fn has_room(&self, end: u64) -> bool {
        end - self.start <= file_len(self.buffer.len())
    }

    /// Copies bytes behind the good ones. False if a reader holds the buffer: then it stays as it
    /// is.
    fn extend(&mut self, fresh: &[u8]) -> bool {
        let place = memory_len(self.end - self.start);
        if !self.buffer.is_unique() {
            return false;
        }
        let buffer = BlockBuffer::reclaim(std::mem::take(&mut self.buffer));
        let mut buffer = buffer.expect("a chunk's buffer is whole, and nobody else has it");
        buffer.as_mut_slice()[place..place + fresh.len()].copy_from_slice(fresh);
        self.buffer = buffer.into_bytes();
        self.end += file_len(fresh.len());
        true
    }
}

/// Where a batch starts.
#[derive(Clone, Copy, Debug)]
struct Mark {
    segment: Offset,
    position: u64,
    offset: Offset,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    /// The bytes.
    pub(super) bytes: Bytes,
    /// The memory that they keep from being freed.
    pub(super) held_bytes: usize,
}

/// The newest bytes of a log, oldest first.
#[derive(Debug, Default)]
pub(super) struct TailCache {
    chunks: VecDeque<Chunk>,
    /// Starts of rounds, one for each block: a read that starts here needs no index. A chunk begins
    /// with a whole block, so one that holds the start of a round holds a mark at or before it.
    marks: VecDeque<Mark>,
    held_bytes: usize,
}

impl TailCache {
    /// The memory of all buffers.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Says that the next round begins here, with a batch at this offset.
    pub(super) fn mark(&mut self, segment: Offset, position: u64, offset: Offset) {
        let is_near = self.marks.back().is_some_and(|last| {
            last.segment == segment && block_floor(position) == block_floor(last.position)
        });
        if !is_near {
            self.marks.push_back(Mark {
                segment,
                position,
                offset,
            });
        }
    }

    /// Keeps what was written at `start`; the good bytes end at `end`. Called in file order.
    pub(super) fn insert(
        &mut self,
        segment: Offset,
        start: u64,
        end: u64,
        buffer: BlockBuffer,
        pool: &mut BufferPool,
    ) {
        let end = end.min(start + file_len(buffer.len()));
        if end <= start {
            return pool.give(buffer);
        }
        if self.merge(segment, start, end, &buffer, pool) {
            return pool.give(buffer);
        }
        while let Some(last) = self.chunks.back()
            && last.segment == segment
            && last.start >= start
        {
            // All its bytes are in the newer buffer.
            let superseded = self.chunks.pop_back().expect("just seen");
            self.release(superseded, pool);
        }
        let buffer = fit(buffer, memory_len(end - start), pool);
        self.push(Chunk {
            segment,
            start,
            end,
            buffer: buffer.into_bytes(),
        });
    }

    /// Copies the new bytes of a small round behind the old ones. False if they need a chunk.
    fn merge(
        &mut self,
        segment: Offset,
        start: u64,
        end: u64,
        buffer: &BlockBuffer,
        pool: &mut BufferPool,
    ) -> bool {
        let Some(last) = self.chunks.back_mut() else {
            return false;
        };
        let joins = last.segment == segment && last.start <= start && start <= last.end;
        if !joins || end < last.end {
            return false;
        }
        let fresh = memory_len(last.end - start)..memory_len(end - start);
        if fresh.len() > TAIL_CACHE_ROUND_MERGED_MAX {
            return false;
        }
        if !last.has_room(end) {
            let wanted = memory_len(end - last.start);
            if wanted > TAIL_CACHE_BUFFER_MERGED_MAX {
                return false;
            }
            // Doubling keeps the copies in proportion to the bytes, and sizes are few, so that the
            // buffer that one log gave up is the one that another looks for.
            let len = wanted.next_power_of_two().max(BLOCK_BYTES);
            let mut larger = pool.take_own(len, len..=len);
            let old = last.from(last.start);
            larger.as_mut_slice()[..old.len()].copy_from_slice(old);
            self.held_bytes += larger.len();
            self.held_bytes -= last.buffer.len();
            let old = std::mem::replace(&mut last.buffer, larger.into_bytes());
            give_back(old, pool);
        }
        last.extend(&buffer.as_slice()[fresh])
    }

    fn push(&mut self, chunk: Chunk) {
        debug_assert!(self.chunks.back().is_none_or(|last| {
            (last.segment, last.start) < (chunk.segment, chunk.start)
                && (last.segment < chunk.segment || last.end <= chunk.end)
        }));
        self.held_bytes += chunk.buffer.len();
        self.chunks.push_back(chunk);
    }

    fn release(&mut self, chunk: Chunk, pool: &mut BufferPool) {
        self.held_bytes -= chunk.buffer.len();
        give_back(chunk.buffer, pool);
    }

    /// Gives up the oldest bytes; their buffer goes to the pool. False if there were none.
    pub(super) fn give_up_oldest(&mut self, pool: &mut BufferPool) -> bool {
        let Some(oldest) = self.chunks.pop_front() else {
            return false;
        };
        self.release(oldest, pool);
        let first = self.chunks.front();
        let first = first.map_or((Offset::MAX, 0), |chunk| (chunk.segment, chunk.start));
        while let Some(mark) = self.marks.front()
            && (mark.segment, mark.position) < first
        {
            self.marks.pop_front();
        }
        true
    }

    /// Gives up what lies in segments below this one.
    pub(super) fn give_up_below(&mut self, segment: Offset, pool: &mut BufferPool) {
        while self
            .chunks
            .front()
            .is_some_and(|oldest| oldest.segment < segment)
        {
            self.give_up_oldest(pool);
        }
    }

    /// The start of a batch at or before `offset` of which all bytes up to the end of the segment
    /// are here.
    pub(super) fn floor(&self, segment: Offset, offset: Offset) -> Option<u64> {
        let after = self
            .marks
            .partition_point(|mark| (mark.segment, mark.offset) <= (segment, offset));
        let mark = self.marks[after.checked_sub(1)?];
        (mark.segment == segment && self.chunk_at(segment, mark.position).is_some())
            .then_some(mark.position)
    }

    /// The newest chunk that holds this position.
    fn chunk_at(&self, segment: Offset, position: u64) -> Option<usize> {
        let after = self
            .chunks
            .partition_point(|chunk| (chunk.segment, chunk.start) <= (segment, position));
        let place = after.checked_sub(1)?;
        let chunk = &self.chunks[place];
        (chunk.segment == segment && position < chunk.end).then_some(place)
    }

    /// The bytes from `position` on: at least `needed`, and about `useful` if there are so many.
    pub(super) fn read(
        &self,
        segment: Offset,
        position: u64,
        needed: u64,
        useful: u64,
    ) -> Option<Cached> {
        let first = self.chunk_at(segment, position)?;
        let slice = self.chunks[first].share(position);
        if file_len(slice.len()) >= needed.max(useful) || first + 1 == self.chunks.len() {
            let held_bytes = self.chunks[first].buffer.len();
            return (file_len(slice.len()) >= needed).then_some(Cached {
                bytes: slice,
                held_bytes,
            });
        }
        let mut joined = slice.to_vec();
        for chunk in self.chunks.range(first + 1..) {
            let end = position + file_len(joined.len());
            if joined.len() >= memory_len(needed.max(useful))
                || chunk.segment != segment
                || chunk.start > end
            {
                break;
            }
            if end < chunk.end {
                joined.extend_from_slice(chunk.from(end));
            }
        }
        let held_bytes = joined.capacity();
        (file_len(joined.len()) >= needed).then(|| Cached {
            bytes: Bytes::from(joined),
            held_bytes,
        })
    }

    /// Frees all.
    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.marks = VecDeque::new();
        self.held_bytes = 0;
    }
}

/// Gives a buffer to the pool, unless a reader holds it.
fn give_back(buffer: Bytes, pool: &mut BufferPool) {
    if buffer.is_unique()
        && let Some(buffer) = BlockBuffer::reclaim(buffer)
    {
        pool.give(buffer);
    }
}

/// Moves bytes that fill less than half of their buffer, or whose buffer is lent, into another one.
fn fit(buffer: BlockBuffer, used_bytes: usize, pool: &mut BufferPool) -> BlockBuffer {
    let wanted = used_bytes.next_multiple_of(BLOCK_BYTES);
    if 2 * wanted > buffer.len() && !buffer.is_lent() {
        return buffer;
    }
    let len = wanted.next_power_of_two();
    let mut smaller = pool.take_own(len, wanted..=2 * wanted);
    smaller.as_mut_slice()[..used_bytes].copy_from_slice(&buffer.as_slice()[..used_bytes]);
    pool.give(buffer);
    smaller
}

#[cfg(test)]
#[path = "tail_cache/tests.rs"]
mod tests;
