// SPDX-License-Identifier: Apache-2.0
//! Start, rounds, stop, and what a failing disk does to them.

use furlong::control::request::{ControlAnswer, ControlRequest};
use furlong::limits::CONTROL_REQUESTS_PENDING_MAX;
use furlong::model::ids::Uuid;
use furlong::shard::contract::{Event, ProcessEffect};

use crate::host::{DataShard, Host, NODE, create};

fn is_made(answer: &ControlAnswer) -> bool {
    match answer {
        ControlAnswer::CreateTopics(outcomes) => outcomes.iter().all(|(_, made)| made.is_ok()),
        _ => false,
    }
}

#[test]
fn a_start_registers_publishes_and_serves() {
    let host = Host::serving(1, &[]);
    assert_eq!(host.process, [ProcessEffect::Ready]);
    assert!(host.data.iter().all(|shard| shard.is_serving));
    let image = host.image();
    assert_eq!(image.cluster_id, Uuid([1; 16]));
    assert_eq!(image.brokers[&NODE].shard_count, 2);
    assert_eq!(image.version, 2);
}

#[test]
fn all_serve_from_the_first_image_on_and_ready_is_said_when_all_have_applied_it() {
    let mut host = Host::new(2, 3, Default::default());
    host.event(Event::Start);
    while host.step() {
        let is_told = |shard: &DataShard| shard.applied.is_some() || !shard.inbox.is_empty();
        assert!(
            host.data
                .iter()
                .all(|shard| shard.is_serving == is_told(shard))
        );
        let everywhere = host.data.iter().all(|shard| shard.applied.is_some());
        assert_eq!(host.is_ready(), everywhere);
    }
    assert!(host.is_ready());
}

#[test]
fn an_answer_comes_once_every_shard_has_what_it_says() {
    for seed in 0..20 {
        let mut host = Host::serving(seed, &[]);
        host.send(1, 5, create("events", 4));
        let flushes = host.disk.flushes;
        while host.answers.is_empty() {
            assert!(host.step(), "an answer must come");
        }
        assert!(host.disk.flushes > flushes, "committed means flushed");
        assert!(is_made(&host.answers[0].1));
        for shard in &host.data {
            let image = shard.applied.as_ref().expect("applied");
            assert_eq!(image.topics["events"].partitions.len(), 4);
        }
    }
}

#[test]
fn an_answer_that_changes_nothing_keeps_its_place() {
    let mut host = Host::serving(3, &[]);
    for request in 0..6 {
        host.send(0, request, create("same", 1));
    }
    host.settle();
    let order: Vec<u64> = host.answers.iter().map(|(request, _)| *request).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    let made = host
        .answers
        .iter()
        .filter(|(_, answer)| is_made(answer))
        .count();
    assert_eq!(made, 1);
}

#[test]
fn requests_before_the_start_is_over_wait() {
    let mut host = Host::new(4, 2, Default::default());
    host.send(0, 9, create("early", 1));
    host.start();
    assert!(is_made(&host.answers[0].1));
}

#[test]
fn more_requests_than_can_wait_are_refused() {
    let mut host = Host::new(5, 2, Default::default());
    let most = u64::try_from(CONTROL_REQUESTS_PENDING_MAX).expect("small");
    for request in 0..most + 2 {
        host.send(0, request, ControlRequest::AllocateProducerIds);
    }
    assert_eq!(host.answers.len(), 2);
    assert!(
        host.answers
            .iter()
            .all(|(_, answer)| *answer == ControlAnswer::Unavailable)
    );
    host.start();
    assert_eq!(host.answers.len(), CONTROL_REQUESTS_PENDING_MAX + 2);
}

#[test]
fn each_start_has_a_new_broker_epoch_and_new_leader_epochs() {
    let mut host = Host::serving(6, &[]);
    host.create("events", 3);
    let mut before = host.image();
    for shards in [2, 2, 3] {
        host.restart(shards);
        let after = host.image();
        assert!(after.brokers[&NODE].epoch > before.brokers[&NODE].epoch);
        let pairs = before.topics["events"].partitions.iter();
        for (old, new) in pairs.zip(&after.topics["events"].partitions) {
            assert_eq!(new.leader_epoch, old.leader_epoch + 1);
            assert!(new.shard.0 < shards);
        }
        before = after;
    }
    let shards: Vec<u16> = before.topics["events"]
        .partitions
        .iter()
        .map(|partition| partition.shard.0)
        .collect();
    assert_eq!(shards, [0, 1, 2]);
}

#[test]
fn a_full_disk_refuses_and_goes_on_once_there_is_space() {
    let mut host = Host::serving(7, &[]);
    let names = host.disk.names().len();
    host.disk.capacity = 0;
    assert_eq!(host.create("events", 1), ControlAnswer::Unavailable);
    assert_eq!(host.create("events", 1), ControlAnswer::Unavailable);
    host.disk.capacity = usize::MAX;
    assert!(is_made(&host.create("events", 1)));
    assert_eq!(host.disk.names().len(), names);
    host.crash(2);
    assert_eq!(host.image().topics.len(), 1);
}

#[test]
fn a_broker_that_cannot_register_does_not_start() {
    let mut host = Host::serving(8, &[]);
    host.event(Event::Stop);
    host.settle();
    host.renew(2);
    host.disk.capacity = 0;
    host.event(Event::Start);
    host.settle();
    assert!(!host.is_ready());
    assert!(host.fatal().is_some(), "{:?}", host.process);
}

#[test]
fn a_flush_that_fails_ends_the_process() {
    let mut host = Host::serving(9, &[]);
    host.disk.fail_flushes = true;
    host.send(0, 1, create("events", 1));
    host.send(0, 2, create("other", 1));
    host.settle();
    assert!(host.fatal().is_some());
    assert!(
        host.answers
            .iter()
            .all(|(_, answer)| *answer == ControlAnswer::Unavailable)
    );
    assert!(
        !host.image().topics.contains_key("events"),
        "nothing unflushed is replayed"
    );
}

#[test]
fn a_stop_ends_what_is_under_way() {
    for steps in 0..60 {
        let mut host = Host::new(steps, 2, Default::default());
        host.event(Event::Start);
        for _ in 0..steps {
            host.step();
        }
        host.send(0, 1, create("events", 1));
        host.event(Event::Stop);
        host.settle();
        assert_eq!(
            host.process.last(),
            Some(&ProcessEffect::Stopped),
            "after {steps} steps"
        );
        host.send(0, 2, create("late", 1));
        assert_eq!(host.answers.last(), Some(&(2, ControlAnswer::Unavailable)));
        host.renew(2);
        host.start();
        assert_eq!(host.notices(), 0);
    }
}

#[test]
fn a_stop_before_the_start_is_a_stop() {
    let mut host = Host::new(11, 2, Default::default());
    host.event(Event::Stop);
    assert_eq!(host.process, [ProcessEffect::Stopped]);
}

#[test]
fn the_log_of_another_cluster_is_refused() {
    let mut host = Host::serving(12, &[]);
    host.event(Event::Stop);
    host.settle();
    host.cluster_id = Uuid([6; 16]);
    host.renew(2);
    host.event(Event::Start);
    host.settle();
    let sentence = host.fatal().expect("refused");
    assert!(sentence.contains("meta.properties"), "{sentence}");
    assert!(host.data.iter().all(|shard| shard.applied.is_none()));
}
