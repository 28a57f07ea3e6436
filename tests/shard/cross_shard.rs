// SPDX-License-Identifier: Apache-2.0
//! Requests whose partitions live on several cores.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::wire::protocol::fetch::FetchRequest;

use crate::broker::Broker;
use crate::client::{batch, call, fetch_request, frame, next, produce, produce_request, values};

fn long_poll(from: &[(i32, i64)], min_bytes: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 500,
        min_bytes,
        ..fetch_request("t", from)
    }
}

#[test]
fn a_request_crosses_once_to_each_foreign_shard() {
    let mut broker = Broker::with_topic(4, "t", 8);
    let client = broker.connect(0);
    let mut request = produce_request("t", 0, -1, batch(&["a"]));
    for partition in 1..8 {
        let mut other = produce_request("t", partition, -1, batch(&["a"]));
        let more = &mut other.topic_data[0].partition_data;
        request.topic_data[0].partition_data.append(more);
    }
    broker.mesh_messages = 0;
    let response = call(&mut broker, client, 9, &request);
    assert_eq!(response.responses[0].partition_responses.len(), 8);
    assert_eq!(broker.mesh_messages, 6, "three there, three back");
    broker.mesh_messages = 0;
    let from: Vec<(i32, i64)> = (0..8).map(|partition| (partition, 0)).collect();
    let response = call(&mut broker, client, 12, &fetch_request("t", &from));
    assert_eq!(broker.mesh_messages, 6);
    for place in 0..8 {
        assert_eq!(values(&response, place), ["a"]);
    }
}

#[test]
fn a_waiting_fetch_is_woken_by_any_of_its_shards() {
    for partition in 0..3 {
        let mut broker = Broker::with_topic(3, "t", 3);
        let reader = broker.connect(0);
        let writer = broker.connect(1);
        let fetch = long_poll(&[(0, 0), (1, 0), (2, 0)], 1);
        broker.send(reader, frame(1, 12, &fetch));
        assert!(next::<FetchRequest>(&mut broker, reader, 12).is_none());
        produce(&mut broker, writer, "t", partition, batch(&["a"]));
        let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("woken");
        for place in 0..3 {
            let expected = usize::from(i32::try_from(place).expect("small") == partition);
            assert_eq!(values(&response, place).len(), expected);
        }
        for shard in &broker.shards {
            assert_eq!(shard.waiting_count(), (0, 0), "nothing is left behind");
        }
    }
}

#[test]
fn min_bytes_are_counted_over_all_shards() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let reader = broker.connect(0);
    let writer = broker.connect(0);
    let one = batch(&["0123456789"]);
    let wanted = i32::try_from(one.len() * 4).expect("small");
    produce(&mut broker, writer, "t", 0, one.clone());
    broker.send(reader, frame(1, 12, &long_poll(&[(0, 0), (1, 0)], wanted)));
    for partition in [1, 0] {
        produce(&mut broker, writer, "t", partition, one.clone());
        assert!(next::<FetchRequest>(&mut broker, reader, 12).is_none());
    }
    produce(&mut broker, writer, "t", 1, one);
    let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("enough");
    assert_eq!(values(&response, 0).len(), 2);
    assert_eq!(values(&response, 1).len(), 2);
    for shard in &broker.shards {
        assert_eq!(shard.waiting_count(), (0, 0));
    }
}

#[test]
fn the_deadline_of_a_fetch_over_several_shards_tells_what_each_has() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let reader = broker.connect(0);
    let writer = broker.connect(0);
    produce(&mut broker, writer, "t", 1, batch(&["early"]));
    broker.send(
        reader,
        frame(1, 12, &long_poll(&[(0, 0), (1, 0)], 1_000_000)),
    );
    produce(&mut broker, writer, "t", 0, batch(&["late"]));
    assert!(next::<FetchRequest>(&mut broker, reader, 12).is_none());
    broker.advance_ms(500);
    let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("its time is over");
    assert_eq!(values(&response, 0), ["late"]);
    assert_eq!(values(&response, 1), ["early"]);
}

#[test]
fn an_error_on_one_shard_ends_the_wait_on_all() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    let response = call(&mut broker, client, 12, &long_poll(&[(0, 0), (1, 99)], 1));
    let codes: Vec<i16> = response.responses[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code)
        .collect();
    assert_eq!(codes, [0, 1]);
    for shard in &broker.shards {
        assert_eq!(shard.waiting_count(), (0, 0));
    }
}
