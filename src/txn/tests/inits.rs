// SPDX-License-Identifier: Apache-2.0
//! Producer ids and epochs: who gets which, and who is fenced (KIP-98, KIP-360).

use super::*;

const LAST: i16 = i16::MAX - 1;

#[test]
fn each_start_of_a_client_gets_the_next_epoch_of_one_id() {
    let mut bench = Bench::new();
    assert_eq!(bench.init(None), Ok(producer(100, 0)));
    assert_eq!(bench.init(None), Ok(producer(100, 1)));
    bench.restart();
    assert_eq!(bench.init(None), Ok(producer(100, 2)));
    assert_eq!(bench.state(), Some(State::Empty));
}

#[test]
fn nothing_is_told_before_it_is_in_the_log() {
    let mut bench = Bench::new();
    bench.holds = true;
    let first = bench.put(init_call(None));
    assert_eq!(bench.take(first), None);
    assert_eq!(bench.state(), None, "it is not there yet");
    let answer = bench.ask(init_call(None));
    assert_eq!(
        answer,
        TxnAnswer::Init(Err(ErrorCode::ConcurrentTransactions))
    );
    bench.commit_log();
    let told = bench.take(first).expect("it is in the log");
    assert_eq!(told, TxnAnswer::Init(Ok(producer(100, 0))));
}

#[test]
fn what_the_log_did_not_take_changes_nothing() {
    let mut bench = Bench::new();
    bench.holds = true;
    for (error, code) in [
        (WriteError::Unavailable, ErrorCode::CoordinatorNotAvailable),
        (WriteError::NotLeader, ErrorCode::NotCoordinator),
        (WriteError::TooLarge, ErrorCode::UnknownServerError),
    ] {
        let lost = bench.put(init_call(None));
        bench.lose(error);
        assert_eq!(bench.take(lost), Some(TxnAnswer::Init(Err(code))));
        assert_eq!(bench.coordinator.count(), 0, "nobody knows of it");
    }
    bench.commit_log();
    let first = bench.producer();
    bench.holds = true;
    bench.put(init_call(None));
    bench.lose(WriteError::Unavailable);
    bench.commit_log();
    assert_eq!(
        bench.add(first, at("t", 0), 0),
        ErrorCode::None,
        "not fenced"
    );
}

#[test]
fn a_timeout_outside_the_bounds_is_refused() {
    let mut bench = Bench::new();
    for timeout_ms in [0, -1, 900_001] {
        let call = TxnCall::Init(InitProducer {
            transactional_id: ID.into(),
            timeout_ms,
            producer: None,
        });
        let refused = TxnAnswer::Init(Err(ErrorCode::InvalidTransactionTimeout));
        assert_eq!(bench.ask(call), refused);
    }
}

#[test]
fn without_producer_ids_a_new_client_has_to_wait() {
    let mut bench = Bench::new();
    bench.lacks_ids = true;
    assert_eq!(bench.init(None), Err(ErrorCode::CoordinatorNotAvailable));
    bench.lacks_ids = false;
    assert!(bench.init(None).is_ok());
}

#[test]
fn a_client_that_goes_on_keeps_its_id_and_fences_nobody_but_itself() {
    let mut bench = Bench::new();
    let first = bench.producer();
    let second = bench.init(Some(first)).expect("it holds the epoch");
    assert_eq!(second, producer(first.id, 1));
    // Its answer was lost: the same again.
    assert_eq!(bench.init(Some(first)), Ok(second));
    assert_eq!(bench.init(Some(second)), Ok(producer(first.id, 2)));
    assert_eq!(bench.init(Some(first)), Err(ErrorCode::ProducerFenced));
    let other = producer(first.id + 7, 2);
    assert_eq!(bench.init(Some(other)), Err(ErrorCode::ProducerFenced));
    // Another client begins: the one before cannot go on, not even with its last epoch.
    bench.producer();
    let before = producer(first.id, 2);
    assert_eq!(bench.init(Some(before)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_new_id_takes_whatever_producer_the_client_had() {
    let mut bench = Bench::new();
    // The transactional id had expired (KIP-360).
    assert_eq!(bench.init(Some(producer(7, 7))), Ok(producer(100, 0)));
}

#[test]
fn who_has_no_further_epoch_gets_another_id() {
    let mut bench = Bench::new();
    let mut last = bench.producer();
    for _ in 0..LAST {
        last = bench.init(Some(last)).expect("it holds the epoch");
    }
    assert_eq!(last, producer(100, LAST));
    let next = bench.init(Some(last)).expect("another id");
    assert_eq!((next.id > last.id, next.epoch), (true, 0));
    // Its answer was lost.
    assert_eq!(bench.init(Some(last)), Ok(next));
    let older = producer(last.id, LAST - 1);
    assert_eq!(bench.init(Some(older)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_client_that_begins_aborts_what_was_open_and_has_to_ask_again() {
    let mut bench = Bench::new();
    let old = bench.producer();
    assert_eq!(bench.add(old, at("t", 0), 0), ErrorCode::None);
    bench.holds_markers = true;
    assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(bench.state(), Some(State::PrepareAbort));
    // Until the partitions know, nobody begins.
    assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(bench.end(old, true, 0), Err(ErrorCode::ProducerFenced));
    bench.holds_markers = false;
    bench.settle();
    assert_eq!(bench.state(), Some(State::CompleteAbort));
    assert_eq!(bench.told, [(at("t", 0), producer(old.id, 1), false)]);
    assert_eq!(bench.init(None), Ok(producer(old.id, 2)));
    assert_eq!(bench.add(old, at("t", 0), 0), ErrorCode::ProducerFenced);
    assert_eq!(bench.init(Some(old)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn fencing_with_the_last_epoch_leads_to_another_id() {
    let mut bench = Bench::new();
    let mut last = bench.producer();
    for _ in 0..LAST {
        last = bench.init(Some(last)).expect("it holds the epoch");
    }
    assert_eq!(bench.add(last, at("t", 0), 2), ErrorCode::None);
    assert_eq!(bench.init(None), Err(ErrorCode::ConcurrentTransactions));
    let fence = producer(last.id, i16::MAX);
    assert_eq!(bench.told, [(at("t", 0), fence, false)]);
    let next = bench.init(None).expect("it has ended");
    assert!(next.id > last.id, "{next:?}");
}
