// SPDX-License-Identifier: Apache-2.0
//! How a process is put together, as `furlong serve` does it: so many data shards, and the control
//! shard behind them.
//!
//! Invariants: what a start would draw from the system comes from the stream that is handed in.

use std::sync::Arc;

use furlong::config::layers::Settings;
use furlong::config::server::BrokerDefaults;
use furlong::model::cleaner::CleanerSettings;
use furlong::model::ids::{BrokerId, ShardId, Uuid};
use furlong::model::memory_budget::MemoryBudget;
use furlong::model::storage::StorageRules;
use furlong::model::time::{MonotonicUs, Now};
use furlong::shard::contract::{Effects, Event, Machine};
use furlong::shard::control_shard::{ControlShard, ControlShardConfig};
use furlong::shard::machine::{Shard, ShardConfig};

use crate::plan::{NEW_SESSION_US, SESSION_MS_MIN};
use crate::prng::Prng;

/// How often retention looks: often enough for the short life of a simulated process.
const RETENTION_CHECK_MS: u64 = 5_000;

/// Short enough for a client that rests to lose its connection now and then.
const IDLE_MS: u64 = 400;

/// More than all clients have.
const CONNECTIONS_MAX: usize = 1000;

/// Makes the machines of one life, data shards first, the control shard last.
pub type Boot = Box<dyn FnMut(u16, &mut Prng) -> Vec<Box<dyn Machine>>>;

/// Partitions of the topic that keeps groups.
pub const GROUP_PARTITIONS: u64 = 3;

/// The broker's only node id.
const NODE: BrokerId = BrokerId(1);

/// So little that every part of it runs short in nearly every run.
const MEMORY: MemoryBudget = MemoryBudget {
    tail_cache_bytes: 32 * 1024,
    buffer_bytes: 512 * 1024,
    append_bytes: 8 * 1024,
    receive_bytes: 8 * 1024,
    read_bytes: 64 * 1024,
    outbound_bytes: 8 * 1024,
};

/// It looks often, and its table holds so few keys that a pass is not always whole.
const CLEANER: CleanerSettings = CleanerSettings {
    is_enabled: true,
    dedupe_bytes: 2_000,
    bytes_per_second: None,
    backoff_ms: 200,
};

/// The broker under test.
pub fn broker() -> Boot {
    let (partitions, session_ms) = (GROUP_PARTITIONS.to_string(), SESSION_MS_MIN.to_string());
    let new_session_ms = (NEW_SESSION_US / 1_000).to_string();
    let settings: Settings = [
        // Often enough for a run to load one at nearly every start.
        ("metadata.log.max.record.bytes.between.snapshots", "2000"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", &*partitions),
        ("group.min.session.timeout.ms", &*session_ms),
        ("group.consumer.session.timeout.ms", &*new_session_ms),
        ("group.initial.rebalance.delay.ms", "50"),
        ("transaction.state.log.num.partitions", "2"),
        // Every request is slow, so the stages of each that is told can be added up.
        ("slow.request.ms", "0"),
    ]
    .map(|(key, value)| (key.into(), value.into()))
    .into();
    Box::new(move |shards, prng| {
        let mut machines: Vec<Box<dyn Machine>> = Vec::new();
        // Every kind of storage is met.
        let storage = StorageRules {
            device_flush: prng.chance(750),
            write_ahead: prng.chance(900),
            recovery_point_bytes: *prng.pick(&[500, 5_000, 1 << 25]),
        };
        for number in 0..shards {
            machines.push(Box::new(Shard::new(ShardConfig {
                shard: ShardId(number),
                shard_count: shards,
                node_id: NODE,
                data_directory: "/data".into(),
                auto_create_topics: false,
                retention_check_ms: RETENTION_CHECK_MS,
                connection_idle_ms: Some(IDLE_MS),
                cleaner: CLEANER,
                storage,
                memory: MEMORY,
                settings: Arc::new(settings.clone()),
            })));
        }
        let mut entropy = [0; 32];
        entropy[..16].copy_from_slice(&prng.bytes_16());
        entropy[16..].copy_from_slice(&prng.bytes_16());
        machines.push(Box::new(ControlShard::new(ControlShardConfig {
            node_id: NODE,
            cluster_id: Uuid([1; 16]),
            directory_id: Uuid([2; 16]),
            incarnation_id: Uuid(prng.bytes_16()),
            host: "127.0.0.1".into(),
            port: 9092,
            rack: None,
            shard_count: shards,
            connections_max: CONNECTIONS_MAX,
            defaults: BrokerDefaults::of(settings.clone()).expect("right settings"),
            entropy,
        })));
        machines
    })
}

/// A broker whose machines never say anything.
pub fn silent() -> Boot {
    Box::new(|shards, _| {
        let machine = |_| Box::new(Silent) as Box<dyn Machine>;
        (0..=shards).map(machine).collect()
    })
}

struct Silent;

impl Machine for Silent {
    fn handle_event(&mut self, _: Now, _: Event, _: &mut Effects) {}

    fn next_deadline(&self) -> Option<MonotonicUs> {
        None
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Effects) {}
}
