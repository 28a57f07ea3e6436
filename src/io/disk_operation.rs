// SPDX-License-Identifier: Apache-2.0
//! One disk operation of the ring, from its entry to its outcome, short transfers included.
//!
//! Owns: the buffer and a share of the descriptor. Invariants: a short transfer is continued, never
//! reported as whole; a failed operation frees its buffer only after the kernel has let go of it.
//! Runs on: one executor. Bounded by: one buffer.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::{opcode, squeue, types};

use super::files::disk_error_of_errno;
use super::ring::Registered;
use crate::limits::BLOCK_BYTES;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOutcome, DiskToken, FileId};
use crate::model::mutation::{Mutation, is_broken};

/// The number of the only registered buffer.
const REGISTERED: u16 = 0;

/// A read, write or flush under way.
pub(super) struct Operation {
    pub(super) token: DiskToken,
    pub(super) file: FileId,
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) work: Work,
}

/// What it does, and how far it is.
pub(super) enum Work {
    Write {
        position_bytes: u64,
        len_bytes: usize,
        done_bytes: usize,
        extends: bool,
        buffer: BlockBuffer,
    },
    Read {
        position_bytes: u64,
        done_bytes: usize,
        buffer: BlockBuffer,
    },
    Flush,
}

/// Where it stands after a result of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Again,
    Finished(Result<(), DiskError>),
}

impl Operation {
    /// The next entry for the ring, which knows some memory already. It names the buffer and the
    /// descriptor of this value.
    pub(super) fn entry(&mut self, registered: &Registered) -> squeue::Entry {
        let descriptor = types::Fd(self.descriptor.as_raw_fd());
        match &mut self.work {
            Work::Write {
                position_bytes,
                len_bytes,
                done_bytes,
                extends,
                buffer,
            } => {
                let rest = &buffer.as_slice()[*done_bytes..*len_bytes];
                let position = position_bytes.saturating_add(width(*done_bytes));
                let (start, len) = (rest.as_ptr(), length(rest.len()));
                let entry = if registered.holds(rest) {
                    opcode::WriteFixed::new(descriptor, start, len, REGISTERED)
                        .offset(position)
                        .build()
                } else {
                    opcode::Write::new(descriptor, start, len)
                        .offset(position)
                        .build()
                };
                if *extends {
                    entry.flags(squeue::Flags::ASYNC)
                } else {
                    entry
                }
            }
            Work::Read {
                position_bytes,
                done_bytes,
                buffer,
            } => {
                let rest = &mut buffer.as_mut_slice()[*done_bytes..];
                let position = position_bytes.saturating_add(width(*done_bytes));
                let is_registered = registered.holds(rest);
                let (start, len) = (rest.as_mut_ptr(), length(rest.len()));
                if is_registered {
                    opcode::ReadFixed::new(descriptor, start, len, REGISTERED)
                        .offset(position)
                        .build()
                } else {
                    opcode::Read::new(descriptor, start, len)
                        .offset(position)
                        .build()
                }
            }
            Work::Flush => flush_entry(descriptor),
        }
    }

    /// Takes in the result of one kernel operation.
    pub(super) fn advance(&mut self, result: i32) -> Step {
        let Ok(bytes) = usize::try_from(result) else {
            return match -result {
                libc::EINTR | libc::EAGAIN => Step::Again,
                errno => Step::Finished(Err(disk_error_of_errno(errno))),
            };
        };
        match &mut self.work {
            Work::Flush => Step::Finished(Ok(())),
            Work::Write {
                len_bytes,
                done_bytes,
                ..
            } => {
                *done_bytes += bytes;
                if *done_bytes == *len_bytes {
                    Step::Finished(Ok(()))
                } else if bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES) {
                    Step::Finished(Err(DiskError::Io(libc::EIO)))
                } else {
                    // The reason for a short write (a full disk, mostly) shows when the rest is
                    // tried.
                    Step::Again
                }
            }
            Work::Read {
                done_bytes, buffer, ..
            } => {
                *done_bytes += bytes;
                let at_end = bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES);
                if at_end || *done_bytes == buffer.len() {
                    Step::Finished(Ok(()))
                } else {
                    Step::Again
                }
            }
        }
    }

    /// What the asker gets back.
    pub(super) fn outcome(self) -> DiskOutcome {
        match self.work {
            Work::Write { buffer, .. } => DiskOutcome::Written { buffer },
            Work::Read {
                done_bytes, buffer, ..
            } => DiskOutcome::Read {
                buffer,
                len_bytes: length(done_bytes),
            },
            Work::Flush => DiskOutcome::Done,
        }
    }
}

/// The flush of a file, be it for its own sake or for that of the device.
pub(super) fn flush_entry(descriptor: types::Fd) -> squeue::Entry {
    // A broker that answers before the flush, for the crash tests: they must find it out
    // (`tests/crash/mutations`). No other build has it.
    if is_broken(Mutation::FlushSkipped) {
        return opcode::Nop::new().build();
    }
    opcode::Fsync::new(descriptor)
        .flags(types::FsyncFlags::DATASYNC)
        .build()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("one disk operation is below 4 GiB")
}

fn width(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("usize fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::lent_memory::LentMemory;
    use crate::io::placement::CpuMask;
    use crate::io::ring::Ring;
    use crate::model::buffer_pool::BlockLender;

    fn operation(work: Work) -> Operation {
        let file = std::fs::File::open("/dev/null").expect("always there");
        Operation {
            token: DiskToken {
                owner: 0,
                operation: 0,
            },
            file: FileId {
                owner: 0,
                number: 0,
            },
            descriptor: Arc::new(file.into()),
            work,
        }
    }

    fn write() -> Operation {
        operation(Work::Write {
            position_bytes: 0,
            len_bytes: 8192,
            done_bytes: 0,
            extends: false,
            buffer: BlockBuffer::zeroed(8192),
        })
    }

    #[test]
    fn a_short_write_goes_on_and_a_torn_one_fails() {
        let mut one = write();
        assert_eq!(one.advance(-libc::EINTR), Step::Again);
        assert_eq!(one.advance(4096), Step::Again);
        assert_eq!(one.advance(4096), Step::Finished(Ok(())));
        assert_eq!(
            write().advance(100),
            Step::Finished(Err(DiskError::Io(libc::EIO)))
        );
        assert_eq!(
            write().advance(-libc::ENOSPC),
            Step::Finished(Err(DiskError::NoSpace))
        );
    }

    /// The code of the operation that an entry asks for.
    fn code(entry: &squeue::Entry) -> String {
        let said = format!("{entry:?}");
        let (_, after) = said.split_once("op_code: ").expect("it names its code");
        after.split(',').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_lies_in_registered_memory_is_read_and_written_as_such() {
        let mut memory = LentMemory::new(4 * BLOCK_BYTES).expect("mapped");
        let mut ring = Ring::new(&CpuMask::of_process().expect("known")).expect("a ring");
        ring.register(&memory);
        let registered = ring.registered();
        assert_eq!(registered.len_bytes(), 4 * BLOCK_BYTES);
        let mut lend = || memory.lend(2 * BLOCK_BYTES, 0).expect("there is enough");
        for (buffer, codes) in [
            (lend(), [opcode::WriteFixed::CODE, opcode::ReadFixed::CODE]),
            (
                BlockBuffer::zeroed(8192),
                [opcode::Write::CODE, opcode::Read::CODE],
            ),
        ] {
            let mut one = operation(Work::Write {
                position_bytes: 0,
                len_bytes: 8192,
                done_bytes: 4096,
                extends: false,
                buffer,
            });
            assert_eq!(code(&one.entry(&registered)), codes[0].to_string());
            let Work::Write { buffer, .. } = one.work else {
                panic!("it was a write");
            };
            let mut one = operation(Work::Read {
                position_bytes: 0,
                done_bytes: 0,
                buffer,
            });
            assert_eq!(code(&one.entry(&registered)), codes[1].to_string());
        }
    }

    #[test]
    fn a_read_ends_at_the_end_of_the_file() {
        let mut one = operation(Work::Read {
            position_bytes: 0,
            done_bytes: 0,
            buffer: BlockBuffer::zeroed(3 * 4096),
        });
        assert_eq!(one.advance(4096), Step::Again);
        assert_eq!(one.advance(5), Step::Finished(Ok(())));
        match one.outcome() {
            DiskOutcome::Read { len_bytes, .. } => assert_eq!(len_bytes, 4101),
            other => panic!("{other:?}"),
        }
    }
}
