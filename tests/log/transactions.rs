// SPDX-License-Identifier: Apache-2.0
//! Transactions in a log: the last stable offset, the aborted transactions that readers are told
//! of, and both after restarts of every kind.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use std::collections::BTreeMap;

use bytes::Bytes;
use furlong::log::aborted::AbortedTransaction;
use furlong::log::{AppendError, AppendRules, LogConfig, LogEvent};
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, EndMarker};
use proptest::prelude::*;

use crate::committed::{batches, settle, stable};
use crate::host::{Host, START_MS, config};

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        ..config()
    }
}

fn sent(producer: i64, epoch: i16, sequence: i32, is_transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(producer, epoch, sequence);
    if is_transactional {
        builder.transactional();
    }
    builder.append(START_MS, Some(b"k"), Some(&[7; 150]), &[]);
    builder.build()
}

fn marker(is_commit: bool) -> EndMarker {
    EndMarker {
        is_commit,
        coordinator_epoch: 2,
    }
}

fn end(host: &mut Host, producer: i64, epoch: i16, is_commit: bool) -> Result<Offset, AppendError> {
    let batch = marker(is_commit).batch(producer, epoch, START_MS);
    let appended = host.append_with(&batch, AppendRules::MARKER);
    appended.map(|appended| appended.base_offset)
}

/// The batches that a consumer of committed records takes up.
fn committed(host: &mut Host) -> Vec<Offset> {
    let seen = batches(host).into_iter();
    seen.map(|(header, _)| header.base_offset).collect()
}

/// Three producers over several segments: one commits, one aborts, one stays open.
fn host() -> Host {
    let mut host = Host::new(9, small_segments());
    for place in 0..12 {
        for producer in [1, 2] {
            host.append(&sent(producer, 0, place, true))
                .expect("in order");
            settle(&mut host);
        }
    }
    assert_eq!(end(&mut host, 2, 0, false), Ok(24));
    assert_eq!(end(&mut host, 1, 0, true), Ok(25));
    settle(&mut host);
    host.append(&sent(3, 0, 0, true)).expect("in order");
    host.append(&sent(4, 0, 0, false)).expect("in order");
    settle(&mut host);
    assert!(host.log.segment_count() > 2);
    host
}

fn check(host: &mut Host) {
    assert_eq!((host.log.durable_end_offset(), stable(host)), (28, 26));
    let of_first: Vec<Offset> = (0..24).step_by(2).collect();
    assert_eq!(committed(host), of_first);
    let told = host.log.aborted_within(0, &sent(1, 0, 0, true));
    let wanted = AbortedTransaction {
        producer_id: 2,
        first_offset: 1,
        last_offset: 24,
        last_stable_offset: 0,
    };
    assert_eq!(told, [], "it begins behind these records");
    let read = host.start_read(0, 700, 26);
    host.settle();
    let bytes = host.read_result(read).expect("readable");
    assert_eq!(host.log.aborted_within(0, &bytes), [wanted]);
    assert_eq!(host.log.open_transaction(3), Some(26));
    assert_eq!(
        host.append(&sent(3, 0, 1, false)),
        Err(AppendError::TransactionOpen)
    );
    let again = host.append(&sent(3, 0, 0, true)).expect("a repetition");
    assert!(again.duplicate && host.disk.is_idle());
}

#[test]
fn readers_of_committed_records_see_what_was_committed() {
    check(&mut host());
}

#[test]
fn after_a_clean_stop_too() {
    let mut host = host();
    host.stop();
    assert!(host.reopen(small_segments()).clean);
    settle(&mut host);
    check(&mut host);
}

#[test]
fn after_a_crash_too() {
    let mut host = host();
    host.disk.crash();
    assert!(!host.reopen(small_segments()).clean);
    settle(&mut host);
    check(&mut host);
}

/// The segment in which the abort marker lies.
fn txn_index(host: &Host) -> Vec<String> {
    let names = host.disk.names().into_iter();
    let names = names.filter(|name| name.ends_with(".txnindex"));
    names.map(str::to_owned).collect()
}

#[test]
fn a_damaged_index_is_rebuilt_from_the_batches_and_written_again() {
    for clean in [true, false] {
        let mut host = host();
        // The marker's segment is sealed by what follows.
        for place in 1..14 {
            host.append(&sent(4, 0, place, false)).expect("in order");
            settle(&mut host);
        }
        let names = txn_index(&host);
        assert_eq!(names.len(), 1, "one segment has an aborted transaction");
        let good = host.disk.contents(&names[0]);
        assert_eq!(good.len(), 34);
        if clean {
            host.stop();
        } else {
            host.disk.crash();
        }
        host.disk.rewrite(&names[0], |file| file[1] = 9);
        let report = host.reopen(small_segments());
        assert!(!report.clean && report.files_rebuilt > 0);
        settle(&mut host);
        assert_eq!(host.disk.contents(&names[0]), good);
        assert_eq!(committed(&mut host), (0..24).step_by(2).collect::<Vec<_>>());
        host.disk.crash();
        assert_eq!(host.reopen(small_segments()).files_rebuilt, 0);
    }
}

#[test]
fn without_snapshots_the_log_itself_tells() {
    let mut host = host();
    host.disk.crash();
    let names = host.disk.names().into_iter();
    let lost: Vec<String> = names
        .filter(|name| name.ends_with(".snapshot") || name.ends_with(".txnindex"))
        .map(str::to_owned)
        .collect();
    assert!(!lost.is_empty());
    lost.iter().for_each(|name| host.disk.lose(name));
    host.reopen(small_segments());
    settle(&mut host);
    check(&mut host);
}

#[test]
fn retention_takes_the_index_of_a_segment_with_it() {
    let mut host = host();
    for place in 1..14 {
        host.append(&sent(4, 0, place, false)).expect("in order");
        settle(&mut host);
    }
    assert_eq!(txn_index(&host).len(), 1);
    host.delete_records(36);
    host.settle();
    host.wait_ms(31_000);
    host.settle();
    assert_eq!(txn_index(&host).len(), 0);
    // The begin of a transaction that is open has gone, too.
    assert_eq!((host.log.log_start_offset(), stable(&host)), (36, 36));
    assert_eq!(host.log.open_transaction(3), Some(26));
}

#[test]
fn markers_are_checked_and_may_be_repeated() {
    let mut host = host();
    assert_eq!(
        end(&mut host, 3, 1, true),
        Ok(28),
        "of the next epoch (KIP-890)"
    );
    assert_eq!(end(&mut host, 3, 1, true), Ok(29), "written again");
    assert_eq!(end(&mut host, 3, 0, true), Err(AppendError::ProducerFenced));
    let old = EndMarker {
        is_commit: true,
        coordinator_epoch: 1,
    };
    let batch = old.batch(3, 2, START_MS);
    assert_eq!(
        host.append_with(&batch, AppendRules::MARKER),
        Err(AppendError::CoordinatorFenced)
    );
    assert!(
        host.append(&marker(true).batch(3, 1, START_MS)).is_err(),
        "no client sends one"
    );
    assert_eq!(
        host.append(&sent(3, 0, 1, true)),
        Err(AppendError::ProducerFenced)
    );
    assert_eq!(
        host.append(&sent(3, 1, 1, true)),
        Err(AppendError::OutOfOrderSequence)
    );
    host.append(&sent(3, 1, 0, true))
        .expect("a new epoch begins at 0");
    settle(&mut host);
    assert_eq!(stable(&host), 30);
}

#[test]
fn a_full_disk_takes_the_end_of_a_transaction_back() {
    let mut host = Host::new(8, config());
    host.append(&sent(1, 0, 0, true)).expect("in order");
    settle(&mut host);
    host.disk.capacity = 5000;
    let large = crate::host::batch(&[&[2; 9000]]);
    host.append(&large).expect("accepted");
    end(&mut host, 1, 0, false).expect("in order");
    assert_eq!(stable(&host), 0, "it is not committed");
    host.settle();
    assert!(host.has(|event| matches!(event, LogEvent::AppendsLost { from: 1, .. })));
    assert_eq!((host.log.open_transaction(1), stable(&host)), (Some(0), 0));
    host.disk.capacity = usize::MAX;
    end(&mut host, 1, 0, true).expect("in order");
    settle(&mut host);
    assert_eq!(committed(&mut host), [0]);
}

/// What the log says, worked out from its batches alone.
fn worked_out(host: &mut Host) -> (Vec<Offset>, Offset) {
    let mut open: BTreeMap<i64, Vec<Offset>> = BTreeMap::new();
    let mut seen = Vec::new();
    for (base, batch) in host.read_all() {
        let header = BatchHeader::parse(&batch).expect("a good header");
        let id = header.producer_id;
        match EndMarker::of_batch(&batch) {
            Some(marker) => {
                let records = open.remove(&id).unwrap_or_default();
                seen.extend(records.into_iter().filter(|_| marker.is_commit));
            }
            None if header.attributes.is_transactional() => open.entry(id).or_default().push(base),
            None => seen.push(base),
        }
    }
    let end = host.log.durable_end_offset();
    let stable = open.values().filter_map(|records| records.first()).min();
    let stable = stable.copied().unwrap_or(end);
    seen.retain(|base| *base < stable);
    seen.sort_unstable();
    (seen, stable)
}

fn verify(host: &mut Host) {
    settle(host);
    let (seen, end) = worked_out(host);
    assert_eq!(stable(host), end);
    assert_eq!(committed(host), seen, "all of a transaction, or nothing");
}

/// A random life: appends and ends of transactions, crashes at any operation, clean stops.
fn play(seed: u64, steps: usize) {
    let mut host = Host::new(seed, small_segments());
    let mut next: BTreeMap<i64, (i16, i32)> = BTreeMap::new();
    for _ in 0..steps {
        let producer = i64::try_from(host.disk.dice.below(5)).expect("small");
        let (epoch, sequence) = next.get(&producer).copied().unwrap_or((0, 0));
        match host.disk.dice.below(30) {
            0..11 => {
                if host.append(&sent(producer, epoch, sequence, true)).is_ok() {
                    next.insert(producer, (epoch, sequence + 1));
                }
            }
            11..13 => drop(host.append(&sent(-1, -1, -1, false))),
            13..18 => {
                let is_commit = host.disk.dice.one_in(2);
                let bumps = host.disk.dice.one_in(2);
                let marked = if bumps { epoch + 1 } else { epoch };
                if end(&mut host, producer, marked, is_commit).is_ok() && bumps {
                    next.insert(producer, (marked, 0));
                }
            }
            18..26 => {
                if !host.disk.is_idle() {
                    host.step();
                }
            }
            26 => verify(&mut host),
            27 => {
                host.stop();
                assert!(host.reopen(small_segments()).clean);
                verify(&mut host);
            }
            _ => {
                host.disk.crash();
                while host.disk.dice.one_in(3) {
                    host.start(small_segments());
                    for _ in 0..host.disk.dice.below(14) {
                        if !host.disk.is_idle() {
                            host.step();
                        }
                    }
                    host.disk.crash();
                }
                host.reopen(small_segments());
                // Producers learn what became of their batches.
                next.clear();
                for known in host.log.producers() {
                    next.insert(known.id, (known.producer_epoch, known.last_sequence + 1));
                }
                verify(&mut host);
            }
        }
    }
    verify(&mut host);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_life_shows_transactions_whole_or_not_at_all(seed in any::<u64>()) {
        play(seed, 200);
    }
}

#[test]
fn a_batch_may_go_on_with_a_transaction_but_begin_one_only_if_its_coordinator_knows() {
    let mut host = Host::new(9, config());
    let late = host.append_with(&sent(1, 0, 0, true), AppendRules::CLIENT);
    assert_eq!(late.map(|_| ()), Err(AppendError::NoTransaction));
    host.append_with(&sent(1, 0, 0, true), AppendRules::VERIFIED)
        .expect("its coordinator was asked");
    assert!(host.log.has_transaction(1, 0) && !host.log.has_transaction(1, 1));
    host.append_with(&sent(1, 0, 1, true), AppendRules::CLIENT)
        .expect("the transaction is open");
    let repeated = host.append_with(&sent(1, 0, 1, true), AppendRules::CLIENT);
    assert!(repeated.expect("a repetition").duplicate);
    end(&mut host, 1, 0, true).expect("it is open");
    let late = host.append_with(&sent(1, 0, 2, true), AppendRules::CLIENT);
    assert_eq!(late.map(|_| ()), Err(AppendError::NoTransaction));
    let other_epoch = host.append_with(&sent(1, 1, 0, true), AppendRules::CLIENT);
    assert_eq!(other_epoch.map(|_| ()), Err(AppendError::NoTransaction));
    settle(&mut host);
    assert_eq!(
        stable(&host),
        host.log.durable_end_offset(),
        "nothing hangs"
    );
}

#[test]
fn a_marker_of_version_2_ends_no_transaction_of_its_own_epoch() {
    let mut host = Host::new(9, config());
    let rising = AppendRules {
        epoch_rises: true,
        ..AppendRules::MARKER
    };
    let end = |host: &mut Host, epoch| {
        let batch = marker(true).batch(1, epoch, START_MS);
        host.append_with(&batch, rising).map(|_| ())
    };
    host.append(&sent(1, 4, 0, true)).expect("begins");
    assert_eq!(end(&mut host, 4), Err(AppendError::ProducerFenced));
    assert_eq!(end(&mut host, 5), Ok(()));
    assert_eq!(end(&mut host, 5), Ok(()), "a coordinator may repeat it");
    host.append(&sent(1, 5, 0, true))
        .expect("the next one begins");
    assert_eq!(
        end(&mut host, 5),
        Err(AppendError::ProducerFenced),
        "a late repetition"
    );
    assert_eq!(end(&mut host, 6), Ok(()));
}

/// A batch that the broker writes for a producer, like offsets of a group.
fn on_behalf(producer: i64, epoch: i16) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(producer, epoch, -1).transactional();
    builder.append(START_MS, Some(b"k"), Some(b"offset"), &[]);
    builder.build()
}

#[test]
fn what_the_broker_writes_for_a_producer_has_no_sequence_but_an_epoch() {
    let mut host = Host::new(9, config());
    let client = host.append(&on_behalf(1, 4));
    assert!(matches!(client, Err(AppendError::Batch(_))), "{client:?}");
    for _ in 0..3 {
        let appended = host.append_with(&on_behalf(1, 4), AppendRules::ON_BEHALF);
        assert!(!appended.expect("no sequence to be checked").duplicate);
    }
    let old = host.append_with(&on_behalf(1, 3), AppendRules::ON_BEHALF);
    assert_eq!(old.map(|_| ()), Err(AppendError::ProducerFenced));
    settle(&mut host);
    assert_eq!(stable(&host), 0);
    // A crash: the batches are read again, and the transaction is open as before.
    host.disk.crash();
    host.reopen(config());
    assert_eq!((stable(&host), host.log.open_transaction(1)), (0, Some(0)));
    end(&mut host, 1, 4, true).expect("it is open");
    settle(&mut host);
    assert_eq!(stable(&host), 4);
    host.stop();
    host.reopen(config());
    let old = host.append_with(&on_behalf(1, 3), AppendRules::ON_BEHALF);
    assert_eq!(old.map(|_| ()), Err(AppendError::ProducerFenced));
    host.append_with(&on_behalf(1, 4), AppendRules::ON_BEHALF)
        .expect("its epoch is known");
}
