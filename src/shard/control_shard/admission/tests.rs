// SPDX-License-Identifier: Apache-2.0
//! Tests of the count of connections.
//!
//! Owns: nothing. Invariants: each test name states the rule it checks. Runs on: the test's thread.
//! Bounded by: its loops.

use super::*;
use proptest::prelude::*;

fn at(monotonic_us: MonotonicUs) -> Now {
    Now {
        monotonic_us,
        wall_ms: 0,
    }
}

fn peer(number: u8) -> PeerAddress {
    PeerAddress::parse(&format!("10.0.0.{number}")).expect("an address")
}

fn arrived(connection: u64, from: u8) -> Arrived {
    Arrived {
        shard: ShardId(u16::from(from) % 3),
        connection: ConnectionId(connection),
        peer: peer(from),
        waits: true,
    }
}

fn limited(limits: ConnectionLimits) -> Admission {
    let mut admission = Admission::new(1000);
    admission.handle_limits(at(0), limits, &mut Vec::new());
    admission
}

/// The verdicts as connection and outcome.
fn said(verdicts: &mut Vec<Verdict>) -> Vec<(u64, Result<(), Refusal>)> {
    let all = std::mem::take(verdicts);
    all.into_iter()
        .map(|one| (one.connection.0, one.result))
        .collect()
}

#[test]
fn past_the_limit_of_the_broker_they_wait_and_are_served_in_turn() {
    let mut admission = limited(ConnectionLimits {
        all: 2,
        ..ConnectionLimits::default()
    });
    let mut verdicts = Vec::new();
    for connection in 0..5 {
        admission.handle_arrived(at(0), arrived(connection, 1), &mut verdicts);
    }
    assert_eq!(said(&mut verdicts), [(0, Ok(())), (1, Ok(()))]);
    assert_eq!(admission.counts(), (2, 3));
    admission.handle_left(at(0), ConnectionId(3), &mut verdicts);
    assert_eq!(said(&mut verdicts), [], "it only waited");
    admission.handle_left(at(0), ConnectionId(0), &mut verdicts);
    assert_eq!(said(&mut verdicts), [(2, Ok(()))]);
    let raised = ConnectionLimits {
        all: 9,
        ..ConnectionLimits::default()
    };
    admission.handle_limits(at(0), raised, &mut verdicts);
    assert_eq!(said(&mut verdicts), [(4, Ok(()))]);
    assert_eq!(admission.next_deadline(), None);
}

#[test]
fn past_the_limit_of_an_address_they_are_refused() {
    let mut admission = limited(ConnectionLimits {
        from_one: 1,
        overrides: [(peer(9), 2), (peer(8), 0)].into(),
        ..ConnectionLimits::default()
    });
    let mut verdicts = Vec::new();
    let from = [(0, 1), (1, 1), (2, 2), (3, 9), (4, 9), (5, 9), (6, 8)];
    for (connection, from) in from {
        admission.handle_arrived(at(0), arrived(connection, from), &mut verdicts);
    }
    let (yes, no) = (Ok(()), Err(Refusal::Peer));
    let expected = [
        (0, yes),
        (1, no),
        (2, yes),
        (3, yes),
        (4, yes),
        (5, no),
        (6, no),
    ];
    assert_eq!(said(&mut verdicts), expected);
    // What was refused does not count when it ends.
    admission.handle_left(at(0), ConnectionId(1), &mut verdicts);
    admission.handle_arrived(at(0), arrived(7, 1), &mut verdicts);
    admission.handle_left(at(0), ConnectionId(0), &mut verdicts);
    admission.handle_arrived(at(0), arrived(8, 1), &mut verdicts);
    assert_eq!(said(&mut verdicts), [(7, no), (8, yes)]);
}

#[test]
fn one_address_does_not_fill_the_queue_of_those_who_wait() {
    let mut admission = limited(ConnectionLimits {
        all: 0,
        from_one: 2,
        ..ConnectionLimits::default()
    });
    let mut verdicts = Vec::new();
    for connection in 0..3 {
        admission.handle_arrived(at(0), arrived(connection, 1), &mut verdicts);
    }
    assert_eq!(said(&mut verdicts), [(2, Err(Refusal::Peer))]);
    assert_eq!(admission.counts(), (0, 2));
}

#[test]
fn descriptors_bound_all_of_them_and_the_queue_has_a_bound_of_its_own() {
    let mut admission = Admission::new(3);
    let mut verdicts = Vec::new();
    for connection in 0..4 {
        let arrived = Arrived {
            waits: false,
            ..arrived(connection, 1)
        };
        admission.handle_arrived(at(0), arrived, &mut verdicts);
    }
    assert_eq!(said(&mut verdicts), [(3, Err(Refusal::Descriptors))]);
    let mut admission = Admission::new(usize::MAX);
    let none = ConnectionLimits {
        all: 0,
        ..ConnectionLimits::default()
    };
    admission.handle_limits(at(0), none, &mut verdicts);
    let most = u64::try_from(CONNECTIONS_HELD_MAX).expect("small");
    for connection in 0..=most {
        admission.handle_arrived(at(0), arrived(connection, 1), &mut verdicts);
    }
    assert_eq!(said(&mut verdicts), [(most, Err(Refusal::Held))]);
}

#[test]
fn a_rate_lets_a_second_of_them_through_at_once_and_then_keeps_its_pace() {
    let mut admission = limited(ConnectionLimits {
        new_per_second: Some(4),
        ..ConnectionLimits::default()
    });
    let mut verdicts = Vec::new();
    let start = 50_000_000;
    for connection in 0..10 {
        admission.handle_arrived(at(start), arrived(connection, 1), &mut verdicts);
    }
    let first = said(&mut verdicts).len();
    assert_eq!(first, 4, "at once");
    let mut served = first;
    let mut now = start;
    while let Some(due) = admission.next_deadline() {
        assert!(due > now, "nobody is kept waiting who is due");
        now = due;
        admission.handle_timeout(at(now), &mut verdicts);
        served += said(&mut verdicts).len();
    }
    assert_eq!(served, 10);
    assert_eq!(now - start, 1_500_000);
    let none = ConnectionLimits {
        new_per_second: Some(0),
        ..ConnectionLimits::default()
    };
    admission.handle_limits(at(now), none, &mut verdicts);
    admission.handle_arrived(at(now + 1_000_000_000), arrived(99, 1), &mut verdicts);
    assert_eq!(said(&mut verdicts), []);
    assert_eq!(admission.next_deadline(), None, "a rate of 0 serves nobody");
}

proptest! {
    #[test]
    fn never_more_are_served_than_may_be_and_nobody_is_forgotten(
        steps in proptest::collection::vec((0u8..4, 0u64..40, 0u8..4), 1..200),
        all in 0usize..6,
        from_one in 1usize..4,
    ) {
        let mut admission = limited(ConnectionLimits { all, from_one, ..Default::default() });
        let (mut verdicts, mut known) = (Vec::new(), BTreeMap::new());
        let mut next = 0;
        for (step, which, from) in steps {
            if step > 0 {
                admission.handle_arrived(at(0), arrived(next, from), &mut verdicts);
                known.insert(next, (from, None));
                next += 1;
            } else if known.remove(&which).is_some() {
                admission.handle_left(at(0), ConnectionId(which), &mut verdicts);
            }
            for (connection, result) in said(&mut verdicts) {
                let (_, outcome) = known.get_mut(&connection).expect("it is connected");
                prop_assert_eq!(*outcome, None, "one verdict each");
                *outcome = Some(result);
            }
            let served = known.values().filter(|(_, outcome)| *outcome == Some(Ok(())));
            let waiting = known.values().filter(|(_, outcome)| outcome.is_none());
            prop_assert_eq!(admission.counts(), (served.clone().count(), waiting.clone().count()));
            prop_assert!(served.clone().count() <= all);
            let is_full = served.clone().count() == all;
            prop_assert!(is_full || waiting.count() == 0, "a place is free and somebody waits");
            for peer in 0..4 {
                prop_assert!(served.clone().filter(|(from, _)| *from == peer).count() <= from_one);
            }
        }
    }
}
