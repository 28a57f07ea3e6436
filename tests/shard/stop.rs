// SPDX-License-Identifier: Apache-2.0
//! The end of a shard: in order, or because its disk failed.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::shard::contract::{Event, ProcessEffect};
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold};
use crate::client::{batch, frame, next, only_produced, produce, produce_request};

#[test]
fn a_shard_says_stopped_once_and_only_when_everything_is_on_disk() {
    let mut broker = Broker::with_topic(1, "t", 3);
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
    broker.event(0, Event::Stop);
    assert!(broker.process.is_empty(), "a flush is under way");
    broker.release();
    assert_eq!(broker.process, [(0, ProcessEffect::Stopped)]);
    let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
    assert_eq!(only_produced(response).error_code, 0);
    assert!(broker.wires[&client].closed);
    broker.event(0, Event::Stop);
    assert_eq!(broker.process.len(), 1);
}

#[test]
fn a_shard_without_partitions_stops_at_once() {
    let mut broker = Broker::new(2);
    broker.event(1, Event::Stop);
    assert_eq!(broker.process, [(1, ProcessEffect::Stopped)]);
}

#[test]
fn a_shard_that_is_told_to_stop_while_it_opens_stops_after_it() {
    let mut broker = Broker::new(1);
    broker.hold = Hold::Everything;
    broker.controller.add_topic("t", 2, &[]);
    broker.publish(|_| {});
    broker.settle();
    broker.event(0, Event::Stop);
    assert!(broker.process.is_empty());
    broker.release();
    assert_eq!(broker.process, [(0, ProcessEffect::Stopped)]);
}

#[test]
fn a_shard_that_starts_again_serves_what_it_had() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a", "b"]));
    broker.event(0, Event::Stop);
    broker.restart();
    let client = broker.connect(0);
    let answer = produce(&mut broker, client, "t", 0, batch(&["c"]));
    assert_eq!((answer.error_code, answer.base_offset), (0, 2));
}
