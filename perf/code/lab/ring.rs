// SPDX-License-Identifier: Apache-2.0
//! A ring that carries out a set of operations and returns when all are done, so that what they
//! borrow outlives them.

use std::fs::File;
use std::os::fd::AsRawFd;

use furlong::model::block_buffer::BlockBuffer;
use io_uring::{IoUring, opcode, squeue, types};

/// Places in the submission queue: 1,000 linked pairs fit.
const ENTRIES: u32 = 2048;

/// `IOPRIO_CLASS_IDLE`: served when nobody else wants the disk.
const PRIORITY_IDLE: u16 = 3 << 13;

/// The bit of an operation's number that marks its flush.
const FLUSH_MARK: u64 = 1 << 32;

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Not by itself.
    Later,
    /// By an `fdatasync` of its file, submitted when the write is done.
    Flush,
    /// By an `fdatasync` of its file, linked to the write.
    LinkedFlush,
    /// By `RWF_DSYNC`.
    Dsync,
}

/// One write of whole blocks.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// The file, opened for direct I/O.
    pub file: &'a File,
    /// The bytes.
    pub buffer: &'a BlockBuffer,
    /// Where.
    pub position: u64,
    /// How it becomes durable.
    pub commit: Commit,
    /// True for work that should not be in anybody's way.
    pub is_idle: bool,
}

impl Write<'_> {
    fn entry(&self) -> squeue::Entry {
        let bytes = self.buffer.as_slice();
        let length = u32::try_from(bytes.len()).expect("a write is small");
        let dsync = if self.commit == Commit::Dsync {
            libc::RWF_DSYNC
        } else {
            0
        };
        opcode::Write::new(types::Fd(self.file.as_raw_fd()), bytes.as_ptr(), length)
            .offset(self.position)
            .rw_flags(dsync)
            .ioprio(if self.is_idle { PRIORITY_IDLE } else { 0 })
            .build()
    }
}

fn flush_entry(file: &File) -> squeue::Entry {
    opcode::Fsync::new(types::Fd(file.as_raw_fd()))
        .flags(types::FsyncFlags::DATASYNC)
        .build()
}

/// One io_uring, used by one thread.
pub struct Ring {
    ring: IoUring,
}

impl Ring {
    /// Sets it up as the broker's.
    pub fn new() -> Ring {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(ENTRIES)
            .expect("the kernel gives us an io_uring");
        Ring { ring }
    }

    /// Writes, each made durable as it says; returns when the last is.
    pub fn write_all(&mut self, writes: &[Write<'_>]) {
        let mut in_flight = 0;
        for (number, write) in (0..).zip(writes) {
            if write.commit == Commit::LinkedFlush {
                self.push(
                    write
                        .entry()
                        .flags(squeue::Flags::IO_LINK)
                        .user_data(number),
                );
                self.push(flush_entry(write.file).user_data(number | FLUSH_MARK));
                in_flight += 2;
            } else {
                self.push(write.entry().user_data(number));
                in_flight += 1;
            }
        }
        while in_flight > 0 {
            for (number, result) in self.enter() {
                in_flight -= 1;
                let at = usize::try_from(number & !FLUSH_MARK).expect("64 bits");
                let is_flush = number & FLUSH_MARK != 0;
                let expected = if is_flush { 0 } else { writes[at].buffer.len() };
                check(result, expected);
                if !is_flush && writes[at].commit == Commit::Flush {
                    self.push(flush_entry(writes[at].file).user_data(number | FLUSH_MARK));
                    in_flight += 1;
                }
            }
        }
    }

    /// Flushes one file; of a clean file that is a flush of its device and nothing else.
    pub fn flush(&mut self, file: &File) {
        self.push(flush_entry(file));
        loop {
            if let Some((_, result)) = self.enter().first() {
                return check(*result, 0);
            }
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: file and buffer are borrowed by the caller, which returns only when the
        // completions of all its entries have come; a failed operation ends the process instead of
        // unwinding.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has a place for each operation of a round");
    }

    /// Submits, waits for one completion at least, takes all that are there.
    fn enter(&mut self) -> Vec<(u64, i32)> {
        if let Err(error) = self.ring.submit_and_wait(1) {
            assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}");
        }
        let completions = self.ring.completion();
        completions
            .map(|done| (done.user_data(), done.result()))
            .collect()
    }
}

/// Ends the process when an operation failed: the kernel may still hold the others' buffers.
fn check(result: i32, expected: usize) {
    if usize::try_from(result) != Ok(expected) {
        eprintln!("an operation of {expected} bytes ended with {result}");
        std::process::abort();
    }
}
