// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way to the end of a file, gathered in whole blocks.
//!
//! Owns: [`TailBuffer`]. Invariants: the first gathered block begins with the bytes
//! of the file's last, partly filled block; what is written is whole blocks and ends in at least
//! one batch header of zeros, so that a scan stops there; buffers are handed out by value and never
//! shared with a write under way.
//! Runs on: the core of the partition. Bounded by: `UNFLUSHED_BYTES_MAX` (its user).

use crate::limits::{BLOCK_BYTES, WRITE_BYTES_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::buffer_pool::BufferPool;
use crate::wire::record::BATCH_HEADER_BYTES;

/// `BLOCK_BYTES` as a file position.
pub(super) const BLOCK: u64 = 4096;
const _: () = assert!(BLOCK_BYTES == 4096);

/// Rounds a position down to a block.
pub(super) fn block_floor(position: u64) -> u64 {
    position - position % BLOCK
}

/// Rounds a position up to a block.
pub(super) fn block_ceil(position: u64) -> u64 {
    position.next_multiple_of(BLOCK)
}

/// A position or length of the file as a length in memory.
pub(super) fn memory_len(len_bytes: u64) -> usize {
    usize::try_from(len_bytes).expect("lengths fit the address space")
}

/// A length in memory as a length in a file.
pub(super) fn file_len(len_bytes: usize) -> u64 {
    u64::try_from(len_bytes).expect("lengths fit 64 bits")
}

/// One write of a round.
#[derive(Debug)]
pub(super) struct TailWrite {
    pub(super) position: u64,
    pub(super) len_bytes: u32,
    pub(super) buffer: BlockBuffer,
}

/// The gathering end of one file.
#[derive(Debug)]
pub(super) struct TailBuffer {
    /// End of the file's good bytes, the gathered ones included.
    end: u64,
    /// Where the gathered blocks start.
    start: u64,
    chunks: Vec<BlockBuffer>,
    /// Bytes filled in the last chunk.
    filled: usize,
    /// The block that holds `end` as of the last round, for the next one to begin with.
    tail: Vec<u8>,
}

impl TailBuffer {
    /// The end of a file of this exact length, whose last partly filled block (if any) begins with
    /// `tail`.
    pub(super) fn new(end: u64, tail: &[u8]) -> TailBuffer {
        let inside = memory_len(end % BLOCK);
        assert!(tail.len() >= inside);
        TailBuffer {
            end,
            start: block_floor(end),
            chunks: Vec::new(),
            filled: 0,
            tail: tail[..inside].into(),
        }
    }

    /// End of the file's good bytes, the gathered ones included.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where the writes end if everything gathered is written now: in whole blocks, with room for
    /// the zeros that end a scan.
    pub(super) fn write_end(&self) -> u64 {
        block_ceil(self.end + file_len(BATCH_HEADER_BYTES))
    }

    /// True if nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds bytes; `more` says how many will follow at once, so that the buffer fits.
    pub(super) fn append(&mut self, bytes: &[u8], more: usize, pool: &mut BufferPool) {
        if self.chunks.is_empty() && !bytes.is_empty() {
            self.add_chunk(self.tail.len() + bytes.len() + more, pool);
            let first = self.chunks.last_mut().expect("just added");
            first.as_mut_slice()[..self.tail.len()].copy_from_slice(&self.tail);
            self.filled = self.tail.len();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let chunk = self.chunks.last_mut().expect("there is a chunk");
            let room = &mut chunk.as_mut_slice()[self.filled..];
            let taken = room.len().min(rest.len());
            if taken == 0 {
                self.add_chunk(rest.len() + more, pool);
                continue;
            }
            room[..taken].copy_from_slice(&rest[..taken]);
            self.filled += taken;
            rest = &rest[taken..];
        }
        self.end += file_len(bytes.len());
    }

    fn add_chunk(&mut self, wanted_bytes: usize, pool: &mut BufferPool) {
        let grown = self.chunks.last().map_or(0, |chunk| chunk.len() * 2);
        let len = (wanted_bytes + BATCH_HEADER_BYTES)
            .max(grown)
            .min(WRITE_BYTES_MAX);
        self.chunks.push(pool.take(len));
        self.filled = 0;
    }

    /// Hands out everything gathered as writes of whole blocks.
    pub(super) fn take(&mut self, pool: &mut BufferPool, writes: &mut Vec<TailWrite>) {
        assert!(!self.chunks.is_empty());
        let write_end = self.write_end();
        self.keep_tail();
        let mut last_len = self.filled.next_multiple_of(BLOCK_BYTES);
        if last_len - self.filled < BATCH_HEADER_BYTES {
            last_len += BLOCK_BYTES;
        }
        let last = self.chunks.last_mut().expect("checked above");
        let padded = last_len.min(last.len());
        last.as_mut_slice()[self.filled..padded].fill(0);
        if last_len > padded {
            // The chunk is full: the zeros that end the round need a block of their own.
            let mut block = pool.take(BLOCK_BYTES);
            block.as_mut_slice()[..BLOCK_BYTES].fill(0);
            self.chunks.push(block);
            last_len = BLOCK_BYTES;
        }
        let count = self.chunks.len();
        let mut position = self.start;
        for (place, buffer) in self.chunks.drain(..).enumerate() {
            let len = if place + 1 == count {
                last_len
            } else {
                buffer.len()
            };
            writes.push(TailWrite {
                position,
                len_bytes: u32::try_from(len).expect("chunks are small"),
                buffer,
            });
            position += file_len(len);
        }
        assert_eq!(position, write_end);
        self.start = block_floor(self.end);
        self.filled = 0;
    }

    /// Copies the partly filled last block for the next round: the write takes its buffer away.
    fn keep_tail(&mut self) {
        let inside = memory_len(self.end % BLOCK);
        assert!(self.filled >= inside, "a chunk starts on a block");
        let last = self.chunks.last().expect("something is gathered");
        let tail = &last.as_slice()[self.filled - inside..self.filled];
        self.tail.clear();
        self.tail.extend_from_slice(tail);
    }

    /// The bytes of the partly filled last block as of the last `take`.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes rounds of appends to a model file; it must hold the bytes, then zeros.
    fn play(rounds: &[Vec<usize>]) {
        let mut pool = BufferPool::new(WRITE_BYTES_MAX);
        let mut tail = TailBuffer::new(0, &[]);
        let mut writes = Vec::new();
        let mut expected = Vec::new();
        let mut file: Vec<u8> = Vec::new();
        for (round, appends) in rounds.iter().enumerate() {
            for (place, len) in appends.iter().enumerate() {
                let byte = u8::try_from((round * 31 + place * 7) % 251).expect("small") + 1;
                let bytes = vec![byte; *len];
                tail.append(&bytes, 0, &mut pool);
                expected.extend(bytes);
            }
            if tail.is_empty() {
                continue;
            }
            tail.take(&mut pool, &mut writes);
            for write in writes.drain(..) {
                let start = memory_len(write.position);
                let len = usize::try_from(write.len_bytes).expect("small");
                assert_eq!((start % BLOCK_BYTES, len % BLOCK_BYTES), (0, 0));
                file.resize(file.len().max(start + len), 0xEE);
                file[start..start + len].copy_from_slice(&write.buffer.as_slice()[..len]);
                pool.give(write.buffer);
            }
            assert_eq!(tail.end(), file_len(expected.len()));
            assert_eq!(&file[..expected.len()], &expected[..]);
            let zeros = &file[expected.len()..];
            assert!(zeros.len() >= BATCH_HEADER_BYTES && zeros.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_round_at_a_block_end_gets_its_zeros() {
        play(&[
            vec![4096 - 61],
            vec![1],
            vec![59],
            vec![2],
            vec![4096 * 3 - 1],
        ]);
        play(&[vec![WRITE_BYTES_MAX], vec![WRITE_BYTES_MAX * 2 - 10]]);
    }

    proptest! {
        #[test]
        fn any_rounds_leave_the_bytes_in_the_file(
            rounds in proptest::collection::vec(
                proptest::collection::vec(1..9000usize, 0..5),
                1..12,
            ),
        ) {
            play(&rounds);
        }
    }
}
