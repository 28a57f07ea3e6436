// SPDX-License-Identifier: Apache-2.0
//! The control batch that ends a transaction in one partition (KIP-98).
//!
//! One record, never compressed. Big endian:
//! ```text
//! key    0  version           i16 |  0
//!        2  type              i16 |  0 the transaction is aborted, 1 it is committed
//! value  0  version           i16 |  0
//!        2  coordinator_epoch i32 |  leader epoch of the partition that keeps the transaction
//! ```
//! Later versions append fields, which are passed over.
//!
//! Owns: [`EndMarker`], its bytes. Invariants: what is no marker (another control record, or
//! damage) is none, never an error: its batch is kept as any other. Runs on: every core (pure).
//! Bounded by: one record.

use bytes::Bytes;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader};
use super::builder::BatchBuilder;
use super::compression::Compression;
use super::iterate::read_record;
use super::varint::Cursor;

/// More bytes than the records of a marker of version 0 have.
pub const MARKER_BYTES_MAX: usize = 64;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Committed, or aborted.
    pub is_commit: bool,
    /// Epoch of the coordinator that decided it.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// Reads the records of a control batch, of which there may be more than are needed.
    #[must_use]
    pub fn of_records(header: &BatchHeader, body: &[u8]) -> Option<EndMarker> {
        let attributes = header.attributes;
        if !attributes.is_control() || attributes.compression() != Ok(Compression::None) {
            return None;
        }
        let record = read_record(&mut Cursor::new(body)).ok()?;
        let (_version, kind) = record.key?.split_first_chunk::<2>()?;
        let (_version, epoch) = record.value?.split_first_chunk::<2>()?;
        let is_commit = match i16::from_be_bytes(*kind.first_chunk()?) {
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        Some(EndMarker {
            is_commit,
            coordinator_epoch: i32::from_be_bytes(*epoch.first_chunk()?),
        })
    }

    /// Reads a whole batch.
    #[must_use]
    pub fn of_batch(batch: &[u8]) -> Option<EndMarker> {
        let header = BatchHeader::parse(batch).ok()?;
        EndMarker::of_records(&header, batch.get(BATCH_HEADER_BYTES..)?)
    }

    /// The batch that ends the transaction of a producer.
    #[must_use]
    pub fn batch(&self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> Bytes {
        let kind = if self.is_commit { COMMIT } else { ABORT };
        let mut key = [0; 4];
        key[2..].copy_from_slice(&kind.to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(Compression::None);
        builder
            .producer(producer_id, producer_epoch, -1)
            .transactional()
            .control();
        builder.append(timestamp, Some(&key), Some(&value), &[]);
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchRules, validate_batch};

    #[test]
    fn a_marker_comes_back_and_has_kafkas_bytes() {
        for is_commit in [true, false] {
            let marker = EndMarker {
                is_commit,
                coordinator_epoch: 0x0102_0304,
            };
            let batch = marker.batch(77, 5, 1000);
            assert_eq!(EndMarker::of_batch(&batch), Some(marker));
            let header = validate_batch(&batch, &BatchRules::BROKER).expect("a good batch");
            assert!(header.attributes.is_control() && header.attributes.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (77, 5));
            assert_eq!(header.base_sequence, -1);
            let kind = u8::from(is_commit);
            let record = [32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 1, 2, 3, 4, 0];
            assert_eq!(batch[BATCH_HEADER_BYTES..], record);
            assert!(record.len() < MARKER_BYTES_MAX);
        }
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let marker = EndMarker {
            is_commit: true,
            coordinator_epoch: 9,
        };
        let batch = marker.batch(77, 5, 1000);
        for cut in 0..batch.len() {
            assert_eq!(EndMarker::of_batch(&batch[..cut]), None, "cut at {cut}");
        }
        // The message of a leader change is a control record, too.
        let mut other = batch.to_vec();
        other[BATCH_HEADER_BYTES + 8] = 2;
        assert_eq!(EndMarker::of_batch(&other), None);
        let mut plain = BatchBuilder::new(Compression::None);
        plain.append(0, Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
        assert_eq!(EndMarker::of_batch(&plain.build()), None);
    }

    #[test]
    fn longer_keys_and_values_of_later_versions_are_read() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.producer(1, 0, -1).transactional().control();
        builder.append(0, Some(&[0, 1, 0, 1, 9]), Some(&[0, 1, 0, 0, 0, 7, 1]), &[]);
        let found = EndMarker::of_batch(&builder.build());
        let wanted = EndMarker {
            is_commit: true,
            coordinator_epoch: 7,
        };
        assert_eq!(found, Some(wanted));
    }
}
