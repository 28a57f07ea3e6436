// SPDX-License-Identifier: Apache-2.0
//! One executor's connection to the world: ring, disk and network, turned by the machine
//! loop.
//!
//! Owns: the ring and everything whose memory the ring may name. Invariants: a turn enters the
//! kernel at most once; the executor parks only after it has looked for work once more with its
//! waker armed; when this value goes, the kernel has let go of all memory first. Runs on: one
//! executor. Bounded by: its parts.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{opcode, types};

use super::clock;
use super::disk::Disk;
use super::lent_memory::LentMemory;
use super::network::Network;
use super::placement::CpuMask;
use super::ring::{Completed, Kind, Ring, Tag};
use super::wake::Waker;
use crate::model::time::MonotonicUs;

const WAKE: Tag = Tag {
    kind: Kind::Wake,
    index: 0,
};

/// Everything one executor does with the kernel.
pub struct Driver {
    /// The disk.
    pub disk: Disk,
    /// The network.
    pub network: Network,
    /// The ring that both share.
    pub ring: Ring,
    waker: Arc<Waker>,
    wake_counter: Box<[u8; 8]>,
    awaiting_wake: bool,
    completed: Vec<Completed>,
}

impl Driver {
    /// Sets up the ring of this executor, on the thread that will use it, and tells it of the
    /// memory that buffers are lent from.
    ///
    /// # Errors
    /// When the kernel refuses a ring.
    pub fn new(
        disk: Disk,
        network: Network,
        waker: Arc<Waker>,
        cpus: &CpuMask,
        memory: Option<&LentMemory>,
    ) -> io::Result<Driver> {
        let mut ring = Ring::new(cpus)?;
        if let Some(memory) = memory {
            ring.register(memory);
        }
        Ok(Driver {
            disk,
            network,
            ring,
            waker,
            wake_counter: Box::new([0; 8]),
            awaiting_wake: false,
            completed: Vec::with_capacity(1024),
        })
    }

    /// Starts what was asked for since the last turn and takes in what has completed. True if
    /// anything had.
    ///
    /// # Errors
    /// When the ring is unusable.
    pub fn turn(&mut self) -> io::Result<bool> {
        self.network.flush(&mut self.ring);
        self.disk.flush(&mut self.ring);
        self.ring.enter()?;
        self.ring.drain(&mut self.completed);
        let any = !self.completed.is_empty();
        let mut completed = std::mem::take(&mut self.completed);
        for one in completed.drain(..) {
            self.dispatch(one);
        }
        self.completed = completed;
        Ok(any)
    }

    fn dispatch(&mut self, completed: Completed) {
        let ring = &mut self.ring;
        match completed.tag.kind {
            Kind::Disk => self.disk.handle_completed(ring, completed),
            Kind::DeviceFlush => self.disk.handle_device_flushed(ring, completed.result),
            Kind::Receive => self.network.handle_received(ring, completed),
            Kind::Send => self.network.handle_sent(ring, completed),
            Kind::Accept => {
                let now = clock::monotonic_us();
                self.network.handle_accepted(ring, completed, now);
            }
            Kind::Wake => self.awaiting_wake = false,
            // Too late for what it was meant for: that has completed by itself.
            Kind::Control if matches!(-completed.result, 0 | libc::ENOENT | libc::EALREADY) => {}
            Kind::Control => panic!("the ring refused an update: {}", completed.result),
        }
    }

    /// Sleeps until something completes, `deadline` passes, or another thread wakes this executor.
    /// `has_work` is asked once the waker is armed.
    ///
    /// The thread sleeps in its own ring. Sleeping in glommio's reactor, with the completions
    /// reported to it through an eventfd, costs some ten calls and a `membarrier` each time.
    ///
    /// # Errors
    /// When the ring is unusable.
    pub fn park(
        &mut self,
        deadline: Option<MonotonicUs>,
        has_work: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        self.network.flush(&mut self.ring);
        self.disk.flush(&mut self.ring);
        self.await_wake();
        self.waker.announce_sleep();
        let result = if self.disk.has_completion() || has_work() {
            self.ring.enter()
        } else {
            let patience_us = deadline.map(|at| at.saturating_sub(clock::monotonic_us()));
            self.ring.enter_and_wait(patience_us)
        };
        self.waker.end_sleep();
        result
    }

    /// Lets a wake-up by another thread show as a completion.
    fn await_wake(&mut self) {
        if self.awaiting_wake {
            return;
        }
        self.awaiting_wake = true;
        let eventfd = types::Fd(self.waker.eventfd().as_raw_fd());
        let entry = opcode::Read::new(eventfd, self.wake_counter.as_mut_ptr(), 8).build();
        // SAFETY: the box and the waker live as long as the ring, and nobody reads the counter.
        unsafe { self.ring.push(WAKE, entry) };
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.ring.cancel_all();
    }
}
