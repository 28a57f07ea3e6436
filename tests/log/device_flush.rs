// SPDX-License-Identifier: Apache-2.0
//! Which flush makes a round durable, and the zeros that are written ahead of the log.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use furlong::limits::{WRITE_AHEAD_BYTES_MAX, WRITE_AHEAD_BYTES_MIN};
use furlong::log::LogConfig;

use crate::host::{Host, WITHOUT_POINTS, batch, config};

const DEVICE: u64 = 1;
/// A seed whose storage does not take the flush of the device.
const FILE: u64 = 3;

fn append_and_settle(host: &mut Host, len: usize) {
    host.append(&batch(&[&vec![7; len]])).expect("a good batch");
    host.settle();
}

fn file_len(host: &Host) -> usize {
    let names = host.disk.names();
    let last = names.iter().rfind(|name| name.ends_with(".log"));
    host.disk.len_of(last.expect("a log has a file"))
}

#[test]
fn the_first_round_flushes_its_file_and_later_ones_the_device() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    let files = host.disk.flushes;
    append_and_settle(&mut host, 100);
    assert_eq!(
        (host.disk.flushes - files, host.disk.device_flushes),
        (2, 0),
        "one of the round, one of the zeros"
    );
    let least = usize::try_from(WRITE_AHEAD_BYTES_MIN).expect("small");
    assert_eq!(host.disk.zeros_ahead, least, "zeros follow the first round");
    for _ in 0..10 {
        append_and_settle(&mut host, 100);
    }
    assert_eq!(
        (host.disk.flushes - files, host.disk.device_flushes),
        (2, 10)
    );
    host.disk.crash();
    host.reopen(config());
    assert_eq!(host.read_all().len(), 11);
}

#[test]
fn where_one_flush_does_not_cover_the_device_every_round_flushes_its_file() {
    let mut host = Host::new(FILE, config());
    let files = host.disk.flushes;
    for _ in 0..10 {
        append_and_settle(&mut host, 100);
    }
    assert_eq!(
        (host.disk.flushes - files, host.disk.device_flushes),
        (10, 0)
    );
    assert_eq!(host.disk.zeros_ahead, 0);
}

#[test]
fn after_every_start_the_first_round_flushes_its_file() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    append_and_settle(&mut host, 100);
    host.stop();
    for _ in 0..3 {
        host.reopen(config());
        let (files, devices) = (host.disk.flushes, host.disk.device_flushes);
        append_and_settle(&mut host, 100);
        assert_eq!(
            host.disk.flushes - files,
            2,
            "the round and the zeros behind it"
        );
        assert_eq!(host.disk.device_flushes, devices);
        host.disk.kill();
    }
}

#[test]
fn a_round_beyond_the_zeros_flushes_its_file() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    append_and_settle(&mut host, 100);
    let files = host.disk.flushes;
    let larger = usize::try_from(WRITE_AHEAD_BYTES_MIN).expect("small") * 2;
    append_and_settle(&mut host, larger);
    assert_eq!(
        host.disk.flushes - files,
        2,
        "the round and the zeros behind it"
    );
    assert_eq!(host.disk.device_flushes, 0);
    append_and_settle(&mut host, 100);
    assert_eq!(host.disk.device_flushes, 1, "its zeros came meanwhile");
}

#[test]
fn a_quiet_log_holds_little_and_a_busy_one_no_more_than_the_bound() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    append_and_settle(&mut host, 100);
    let least = usize::try_from(WRITE_AHEAD_BYTES_MIN).expect("small");
    assert!(file_len(&host) <= least + 4096);
    let most = usize::try_from(WRITE_AHEAD_BYTES_MAX).expect("small");
    let mut sent = 0;
    let mut longest = 0;
    for _ in 0..600 {
        append_and_settle(&mut host, 60_000);
        sent += 60_100;
        longest = longest.max(file_len(&host) - sent.min(file_len(&host)));
    }
    assert!(longest <= most + most / 2, "{longest} bytes ahead");
    assert!(longest > most / 2, "{longest} bytes ahead of a busy log");
}

#[test]
fn no_file_grows_past_its_segment_and_sealed_ones_are_exact() {
    let small = LogConfig {
        segment_bytes: 50_000,
        ..config()
    };
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, small.clone());
    for _ in 0..200 {
        append_and_settle(&mut host, 3000);
        assert!(file_len(&host) <= 50_000_usize.next_multiple_of(4096) + 4096);
    }
    assert!(host.log.segment_count() > 10);
    host.stop();
    let names = host.disk.names();
    let logs = names.iter().filter(|name| name.ends_with(".log"));
    let total: usize = logs.map(|name| host.disk.len_of(name)).sum();
    host.reopen(small);
    assert_eq!(u64::try_from(total).expect("small"), host.log.size_bytes());
}

#[test]
fn without_space_for_zeros_the_log_goes_on_with_what_it_finds() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    host.disk.capacity = 40_000;
    let files = host.disk.flushes;
    for _ in 0..5 {
        append_and_settle(&mut host, 100);
    }
    assert_eq!(host.disk.zeros_ahead, 0);
    assert_eq!(
        (host.log.durable_end_offset(), host.disk.device_flushes),
        (5, 4)
    );
    assert_eq!(
        host.disk.flushes - files,
        1,
        "the same block again and again"
    );
    assert_eq!(host.read_all().len(), 5);
}

#[test]
fn a_round_waits_for_no_zeros_that_have_not_begun() {
    let mut taken_back = 0;
    for seed in 0..40 {
        let mut host = Host::on(WITHOUT_POINTS, 4 * seed + 1, config());
        for len in [300, 200_000, 80_000, 90_000, 400_000, 100, 60_000, 200_000] {
            let before = host.log.durable_end_offset();
            host.append(&batch(&[&vec![7; len]])).expect("a good batch");
            while host.log.durable_end_offset() == before {
                host.step();
            }
        }
        taken_back += host.disk.taken_back;
        host.disk.crash();
        host.reopen(config());
        assert_eq!(host.read_all().len(), 8);
    }
    assert!(taken_back > 10, "no round met zeros: {taken_back}");
}

#[test]
fn a_stop_waits_for_zeros_and_cuts_them_off() {
    let mut host = Host::on(WITHOUT_POINTS, DEVICE, config());
    host.append(&batch(&[b"one"])).expect("a good batch");
    while host.log.durable_end_offset() == 0 {
        host.step();
    }
    assert!(!host.disk.is_idle(), "zeros are under way");
    host.stop();
    assert_eq!(u64::try_from(file_len(&host)).expect("small"), {
        host.reopen(config());
        host.log.size_bytes()
    });
}
