// SPDX-License-Identifier: Apache-2.0
//! Frames that are made to hurt: lying counts, floods of empty elements, floods of tags.
//!
//! Owns: nothing but tests. Memory is measured, not estimated: a frame may cost twice its size and
//! a fixed allowance.

use bytes::Bytes;
use furlong::limits::{DECODED_BYTES_ALLOWANCE, DECODED_BYTES_PER_FRAME_BYTE, TOPICS_MAX};
use furlong::wire::codec::{DecodeError, Reader};
use furlong::wire::protocol::Message;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::incremental_alter_configs::IncrementalAlterConfigsRequest;
use furlong::wire::protocol::metadata::MetadataRequest;

use super::allocation::{Memory, measure};
use super::cases;

fn decode<M: Message>(body: Bytes, version: i16) -> (Result<M, DecodeError>, Memory) {
    measure(|| M::decode(&mut Reader::new(body), version))
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(u8::try_from(value % 128 + 128).expect("below 256"));
        value /= 128;
    }
    bytes.push(u8::try_from(value).expect("below 128"));
    bytes
}

fn budget(frame: usize) -> usize {
    frame * DECODED_BYTES_PER_FRAME_BYTE + DECODED_BYTES_ALLOWANCE
}

#[test]
fn four_bytes_that_announce_two_billion_topics_reserve_nothing() {
    let body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let (result, memory) = decode::<MetadataRequest>(body, 1);
    let count = 0x7fff_ffff;
    assert_eq!(
        result,
        Err(DecodeError::CountBeyondBytes {
            field: "topics",
            count
        })
    );
    assert!(memory.peak <= 128, "{memory:?}");
}

#[test]
fn five_bytes_that_announce_four_billion_topics_reserve_nothing() {
    let body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let (result, memory) = decode::<MetadataRequest>(body, 9);
    assert_eq!(result, Err(DecodeError::LengthOutOfRange));
    assert!(memory.peak <= 128, "{memory:?}");
}

#[test]
fn a_million_empty_topics_of_a_metadata_request_stay_below_twice_the_frame() {
    let topics = [1, 0].repeat(1_000_000);
    let body = Bytes::from([varint(1_000_001), topics, vec![1, 0, 0, 0]].concat());
    let frame = body.len();
    let (result, memory) = decode::<MetadataRequest>(body, 9);
    let beyond = DecodeError::CountBeyondLimit {
        field: "topics",
        count: 1_000_000,
        limit: TOPICS_MAX,
    };
    assert_eq!(result, Err(beyond));
    assert!(memory.peak <= 2 * frame, "{memory:?} for {frame} bytes");
}

#[test]
fn a_million_empty_topics_of_a_fetch_stay_below_twice_the_frame() {
    let head = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
    let topics = [1, 1, 0].repeat(1_000_000);
    let body = Bytes::from([head, varint(1_000_001), topics, vec![1, 1, 0]].concat());
    let frame = body.len();
    let (result, memory) = decode::<FetchRequest>(body, 12);
    let beyond = DecodeError::CountBeyondLimit {
        field: "topics",
        count: 1_000_000,
        limit: TOPICS_MAX,
    };
    assert_eq!(result, Err(beyond));
    assert!(memory.peak <= 2 * frame, "{memory:?} for {frame} bytes");
}

#[test]
fn as_many_empty_topics_as_are_accepted_stay_within_the_budget() {
    let topics = [1, 0].repeat(TOPICS_MAX);
    let body = Bytes::from([varint(TOPICS_MAX + 1), topics, vec![1, 0, 0, 0]].concat());
    let frame = body.len();
    let (result, memory) = decode::<MetadataRequest>(body, 9);
    assert_eq!(
        result,
        Err(DecodeError::MemoryBeyondBudget { field: "topics" })
    );
    assert!(memory.peak <= budget(frame), "{memory:?} for {frame} bytes");
}

#[test]
fn every_topic_by_its_id_is_accepted() {
    let topic = [&[7; 16][..], &[0, 0]].concat();
    let topics = topic.repeat(TOPICS_MAX);
    let body = Bytes::from([varint(TOPICS_MAX + 1), topics, vec![1, 0, 0]].concat());
    let frame = body.len();
    let (result, memory) = decode::<MetadataRequest>(body, 12);
    let topics = result.unwrap().topics.unwrap();
    assert_eq!(topics.len(), TOPICS_MAX);
    assert!(memory.peak <= budget(frame), "{memory:?} for {frame} bytes");
}

#[test]
fn nested_floods_share_one_budget() {
    // Each resource is small enough, all of them together are not.
    let configs = [varint(901), [1, 0, 1, 0].repeat(900)].concat();
    let resource = [&[2, 1][..], &configs, &[0]].concat();
    let body = [varint(5001), resource.repeat(5000), vec![0, 0]].concat();
    let frame = body.len();
    let (result, memory) = decode::<IncrementalAlterConfigsRequest>(Bytes::from(body), 1);
    assert_eq!(
        result,
        Err(DecodeError::MemoryBeyondBudget { field: "configs" })
    );
    assert!(memory.peak <= budget(frame), "{memory:?} for {frame} bytes");
}

#[test]
fn tagged_fields_that_nobody_knows_cost_no_memory() {
    let mut body = [vec![1, 1], varint(1_000_000)].concat();
    for tag in 0..1_000_000 {
        body.extend(varint(tag));
        body.push(0);
    }
    let (result, memory) = decode::<ApiVersionsRequest>(Bytes::from(body), 3);
    assert_eq!(result, Ok(ApiVersionsRequest::default()));
    assert!(memory.peak <= 128, "{memory:?}");
}

#[test]
fn a_lying_count_of_tagged_fields_is_found_out_at_the_end_of_the_bytes() {
    let body = Bytes::from_static(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    let (result, memory) = decode::<ApiVersionsRequest>(body, 3);
    assert_eq!(
        result,
        Err(DecodeError::Truncated {
            needed: 1,
            remaining: 0
        })
    );
    assert!(memory.peak <= 128, "{memory:?}");
}

#[test]
fn a_tagged_field_cannot_reach_past_its_length() {
    // The cluster id of a fetch (tag 0) says one byte and holds a string of two.
    let head = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
    let tail = vec![1, 1, 1, 1, 0, 1, 3, b'a', b'b'];
    let (result, _) = decode::<FetchRequest>(Bytes::from([head, tail].concat()), 12);
    assert_eq!(
        result,
        Err(DecodeError::Truncated {
            needed: 2,
            remaining: 0
        })
    );
}

#[test]
fn a_body_of_ones_or_zeros_or_all_bits_is_refused_or_read_but_never_hurts() {
    for case in cases::all() {
        for version in case.versions.clone() {
            for fill in [0, 1, 2, 0x7f, 0x80, 0xff] {
                for length in [0, 1, 4, 5, 100, 100_000] {
                    let body = Bytes::from(vec![fill; length]);
                    let (_, memory) = measure(|| (case.decode)(body, version));
                    assert!(memory.peak <= budget(length), "{} v{version}", case.name);
                }
            }
        }
    }
}
