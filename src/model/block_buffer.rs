// SPDX-License-Identifier: Apache-2.0
//! A buffer that starts on a block boundary and is a whole number of blocks long, as direct I/O
//! needs it.
//!
//! Owns: its memory. Invariants: start address and length are multiples of `BLOCK_BYTES`; a buffer
//! that travels with a disk request belongs to the kernel until its completion brings it back. Runs
//! on: every core. Bounded by: its maker.

use crate::limits::BLOCK_BYTES;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Buffers of at least this size are a part of a larger, unaligned piece of memory. The C library
/// serves aligned requests by cutting pieces off others and finds them again only by luck: with
/// buffers of a megabyte a broker held three times what it used.
const CARVED_BYTES_MIN: usize = 64 * 1024;

/// Whole blocks of memory, aligned for direct I/O.
pub struct BlockBuffer {
    memory: Memory,
}

enum Memory {
    Aligned(Box<[Block]>),
    Carved {
        whole: Box<[u8]>,
        start: usize,
        len: usize,
    },
}

impl BlockBuffer {
    /// A zeroed buffer of at least `len_bytes`, rounded up to whole blocks.
    #[must_use]
    pub fn zeroed(len_bytes: usize) -> BlockBuffer {
        let len = len_bytes.next_multiple_of(BLOCK_BYTES);
        if len < CARVED_BYTES_MIN {
            let blocks = bytemuck::allocation::zeroed_slice_box(len / BLOCK_BYTES);
            return BlockBuffer {
                memory: Memory::Aligned(blocks),
            };
        }
        let whole = vec![0; len + BLOCK_BYTES].into_boxed_slice();
        let start = whole.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start <= BLOCK_BYTES, "a block boundary is within one block");
        BlockBuffer {
            memory: Memory::Carved { whole, start, len },
        }
    }

    /// Length in bytes, a multiple of `BLOCK_BYTES`.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.memory {
            Memory::Aligned(blocks) => blocks.len() * BLOCK_BYTES,
            Memory::Carved { len, .. } => *len,
        }
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
            Memory::Aligned(blocks) => bytemuck::cast_slice(blocks),
            Memory::Carved { whole, start, len } => &whole[*start..*start + *len],
        }
    }

    /// The bytes, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Aligned(blocks) => bytemuck::cast_slice_mut(blocks),
            Memory::Carved { whole, start, len } => &mut whole[*start..*start + *len],
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
            CARVED_BYTES_MIN - BLOCK_BYTES,
            CARVED_BYTES_MIN,
            1_000_000,
        ] {
            let buffer = BlockBuffer::zeroed(len);
            assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
            assert!(buffer.len() >= len && buffer.len() < len + BLOCK_BYTES);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }
}
