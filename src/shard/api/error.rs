// SPDX-License-Identifier: Apache-2.0
//! From the errors of the machines to Kafka's codes: the one place where codes of the data path are
//! chosen.
//!
//! Owns: the table. Invariants: an error that may pass is answered with a code that clients try
//! again on.
//! Runs on: the shard that accepted the connection. Bounded by: nothing to bound.

use crate::log::{AppendError, ReadError};
use crate::model::error_code::ErrorCode;
use crate::partition::{DeleteRecordsError, FetchError, ProduceError};
use crate::wire::record::{BatchError, BatchFault};

impl From<&ProduceError> for ErrorCode {
    fn from(error: &ProduceError) -> ErrorCode {
        match error {
            ProduceError::NotLeader => ErrorCode::NotLeaderOrFollower,
            ProduceError::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
            ProduceError::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
            ProduceError::Append(error) => (*error).into(),
            // One timestamp that is wrong makes it a matter of timestamps, as in Kafka.
            ProduceError::Records(records) => {
                let codes = records.iter().map(|error| ErrorCode::from(*error));
                let mut timestamps = codes.filter(|code| *code == ErrorCode::InvalidTimestamp);
                timestamps.next().unwrap_or(ErrorCode::InvalidRecord)
            }
            ProduceError::DiskFull | ProduceError::Offline => ErrorCode::KafkaStorageError,
            ProduceError::TimedOut => ErrorCode::RequestTimedOut,
        }
    }
}

impl From<AppendError> for ErrorCode {
    fn from(error: AppendError) -> ErrorCode {
        match error {
            AppendError::Batch(error) => error.into(),
            AppendError::Empty => ErrorCode::InvalidRecord,
            AppendError::LargerThanSegment => ErrorCode::RecordListTooLarge,
            AppendError::Busy | AppendError::NotOpen => ErrorCode::NotLeaderOrFollower,
            AppendError::Failed => ErrorCode::KafkaStorageError,
            AppendError::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
            AppendError::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            AppendError::CoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
            AppendError::NoTransaction | AppendError::TransactionOpen => ErrorCode::InvalidTxnState,
            AppendError::TooManyTransactions => ErrorCode::PolicyViolation,
        }
    }
}

impl From<BatchError> for ErrorCode {
    fn from(error: BatchError) -> ErrorCode {
        match error.fault() {
            BatchFault::Corrupt => ErrorCode::CorruptMessage,
            BatchFault::Invalid => ErrorCode::InvalidRecord,
            BatchFault::Timestamp => ErrorCode::InvalidTimestamp,
            BatchFault::TooLarge => ErrorCode::MessageTooLarge,
            BatchFault::Codec => ErrorCode::UnsupportedCompressionType,
            BatchFault::Format => ErrorCode::UnsupportedForMessageFormat,
        }
    }
}

impl From<DeleteRecordsError> for ErrorCode {
    fn from(error: DeleteRecordsError) -> ErrorCode {
        match error {
            DeleteRecordsError::Policy => ErrorCode::PolicyViolation,
            DeleteRecordsError::Fetch(error) => error.into(),
        }
    }
}

impl From<FetchError> for ErrorCode {
    fn from(error: FetchError) -> ErrorCode {
        match error {
            FetchError::NotLeader => ErrorCode::NotLeaderOrFollower,
            FetchError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            FetchError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            FetchError::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
            FetchError::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
            FetchError::Read(error) => match error {
                ReadError::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
                ReadError::Corrupt => ErrorCode::CorruptMessage,
                ReadError::Disk(_) => ErrorCode::KafkaStorageError,
                ReadError::NotOpen => ErrorCode::NotLeaderOrFollower,
            },
        }
    }
}
