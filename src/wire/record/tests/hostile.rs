// SPDX-License-Identifier: Apache-2.0
//! Hostile record batches: every lie is refused, nothing panics, memory stays bounded.
//!
//! Owns: forged batches. Invariants: none. Runs on: the test runner. Bounded by: proptest's cases.

use super::*;

const RECORD_COUNT: std::ops::Range<usize> = 57..61;
const LAST_OFFSET_DELTA: std::ops::Range<usize> = 23..27;

fn refused(batch: &Bytes) -> BatchError {
    validate_batch(batch, &thorough()).expect_err("the batch is a lie")
}

/// An uncompressed batch of one record with exactly these bytes after the header.
fn with_body(body: &[u8]) -> Bytes {
    forged(&batch_of(Compression::None, &["x"]), |bytes| {
        bytes.truncate(BATCH_HEADER_BYTES);
        bytes.extend_from_slice(body);
    })
}

#[test]
fn a_changed_byte_fails_the_checksum() {
    let batch = batch_of(Compression::Lz4, &["some", "lines"]);
    for at in 21..batch.len() {
        let mut bytes = batch.to_vec();
        bytes[at] ^= 0x40;
        assert!(
            validate_batch(&bytes, &BatchRules::CLIENT).is_err(),
            "byte {at}"
        );
    }
    let mut bytes = batch.to_vec();
    bytes[17] ^= 1;
    let error = validate_batch(&bytes, &BatchRules::CLIENT).unwrap_err();
    assert!(matches!(error, BatchError::Checksum { .. }));
    assert_eq!(error.fault(), BatchFault::Corrupt);
}

#[test]
fn a_lying_batch_length_is_refused() {
    let batch = batch_of(Compression::None, &["a"]);
    let truth = i32::try_from(batch.len() - 12).unwrap();
    for lie in [0, -1, i32::MIN, i32::MAX, 48, truth - 1, truth + 1] {
        let mut bytes = batch.to_vec();
        bytes[8..12].copy_from_slice(&lie.to_be_bytes());
        assert_eq!(
            refused(&Bytes::from(bytes.clone())).fault() == BatchFault::Corrupt,
            lie != truth - 1
        );
        assert!(
            split_batches(&Bytes::from(bytes)).any(|step| step.is_err()),
            "{lie}"
        );
    }
}

#[test]
fn a_lying_count_is_refused() {
    for codec in Compression::ALL {
        let batch = batch_of(codec, &["a", "b", "c"]);
        for lie in [i32::MIN, -1, 0, 2, 4, i32::MAX] {
            let count_only = forged(&batch, |bytes| {
                bytes[RECORD_COUNT].copy_from_slice(&lie.to_be_bytes());
            });
            assert!(matches!(refused(&count_only), BatchError::Count { .. }));
            // A consistent lie is found by the walk.
            let both = forged(&batch, |bytes| {
                bytes[RECORD_COUNT].copy_from_slice(&lie.to_be_bytes());
                bytes[LAST_OFFSET_DELTA].copy_from_slice(&lie.wrapping_sub(1).to_be_bytes());
            });
            assert_eq!(refused(&both).fault(), BatchFault::Invalid, "{codec} {lie}");
            assert!(read_back(&both).is_err(), "{codec} {lie}");
        }
    }
}

#[test]
fn malformed_records_are_refused() {
    use RecordFault::*;
    let cases: &[(&[u8], RecordFault)] = &[
        (&[], Truncated),
        (&[0x80], Truncated),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], VarintTooLong),
        (&[0x01], Length),                               // length -1
        (&[0x7e, 0, 0, 0], Truncated),                   // length 63 of 3
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0], Truncated), // the largest length
        (&[0x00], Truncated),                            // no room for the attributes
        (&[0x0c, 0, 0, 2, 1, 1, 0], OffsetDelta),        // starts with 1
        (&[0x0c, 0, 0, 0, 3, 1, 0], Length),             // key of length -2
        (&[0x0c, 0, 0, 0, 8, 1, 0], Length),             // key longer than the record
        (&[0x0c, 0, 0, 0, 1, 1, 1], HeaderCount),        // -1 headers
        (&[0x0c, 0, 0, 0, 1, 1, 2], HeaderCount),        // one header, no bytes
        (&[0x10, 0, 0, 0, 1, 1, 2, 1, 1], Length),       // a header without a name
        (&[0x0e, 0, 0, 0, 1, 1, 0, 0], Length),          // a byte too many in the record
        (&[0x0c, 0, 0, 0, 1, 1, 0, 0], TrailingBytes),   // a byte too many in the batch
    ];
    for (body, fault) in cases {
        let error = refused(&with_body(body));
        let BatchError::Record { fault: found, .. } = error else {
            panic!("{body:02x?}: {error}");
        };
        assert_eq!(found, *fault, "{body:02x?}");
        assert!(read_back(&with_body(body)).is_err() || *fault == OffsetDelta);
    }
    let right: &[u8] = &[0x0c, 0, 0, 0, 1, 1, 0];
    assert!(validate_batch(&with_body(right), &BatchRules::CLIENT).is_ok());
}

#[test]
fn a_huge_header_count_reserves_nothing() {
    // 2^30 headers in a record of a few bytes.
    let body = [0x14, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x08];
    let error = refused(&with_body(&body));
    assert_eq!(
        error,
        BatchError::Record {
            index: 0,
            fault: RecordFault::HeaderCount
        }
    );
}

#[test]
fn old_formats_and_unknown_codecs_are_named() {
    let batch = batch_of(Compression::None, &["a"]);
    for magic in [0, 1, 3, -1i8] {
        let old = forged(&batch, |bytes| bytes[16] = magic.cast_unsigned());
        assert_eq!(refused(&old), BatchError::Magic { magic });
        // Old messages are shorter than our header: the format is named all the same.
        assert_eq!(
            BatchHeader::parse(&old[..26]),
            Err(BatchError::Magic { magic })
        );
    }
    for code in 5..8u8 {
        let unknown = forged(&batch, |bytes| bytes[22] = code);
        assert_eq!(
            refused(&unknown),
            BatchError::UnknownCodec {
                code: i16::from(code)
            }
        );
        assert_eq!(refused(&unknown).fault(), BatchFault::Codec);
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0u8; 8 * 1024 * 1024];
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = BatchBuilder::new(codec);
        builder.append(0, None, Some(&zeros), &[]);
        let batch = builder.build();
        assert!(batch.len() < zeros.len() / 10, "{codec}");
        let limit_bytes = 1024 * 1024;
        let error = BatchError::OpensTooLarge { limit_bytes };
        assert_eq!(records(&batch, limit_bytes).map(|_| ()), Err(error));
        let rules = BatchRules {
            opened_bytes_max: limit_bytes,
            ..thorough()
        };
        assert_eq!(validate_batch(&batch, &rules), Err(error));
        assert!(validate_batch(&batch, &thorough()).is_ok());
    }
}

#[test]
fn a_lying_snappy_length_is_not_believed() {
    // A plain block that claims 200 MiB and has five bytes; the same inside the framing.
    let block = [0x80, 0x80, 0x80, 0x64, 0x00];
    let framed = [
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x05".as_slice(),
        &block,
    ]
    .concat();
    let endless = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff".as_slice();
    let cut = b"\x82SNAPPY\0\0\0".as_slice();
    for packed in [&block[..], &framed, endless, cut] {
        let opened = compression::decompress(Compression::Snappy, packed, DECOMPRESSED_BYTES_MAX);
        assert_eq!(
            opened,
            Err(BatchError::Undecodable {
                codec: Compression::Snappy
            })
        );
    }
}

#[test]
fn snappy_without_framing_opens() {
    let plain = b"plain blocks come from other clients ".repeat(3000);
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let opened = compression::decompress(Compression::Snappy, &packed, plain.len());
    assert_eq!(opened, Ok(plain));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() > 61 {
            let len = bytes.len();
            bytes[16] = 2;
            let length = u32::try_from(len - 12).unwrap();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            batch::seal(&mut bytes);
        }
        let bytes = Bytes::from(bytes);
        let _ = validate_batch(&bytes, &thorough());
        for batch in split_batches(&bytes).flatten() {
            let _ = read_back_anything(&batch);
        }
    }

    #[test]
    fn forged_batches_are_read_or_refused(
        codec in any_codec(),
        plain in vec(any_plain(), 1..4),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in 0..20usize,
    ) {
        let batch = builder_of(codec, &plain).build();
        let batch = forged(&batch, |bytes| {
            for (at, byte) in changes {
                let at = 21 + at.index(bytes.len() - 21);
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut).max(BATCH_HEADER_BYTES));
        });
        let valid = validate_batch(&batch, &thorough());
        let read = read_back_anything(&batch);
        if let Ok(header) = valid {
            prop_assert_eq!(read, Ok(header.record_count));
        }
    }

    #[test]
    fn damaged_blocks_open_or_are_refused(codec in any_codec(), bytes in vec(any::<u8>(), 0..200)) {
        let limit = 1 << 20;
        if let Ok(plain) = compression::decompress(codec, &bytes, limit) {
            prop_assert!(plain.len() <= limit);
        }
    }
}

/// Number of records, without looking at offsets.
fn read_back_anything(batch: &Bytes) -> Result<i32, BatchError> {
    let mut count = 0;
    for record in &records(batch, 1 << 24)? {
        let record = record?;
        assert_eq!(record.headers.len(), record.headers.count());
        count += 1;
    }
    Ok(count)
}
