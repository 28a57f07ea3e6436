// SPDX-License-Identifier: Apache-2.0
//! The aligned buffers of one shard that wait for their next use.
//!
//! Owns: [`BufferPool`]. Small buffers for writing and buffers for reading come from a lender, if
//! there is one and it has memory left (the shell lends memory that the kernel knows already); they
//! come back to it when they are dropped, wherever that is. All others are this shard's own.
//! Invariants: a buffer is handed out by value and has any contents; what is kept is bounded by
//! bytes and by number, and lent memory is not counted, for it is there anyway. Runs on: the core
//! of the shard. Bounded by: `MemoryBudget::buffer_bytes`, `BUFFERS_AT_REST_MAX`.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::block_buffer::BlockBuffer;
use super::piece_memory::PieceMemory;
use crate::limits::{
    BLOCK_BYTES, BUFFER_AT_REST_BYTES_MAX, BUFFERS_AT_REST_MAX, COPY_PIECES_MAX,
    LENT_WRITE_BYTES_MAX, PIECE_BYTES_MAX,
};

/// Who lends memory for buffers.
pub trait BlockLender {
    /// A buffer of at least `len_bytes`, if so much can be lent and `left_bytes` are free then.
    fn lend(&mut self, len_bytes: usize, left_bytes: usize) -> Option<BlockBuffer>;
    /// All that is ever lent at once, in bytes.
    fn total_bytes(&self) -> usize;
}

/// A buffer that waits for its next use.
struct Waiting {
    buffer: BlockBuffer,
    /// Its turn among those that have come back.
    came: u64,
}

/// Buffers that wait for their next use.
pub struct BufferPool {
    free: Vec<Waiting>,
    /// Buffers that have come back.
    came: u64,
    free_bytes: usize,
    free_bytes_max: usize,
    lender: Option<Box<dyn BlockLender>>,
    copies: PieceMemory,
    has_copied: bool,
    was_used: bool,
}

impl BufferPool {
    /// A pool without a lender that keeps at most so many bytes.
    #[must_use]
    pub fn new(free_bytes_max: usize) -> BufferPool {
        BufferPool {
            free: Vec::new(),
            came: 0,
            free_bytes: 0,
            free_bytes_max,
            lender: None,
            copies: PieceMemory::new(COPY_PIECES_MAX, PIECE_BYTES_MAX),
            has_copied: false,
            was_used: false,
        }
    }

    /// Uses memory of a lender from now on.
    pub fn set_lender(&mut self, lender: Box<dyn BlockLender>) {
        self.lender = Some(lender);
    }

    /// A buffer of at least `len_bytes` to write from.
    #[must_use]
    pub fn take(&mut self, len_bytes: usize) -> BlockBuffer {
        self.was_used = true;
        let fits = |buffer: &BlockBuffer| {
            buffer.len() >= len_bytes && buffer.len() / 8 <= len_bytes.max(BLOCK_BYTES)
        };
        let lent = (len_bytes <= LENT_WRITE_BYTES_MAX)
            .then(|| self.find(|buffer| buffer.is_lent() && fits(buffer)))
            .flatten();
        lent.or_else(|| self.borrow(len_bytes, LENT_WRITE_BYTES_MAX, 0))
            .or_else(|| self.find(|buffer| !buffer.is_lent() && fits(buffer)))
            .unwrap_or_else(|| BlockBuffer::zeroed(len_bytes))
    }

    /// A buffer of the shard's own, to be kept for long: one whose length is in `fits`, or a new
    /// one of `wanted_bytes`.
    #[must_use]
    pub fn take_own(&mut self, wanted_bytes: usize, fits: RangeInclusive<usize>) -> BlockBuffer {
        assert!(fits.contains(&wanted_bytes));
        self.was_used = true;
        self.find(|buffer| !buffer.is_lent() && fits.contains(&buffer.len()))
            .unwrap_or_else(|| BlockBuffer::zeroed(wanted_bytes))
    }

    /// A buffer of at least `len_bytes` to read into. It is shared with whoever gets the bytes, for
    /// as long as a client likes, so half of what can be lent is left to writers.
    #[must_use]
    pub fn take_to_read(&mut self, len_bytes: usize) -> BlockBuffer {
        let total = self
            .lender
            .as_ref()
            .map_or(0, |lender| lender.total_bytes());
        self.borrow(len_bytes, total / 4, total / 2)
            .unwrap_or_else(|| BlockBuffer::zeroed(len_bytes))
    }

    /// A copy of a few bytes, so that whoever gets them does not hold the buffer they are in.
    #[must_use]
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.was_used = true;
        self.has_copied = true;
        self.copies.copy(bytes)
    }

    fn borrow(&mut self, len_bytes: usize, most_bytes: usize, left: usize) -> Option<BlockBuffer> {
        if len_bytes > most_bytes {
            return None;
        }
        self.lender.as_mut()?.lend(len_bytes, left)
    }

    /// The smallest buffer that fits: a larger one may be what the next one looks for. Of several
    /// the one that is looked at first, from the end, where those are that came back last.
    fn find(&mut self, fits: impl Fn(&BlockBuffer) -> bool) -> Option<BlockBuffer> {
        let mut found: Option<(usize, usize)> = None;
        for (place, waiting) in self.free.iter().enumerate().rev() {
            let len = waiting.buffer.len();
            if found.is_none_or(|(_, smallest)| len < smallest) && fits(&waiting.buffer) {
                found = Some((place, len));
            }
        }
        let buffer = self.free.swap_remove(found?.0).buffer;
        if !buffer.is_lent() {
            self.free_bytes -= buffer.len();
        }
        Some(buffer)
    }

    /// Takes a buffer back. Past the bounds those that have waited longest are freed: when rounds
    /// change their size, what fitted the old ones must not keep out what fits the new ones.
    pub fn give(&mut self, buffer: BlockBuffer) {
        let is_large = buffer.len() > BUFFER_AT_REST_BYTES_MAX;
        if is_large || (!buffer.is_lent() && buffer.len() > self.free_bytes_max) {
            return;
        }
        if !buffer.is_lent() {
            self.free_bytes += buffer.len();
        }
        let came = self.came;
        self.came += 1;
        self.free.push(Waiting { buffer, came });
        while self.free_bytes > self.free_bytes_max || self.free.len() > BUFFERS_AT_REST_MAX {
            let waiting = self.free.iter().enumerate();
            let oldest = waiting.min_by_key(|(_, waiting)| waiting.came);
            let (place, _) = oldest.expect("what waits is in the list");
            let oldest = self.free.swap_remove(place).buffer;
            if !oldest.is_lent() {
                self.free_bytes -= oldest.len();
            }
        }
    }

    /// The memory of the buffers that wait, lent ones not counted.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// True if a buffer waits.
    #[must_use]
    pub fn holds_any(&self) -> bool {
        !self.free.is_empty() || self.has_copied
    }

    /// True if a buffer was taken since the last call.
    pub fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.was_used)
    }

    /// Frees all that wait.
    pub fn clear(&mut self) {
        self.free.clear();
        self.free_bytes = 0;
        self.copies.clear();
        self.has_copied = false;
    }
}

impl std::fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, bytes) = (self.free.len(), self.free_bytes);
        write!(f, "BufferPool({count} buffers, {bytes} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::block_buffer::BlockMemory;

    const ROOM: usize = 4 << 20;

    struct Loan(BlockBuffer, Arc<AtomicUsize>);

    impl BlockMemory for Loan {
        fn blocks(&self) -> &[u8] {
            self.0.as_slice()
        }

        fn blocks_mut(&mut self) -> &mut [u8] {
            self.0.as_mut_slice()
        }
    }

    impl Drop for Loan {
        fn drop(&mut self) {
            self.1.fetch_add(self.0.len(), Ordering::Relaxed);
        }
    }

    /// Lends from a number of bytes.
    struct Lender(Arc<AtomicUsize>, usize);

    impl BlockLender for Lender {
        fn lend(&mut self, len_bytes: usize, left_bytes: usize) -> Option<BlockBuffer> {
            let memory = BlockBuffer::zeroed(len_bytes);
            let left = self.0.load(Ordering::Relaxed).checked_sub(memory.len())?;
            if left < left_bytes {
                return None;
            }
            self.0.store(left, Ordering::Relaxed);
            let loan = Loan(memory, Arc::clone(&self.0));
            Some(BlockBuffer::lent(Box::new(loan)))
        }

        fn total_bytes(&self) -> usize {
            self.1
        }
    }

    fn with_lender(bytes: usize) -> (BufferPool, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(bytes));
        let mut pool = BufferPool::new(ROOM);
        pool.set_lender(Box::new(Lender(Arc::clone(&left), bytes)));
        (pool, left)
    }

    #[test]
    fn a_buffer_comes_back_only_for_a_similar_need() {
        let mut pool = BufferPool::new(ROOM);
        pool.give(BlockBuffer::zeroed(1 << 20));
        assert_eq!(pool.take(100).len(), BLOCK_BYTES);
        assert_eq!(pool.take(1 << 18).len(), 1 << 20);
        assert_eq!(pool.free_bytes(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pool = BufferPool::new(3 * BLOCK_BYTES);
        for _ in 0..5 {
            pool.give(BlockBuffer::zeroed(BLOCK_BYTES));
        }
        assert_eq!(pool.free_bytes(), 3 * BLOCK_BYTES);
        pool.clear();
        assert!(!pool.holds_any() && pool.free_bytes() == 0);
        let (mut pool, left) = with_lender(1 << 24);
        for _ in 0..2 * BUFFERS_AT_REST_MAX {
            let buffer = pool.borrow(BLOCK_BYTES, BLOCK_BYTES, 0);
            pool.give(buffer.expect("there is enough"));
            let _ = pool.take_used();
        }
        let kept = (1 << 24) - left.load(Ordering::Relaxed);
        assert_eq!(kept, BUFFERS_AT_REST_MAX * BLOCK_BYTES);
        assert_eq!(pool.free_bytes(), 0, "what is lent is there anyway");
    }

    #[test]
    fn buffers_that_nobody_asks_for_make_room_for_those_that_come_back() {
        let mut pool = BufferPool::new(8 * BLOCK_BYTES);
        (0..8).for_each(|_| pool.give(BlockBuffer::zeroed(BLOCK_BYTES)));
        for _ in 0..3 {
            let large = pool.take(6 * BLOCK_BYTES);
            pool.give(large);
            assert_eq!(
                pool.free_bytes(),
                8 * BLOCK_BYTES,
                "two small ones and the large one"
            );
        }
        let large = pool.take(6 * BLOCK_BYTES);
        assert_eq!(
            pool.free_bytes(),
            2 * BLOCK_BYTES,
            "it was the one that waited"
        );
        pool.give(large);
        pool.give(BlockBuffer::zeroed(9 * BLOCK_BYTES));
        assert_eq!(
            pool.free_bytes(),
            8 * BLOCK_BYTES,
            "too large to wait at all"
        );
    }

    #[test]
    fn small_writes_and_reads_use_what_is_lent_and_the_rest_its_own() {
        let (mut pool, left) = with_lender(16 * BLOCK_BYTES);
        let small = pool.take(BLOCK_BYTES);
        assert!(small.is_lent());
        assert!(!pool.take(LENT_WRITE_BYTES_MAX + 1).is_lent(), "too large");
        assert!(
            !pool
                .take_own(BLOCK_BYTES, BLOCK_BYTES..=BLOCK_BYTES)
                .is_lent()
        );
        pool.give(small);
        assert!(
            !pool
                .take_own(BLOCK_BYTES, BLOCK_BYTES..=BLOCK_BYTES)
                .is_lent()
        );
        assert!(pool.take(BLOCK_BYTES).is_lent(), "the one that waited");
        assert_eq!(
            left.load(Ordering::Relaxed),
            16 * BLOCK_BYTES,
            "it went back"
        );
        // Readers leave half of it.
        let reads = [0; 3].map(|_| pool.take_to_read(4 * BLOCK_BYTES));
        assert_eq!(reads.map(|read| read.is_lent()), [true, true, false]);
        let bytes = pool.take_to_read(BLOCK_BYTES).into_bytes();
        let part = bytes.slice(1..5);
        drop(bytes);
        assert_eq!(left.load(Ordering::Relaxed), 15 * BLOCK_BYTES);
        drop(part);
        assert_eq!(left.load(Ordering::Relaxed), 16 * BLOCK_BYTES);
    }

    #[test]
    fn a_lender_without_memory_is_done_without() {
        let (mut pool, _) = with_lender(BLOCK_BYTES);
        let _first = pool.take(BLOCK_BYTES);
        assert!(!pool.take(BLOCK_BYTES).is_lent());
        assert!(!pool.take_to_read(BLOCK_BYTES).is_lent());
        assert!(pool.take_used() && !pool.take_used());
    }
}
