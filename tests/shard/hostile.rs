// SPDX-License-Identifier: Apache-2.0
//! Frames that no honest client sends: an answer, a code or a closed connection, and nothing else.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::limits::REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::metadata::MetadataRequest;
use proptest::prelude::*;

use crate::broker::Broker;
use crate::client::{batch, call, fetch_request, frame, next, produce_request};

fn is_closed_by(frame: &[u8]) -> bool {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let bystander = broker.connect(0);
    broker.send(client, Bytes::copy_from_slice(frame));
    let wire = &broker.wires[&client];
    assert!(wire.responses.is_empty());
    let closed = wire.closed;
    let response = call(&mut broker, bystander, 3, &ApiVersionsRequest::default());
    assert_eq!(response.error_code, 0, "others go on");
    closed
}

#[test]
fn a_frame_without_a_whole_header_closes() {
    for length in 0..8 {
        assert!(is_closed_by(&vec![0; length]));
    }
    assert!(is_closed_by(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

#[test]
fn an_unknown_api_key_closes() {
    for key in [-1i16, 4, 71, 999, i16::MAX] {
        let mut bytes = frame(1, 0, &ApiVersionsRequest::default()).to_vec();
        bytes[..2].copy_from_slice(&key.to_be_bytes());
        assert!(is_closed_by(&bytes), "{key}");
    }
}

#[test]
fn an_unknown_version_closes() {
    for version in [-1i16, 3, 19, i16::MAX] {
        let mut bytes = frame(1, 12, &fetch_request("t", &[(0, 0)])).to_vec();
        bytes[2..4].copy_from_slice(&version.to_be_bytes());
        assert!(is_closed_by(&bytes), "{version}");
    }
}

#[test]
fn lying_lengths_and_counts_in_a_body_close() {
    // Metadata 1 with 2^31 - 1 topics, Metadata 9 with 2^32 - 2, a negative count, a long string.
    let header = |key: i16, version: i16, flexible: bool| {
        let mut bytes = key.to_be_bytes().to_vec();
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
        if flexible {
            bytes.push(0);
        }
        bytes
    };
    for (version, flexible, body) in [
        (1, false, &[0x7f, 0xff, 0xff, 0xff][..]),
        (9, true, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (9, true, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (1, false, &[0xff, 0xff, 0xff, 0xfe]),
        (1, false, &[0, 0, 0, 1, 0x7f, 0xff, b'a']),
        (1, false, &[0, 0, 0, 1, 0, 2, 0xc3, 0x28]),
    ] {
        let mut bytes = header(3, version, flexible);
        bytes.extend_from_slice(body);
        assert!(is_closed_by(&bytes), "{body:?}");
    }
}

#[test]
fn produce_0_to_2_with_lying_counts_closes() {
    for counts in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff]] {
        let mut bytes = vec![0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 9];
        bytes.extend_from_slice(&counts);
        assert!(is_closed_by(&bytes));
    }
}

#[test]
fn bytes_behind_a_body_are_not_looked_at() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    // Kafka does not look at them, and librdkafka 2.16 sends them: this is how it asks for all
    // topics, with four bytes for the count of the list where one is due.
    let mut bytes = vec![0, 3, 0, 13, 0, 0, 0, 3, 0, 7];
    bytes.extend_from_slice(b"rdkafka\0");
    bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0]);
    broker.send(client, Bytes::from(bytes));
    let answered = next::<MetadataRequest>(&mut broker, client, 13);
    let (correlation_id, response) = answered.expect("there is an answer");
    assert_eq!((correlation_id, response.topics.len()), (3, 1));
}

#[test]
fn no_more_frames_are_asked_for_than_may_be_under_way() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut waiting = fetch_request("t", &[(0, 0)]);
    waiting.max_wait_ms = 500;
    let mut sent = 0;
    while broker.wires[&client].grants > 0 {
        broker.send(client, frame(1, 12, &waiting));
        sent += 1;
    }
    assert_eq!(sent, REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX);
    broker.advance_ms(500);
    assert_eq!(broker.wires[&client].responses.len(), sent);
    assert_eq!(broker.wires[&client].grants, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_frame_never_stops_a_shard(
        which in 0usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut broker = Broker::with_topic(2, "t", 2);
        let client = broker.connect(0);
        let whole = match which {
            0 => frame(1, 12, &fetch_request("t", &[(0, 0), (1, 0)])),
            1 => frame(1, 9, &produce_request("t", 1, -1, batch(&["a", "b"]))),
            _ => frame(1, 3, &ApiVersionsRequest::default()),
        };
        let mut bytes = whole.to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        broker.send(client, Bytes::from(bytes));
        broker.advance_ms(i32::MAX as u64 + 1);
        let wire = &broker.wires[&client];
        prop_assert!(wire.closed || wire.grants == 1);
        let other = broker.connect(1);
        let response = call(&mut broker, other, 3, &ApiVersionsRequest::default());
        prop_assert_eq!(response.error_code, 0);
    }
}
