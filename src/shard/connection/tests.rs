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

/// Connected, and admitted.
fn connect(table: &mut ConnectionTable, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
    table.handle_connected(id, PeerAddress::UNKNOWN, network);
    table.handle_admitted(id, network);
}

fn connected() -> (ConnectionTable, Vec<NetworkEffect>) {
    let mut table = ConnectionTable::default();
    let mut network = Vec::new();
    connect(&mut table, ID, &mut network);
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
    table.handle_outcome(third, bytes("3"), None, &mut network);
    table.handle_outcome(second, Outcome::Silent, None, &mut network);
    assert!(sent(&mut network).is_empty());
    table.handle_outcome(first, bytes("1"), None, &mut network);
    assert_eq!(sent(&mut network), ["1", "3"]);
}

fn times(ended_us: u64) -> RequestTimes {
    RequestTimes {
        api: 0,
        arrived_us: 0,
        handled_us: 0,
        ended_us,
        way: Default::default(),
        subject: Default::default(),
    }
}

#[test]
fn requests_are_told_as_they_leave_and_also_when_nobody_takes_their_answer() {
    let (mut table, mut network) = connected();
    let slots: Vec<SlotId> = (0..4).map(|_| frame(&mut table, &mut network, 1)).collect();
    let left = |table: &mut ConnectionTable| {
        let mut list = table.take_left();
        let told: Vec<(u64, bool)> = list
            .drain(..)
            .map(|left| (left.times.ended_us, left.is_answered))
            .collect();
        table.keep_left(list);
        told
    };
    table.handle_outcome(slots[1], bytes("1"), Some(times(1)), &mut network);
    assert_eq!(left(&mut table), [], "it waits for the one before");
    table.handle_outcome(slots[0], Outcome::Silent, Some(times(2)), &mut network);
    assert_eq!(left(&mut table), [(2, true), (1, true)]);
    // One that could not be read has no times, and is not told.
    table.handle_outcome(slots[3], Outcome::Close, None, &mut network);
    let _ = table.handle_disconnected(ID);
    table.handle_outcome(slots[2], bytes("2"), Some(times(3)), &mut network);
    assert_eq!(left(&mut table), [(3, false)]);
    table.note_client(ID, Some("gone"));
    assert_eq!(table.client_of(ID), None);
}

#[test]
fn a_close_lets_earlier_answers_out_and_nothing_after_it() {
    let (mut table, mut network) = connected();
    let first = frame(&mut table, &mut network, 1);
    let second = frame(&mut table, &mut network, 1);
    let third = frame(&mut table, &mut network, 1);
    table.handle_outcome(second, Outcome::Close, None, &mut network);
    table.handle_outcome(third, bytes("3"), None, &mut network);
    network.clear();
    table.handle_outcome(first, bytes("1"), None, &mut network);
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
    table.handle_outcome(slots[0], Outcome::Silent, None, &mut network);
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
    table.handle_outcome(slot, Outcome::Silent, None, &mut network);
    assert_eq!(network.len(), 1);
}

#[test]
fn a_connection_too_many_is_closed_at_once() {
    let mut table = ConnectionTable::default();
    let mut network = Vec::new();
    for id in 0..=CONNECTIONS_PER_SHARD_MAX {
        network.clear();
        connect(&mut table, ConnectionId(length_u64(id)), &mut network);
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
    table.handle_outcome(second, bytes("2"), None, &mut network);
    assert_eq!(table.handle_disconnected(ID), [41]);
    network.clear();
    table.handle_outcome(first, bytes("1"), None, &mut network);
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
            table.handle_outcome(slots[index], answer, None, &mut network);
        }
        let expected: Vec<String> = (0..slots.len()).map(|index| index.to_string()).collect();
        prop_assert_eq!(sent(&mut network), expected);
    }
}

fn grants(network: &mut Vec<NetworkEffect>) -> Vec<ConnectionId> {
    let effects = std::mem::take(network);
    let grants = effects.into_iter().filter_map(|effect| match effect {
        NetworkEffect::ReceiveNext { connection } => Some(connection),
        _ => None,
    });
    grants.collect()
}

#[test]
fn without_memory_nobody_is_granted_a_frame_and_later_everybody_in_turn() {
    let (mut table, mut network) = connected();
    assert_eq!(grants(&mut network), [ID]);
    table.handle_hold(true);
    let others: Vec<ConnectionId> = (10..13).map(ConnectionId).collect();
    for id in &others {
        connect(&mut table, *id, &mut network);
    }
    let slot = frame(&mut table, &mut network, 5);
    table.handle_outcome(slot, Outcome::Silent, None, &mut network);
    assert!(grants(&mut network).is_empty() && !table.has_next_grant());
    assert!(table.handle_disconnected(others[1]).is_empty());
    table.handle_hold(false);
    let mut granted = Vec::new();
    while table.has_next_grant() {
        table.handle_next_grant(&mut network);
        granted.extend(grants(&mut network));
    }
    assert_eq!(granted, [others[0], others[2], ID]);
    table.handle_grant(ID, &mut network);
    assert!(grants(&mut network).is_empty(), "one at a time");
}

#[test]
fn frames_count_until_their_requests_end_also_without_their_client() {
    let (mut table, mut network) = connected();
    let slots: Vec<SlotId> = (1..=4)
        .map(|len| frame(&mut table, &mut network, len))
        .collect();
    assert_eq!(
        (table.frame_bytes(), table.frame_bytes_of(slots[2])),
        (10, 3)
    );
    table.handle_outcome(slots[1], bytes("answer"), None, &mut network);
    assert_eq!(
        table.frame_bytes(),
        8,
        "its turn has not come, but its frame is gone"
    );
    let _ = table.handle_disconnected(ID);
    assert_eq!(table.frame_bytes(), 8);
    table.handle_outcome(slots[0], bytes("late"), None, &mut network);
    table.forget(slots[2]);
    table.forget(slots[2]);
    assert_eq!(table.frame_bytes(), 4);
    table.handle_outcome(slots[3], Outcome::Close, None, &mut network);
    assert_eq!((table.frame_bytes(), table.outbound_bytes()), (0, 0));
}

#[test]
fn answers_count_until_they_are_gone() {
    let (mut table, mut network) = connected();
    let first = frame(&mut table, &mut network, 1);
    let second = frame(&mut table, &mut network, 1);
    let third = frame(&mut table, &mut network, 1);
    let fourth = frame(&mut table, &mut network, 1);
    table.handle_outcome(second, bytes("22"), None, &mut network);
    assert_eq!(table.outbound_bytes(), 2, "it waits for its turn");
    table.handle_outcome(first, bytes("1"), None, &mut network);
    table.handle_sent(3);
    assert_eq!(table.outbound_bytes(), 0);
    table.handle_outcome(fourth, bytes("4444"), None, &mut network);
    table.handle_outcome(third, Outcome::Close, None, &mut network);
    let late = table.handle_frame(ID, 9);
    assert_eq!(late, None, "it is closing");
    let _ = table.handle_disconnected(ID);
    assert_eq!(
        (table.outbound_bytes(), table.frame_bytes()),
        (0, 0),
        "never sent"
    );
}

proptest! {
    #[test]
    fn nothing_is_left_of_what_has_ended(
        steps in proptest::collection::vec((0u64..3, 0usize..8, 0usize..100), 1..200),
    ) {
        let mut table = ConnectionTable::default();
        let mut network = Vec::new();
        let mut under_way = Vec::new();
        let mut next_id = 10;
        let mut ids = [ConnectionId(0), ConnectionId(1), ConnectionId(2)];
        for id in ids {
            connect(&mut table, id, &mut network);
        }
        let mut granted: Vec<ConnectionId> = grants(&mut network);
        for (who, what, number) in steps {
            let who = usize::try_from(who).expect("small");
            match what {
                0 => table.handle_hold(number % 2 == 0),
                1 if number % 5 == 0 => {
                    let _ = table.handle_disconnected(ids[who]);
                    granted.retain(|id| *id != ids[who]);
                    next_id += 1;
                    ids[who] = ConnectionId(next_id);
                    connect(&mut table, ids[who], &mut network);
                }
                2 | 3 if !under_way.is_empty() => {
                    let slot = under_way.swap_remove(number % under_way.len());
                    let outcome = if number == 7 { Outcome::Close } else { bytes("answer") };
                    table.handle_outcome(slot, outcome, None, &mut network);
                }
                4 if table.has_next_grant() => table.handle_next_grant(&mut network),
                _ => {
                    if let Some(place) = granted.iter().position(|id| *id == ids[who]) {
                        granted.swap_remove(place);
                        under_way.extend(table.handle_frame(ids[who], number));
                        table.handle_grant(ids[who], &mut network);
                    }
                }
            }
            for effect in network.drain(..) {
                match effect {
                    NetworkEffect::ReceiveNext { connection } => {
                        prop_assert!(!granted.contains(&connection), "one at a time");
                        granted.push(connection);
                    }
                    NetworkEffect::Send { parts, .. } => table.handle_sent(parts.concat().len()),
                    _ => {}
                }
            }
        }
        for slot in under_way {
            table.handle_outcome(slot, Outcome::Silent, None, &mut network);
        }
        for effect in network.drain(..) {
            if let NetworkEffect::Send { parts, .. } = effect {
                table.handle_sent(parts.concat().len());
            }
        }
        for id in ids {
            let _ = table.handle_disconnected(id);
        }
        prop_assert_eq!((table.frame_bytes(), table.outbound_bytes()), (0, 0));
        prop_assert!(table.waiting.is_empty() && table.orphans.is_empty());
    }
}

#[test]
fn a_connection_that_waits_for_an_answer_goes_on_with_that_one_whatever_it_is() {
    let grants = |network: &mut Vec<NetworkEffect>| {
        let effects = std::mem::take(network);
        let is_grant = |one: &NetworkEffect| matches!(one, NetworkEffect::ReceiveNext { .. });
        effects.iter().filter(|one| is_grant(one)).count()
    };
    for outcome in [Outcome::Silent, bytes("2")] {
        let (mut table, mut network) = connected();
        let first = frame(&mut table, &mut network, 1);
        let second = table.handle_frame(ID, 1).expect("open");
        table.handle_mute_until_answered(ID);
        network.clear();
        table.handle_grant(ID, &mut network);
        table.handle_outcome(first, bytes("1"), None, &mut network);
        assert_eq!(grants(&mut network), 0, "an earlier one says nothing");
        table.handle_outcome(second, outcome, None, &mut network);
        assert_eq!(grants(&mut network), 1);
        // If the answer says a time, that counts instead.
        let third = table.handle_frame(ID, 1).expect("open");
        table.handle_mute_until_answered(ID);
        table.handle_mute(ID, 5);
        table.handle_outcome(third, bytes("3"), None, &mut network);
        assert_eq!(grants(&mut network), 0);
        assert_eq!((table.muted_count(), table.next_deadline()), (1, Some(5)));
        table.now_us = 5;
        assert!(table.handle_mute_over(&mut network));
        assert_eq!((grants(&mut network), table.muted_count()), (1, 0));
    }
}
