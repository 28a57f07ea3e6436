// SPDX-License-Identifier: Apache-2.0
//! Partitions that are added, and ends: of the old flow and of KIP-890.

use super::*;

#[test]
fn a_transaction_of_the_old_flow_keeps_its_epoch() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.end(one, true, 0), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    assert_eq!(bench.add(one, at("t", 1), 0), ErrorCode::None);
    assert_eq!(bench.state(), Some(State::Ongoing));
    assert_eq!(bench.end(one, true, 0), Ok(one));
    assert_eq!(bench.state(), Some(State::CompleteCommit));
    assert_eq!(
        bench.told,
        [(at("t", 0), one, true), (at("t", 1), one, true)]
    );
    // It comes again, and the other way round.
    assert_eq!(bench.end(one, true, 0), Ok(one));
    assert_eq!(bench.end(one, false, 0), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.add(one, at("t", 2), 0), ErrorCode::None);
    assert_eq!(bench.end(one, false, 0), Ok(one));
    assert_eq!(bench.told[2], (at("t", 2), one, false));
    assert_eq!(bench.end(one, true, 0), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn each_transaction_of_kip_890_ends_an_epoch() {
    let mut bench = Bench::new();
    let first = bench.producer();
    assert_eq!(bench.add(first, at("t", 0), 2), ErrorCode::None);
    let second = bench.end(first, true, 2).expect("it is open");
    assert_eq!(second, producer(first.id, 1));
    // Its marker is in the epoch behind that of its records (KIP-1228).
    assert_eq!(bench.told, [(at("t", 0), second, true)]);
    // Its answer was lost.
    assert_eq!(bench.end(first, true, 2), Ok(second));
    assert_eq!(bench.end(first, false, 2), Err(ErrorCode::InvalidTxnState));
    // Late batches of the transaction that has ended add nothing.
    assert_eq!(bench.add(first, at("t", 0), 2), ErrorCode::ProducerFenced);
    assert_eq!(bench.add(second, at("t", 0), 2), ErrorCode::None);
    let third = bench.end(second, false, 2).expect("it is open");
    assert_eq!(third, producer(first.id, 2));
    assert_eq!(bench.end(second, false, 2), Ok(third));
    assert_eq!(bench.end(second, true, 2), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.end(first, true, 2), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_transaction_that_the_coordinator_does_not_know_can_be_aborted() {
    let mut bench = Bench::new();
    let first = bench.producer();
    assert_eq!(bench.end(first, true, 2), Err(ErrorCode::InvalidTxnState));
    let second = bench.end(first, false, 2).expect("Empty");
    assert_eq!(second, producer(first.id, 1));
    assert_eq!(bench.state(), Some(State::CompleteAbort));
    let third = bench.end(second, false, 2).expect("CompleteAbort");
    assert_eq!(bench.add(third, at("t", 0), 2), ErrorCode::None);
    let fourth = bench.end(third, true, 2).expect("it is open");
    let fifth = bench.end(fourth, false, 2).expect("CompleteCommit");
    assert_eq!(fifth, producer(first.id, 4));
    assert_eq!(bench.end(fifth, true, 2), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.told.len(), 1, "there was nobody else to tell");
}

#[test]
fn without_further_epochs_the_end_gives_another_id() {
    let mut bench = Bench::new();
    let mut last = bench.producer();
    for _ in 0..i16::MAX - 1 {
        last = bench.init(Some(last)).expect("it holds the epoch");
    }
    assert_eq!(bench.add(last, at("t", 0), 2), ErrorCode::None);
    bench.holds_markers = true;
    let next = bench.end(last, true, 2).expect("it is open");
    assert_eq!((next.id > last.id, next.epoch), (true, 0));
    // Until the partitions know, it cannot begin; what is told does not end it.
    let early = bench.add(next, at("t", 0), 2);
    assert_eq!(early, ErrorCode::ConcurrentTransactions);
    let again = bench.end(last, true, 2);
    assert_eq!(again, Err(ErrorCode::ConcurrentTransactions));
    bench.restart();
    bench.holds_markers = false;
    bench.settle();
    let marker = producer(last.id, i16::MAX);
    assert_eq!(bench.told, [(at("t", 0), marker, true)]);
    assert_eq!(bench.end(last, true, 2), Ok(next), "its answer was lost");
    assert_eq!(bench.add(next, at("t", 0), 2), ErrorCode::None);
    let late = bench.end(last, true, 2);
    assert_eq!(late, Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn who_is_not_the_producer_changes_nothing() {
    let mut bench = Bench::new();
    let one = bench.producer();
    let other = producer(one.id + 5, 0);
    let older = producer(one.id, -1);
    let newer = producer(one.id, 1);
    let nobody = TxnCall::End(EndTransaction {
        transactional_id: "unknown".into(),
        producer: one,
        is_commit: true,
        transaction_version: 2,
    });
    let unknown = TxnAnswer::Ended(Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(bench.ask(nobody), unknown);
    for version in [0, 2] {
        let mapping = ErrorCode::InvalidProducerIdMapping;
        assert_eq!(bench.add(other, at("t", 0), version), mapping);
        assert_eq!(bench.end(other, true, version), Err(mapping));
        for one in [older, newer] {
            let fenced = ErrorCode::ProducerFenced;
            assert_eq!(bench.add(one, at("t", 0), version), fenced);
            assert_eq!(bench.end(one, false, version), Err(fenced));
        }
    }
    assert_eq!(bench.state(), Some(State::Empty));
}

#[test]
fn a_record_under_way_makes_others_wait() {
    let mut bench = Bench::new();
    let one = bench.producer();
    bench.holds = true;
    let first = bench.put(add_call(one, at("t", 0), 2));
    assert_eq!(bench.take(first), None);
    let busy = ErrorCode::ConcurrentTransactions;
    assert_eq!(bench.add(one, at("t", 1), 2), busy);
    assert_eq!(bench.end(one, true, 2), Err(busy));
    assert_eq!(bench.end(one, true, 0), Err(busy));
    let older = producer(one.id, -1);
    assert_eq!(bench.end(older, true, 0), Err(ErrorCode::ProducerFenced));
    bench.commit_log();
    assert_eq!(bench.take(first).map(added), Some(ErrorCode::None));
    // What is there already costs no record.
    let before = bench.log.len();
    assert_eq!(bench.add(one, at("t", 0), 2), ErrorCode::None);
    assert_eq!(bench.log.len(), before);
}

#[test]
fn who_has_patience_is_served_when_the_transaction_before_has_ended() {
    let mut bench = Bench::new();
    let first = bench.producer();
    assert_eq!(bench.add(first, at("t", 0), 2), ErrorCode::None);
    bench.holds_markers = true;
    let second = bench.end(first, true, 2).expect("it is open");
    let patient = |patience_ms| {
        TxnCall::AddPartitions(AddPartitions {
            patience_ms,
            ..add_of(second, at("t", 0), 2)
        })
    };
    let (long, short) = (bench.put(patient(1_000)), bench.put(patient(10)));
    let both = bench.put(patient(2_000));
    bench.advance_ms(10);
    let refused = bench.take(short).map(added);
    assert_eq!(refused, Some(ErrorCode::ConcurrentTransactions));
    assert_eq!(bench.take(long), None);
    bench.holds_markers = false;
    bench.settle();
    assert_eq!(bench.take(long).map(added), Some(ErrorCode::None));
    assert_eq!(bench.take(both).map(added), Some(ErrorCode::None));
    assert_eq!(bench.state(), Some(State::Ongoing));
}

#[test]
fn partitions_are_told_apart_from_those_that_were_not_added() {
    let mut bench = Bench::new();
    let one = bench.producer();
    assert_eq!(bench.add(one, at("t", 0), 0), ErrorCode::None);
    let verify = |producer| {
        TxnCall::AddPartitions(AddPartitions {
            partitions: vec![at("t", 0), at("t", 1)],
            verify_only: true,
            ..add_of(producer, at("t", 0), 0)
        })
    };
    let codes = vec![ErrorCode::None, ErrorCode::TransactionAbortable];
    assert_eq!(bench.ask(verify(one)), TxnAnswer::Added(codes));
    let fenced = vec![ErrorCode::ProducerFenced; 2];
    let older = producer(one.id, 9);
    assert_eq!(bench.ask(verify(older)), TxnAnswer::Added(fenced));
    bench.holds_markers = true;
    assert_eq!(bench.end(one, true, 0), Ok(one));
    let busy = vec![ErrorCode::ConcurrentTransactions; 2];
    assert_eq!(bench.ask(verify(one)), TxnAnswer::Added(busy));
}
