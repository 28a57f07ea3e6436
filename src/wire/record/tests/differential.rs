// SPDX-License-Identifier: Apache-2.0
//! Our record batches against those of the crate `kafka-protocol`, in both directions and for every
//! codec.
//!
//! Owns: the comparison. Invariants: none. Runs on: the test runner. Bounded by: proptest's cases.

use super::*;
use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

fn their_records(plain: &[Plain], base_offset: i64) -> Vec<theirs::Record> {
    (0i32..)
        .zip(plain)
        .map(|(index, record)| theirs::Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 4,
            producer_id: 9,
            producer_epoch: 1,
            timestamp_type: theirs::TimestampType::Creation,
            offset: base_offset + i64::from(index),
            sequence: 50 + index,
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: record.value.clone().map(Bytes::from),
            headers: record
                .headers
                .iter()
                .map(|(k, v)| (StrBytes::from_string(k.clone()), v.clone().map(Bytes::from)))
                .collect(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn we_read_what_they_write(
        codec in any_codec(),
        plain in vec(any_plain(), 1..8),
        base_offset in 0..1_000_000i64,
    ) {
        let mut buffer = BytesMut::new();
        let options = theirs::RecordEncodeOptions { version: 2, compression: their_codec(codec) };
        let records = their_records(&plain, base_offset);
        theirs::RecordBatchEncoder::encode(&mut buffer, &records, &options).unwrap();
        let batch = buffer.freeze();
        let header = validate_batch(&batch, &thorough()).unwrap();
        prop_assert_eq!((header.base_offset, header.partition_leader_epoch), (base_offset, 4));
        let producer = (header.producer_id, header.producer_epoch, header.base_sequence);
        prop_assert_eq!(producer, (9, 1, 50));
        prop_assert_eq!(header.attributes.compression(), Ok(codec));
        prop_assert_eq!(read_back(&batch).unwrap(), plain);
    }

    #[test]
    fn they_read_what_we_write(
        codec in any_codec(),
        plain in vec(any_plain(), 1..8),
        base_offset in 0..1_000_000i64,
    ) {
        let mut builder = builder_of(codec, &plain);
        builder.producer(9, 1, 50).offsets(base_offset, 4);
        let mut batch = builder.build();
        let set = theirs::RecordBatchDecoder::decode(&mut batch).unwrap();
        prop_assert!(batch.is_empty());
        prop_assert_eq!(set.compression, their_codec(codec));
        prop_assert_eq!(set.records, their_records(&plain, base_offset));
    }
}
