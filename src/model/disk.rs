// SPDX-License-Identifier: Apache-2.0
//! What a machine asks of the disk, as plain data, and what comes back.
//!
//! Owns: the vocabulary. Invariants: an operation takes its buffer by value and the completion
//! brings it back; there is exactly one completion for each request; completions may come in any
//! order (only flushes relate to others: a flush covers the writes that had COMPLETED before it was
//! asked for, `Flush` those of its file, `FlushDevice` the overwrites of every file); no two writes
//! of one block may be under way at once, `WriteZeros` included (the asker's duty). Paths are
//! relative to the data directory, separated by `/`, without `..`. Runs on: the shard that asks.
//! Bounded by: the asker, who bounds what it has under way.

use super::block_buffer::BlockBuffer;
use super::buffer_pool::BufferPool;
use super::cleaner::CleanerLane;
use crate::limits::BUFFER_BYTES_PER_SHARD_MAX;

/// An open file. The machine chooses it: `owner` is the partition slot, `number` is never used
/// twice by that owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The slot that owns the file.
    pub owner: u32,
    /// Which of the owner's files.
    pub number: u32,
}

/// Names one request, so that its completion finds its way back. Opaque to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskToken {
    /// The slot that asked.
    pub owner: u32,
    /// Which of its requests; never used twice while one is under way.
    pub operation: u32,
}

/// One request to the disk.
#[derive(Debug)]
pub struct DiskRequest {
    /// Comes back with the completion.
    pub token: DiskToken,
    /// What to do.
    pub operation: DiskOperation,
}

/// What the disk is asked to do. After an error on `Flush`, `Write` or `ReplaceFile` the asker must
/// treat the directory as offline; nothing is retried.
#[derive(Debug)]
pub enum DiskOperation {
    /// Opens a file for direct reading and writing. Done: `Opened`. With `create`, a missing file
    /// is made (its directory entry is durable only after `SyncDirectory`).
    Open {
        /// The id under which later requests name it.
        file: FileId,
        /// Relative path.
        path: Box<str>,
        /// Make it if it is missing.
        create: bool,
    },
    /// Closes a file after every earlier request for it has completed. Done: `Done`.
    Close {
        /// Which file.
        file: FileId,
    },
    /// Writes the first `len_bytes` (whole blocks) of the buffer at a block-aligned position. Done:
    /// `Written`.
    Write {
        /// Which file.
        file: FileId,
        /// Where, a multiple of `BLOCK_BYTES`.
        position_bytes: u64,
        /// How much of the buffer, a multiple of `BLOCK_BYTES`.
        len_bytes: u32,
        /// The bytes.
        buffer: BlockBuffer,
    },
    /// Reads into the whole buffer from a block-aligned position. Done: `Read`; fewer bytes only at
    /// the end of the file.
    Read {
        /// Which file.
        file: FileId,
        /// Where, a multiple of `BLOCK_BYTES`.
        position_bytes: u64,
        /// Where to.
        buffer: BlockBuffer,
    },
    /// Makes completed writes of this file durable (fdatasync). Done: `Done`.
    Flush {
        /// Which file.
        file: FileId,
    },
    /// Makes completed writes durable that changed no metadata: overwrites of blocks that exist,
    /// are initialised, and whose file's metadata is durable. One flush of the device's cache for
    /// all files of all askers; askers that come while one is under way share the next. Done:
    /// `Done`.
    FlushDevice,
    /// Writes zeros from a block-aligned position on, in the background: behind all other work of
    /// the disk, one such request at a time. Like a `Write` they are durable, with the file's
    /// metadata, after the next `Flush`. Done: `Done`, or `TakenBack`; after an error the file may
    /// or may not have grown, and some of what was there may be zeros.
    WriteZeros {
        /// Which file.
        file: FileId,
        /// Where, a multiple of `BLOCK_BYTES`.
        position_bytes: u64,
        /// How many zeros, a multiple of `BLOCK_BYTES`, at most `ZEROS_BYTES_MAX`.
        len_bytes: u64,
    },
    /// Takes back what `WriteZeros` of this file has not begun to do: it ends at once, with
    /// `TakenBack`. Done: `Done`.
    TakeBackZeros {
        /// Which file.
        file: FileId,
    },
    /// Cuts or extends the file to an exact length (not durable until the next `Flush`). Done:
    /// `Done`.
    SetLength {
        /// Which file.
        file: FileId,
        /// New length in bytes.
        len_bytes: u64,
    },
    /// Reads a small file whole, buffered, at most `SMALL_FILE_BYTES_MAX`. Done: `FileRead`.
    ReadFile {
        /// Relative path.
        path: Box<str>,
    },
    /// Replaces a small file atomically and durably: temporary file, fsync, rename, fsync of the
    /// directory. Done: `Done`.
    ReplaceFile {
        /// Relative path.
        path: Box<str>,
        /// The whole new contents.
        contents: Vec<u8>,
    },
    /// Gives a file of a directory another name in it, replacing what had that name. Open files
    /// keep their ids. Durable only after `SyncDirectory`. Done: `Done`.
    RenameFile {
        /// Relative path.
        from: Box<str>,
        /// Relative path in the same directory.
        to: Box<str>,
    },
    /// Removes a file; a missing one is no error. Done: `Done`.
    RemoveFile {
        /// Relative path.
        path: Box<str>,
    },
    /// Makes a directory; an existing one is no error. Durable when done (the parent is synced).
    /// Done: `Done`.
    CreateDirectory {
        /// Relative path.
        path: Box<str>,
    },
    /// Makes creations, renames and removals in a directory durable. Done: `Done`.
    SyncDirectory {
        /// Relative path; empty for the data directory itself.
        path: Box<str>,
    },
    /// Lists a directory, sorted by name. Done: `Listed`.
    ListDirectory {
        /// Relative path; empty for the data directory itself.
        path: Box<str>,
    },
    /// Asks how large the volume of the data directory is. Done: `Volume`.
    MeasureVolume,
    /// Removes a directory and all below it, atomically for a reader of names: it is first renamed
    /// to `<path>-delete` (Kafka does likewise). A missing one is no error. Durable when done.
    /// Done: `Done`.
    RemoveDirectory {
        /// Relative path.
        path: Box<str>,
    },
}

/// The end of one request.
#[derive(Debug)]
pub struct DiskCompletion {
    /// Of the request.
    pub token: DiskToken,
    /// How it went.
    pub result: Result<DiskOutcome, DiskError>,
}

/// What a request that went well brings back.
#[derive(Debug)]
pub enum DiskOutcome {
    /// The file is open and has this length in bytes.
    Opened {
        /// Length in bytes.
        len_bytes: u64,
    },
    /// All bytes were written (not yet flushed).
    Written {
        /// The buffer of the request.
        buffer: BlockBuffer,
    },
    /// Bytes were read.
    Read {
        /// The buffer of the request.
        buffer: BlockBuffer,
        /// How many bytes of it are from the file.
        len_bytes: u32,
    },
    /// A small file.
    FileRead {
        /// Its contents.
        contents: Vec<u8>,
    },
    /// A directory, sorted by name.
    Listed {
        /// Its entries.
        entries: Vec<DirectoryEntry>,
    },
    /// How large the volume is.
    Volume(VolumeSize),
    /// It was taken back before it had begun: nothing was done.
    TakenBack,
    /// Nothing more to say.
    Done,
}

/// The size of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSize {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What of it this process may still write to, in bytes.
    pub usable_bytes: u64,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The last part of its path.
    pub name: Box<str>,
    /// True for a directory.
    pub is_directory: bool,
    /// Length in bytes, 0 for a directory.
    pub len_bytes: u64,
}

/// What a failed request brings back. The buffer, if there was one, is freed by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No such file or directory.
    NotFound,
    /// The file system is full (or over quota).
    NoSpace,
    /// The device or file system failed with this `errno`.
    Io(i32),
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DiskError::NotFound => f.write_str("there is no such file or directory"),
            DiskError::NoSpace => f.write_str("the file system is full"),
            DiskError::Io(errno) => write!(f, "the device or file system failed (errno {errno})"),
        }
    }
}

impl std::error::Error for DiskError {}

/// Where machines put their disk requests, and where they find the buffers for them. Reused from
/// event to event.
#[derive(Debug)]
pub struct DiskQueue {
    requests: Vec<DiskRequest>,
    buffers: BufferPool,
    cleaner: CleanerLane,
}

impl Default for DiskQueue {
    fn default() -> DiskQueue {
        DiskQueue::new()
    }
}

impl DiskQueue {
    /// An empty queue whose buffers are its own.
    #[must_use]
    pub fn new() -> DiskQueue {
        DiskQueue::with_buffers(BufferPool::new(BUFFER_BYTES_PER_SHARD_MAX / 2))
    }

    /// An empty queue that takes its buffers from there.
    #[must_use]
    pub fn with_buffers(buffers: BufferPool) -> DiskQueue {
        DiskQueue {
            requests: Vec::with_capacity(64),
            buffers,
            cleaner: CleanerLane::default(),
        }
    }

    /// The buffers for requests.
    pub fn buffers(&mut self) -> &mut BufferPool {
        &mut self.buffers
    }

    /// Whose turn it is to compact.
    pub fn cleaner(&mut self) -> &mut CleanerLane {
        &mut self.cleaner
    }

    /// Adds a request.
    pub fn push(&mut self, token: DiskToken, operation: DiskOperation) {
        self.requests.push(DiskRequest { token, operation });
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// True if none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes all, in the order in which they were pushed; the queue keeps its memory.
    pub fn drain(&mut self) -> std::vec::Drain<'_, DiskRequest> {
        self.requests.drain(..)
    }
}

const _: () = assert!(std::mem::size_of::<DiskRequest>() <= 64);
