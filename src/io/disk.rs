// SPDX-License-Identifier: Apache-2.0
//! Carries out disk requests: reads, writes and flushes through the ring, the rest on the blocking
//! thread.
//!
//! Owns: open files and the buffers of operations under way. Invariants: one completion for each
//! request; a buffer stays here from submission to completion; a file is closed only after
//! everything asked of it has completed; a write that would extend its file is given to a kernel
//! worker at once, because it would block the submitter on the inode's lock.
//! Runs on: one executor. Bounded by: what the machine has under way.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::blocking::{BlockingThread, Job, Reply};
use super::device_flush::DeviceFlush;
use super::device_health::DeviceHealth;
use super::disk_operation::{Operation, Step, Work};
use super::ring::{Completed, Kind, Ring, Tag};
use super::slots::Slots;
use crate::limits::BLOCK_BYTES;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{
    DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskRequest, DiskToken, FileId,
};

struct OpenFile {
    descriptor: Arc<OwnedFd>,
    len_bytes: u64,
    in_flight: usize,
    close: Option<DiskToken>,
}

/// A request for zeros.
struct Zeros {
    token: DiskToken,
    file: FileId,
    position_bytes: u64,
    len_bytes: u64,
}

/// The disk of one executor.
pub struct Disk {
    files: BTreeMap<FileId, OpenFile>,
    operations: Slots<Operation>,
    device_flush: DeviceFlush,
    health: DeviceHealth,
    blocking: BlockingThread,
    /// For what takes long and nobody waits for.
    background: BlockingThread,
    /// Requests for zeros that have not begun.
    zeros: VecDeque<Zeros>,
    /// The one that is with the background thread.
    zeros_begun: Option<Zeros>,
    completions: VecDeque<DiskCompletion>,
}

impl Disk {
    /// A disk without open files. Nobody writes to `clean_file`; flushing it flushes the device.
    /// Without it nobody may ask for that.
    #[must_use]
    pub fn new(
        blocking: BlockingThread,
        background: BlockingThread,
        clean_file: Option<Arc<OwnedFd>>,
        health: DeviceHealth,
    ) -> Disk {
        Disk {
            files: BTreeMap::new(),
            operations: Slots::new(),
            device_flush: DeviceFlush::new(clean_file),
            health,
            blocking,
            background,
            zeros: VecDeque::new(),
            zeros_begun: None,
            completions: VecDeque::new(),
        }
    }

    /// Starts a request.
    pub fn submit(&mut self, ring: &mut Ring, request: DiskRequest) {
        let DiskRequest { token, operation } = request;
        let job = match operation {
            DiskOperation::Open { file, path, create } => Job::Open { file, path, create },
            DiskOperation::Close { file } => return self.close(token, file),
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => return self.write(ring, token, file, position_bytes, len_bytes, buffer),
            DiskOperation::Read {
                file,
                position_bytes,
                buffer,
            } => {
                let work = Work::Read {
                    position_bytes,
                    done_bytes: 0,
                    buffer,
                };
                return self.start(ring, token, file, work);
            }
            DiskOperation::Flush { file } => return self.start(ring, token, file, Work::Flush),
            DiskOperation::FlushDevice => return self.device_flush.ask(token),
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => return self.write_zeros(token, file, position_bytes, len_bytes),
            DiskOperation::TakeBackZeros { file } => return self.take_back_zeros(token, file),
            DiskOperation::SetLength { file, len_bytes } => {
                return self.set_length(token, file, len_bytes);
            }
            DiskOperation::ReadFile { path } => Job::ReadFile(path),
            DiskOperation::ReplaceFile { path, contents } => Job::ReplaceFile(path, contents),
            DiskOperation::RenameFile { from, to } => Job::RenameFile(from, to),
            DiskOperation::RemoveFile { path } => Job::RemoveFile(path),
            DiskOperation::CreateDirectory { path } => Job::CreateDirectory(path),
            DiskOperation::SyncDirectory { path } => Job::SyncDirectory(path),
            DiskOperation::ListDirectory { path } => Job::ListDirectory(path),
            DiskOperation::MeasureVolume => Job::MeasureVolume,
            DiskOperation::RemoveDirectory { path } => Job::RemoveDirectory(path),
        };
        self.blocking.submit(token, job);
    }

    /// Starts what was gathered in this turn.
    pub fn flush(&mut self, ring: &mut Ring) {
        self.device_flush.start(ring);
    }

    /// The next completion, if there is one.
    pub fn take_completion(&mut self) -> Option<DiskCompletion> {
        while let Some(reply) = self.blocking.take_reply() {
            self.handle_reply(reply);
        }
        while let Some(reply) = self.background.take_reply() {
            self.handle_zeros_written(reply);
        }
        self.completions.pop_front()
    }

    /// True if a completion waits to be taken.
    #[must_use]
    pub fn has_completion(&self) -> bool {
        !self.completions.is_empty() || self.blocking.has_reply() || self.background.has_reply()
    }

    /// True while a request has not come back.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let by_threads = self.blocking.in_flight() + self.background.in_flight();
        let by_ring = self.operations.len() + self.device_flush.in_flight();
        by_threads + by_ring + self.zeros.len() + self.completions.len() > 0
    }

    /// A completion of this disk's ring operations.
    pub fn handle_completed(&mut self, ring: &mut Ring, completed: Completed) {
        let index = completed.tag.index;
        let operation = self
            .operations
            .get_mut(index)
            .expect("a completion names an operation under way");
        match operation.advance(completed.result) {
            Step::Again => self.push(ring, index),
            Step::Finished(result) => self.finish(index, result),
        }
    }

    /// The flush of the device ended.
    pub fn handle_device_flushed(&mut self, ring: &mut Ring, result: i32) {
        let (completions, health) = (&mut self.completions, &self.health);
        self.device_flush
            .handle_completed(ring, result, |token, result| {
                let result = health.judge(result).map(|()| DiskOutcome::Done);
                completions.push_back(DiskCompletion { token, result });
            });
    }

    fn write_zeros(&mut self, token: DiskToken, file: FileId, position_bytes: u64, len_bytes: u64) {
        let Some(open) = self
            .files
            .get_mut(&file)
            .filter(|open| open.close.is_none())
        else {
            return self.complete(token, Err(DiskError::Io(libc::EBADF)));
        };
        open.in_flight += 1;
        self.zeros.push_back(Zeros {
            token,
            file,
            position_bytes,
            len_bytes,
        });
        self.start_zeros();
    }

    /// Hands one request for zeros to its thread: those that wait here can be taken back.
    fn start_zeros(&mut self) {
        if self.zeros_begun.is_some() {
            return;
        }
        let Some(zeros) = self.zeros.pop_front() else {
            return;
        };
        let open = &self.files[&zeros.file];
        let job = Job::WriteZeros(
            Arc::clone(&open.descriptor),
            zeros.position_bytes,
            zeros.len_bytes,
        );
        self.background.submit(zeros.token, job);
        self.zeros_begun = Some(zeros);
    }

    fn handle_zeros_written(&mut self, reply: Reply) {
        let zeros = self.zeros_begun.take().expect("one request was begun");
        assert_eq!(zeros.token, reply.token);
        let open = self
            .files
            .get_mut(&zeros.file)
            .expect("a file in use stays open");
        if reply.result.is_ok() {
            let end = zeros.position_bytes.saturating_add(zeros.len_bytes);
            open.len_bytes = open.len_bytes.max(end);
        }
        self.complete(reply.token, reply.result);
        self.leave(zeros.file);
        self.start_zeros();
    }

    fn take_back_zeros(&mut self, token: DiskToken, file: FileId) {
        let (taken, kept) = self.zeros.drain(..).partition(|zeros| zeros.file == file);
        self.zeros = kept;
        let taken: VecDeque<Zeros> = taken;
        for zeros in taken {
            self.complete(zeros.token, Ok(DiskOutcome::TakenBack));
            self.leave(file);
        }
        self.complete(token, Ok(DiskOutcome::Done));
    }

    fn write(
        &mut self,
        ring: &mut Ring,
        token: DiskToken,
        file: FileId,
        position_bytes: u64,
        len_bytes: u32,
        buffer: BlockBuffer,
    ) {
        let end = position_bytes.saturating_add(u64::from(len_bytes));
        let len_bytes = usize::try_from(len_bytes).expect("usize has at least 32 bits");
        let whole = len_bytes <= buffer.len() && len_bytes.is_multiple_of(BLOCK_BYTES);
        if !whole || len_bytes == 0 {
            return self.complete(token, Err(DiskError::Io(libc::EINVAL)));
        }
        let mut extends = false;
        if let Some(open) = self.files.get_mut(&file) {
            extends = end > open.len_bytes;
            open.len_bytes = open.len_bytes.max(end);
        }
        let work = Work::Write {
            position_bytes,
            len_bytes,
            done_bytes: 0,
            extends,
            buffer,
        };
        self.start(ring, token, file, work);
    }

    fn start(&mut self, ring: &mut Ring, token: DiskToken, file: FileId, work: Work) {
        if let Some(index) = self.enter(token, file, work) {
            self.push(ring, index);
        }
    }

    /// Registers an operation on an open file.
    fn enter(&mut self, token: DiskToken, file: FileId, work: Work) -> Option<u32> {
        let Some(open) = self
            .files
            .get_mut(&file)
            .filter(|open| open.close.is_none())
        else {
            self.complete(token, Err(DiskError::Io(libc::EBADF)));
            return None;
        };
        open.in_flight += 1;
        let descriptor = Arc::clone(&open.descriptor);
        Some(self.operations.insert(Operation {
            token,
            file,
            descriptor,
            work,
        }))
    }

    fn push(&mut self, ring: &mut Ring, index: u32) {
        let operation = self.operations.get_mut(index).expect("just entered");
        let entry = operation.entry(&ring.registered());
        let tag = Tag {
            kind: Kind::Disk,
            index,
        };
        // SAFETY: the buffer (heap memory that does not move) and the descriptor live in the
        // operation's slot, which is taken out only by `finish`, after the completion; meanwhile
        // nobody else reads or writes the buffer.
        unsafe { ring.push(tag, entry) };
    }

    fn finish(&mut self, index: u32, result: Result<(), DiskError>) {
        let operation = self.operations.take(index).expect("it was under way");
        let (token, file) = (operation.token, operation.file);
        let result = match operation.work {
            Work::Flush => self.health.judge(result),
            Work::Write { .. } | Work::Read { .. } => result,
        };
        self.complete(token, result.map(|()| operation.outcome()));
        self.leave(file);
    }

    fn leave(&mut self, file: FileId) {
        let open = self.files.get_mut(&file).expect("a file in use stays open");
        open.in_flight -= 1;
        if open.in_flight == 0
            && let Some(token) = open.close
        {
            let open = self.files.remove(&file).expect("just seen");
            self.blocking.submit(token, Job::Close(open.descriptor));
        }
    }

    fn close(&mut self, token: DiskToken, file: FileId) {
        let Some(open) = self
            .files
            .get_mut(&file)
            .filter(|open| open.close.is_none())
        else {
            return self.complete(token, Err(DiskError::Io(libc::EBADF)));
        };
        open.close = Some(token);
        // Counts as a use that ends at once.
        open.in_flight += 1;
        self.leave(file);
    }

    fn set_length(&mut self, token: DiskToken, file: FileId, len_bytes: u64) {
        let Some(open) = self
            .files
            .get_mut(&file)
            .filter(|open| open.close.is_none())
        else {
            return self.complete(token, Err(DiskError::Io(libc::EBADF)));
        };
        open.len_bytes = len_bytes;
        let descriptor = Arc::clone(&open.descriptor);
        // The blocking thread works in order, so that a later close comes after it.
        self.blocking
            .submit(token, Job::SetLength(descriptor, len_bytes));
    }

    fn handle_reply(&mut self, reply: Reply) {
        if let Some((file, descriptor)) = reply.opened {
            let len_bytes = match reply.result {
                Ok(DiskOutcome::Opened { len_bytes }) => len_bytes,
                _ => 0,
            };
            let open = OpenFile {
                descriptor: Arc::new(descriptor),
                len_bytes,
                in_flight: 0,
                close: None,
            };
            let previous = self.files.insert(file, open);
            assert!(previous.is_none(), "a file number is never used twice");
        }
        self.complete(reply.token, reply.result);
    }

    fn complete(&mut self, token: DiskToken, result: Result<DiskOutcome, DiskError>) {
        self.completions.push_back(DiskCompletion { token, result });
    }
}
