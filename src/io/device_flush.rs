// SPDX-License-Identifier: Apache-2.0
//! One flush of the device for everybody who needs one.
//!
//! The flush is an fdatasync of a file that is never written to: the kernel finds nothing of it to
//! write, commits no journal, and sends the device the order to empty its cache, which covers every
//! block whose write had completed. Who asks while a flush is under way may have completed writes
//! that it does not cover, and shares the next one: under load rounds of many files share a flush,
//! and nobody waits for company.
//!
//! Owns: the clean file, who waits. Invariants: one flush is under way at most; a flush answers
//! those who had asked before it was submitted, and nobody else.
//! Runs on: one executor. Bounded by: what the machine has under way.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::types;

use super::disk_operation::flush_entry;
use super::files::disk_error_of_errno;
use super::ring::{Kind, Ring, Tag};
use crate::model::disk::{DiskError, DiskToken};

const TAG: Tag = Tag {
    kind: Kind::DeviceFlush,
    index: 0,
};

/// The flusher of one executor.
pub(super) struct DeviceFlush {
    clean_file: Option<Arc<OwnedFd>>,
    waiting: Vec<DiskToken>,
    /// Whom the flush under way answers.
    covered: Vec<DiskToken>,
}

impl DeviceFlush {
    /// With a file of the device that nobody writes to; without one nobody may ask.
    pub(super) fn new(clean_file: Option<Arc<OwnedFd>>) -> DeviceFlush {
        DeviceFlush {
            clean_file,
            waiting: Vec::new(),
            covered: Vec::new(),
        }
    }

    /// Somebody's writes have completed and are to be made durable.
    pub(super) fn ask(&mut self, token: DiskToken) {
        self.waiting.push(token);
    }

    /// How many requests have no answer yet.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.covered.len()
    }

    /// Starts a flush for all who wait, unless one is under way. Called at the end of a turn, so
    /// that all who asked in it share.
    pub(super) fn start(&mut self, ring: &mut Ring) {
        if self.waiting.is_empty() || !self.covered.is_empty() {
            return;
        }
        std::mem::swap(&mut self.waiting, &mut self.covered);
        self.push(ring);
    }

    fn push(&self, ring: &mut Ring) {
        let file = self.clean_file.as_ref();
        let file = file.expect("who asks knows that the storage allows it");
        let entry = flush_entry(types::Fd(file.as_raw_fd()));
        // SAFETY: the entry names no memory, and the descriptor lives as long as this value, which
        // the driver drops after the ring has let go of everything.
        unsafe { ring.push(TAG, entry) };
    }

    /// The flush ended: whom it answers, and with what.
    pub(super) fn handle_completed(
        &mut self,
        ring: &mut Ring,
        result: i32,
        mut answer: impl FnMut(DiskToken, Result<(), DiskError>),
    ) {
        let result = match -result {
            0 => Ok(()),
            libc::EINTR | libc::EAGAIN => return self.push(ring),
            errno => Err(disk_error_of_errno(errno)),
        };
        for token in self.covered.drain(..) {
            answer(token, result);
        }
        self.start(ring);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::placement::CpuMask;
    use crate::io::ring::Completed;

    fn token(operation: u32) -> DiskToken {
        DiskToken {
            owner: 1,
            operation,
        }
    }

    fn wait(ring: &mut Ring) -> Completed {
        let mut completed = Vec::new();
        while completed.is_empty() {
            ring.enter_and_wait(Some(1_000_000)).expect("a ring");
            ring.drain(&mut completed);
        }
        completed[0]
    }

    #[test]
    fn who_asks_together_shares_and_who_is_late_waits_for_the_next() {
        let cpus = CpuMask::of_process().expect("cores");
        let mut ring = Ring::new(&cpus).expect("a ring");
        let file = tempfile::tempfile().expect("a temporary file");
        let mut flush = DeviceFlush::new(Some(Arc::new(file.into())));
        flush.start(&mut ring);
        assert_eq!(ring.in_flight(), 0, "nobody asked");
        flush.ask(token(1));
        flush.ask(token(2));
        flush.start(&mut ring);
        flush.ask(token(3));
        flush.start(&mut ring);
        assert_eq!((ring.in_flight(), flush.in_flight()), (1, 3));
        let mut answered = Vec::new();
        let first = wait(&mut ring);
        flush.handle_completed(&mut ring, first.result, |token, result| {
            answered.push((token.operation, result));
        });
        assert_eq!(answered, [(1, Ok(())), (2, Ok(()))]);
        let second = wait(&mut ring);
        assert_eq!(second.tag, TAG);
        flush.handle_completed(&mut ring, -libc::EIO, |token, result| {
            answered.push((token.operation, result));
        });
        assert_eq!(answered[2], (3, Err(DiskError::Io(libc::EIO))));
        assert_eq!((ring.in_flight(), flush.in_flight()), (0, 0));
    }
}
