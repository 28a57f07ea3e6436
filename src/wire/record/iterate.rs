// SPDX-License-Identifier: Apache-2.0
//! Reading the records of a batch.
//!
//! Owns: [`Records`], [`RecordView`], [`Headers`], and the walk that validation shares.
//! Invariants: a record is given out only after all of it was checked; keys, values and headers are
//! slices of the batch or of its opened block; the number of records is what the header says, or
//! the last item is an error.
//! Runs on: every core (pure). Bounded by: the limit that the caller names for the opened block.

use super::batch::{BATCH_HEADER_BYTES, BatchHeader};
use super::compression::{Compression, decompress};
use super::error::{BatchError, RecordFault};
use super::varint::Cursor;
use crate::model::topic_config::TimestampType;
use bytes::Bytes;

/// Fewest bytes of a record header: an empty name and a null value.
const HEADER_BYTES_MIN: usize = 2;

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or -1; the append time where the batch carries that.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers (KIP-82).
    pub headers: Headers<'a>,
}

/// The headers of one record: names and values.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    count: usize,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        self.count -= 1;
        // The record was checked when it was read, so neither is missing.
        let name = self.cursor.nullable_bytes().ok()??;
        let value = self.cursor.nullable_bytes().ok()?;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// A record before the base values of its batch are added.
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

/// Reads one record, its length field included, and checks every part of it.
pub(super) fn read_record<'a>(cursor: &mut Cursor<'a>) -> Result<RawRecord<'a>, RecordFault> {
    let length = usize::try_from(cursor.varint()?).map_err(|_| RecordFault::Length)?;
    let mut body = Cursor::new(cursor.take(length)?);
    // The attributes of a record are unused; Kafka ignores them.
    body.byte()?;
    let timestamp_delta = body.varlong()?;
    let offset_delta = body.varint()?;
    let key = body.nullable_bytes()?;
    let value = body.nullable_bytes()?;
    let count = usize::try_from(body.varint()?).map_err(|_| RecordFault::HeaderCount)?;
    if count > body.remaining() / HEADER_BYTES_MIN {
        return Err(RecordFault::HeaderCount);
    }
    let headers = Headers {
        count,
        cursor: body,
    };
    for _ in 0..count {
        body.nullable_bytes()?.ok_or(RecordFault::Length)?;
        body.nullable_bytes()?;
    }
    if body.remaining() != 0 {
        return Err(RecordFault::Length);
    }
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

/// The records of one batch, opened.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    plain: Bytes,
}

/// Opens one batch. The checksum is not looked at (see `validate`). Compressed records may open to
/// at most `limit_bytes`.
pub fn records(batch: &Bytes, limit_bytes: usize) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let size = header.size_bytes();
    if batch.len() < size {
        return Err(BatchError::Truncated {
            needed: size,
            found: batch.len(),
        });
    }
    let body = batch.slice(BATCH_HEADER_BYTES..size);
    let plain = match header.attributes.compression()? {
        Compression::None => body,
        codec => Bytes::from(decompress(codec, &body, limit_bytes)?),
    };
    Ok(Records { header, plain })
}

impl Records {
    /// The header of the batch.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records, uncompressed.
    #[must_use]
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Goes through the records. Ends after the first error.
    #[must_use]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter {
            header: self.header,
            cursor: Cursor::new(&self.plain),
            index: 0,
            ended: false,
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<RecordView<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Goes through the records of a batch.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    cursor: Cursor<'a>,
    index: i32,
    ended: bool,
}

impl<'a> RecordIter<'a> {
    /// Bytes of records that were not given out yet.
    pub(super) fn remaining(&self) -> usize {
        self.cursor.remaining()
    }

    fn step(&mut self) -> Result<Option<RecordView<'a>>, RecordFault> {
        if self.index == self.header.record_count {
            return match self.cursor.remaining() {
                0 => Ok(None),
                _ => Err(RecordFault::TrailingBytes),
            };
        }
        let raw = read_record(&mut self.cursor)?;
        if !(0..=self.header.last_offset_delta).contains(&raw.offset_delta) {
            return Err(RecordFault::OffsetDelta);
        }
        let timestamp = match self.header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => self
                .header
                .base_timestamp
                .saturating_add(raw.timestamp_delta),
        };
        self.index += 1;
        Ok(Some(RecordView {
            offset: self
                .header
                .base_offset
                .saturating_add(i64::from(raw.offset_delta)),
            timestamp,
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        }))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.step() {
            Ok(Some(record)) => Some(Ok(record)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(fault) => {
                self.ended = true;
                Some(Err(BatchError::Record {
                    index: self.index,
                    fault,
                }))
            }
        }
    }
}
