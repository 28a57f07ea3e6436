// SPDX-License-Identifier: Apache-2.0
//! Connections whose next frame waits for an answer that may hold their client back, and that go on
//! however the request ends.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::quota::QuotaKind;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold};
use crate::client::{call, fetch_request, frame, next, produce_request};
use crate::quotas::{CLIENT, batch_of, client_id, is_granted, set};

#[test]
fn a_quota_that_is_taken_away_while_a_request_is_under_way_leaves_nobody_muted() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let rates = [
        QuotaKind::ProducerByteRate,
        QuotaKind::ConsumerByteRate,
        QuotaKind::ControllerMutationRate,
    ];
    let quotas = rates.map(|kind| (client_id(CLIENT), kind, 1_000.0));
    set(&mut broker, &quotas);
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    let large = frame(1, 9, &produce_request("t", 0, -1, batch_of(15_000)));
    broker.send(client, large);
    assert!(!is_granted(&broker, client));
    set(&mut broker, &[]);
    broker.release();
    let (_, answer) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
    assert_eq!(answer.throttle_time_ms, 0);
    assert!(is_granted(&broker, client));
    // The same with a fetch that waits.
    set(&mut broker, &quotas);
    let waiting = FetchRequest {
        max_wait_ms: 500,
        ..fetch_request("t", &[(0, 1)])
    };
    broker.send(client, frame(2, 12, &waiting));
    assert!(!is_granted(&broker, client), "only its answer can say");
    set(&mut broker, &[]);
    broker.advance_ms(500);
    let (_, answer) = next::<FetchRequest>(&mut broker, client, 12).expect("answered");
    assert_eq!(answer.throttle_time_ms, 0);
    assert!(is_granted(&broker, client));
}

#[test]
fn a_fetch_of_a_client_within_its_quota_keeps_back_the_next_frame_for_as_long_as_it_waits() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ConsumerByteRate, 1_000.0)],
    );
    let client = broker.connect(0);
    let waiting = FetchRequest {
        max_wait_ms: 500,
        ..fetch_request("t", &[(0, 0)])
    };
    broker.send(client, frame(2, 12, &waiting));
    assert!(!is_granted(&broker, client));
    broker.advance_ms(499);
    assert!(!is_granted(&broker, client));
    broker.advance_ms(1);
    let (_, answer) = next::<FetchRequest>(&mut broker, client, 12).expect("answered");
    assert_eq!(answer.throttle_time_ms, 0);
    assert!(is_granted(&broker, client));
    assert_eq!(broker.shards[0].numbers().muted, 0);
    // One that is refused lets it go on as well.
    let stranger = FetchRequest {
        session_id: 77,
        session_epoch: 3,
        ..fetch_request("t", &[(0, 0)])
    };
    assert_ne!(call(&mut broker, client, 12, &stranger).error_code, 0);
    assert!(is_granted(&broker, client));
}
