// SPDX-License-Identifier: Apache-2.0
//! What a partition tells its shard.
//!
//! Owns: [`PartitionEvent`] and what it carries. Invariants: each number that the shard handed in
//! comes back exactly once.
//! Runs on: the shard that owns the partition. Bounded by: what is under way.

use bytes::Bytes;

use super::error::{FetchError, ProduceError};
use crate::log::aborted::AbortedTransaction;
use crate::log::{CompactionReport, RecoveryReport, RoundTimes};
use crate::model::ids::{LeaderEpoch, Offset, Uuid};
use crate::model::time::MonotonicUs;
use crate::replication::purgatory::Woken;

/// What happened to a partition.
#[derive(Debug)]
pub enum PartitionEvent {
    /// Its log is recovered (or new).
    Opened {
        /// What recovery found.
        report: RecoveryReport,
    },
    /// Bytes of its log are damaged; they stay as they are.
    Damaged {
        /// Which file, which bytes and offsets, what to do.
        sentence: Box<str>,
    },
    /// There is no space to open its log; it tries again by itself, and `Opened` follows then.
    OpenDelayed,
    /// Its directory belongs to another topic; nothing was touched.
    WrongTopic {
        /// Whose it is.
        found: Uuid,
    },
    /// A produce ended.
    Produced {
        /// The number of the produce.
        waiter: u64,
        /// How it ended.
        result: Result<Produced, ProduceError>,
        /// The round that ended its wait, if it waited for one.
        waited: Option<AppendWait>,
    },
    /// A round of writes ended.
    RoundEnded(RoundTimes),
    /// A read ended.
    Fetched {
        /// The number of the read.
        read: u64,
        /// What it gave.
        result: Result<Fetched, FetchError>,
    },
    /// A look-up of an offset ended.
    OffsetFound {
        /// The number of the look-up.
        lookup: u64,
        /// What it gave.
        result: Result<FoundOffset, FetchError>,
    },
    /// A deletion of records that had to wait for the disk ended.
    RecordsDeleted {
        /// The number of the deletion.
        waiter: u64,
        /// The low watermark.
        result: Result<Offset, FetchError>,
    },
    /// Committed bytes came that a parked fetch could take, or (with 0 bytes) it has to look again.
    Woken(Woken),
    /// A pass of compaction ended.
    Compacted(CompactionReport),
    /// Everything is on disk and closed.
    Stopped,
    /// The directory is gone.
    Deleted,
    /// The log can promise nothing any more.
    Failed {
        /// What happened, to which file, what to do.
        sentence: Box<str>,
    },
}

/// What a produce waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendWait {
    /// When it came.
    pub came_us: MonotonicUs,
    /// The round that made it durable.
    pub round: RoundTimes,
}

/// What a producer is told of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The broker's timestamp, -1 if the producer's own stays.
    pub log_append_time_ms: i64,
    /// Log start offset.
    pub log_start_offset: Offset,
}

/// What a consumer is told of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whole batches; may be empty.
    pub records: Bytes,
    /// High watermark.
    pub high_watermark: Offset,
    /// Up to here every transaction is decided.
    pub last_stable_offset: Offset,
    /// The aborted transactions that a reader of committed ones meets in the batches, by rising
    /// first offset.
    pub aborted: Vec<AbortedTransaction>,
    /// Log start offset.
    pub log_start_offset: Offset,
    /// Where the reader's log diverged: the epoch and its end here (KIP-595's rule for
    /// `last_fetched_epoch`).
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset, -1 if there is none.
    pub offset: Offset,
    /// Timestamp of its record, -1 where none was asked for.
    pub timestamp: i64,
    /// Its leader epoch, -1 if not known.
    pub leader_epoch: LeaderEpoch,
}

impl FoundOffset {
    /// There is no such offset.
    pub const NONE: FoundOffset = FoundOffset {
        offset: -1,
        timestamp: -1,
        leader_epoch: -1,
    };
}
