// SPDX-License-Identifier: Apache-2.0
//! Connections that are closed or made wait: caps of the broker and of an address, idleness, a
//! first request that does not come.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::limits::{CLOSINGS_TOLD_MS, CONNECTIONS_PER_SHARD_MAX, FIRST_REQUEST_MS};
use furlong::model::ids::ConnectionId;
use furlong::shard::ClosedFor;
use furlong::shard::contract::{Event, ProcessEffect};
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::fetch::FetchRequest;

use crate::broker::{Broker, Hold, IDLE_MS, peer};
use crate::client::{batch, call, fetch_request, frame, next, produce, produce_request};

/// Sets a broker setting on the running broker.
fn set(broker: &mut Broker, name: &str, value: &str) {
    broker.publish(|image| {
        let settings = image.broker_configs.entry(None).or_default();
        settings.insert(name.into(), value.into());
    });
    broker.settle();
}

fn is_closed(broker: &Broker, connection: ConnectionId) -> bool {
    broker.wires[&connection].closed
}

/// True if it may send a request now.
fn is_served(broker: &Broker, connection: ConnectionId) -> bool {
    let wire = &broker.wires[&connection];
    wire.grants > 0 && !wire.closed
}

/// A request that changes nothing.
fn ask(broker: &mut Broker, connection: ConnectionId) {
    call(broker, connection, 3, &ApiVersionsRequest::default());
}

fn closings(broker: &Broker, reason: ClosedFor) -> u64 {
    let numbers = broker.shards.iter().map(|shard| shard.numbers());
    let counts = numbers.flat_map(|numbers| numbers.closings);
    let of_reason = counts.filter(|(known, _)| *known == reason);
    of_reason.map(|(_, count)| count).sum()
}

fn notices(broker: &Broker) -> Vec<String> {
    let effects = broker
        .process
        .iter()
        .filter_map(|(_, effect)| match effect {
            ProcessEffect::Notice { sentence } => Some(sentence.to_string()),
            _ => None,
        });
    effects.collect()
}

#[test]
fn the_cap_of_the_broker_counts_the_connections_of_all_shards() {
    let mut broker = Broker::new(3);
    set(&mut broker, "max.connections", "2");
    let first = broker.connect(0);
    let second = broker.connect(1);
    let third = broker.connect(2);
    let fourth = broker.connect(0);
    assert!(is_served(&broker, first) && is_served(&broker, second));
    for waiting in [third, fourth] {
        assert!(
            !is_served(&broker, waiting),
            "past the cap nobody is served"
        );
        assert!(!is_closed(&broker, waiting), "nor closed, as in Kafka");
    }
    broker.disconnect(second);
    assert!(is_served(&broker, third), "in turn");
    assert!(!is_served(&broker, fourth));
    set(&mut broker, "max.connections", "3");
    assert!(is_served(&broker, fourth), "as soon as the cap is raised");
    ask(&mut broker, fourth);
}

#[test]
fn a_cap_that_is_lowered_ends_nobody_and_counts_those_who_are_there() {
    let mut broker = Broker::new(2);
    let clients: Vec<ConnectionId> = (0..4).map(|number| broker.connect(number % 2)).collect();
    set(&mut broker, "max.connections", "3");
    let late = broker.connect(1);
    for client in &clients {
        ask(&mut broker, *client);
    }
    broker.disconnect(clients[0]);
    assert!(!is_served(&broker, late), "there are three without it");
    broker.disconnect(clients[1]);
    assert!(is_served(&broker, late));
}

#[test]
fn one_that_waits_for_the_cap_is_not_closed_for_its_silence() {
    let mut broker = Broker::new(1);
    set(&mut broker, "max.connections", "1");
    let first = broker.connect(0);
    ask(&mut broker, first);
    let waiting = broker.connect(0);
    for _ in 0..4 {
        broker.advance_ms(FIRST_REQUEST_MS - 1);
        ask(&mut broker, first);
    }
    assert!(!is_closed(&broker, waiting));
    broker.disconnect(first);
    assert!(is_served(&broker, waiting));
    broker.advance_ms(FIRST_REQUEST_MS - 1);
    assert!(
        !is_closed(&broker, waiting),
        "its time began when it was served"
    );
    broker.advance_ms(1);
    assert!(is_closed(&broker, waiting));
}

#[test]
fn the_cap_of_an_address_closes_whoever_is_one_too_many_on_any_shard() {
    let mut broker = Broker::new(2);
    set(&mut broker, "max.connections.per.ip", "2");
    set(
        &mut broker,
        "max.connections.per.ip.overrides",
        "10.0.0.9:1",
    );
    let (one, nine) = (peer("10.0.0.1"), peer("10.0.0.9"));
    let first = broker.connect_from(0, one);
    let second = broker.connect_from(1, one);
    let third = broker.connect_from(0, one);
    let other = broker.connect_from(1, nine);
    let more = broker.connect_from(0, nine);
    let closed = [first, second, third, other, more].map(|client| is_closed(&broker, client));
    assert_eq!(closed, [false, false, true, false, true]);
    assert_eq!(closings(&broker, ClosedFor::PeerLimit), 2);
    broker.disconnect(third);
    broker.disconnect(first);
    let again = broker.connect_from(1, one);
    assert!(is_served(&broker, again), "a place is free");
}

#[test]
fn a_flood_of_refusals_is_told_in_few_lines() {
    let mut broker = Broker::new(1);
    set(&mut broker, "max.connections.per.ip", "0");
    for _ in 0..500 {
        let client = broker.connect(0);
        broker.disconnect(client);
    }
    assert_eq!(notices(&broker).len(), 1, "{:?}", notices(&broker));
    broker.advance_ms(CLOSINGS_TOLD_MS);
    let told = notices(&broker);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[1].contains("499 over max.connections.per.ip"),
        "{told:?}"
    );
    broker.advance_ms(10 * CLOSINGS_TOLD_MS);
    assert_eq!(notices(&broker).len(), 2, "there is no more to say");
}

#[test]
fn new_connections_are_served_at_the_rate_that_is_set() {
    let mut broker = Broker::new(2);
    set(&mut broker, "max.connection.creation.rate", "10");
    let clients: Vec<ConnectionId> = (0..25).map(|number| broker.connect(number % 2)).collect();
    let served = |broker: &Broker| {
        let served = clients.iter().filter(|client| is_served(broker, **client));
        served.count()
    };
    assert_eq!(served(&broker), 10);
    broker.advance_ms(500);
    assert_eq!(served(&broker), 15);
    broker.advance_ms(1000);
    assert_eq!(served(&broker), 25);
    assert!(clients.iter().all(|client| !is_closed(&broker, *client)));
}

#[test]
fn a_client_that_sends_no_whole_request_is_closed_in_time() {
    let mut broker = Broker::new(1);
    let (silent, dripping, asking) = (broker.connect(0), broker.connect(0), broker.connect(0));
    ask(&mut broker, asking);
    for _ in 0..FIRST_REQUEST_MS / 1000 - 1 {
        broker.advance_ms(1000);
        let progress = Event::Progress {
            connection: dripping,
        };
        broker.event(0, progress);
    }
    assert!(!is_closed(&broker, silent) && !is_closed(&broker, dripping));
    broker.advance_ms(1000);
    assert!(is_closed(&broker, silent));
    assert!(
        is_closed(&broker, dripping),
        "a byte a second is no request"
    );
    assert!(!is_closed(&broker, asking));
    assert_eq!(closings(&broker, ClosedFor::NoRequest), 2);
    let told = notices(&broker);
    assert!(
        told.iter().any(|line| line.contains("without a request")),
        "{told:?}"
    );
}

#[test]
fn an_idle_connection_is_closed_and_one_in_use_is_not() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let (idle, used) = (broker.connect(0), broker.connect(0));
    ask(&mut broker, idle);
    ask(&mut broker, used);
    for _ in 0..3 {
        broker.advance_ms(IDLE_MS / 3);
        produce(&mut broker, used, "t", 0, batch(&["a"]));
    }
    assert!(is_closed(&broker, idle));
    assert!(!is_closed(&broker, used));
    assert_eq!(closings(&broker, ClosedFor::Idleness), 1);
    assert_eq!(
        notices(&broker),
        Vec::<String>::new(),
        "that is how it should be"
    );
}

#[test]
fn a_request_under_way_and_a_parked_fetch_are_not_idle() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let (fetching, producing) = (broker.connect(0), broker.connect(0));
    let mut parked = fetch_request("t", &[(1, 0)]);
    parked.max_wait_ms = i32::try_from(2 * IDLE_MS).expect("minutes");
    broker.send(fetching, frame(1, 12, &parked));
    broker.hold = Hold::Everything;
    let request = produce_request("t", 0, 1, batch(&["a"]));
    broker.send(producing, frame(2, 9, &request));
    broker.advance_ms(IDLE_MS + 1);
    assert!(!is_closed(&broker, fetching) && !is_closed(&broker, producing));
    broker.release();
    broker.advance_ms(IDLE_MS - 2);
    assert!(next::<FetchRequest>(&mut broker, fetching, 12).is_none());
    assert!(
        !is_closed(&broker, producing),
        "its time began with its answer"
    );
    broker.advance_ms(2);
    assert!(is_closed(&broker, producing));
    assert!(!is_closed(&broker, fetching), "it has just been answered");
    next::<FetchRequest>(&mut broker, fetching, 12).expect("the fetch is over");
    broker.advance_ms(IDLE_MS);
    assert!(is_closed(&broker, fetching));
}

#[test]
fn a_frame_that_goes_on_coming_is_not_idle() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    ask(&mut broker, client);
    let connection = client;
    for _ in 0..5 {
        broker.advance_ms(IDLE_MS - 1);
        broker.event(0, Event::Progress { connection });
    }
    assert!(!is_closed(&broker, client));
    broker.advance_ms(IDLE_MS);
    assert!(is_closed(&broker, client));
}

#[test]
fn a_shard_serves_so_many_connections_and_closes_the_next() {
    let mut broker = Broker::new(1);
    for _ in 0..CONNECTIONS_PER_SHARD_MAX {
        broker.connect(0);
    }
    let further = broker.connect(0);
    assert!(is_closed(&broker, further));
    assert_eq!(closings(&broker, ClosedFor::ShardLimit), 1);
}

#[test]
fn the_descriptors_of_the_process_bound_the_connections_of_all_shards() {
    let mut broker = Broker::new(2);
    let mut last = broker.connect(0);
    for number in 1..crate::broker::CONNECTIONS_MAX {
        last = broker.connect(number % 2);
    }
    assert!(is_served(&broker, last));
    let further = broker.connect(0);
    assert!(is_closed(&broker, further), "without any setting");
    assert_eq!(closings(&broker, ClosedFor::Descriptors), 1);
    broker.disconnect(last);
    let further = broker.connect(1);
    assert!(is_served(&broker, further));
}
