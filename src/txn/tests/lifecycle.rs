// SPDX-License-Identifier: Apache-2.0
//! What goes on by itself: markers, restarts, time; and what is told to those who look.

use super::*;

#[test]
fn markers_are_repeated_where_they_are_missing_and_nowhere_else() {
    let mut bench = Bench::new();
    let one = bench.producer();
    for partition in 0..4 {
        assert_eq!(bench.add(one, at("t", partition), 0), ErrorCode::None);
    }
    bench.holds_markers = true;
    assert_eq!(bench.end(one, true, 0), Ok(one));
    let outcomes = [
        MarkerOutcome::Written,
        MarkerOutcome::Later,
        MarkerOutcome::Gone,
        MarkerOutcome::Fenced,
    ];
    bench.answer_markers(&outcomes);
    assert_eq!(bench.state(), Some(State::PrepareCommit));
    assert!(bench.markers.is_empty(), "not at once");
    let described = describe(&mut bench);
    assert_eq!(described.topics[0].partitions, [1], "one is missing");
    bench.advance_ms(20);
    assert_eq!(bench.markers[0].partitions, [at("t", 1)]);
    bench.answer_markers(&[MarkerOutcome::Later]);
    bench.advance_ms(39);
    assert!(bench.markers.is_empty(), "later each time");
    bench.advance_ms(1);
    bench.answer_markers(&[MarkerOutcome::Written]);
    assert_eq!(bench.state(), Some(State::CompleteCommit));
    assert_eq!(
        bench.told,
        [(at("t", 0), one, true), (at("t", 1), one, true)]
    );
}

#[test]
fn what_was_decided_goes_on_after_a_restart() {
    for is_commit in [true, false] {
        let mut bench = Bench::new();
        let first = bench.producer();
        assert_eq!(bench.add(first, at("t", 0), 2), ErrorCode::None);
        bench.holds_markers = true;
        let second = bench.end(first, is_commit, 2).expect("it is open");
        bench.restart();
        assert_eq!(bench.markers[0].coordinator_epoch, EPOCH + 1);
        bench.holds_markers = false;
        bench.settle();
        assert_eq!(bench.told, [(at("t", 0), second, is_commit)]);
        assert_eq!(bench.end(first, is_commit, 2), Ok(second));
    }
}

#[test]
fn what_was_not_decided_is_as_it_was_before() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 2), ErrorCode::None);
    bench.holds = true;
    let lost = bench.put(end_call(one, true, 2));
    assert!(bench.markers.is_empty(), "nobody is told before the log is");
    bench.holds = false;
    bench.restart();
    assert_eq!(bench.take(lost), None);
    assert_eq!(bench.state(), Some(State::Ongoing));
    assert!(bench.end(one, false, 2).is_ok());
}

#[test]
fn a_record_behind_the_markers_that_is_lost_is_written_again() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    bench.holds_markers = true;
    assert_eq!(bench.end(one, true, 0), Ok(one));
    bench.holds = true;
    bench.answer_markers(&[MarkerOutcome::Written]);
    bench.lose(WriteError::Unavailable);
    assert_eq!(bench.state(), Some(State::PrepareCommit));
    bench.holds = false;
    bench.advance_ms(20);
    assert_eq!(bench.state(), Some(State::CompleteCommit));
    assert_eq!(bench.told.len(), 1, "no marker is written twice for it");
}

#[test]
fn a_transaction_that_lasts_too_long_is_aborted_and_its_producer_fenced() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    bench.advance_ms(30_000);
    assert_eq!(bench.add(one, at("t", 1), 0), ErrorCode::None);
    bench.advance_ms(29_999);
    assert_eq!(bench.state(), Some(State::Ongoing), "since its begin");
    bench.advance_ms(1);
    assert_eq!(bench.state(), Some(State::CompleteAbort));
    let fence = producer(one.id, one.epoch + 1);
    assert_eq!(
        bench.told,
        [(at("t", 0), fence, false), (at("t", 1), fence, false)]
    );
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::ProducerFenced);
    assert_eq!(bench.end(one, true, 0), Err(ErrorCode::ProducerFenced));
    // Who hears of it by its own end cannot commit; it may go on (KIP-890).
    assert_eq!(bench.end(one, true, 2), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.end(one, false, 2), Ok(fence));
}

#[test]
fn the_time_of_a_transaction_goes_on_over_a_restart() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    bench.advance_ms(50_000);
    bench.restart();
    bench.advance_ms(9_999);
    assert_eq!(bench.state(), Some(State::Ongoing));
    bench.advance_ms(1);
    assert_eq!(bench.state(), Some(State::CompleteAbort));
}

#[test]
fn a_lost_abort_is_tried_again() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    bench.holds = true;
    bench.advance_ms(60_000);
    bench.lose(WriteError::Unavailable);
    assert!(bench.held.is_empty(), "not at once");
    assert_eq!(bench.state(), Some(State::Ongoing));
    bench.holds = false;
    bench.advance_ms(1_000);
    assert_eq!(bench.state(), Some(State::CompleteAbort));
}

#[test]
fn ids_expire_once_nothing_is_open() {
    let mut bench = Bench::with(&[
        ("transactional.id.expiration.ms", "100000"),
        (
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            "1000",
        ),
    ]);
    let one = bench.producer();
    bench.advance_ms(99_000);
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    bench.advance_ms(50_000);
    assert_eq!(bench.end(one, true, 0), Ok(one));
    bench.advance_ms(99_000);
    assert_eq!(bench.state(), Some(State::CompleteCommit), "since its end");
    bench.holds = true;
    bench.advance_ms(1_000);
    assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
    bench.commit_log();
    assert_eq!(bench.state(), None);
    assert_eq!(bench.coordinator.count(), 0);
    let unknown = bench.add(one, at("t", 0), 0);
    assert_eq!(unknown, ErrorCode::InvalidProducerIdMapping);
    bench.restart();
    assert_eq!(bench.state(), None, "the tombstone is in the log");
    assert_ne!(bench.producer().id, one.id);
}

#[test]
fn who_waits_is_told_when_the_coordinator_is_given_up() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 2), ErrorCode::None);
    bench.holds = true;
    let end = bench.put(end_call(one, true, 2));
    let patient = bench.put(TxnCall::AddPartitions(AddPartitions {
        patience_ms: 500,
        ..add_of(one, at("t", 1), 2)
    }));
    bench.coordinator.handle_unload(&mut bench.effects);
    bench.settle();
    let code = ErrorCode::NotCoordinator;
    assert_eq!(bench.take(end), Some(TxnAnswer::Ended(Err(code))));
    assert_eq!(bench.take(patient).map(added), Some(code));
    assert!(bench.coordinator.is_idle());
    let answer = bench.ask(init_call(None));
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(answer, TxnAnswer::Init(Err(loading)));
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let mut bench = Bench::new();
    let one = bench.producer();
    let partitions = (0..200_000).map(|partition| at("a-topic", partition));
    let answer = bench.ask(TxnCall::AddPartitions(AddPartitions {
        partitions: partitions.collect(),
        ..add_of(one, at("t", 0), 2)
    }));
    assert_eq!(added(answer), ErrorCode::None, "800 kB are not too large");
    let partitions = (0..200_000).map(|partition| at("b-topic", partition));
    let answer = bench.ask(TxnCall::AddPartitions(AddPartitions {
        partitions: partitions.collect(),
        ..add_of(one, at("t", 0), 2)
    }));
    assert_eq!(added(answer), ErrorCode::UnknownServerError);
    assert_eq!(bench.state(), Some(State::Ongoing));
}

fn describe(bench: &mut Bench) -> crate::wire::protocol::describe_transactions::TransactionState {
    let answer = bench.ask(TxnCall::Describe {
        transactional_id: ID.into(),
    });
    let TxnAnswer::Described(state) = answer else {
        panic!("another answer: {answer:?}");
    };
    state
}

#[test]
fn a_transaction_is_described() {
    let mut bench = Bench::new();
    let not_found = describe(&mut bench);
    assert_eq!(not_found.error_code, 105);
    let one = bench.producer();
    bench.advance_ms(5);
    assert_eq!(bench.add(one, at("b", 1), 2), ErrorCode::None);
    assert_eq!(bench.add(one, at("a", 0), 2), ErrorCode::None);
    let described = describe(&mut bench);
    assert_eq!(
        (described.error_code, &*described.transaction_state),
        (0, "Ongoing")
    );
    assert_eq!(described.transaction_timeout_ms, TIMEOUT_MS);
    assert_eq!(described.transaction_start_time_ms, 1_700_000_000_005);
    assert_eq!(
        (described.producer_id, described.producer_epoch),
        (one.id, 0)
    );
    let topics: Vec<(&str, &[i32])> = described
        .topics
        .iter()
        .map(|topic| (&*topic.topic, &topic.partitions[..]))
        .collect();
    assert_eq!(topics, [("a", &[0][..]), ("b", &[1][..])]);
}

#[test]
fn transactions_are_listed_by_state_producer_age_and_pattern() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 2), ErrorCode::None);
    bench.advance_ms(100);
    let other = bench.ask(TxnCall::Init(InitProducer {
        transactional_id: "move-1".into(),
        timeout_ms: TIMEOUT_MS,
        producer: None,
    }));
    assert!(matches!(other, TxnAnswer::Init(Ok(_))));
    let all = ListFilter {
        states: Vec::new(),
        producer_ids: Vec::new(),
        duration_ms: -1,
        pattern: None,
    };
    let list = |filter: &ListFilter| -> Vec<String> {
        let listed = bench.coordinator.list(bench.now, filter).into_iter();
        listed.map(|one| one.transactional_id.to_string()).collect()
    };
    assert_eq!(list(&all), ["copy", "move-1"]);
    let ongoing = ListFilter {
        states: vec!["Ongoing".into(), "Nonsense".into()],
        ..all.clone()
    };
    assert_eq!(list(&ongoing), ["copy"]);
    assert_eq!(unknown_states(&ongoing.states), ["Nonsense"]);
    let of_one = ListFilter {
        producer_ids: vec![one.id],
        ..all.clone()
    };
    assert_eq!(list(&of_one), ["copy"]);
    let lasting = |duration_ms| ListFilter {
        states: vec!["Ongoing".into()],
        duration_ms,
        ..all.clone()
    };
    assert_eq!(list(&lasting(99)), ["copy"]);
    assert!(list(&lasting(100)).is_empty(), "longer than that");
    for (pattern, expected) in [("co.*", 1), ("opy", 0), ("c|m.*", 1), (".*-[0-9]", 1)] {
        let matching = ListFilter {
            pattern: IdPattern::new(pattern),
            ..all.clone()
        };
        assert_eq!(list(&matching).len(), expected, "{pattern}");
    }
    assert!(IdPattern::new("(").is_none());
    assert!(IdPattern::new(")(").is_none());
}
