// SPDX-License-Identifier: Apache-2.0
//! One io_uring inside one executor: entries are gathered in a turn and handed to the kernel by one
//! call.
//!
//! Owns: the ring and the count of what the kernel still holds. Invariants: set up for a single
//! issuer and cooperative task work, so completions appear only when the kernel is entered.
//! Runs on: the executor that made it. Bounded by: `ENTRIES`; what does not fit waits in `backlog`,
//! which the askers bound.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use io_uring::{IoUring, cqueue, squeue, types};

use super::lent_memory::LentMemory;
use super::placement::CpuMask;
use crate::limits::BLOCK_BYTES;

/// Places in the submission queue.
const ENTRIES: u32 = 512;

/// Places in the completion queue; past it the kernel keeps completions until it is entered again.
const COMPLETION_ENTRIES: u32 = 8192;

/// Whose operation a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read, write or flush of a file.
    Disk,
    /// The accept of the listener.
    Accept,
    /// The receive of a connection.
    Receive,
    /// The send of a connection.
    Send,
    /// A wake-up by another thread.
    Wake,
    /// An update or a cancellation whose own result says nothing.
    Control,
    /// The flush of the device.
    DeviceFlush,
}

/// What travels through the kernel with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Whose.
    pub kind: Kind,
    /// Which of theirs.
    pub index: u32,
}

impl Tag {
    /// The 64 bits the kernel carries.
    pub(super) fn encode(self) -> u64 {
        let kind: u64 = match self.kind {
            Kind::Disk => 0,
            Kind::Accept => 1,
            Kind::Receive => 2,
            Kind::Send => 3,
            Kind::Wake => 4,
            Kind::Control => 5,
            Kind::DeviceFlush => 6,
        };
        (kind << 32) | u64::from(self.index)
    }

    fn decode(bits: u64) -> Tag {
        let kind = match bits >> 32 {
            0 => Kind::Disk,
            1 => Kind::Accept,
            2 => Kind::Receive,
            3 => Kind::Send,
            4 => Kind::Wake,
            6 => Kind::DeviceFlush,
            _ => Kind::Control,
        };
        let index = u32::try_from(bits & 0xffff_ffff).expect("masked to 32 bits");
        Tag { kind, index }
    }
}

/// Part of the memory for buffers that the ring is told of at least; below that it is done without.
const REGISTERED_BYTES_MIN: usize = 128 * 1024;

/// The memory that the ring was told of: operations on it may be the fixed ones, as buffer 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    start: usize,
    end: usize,
    /// Why it is not all that was wanted: what the kernel said.
    pub refused: Option<i32>,
}

impl Registered {
    /// How much it is.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.end - self.start
    }

    /// True if all these bytes are part of it.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let start = bytes.as_ptr().addr();
        self.start <= start && start.saturating_add(bytes.len()) <= self.end
    }
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct Completed {
    /// Of which operation.
    pub tag: Tag,
    /// What the call returned, or a negated `errno`.
    pub result: i32,
    /// True if this operation will complete again (multishot).
    pub more: bool,
    /// True if the socket held more than was received.
    pub socket_nonempty: bool,
}

/// The ring of one executor.
pub struct Ring {
    ring: IoUring,
    backlog: VecDeque<squeue::Entry>,
    in_flight: usize,
    registered: Registered,
    /// Stays mapped for as long as the ring knows it.
    memory: Option<LentMemory>,
}

impl Ring {
    /// Sets up a ring for this thread, its kernel workers allowed on all of `cpus`.
    ///
    /// # Errors
    /// When the kernel refuses; see `probe` for what that means.
    pub fn new(cpus: &CpuMask) -> io::Result<Ring> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETION_ENTRIES)
            .build(ENTRIES)?;
        // Workers inherit the pin of their executor otherwise, and a flush would wait for the core
        // that asked for it. Old kernels refuse; that costs latency only.
        let _ = ring.submitter().register_iowq_aff(cpus.as_raw());
        Ok(Ring {
            ring,
            backlog: VecDeque::new(),
            in_flight: 0,
            registered: Registered::default(),
            memory: None,
        })
    }

    /// Tells the ring of memory, once: of all of it, or of as much from its start on as the kernel
    /// takes (it counts against the locked memory of the user).
    pub fn register(&mut self, memory: &LentMemory) {
        assert!(self.memory.is_none(), "a ring is told once");
        let mut len_bytes = memory.len_bytes();
        while len_bytes > 0 && len_bytes >= REGISTERED_BYTES_MIN.min(memory.len_bytes()) {
            let buffer = memory.as_iovec(len_bytes);
            // SAFETY: the memory is mapped, and this value keeps it so until the ring is gone.
            let result = unsafe { self.ring.submitter().register_buffers(&[buffer]) };
            match result {
                Ok(()) => {
                    self.memory = Some(memory.clone());
                    self.registered.start = buffer.iov_base.addr();
                    self.registered.end = self.registered.start + len_bytes;
                    return;
                }
                Err(error) => {
                    self.registered.refused = Some(error.raw_os_error().unwrap_or(libc::EIO));
                    len_bytes = len_bytes / 2 / BLOCK_BYTES * BLOCK_BYTES;
                }
            }
        }
    }

    /// The memory that it was told of.
    #[must_use]
    pub fn registered(&self) -> Registered {
        self.registered
    }

    /// Queues an operation for the next `enter`.
    ///
    /// # Safety
    /// All memory and descriptors that the entry names must stay valid, and its buffers untouched
    /// by anyone else, until the completion with this tag (the last one, if it completes more than
    /// once) has been drained.
    pub(super) unsafe fn push(&mut self, tag: Tag, entry: squeue::Entry) {
        self.in_flight += 1;
        self.backlog.push_back(entry.user_data(tag.encode()));
        if self.backlog.len() == 1 {
            self.fill();
        }
    }

    fn fill(&mut self) {
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the caller of `Ring::push` vouches for what the entry names.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Hands all queued operations to the kernel and lets it post completions. Returns without a
    /// call if there is nothing to do.
    ///
    /// # Errors
    /// When the ring itself is unusable.
    pub fn enter(&mut self) -> io::Result<()> {
        loop {
            self.fill();
            let (queued, kernel_waits) = {
                let queue = self.ring.submission();
                (queue.len(), queue.taskrun() || queue.cq_overflow())
            };
            if queued == 0 && !kernel_waits {
                return Ok(());
            }
            match self.call(queued, 0) {
                Ok(()) if self.queued() == 0 => return Ok(()),
                Ok(()) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The kernel wants completions drained, or has no memory just now: the next
                    // turn tries again.
                    Some(libc::EBUSY | libc::EAGAIN) => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    fn call(&mut self, submit: usize, wait_for: u32) -> io::Result<()> {
        const GETEVENTS: u32 = 1;
        let submit = u32::try_from(submit).expect("the submission queue has ENTRIES places");
        // SAFETY: no argument block is passed; the entries that are submitted were vouched for by
        // `push`.
        unsafe {
            self.ring
                .submitter()
                .enter::<libc::sigset_t>(submit, wait_for, GETEVENTS, None)
        }
        .map(|_| ())
    }

    /// Takes all completions that have been posted.
    pub fn drain(&mut self, completed: &mut Vec<Completed>) {
        let before = completed.len();
        let entries = self.ring.completion();
        completed.extend(entries.map(|entry: cqueue::Entry| Completed {
            tag: Tag::decode(entry.user_data()),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
            socket_nonempty: cqueue::sock_nonempty(entry.flags()),
        }));
        let ended = completed[before..].iter().filter(|one| !one.more).count();
        self.in_flight -= ended;
    }

    /// How many operations the kernel has not taken yet.
    fn queued(&mut self) -> usize {
        self.backlog.len() + self.ring.submission().len()
    }

    /// Likewise, and sleeps until there is a completion or `patience_us` microseconds have passed.
    ///
    /// # Errors
    /// When the ring itself is unusable.
    pub fn enter_and_wait(&mut self, patience_us: Option<u64>) -> io::Result<()> {
        self.fill();
        if !self.backlog.is_empty() {
            return self.enter();
        }
        let patience = patience_us
            .map(Duration::from_micros)
            .map(types::Timespec::from);
        let mut arguments = types::SubmitArgs::new();
        if let Some(patience) = &patience {
            arguments = arguments.timespec(patience);
        }
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// How many operations have not completed for good.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Cancels everything and waits until the kernel has let go of all memory. Disk operations run
    /// to their end.
    pub(super) fn cancel_all(&mut self) {
        let mut completed = Vec::new();
        while self.in_flight > 0 {
            // A fresh try each round: an operation may just have been started by a worker.
            let _ = self
                .ring
                .submitter()
                .register_sync_cancel(None, types::CancelBuilder::any());
            self.fill();
            let queued = self.ring.submission().len();
            let _ = self.call(queued, 1);
            self.drain(&mut completed);
            completed.clear();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        assert_eq!(
            self.in_flight, 0,
            "the owner of the operations cancels them before it frees their memory"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_the_journey() {
        for kind in [
            Kind::Disk,
            Kind::Accept,
            Kind::Receive,
            Kind::Send,
            Kind::Wake,
            Kind::Control,
            Kind::DeviceFlush,
        ] {
            for index in [0, 1, u32::MAX] {
                let tag = Tag { kind, index };
                assert_eq!(Tag::decode(tag.encode()), tag);
            }
        }
    }
}
