// SPDX-License-Identifier: Apache-2.0
//! The newest durable bytes of a log in memory: the buffers of the last write rounds, kept instead
//! of freed, so that a consumer at the tip never waits for the disk.
//!
//! Owns: [`TailCache`]. Invariants: only what a completed flush covers is in it, so it never has to
//! be taken back; a read of one round is a slice, nothing is copied; a buffer that falls out and
//! that no reader holds serves the next round.
//! Runs on: the core of the partition. Bounded by: `TAIL_CACHE_BYTES_PER_LOG_MAX`; freed when the
//! log has been idle for `WRITE_BUFFERS_IDLE_MS`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::tail_buffer::{BufferPool, file_len, memory_len};
use crate::limits::TAIL_CACHE_BYTES_PER_LOG_MAX;
use crate::model::block_buffer::BlockBuffer;
use crate::model::ids::Offset;

/// The bytes of one write.
#[derive(Debug)]
struct Chunk {
    /// Base offset of the segment.
    segment: Offset,
    /// Position of the first byte.
    start: u64,
    /// Position behind the last good byte.
    end: u64,
    buffer: Arc<BlockBuffer>,
}

impl Chunk {
    /// The good bytes from `position` on.
    fn from(&self, position: u64) -> &[u8] {
        assert!((self.start..self.end).contains(&position));
        let inside = memory_len(position - self.start)..memory_len(self.end - self.start);
        &self.buffer.as_slice()[inside]
    }

    /// Likewise, without a copy.
    fn share(&self, position: u64) -> Bytes {
        let inside = memory_len(position - self.start)..memory_len(self.end - self.start);
        Bytes::from_owner(Shared(Arc::clone(&self.buffer))).slice(inside)
    }
}

/// A reader's hold on a buffer.
struct Shared(Arc<BlockBuffer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The newest bytes of a log, oldest first.
#[derive(Debug, Default)]
pub(super) struct TailCache {
    chunks: VecDeque<Chunk>,
    held_bytes: usize,
}

impl TailCache {
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
        self.held_bytes += buffer.len();
        let buffer = Arc::new(buffer);
        self.chunks.push_back(Chunk {
            segment,
            start,
            end,
            buffer,
        });
        while self.held_bytes > TAIL_CACHE_BYTES_PER_LOG_MAX {
            let oldest = self.chunks.pop_front();
            let oldest = oldest.expect("what is held is in a chunk");
            self.held_bytes -= oldest.buffer.len();
            if let Ok(buffer) = Arc::try_unwrap(oldest.buffer) {
                pool.give(buffer);
            }
        }
    }

    /// The bytes from `position` on: at least `needed`, and about `useful` if there are so many.
    pub(super) fn read(
        &self,
        segment: Offset,
        position: u64,
        needed: u64,
        useful: u64,
    ) -> Option<Bytes> {
        // Most reads are at the tip: look from the newest chunk back.
        let first = self.chunks.iter().rposition(|chunk| {
            chunk.segment == segment && (chunk.start..chunk.end).contains(&position)
        })?;
        let slice = self.chunks[first].share(position);
        if file_len(slice.len()) >= needed.max(useful) || first + 1 == self.chunks.len() {
            return (file_len(slice.len()) >= needed).then_some(slice);
        }
        let mut joined = slice.to_vec();
        for chunk in self.chunks.range(first + 1..) {
            let end = position + file_len(joined.len());
            if joined.len() >= memory_len(needed.max(useful))
                || chunk.segment != segment
                || !(chunk.start..chunk.end).contains(&end)
            {
                break;
            }
            joined.extend_from_slice(chunk.from(end));
        }
        (file_len(joined.len()) >= needed).then(|| Bytes::from(joined))
    }

    /// Frees all.
    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.held_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WRITE_BYTES_MAX;

    fn buffer(byte: u8, len: usize) -> BlockBuffer {
        let mut buffer = BlockBuffer::zeroed(len);
        buffer.as_mut_slice().fill(byte);
        buffer
    }

    /// Rounds of 100, 5000 and 10 bytes, as a log writes them.
    fn cache() -> TailCache {
        let (mut cache, mut pool) = (TailCache::default(), BufferPool::default());
        cache.insert(7, 0, 100, buffer(1, 4096), &mut pool);
        cache.insert(7, 0, 5100, buffer(2, 8192), &mut pool);
        cache.insert(7, 4096, 5110, buffer(3, 4096), &mut pool);
        cache
    }

    #[test]
    fn the_tip_is_a_slice_of_the_newest_round() {
        let cache = cache();
        let tip = cache.read(7, 5100, 10, 10).expect("it is there");
        assert_eq!(&tip[..], &[3; 10]);
        assert_eq!(cache.read(7, 5100, 11, 11), None, "the end");
        assert_eq!(cache.read(8, 5100, 10, 10), None, "another segment");
    }

    #[test]
    fn rounds_are_joined_where_more_is_useful() {
        let cache = cache();
        let all = cache.read(7, 100, 61, 1 << 20).expect("it is there");
        assert_eq!(all.len(), 5010);
        assert_eq!((all[0], all[4999], all[5009]), (2, 2, 3));
        assert_eq!(
            cache.read(7, 100, 61, 200).expect("it is there").len(),
            5000
        );
    }

    #[test]
    fn the_oldest_goes_first() {
        let (mut cache, mut pool) = (TailCache::default(), BufferPool::default());
        let step = file_len(WRITE_BYTES_MAX);
        let count = file_len(TAIL_CACHE_BYTES_PER_LOG_MAX) / step;
        for place in 0..=count {
            let one = buffer(9, WRITE_BYTES_MAX);
            cache.insert(0, place * step, (place + 1) * step, one, &mut pool);
        }
        assert_eq!(cache.held_bytes, TAIL_CACHE_BYTES_PER_LOG_MAX);
        assert_eq!(cache.read(0, 0, 1, 1), None);
        assert_eq!(
            pool.take(WRITE_BYTES_MAX).as_slice()[0],
            9,
            "it serves the next round"
        );
        assert!(cache.read(0, step, 1, 1).is_some());
        cache.clear();
        assert_eq!(cache.read(0, step, 1, 1), None);
    }
}
