// SPDX-License-Identifier: Apache-2.0
//! Record batches, good and odd ones, and what a fetch brought back in words.
//!
//! Owns: [`Batch`], [`told`]. Invariants: a batch that was changed has a right checksum again,
//! unless it is the checksum that is to be wrong.
//! Runs on: the test's thread. Bounded by: the case.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// When records were made unless a case says otherwise.
pub const THEN_MS: i64 = 1_700_000_000_000;

/// Places in the header of a batch.
pub mod place {
    pub const BASE_OFFSET: usize = 0;
    pub const LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const FIRST_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const COUNT: usize = 57;
    pub const RECORDS: usize = 61;
}

/// A batch in the making.
#[derive(Clone)]
pub struct Batch {
    records: Vec<Record>,
    codec: Compression,
}

impl Batch {
    /// Records with these values and without keys.
    pub fn of(values: &[&str]) -> Batch {
        Batch::keyed(
            &values
                .iter()
                .map(|value| (None, *value))
                .collect::<Vec<_>>(),
        )
    }

    /// Records with these keys and values.
    pub fn keyed(pairs: &[(Option<&str>, &str)]) -> Batch {
        let record = |(place, (key, value)): (i32, &(Option<&str>, &str))| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(place),
            sequence: place - 1,
            timestamp: THEN_MS + i64::from(place),
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        };
        Batch {
            records: (0..).zip(pairs).map(record).collect(),
            codec: Compression::None,
        }
    }

    /// In this codec.
    pub fn codec(mut self, codec: Compression) -> Batch {
        self.codec = codec;
        self
    }

    /// Of this idempotent producer.
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Batch {
        for (place, record) in (0..).zip(&mut self.records) {
            record.producer_id = id;
            record.producer_epoch = epoch;
            record.sequence = sequence + place;
        }
        self
    }

    /// Made at this time.
    pub fn at(mut self, timestamp: i64) -> Batch {
        for record in &mut self.records {
            record.timestamp = timestamp;
        }
        self
    }

    /// Changes a record.
    pub fn with(mut self, place: usize, change: impl Fn(&mut Record)) -> Batch {
        change(&mut self.records[place]);
        self
    }

    /// Changes all records.
    pub fn each(mut self, change: impl Fn(&mut Record)) -> Batch {
        self.records.iter_mut().for_each(change);
        self
    }

    /// The bytes.
    pub fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression: self.codec,
        };
        RecordBatchEncoder::encode(&mut bytes, &self.records, &options).expect("encodes");
        bytes.freeze()
    }

    /// The bytes after a change, with a right checksum.
    pub fn patched(&self, change: impl Fn(&mut Vec<u8>)) -> Bytes {
        let mut bytes = self.bytes().to_vec();
        change(&mut bytes);
        let sum = crc32c::crc32c(&bytes[place::ATTRIBUTES..]);
        bytes[place::CRC..place::CRC + 4].copy_from_slice(&sum.to_be_bytes());
        bytes.into()
    }
}

/// Overwrites bytes.
pub fn put<const N: usize>(bytes: &mut [u8], place: usize, value: [u8; N]) {
    bytes[place..place + N].copy_from_slice(&value);
}

/// What a fetch brought back in words: header and records of each batch. The checksum and the
/// length of compressed batches are the codec's matter.
pub fn told(records: &Option<Bytes>) -> Option<Bytes> {
    let mut bytes = records.clone()?;
    let mut words = String::new();
    while bytes.len() > place::RECORDS {
        let length = i32::from_be_bytes(four(&bytes, place::LENGTH));
        let size = usize::try_from(length).unwrap_or(0) + 12;
        if size > bytes.len() {
            break;
        }
        words.push_str(&batch_told(&bytes.split_to(size)));
    }
    if !bytes.is_empty() {
        words.push_str("; part of a batch");
    }
    Some(Bytes::from(words))
}

fn four(bytes: &[u8], place: usize) -> [u8; 4] {
    bytes[place..place + 4].try_into().expect("four bytes")
}

fn eight(bytes: &[u8], place: usize) -> [u8; 8] {
    bytes[place..place + 8].try_into().expect("eight bytes")
}

fn batch_told(bytes: &Bytes) -> String {
    let attributes = i16::from_be_bytes([bytes[place::ATTRIBUTES], bytes[place::ATTRIBUTES + 1]]);
    let sum = u32::from_be_bytes(four(bytes, place::CRC));
    let is_stamped = attributes & 8 != 0;
    let mut words = format!(
        "; batch at {} epoch {} magic {} attributes {attributes} deltas to {} count {} crc {}",
        i64::from_be_bytes(eight(bytes, place::BASE_OFFSET)),
        i32::from_be_bytes(four(bytes, place::LEADER_EPOCH)),
        bytes[place::MAGIC],
        i32::from_be_bytes(four(bytes, place::LAST_OFFSET_DELTA)),
        i32::from_be_bytes(four(bytes, place::COUNT)),
        if sum == crc32c::crc32c(&bytes[place::ATTRIBUTES..]) {
            "right"
        } else {
            "wrong"
        },
    );
    if !is_stamped {
        words.push_str(&format!(
            " times {} {}",
            i64::from_be_bytes(eight(bytes, place::FIRST_TIMESTAMP)),
            i64::from_be_bytes(eight(bytes, place::MAX_TIMESTAMP)),
        ));
    }
    let decoded = RecordBatchDecoder::decode(&mut bytes.clone());
    let Ok(set) = decoded else {
        return words + " not decoded";
    };
    for record in set.records {
        words.push_str(&format!(
            " ({} {:?} {:?}{})",
            record.offset,
            record.key,
            record.value,
            if is_stamped {
                String::new()
            } else {
                format!(" {}", record.timestamp)
            },
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_whole() {
        let batch = Batch::keyed(&[(Some("k"), "a"), (None, "b")]);
        let words = told(&Some(batch.bytes())).expect("there");
        let words = std::str::from_utf8(&words).expect("text");
        assert!(
            words.contains("count 2 crc right times 1700000000000 1700000000001"),
            "{words}"
        );
        assert!(
            words.contains("(1 None Some(b\"b\") 1700000000001)"),
            "{words}"
        );
        let cut = batch.bytes().slice(..70);
        assert_eq!(told(&Some(cut)), Some(Bytes::from("; part of a batch")));
        assert_eq!(told(&None), None);
    }

    #[test]
    fn a_patched_batch_has_a_right_checksum() {
        let bytes =
            Batch::of(&["a"]).patched(|bytes| put(bytes, place::PRODUCER_ID, 7i64.to_be_bytes()));
        let words = told(&Some(bytes)).expect("there");
        assert!(
            std::str::from_utf8(&words)
                .expect("text")
                .contains("crc right")
        );
    }
}
