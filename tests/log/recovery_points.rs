// SPDX-License-Identifier: Apache-2.0
//! Recovery points: a start after a crash reads what came after the last one, and nothing is lost
//! when a point or a file that belongs to it is damaged.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::wire::record::{BatchBuilder, Compression};

use crate::host::{Host, START_MS, config};

/// A seed whose storage asks for a point every 3,000 bytes.
const SEED: u64 = 1;

fn send(sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(5, 0, sequence);
    let value = vec![u8::try_from(sequence % 251).expect("small"); 700];
    builder.append(START_MS + i64::from(sequence), None, Some(&value), &[]);
    builder.build()
}

/// A log of so many batches, each settled.
fn grown(count: i32) -> Host {
    let mut host = Host::new(SEED, config());
    for sequence in 0..count {
        host.append(&send(sequence)).expect("in order");
        host.settle();
    }
    host
}

fn named<'a>(host: &'a Host, end: &str) -> Vec<String> {
    let names = host.disk.names();
    let ending = |name: &&'a str| name.ends_with(end);
    names
        .into_iter()
        .filter(ending)
        .map(str::to_owned)
        .collect()
}

/// Everything is there, indexes find it, and the producer may go on.
fn check(host: &mut Host, count: i32) {
    let all = host.read_all();
    assert_eq!(all.len(), usize::try_from(count).expect("small"));
    for sequence in 0..count {
        let found = host.lookup(Some(START_MS + i64::from(sequence)), i64::MAX);
        let found = found.expect("a good log").expect("it is there");
        assert_eq!(found.offset, i64::from(sequence));
    }
    let repeated = host.append(&send(count - 1)).expect("known");
    assert!(repeated.duplicate, "the producer's state is back");
    let next = host.append(&send(count)).expect("in order");
    assert_eq!(next.base_offset, i64::from(count));
    host.settle();
}

#[test]
fn a_start_after_a_crash_reads_what_came_after_the_last_point() {
    for count in [5, 6, 30, 97] {
        let mut host = grown(count);
        host.disk.crash();
        let report = host.reopen(config());
        let size = host.log.size_bytes();
        assert!(report.bytes_skipped > 0, "{count} batches");
        let interval = 3000.max(size / 16) + 1600;
        assert!(size - report.bytes_skipped <= interval, "{count} batches");
        assert!(report.batches_scanned < 4 + u64::try_from(count).expect("small") / 10);
        check(&mut host, count);
    }
}

#[test]
fn only_the_newest_snapshot_is_kept() {
    let mut host = grown(100);
    assert_eq!(named(&host, ".snapshot").len(), 1);
    host.disk.crash();
    host.reopen(config());
    assert_eq!(named(&host, ".snapshot").len(), 1);
    host.disk.crash();
    let report = host.reopen(config());
    assert!(report.bytes_skipped > 0, "the point outlives a start");
    check(&mut host, 100);
}

#[test]
fn a_point_with_a_damaged_file_is_worth_nothing_and_nothing_is_lost() {
    for ending in [".snapshot", ".index", ".timeindex", "recovery-point"] {
        for is_lost in [true, false] {
            let mut host = grown(40);
            host.disk.crash();
            let name = named(&host, ending).pop().expect("it is there");
            if is_lost {
                host.disk.lose(&name);
            } else {
                host.disk.rewrite(&name, |file| {
                    file.truncate(file.len().saturating_sub(5));
                    file.iter_mut().for_each(|byte| *byte ^= 0x11);
                });
            }
            let report = host.reopen(config());
            assert_eq!(report.bytes_skipped, 0, "{name} lost: {is_lost}");
            assert!(report.batches_scanned >= 40);
            check(&mut host, 40);
        }
    }
}

#[test]
fn a_torn_slot_leaves_the_one_before() {
    let mut host = grown(40);
    host.disk.crash();
    let name = named(&host, "recovery-point").pop().expect("it is there");
    host.disk.rewrite(&name, |file| {
        let newest = file
            .chunks(4096)
            .map(|slot| u64::from_be_bytes(slot[8..16].try_into().expect("eight")))
            .enumerate()
            .max_by_key(|(_, sequence)| *sequence);
        let (slot, _) = newest.expect("two slots");
        file[slot * 4096 + 33] ^= 1;
    });
    let report = host.reopen(config());
    // The snapshot of the point before is gone: the whole segment is read.
    assert_eq!(report.bytes_skipped, 0);
    check(&mut host, 40);
}

#[test]
fn a_clean_stop_leaves_the_point_good_for_the_next_crash() {
    let mut host = grown(40);
    host.stop();
    let report = host.reopen(config());
    assert!(report.clean);
    host.append(&send(40)).expect("in order");
    host.settle();
    host.disk.crash();
    let report = host.reopen(config());
    assert!(!report.clean && report.bytes_skipped > 0);
    check(&mut host, 41);
}

#[test]
fn rot_below_the_point_is_answered_and_cuts_nothing() {
    let mut host = grown(100);
    host.disk.crash();
    let name = named(&host, ".log").pop().expect("it is there");
    host.disk.rewrite(&name, |file| file[5000] ^= 1);
    let report = host.reopen(config());
    assert!(report.bytes_skipped > 0);
    assert_eq!((report.torn_bytes_cut, host.log.log_end_offset()), (0, 100));
    let answers: Vec<bool> = (0..100).map(|at| host.read(at, 1).is_ok()).collect();
    let bad: Vec<usize> = (0..100).filter(|at| !answers[*at]).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
}

#[test]
fn a_checkpoint_that_contradicts_the_point_is_not_believed() {
    let mut host = grown(100);
    host.disk.crash();
    let name = named(&host, "leader-epoch-checkpoint").pop();
    let name = name.expect("it is there");
    host.disk
        .rewrite(&name, |file| *file = b"0\n2\n1 0\n99 20\n".to_vec());
    let report = host.reopen(config());
    assert_eq!(report.bytes_skipped, 0);
    check(&mut host, 100);
    assert_eq!(host.log.latest_epoch(), Some(2));
}
