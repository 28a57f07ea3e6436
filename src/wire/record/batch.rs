// SPDX-License-Identifier: Apache-2.0
//! The header of a record batch: reading it, cutting a run of batches apart, patching what the
//! broker may patch.
//!
//! Owns: [`BatchHeader`], [`Attributes`], [`Batches`].
//! Invariants: parsing reads 61 bytes and reserves nothing; only `base_offset`, `batch_length` and
//! `partition_leader_epoch` lie outside the checksum, so whatever else is patched computes it anew.
//! Runs on: every core (pure). Bounded by: `limits::RECORD_BATCH_BYTES_MAX`.

use super::compression::Compression;
use super::error::BatchError;
use crate::limits::RECORD_BATCH_BYTES_MAX;
use crate::model::topic_config::TimestampType;
use crate::wire::checksum::crc32c;
use bytes::Bytes;

/// Bytes of the fixed part of a batch.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes up to and including `batch_length`, which that field does not count.
pub const LOG_OVERHEAD_BYTES: usize = 12;

pub(super) const BATCH_LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// Where the bytes begin that the checksum covers.
pub(super) const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// The only record format that is stored and sent.
pub const MAGIC: i8 = 2;

const CODEC_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    /// The codec of the records.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let code = self.0 & CODEC_MASK;
        Compression::from_code(code).ok_or(BatchError::UnknownCodec { code })
    }

    /// Whose clock the timestamps are from.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL_BIT != 0
    }

    /// Written by the broker for itself, never shown to consumers.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & CONTROL_BIT != 0
    }

    /// `base_timestamp` is the delete horizon of a compacted batch (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }

    /// The same bits, with that one.
    #[must_use]
    pub fn with_delete_horizon(self) -> Attributes {
        Attributes(self.0 | DELETE_HORIZON_BIT)
    }

    /// The bits of a batch made here.
    #[must_use]
    pub fn new(compression: Compression, is_transactional: bool, is_control: bool) -> Attributes {
        let mut bits = compression.code();
        if is_transactional {
            bits |= TRANSACTIONAL_BIT;
        }
        if is_control {
            bits |= CONTROL_BIT;
        }
        Attributes(bits)
    }
}

/// The fixed part of a batch, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// The record format, always 2.
    pub magic: i8,
    /// CRC-32C from `attributes` to the end.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record, relative to `base_offset`. Compaction keeps it.
    pub last_offset_delta: i32,
    /// What the timestamps of the records are relative to.
    pub base_timestamp: i64,
    /// The largest timestamp of the batch, or the append time.
    pub max_timestamp: i64,
    /// Producer id, -1 for none.
    pub producer_id: i64,
    /// Producer epoch, -1 for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 for none.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

fn array_at<const N: usize>(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    *bytes[at..]
        .first_chunk()
        .expect("every field lies inside the header")
}

impl BatchHeader {
    /// Reads the header of a batch and checks that its lengths are sane; the checksum and the
    /// records are not looked at, and the rest of the batch need not be there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let found = bytes.len();
        // The magic byte has the same place in all formats; the older ones have shorter headers.
        if let Some(&byte) = bytes.get(MAGIC_AT) {
            let magic = byte.cast_signed();
            if magic != MAGIC {
                return Err(BatchError::Magic { magic });
            }
        }
        let Some(fixed) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Truncated {
                needed: BATCH_HEADER_BYTES,
                found,
            });
        };
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(array_at(fixed, 0)),
            batch_length: i32::from_be_bytes(array_at(fixed, BATCH_LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(array_at(fixed, LEADER_EPOCH_AT)),
            magic: MAGIC,
            crc: u32::from_be_bytes(array_at(fixed, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(array_at(fixed, ATTRIBUTES_AT))),
            last_offset_delta: i32::from_be_bytes(array_at(fixed, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(array_at(fixed, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(array_at(fixed, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(array_at(fixed, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(array_at(fixed, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(array_at(fixed, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(array_at(fixed, RECORD_COUNT_AT)),
        };
        header.check_lengths()?;
        Ok(header)
    }

    fn check_lengths(&self) -> Result<(), BatchError> {
        let size = usize::try_from(self.batch_length).map(|length| length + LOG_OVERHEAD_BYTES);
        match size {
            Ok(size) if (BATCH_HEADER_BYTES..=RECORD_BATCH_BYTES_MAX).contains(&size) => {}
            _ => {
                return Err(BatchError::Length {
                    batch_length: self.batch_length,
                });
            }
        }
        if self.last_offset_delta < 0 {
            return Err(BatchError::OffsetDelta {
                last_offset_delta: self.last_offset_delta,
            });
        }
        if self.record_count < 0 {
            return Err(BatchError::Count {
                record_count: self.record_count,
                last_offset_delta: self.last_offset_delta,
            });
        }
        Ok(())
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + usize::try_from(self.batch_length).expect("parse checked the length")
    }

    /// Offset of the last record (the largest offset there is, where a lying header would pass it).
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record; after the largest `i32` Kafka goes on with 0.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// Sets what the leader decides at the append. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been validated.
pub fn patch_offsets(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(
        batch.len() >= BATCH_HEADER_BYTES,
        "a validated batch has its header"
    );
    batch[..BATCH_LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Makes the broker's clock the timestamp of every record, and computes the checksum anew.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been validated.
pub fn set_log_append_time(batch: &mut [u8], wall_ms: i64) {
    assert!(
        batch.len() >= BATCH_HEADER_BYTES,
        "a validated batch has its header"
    );
    // The bit lies in the low byte of the big-endian field.
    batch[ATTRIBUTES_AT + 1] |= TIMESTAMP_TYPE_BIT.to_be_bytes()[1];
    set_max_timestamp(batch, wall_ms);
}

/// Sets `max_timestamp` and computes the checksum anew.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been validated.
pub fn set_max_timestamp(batch: &mut [u8], max_timestamp: i64) {
    assert!(
        batch.len() >= BATCH_HEADER_BYTES,
        "a validated batch has its header"
    );
    batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&max_timestamp.to_be_bytes());
    seal(batch);
}

/// Computes the checksum of a batch and stores it.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Cuts a run of batches apart.
#[must_use]
pub fn split_batches(records: &Bytes) -> Batches {
    Batches {
        rest: records.clone(),
    }
}

/// The batches of a run, each a slice of it. Ends after the first error. A batch cut off at the end
/// of the run (a fetch may end so) is [`BatchError::Truncated`].
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// Bytes not yet given out.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn step(&mut self) -> Result<Bytes, BatchError> {
        let size = BatchHeader::parse(&self.rest)?.size_bytes();
        if size > self.rest.len() {
            return Err(BatchError::Truncated {
                needed: size,
                found: self.rest.len(),
            });
        }
        Ok(self.rest.split_to(size))
    }
}

impl Iterator for Batches {
    type Item = Result<Bytes, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = Bytes::new();
        }
        Some(step)
    }
}
