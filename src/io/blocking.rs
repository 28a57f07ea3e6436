// SPDX-License-Identifier: Apache-2.0
//! One thread beside each executor for calls that cannot go through the ring.
//!
//! Owns: the thread and its two queues. Invariants: jobs are done one after another, in order;
//! every job has one reply; the executor is woken after each. Runs on: its own thread, free to use
//! every core of the process.
//! Bounded by: what the machine has under way.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use super::files::{Files, disk_error};
use super::wake::Waker;
use crate::limits::ZEROS_BYTES_MAX;
use crate::model::block_buffer::BlockBuffer;
use crate::model::disk::{DiskError, DiskOutcome, DiskToken, FileId};

/// One call to make.
#[derive(Debug)]
pub enum Job {
    /// Open a file.
    Open {
        /// The id it will have.
        file: FileId,
        /// Relative path.
        path: Box<str>,
        /// Make it if it is missing.
        create: bool,
    },
    /// Close a file that nobody uses any more (the last close of a removed file frees its blocks,
    /// which takes time).
    Close(Arc<OwnedFd>),
    /// Cut or extend a file.
    SetLength(Arc<OwnedFd>, u64),
    /// Read a small file.
    ReadFile(Box<str>),
    /// Replace a small file.
    ReplaceFile(Box<str>, Vec<u8>),
    /// Write so many zeros from a position on.
    WriteZeros(Arc<OwnedFd>, u64, u64),
    /// Give a file another name.
    RenameFile(Box<str>, Box<str>),
    /// Remove a file.
    RemoveFile(Box<str>),
    /// Make a directory.
    CreateDirectory(Box<str>),
    /// Sync a directory.
    SyncDirectory(Box<str>),
    /// List a directory.
    ListDirectory(Box<str>),
    /// Ask for the size of the volume.
    MeasureVolume,
    /// Remove a directory.
    RemoveDirectory(Box<str>),
}

/// What came of a job.
#[derive(Debug)]
pub struct Reply {
    /// Of the request.
    pub token: DiskToken,
    /// The outcome.
    pub result: Result<DiskOutcome, DiskError>,
    /// The file that an `Open` opened.
    pub opened: Option<(FileId, OwnedFd)>,
}

/// The executor's end of its blocking thread.
pub struct BlockingThread {
    jobs: Option<Sender<(DiskToken, Job)>>,
    replies: Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
    submitted: usize,
    taken: usize,
    /// Replies sent so far, raised after each is in its queue: the queue itself cannot be asked
    /// without taking.
    sent: Arc<AtomicUsize>,
}

impl BlockingThread {
    /// Starts the thread. Call it from a thread that is not pinned: the new one inherits the
    /// affinity.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(files: Files, waker: Arc<Waker>) -> io::Result<BlockingThread> {
        let (jobs, inbox) = channel();
        let (outbox, replies) = channel();
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let thread = std::thread::Builder::new()
            .name("furlong-files".into())
            .spawn(move || run(&files, &inbox, &outbox, &counter, &waker))?;
        Ok(BlockingThread {
            jobs: Some(jobs),
            replies,
            thread: Some(thread),
            submitted: 0,
            taken: 0,
            sent,
        })
    }

    /// Queues a job.
    pub fn submit(&mut self, token: DiskToken, job: Job) {
        self.submitted += 1;
        let jobs = self.jobs.as_ref().expect("only drop takes the sender");
        jobs.send((token, job))
            .expect("the thread lives until the sender is dropped");
    }

    /// The next reply, if one is there.
    pub fn take_reply(&mut self) -> Option<Reply> {
        if self.in_flight() == 0 {
            return None;
        }
        match self.replies.try_recv() {
            Ok(reply) => {
                self.taken += 1;
                Some(reply)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the thread for small files ended early"),
        }
    }

    /// How many jobs have no reply yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.submitted - self.taken
    }

    /// True if a reply waits.
    #[must_use]
    pub fn has_reply(&self) -> bool {
        self.sent.load(Ordering::Acquire) != self.taken
    }
}

impl Drop for BlockingThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}

fn run(
    files: &Files,
    inbox: &Receiver<(DiskToken, Job)>,
    outbox: &Sender<Reply>,
    sent: &AtomicUsize,
    waker: &Waker,
) {
    // Zeros are written all the time under load: one buffer, made when it is needed first.
    let mut zeros = None;
    while let Ok((token, job)) = inbox.recv() {
        let mut opened = None;
        let result =
            perform(files, job, &mut opened, &mut zeros).map_err(|error| disk_error(&error));
        let reply = Reply {
            token,
            result,
            opened,
        };
        if outbox.send(reply).is_err() {
            return;
        }
        sent.fetch_add(1, Ordering::Release);
        waker.wake();
    }
}

fn perform(
    files: &Files,
    job: Job,
    opened: &mut Option<(FileId, OwnedFd)>,
    zeros: &mut Option<BlockBuffer>,
) -> io::Result<DiskOutcome> {
    let done = |()| DiskOutcome::Done;
    match job {
        Job::Open { file, path, create } => {
            let (handle, len_bytes) = files.open(&path, create)?;
            *opened = Some((file, handle.into()));
            Ok(DiskOutcome::Opened { len_bytes })
        }
        Job::Close(file) => {
            drop(file);
            Ok(DiskOutcome::Done)
        }
        Job::SetLength(file, len_bytes) => set_length(&file, len_bytes).map(done),
        Job::ReadFile(path) => {
            let contents = files.read_file(&path)?;
            Ok(DiskOutcome::FileRead { contents })
        }
        Job::ReplaceFile(path, contents) => files.replace_file(&path, &contents).map(done),
        Job::WriteZeros(file, position_bytes, len_bytes) => {
            let zeros = zeros.get_or_insert_with(|| BlockBuffer::zeroed(ZEROS_BYTES_MAX));
            write_zeros(&file, position_bytes, len_bytes, zeros).map(done)
        }
        Job::RenameFile(from, to) => files.rename_file(&from, &to).map(done),
        Job::RemoveFile(path) => files.remove_file(&path).map(done),
        Job::CreateDirectory(path) => files.create_directory(&path).map(done),
        Job::SyncDirectory(path) => files.sync_directory(&path).map(done),
        Job::ListDirectory(path) => {
            let entries = files.list_directory(&path)?;
            Ok(DiskOutcome::Listed { entries })
        }
        Job::MeasureVolume => files.volume_size().map(DiskOutcome::Volume),
        Job::RemoveDirectory(path) => files.remove_directory(&path).map(done),
    }
}

fn set_length(file: &OwnedFd, len_bytes: u64) -> io::Result<()> {
    File::from(file.try_clone()?).set_len(len_bytes)
}

/// A short request: a commit beside it waits for little.
fn write_zeros(
    file: &OwnedFd,
    position_bytes: u64,
    len_bytes: u64,
    zeros: &BlockBuffer,
) -> io::Result<()> {
    let len_bytes = usize::try_from(len_bytes).unwrap_or(usize::MAX);
    if len_bytes > ZEROS_BYTES_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    File::from(file.try_clone()?).write_all_at(&zeros.as_slice()[..len_bytes], position_bytes)
}
