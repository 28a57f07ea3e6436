// SPDX-License-Identifier: Apache-2.0
//! What a log tells its owner, and the errors of its operations.
//!
//! Owns: the vocabulary. Invariants: an event that depends on a disk request is made by the handler
//! of that request's completion. Runs on: the core of the partition. Bounded by: its makers.

use std::fmt;

use bytes::Bytes;

use crate::model::disk::DiskError;
use crate::model::ids::{LeaderEpoch, Offset, Uuid};
use crate::model::time::MonotonicUs;
use crate::wire::record::BatchError;

/// What happened to a log.
#[derive(Debug)]
pub enum LogEvent {
    /// The log is recovered (or new) and takes appends and reads.
    Opened {
        /// What recovery found.
        report: RecoveryReport,
    },
    /// Bytes of a segment are damaged. They stay as they are; reads of them answer
    /// `ReadError::Corrupt`. Told when recovery or a read comes upon them.
    Damaged {
        /// Which file, from which byte to which, which offsets are lost, what to do.
        sentence: Box<str>,
    },
    /// There is no space to open the log in. It stays closed and tries again by itself every
    /// `OPEN_RETRY_MS`, until `Opened`, a stop or a deletion. Told each time.
    OpenDelayed,
    /// The directory belongs to another topic: nothing was touched. The log is closed;
    /// `handle_delete` removes the directory, if its topic is known to be gone.
    WrongTopic {
        /// The topic id that `partition.metadata` names.
        found: Uuid,
    },
    /// Every record below this offset is on stable storage.
    DurableEnd {
        /// The offset after the last durable record.
        offset: Offset,
        /// The round that made it so: it holds all from the durable end before.
        round: RoundTimes,
    },
    /// In a relaxed flush mode: a flush ended, so there is room for appends that were refused as
    /// busy.
    Synced,
    /// A read that had to wait for the disk is done.
    ReadDone {
        /// The number its caller chose.
        read: u64,
        /// Whole batches, the first one holding the wanted offset; empty if not even one fits.
        result: Result<Bytes, ReadError>,
    },
    /// A look-up that had to wait for the disk is done.
    TimestampFound {
        /// The number its caller chose.
        lookup: u64,
        /// The record found.
        result: Result<Option<TimestampedOffset>, ReadError>,
    },
    /// The records below this offset were removed: by retention, or by `handle_delete_records`.
    LogStartMoved {
        /// The new log start offset.
        offset: Offset,
    },
    /// A `handle_delete_records` that had to wait for the disk is done.
    RecordsDeleted {
        /// The number its caller chose.
        waiter: u64,
        /// The log start offset.
        result: Result<Offset, ReadError>,
    },
    /// There was no space: the records from here on are gone, none of them was durable. The log
    /// goes on from here.
    AppendsLost {
        /// The log end offset, now equal to the durable end.
        from: Offset,
        /// What the disk said.
        error: DiskError,
    },
    /// A pass of compaction ended, or was given up.
    Compacted(CompactionReport),
    /// The answer to `handle_stop`: everything is durable and closed.
    Stopped,
    /// The answer to `handle_delete`: the directory is gone.
    Deleted,
    /// The log can no longer promise anything; its directory must go offline.
    Failed {
        /// What happened, to which file, what to do.
        sentence: Box<str>,
    },
}

/// What a pass of compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionReport {
    /// False if it was given up: for a stop, a full disk, or damage.
    pub is_whole: bool,
    /// Below this offset each key occurs once, if it is whole.
    pub clean_end: Offset,
    /// Keys that it found in the dirty part.
    pub keys: usize,
    /// Bytes that it read: the dirty part, and then all of the log.
    pub read_bytes: u64,
    /// Bytes that it wrote.
    pub written_bytes: u64,
    /// By how much the log became smaller.
    pub removed_bytes: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// When a round went through its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTimes {
    /// What had gathered was taken to be written.
    pub started_us: MonotonicUs,
    /// All of it was written.
    pub written_us: MonotonicUs,
    /// It is durable, as far as the flush mode asks, and so is all before it.
    pub ended_us: MonotonicUs,
    /// True if it was flushed; in the relaxed flush modes it is not.
    pub is_flushed: bool,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// What an opening found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The directory was new.
    pub created: bool,
    /// A clean-shutdown marker made scanning unnecessary.
    pub clean: bool,
    /// Batches that were read and checked.
    pub batches_scanned: u64,
    /// Bytes that were to be read for it, known as the segments are begun.
    pub bytes_to_scan: u64,
    /// Bytes that were read for it; some of them twice where there was damage.
    pub bytes_scanned: u64,
    /// Bytes of the last segment that a recovery point made unnecessary to read.
    pub bytes_skipped: u64,
    /// Bytes that were cut off behind the last good batch, zero padding not counted.
    pub torn_bytes_cut: u64,
    /// Damaged places that were found and passed: in a sealed segment, or too far from the end of
    /// the last one for a torn write. Nothing was cut there; reads there answer
    /// `ReadError::Corrupt`.
    pub damaged_places: u32,
    /// Index, snapshot and checkpoint files that were missing or damaged and were rebuilt.
    pub files_rebuilt: u32,
}

/// What an append got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record. Durable once the durable end exceeds it.
    pub last_offset: Offset,
    /// The broker's timestamp, -1 if the producer's own stays.
    pub log_append_time_ms: i64,
    /// Log start offset at the moment of the append.
    pub log_start_offset: Offset,
    /// Bytes that were stored.
    pub len_bytes: usize,
    /// The producer sent this batch before; the offsets are the old ones. It may not be durable
    /// yet: wait for `last_offset` all the same.
    pub duplicate: bool,
}

/// Why an append was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// A batch is malformed, or against the rules of the topic.
    Batch(BatchError),
    /// No batch at all.
    Empty,
    /// All batches together are larger than a segment.
    LargerThanSegment,
    /// Too much waits for its flush, or the log is being cut back after the disk was full: try
    /// again after the next `DurableEnd` or `AppendsLost`.
    Busy,
    /// The log is not open.
    NotOpen,
    /// The log has failed.
    Failed,
    /// The producer's sequence is not the expected one.
    OutOfOrderSequence,
    /// The producer's epoch is older than the newest one seen.
    ProducerFenced,
    /// A newer coordinator has ended a transaction of the producer here.
    CoordinatorFenced,
    /// A batch outside of a transaction, from a producer that has one open here.
    TransactionOpen,
    /// So many transactions were aborted here, or are open, that no further one may begin.
    TooManyTransactions,
}

impl From<BatchError> for AppendError {
    fn from(error: BatchError) -> AppendError {
        AppendError::Batch(error)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Batch(error) => error.fmt(f),
            AppendError::Empty => f.write_str("there is no record batch"),
            AppendError::LargerThanSegment => f.write_str("the batches are larger than a segment"),
            AppendError::Busy => f.write_str("too much waits for its flush"),
            AppendError::NotOpen => f.write_str("the log is not open"),
            AppendError::Failed => f.write_str("the log has failed"),
            AppendError::OutOfOrderSequence => {
                f.write_str("the sequence number is not the expected one")
            }
            AppendError::ProducerFenced => f.write_str("the producer epoch is old"),
            AppendError::CoordinatorFenced => f.write_str("the coordinator epoch is old"),
            AppendError::TransactionOpen => f.write_str(
                "the producer has a transaction open, and the batch is not a part of it",
            ),
            AppendError::TooManyTransactions => f.write_str(
                "the partition remembers as many aborted and open transactions as it can; \
                 retention has to remove some of its records first",
            ),
        }
    }
}

impl std::error::Error for AppendError {}

/// How a read starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStart {
    /// There is nothing below the bound.
    Empty,
    /// The bytes were in memory.
    Ready(Bytes),
    /// `LogEvent::ReadDone` follows.
    Started,
}

/// How a look-up by timestamp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupStart {
    /// The answer needed no disk.
    Found(Option<TimestampedOffset>),
    /// `LogEvent::TimestampFound` follows.
    Started,
}

/// Why a read or look-up failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The offset is below the log start or above the log end.
    OffsetOutOfRange,
    /// The bytes on disk are damaged.
    Corrupt,
    /// The disk failed to read.
    Disk(DiskError),
    /// The log is not open (any more).
    NotOpen,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::OffsetOutOfRange => f.write_str("the offset is outside the log"),
            ReadError::Corrupt => f.write_str("the record batch on disk is damaged"),
            ReadError::Disk(error) => error.fmt(f),
            ReadError::NotOpen => f.write_str("the log is not open"),
        }
    }
}

impl std::error::Error for ReadError {}
