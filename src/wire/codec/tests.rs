// SPDX-License-Identifier: Apache-2.0
//! Primitive values there and back, and what a reader refuses.

use bytes::Bytes;
use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::limits::{DECODED_BYTES_ALLOWANCE, WRITER_COPY_BYTES_MAX};

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    let size_bytes = writer.size_bytes();
    let bytes = writer.finish().concat();
    assert_eq!(bytes.len(), size_bytes);
    bytes
}

#[test]
fn a_varint_has_at_most_five_bytes_and_32_bits() {
    let read = |bytes: &[u8]| reader(bytes).read_unsigned_varint();
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
    assert_eq!(
        read(&[0xff, 0xff, 0xff, 0xff, 0x10]),
        Err(DecodeError::VarintTooLong)
    );
    assert_eq!(
        read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        Err(DecodeError::VarintTooLong)
    );
    assert_eq!(read(&[0x80, 0]), Ok(0));
    assert_eq!(
        read(&[0x80]),
        Err(DecodeError::Truncated {
            needed: 1,
            remaining: 0
        })
    );
}

#[test]
fn a_length_below_minus_one_is_refused_and_minus_one_is_null() {
    assert_eq!(reader(&[0xff; 4]).read_length(false), Ok(None));
    assert_eq!(
        reader(&[0xff, 0xff, 0xff, 0xfe]).read_length(false),
        Err(DecodeError::LengthOutOfRange)
    );
    assert_eq!(
        reader(&[0xff, 0xfe]).read_string_length(false),
        Err(DecodeError::LengthOutOfRange)
    );
    assert_eq!(reader(&[0]).read_length(true), Ok(None));
    assert_eq!(reader(&[1]).read_length(true), Ok(Some(0)));
}

#[test]
fn a_string_is_no_longer_than_its_classic_length_can_say() {
    let long = written(|w| w.write_unsigned_varint(0x8001));
    assert_eq!(
        reader(&long).read_string_length(true),
        Err(DecodeError::LengthOutOfRange)
    );
    assert_eq!(reader(&long).read_length(true), Ok(Some(0x8000)));
    let refused = Writer::new().write_string_length("name", Some(0x8000), true);
    assert_eq!(refused, Err(EncodeError::TooLong { field: "name" }));
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let refused = reader(&[0xc3, 0x28]).read_text("name", 2);
    assert_eq!(refused, Err(DecodeError::NotUtf8 { field: "name" }));
}

#[test]
fn a_count_is_checked_against_bytes_then_limit_then_memory() {
    let bytes = vec![0; 1_000_000];
    let mut reader = Reader::with_memory_per_byte(Bytes::from(bytes), 0);
    let count = 500_001;
    let refused = reader.reserve::<u8>("a", &mut Vec::new(), count, 2, usize::MAX);
    assert_eq!(
        refused,
        Err(DecodeError::CountBeyondBytes { field: "a", count })
    );
    let refused = reader.reserve::<u8>("a", &mut Vec::new(), 500_000, 2, 9);
    assert_eq!(
        refused,
        Err(DecodeError::CountBeyondLimit {
            field: "a",
            count: 500_000,
            limit: 9
        })
    );
    let refused = reader.reserve::<[u8; 64]>("a", &mut Vec::new(), 500_000, 2, usize::MAX);
    assert_eq!(refused, Err(DecodeError::MemoryBeyondBudget { field: "a" }));
    let half = DECODED_BYTES_ALLOWANCE / 2;
    let mut room: Vec<u8> = Vec::new();
    reader
        .reserve("a", &mut room, half.min(1_000_000), 1, usize::MAX)
        .expect("half fits");
    assert!(room.is_empty() && room.capacity() >= 1_000_000);
}

#[test]
fn the_largest_tag_is_the_last_one() {
    let skip_all = |bytes: &[u8]| reader(bytes).read_tagged_fields(|_, _| Ok(false));
    assert_eq!(skip_all(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Ok(()));
    let twice = skip_all(&[
        2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0,
    ]);
    assert_eq!(twice, Err(DecodeError::TagsNotRising { tag: u32::MAX }));
    assert_eq!(
        skip_all(&[2, 1, 0, 0, 0]),
        Err(DecodeError::TagsNotRising { tag: 0 })
    );
}

#[test]
fn a_known_tag_must_fill_its_length() {
    let mut reader = reader(&[1, 0, 3, 7, 8, 9]);
    let result = reader.read_tagged_fields(|reader, _| reader.read_i16().map(|_| true));
    assert_eq!(result, Err(DecodeError::TrailingBytes { remaining: 1 }));
}

#[test]
fn large_bytes_are_passed_on_and_small_ones_are_copied() {
    let small = Bytes::from(vec![1; WRITER_COPY_BYTES_MAX]);
    let large = Bytes::from(vec![2; WRITER_COPY_BYTES_MAX + 1]);
    let mut writer = Writer::new();
    writer.write_i32(0);
    writer.write_shared(&small);
    writer.write_shared(&large);
    writer.write_i8(3);
    let (parts, _) = writer.finish_frame().expect("the frame is small");
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[1].as_ptr(), large.as_ptr());
    let length = i32::try_from(small.len() + large.len() + 1).expect("small");
    assert_eq!(parts[0][..4], length.to_be_bytes());
    assert_eq!(parts.concat().len(), small.len() + large.len() + 5);
}

#[test]
fn slices_share_the_buffer_of_the_frame() {
    let frame = Bytes::from(vec![5; 100]);
    let mut reader = Reader::new(frame.clone());
    reader.skip(10).expect("there are 100 bytes");
    let slice = reader.read_slice(20).expect("there are 90 bytes");
    assert_eq!(slice.as_ptr(), frame[10..].as_ptr());
}

#[test]
fn every_error_is_a_sentence() {
    let decode = [
        DecodeError::Truncated {
            needed: 2,
            remaining: 1,
        },
        DecodeError::VarintTooLong,
        DecodeError::LengthOutOfRange,
        DecodeError::Null { field: "name" },
        DecodeError::NotUtf8 { field: "name" },
        DecodeError::CountBeyondBytes {
            field: "topics",
            count: 9,
        },
        DecodeError::CountBeyondLimit {
            field: "topics",
            count: 9,
            limit: 8,
        },
        DecodeError::MemoryBeyondBudget { field: "topics" },
        DecodeError::TagsNotRising { tag: 1 },
        DecodeError::TrailingBytes { remaining: 1 },
        DecodeError::Version {
            api_key: 1,
            version: 99,
        },
    ];
    let encode = [
        EncodeError::NotExpressible {
            field: "name",
            version: 1,
        },
        EncodeError::Null {
            field: "name",
            version: 1,
        },
        EncodeError::TooLong { field: "name" },
        EncodeError::Version {
            api_key: 1,
            version: 99,
        },
    ];
    let sentences = decode.iter().map(ToString::to_string);
    let sentences = sentences.chain(encode.iter().map(ToString::to_string));
    assert!(
        sentences
            .into_iter()
            .all(|sentence| sentence.split(' ').count() > 3)
    );
    assert!(size_of::<DecodeError>() <= 40 && size_of::<EncodeError>() <= 24);
}

proptest! {
    #[test]
    fn numbers_come_back(a: bool, b: i8, c: i16, d: u16, e: i32, f: i64, g: u32) {
        let bytes = written(|w| {
            w.write_bool(a);
            w.write_i8(b);
            w.write_i16(c);
            w.write_u16(d);
            w.write_i32(e);
            w.write_i64(f);
            w.write_unsigned_varint(g);
        });
        let mut reader = reader(&bytes);
        prop_assert_eq!(reader.read_bool(), Ok(a));
        prop_assert_eq!(reader.read_i8(), Ok(b));
        prop_assert_eq!(reader.read_i16(), Ok(c));
        prop_assert_eq!(reader.read_u16(), Ok(d));
        prop_assert_eq!(reader.read_i32(), Ok(e));
        prop_assert_eq!(reader.read_i64(), Ok(f));
        prop_assert_eq!(reader.read_unsigned_varint(), Ok(g));
        prop_assert_eq!(reader.expect_end(), Ok(()));
    }

    #[test]
    fn floating_point_numbers_come_back_to_the_bit(bits: u64) {
        let bytes = written(|w| w.write_f64(f64::from_bits(bits)));
        let value = reader(&bytes).read_f64().expect("eight bytes");
        prop_assert_eq!(value.to_bits(), bits);
    }

    #[test]
    fn text_comes_back(text in ".{0,200}", flexible: bool) {
        let bytes = written(|w| {
            w.write_string_length("text", Some(text.len()), flexible).expect("it is short");
            w.write_raw(text.as_bytes());
        });
        let mut reader = reader(&bytes);
        let length = reader.read_string_length(flexible).expect("just written");
        let read = reader.read_text("text", length.expect("it is not null"));
        prop_assert_eq!(read, Ok(ByteString::from(text)));
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn lengths_come_back(length in proptest::option::of(0..=0x7fff_ffffusize), flexible: bool) {
        let bytes = written(|w| w.write_length("list", length, flexible).expect("it is in range"));
        prop_assert_eq!(reader(&bytes).read_length(flexible), Ok(length));
    }

    #[test]
    fn a_reader_never_passes_its_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        steps in proptest::collection::vec(0..8u8, 0..40),
    ) {
        let mut reader = reader(&bytes);
        for step in steps {
            let before = reader.remaining();
            let failed = match step {
                0 => reader.read_i8().is_err(),
                1 => reader.read_i16().is_err(),
                2 => reader.read_i64().is_err(),
                3 => reader.read_unsigned_varint().is_err(),
                4 => reader.read_length(true).is_err(),
                5 => reader.read_slice(3).is_err(),
                6 => reader.read_text("text", 2).is_err(),
                _ => reader.read_tagged_fields(|_, _| Ok(false)).is_err(),
            };
            prop_assert!(failed || reader.remaining() < before);
            prop_assert!(reader.remaining() <= before);
        }
    }
}
