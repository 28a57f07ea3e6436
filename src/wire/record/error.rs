// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a record batch, in sentences.
//!
//! Owns: [`BatchError`]. Invariants: small, `Copy`, names no Kafka error code
//! ([`BatchError::fault`] gives the class from which the API layer picks one). Runs on: every core
//! (pure). Bounded by: its fields.

use super::compression::Compression;
use std::fmt;

/// Why a record batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes that the batch needs, as far as known.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// `batch_length` cannot be true.
    Length {
        /// The field.
        batch_length: i32,
    },
    /// Bytes follow the batch where exactly one batch was expected.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Another message format than v2.
    Magic {
        /// The field.
        magic: i8,
    },
    /// The checksum does not match.
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// `last_offset_delta` is negative.
    OffsetDelta {
        /// The field.
        last_offset_delta: i32,
    },
    /// `record_count` and `last_offset_delta` do not describe a fresh batch.
    Count {
        /// The field.
        record_count: i32,
        /// The field.
        last_offset_delta: i32,
    },
    /// The batch is larger than allowed.
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The codec bits name no codec.
    UnknownCodec {
        /// The bits.
        code: i16,
    },
    /// The compressed block does not open.
    Undecodable {
        /// The codec.
        codec: Compression,
    },
    /// The compressed block opens to more than the limit.
    OpensTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// A record is malformed.
    Record {
        /// Its place in the batch, from 0.
        index: i32,
        /// What is wrong.
        fault: RecordFault,
    },
    /// A control batch where none is allowed.
    Control,
    /// Producer id, epoch, sequence and flags do not fit together.
    Producer {
        /// The field.
        producer_id: i64,
        /// The field.
        producer_epoch: i16,
        /// The field.
        base_sequence: i32,
    },
    /// A timestamp is outside what is allowed, or the batch claims the broker's own timestamp type.
    Timestamp {
        /// The record, or -1 for the batch.
        index: i32,
        /// The timestamp.
        timestamp: i64,
    },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// The batch ends inside the record, or fewer records are there than the header says.
    Truncated,
    /// A variable-length integer is longer than its type.
    VarintTooLong,
    /// A length is negative, reaches past the record, or leaves bytes unread.
    Length,
    /// The offset delta is not the expected one.
    OffsetDelta,
    /// The number of headers is negative or cannot fit.
    HeaderCount,
    /// Bytes follow the last record.
    TrailingBytes,
    /// A compacted topic needs a key.
    KeyMissing,
}

/// The class of a [`BatchError`], from which an error code follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFault {
    /// Damaged bytes: Kafka's CORRUPT_MESSAGE.
    Corrupt,
    /// Well-formed, but breaks a rule: INVALID_RECORD.
    Invalid,
    /// INVALID_TIMESTAMP.
    Timestamp,
    /// MESSAGE_TOO_LARGE.
    TooLarge,
    /// UNSUPPORTED_COMPRESSION_TYPE.
    Codec,
    /// UNSUPPORTED_FOR_MESSAGE_FORMAT.
    Format,
}

impl BatchError {
    /// The class of this error.
    #[must_use]
    pub fn fault(&self) -> BatchFault {
        match self {
            BatchError::Truncated { .. }
            | BatchError::Length { .. }
            | BatchError::Checksum { .. }
            | BatchError::Undecodable { .. } => BatchFault::Corrupt,
            BatchError::TrailingBytes { .. }
            | BatchError::OffsetDelta { .. }
            | BatchError::Count { .. }
            | BatchError::Record { .. }
            | BatchError::Control
            | BatchError::Producer { .. } => BatchFault::Invalid,
            BatchError::TooLarge { .. } | BatchError::OpensTooLarge { .. } => BatchFault::TooLarge,
            BatchError::Timestamp { .. } => BatchFault::Timestamp,
            BatchError::UnknownCodec { .. } => BatchFault::Codec,
            BatchError::Magic { .. } => BatchFault::Format,
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use BatchError as E;
        match self {
            E::Truncated { needed, found } => {
                write!(
                    f,
                    "the record batch needs {needed} bytes and {found} are there"
                )
            }
            E::Length { batch_length } => {
                write!(
                    f,
                    "a record batch cannot have a batch_length of {batch_length}"
                )
            }
            E::TrailingBytes { count } => write!(f, "{count} bytes follow the record batch"),
            E::Magic { magic } => {
                write!(f, "record format {magic} is not supported, only format 2")
            }
            E::Checksum { stored, computed } => {
                write!(
                    f,
                    "its CRC-32C is said to be {stored:08x} and is {computed:08x}"
                )
            }
            E::UnknownCodec { code } => write!(f, "compression codec {code} does not exist"),
            E::Undecodable { codec } => {
                write!(f, "the {codec} block of the record batch does not open")
            }
            E::Record { index, fault } => write!(f, "record {index} of the batch: {fault}"),
            E::Control => f.write_str("a control batch is not allowed here"),
            broken_rule => broken_rule.fmt_rule(f),
        }
    }
}

impl BatchError {
    /// The sentences about well-formed batches that break a rule.
    fn fmt_rule(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::OffsetDelta { last_offset_delta } => {
                write!(
                    f,
                    "a record batch cannot have a last_offset_delta of {last_offset_delta}"
                )
            }
            BatchError::Count {
                record_count,
                last_offset_delta,
            } => write!(
                f,
                "a record_count of {record_count} contradicts a last_offset_delta of \
                 {last_offset_delta}"
            ),
            BatchError::TooLarge {
                size_bytes,
                limit_bytes,
            } => {
                write!(
                    f,
                    "the record batch has {size_bytes} bytes, {limit_bytes} are allowed"
                )
            }
            BatchError::OpensTooLarge { limit_bytes } => {
                write!(
                    f,
                    "the compressed record batch opens to more than {limit_bytes} bytes"
                )
            }
            BatchError::Producer {
                producer_id,
                producer_epoch,
                base_sequence,
            } => write!(
                f,
                "producer id {producer_id}, epoch {producer_epoch} and base sequence \
                 {base_sequence} do not fit together"
            ),
            BatchError::Timestamp { index, timestamp } => {
                write!(f, "timestamp {timestamp} of record {index} is not allowed")
            }
            _ => f.write_str("the record batch is damaged"),
        }
    }
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordFault::Truncated => "the bytes end inside it",
            RecordFault::VarintTooLong => "a variable-length integer is too long",
            RecordFault::Length => "a length does not fit",
            RecordFault::OffsetDelta => "its offset delta is not the expected one",
            RecordFault::HeaderCount => "its number of headers does not fit",
            RecordFault::TrailingBytes => "bytes follow the last record",
            RecordFault::KeyMissing => "it has no key, which a compacted topic needs",
        })
    }
}

impl std::error::Error for BatchError {}

const _: () = assert!(size_of::<BatchError>() <= 24);
