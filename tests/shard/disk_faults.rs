// SPDX-License-Identifier: Apache-2.0
//! A disk that is full, slow or broken, and what clients are told meanwhile.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::limits::UNFLUSHED_BYTES_MAX;
use furlong::model::memory_budget::MemoryBudget;
use furlong::shard::contract::ProcessEffect;
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};

#[test]
fn a_full_disk_fails_produce_and_not_fetch_and_heals_without_a_restart() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["before"]));
    broker.disk.is_full = true;
    let long = "x".repeat(9000);
    let mut failed = 0;
    for _ in 0..2000 {
        let answer = produce(&mut broker, client, "t", 0, batch(&[&long]));
        failed += usize::from(answer.error_code == 56);
        assert!([0, 56].contains(&answer.error_code));
        if failed > 3 {
            break;
        }
    }
    assert!(failed > 3, "the disk was full");
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0)[0], "before");
    broker.disk.is_full = false;
    broker.advance_ms(60_000);
    let answer = produce(&mut broker, client, "t", 0, batch(&["after"]));
    assert_eq!(answer.error_code, 0);
    assert!(broker.process.is_empty(), "nothing fatal happened");
}

#[test]
fn a_failed_flush_confirms_nothing_and_ends_the_process_with_a_sentence() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    broker.disk.flush_error = Some(5);
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
    if let Some((_, response)) = next::<ProduceRequest>(&mut broker, client, 9) {
        assert_eq!(only_produced(response).error_code, 56);
    }
    let fatal = broker.process.iter().any(|(_, effect)| {
        matches!(effect, ProcessEffect::Fatal { sentence } if sentence.contains("t-0"))
    });
    assert!(fatal, "{:?}", broker.process);
    let answer = produce(&mut broker, client, "t", 0, batch(&["b"]));
    assert_ne!(answer.error_code, 0, "a failed flush is never retried");
}

#[test]
fn appends_that_the_log_is_too_busy_for_wait_and_keep_their_order() {
    // The bound of the partition is met before that of the shard.
    let memory = MemoryBudget::of_shard(4 << 30, 1).expect("enough");
    let mut broker = Broker::with_memory(1, memory);
    broker.add_topic("t", 1, &[]);
    let client = broker.connect(0);
    broker.hold = Hold::Everything;
    let megabyte = "x".repeat(1_000_000);
    let mut sent = 0i32;
    let mut clients = vec![client];
    let mut bytes = 0;
    while bytes < UNFLUSHED_BYTES_MAX + 8 * 1024 * 1024 {
        let mut client = *clients.last().expect("one");
        if broker.wires[&client].grants == 0 {
            client = broker.connect(0);
            clients.push(client);
        }
        let records = batch(&[&megabyte]);
        bytes += records.len();
        let request = produce_request("t", 0, 1, records);
        broker.send(client, frame(sent, 9, &request));
        sent += 1;
    }
    broker.release();
    let mut expected = 0i32;
    for client in clients {
        while let Some((number, response)) = next::<ProduceRequest>(&mut broker, client, 9) {
            let answer = only_produced(response);
            assert_eq!((answer.error_code, number), (0, expected));
            assert_eq!(answer.base_offset, i64::from(expected));
            expected += 1;
        }
    }
    assert_eq!(expected, sent);
}

#[test]
fn what_an_interrupted_deletion_left_is_removed_and_other_strays_are_told() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(1);
    produce(&mut broker, client, "t", 1, batch(&["a"]));
    for directory in [
        "old-0-delete",
        "foreign-3",
        "lost+found",
        "__cluster_metadata-0",
    ] {
        broker.disk.plant(directory);
    }
    for shard in 0..2 {
        broker.event(shard, furlong::shard::contract::Event::Stop);
    }
    broker.restart();
    let left = [
        "__cluster_metadata-0",
        "foreign-3",
        "lost+found",
        "t-0",
        "t-1",
    ];
    assert_eq!(broker.disk.directories(), left);
    let notices: Vec<&str> = broker
        .process
        .iter()
        .filter_map(|(_, effect)| match effect {
            ProcessEffect::Notice { sentence } => Some(&**sentence),
            _ => None,
        })
        .collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("foreign-3"));
}

#[test]
fn a_topic_that_is_made_on_a_full_disk_serves_once_there_is_space() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["before"]));
    broker.disk.is_full = true;
    broker.add_topic("late", 2, &[]);
    let told = |broker: &Broker| {
        let notices = broker.process.iter().filter(|(_, effect)| {
            matches!(effect, ProcessEffect::Notice { sentence }
                if sentence.contains("late-") && sentence.contains("full"))
        });
        notices.count()
    };
    assert_eq!(told(&broker), 2, "{:?}", broker.process);
    let answer = produce(&mut broker, client, "late", 1, batch(&["too early"]));
    assert_eq!(answer.error_code, 56);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0)[0], "before");
    broker.advance_ms(10_000);
    assert_eq!(told(&broker), 2, "said once");
    broker.disk.is_full = false;
    broker.advance_ms(2_000);
    let answer = produce(&mut broker, client, "late", 1, batch(&["in time"]));
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    let fatal = |(_, effect): &(_, ProcessEffect)| matches!(effect, ProcessEffect::Fatal { .. });
    assert!(!broker.process.iter().any(fatal));
}

#[test]
fn what_could_not_be_opened_can_be_deleted_and_stopped() {
    let mut broker = Broker::with_topic(1, "t", 1);
    broker.disk.is_full = true;
    broker.add_topic("gone", 1, &[]);
    broker.add_topic("stays", 1, &[]);
    broker.publish(|image| {
        let topic = image.topics.remove("gone").expect("there");
        image.topic_names.remove(&topic.id);
    });
    broker.settle();
    assert!(broker.controller.is_applied());
    assert_eq!(broker.disk.directories(), ["stays-0", "t-0"]);
    broker.event(0, furlong::shard::contract::Event::Stop);
    let stopped = |(_, effect): &(_, ProcessEffect)| *effect == ProcessEffect::Stopped;
    assert!(broker.process.iter().any(stopped), "{:?}", broker.process);
    broker.disk.is_full = false;
    broker.restart();
    let client = broker.connect(0);
    assert_eq!(
        produce(&mut broker, client, "stays", 0, batch(&["a"])).error_code,
        0
    );
}
