// SPDX-License-Identifier: Apache-2.0
//! The checks that a batch passes before it may enter a log.
//!
//! Owns: [`BatchRules`], [`validate_batch`].
//! Invariants: a batch that passes has exactly `record_count` well-formed records with offset
//! deltas 0, 1, 2, ... where its records are readable (uncompressed, or opened because the rules
//! say so), so a lying count never reaches a consumer. Reads only; reserves nothing unless the
//! rules have it open compressed batches.
//! Runs on: every core (pure). Bounded by: the rules.

use std::borrow::Cow;

use super::batch::{ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchHeader};
use super::compression::{Compression, decompress};
use super::error::{BatchError, RecordFault};
use super::iterate::{RawRecord, read_record};
use super::varint::Cursor;
use crate::limits::{DECOMPRESSED_BYTES_MAX, RECOMPRESSED_BYTES_MAX, RECORD_BATCH_BYTES_MAX};
use crate::model::topic_config::TimestampType;
use crate::wire::checksum::crc32c;

/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// What a batch must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// Largest size of the batch as it is sent (`max.message.bytes`).
    pub size_bytes_max: usize,
    /// Control batches pass. Clients may never send them.
    pub control_allowed: bool,
    /// The broker's own timestamp type passes. Clients may not claim it.
    pub log_append_time_allowed: bool,
    /// Smallest timestamp; a record without one always passes.
    pub timestamp_min: i64,
    /// Largest timestamp.
    pub timestamp_max: i64,
    /// Every record needs a key (compacted topics). Compressed batches are opened for it.
    pub key_required: bool,
    /// Compressed batches are opened and walked.
    pub open_compressed: bool,
    /// Offsets may be missing: compaction removed their records, of a stored batch even all.
    pub sparse_allowed: bool,
    /// What a compressed batch may open to.
    pub opened_bytes_max: usize,
}

impl BatchRules {
    /// What every client's batch must satisfy, whatever its topic says.
    pub const CLIENT: BatchRules = BatchRules {
        size_bytes_max: RECORD_BATCH_BYTES_MAX,
        control_allowed: false,
        log_append_time_allowed: false,
        timestamp_min: i64::MIN,
        timestamp_max: i64::MAX,
        key_required: false,
        open_compressed: false,
        sparse_allowed: false,
        opened_bytes_max: DECOMPRESSED_BYTES_MAX,
    };

    /// What a batch must satisfy that a broker wrote: recovery, replication, internal logs.
    pub const BROKER: BatchRules = BatchRules {
        control_allowed: true,
        log_append_time_allowed: true,
        ..BatchRules::CLIENT
    };

    /// What a batch must satisfy that is read from a log.
    pub const STORED: BatchRules = BatchRules {
        sparse_allowed: true,
        ..BatchRules::BROKER
    };
}

/// What a walk over a valid batch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBatch {
    /// The header as sent.
    pub header: BatchHeader,
    /// The largest timestamp of the records, where they were walked and carry the producer's time.
    /// Some clients send a `max_timestamp` that differs from it; Kafka corrects the header then
    /// (see `batch::set_max_timestamp`).
    pub largest_timestamp: Option<i64>,
}

/// Checks one fresh batch, which must be all of `batch`.
pub fn validate_batch(batch: &[u8], rules: &BatchRules) -> Result<BatchHeader, BatchError> {
    check_batch(batch, rules).map(|checked| checked.header)
}

/// Like [`validate_batch`], and says what the walk found.
pub fn check_batch(batch: &[u8], rules: &BatchRules) -> Result<CheckedBatch, BatchError> {
    let header = BatchHeader::parse(batch)?;
    check_size(&header, batch.len(), rules.size_bytes_max)?;
    let computed = crc32c(&batch[ATTRIBUTES_AT..]);
    if computed != header.crc {
        return Err(BatchError::Checksum {
            stored: header.crc,
            computed,
        });
    }
    check_header(&header, rules)?;
    let body = &batch[BATCH_HEADER_BYTES..];
    let largest_timestamp = match header.attributes.compression()? {
        Compression::None => Some(walk(body, &header, rules)?),
        codec if rules.open_compressed || rules.key_required => Some(walk(
            &decompress(codec, body, rules.opened_bytes_max)?,
            &header,
            rules,
        )?),
        _ => {
            check_timestamp(header.max_timestamp, -1, rules)?;
            None
        }
    };
    Ok(CheckedBatch {
        header,
        largest_timestamp,
    })
}

fn check_size(header: &BatchHeader, found: usize, limit_bytes: usize) -> Result<(), BatchError> {
    let size_bytes = header.size_bytes();
    if size_bytes > limit_bytes {
        return Err(BatchError::TooLarge {
            size_bytes,
            limit_bytes,
        });
    }
    if found < size_bytes {
        return Err(BatchError::Truncated {
            needed: size_bytes,
            found,
        });
    }
    if found > size_bytes {
        return Err(BatchError::TrailingBytes {
            count: found - size_bytes,
        });
    }
    Ok(())
}

/// The rules that concern the header alone.
fn check_header(header: &BatchHeader, rules: &BatchRules) -> Result<(), BatchError> {
    // parse() has refused negative deltas, so a count of zero fails here, too.
    let offsets = i64::from(header.last_offset_delta) + 1;
    let count = i64::from(header.record_count);
    if count != offsets && !(rules.sparse_allowed && count < offsets) {
        return Err(BatchError::Count {
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    let attributes = header.attributes;
    if attributes.is_control() && !rules.control_allowed {
        return Err(BatchError::Control);
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime && !rules.log_append_time_allowed
    {
        return Err(BatchError::Timestamp {
            index: -1,
            timestamp: header.max_timestamp,
        });
    }
    if !producer_fields_fit(header, rules) {
        return Err(BatchError::Producer {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        });
    }
    Ok(())
}

/// A producer id comes with an epoch, and with a sequence unless the broker wrote the batch; a
/// transaction has a producer.
fn producer_fields_fit(header: &BatchHeader, rules: &BatchRules) -> bool {
    if header.producer_id < 0 {
        return !header.attributes.is_transactional();
    }
    let attributes = header.attributes;
    let is_brokers = rules.control_allowed && attributes.is_transactional();
    header.producer_epoch >= 0
        && (header.base_sequence >= 0 || attributes.is_control() || is_brokers)
}

/// Walks readable records; returns their largest timestamp.
pub(super) fn walk(
    body: &[u8],
    header: &BatchHeader,
    rules: &BatchRules,
) -> Result<i64, BatchError> {
    let mut cursor = Cursor::new(body);
    let mut largest = NO_TIMESTAMP;
    let mut next_delta = 0;
    for index in 0..header.record_count {
        let at = |fault| BatchError::Record { index, fault };
        let record = read_record(&mut cursor).map_err(at)?;
        let last_delta = match rules.sparse_allowed {
            true => header.last_offset_delta,
            false => next_delta,
        };
        if !(next_delta..=last_delta).contains(&record.offset_delta) {
            return Err(at(RecordFault::OffsetDelta));
        }
        next_delta = record.offset_delta.saturating_add(1);
        largest = largest.max(check_record(&record, index, header, rules)?);
    }
    if cursor.remaining() != 0 {
        return Err(BatchError::Record {
            index: header.record_count,
            fault: RecordFault::TrailingBytes,
        });
    }
    Ok(largest)
}

/// What a well-formed record must satisfy; returns its timestamp.
fn check_record(
    record: &RawRecord<'_>,
    index: i32,
    header: &BatchHeader,
    rules: &BatchRules,
) -> Result<i64, BatchError> {
    if rules.key_required && record.key.is_none() && !header.attributes.is_control() {
        let fault = RecordFault::KeyMissing;
        return Err(BatchError::Record { index, fault });
    }
    let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
    check_timestamp(timestamp, index, rules)?;
    Ok(timestamp)
}

/// Every record of a refused batch that breaks a rule by itself (KIP-467), at most `limit` of them.
/// None if the batch is not even well-formed up to there.
#[must_use]
pub fn faulty_records(batch: &[u8], rules: &BatchRules, limit: usize) -> Vec<BatchError> {
    let mut faulty = Vec::new();
    let Ok(header) = BatchHeader::parse(batch) else {
        return faulty;
    };
    let body = &batch[BATCH_HEADER_BYTES..];
    let codec = header.attributes.compression();
    let limit_bytes = rules.opened_bytes_max.min(RECOMPRESSED_BYTES_MAX);
    let opened = codec.and_then(|codec| match codec {
        Compression::None => Ok(Cow::Borrowed(body)),
        codec => decompress(codec, body, limit_bytes).map(Cow::Owned),
    });
    let Ok(opened) = opened else {
        return faulty;
    };
    let mut cursor = Cursor::new(&opened);
    for index in 0..header.record_count {
        let Ok(record) = read_record(&mut cursor) else {
            break;
        };
        if let Err(error) = check_record(&record, index, &header, rules) {
            faulty.push(error);
        }
        if faulty.len() == limit {
            break;
        }
    }
    faulty
}

fn check_timestamp(timestamp: i64, index: i32, rules: &BatchRules) -> Result<(), BatchError> {
    let allowed = rules.timestamp_min..=rules.timestamp_max;
    if timestamp == NO_TIMESTAMP || allowed.contains(&timestamp) {
        return Ok(());
    }
    Err(BatchError::Timestamp { index, timestamp })
}
