// SPDX-License-Identifier: Apache-2.0
//! Snapshots on disk: written, kept, loaded, passed over.

use furlong::control::request::{ControlAnswer, ControlRequest};

use crate::host::{Host, NODE};

/// A snapshot after every round.
const OFTEN: &[(&str, &str)] = &[("metadata.log.max.record.bytes.between.snapshots", "1")];

fn snapshots(host: &Host) -> Vec<String> {
    let names = host.disk.names();
    let snapshots = names.iter().filter(|name| name.ends_with(".checkpoint"));
    let numbered = snapshots.filter(|name| name.contains("-0/0"));
    numbered.map(|name| (*name).to_owned()).collect()
}

fn with_topics(seed: u64) -> Host {
    let mut host = Host::serving(seed, OFTEN);
    for name in ["a", "b", "c", "d"] {
        host.create(name, 2);
    }
    host.ask(ControlRequest::AllocateProducerIds);
    host
}

/// Starts again without touching the disk in between, and compares.
fn assert_survives(host: &mut Host, damage: impl FnOnce(&mut Host)) {
    let before = host.image();
    host.disk.crash();
    damage(host);
    host.renew(2);
    host.start();
    let after = host.image();
    assert_eq!(after.topic_names, before.topic_names);
    assert!(after.brokers[&NODE].epoch > before.brokers[&NODE].epoch);
    let ids = host.ask(ControlRequest::AllocateProducerIds);
    assert_eq!(
        ids,
        ControlAnswer::ProducerIds {
            first: 1000,
            count: 1000
        }
    );
}

#[test]
fn two_snapshots_are_kept() {
    let host = with_topics(1);
    let kept = snapshots(&host);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(host.notices(), 0);
}

#[test]
fn none_is_written_before_its_time() {
    let mut host = Host::serving(2, &[]);
    host.create("a", 2);
    assert!(snapshots(&host).is_empty());
}

#[test]
fn a_start_loads_the_newest_or_an_older_one_or_the_log() {
    let mut host = with_topics(3);
    assert_survives(&mut host, |_| {});
    assert_eq!(host.notices(), 0);
    for damaged in 1..=2 {
        let mut host = with_topics(4);
        assert_survives(&mut host, |host| {
            for name in snapshots(host).iter().rev().take(damaged) {
                let middle = host.disk.contents(name).len() / 2;
                host.disk.rewrite(name, |contents| contents[middle] ^= 1);
            }
        });
        assert_eq!(host.notices(), damaged, "{:?}", host.process);
    }
    let mut host = with_topics(5);
    assert_survives(&mut host, |host| {
        for name in snapshots(host) {
            host.disk.lose(&name);
        }
    });
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_not_served() {
    let mut host = with_topics(6);
    host.disk.crash();
    let rest: Vec<String> = host
        .disk
        .names()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let kept = snapshots(&host);
    for name in rest.iter().filter(|name| !kept.contains(name)) {
        host.disk.lose(name);
    }
    host.renew(2);
    host.event(furlong::shard::contract::Event::Start);
    host.settle();
    let sentence = host.fatal().expect("refused");
    assert!(sentence.contains("before its snapshot"), "{sentence}");
}

#[test]
fn no_space_for_a_snapshot_loses_nothing() {
    let mut host = Host::serving(7, OFTEN);
    host.create("a", 1);
    let used: usize = {
        let names: Vec<String> = host
            .disk
            .names()
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        names
            .iter()
            .map(|name| host.disk.contents(name).len())
            .sum()
    };
    host.disk.capacity = used + 2 * 4096;
    for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
        host.create(name, 1);
    }
    let made = host.image().topics.len();
    assert!(host.notices() > 0 || made < 9, "the disk was never full");
    host.disk.capacity = usize::MAX;
    host.crash(2);
    assert_eq!(host.image().topics.len(), made);
}
