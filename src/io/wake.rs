// SPDX-License-Identifier: Apache-2.0
//! Wakes a parked executor from another thread.
//!
//! Owns: the eventfd that the executor's ring reads from while it is parked.
//! Invariants: whoever makes work visible and then calls `wake`, and whoever announces sleep and
//! then looks for work, cannot miss each other (a store and a load on both sides, each pair
//! separated by a full fence).
//! Runs on: any thread. Bounded by: one eventfd for each executor.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Handle by which any thread wakes one executor.
#[derive(Debug)]
pub struct Waker {
    eventfd: File,
    sleeping: AtomicBool,
}

impl Waker {
    /// A waker for one executor.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Arc<Waker>> {
        // It blocks: the ring answers a read of a non-blocking one at once instead of waiting.
        // SAFETY: no memory is passed; the result is checked before it is used.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let eventfd = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Arc::new(Waker {
            eventfd,
            sleeping: AtomicBool::new(false),
        }))
    }

    /// Wakes the executor if it sleeps or is about to. Call it after the work was made visible.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::AcqRel) {
            // The counter cannot overflow: the executor resets it by reading. An error would mean a
            // closed descriptor, which this value's ownership excludes.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// The executor says that it is about to sleep. It must look for work once more afterwards.
    pub(super) fn announce_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The executor is awake.
    pub(super) fn end_sleep(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// The descriptor, to be read through the ring.
    pub(super) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
