// SPDX-License-Identifier: Apache-2.0
//! One partition by itself: its life, its leader epochs, what it says and when.
//!
//! Owns: one partition over a disk in memory. Invariants: each name states its rule.
//! Runs on: the test's thread. Bounded by: the test.

use std::collections::VecDeque;

use bytes::Bytes;
use furlong::config::layers::{BrokerLayers, Settings};
use furlong::config::topic;
use furlong::log::{LogConfig, RoundTimes};
use furlong::model::disk::{DiskQueue, DiskRequest};
use furlong::model::ids::{BrokerId, TopicPartition, Uuid};
use furlong::model::storage::StorageRules;
use furlong::model::time::Now;
use furlong::partition::{
    AppendRequest, FetchAt, FetchError, FetchStart, OffsetQuery, Partition, PartitionEvent,
    PartitionSpec, ProduceError, QueryStart,
};
use furlong::replication::leader::ReplicaSet;
use furlong::replication::min_insync::Acks;

use crate::client::batch;
use crate::memory_disk::MemoryDisk;

const NODE: BrokerId = BrokerId(1);
const NOW: Now = Now {
    monotonic_us: 1,
    wall_ms: 1_700_000_000_000,
};

struct Bench {
    partition: Partition,
    disk: MemoryDisk,
    queue: DiskQueue,
    waiting: VecDeque<DiskRequest>,
    events: Vec<PartitionEvent>,
    rounds: Vec<RoundTimes>,
    now: Now,
}

fn spec(leader: i32, leader_epoch: i32, isr: &[i32]) -> PartitionSpec {
    let file = Settings::new();
    let settings = topic::effective(BrokerLayers::of_file(&file), &file).expect("the defaults");
    PartitionSpec {
        at: TopicPartition {
            topic_id: Uuid([3; 16]),
            partition: 0,
        },
        directory: "p-0".into(),
        leader: Some(BrokerId(leader)),
        leader_epoch,
        replicas: ReplicaSet {
            isr: isr.iter().copied().map(BrokerId).collect(),
            replication_factor: 2,
            min_insync_replicas: 1,
        },
        config: LogConfig::from(&settings),
    }
}

impl Bench {
    fn new(spec: PartitionSpec) -> Bench {
        let mut bench = Bench {
            partition: Partition::new(0, NODE, spec, StorageRules::default()),
            disk: MemoryDisk::default(),
            queue: DiskQueue::new(),
            waiting: VecDeque::new(),
            events: Vec::new(),
            rounds: Vec::new(),
            now: NOW,
        };
        bench.partition.handle_open(NOW, &mut bench.queue);
        bench
    }

    fn open(spec: PartitionSpec) -> Bench {
        let mut bench = Bench::new(spec);
        let events = bench.settle();
        assert!(matches!(events[..], [PartitionEvent::Opened { .. }]));
        bench
    }

    /// Completes every disk request and gives what the partition said.
    fn settle(&mut self) -> Vec<PartitionEvent> {
        loop {
            self.waiting.extend(self.queue.drain());
            let Some(request) = self.waiting.pop_front() else {
                return self.said();
            };
            let completion = self.disk.perform(0, request);
            self.partition
                .handle_disk(self.now, completion, &mut self.queue, &mut self.events);
        }
    }

    /// What the partition said, but for the rounds, which go to a list of their own.
    fn said(&mut self) -> Vec<PartitionEvent> {
        let mut said = std::mem::take(&mut self.events);
        said.retain(|event| match event {
            PartitionEvent::RoundEnded(round) => {
                self.rounds.push(*round);
                false
            }
            _ => true,
        });
        said
    }

    fn append(&mut self, waiter: u64, acks: Acks, records: Bytes) {
        let request = AppendRequest {
            waiter,
            came_us: self.now.monotonic_us,
            acks,
            records,
        };
        self.partition
            .handle_append(self.now, request, &mut self.queue, &mut self.events);
    }

    fn produced(&mut self) -> Vec<(u64, Result<i64, ProduceError>)> {
        let events = self.settle().into_iter();
        events
            .filter_map(|event| match event {
                PartitionEvent::Produced { waiter, result, .. } => {
                    Some((waiter, result.map(|produced| produced.base_offset)))
                }
                _ => None,
            })
            .collect()
    }
}

fn from(offset: i64) -> FetchAt {
    FetchAt {
        offset,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

#[test]
fn a_replica_that_does_not_lead_refuses_every_client() {
    let mut bench = Bench::open(spec(2, 1, &[1, 2]));
    bench.append(1, Acks::All, batch(&["a"]));
    assert_eq!(bench.produced(), [(1, Err(ProduceError::NotLeader))]);
    let fetch = bench
        .partition
        .handle_fetch(1, from(0), 100, true, &mut bench.queue);
    assert_eq!(fetch, Err(FetchError::NotLeader));
    let query = OffsetQuery::Earliest;
    let found = bench
        .partition
        .handle_offset_query(1, query, -1, &mut bench.queue);
    assert_eq!(found, Err(FetchError::NotLeader));
    assert!(!bench.partition.handle_park(1, 100));
    assert_eq!(bench.partition.high_watermark(), None);
}

#[test]
fn a_leader_answers_each_kind_of_acks_when_its_time_has_come() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::None, batch(&["a"]));
    assert!(matches!(
        bench.events[..],
        [PartitionEvent::Produced { waiter: 1, .. }]
    ));
    bench.append(2, Acks::Leader, batch(&["b"]));
    bench.append(3, Acks::All, batch(&["c"]));
    assert_eq!(bench.events.len(), 1, "nothing is durable yet");
    assert_eq!(bench.produced(), [(1, Ok(0)), (2, Ok(1)), (3, Ok(2))]);
    assert_eq!(bench.partition.high_watermark(), Some(3));
}

#[test]
fn an_append_that_is_given_up_is_answered_once() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a"]));
    bench.partition.handle_give_up(1, &mut bench.events);
    bench.partition.handle_give_up(1, &mut bench.events);
    bench.partition.handle_give_up(9, &mut bench.events);
    assert_eq!(bench.produced(), [(1, Err(ProduceError::TimedOut))]);
    assert_eq!(bench.partition.high_watermark(), Some(1));
}

#[test]
fn a_leader_that_resigns_answers_what_waits_and_wakes_who_watches() {
    let mut bench = Bench::open(spec(1, 1, &[1, 2]));
    bench.append(1, Acks::All, batch(&["a"]));
    assert_eq!(bench.produced(), [], "the other replica has not told");
    assert!(bench.partition.handle_park(77, 1000));
    bench
        .partition
        .handle_spec(spec(2, 2, &[1, 2]), &mut bench.events);
    let events = bench.settle();
    let told: Vec<&PartitionEvent> = events.iter().collect();
    assert!(matches!(
        told[..],
        [
            PartitionEvent::Produced {
                waiter: 1,
                result: Err(ProduceError::NotLeader),
                ..
            },
            PartitionEvent::Woken(woken)
        ] if woken.fetch == 77 && woken.bytes == 0
    ));
    assert_eq!(bench.partition.watch_count(), 0);
}

#[test]
fn the_watermark_survives_a_new_epoch_of_the_same_leader() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a", "b"]));
    bench.settle();
    bench
        .partition
        .handle_spec(spec(1, 2, &[1, 2]), &mut bench.events);
    assert_eq!(bench.partition.high_watermark(), Some(2));
    bench.append(2, Acks::Leader, batch(&["c"]));
    assert_eq!(bench.produced(), [(2, Ok(2))]);
    assert_eq!(bench.partition.high_watermark(), Some(2), "the other waits");
    let fetch = bench
        .partition
        .handle_fetch(1, from(2), 100, true, &mut bench.queue);
    assert!(matches!(fetch, Ok(FetchStart::Done(fetched)) if fetched.records.is_empty()));
}

#[test]
fn an_end_that_is_asked_for_while_it_opens_follows_the_opening() {
    let mut bench = Bench::new(spec(1, 1, &[1]));
    bench
        .partition
        .handle_stop(NOW, &mut bench.queue, &mut bench.events);
    let events = bench.settle();
    assert!(matches!(
        events[..],
        [PartitionEvent::Opened { .. }, PartitionEvent::Stopped]
    ));
    let mut bench = Bench::new(spec(1, 1, &[1]));
    bench
        .partition
        .handle_delete(NOW, &mut bench.queue, &mut bench.events);
    let events = bench.settle();
    assert!(matches!(
        events[..],
        [PartitionEvent::Opened { .. }, PartitionEvent::Deleted]
    ));
    assert!(bench.disk.paths().is_empty());
}

#[test]
fn what_waits_when_a_partition_is_deleted_is_refused() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a"]));
    bench
        .partition
        .handle_delete(NOW, &mut bench.queue, &mut bench.events);
    assert_eq!(bench.produced(), [(1, Err(ProduceError::NotLeader))]);
    bench.append(2, Acks::All, batch(&["b"]));
    assert_eq!(bench.produced(), [(2, Err(ProduceError::NotLeader))]);
}

#[test]
fn a_stop_makes_what_waits_durable_first() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a"]));
    bench
        .partition
        .handle_stop(NOW, &mut bench.queue, &mut bench.events);
    let events = bench.settle();
    assert!(matches!(
        events[..],
        [
            PartitionEvent::Produced {
                waiter: 1,
                result: Ok(_),
                ..
            },
            PartitionEvent::Stopped
        ]
    ));
}

#[test]
fn offsets_are_found_between_log_start_and_watermark() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a", "b"]));
    bench.settle();
    bench.append(2, Acks::All, batch(&["c"]));
    for (query, offset) in [
        (OffsetQuery::Earliest, 0),
        (OffsetQuery::Latest, 2),
        (OffsetQuery::Tiered, -1),
    ] {
        let found = bench
            .partition
            .handle_offset_query(1, query, 1, &mut bench.queue);
        assert!(matches!(found, Ok(QueryStart::Done(found)) if found.offset == offset));
    }
    assert!(bench.partition.has_records_at(1));
    assert!(!bench.partition.has_records_at(2), "it is not committed");
}
