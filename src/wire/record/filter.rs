// SPDX-License-Identifier: Apache-2.0
//! Keeping some records of a batch, as compaction does.
//!
//! Owns: [`retain_records`], [`without_records`], [`with_delete_horizon`].
//! Invariants: what is left of a batch keeps base offset, last offset, producer and sequence; a
//! record that stays keeps its offset, its timestamp and every other byte that a consumer sees.
//! Offsets inside become sparse.
//! Runs on: every core (pure). Bounded by: the limit that the caller names for the opened block.

use bytes::Bytes;

use super::batch::{
    ATTRIBUTES_AT, Attributes, BATCH_HEADER_BYTES, BATCH_LENGTH_AT, BatchHeader,
    LOG_OVERHEAD_BYTES, MAX_TIMESTAMP_AT, seal,
};
use super::compression::{Compression, compress};
use super::error::{BatchError, RecordFault};
use super::iterate::{RecordView, records};
use super::varint::{Cursor, put_varint, varint_len};
use crate::limits::RECORD_BATCH_BYTES_MAX;
use crate::model::topic_config::TimestampType;

const BASE_TIMESTAMP_AT: usize = 27;
const RECORD_COUNT_AT: usize = 57;

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// All of it: its bytes stay as they are.
    Whole,
    /// Some of its records, or a delete horizon had to be set: these bytes stand for it.
    Part(Vec<u8>),
    /// No record.
    Nothing,
}

/// A record that stays.
struct Kept {
    start: usize,
    end: usize,
    timestamp: i64,
}

/// Keeps the records that `keep` wants, in the codec of the batch. If a tombstone stays and the
/// batch has no delete horizon yet, it gets `horizon_ms` (KIP-534).
pub fn retain_records(
    batch: &Bytes,
    limit_bytes: usize,
    horizon_ms: i64,
    keep: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<Retained, BatchError> {
    retain(batch, limit_bytes, horizon_ms, false, keep)
}

/// Keeps all of a batch, which gets this delete horizon if it has none: the marker of a transaction
/// of which nothing else is left (KIP-534).
pub fn with_delete_horizon(
    batch: &Bytes,
    limit_bytes: usize,
    horizon_ms: i64,
) -> Result<Retained, BatchError> {
    retain(batch, limit_bytes, horizon_ms, true, |_| true)
}

fn retain(
    batch: &Bytes,
    limit_bytes: usize,
    horizon_ms: i64,
    goes_later: bool,
    mut keep: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<Retained, BatchError> {
    let opened = records(batch, limit_bytes)?;
    let header = *opened.header();
    let plain = opened.plain();
    let mut kept: Vec<Kept> = Vec::new();
    let (mut is_whole, mut has_tombstone) = (true, goes_later);
    let mut walk = opened.iter();
    loop {
        let start = plain.len() - walk.remaining();
        let Some(record) = walk.next() else { break };
        let record = record?;
        if keep(&record) {
            has_tombstone |= record.value.is_none();
            kept.push(Kept {
                start,
                end: plain.len() - walk.remaining(),
                timestamp: record.timestamp,
            });
        } else {
            is_whole = false;
        }
    }
    if kept.is_empty() {
        return Ok(Retained::Nothing);
    }
    let wants_horizon = has_tombstone && !header.attributes.has_delete_horizon();
    let moved = if wants_horizon {
        based_on(plain, &kept, &header, horizon_ms)?
    } else {
        None
    };
    if is_whole && moved.is_none() {
        return Ok(Retained::Whole);
    }
    let horizon = moved.as_ref().map(|_| horizon_ms);
    let body = moved.unwrap_or_else(|| {
        let parts = kept.iter().map(|record| &plain[record.start..record.end]);
        parts.collect::<Vec<_>>().concat()
    });
    let largest = kept.iter().map(|record| record.timestamp).max();
    let largest =
        largest.filter(|_| header.attributes.timestamp_type() == TimestampType::CreateTime);
    let count = i32::try_from(kept.len()).expect("no more than the batch had");
    rebuilt(batch, &header, &body, count, horizon, largest)
}

/// The records with timestamps relative to `horizon_ms`; nothing if one is too far from it for its
/// timestamp to stay what it is.
fn based_on(
    plain: &[u8],
    kept: &[Kept],
    header: &BatchHeader,
    horizon_ms: i64,
) -> Result<Option<Vec<u8>>, BatchError> {
    let mut out = Vec::with_capacity(plain.len());
    for (index, record) in kept.iter().enumerate() {
        let bytes = &plain[record.start..record.end];
        let delta = move_record(bytes, header.base_timestamp, horizon_ms, &mut out);
        let delta = delta.map_err(|fault| BatchError::Record {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            fault,
        })?;
        let is_same = delta.and_then(|delta| horizon_ms.checked_add(delta));
        let is_same = is_same == Some(record.timestamp)
            || header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        if !is_same {
            return Ok(None);
        }
    }
    Ok(Some(out))
}

/// Copies one record with its timestamp relative to another moment; the new distance, if it fits.
fn move_record(
    bytes: &[u8],
    from_ms: i64,
    to_ms: i64,
    out: &mut Vec<u8>,
) -> Result<Option<i64>, RecordFault> {
    let mut cursor = Cursor::new(bytes);
    cursor.varint()?;
    let attributes = cursor.byte()?;
    let old = cursor.varlong()?;
    let rest = cursor.take(cursor.remaining())?;
    let moved = from_ms.checked_sub(to_ms);
    let moved = moved.and_then(|distance| old.checked_add(distance));
    let delta = moved.unwrap_or(0);
    let length = 1 + varint_len(delta) + rest.len();
    put_varint(out, i64::try_from(length).expect("memory is smaller"));
    out.push(attributes);
    put_varint(out, delta);
    out.extend_from_slice(rest);
    Ok(moved)
}

fn rebuilt(
    batch: &[u8],
    header: &BatchHeader,
    body: &[u8],
    count: i32,
    horizon: Option<i64>,
    largest_timestamp: Option<i64>,
) -> Result<Retained, BatchError> {
    let codec = header.attributes.compression()?;
    let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + body.len());
    out.extend_from_slice(&batch[..BATCH_HEADER_BYTES]);
    compress(codec, body, &mut out);
    if out.len() > RECORD_BATCH_BYTES_MAX {
        // Packed worse than it came: what it was is right as well, only longer.
        return Ok(Retained::Whole);
    }
    let length = i32::try_from(out.len() - LOG_OVERHEAD_BYTES).expect("below the limit");
    put(&mut out, BATCH_LENGTH_AT, &length.to_be_bytes());
    put(&mut out, RECORD_COUNT_AT, &count.to_be_bytes());
    if let Some(horizon) = horizon {
        let attributes = header.attributes.with_delete_horizon();
        put(&mut out, ATTRIBUTES_AT, &attributes.0.to_be_bytes());
        put(&mut out, BASE_TIMESTAMP_AT, &horizon.to_be_bytes());
    }
    if let Some(largest) = largest_timestamp {
        put(&mut out, MAX_TIMESTAMP_AT, &largest.to_be_bytes());
    }
    seal(&mut out);
    Ok(Retained::Part(out))
}

fn put(out: &mut [u8], at: usize, field: &[u8]) {
    out[at..at + field.len()].copy_from_slice(field);
}

/// A batch without a record that keeps the place of this one: its offsets, and its producer's
/// sequence.
#[must_use]
pub fn without_records(batch: &[u8]) -> Vec<u8> {
    let header = BatchHeader::parse(batch).expect("the caller has a whole batch");
    let mut out = batch[..BATCH_HEADER_BYTES].to_vec();
    let length = i32::try_from(BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES).expect("49");
    put(&mut out, BATCH_LENGTH_AT, &length.to_be_bytes());
    let attributes = Attributes(header.attributes.0 & !0x47 | Compression::None.code());
    put(&mut out, ATTRIBUTES_AT, &attributes.0.to_be_bytes());
    put(&mut out, BASE_TIMESTAMP_AT, &(-1i64).to_be_bytes());
    put(&mut out, RECORD_COUNT_AT, &0i32.to_be_bytes());
    seal(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DECOMPRESSED_BYTES_MAX;
    use crate::wire::record::{BatchBuilder, BatchRules, validate_batch};
    use proptest::prelude::*;

    type Seen = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn seen(batch: &Bytes) -> Vec<Seen> {
        let opened = records(batch, DECOMPRESSED_BYTES_MAX).expect("opens");
        opened
            .iter()
            .map(|record| {
                let record = record.expect("good records");
                let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                (
                    record.offset,
                    record.timestamp,
                    own(record.key),
                    own(record.value),
                )
            })
            .collect()
    }

    fn batch(codec: Compression, records: &[(i64, Option<Vec<u8>>)]) -> Bytes {
        let mut builder = BatchBuilder::new(codec);
        builder.offsets(1000, 7).producer(4, 2, 90);
        for (place, (timestamp, value)) in records.iter().enumerate() {
            let key = [u8::try_from(place % 251).expect("small")];
            builder.append(
                *timestamp,
                Some(&key),
                value.as_deref(),
                &[(b"h", Some(b"v"))],
            );
        }
        builder.build()
    }

    fn check_header(part: &Bytes, whole: &Bytes) -> BatchHeader {
        let part_header = BatchHeader::parse(part).expect("parses");
        let header = BatchHeader::parse(whole).expect("parses");
        assert_eq!(part_header.size_bytes(), part.len());
        assert_eq!(
            part_header.crc,
            crate::wire::checksum::crc32c(&part[ATTRIBUTES_AT..])
        );
        assert_eq!(part_header.base_offset, header.base_offset);
        assert_eq!(part_header.last_offset(), header.last_offset());
        assert_eq!(part_header.partition_leader_epoch, 7);
        assert_eq!(part_header.producer_id, 4);
        assert_eq!(part_header.producer_epoch, 2);
        assert_eq!(part_header.base_sequence, 90);
        assert_eq!(part_header.last_sequence(), header.last_sequence());
        part_header
    }

    proptest! {
        /// Whatever is kept stays what it was, in every codec, with and without tombstones.
        #[test]
        fn what_stays_is_what_it_was(
            code in 0i16..5,
            given in proptest::collection::vec(
                (any::<i32>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))),
                1..30,
            ),
            wanted in proptest::collection::vec(any::<bool>(), 30),
            horizon in 1_600_000_000_000i64..1_800_000_000_000,
        ) {
            let codec = Compression::from_code(code).expect("a codec");
            let given: Vec<_> = given
                .into_iter()
                .map(|(timestamp, value)| (i64::from(timestamp), value))
                .collect();
            let whole = batch(codec, &given);
            let keep = |offset: i64| wanted[usize::try_from(offset - 1000).expect("small")];
            let expected: Vec<Seen> = seen(&whole)
                .into_iter()
                .filter(|(offset, ..)| keep(*offset))
                .collect();
            let tombstone = expected.iter().any(|(.., value)| value.is_none());
            let result = retain_records(&whole, DECOMPRESSED_BYTES_MAX, horizon, |record| {
                keep(record.offset)
            }).expect("good bytes");
            match result {
                Retained::Nothing => prop_assert!(expected.is_empty()),
                Retained::Whole => {
                    prop_assert_eq!(expected.len(), given.len());
                    prop_assert!(!tombstone);
                }
                Retained::Part(part) => {
                    let part = Bytes::from(part);
                    let header = check_header(&part, &whole);
                    prop_assert_eq!(header.attributes.compression(), Ok(codec));
                    prop_assert_eq!(header.attributes.has_delete_horizon(), tombstone);
                    if tombstone {
                        prop_assert_eq!(header.base_timestamp, horizon);
                    }
                    let largest = expected.iter().map(|(_, timestamp, ..)| *timestamp).max();
                    prop_assert_eq!(Some(header.max_timestamp), largest);
                    let opened = BatchRules { open_compressed: true, ..BatchRules::STORED };
                    let valid = validate_batch(&part, &opened);
                    prop_assert_eq!(valid, Ok(header));
                    let is_sparse = expected.len() < given.len();
                    prop_assert_eq!(validate_batch(&part, &BatchRules::BROKER).is_err(), is_sparse);
                    prop_assert_eq!(seen(&part), expected);
                }
            }
        }
    }

    #[test]
    fn a_horizon_is_set_once() {
        let whole = batch(Compression::None, &[(5, None), (6, None)]);
        let first = retain_records(&whole, 1 << 20, 100, |_| true).expect("good");
        let Retained::Part(first) = first else {
            panic!("it gets its horizon")
        };
        let again = retain_records(&first.into(), 1 << 20, 900, |_| true).expect("good");
        assert_eq!(again, Retained::Whole);
    }

    #[test]
    fn a_timestamp_too_far_from_the_horizon_stays_and_the_batch_has_none() {
        let whole = batch(Compression::None, &[(i64::MIN, None)]);
        let kept = retain_records(&whole, 1 << 20, i64::MAX, |_| true).expect("good");
        assert_eq!(kept, Retained::Whole);
    }

    #[test]
    fn a_batch_without_records_keeps_its_place_and_its_sequence() {
        let whole = batch(Compression::Zstd, &[(5, None), (6, Some(vec![1]))]);
        let empty = Bytes::from(without_records(&whole));
        let header = check_header(&empty, &whole);
        assert_eq!((header.record_count, header.max_timestamp), (0, 6));
        assert_eq!(header.attributes.compression(), Ok(Compression::None));
        assert_eq!(validate_batch(&empty, &BatchRules::STORED), Ok(header));
        assert_eq!(seen(&empty), []);
        let kept = retain_records(&empty, 1 << 20, 9, |_| true).expect("good");
        assert_eq!(kept, Retained::Nothing);
    }
}
