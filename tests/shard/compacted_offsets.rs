// SPDX-License-Identifier: Apache-2.0
//! The partition that keeps the offsets of groups, compacted over and over: offsets of committed
//! and of aborted transactions and plain ones between them, read again after a restart and by
//! another shard.
//!
//! Owns: nothing. Invariants: what a client is told of an offset never depends on what compaction
//! has done to the log. Runs on: the test's thread. Bounded by: the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use furlong::group::{OFFSETS_TOPIC, partition_of};
use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::wire::protocol::end_txn::EndTxnRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use furlong::wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use crate::broker::Broker;
use crate::client::call;
use crate::groups;

const SHARDS: usize = 2;
const GROUPS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: i32 = 4;

/// A transactional id, and the producer that it has now.
struct Producer {
    name: &'static str,
    id: i64,
    epoch: i16,
}

/// A broker, and what its clients know.
struct World {
    broker: Broker,
    client: ConnectionId,
    /// What counts, by group and partition.
    known: BTreeMap<(&'static str, i32), i64>,
    next: i64,
}

impl World {
    /// All groups in one partition, whose segments last a second and are compacted at once.
    fn new() -> World {
        let settings = [
            ("offsets.topic.num.partitions", "1"),
            ("transaction.state.log.num.partitions", "1"),
        ];
        let shards = u16::try_from(SHARDS).expect("few");
        let mut broker = Broker::with_settings(shards, &settings);
        broker.add_topic("t", PARTITIONS, &[]);
        let client = broker.connect(0);
        for key_type in [0, 1] {
            let find = FindCoordinatorRequest {
                key_type,
                coordinator_keys: vec!["a".into()],
                ..FindCoordinatorRequest::default()
            };
            let found = call(&mut broker, client, 4, &find);
            assert_eq!(found.coordinators[0].error_code, 0);
        }
        broker.publish(|image| {
            let topic = image.topics.get_mut(OFFSETS_TOPIC).expect("it was made");
            let config = &mut Arc::make_mut(topic).config;
            config.segment_ms = 1_000;
            config.compaction.dirty_millionths_min = 0;
            config.compaction.delete_retention_ms = 0;
        });
        broker.settle();
        World {
            broker,
            client,
            known: BTreeMap::new(),
            next: 0,
        }
    }

    fn init(&mut self, name: &'static str) -> Producer {
        let request = InitProducerIdRequest {
            transactional_id: Some(name.into()),
            transaction_timeout_ms: 900_000,
            ..InitProducerIdRequest::default()
        };
        let response = call(&mut self.broker, self.client, 4, &request);
        assert_eq!(response.error_code, 0);
        Producer {
            name,
            id: response.producer_id,
            epoch: response.producer_epoch,
        }
    }

    /// A commit outside of transactions.
    fn commit(&mut self, group: &'static str, partition: i32) {
        self.next += 1;
        let at = ("t", partition);
        let code = groups::commit(&mut self.broker, self.client, group, at, self.next);
        assert_eq!(code, 0);
        self.known.insert((group, partition), self.next);
    }

    /// A commit in a transaction; its offset.
    fn propose(&mut self, producer: &Producer, group: &'static str, partition: i32) -> i64 {
        self.next += 1;
        let request = TxnOffsetCommitRequest {
            transactional_id: producer.name.into(),
            group_id: group.into(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "t".into(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: self.next,
                    ..TxnOffsetCommitRequestPartition::default()
                }],
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let response = call(&mut self.broker, self.client, 5, &request);
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
        self.next
    }

    fn end(&mut self, producer: &mut Producer, committed: bool) {
        let request = EndTxnRequest {
            transactional_id: producer.name.into(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            committed,
        };
        let response = call(&mut self.broker, self.client, 5, &request);
        assert_eq!(response.error_code, 0);
        (producer.id, producer.epoch) = (response.producer_id, response.producer_epoch);
    }

    /// A transaction over two partitions of a group, to its end.
    fn transact(&mut self, producer: &mut Producer, group: &'static str, committed: bool) {
        let proposed = [0, 2].map(|partition| {
            let offset = self.propose(producer, group, partition);
            (partition, offset)
        });
        self.end(producer, committed);
        if committed {
            let known = proposed.map(|(partition, offset)| ((group, partition), offset));
            self.known.extend(known);
        }
    }

    /// What clients are told of every offset: the code, and where it is 0 the offset.
    fn told(&mut self, require_stable: bool) -> BTreeMap<(&'static str, i32), (i16, i64)> {
        let request = OffsetFetchRequest {
            groups: GROUPS
                .map(|group| OffsetFetchRequestGroup {
                    group_id: group.into(),
                    topics: Some(vec![OffsetFetchRequestTopics {
                        name: "t".into(),
                        partition_indexes: (0..PARTITIONS).collect(),
                        ..OffsetFetchRequestTopics::default()
                    }]),
                    ..OffsetFetchRequestGroup::default()
                })
                .into(),
            require_stable,
            ..OffsetFetchRequest::default()
        };
        let response = call(&mut self.broker, self.client, 8, &request);
        let mut all = BTreeMap::new();
        for (group, answer) in GROUPS.into_iter().zip(&response.groups) {
            assert_eq!(answer.error_code, 0, "{group}");
            for one in &answer.topics[0].partitions {
                let told = (one.error_code, one.committed_offset);
                all.insert((group, one.partition_index), told);
            }
        }
        all
    }

    /// Clients are told what they know, and nothing else.
    fn check(&mut self) {
        for (at, told) in self.told(false) {
            let known = self.known.get(&at).copied().unwrap_or(-1);
            assert_eq!(told, (0, known), "{at:?}");
        }
    }

    fn passes(&self) -> u64 {
        let shards = self.broker.shards.iter();
        shards.map(|shard| shard.numbers().compactions.passes).sum()
    }

    /// The segment ends with the next commit.
    fn roll(&mut self) {
        self.broker.advance_ms(1_500);
        self.commit("c", 3);
    }

    /// The segment ends, and what came before is compacted.
    fn compact(&mut self) {
        let before = self.passes();
        for _ in 0..50 {
            self.roll();
            if self.passes() > before {
                return;
            }
        }
        panic!("nothing was compacted in a minute");
    }

    fn restart(&mut self) {
        for shard in 0..SHARDS {
            self.broker.event(shard, Event::Stop);
        }
        self.broker.restart();
        self.client = self.broker.connect(0);
    }

    /// Another shard reads the partition.
    fn shift(&mut self, to: u16) {
        self.broker.shift(OFFSETS_TOPIC, 0, to);
    }

    fn size_bytes(&self) -> u64 {
        let shards = self.broker.shards.iter();
        let logs = shards.flat_map(|shard| shard.numbers().logs);
        let logs = logs.filter(|log| log.topic == OFFSETS_TOPIC);
        logs.map(|log| log.size_bytes).sum()
    }
}

#[test]
fn offsets_of_transactions_outlive_any_number_of_passes_and_starts() {
    let mut world = World::new();
    let mut producer = world.init("x");
    let mut largest = 0;
    for round in 0..8 {
        for group in GROUPS {
            world.commit(group, 0);
            world.transact(&mut producer, group, round % 3 != 1);
            world.commit(group, 1);
            world.transact(&mut producer, group, round % 2 == 1);
        }
        // Aborted behind a plain one, on which it must not win.
        world.commit("b", 2);
        world.transact(&mut producer, "b", false);
        world.check();
        world.compact();
        world.check();
        match round % 4 {
            1 => world.restart(),
            3 => world.shift(u16::from(round == 3)),
            _ => {}
        }
        world.check();
        largest = largest.max(world.size_bytes());
    }
    // What lies there does not grow with what was written.
    for _ in 0..4 {
        world.compact();
    }
    assert!(world.size_bytes() < largest, "{largest} bytes at most");
    world.restart();
    world.check();
}

#[test]
fn a_transaction_over_many_segments_ends_as_one_over_none() {
    for committed in [true, false] {
        let mut world = World::new();
        let mut quick = world.init("quick");
        let mut slow = world.init("slow");
        world.commit("a", 0);
        world.commit("a", 1);
        world.compact();
        let open = [("a", 0), ("b", 1)];
        let proposed = open.map(|(group, partition)| {
            let offset = world.propose(&slow, group, partition);
            ((group, partition), offset)
        });
        for round in 0..3 {
            world.transact(&mut quick, "a", round != 1);
            world.commit("c", 0);
            // From its first offset on nothing is compacted as long as it is open.
            for _ in 0..5 {
                world.roll();
            }
            world.check();
        }
        let told = world.told(true);
        for at in open {
            assert_eq!(told[&at].0, 88, "unstable: {at:?}");
        }
        assert_eq!(told[&("c", 0)].0, 0);
        world.restart();
        assert_eq!(world.told(true), told);
        world.end(&mut slow, committed);
        if committed {
            // The other one was committed meanwhile, and lies behind in the log: that one counts.
            let [_, (at, offset)] = proposed;
            world.known.insert(at, offset);
        }
        world.check();
        let before = world.told(true);
        assert!(before.values().all(|(code, _)| *code == 0));
        for _ in 0..3 {
            world.compact();
        }
        world.restart();
        world.check();
        world.shift(1);
        world.check();
    }
    assert_eq!(partition_of("a", 1), 0);
}
