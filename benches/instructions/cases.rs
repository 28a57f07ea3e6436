// SPDX-License-Identifier: Apache-2.0
//! The hot functions of the pure half, each with the input that makes it hot.
//!
//! Owns: the table [`CASES`]. Invariants: an input is the same in every run; a step checks what it
//! got outside the counted part. Runs on: the program's one thread. Bounded by: the table.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use furlong::log::offset_index::OffsetIndex;
use furlong::log::time_index::TimeIndex;
use furlong::wire::codec::Writer;
use furlong::wire::protocol::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use furlong::wire::protocol::produce::ProduceRequest;
use furlong::wire::protocol::{decode_request, encode_request, encode_response_into};
use furlong::wire::record::{BatchBuilder, BatchRules, Compression, validate_batch};

use crate::allocation::counted;
use crate::append::{batch, request};
use crate::groups;
use crate::host::Host;

/// One thing that is counted.
pub struct Case {
    /// Its name, as in the committed file.
    pub name: &'static str,
    /// Steps before the count begins.
    pub warm_up: usize,
    /// Steps that are counted.
    pub steps: usize,
    /// Makes the step.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

const fn micro(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Case {
    Case {
        name,
        warm_up: 2,
        steps: 50,
        prepare,
    }
}

/// A case that drives a whole shard: its buffers, lists and cache are warm after so many steps.
const fn shard(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Case {
    Case {
        name,
        warm_up: 2200,
        steps: 200,
        prepare,
    }
}

/// A case of many calls, which is the same every time.
const fn rounds(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Case {
    Case {
        name,
        warm_up: 1,
        steps: 2,
        prepare,
    }
}

/// All of them, in the order of the committed file.
pub const CASES: &[Case] = &[
    micro("validate: 1 record of 1 KiB", || {
        validate(1, 1024, Compression::None)
    }),
    micro("validate: 100 records of 100 bytes", || {
        validate(100, 100, Compression::None)
    }),
    micro("validate: 100 records of 100 bytes, zstd", || {
        validate(100, 100, Compression::Zstd)
    }),
    micro("validate: 64 records of 1 KiB", || {
        validate(64, 1024, Compression::None)
    }),
    micro("produce decode: 1 partition", || produce_decode(1)),
    micro("produce decode: 100 partitions", || produce_decode(100)),
    micro("fetch decode: 100 partitions", || fetch_decode(100)),
    micro("fetch encode: 1 partition", || fetch_encode(1)),
    micro("fetch encode: 100 partitions", || fetch_encode(100)),
    micro("offset index lookup: 100,000 entries", offset_lookup),
    micro("time index lookup: 100,000 entries", time_lookup),
    shard("effects: produce 3 records, acks=all", || {
        produce(1, &[0], -1)
    }),
    shard("effects: produce 3 records, within a quota", || {
        produce_in(with_quotas(), &[0], -1)
    }),
    shard("effects: produce 3 records, acks=0", || produce(1, &[0], 0)),
    shard("effects: produce to 20 partitions", || {
        produce(1, &(0..20).collect::<Vec<i32>>(), -1)
    }),
    shard("effects: produce to another core", || produce(2, &[1], -1)),
    shard("effects: idempotent produce", idempotent_produce),
    shard("effects: produce and fetch at the tip", || follow(0)),
    shard("effects: fetch that waits, produce that wakes it", || {
        follow(500)
    }),
    shard("effects: metadata of a topic of 100 partitions", metadata),
    micro("group of 10: heartbeat", || groups::heartbeat(10)),
    micro("group of 1,000: heartbeat", || groups::heartbeat(1000)),
    micro("group of 10,000: heartbeat", || groups::heartbeat(10_000)),
    micro("group of 10: offset commit", || groups::commit(10)),
    micro("group of 1,000: offset commit", || groups::commit(1000)),
    micro("group of 10,000: offset commit", || groups::commit(10_000)),
    rounds("group of 10: a round of joins and syncs", || {
        groups::round(10)
    }),
    rounds("group of 1,000: a round of joins and syncs", || {
        groups::round(1000)
    }),
    rounds("group of 10,000: a round of joins and syncs", || {
        groups::round(10_000)
    }),
];

fn records(count: usize, value_bytes: usize, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for number in 0..count {
        let value: Vec<u8> = (0..value_bytes)
            .map(|at| (at * 7 + number).to_le_bytes()[0])
            .collect();
        builder.append(1_700_000_000_000, None, Some(&value), &[]);
    }
    builder.build()
}

fn validate(count: usize, value_bytes: usize, codec: Compression) -> Box<dyn FnMut()> {
    let batch = records(count, value_bytes, codec);
    Box::new(move || {
        let header = counted(|| validate_batch(black_box(&batch), &BatchRules::CLIENT));
        assert!(header.is_ok(), "{header:?}");
    })
}

/// A request as the frame that a shard gets.
fn frame(parts: &[Bytes]) -> Bytes {
    let mut frame = BytesMut::new();
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.freeze().slice(4..)
}

fn produce_decode(partitions: i32) -> Box<dyn FnMut()> {
    let places: Vec<i32> = (0..partitions).collect();
    let parts = encode_request(5, "test", 9, &request(-1, &places, &batch(3))).expect("encodes");
    let frame = frame(&parts);
    Box::new(move || {
        let frame = frame.clone();
        let decoded = counted(|| decode_request::<ProduceRequest>(black_box(frame)));
        let (_, request) = decoded.expect("decodes");
        assert_eq!(request.topic_data[0].partition_data.len(), places.len());
    })
}

fn fetch(offset: i64, partitions: i32, max_wait_ms: i32) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: (0..partitions).map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn fetch_decode(partitions: i32) -> Box<dyn FnMut()> {
    let parts = encode_request(5, "test", 11, &fetch(0, partitions, 500)).expect("encodes");
    let frame = frame(&parts);
    Box::new(move || {
        let frame = frame.clone();
        let decoded = counted(|| decode_request::<FetchRequest>(black_box(frame)));
        assert_eq!(decoded.expect("decodes").1.topics.len(), 1);
    })
}

fn fetch_encode(partitions: i32) -> Box<dyn FnMut()> {
    let records = batch(100);
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1000,
        last_stable_offset: 1000,
        log_start_offset: 0,
        records: Some(records.clone()),
        ..PartitionData::default()
    };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t".into(),
            partitions: (0..partitions).map(partition).collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    Box::new(move || {
        let writer = Writer::reuse(BytesMut::with_capacity(1 << 20), Vec::with_capacity(512));
        let encoded = counted(|| encode_response_into(5, 11, black_box(&response), writer));
        assert!(!encoded.expect("encodes").parts.is_empty());
    })
}

/// Entries of an index of a segment of 1 GiB with batches of 10 KiB.
const ENTRIES: i64 = 100_000;

fn offset_lookup() -> Box<dyn FnMut()> {
    let mut index = OffsetIndex::new(0);
    for entry in 1..=ENTRIES {
        index.append(entry * 10, u64::try_from(entry).expect("positive") * 10_240);
    }
    let mut wanted = 0;
    Box::new(move || {
        wanted = (wanted + 7_919) % ENTRIES;
        let offset = wanted * 10 + 15;
        let found = counted(|| index.floor(black_box(offset)));
        assert_eq!(
            found.position,
            u64::try_from(wanted + 1).expect("positive") * 10_240
        );
    })
}

fn time_lookup() -> Box<dyn FnMut()> {
    let mut index = TimeIndex::new(0);
    for entry in 1..=ENTRIES {
        index.maybe_append(1_700_000_000_000 + entry * 10, entry * 10);
    }
    let mut wanted = 0;
    Box::new(move || {
        wanted = (wanted + 7_919) % ENTRIES;
        let timestamp = 1_700_000_000_000 + wanted * 10 + 15;
        let found = counted(|| index.floor(black_box(timestamp)));
        assert_eq!(found, (wanted + 1) * 10);
    })
}

fn produce(shards: u16, partitions: &[i32], acks: i16) -> Box<dyn FnMut()> {
    let most = partitions.iter().max().expect("at least one");
    produce_in(Host::new(shards, most + 1), partitions, acks)
}

fn with_quotas() -> Host {
    let mut host = Host::new(1, 1);
    host.set_wide_quotas();
    host
}

fn produce_in(mut host: Host, partitions: &[i32], acks: i16) -> Box<dyn FnMut()> {
    let request = request(acks, partitions, &batch(3));
    Box::new(move || {
        if acks == 0 {
            return host.send(9, &request);
        }
        let response = host.call(9, &request);
        let answers = &response.responses[0].partition_responses;
        assert!(answers.iter().all(|answer| answer.error_code == 0));
    })
}

fn idempotent_produce() -> Box<dyn FnMut()> {
    let mut host = Host::new(1, 1);
    let mut sequence = 0;
    Box::new(move || {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(1_700_000_000_000, None, Some(&[7; 100]), &[]);
        builder.producer(7, 0, sequence);
        sequence += 1;
        let response = host.call(9, &request(-1, &[0], &builder.build()));
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    })
}

/// Produces and fetches, in this order or in the other.
fn follow(max_wait_ms: i32) -> Box<dyn FnMut()> {
    let mut host = Host::new(1, 1);
    let produced = request(0, &[0], &batch(3));
    let mut offset = 0;
    Box::new(move || {
        let fetch = fetch(offset, 1, max_wait_ms);
        if max_wait_ms == 0 {
            host.send(9, &produced);
            host.send(11, &fetch);
        } else {
            host.send(11, &fetch);
            host.send(9, &produced);
        }
        assert!(host.drop_answers() > 300, "the fetch was answered");
        offset += 3;
    })
}

fn metadata() -> Box<dyn FnMut()> {
    let mut host = Host::new(1, 100);
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t".into()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    Box::new(move || {
        let response = host.call(9, &request);
        assert_eq!(response.topics[0].partitions.len(), 100);
    })
}
