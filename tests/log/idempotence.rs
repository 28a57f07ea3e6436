// SPDX-License-Identifier: Apache-2.0
//! Repeated sends of idempotent producers, before and after restarts of every kind (FAULTS F14).
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::log::{AppendError, LogConfig, RefusedProducers};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::host::{Host, START_MS, config};

fn send(epoch: i16, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(77, epoch, sequence);
    for _ in 0..2 {
        builder.append(START_MS, None, Some(&[5; 120]), &[]);
    }
    builder.build()
}

/// Six batches, of which the first is older than what is remembered; segments hold two of them.
fn host() -> (Host, LogConfig) {
    let small = LogConfig {
        segment_bytes: 800,
        ..config()
    };
    let mut host = Host::new(9, small.clone());
    for place in 0..7 {
        host.append(&send(0, place * 2)).expect("in order");
        host.settle();
    }
    assert!(host.log.segment_count() > 2);
    (host, small)
}

fn check(host: &mut Host) {
    for place in 2..7 {
        let again = host
            .append(&send(0, place * 2))
            .expect("a repetition is answered");
        assert!(again.duplicate);
        assert_eq!(again.base_offset, i64::from(place) * 2);
        assert_eq!(again.last_offset, again.base_offset + 1);
    }
    assert_eq!(
        host.append(&send(0, 16)),
        Err(AppendError::OutOfOrderSequence)
    );
    assert_eq!(host.log.log_end_offset(), 14);
    assert!(host.disk.is_idle());
}

#[test]
fn a_repetition_gets_its_old_offsets() {
    check(&mut host().0);
}

#[test]
fn after_a_clean_stop_too() {
    let (mut host, config) = host();
    host.stop();
    assert!(host.reopen(config).clean);
    check(&mut host);
}

#[test]
fn after_a_crash_too() {
    let (mut host, config) = host();
    host.disk.crash();
    assert!(!host.reopen(config).clean);
    check(&mut host);
}

#[test]
fn without_snapshots_the_log_itself_tells() {
    let (mut host, config) = host();
    host.disk.crash();
    let snapshots = host
        .disk
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".snapshot"));
    let snapshots: Vec<String> = snapshots.map(str::to_owned).collect();
    assert!(!snapshots.is_empty());
    for name in &snapshots {
        host.disk.rewrite(name, |file| file[3] ^= 1);
    }
    let report = host.reopen(config.clone());
    assert_eq!(
        usize::try_from(report.files_rebuilt).expect("small"),
        snapshots.len()
    );
    check(&mut host);
    host.disk.crash();
    snapshots.iter().for_each(|name| host.disk.lose(name));
    host.reopen(config);
    check(&mut host);
}

#[test]
fn a_new_epoch_fences_the_old_one_after_a_crash() {
    let (mut host, config) = host();
    host.append(&send(1, 0)).expect("a new epoch starts at 0");
    host.settle();
    host.disk.crash();
    host.reopen(config);
    assert_eq!(host.append(&send(0, 14)), Err(AppendError::ProducerFenced));
    assert!(host.append(&send(1, 0)).expect("a repetition").duplicate);
    assert!(!host.append(&send(1, 2)).expect("in order").duplicate);
}

#[test]
fn a_repetition_of_an_undurable_batch_waits_like_the_first() {
    let mut host = Host::new(9, config());
    host.append(&send(0, 0)).expect("in order");
    let again = host.append(&send(0, 0)).expect("a repetition");
    assert!(again.duplicate);
    assert!(again.last_offset >= host.log.durable_end_offset());
}

#[test]
fn what_was_sent_behind_a_refused_batch_does_not_overtake_it() {
    let mut host = Host::new(9, config());
    let mut refused = RefusedProducers::default();
    refused.note(&send(0, 0));
    host.log.handle_refused(refused);
    assert_eq!(
        host.append(&send(0, 2)),
        Err(AppendError::OutOfOrderSequence),
        "it may not pass for the first of a new producer"
    );
    for sequence in [0, 2] {
        host.append(&send(0, sequence)).expect("in order");
        host.settle();
    }
    // Who is known has its sequence, whatever was refused.
    let mut refused = RefusedProducers::default();
    refused.note(&send(0, 8));
    host.log.handle_refused(refused);
    host.append(&send(0, 4)).expect("in order");
    host.settle();
    assert_eq!(host.log.log_end_offset(), 6);
}
