// SPDX-License-Identifier: Apache-2.0
//! Many requests of one connection at once.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce_request, values,
};

#[test]
fn answers_come_in_request_order_though_later_requests_are_ready_first() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    let mut waiting = fetch_request("t", &[(0, 0)]);
    waiting.max_wait_ms = 100;
    broker.send(client, frame(1, 12, &waiting));
    broker.send(
        client,
        frame(2, 9, &produce_request("t", 1, -1, batch(&["a"]))),
    );
    broker.send(client, frame(3, 3, &ApiVersionsRequest::default()));
    assert!(broker.wires[&client].responses.is_empty());
    broker.advance_ms(100);
    let first = next::<FetchRequest>(&mut broker, client, 12).expect("first");
    let second = next::<ProduceRequest>(&mut broker, client, 9).expect("second");
    let third = next::<ApiVersionsRequest>(&mut broker, client, 3).expect("third");
    assert_eq!((first.0, second.0, third.0), (1, 2, 3));
}

#[test]
fn pipelined_batches_enter_the_log_in_their_order_on_either_core() {
    for partition in 0..2 {
        let mut broker = Broker::with_topic(2, "t", 2);
        let client = broker.connect(0);
        broker.hold = Hold::Everything;
        for number in 0..10 {
            let records = batch(&[&number.to_string()]);
            let request = produce_request("t", partition, -1, records);
            broker.send(client, frame(number, 9, &request));
        }
        broker.release();
        for number in 0..10 {
            let (correlation_id, response) =
                next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
            assert_eq!(correlation_id, number);
            let answer = only_produced(response);
            assert_eq!(
                (answer.error_code, answer.base_offset),
                (0, i64::from(number))
            );
        }
        let response = call(
            &mut broker,
            client,
            12,
            &fetch_request("t", &[(partition, 0)]),
        );
        let expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(values(&response, 0), expected);
    }
}

#[test]
fn thousands_of_waiting_fetches_are_woken_in_turns_and_all_are_answered() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let mut clients = Vec::new();
    for _ in 0..100 {
        let client = broker.connect(0);
        for _ in 0..30 {
            let mut waiting = fetch_request("t", &[(0, 0)]);
            waiting.max_wait_ms = 60_000;
            broker.send(client, frame(1, 12, &waiting));
        }
        clients.push(client);
    }
    assert_eq!(broker.shards[0].waiting_count(), (3000, 3000));
    let writer = broker.connect(0);
    let request = produce_request("t", 0, -1, batch(&["a"]));
    let answer = only_produced(call(&mut broker, writer, 9, &request));
    assert_eq!(answer.error_code, 0);
    for client in clients {
        for _ in 0..30 {
            let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("woken");
            assert_eq!(values(&response, 0), ["a"]);
        }
    }
    assert!(broker.largest_turn < 4096, "{}", broker.largest_turn);
}
