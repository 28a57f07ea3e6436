// SPDX-License-Identifier: Apache-2.0
//! One region of memory for the aligned buffers of an executor, mapped once, so that the kernel can
//! be told of it once: operations on its parts then need no pages looked up and pinned.
//!
//! Owns: [`LentMemory`], the region and which of its blocks are lent. Invariants: no block is lent
//! twice; the region is unmapped after its last loan has come back, on whatever thread that
//! happens. Runs on: one executor; loans may end on any other. Bounded by: the size of the region.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::BLOCK_BYTES;
use crate::model::block_buffer::{BlockBuffer, BlockMemory};
use crate::model::buffer_pool::BlockLender;

/// The kernel backs aligned memory of this size by one page where it may.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Which blocks of a region are lent.
#[derive(Debug)]
struct Blocks {
    lent: Vec<bool>,
    free: usize,
    /// Where the next search begins.
    next: usize,
}

impl Blocks {
    fn new(count: usize) -> Blocks {
        Blocks {
            lent: vec![false; count],
            free: count,
            next: 0,
        }
    }

    /// Takes so many blocks in a row, unless fewer than `left` would be free then.
    fn take(&mut self, count: usize, left: usize) -> Option<Range<usize>> {
        if count == 0 || self.free < count.saturating_add(left) {
            return None;
        }
        let end = self.lent.len();
        let found = self
            .find(self.next..end, count)
            .or_else(|| self.find(0..end, count))?;
        self.lent[found.clone()].fill(true);
        self.free -= count;
        self.next = found.end % end;
        Some(found)
    }

    /// The first run of so many free blocks.
    fn find(&self, within: Range<usize>, count: usize) -> Option<Range<usize>> {
        let mut start = within.start;
        for place in within {
            if self.lent[place] {
                start = place + 1;
            } else if place + 1 - start == count {
                return Some(start..place + 1);
            }
        }
        None
    }

    fn give(&mut self, blocks: Range<usize>) {
        assert!(self.lent[blocks.clone()].iter().all(|lent| *lent));
        self.free += blocks.len();
        self.lent[blocks].fill(false);
    }
}

/// Mapped memory.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    len_bytes: usize,
    blocks: Mutex<Blocks>,
}

// SAFETY: the memory belongs to the region until it is unmapped, and every part of it is reached
// through one loan at a time, of which `blocks` keeps count under its lock.
unsafe impl Send for Region {}
// SAFETY: likewise; the region itself only hands out parts.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nobody reaches it any more: each loan holds the
        // region.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len_bytes) };
    }
}

/// Lends the blocks of one region.
#[derive(Clone, Debug)]
pub struct LentMemory {
    region: Arc<Region>,
}

impl LentMemory {
    /// Maps a region of so many bytes, in whole blocks. It takes no memory before it is used, or
    /// the kernel is told of it.
    ///
    /// # Errors
    /// When the kernel does not map it.
    pub fn new(len_bytes: usize) -> io::Result<LentMemory> {
        assert!(len_bytes > 0 && len_bytes.is_multiple_of(BLOCK_BYTES));
        let start = map_aligned(len_bytes)?;
        // Where it is refused, small pages do.
        // SAFETY: the memory was just mapped; the advice changes no contents.
        let _ = unsafe { libc::madvise(start.as_ptr().cast(), len_bytes, libc::MADV_HUGEPAGE) };
        Ok(LentMemory {
            region: Arc::new(Region {
                start,
                len_bytes,
                blocks: Mutex::new(Blocks::new(len_bytes / BLOCK_BYTES)),
            }),
        })
    }

    /// The first `len_bytes` of the region, for the kernel.
    pub(super) fn as_iovec(&self, len_bytes: usize) -> libc::iovec {
        assert!(len_bytes <= self.region.len_bytes);
        libc::iovec {
            iov_base: self.region.start.as_ptr().cast(),
            iov_len: len_bytes,
        }
    }

    /// Size of the region in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.region.len_bytes
    }
}

/// Maps memory that starts where a huge page may.
fn map_aligned(len_bytes: usize) -> io::Result<NonNull<u8>> {
    let whole_bytes = len_bytes + HUGE_PAGE_BYTES;
    // SAFETY: a new private mapping touches nothing that exists.
    let whole = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            whole_bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if whole == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let whole: *mut u8 = whole.cast();
    let before = whole.align_offset(HUGE_PAGE_BYTES);
    assert!(before < HUGE_PAGE_BYTES);
    // SAFETY: `before + len_bytes` is less than what was mapped.
    let (start, end) = unsafe { (whole.add(before), whole.add(before + len_bytes)) };
    let after = whole_bytes - before - len_bytes;
    // SAFETY: both parts lie inside the mapping that was just made, and nothing uses them.
    unsafe {
        if before > 0 {
            libc::munmap(whole.cast(), before);
        }
        libc::munmap(end.cast(), after);
    }
    NonNull::new(start).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

impl BlockLender for LentMemory {
    fn lend(&mut self, len_bytes: usize, left_bytes: usize) -> Option<BlockBuffer> {
        let count = len_bytes.div_ceil(BLOCK_BYTES);
        let blocks = {
            let mut state = self.region.blocks.lock();
            let state = state.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
            state.take(count, left_bytes.div_ceil(BLOCK_BYTES))?
        };
        let region = Arc::clone(&self.region);
        Some(BlockBuffer::lent(Box::new(Loan { region, blocks })))
    }

    fn total_bytes(&self) -> usize {
        self.region.len_bytes
    }
}

/// Some blocks of a region, for one user.
struct Loan {
    region: Arc<Region>,
    blocks: Range<usize>,
}

impl Loan {
    fn start(&self) -> *mut u8 {
        let offset = self.blocks.start * BLOCK_BYTES;
        // SAFETY: the blocks lie inside the region, so the offset is less than what was mapped.
        unsafe { self.region.start.as_ptr().add(offset) }
    }

    fn len_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }
}

impl BlockMemory for Loan {
    fn blocks(&self) -> &[u8] {
        // SAFETY: the blocks are mapped, zeroed by the kernel or written since, and lent to this
        // value alone; the borrow of it keeps them from being written.
        unsafe { std::slice::from_raw_parts(self.start(), self.len_bytes()) }
    }

    fn blocks_mut(&mut self) -> &mut [u8] {
        // SAFETY: likewise, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len_bytes()) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let blocks = self.region.blocks.lock();
        blocks
            .unwrap_or_else(PoisonError::into_inner)
            .give(self.blocks.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGION: usize = 32 * BLOCK_BYTES;

    #[test]
    fn a_loan_is_aligned_and_comes_back_on_any_thread() {
        let mut memory = LentMemory::new(REGION).expect("mapped");
        let whole = memory.lend(REGION, 0).expect("all of it");
        assert_eq!(whole.as_slice().as_ptr().align_offset(HUGE_PAGE_BYTES), 0);
        assert!(whole.as_slice().iter().all(|byte| *byte == 0));
        assert!(memory.lend(1, 0).is_none());
        std::thread::spawn(move || drop(whole))
            .join()
            .expect("no panic");
        assert!(memory.lend(REGION, 1).is_none(), "something is to be left");
        let shared = memory.lend(1, 0).expect("it came back").into_bytes();
        drop(memory);
        assert_eq!(
            shared[BLOCK_BYTES - 1],
            0,
            "the region lives on with its loan"
        );
    }

    proptest! {
        #[test]
        fn no_block_is_lent_twice(
            steps in proptest::collection::vec((1usize..9, 0usize..10, any::<bool>()), 0..200),
        ) {
            let mut memory = LentMemory::new(REGION).expect("mapped");
            let mut loans: Vec<(u8, BlockBuffer)> = Vec::new();
            for (step, (blocks, place, gives)) in steps.into_iter().enumerate() {
                if gives && !loans.is_empty() {
                    loans.swap_remove(place % loans.len());
                } else if let Some(mut loan) = memory.lend(blocks * BLOCK_BYTES, 0) {
                    prop_assert_eq!(loan.len(), blocks * BLOCK_BYTES);
                    let byte = u8::try_from(step % 251).expect("small");
                    loan.as_mut_slice().fill(byte);
                    loans.push((byte, loan));
                }
                for (byte, loan) in &loans {
                    prop_assert!(loan.as_slice().iter().all(|one| one == byte));
                }
                let lent: usize = loans.iter().map(|(_, loan)| loan.len()).sum();
                prop_assert!(lent <= REGION);
            }
            drop(loans);
            prop_assert!(memory.lend(REGION, 0).is_some(), "all of it came back");
        }
    }
}
