// SPDX-License-Identifier: Apache-2.0
//! The records that one request makes.
//!
//! Owns: [`RecordList`]. Invariants: they become one batch, so all of them are committed or none;
//! what does not fit is refused before it is added. Runs on: the control shard.
//! Bounded by: `METADATA_BATCH_BYTES_MAX`.

use bytes::Bytes;

use super::allowance::Allowance;
use crate::limits::METADATA_BATCH_BYTES_MAX;
use crate::wire::schema::record::MetadataRecord;

/// Bytes that a batch spends on each record beside its value, at most.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// Records with their encoded form.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordList {
    records: Vec<MetadataRecord>,
    encoded: Vec<Bytes>,
    bytes: usize,
    /// Partitions that the request may make or take away.
    pub(super) allowance: Allowance,
}

impl RecordList {
    /// No records, of a request that may make or take away so many partitions.
    pub(super) fn within(allowance: Allowance) -> RecordList {
        RecordList {
            allowance,
            ..RecordList::default()
        }
    }

    /// Adds these records, or none of them if they would not fit.
    pub(super) fn extend(&mut self, records: Vec<MetadataRecord>) -> Result<(), TooLarge> {
        let mut bytes = self.bytes;
        let mut encoded = Vec::with_capacity(records.len());
        for record in &records {
            let value = record.encode();
            bytes += value.len() + RECORD_OVERHEAD_BYTES;
            if bytes > METADATA_BATCH_BYTES_MAX {
                return Err(TooLarge);
            }
            encoded.push(value);
        }
        self.bytes = bytes;
        self.records.extend(records);
        self.encoded.extend(encoded);
        Ok(())
    }

    /// The records and their encoded form.
    pub(super) fn into_parts(self) -> (Vec<MetadataRecord>, Vec<Bytes>) {
        (self.records, self.encoded)
    }
}

/// The records of one request would not fit one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("This request makes more metadata than is committed at once: split it.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Uuid;
    use crate::wire::schema::record::TopicConfigRecord;

    fn record(value_bytes: usize) -> MetadataRecord {
        MetadataRecord::TopicConfigRecord(TopicConfigRecord {
            topic_id: Uuid([1; 16]),
            name: "compression.type".into(),
            value: Some("x".repeat(value_bytes).into()),
        })
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let mut list = RecordList::default();
        assert_eq!(list.extend(vec![record(10), record(20)]), Ok(()));
        let large = vec![record(1), record(METADATA_BATCH_BYTES_MAX)];
        assert_eq!(list.extend(large), Err(TooLarge));
        let (records, encoded) = list.into_parts();
        assert_eq!((records.len(), encoded.len()), (2, 2));
        assert_eq!(MetadataRecord::decode(&encoded[1]), Ok(records[1].clone()));
    }
}
