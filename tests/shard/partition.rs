// SPDX-License-Identifier: Apache-2.0
//! One partition by itself: its life, its leader epochs, what it says and when.
//!
//! Owns: one partition over a disk in memory. Invariants: each name states its rule.
//! Runs on: the test's thread. Bounded by: the test.

use std::collections::VecDeque;

use bytes::Bytes;
use furlong::config::layers::{BrokerLayers, Settings};
use furlong::config::topic;
use furlong::log::{AppendError, AppendRules, LogConfig, RoundTimes};
use furlong::model::disk::{DiskQueue, DiskRequest};
use furlong::model::ids::{BrokerId, TopicPartition, Uuid};
use furlong::model::storage::StorageRules;
use furlong::model::time::Now;
use furlong::partition::{
    AppendRequest, FetchAt, FetchError, FetchStart, Fetched, Isolation, MarkerRequest, OffsetQuery,
    Partition, PartitionEvent, PartitionSpec, ProduceError, QueryStart,
};
use furlong::replication::leader::ReplicaSet;
use furlong::replication::min_insync::Acks;
use furlong::wire::record::{BatchBuilder, Compression, EndMarker};

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
        self.partition.handle_append_as(
            self.now,
            request,
            AppendRules::VERIFIED,
            &mut self.queue,
            &mut self.events,
        );
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
        isolation: Isolation::ReadUncommitted,
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
    let found = bench.partition.handle_offset_query(
        1,
        query,
        -1,
        Isolation::ReadUncommitted,
        &mut bench.queue,
    );
    assert_eq!(found, Err(FetchError::NotLeader));
    assert!(
        !bench
            .partition
            .handle_park(1, 100, Isolation::ReadUncommitted)
    );
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
    assert!(
        bench
            .partition
            .handle_park(77, 1000, Isolation::ReadUncommitted)
    );
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
        let found = bench.partition.handle_offset_query(
            1,
            query,
            1,
            Isolation::ReadUncommitted,
            &mut bench.queue,
        );
        assert!(matches!(found, Ok(QueryStart::Done(found)) if found.offset == offset));
    }
    assert!(
        bench
            .partition
            .has_records_at(1, Isolation::ReadUncommitted)
    );
    assert!(
        !bench
            .partition
            .has_records_at(2, Isolation::ReadUncommitted),
        "it is not committed"
    );
}

fn part_of_a_transaction(producer: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(producer, 0, sequence).transactional();
    builder.append(NOW.wall_ms, Some(b"k"), Some(b"value"), &[]);
    builder.build()
}

fn end_transaction(bench: &mut Bench, waiter: u64, producer_id: i64, is_commit: bool) {
    let request = MarkerRequest {
        waiter,
        producer_id,
        producer_epoch: 0,
        marker: EndMarker {
            is_commit,
            coordinator_epoch: 0,
        },
        epoch_rises: false,
    };
    bench
        .partition
        .handle_marker(NOW, request, &mut bench.queue, &mut bench.events);
}

/// Reads from offset 0 on, as such a reader.
fn read(bench: &mut Bench, isolation: Isolation) -> Fetched {
    let at = FetchAt {
        isolation,
        ..from(0)
    };
    let start = bench
        .partition
        .handle_fetch(1, at, 10_000, true, &mut bench.queue);
    match start.expect("readable") {
        FetchStart::Done(fetched) => fetched,
        FetchStart::Started => panic!("all of it is in memory"),
    }
}

fn latest(bench: &mut Bench, isolation: Isolation) -> i64 {
    let query = OffsetQuery::Latest;
    let found = bench
        .partition
        .handle_offset_query(1, query, -1, isolation, &mut bench.queue);
    match found.expect("it leads") {
        QueryStart::Done(found) => found.offset,
        QueryStart::Started => panic!("it needs no disk"),
    }
}

#[test]
fn readers_of_committed_records_stay_below_the_last_stable_offset() {
    use Isolation::{ReadCommitted, ReadUncommitted};
    let mut bench = Bench::open(spec(1, 1, &[1]));
    bench.append(1, Acks::All, batch(&["a"]));
    bench.append(2, Acks::All, part_of_a_transaction(7, 0));
    bench.append(3, Acks::All, part_of_a_transaction(8, 0));
    assert_eq!(bench.produced().len(), 3);
    assert!(bench.partition.handle_park(77, 10_000, ReadCommitted));
    let whole = read(&mut bench, ReadUncommitted);
    let part = read(&mut bench, ReadCommitted);
    assert!(part.records.len() < whole.records.len() && !part.records.is_empty());
    assert_eq!((part.high_watermark, part.last_stable_offset), (3, 1));
    assert_eq!(
        (
            latest(&mut bench, ReadCommitted),
            latest(&mut bench, ReadUncommitted)
        ),
        (1, 3)
    );
    assert!(!bench.partition.has_records_at(1, ReadCommitted));
    end_transaction(&mut bench, 4, 7, false);
    assert_eq!(
        read(&mut bench, ReadCommitted).last_stable_offset,
        1,
        "it is not committed"
    );
    let events = bench.settle();
    let woken = |events: &[PartitionEvent]| {
        let woken = events.iter().filter_map(|event| match event {
            PartitionEvent::Woken(woken) => Some((woken.fetch, woken.bytes)),
            _ => None,
        });
        woken.collect::<Vec<_>>()
    };
    let one = u64::try_from(part_of_a_transaction(7, 0).len()).expect("small");
    assert_eq!(
        woken(&events),
        [(77, one)],
        "the first transaction, not its marker"
    );
    assert_eq!(latest(&mut bench, ReadCommitted), 2);
    end_transaction(&mut bench, 5, 8, true);
    let events = bench.settle();
    assert_eq!(woken(&events).len(), 1);
    let fetched = read(&mut bench, ReadCommitted);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset), (5, 5));
    let aborted: Vec<_> = fetched.aborted.iter().collect();
    assert!(matches!(aborted[..], [one] if (one.producer_id, one.first_offset) == (7, 1)));
    assert!(read(&mut bench, ReadUncommitted).aborted.is_empty());
    let facts = bench.partition.producers().expect("it leads");
    assert!(
        facts
            .iter()
            .all(|fact| fact.open_since == -1 && fact.coordinator_epoch == 0)
    );
}

#[test]
fn a_marker_of_an_old_epoch_is_refused() {
    let mut bench = Bench::open(spec(1, 1, &[1]));
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(7, 3, 0).transactional();
    builder.append(NOW.wall_ms, None, Some(b"value"), &[]);
    bench.append(1, Acks::All, builder.build());
    end_transaction(&mut bench, 2, 7, true);
    let fenced = ProduceError::Append(AppendError::ProducerFenced);
    let mut told = bench.produced();
    told.sort_by_key(|(waiter, _)| *waiter);
    assert_eq!(told, [(1, Ok(0)), (2, Err(fenced))]);
    assert_eq!(bench.partition.append_counts().messages_in, 1);
}
