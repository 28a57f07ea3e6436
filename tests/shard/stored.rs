// SPDX-License-Identifier: Apache-2.0
//! How batches are stored: the topic's codec, timestamps and their limits, sizes; and which records
//! a producer is told of.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::model::ids::ConnectionId;
use furlong::wire::protocol::fetch::FetchResponse;
use furlong::wire::protocol::produce::PartitionProduceResponse;
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, records, set_max_timestamp};

use crate::broker::Broker;
use crate::client::{call, fetch_request, only_produced, produce, produce_request, values};

const NOW_MS: i64 = 1_700_000_000_000;

fn builder(codec: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for value in ["one", "two", "three"] {
        builder.append(NOW_MS, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    builder
}

fn at(timestamps: &[i64], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in timestamps {
        builder.append(*timestamp, Some(b"k"), Some(b"v"), &[]);
    }
    builder.build()
}

fn read(broker: &mut Broker, client: ConnectionId, topic: &str, offset: i64) -> FetchResponse {
    call(broker, client, 12, &fetch_request(topic, &[(0, offset)]))
}

fn stored(response: &FetchResponse) -> (BatchHeader, Bytes) {
    let partition = &response.responses[0].partitions[0];
    let bytes = partition.records.clone().expect("never null");
    let header = BatchHeader::parse(&bytes).expect("a batch");
    (header, bytes)
}

fn with(settings: &[(&str, &str)]) -> (Broker, ConnectionId) {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, settings);
    let client = broker.connect(0);
    (broker, client)
}

#[test]
fn a_topic_with_a_codec_stores_every_batch_in_it() {
    let targets = [
        ("producer", None),
        ("uncompressed", Some(Compression::None)),
        ("gzip", Some(Compression::Gzip)),
        ("snappy", Some(Compression::Snappy)),
        ("lz4", Some(Compression::Lz4)),
        ("zstd", Some(Compression::Zstd)),
    ];
    for (name, target) in targets {
        for source in Compression::ALL {
            let (mut broker, client) = with(&[("compression.type", name)]);
            let mut one = builder(source);
            one.producer(6, 0, 0);
            let one = one.build();
            let answer = produce(&mut broker, client, "t", 0, one.clone());
            assert_eq!((answer.error_code, answer.base_offset), (0, 0));
            let again = produce(&mut broker, client, "t", 0, one);
            assert_eq!(
                (again.error_code, again.base_offset),
                (0, 0),
                "still a repetition"
            );
            let next = produce(&mut broker, client, "t", 0, builder(source).build());
            assert_eq!(next.base_offset, 3);
            let response = read(&mut broker, client, "t", 0);
            assert_eq!(values(&response, 0).len(), 6);
            assert_eq!(values(&response, 0)[..3], ["one", "two", "three"]);
            let (header, _) = stored(&response);
            let expected = target.unwrap_or(source);
            assert_eq!(
                header.attributes.compression(),
                Ok(expected),
                "{source} to {name}"
            );
            assert_eq!(header.producer_id, 6);
        }
    }
}

#[test]
fn a_batch_in_the_codec_of_its_topic_stays_as_it_is() {
    let (mut broker, client) = with(&[("compression.type", "gzip")]);
    let sent = builder(Compression::Gzip).build();
    produce(&mut broker, client, "t", 0, sent.clone());
    let (_, bytes) = stored(&read(&mut broker, client, "t", 0));
    assert_eq!(bytes[16..], sent[16..]);
}

#[test]
fn a_changed_codec_counts_from_the_next_batch_on() {
    let (mut broker, client) = with(&[]);
    produce(
        &mut broker,
        client,
        "t",
        0,
        builder(Compression::None).build(),
    );
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        let config = &mut std::sync::Arc::make_mut(topic).config;
        config.stored_codec = furlong::model::topic_config::StoredCodec::Zstd(3);
    });
    broker.settle();
    produce(
        &mut broker,
        client,
        "t",
        0,
        builder(Compression::None).build(),
    );
    for (offset, codec) in [(0, Compression::None), (3, Compression::Zstd)] {
        let (header, _) = stored(&read(&mut broker, client, "t", offset));
        assert_eq!(header.attributes.compression(), Ok(codec));
    }
}

#[test]
fn a_batch_that_is_too_large_in_the_codec_of_its_topic_is_10() {
    let settings = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "5000"),
    ];
    let (mut broker, client) = with(&settings);
    let mut large = BatchBuilder::new(Compression::Zstd);
    large.append(NOW_MS, None, Some(&[7; 6000]), &[]);
    let large = large.build();
    assert!(large.len() < 5000);
    assert_eq!(produce(&mut broker, client, "t", 0, large).error_code, 10);
    let answer = produce(
        &mut broker,
        client,
        "t",
        0,
        builder(Compression::Zstd).build(),
    );
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (0, 0),
        "nothing of the other is there"
    );
}

#[test]
fn damage_inside_a_compressed_batch_is_found_where_it_is_opened() {
    let (mut broker, client) = with(&[("compression.type", "lz4")]);
    let mut bad = builder(Compression::Gzip).build().to_vec();
    let middle = bad.len() - 12;
    bad[middle] ^= 0xff;
    set_max_timestamp(&mut bad, NOW_MS);
    let answer = produce(&mut broker, client, "t", 0, Bytes::from(bad));
    assert_eq!(answer.error_code, 2);
}

#[test]
fn the_brokers_clock_replaces_timestamps_whatever_they_are() {
    for codec in ["producer", "zstd"] {
        let settings = [
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "10"),
            ("compression.type", codec),
        ];
        let (mut broker, client) = with(&settings);
        let now = broker.now.wall_ms;
        let answer = produce(&mut broker, client, "t", 0, at(&[5, 6], Compression::Gzip));
        assert_eq!((answer.error_code, answer.log_append_time_ms), (0, now));
        let (header, bytes) = stored(&read(&mut broker, client, "t", 0));
        assert_eq!(header.max_timestamp, now);
        let opened = records(&bytes, 1000).expect("opens");
        let stamps = opened
            .iter()
            .map(|record| record.expect("well-formed").timestamp);
        assert_eq!(stamps.collect::<Vec<_>>(), [now, now]);
    }
}

fn told(answer: &PartitionProduceResponse) -> Vec<i32> {
    let errors = answer.record_errors.iter();
    errors
        .map(|error| {
            assert!(error.batch_index_error_message.is_some());
            error.batch_index
        })
        .collect()
}

#[test]
fn every_record_with_a_timestamp_out_of_bounds_is_named() {
    let settings = [
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "500"),
    ];
    let (mut broker, client) = with(&settings);
    let now = broker.now.wall_ms;
    let bounds = [now - 1001, now - 1000, now, now + 500, now + 501, -1];
    for codec in Compression::ALL {
        let answer = produce(&mut broker, client, "t", 0, at(&bounds, codec));
        assert_eq!(answer.error_code, 32, "{codec}");
        assert_eq!(told(&answer), [0, 4]);
        assert!(answer.error_message.is_some());
        let answer = produce(&mut broker, client, "t", 0, at(&bounds[1..4], codec));
        assert_eq!((answer.error_code, told(&answer).len()), (0, 0));
    }
    for (version, count) in [(7, 0), (8, 2), (12, 2)] {
        let request = produce_request("t", 0, -1, at(&bounds, Compression::None));
        let answer = only_produced(call(&mut broker, client, version, &request));
        assert_eq!(answer.record_errors.len(), count, "version {version}");
    }
}

#[test]
fn every_record_without_a_key_is_named_where_keys_are_needed() {
    let (mut broker, client) = with(&[("cleanup.policy", "compact")]);
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec);
        for key in [Some(&b"k"[..]), None, Some(b"k"), None] {
            builder.append(NOW_MS, key, Some(b"v"), &[]);
        }
        let answer = produce(&mut broker, client, "t", 0, builder.build());
        assert_eq!(
            (answer.error_code, told(&answer)),
            (87, vec![1, 3]),
            "{codec}"
        );
    }
}

#[test]
fn a_wrong_timestamp_beside_a_missing_key_is_32() {
    let (mut broker, client) = with(&[("cleanup.policy", "compact")]);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(NOW_MS, None, Some(b"v"), &[]);
    builder.append(NOW_MS + 4_000_000, Some(b"k"), Some(b"v"), &[]);
    let answer = produce(&mut broker, client, "t", 0, builder.build());
    assert_eq!((answer.error_code, told(&answer)), (32, vec![0, 1]));
}
