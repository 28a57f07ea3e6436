// SPDX-License-Identifier: Apache-2.0
//! Tests of the response slots.
//!
//! Owns: nothing. Invariants: each test name states the rule it checks. Runs on: the test's thread.
//! Bounded by: its loops.

use super::*;
use proptest::prelude::*;

const ID: ConnectionId = ConnectionId(7);

fn bytes(text: &'static str) -> Outcome {
    Outcome::Send(vec![Bytes::from_static(text.as_bytes())])
}

fn sent(network: &mut Vec<NetworkEffect>) -> Vec<String> {
    let effects = std::mem::take(network);
    let texts = effects.into_iter().filter_map(|effect| match effect {
        NetworkEffect::Send { parts, .. } => Some(String::from_utf8(parts.concat()).expect("text")),
        NetworkEffect::Close { .. } => Some("close".to_owned()),
        NetworkEffect::ReceiveNext { .. } | NetworkEffect::Listen => None,
    });
    texts.collect()
}

fn connected() -> (ConnectionTable, Vec<NetworkEffect>) {
    let mut table = ConnectionTable::default();
    let mut network = Vec::new();
    table.handle_connected(ID, &mut network);
    (table, network)
}

fn frame(table: &mut ConnectionTable, network: &mut Vec<NetworkEffect>, len: usize) -> SlotId {
    let slot = table.handle_frame(ID, len).expect("open");
    table.handle_grant(ID, network);
    slot
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let (mut table, mut network) = connected();
    let first = frame(&mut table, &mut network, 1);
    let second = frame(&mut table, &mut network, 1);
    let third = frame(&mut table, &mut network, 1);
    network.clear();
    table.handle_outcome(third, bytes("3"), &mut network);
    table.handle_outcome(second, Outcome::Silent, &mut network);
    assert!(sent(&mut network).is_empty());
    table.handle_outcome(first, bytes("1"), &mut network);
    assert_eq!(sent(&mut network), ["1", "3"]);
}

#[test]
fn a_close_lets_earlier_answers_out_and_nothing_after_it() {
    let (mut table, mut network) = connected();
    let first = frame(&mut table, &mut network, 1);
    let second = frame(&mut table, &mut network, 1);
    let third = frame(&mut table, &mut network, 1);
    table.handle_outcome(second, Outcome::Close, &mut network);
    table.handle_outcome(third, bytes("3"), &mut network);
    network.clear();
    table.handle_outcome(first, bytes("1"), &mut network);
    assert_eq!(sent(&mut network), ["1", "close"]);
    assert_eq!(table.handle_frame(ID, 1), None);
    assert!(table.handle_disconnected(ID).is_empty());
}

#[test]
fn one_frame_is_granted_at_a_time_and_none_past_the_bound() {
    let (mut table, mut network) = connected();
    let mut slots = Vec::new();
    for _ in 0..REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX {
        assert_eq!(network.len(), 1, "one grant for one frame");
        network.clear();
        slots.push(frame(&mut table, &mut network, 1));
    }
    assert!(network.is_empty(), "the bound is reached");
    table.handle_outcome(slots[0], Outcome::Silent, &mut network);
    assert!(matches!(
        network[..],
        [NetworkEffect::ReceiveNext { connection: ID }]
    ));
}

#[test]
fn request_bytes_under_way_are_bounded() {
    let (mut table, mut network) = connected();
    network.clear();
    let slot = frame(&mut table, &mut network, FRAME_BYTES_MAX);
    assert!(network.is_empty());
    table.handle_outcome(slot, Outcome::Silent, &mut network);
    assert_eq!(network.len(), 1);
}

#[test]
fn a_connection_too_many_is_closed_at_once() {
    let mut table = ConnectionTable::default();
    let mut network = Vec::new();
    for id in 0..=CONNECTIONS_PER_SHARD_MAX {
        network.clear();
        table.handle_connected(ConnectionId(length_u64(id)), &mut network);
    }
    assert!(matches!(network[..], [NetworkEffect::Close { .. }]));
}

#[test]
fn a_client_that_leaves_gives_back_its_requests_under_way() {
    let (mut table, mut network) = connected();
    let first = frame(&mut table, &mut network, 1);
    let second = frame(&mut table, &mut network, 1);
    table.note_request(first, 41);
    table.note_request(second, 42);
    table.handle_outcome(second, bytes("2"), &mut network);
    assert_eq!(table.handle_disconnected(ID), [41]);
    network.clear();
    table.handle_outcome(first, bytes("1"), &mut network);
    assert!(network.is_empty());
}

proptest! {
    #[test]
    fn whatever_the_order_of_the_ends_the_answers_are_in_request_order(
        order in Just((0..REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let (mut table, mut network) = connected();
        let slots: Vec<SlotId> = (0..REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX)
            .map(|_| frame(&mut table, &mut network, 1))
            .collect();
        for index in order {
            let answer = Outcome::Send(vec![Bytes::from(format!("{index}"))]);
            table.handle_outcome(slots[index], answer, &mut network);
        }
        let expected: Vec<String> = (0..slots.len()).map(|index| index.to_string()).collect();
        prop_assert_eq!(sent(&mut network), expected);
    }
}
