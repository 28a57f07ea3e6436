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

/// Whole blocks of memory, aligned for direct I/O.
pub struct BlockBuffer {
    blocks: Box<[Block]>,
}

impl BlockBuffer {
    /// A zeroed buffer of at least `len_bytes`, rounded up to whole blocks.
    #[must_use]
    pub fn zeroed(len_bytes: usize) -> BlockBuffer {
        BlockBuffer {
            blocks: bytemuck::allocation::zeroed_slice_box(len_bytes.div_ceil(BLOCK_BYTES)),
        }
    }

    /// Length in bytes, a multiple of `BLOCK_BYTES`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// True if it has no blocks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }

    /// The bytes, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.blocks)
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
            assert!(buffer.len() >= len && buffer.len() < len + BLOCK_BYTES);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }
}
