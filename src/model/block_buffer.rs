// SPDX-License-Identifier: Apache-2.0
//! A buffer that starts on a block boundary and is a whole number of blocks long, as direct I/O
//! needs it.
//!
//! Owns: its memory, or a loan of somebody else's. Invariants: start address and length are
//! multiples of `BLOCK_BYTES`; a buffer that travels with a disk request belongs to the kernel
//! until its completion brings it back; sharing a buffer that is no loan, and taking it back from
//! the last who shared it, allocates nothing. Runs on: every core. Bounded by: its maker.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::BLOCK_BYTES;

/// Memory that is lent as a buffer, and goes back when it is dropped. It starts on a block boundary
/// and is whole blocks long.
pub trait BlockMemory: Send + Sync {
    /// The bytes.
    fn blocks(&self) -> &[u8];
    /// The bytes, to be written.
    fn blocks_mut(&mut self) -> &mut [u8];
}

/// Whole blocks of memory, aligned for direct I/O.
pub struct BlockBuffer {
    memory: Memory,
}

enum Memory {
    /// An aligned part of a larger piece. The C library serves aligned requests by cutting pieces
    /// off others and finds them again only by luck: with buffers of a megabyte a broker held three
    /// times what it used.
    Own(BytesMut),
    Lent(Box<dyn BlockMemory>),
}

impl BlockBuffer {
    /// A zeroed buffer of at least `len_bytes`, rounded up to whole blocks.
    #[must_use]
    pub fn zeroed(len_bytes: usize) -> BlockBuffer {
        let len = len_bytes.next_multiple_of(BLOCK_BYTES);
        let mut memory = BytesMut::zeroed(len + BLOCK_BYTES);
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start <= BLOCK_BYTES, "a block boundary is within one block");
        memory.advance(start);
        // From here on the memory is counted, and who shares it needs nothing new to count with.
        drop(memory.split_off(len));
        BlockBuffer {
            memory: Memory::Own(memory),
        }
    }

    /// A buffer in memory that goes back when it is dropped.
    #[must_use]
    pub fn lent(memory: Box<dyn BlockMemory>) -> BlockBuffer {
        let blocks = memory.blocks();
        assert_eq!(blocks.as_ptr().align_offset(BLOCK_BYTES), 0);
        assert!(blocks.len().is_multiple_of(BLOCK_BYTES));
        BlockBuffer {
            memory: Memory::Lent(memory),
        }
    }

    /// The buffer that was shared as `bytes`, if nobody else has them any more.
    #[must_use]
    pub fn reclaim(bytes: Bytes) -> Option<BlockBuffer> {
        let memory = bytes.try_into_mut().ok()?;
        let is_whole = memory.len().is_multiple_of(BLOCK_BYTES);
        let is_aligned = memory.as_ptr().align_offset(BLOCK_BYTES) == 0;
        (is_whole && is_aligned).then_some(BlockBuffer {
            memory: Memory::Own(memory),
        })
    }

    /// The bytes, to be shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.memory {
            Memory::Own(memory) => memory.freeze(),
            Memory::Lent(_) => Bytes::from_owner(self),
        }
    }

    /// True if its memory goes back to somebody.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        matches!(self.memory, Memory::Lent(_))
    }

    /// Length in bytes, a multiple of `BLOCK_BYTES`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if it has no blocks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(memory) => memory,
            Memory::Lent(memory) => memory.blocks(),
        }
    }

    /// The bytes, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(memory) => memory,
            Memory::Lent(memory) => memory.blocks_mut(),
        }
    }
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl std::fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockBuffer({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_whole() {
        for len in [
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            1_000_000,
        ] {
            let buffer = BlockBuffer::zeroed(len);
            assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
            assert!(buffer.len() >= len && buffer.len() < len + BLOCK_BYTES);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }

    #[test]
    fn a_shared_buffer_comes_back_from_the_last_who_has_it() {
        let mut buffer = BlockBuffer::zeroed(2 * BLOCK_BYTES);
        buffer.as_mut_slice()[5000] = 7;
        let place = buffer.as_slice().as_ptr();
        let shared = buffer.into_bytes();
        let part = shared.slice(5000..5001);
        assert!(BlockBuffer::reclaim(shared.clone()).is_none());
        drop(part);
        let buffer = BlockBuffer::reclaim(shared).expect("nobody else has it");
        assert_eq!(
            (buffer.len(), buffer.as_slice()[5000]),
            (2 * BLOCK_BYTES, 7)
        );
        assert_eq!(buffer.as_slice().as_ptr(), place, "the same memory");
        let part = buffer.into_bytes().slice(1..BLOCK_BYTES + 1);
        assert!(BlockBuffer::reclaim(part).is_none(), "a part is no buffer");
    }
}
