// SPDX-License-Identifier: Apache-2.0
//! Why an operation on a partition fails, by operation.
//!
//! Owns: [`ProduceError`], [`FetchError`], [`DeleteRecordsError`]. Invariants: no Kafka codes
//! here; the API layer chooses them.
//! Runs on: the shard that owns the partition. Bounded by: their fields.

use std::fmt;

use crate::log::{AppendError, ReadError};
use crate::wire::record::BatchError;

/// Why a produce to one partition fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceError {
    /// This replica does not lead, or is not open yet.
    NotLeader,
    /// Too few replicas are in sync; nothing was appended.
    NotEnoughReplicas,
    /// Too few replicas are in sync; it was appended and may yet be lost.
    NotEnoughReplicasAfterAppend,
    /// The log refused it; nothing was appended.
    Append(AppendError),
    /// Records of the batch break rules of the topic, each by itself; nothing was appended.
    Records(Box<[BatchError]>),
    /// The disk was full; nothing of it is kept.
    DiskFull,
    /// The partition went away or its disk failed before it was durable.
    Offline,
    /// It was not durable in the time that the producer allowed; it may become so.
    TimedOut,
}

impl fmt::Display for ProduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProduceError::NotLeader => f.write_str("this broker does not lead the partition"),
            ProduceError::NotEnoughReplicas => {
                f.write_str("fewer replicas are in sync than min.insync.replicas asks for")
            }
            ProduceError::NotEnoughReplicasAfterAppend => f.write_str(
                "the records were written, but fewer replicas are in sync than \
                 min.insync.replicas asks for",
            ),
            ProduceError::Append(error) => error.fmt(f),
            ProduceError::Records(records) => write!(
                f,
                "the batch is refused, because {} of its records break a rule of the topic",
                records.len()
            ),
            ProduceError::DiskFull => {
                f.write_str("the disk of the broker is full; free space and send again")
            }
            ProduceError::Offline => f.write_str("the log of the partition is offline"),
            ProduceError::TimedOut => {
                f.write_str("the records were not on stable storage within the request's timeout")
            }
        }
    }
}

impl std::error::Error for ProduceError {}

/// Why a read of one partition fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// This replica does not lead, or is not open yet.
    NotLeader,
    /// The client knows an older leader epoch.
    FencedLeaderEpoch,
    /// The client knows a newer leader epoch.
    UnknownLeaderEpoch,
    /// The offset is outside the log.
    OffsetOutOfRange,
    /// The high watermark is not known to reach the start of this leader's epoch yet.
    OffsetNotAvailable,
    /// The log could not give the bytes.
    Read(ReadError),
}

impl From<ReadError> for FetchError {
    fn from(error: ReadError) -> FetchError {
        match error {
            ReadError::OffsetOutOfRange => FetchError::OffsetOutOfRange,
            ReadError::NotOpen => FetchError::NotLeader,
            other => FetchError::Read(other),
        }
    }
}

/// Why records cannot be deleted from one partition, or another question cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRecordsError {
    /// The topic's `cleanup.policy` does not have records deleted.
    Policy,
    /// It cannot be read either.
    Fetch(FetchError),
}

impl From<FetchError> for DeleteRecordsError {
    fn from(error: FetchError) -> DeleteRecordsError {
        DeleteRecordsError::Fetch(error)
    }
}
