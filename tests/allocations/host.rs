// SPDX-License-Identifier: Apache-2.0
//! The shards of one broker, driven so that only what they do themselves is counted.
//!
//! Owns: the shards, the disk, the clock, one client on the first shard. Invariants: events are
//! delivered in the order in which they were caused; frames come as the shell cuts them, as parts
//! of a larger piece of memory. Runs on: the test's thread. Bounded by: the test.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use furlong::config::layers::Settings;
use furlong::model::cleaner::CleanerSettings;
use furlong::model::ids::{ConnectionId, ShardId};
use furlong::model::memory_budget::MemoryBudget;
use furlong::model::peer::PeerAddress;
use furlong::model::quota::{ClientQuotas, EntityName, QuotaEntity, QuotaKind, QuotaValue};
use furlong::model::storage::StorageRules;
use furlong::model::time::Now;
use furlong::shard::contract::{Effects, Event, Machine, NetworkEffect};
use furlong::shard::mesh_message::MeshMessage;
use furlong::shard::{Shard, ShardConfig};
use furlong::wire::protocol::{Request, decode_response, encode_request};

use crate::allocation::{counted, take_count};
use crate::controller::{Controller, NODE};
use crate::memory_disk::MemoryDisk;

/// The client.
const CLIENT: ConnectionId = ConnectionId(1);

/// Microseconds that pass with each request.
const STEP_US: u64 = 200;

/// One broker.
pub struct Host {
    shards: Vec<Shard>,
    effects: Vec<Effects>,
    controller: Controller,
    disk: MemoryDisk,
    now: Now,
    events: VecDeque<(usize, Event)>,
    to_controller: VecDeque<(ShardId, MeshMessage)>,
    answers: Vec<Bytes>,
}

impl Host {
    /// A broker with so many shards and one topic `t`, whose first partition is on shard 0.
    pub fn new(shard_count: u16, partitions: i32) -> Host {
        let memory = MemoryBudget {
            // Soon full: what a log does while its cache still grows is not what it does for ever.
            tail_cache_bytes: 512 * 1024 * usize::try_from(partitions).expect("few")
                / usize::from(shard_count),
            ..MemoryBudget::of_shard(256 << 20, 1).expect("enough")
        };
        let shard = |shard| {
            Shard::new(ShardConfig {
                shard: ShardId(shard),
                shard_count,
                node_id: NODE,
                data_directory: "/data".into(),
                auto_create_topics: true,
                storage: StorageRules {
                    device_flush: true,
                    write_ahead: true,
                    ..StorageRules::default()
                },
                memory,
                retention_check_ms: 30_000,
                connection_idle_ms: Some(600_000),
                cleaner: CleanerSettings::default(),
                settings: Arc::new(Settings::new()),
            })
        };
        let mut host = Host {
            shards: (0..shard_count).map(shard).collect(),
            effects: (0..shard_count).map(|_| Effects::default()).collect(),
            controller: Controller::new(shard_count),
            disk: MemoryDisk::default(),
            now: Now {
                monotonic_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            events: VecDeque::new(),
            to_controller: VecDeque::new(),
            answers: Vec::new(),
        };
        host.controller.add_topic("t", partitions, &[]);
        let image = host.controller.publish(|_| {});
        for shard in 0..host.shards.len() {
            host.events.push_back((shard, Event::Start));
            host.push_mesh(
                shard,
                ShardId::CONTROL,
                MeshMessage::Image(Arc::clone(&image)),
            );
        }
        let connection = CLIENT;
        let peer = PeerAddress::UNKNOWN;
        let connected = Event::Connected { connection, peer };
        host.events.push_back((0, connected));
        host.settle();
        host
    }

    /// Gives the client quotas that it never uses up, of bytes that it sends and reads.
    pub fn set_wide_quotas(&mut self) {
        let entity = QuotaEntity {
            client_id: Some(EntityName::Default),
            ..QuotaEntity::default()
        };
        let wide = QuotaValue::new(1e12).expect("above zero");
        let kinds = [QuotaKind::ProducerByteRate, QuotaKind::ConsumerByteRate];
        let values = kinds.into_iter().map(|kind| (kind, wide)).collect();
        let quotas: ClientQuotas = [(entity, values)].into();
        let image = self
            .controller
            .publish(|image| image.quotas = Arc::new(quotas));
        for shard in 0..self.shards.len() {
            let message = MeshMessage::Image(Arc::clone(&image));
            self.push_mesh(shard, ShardId::CONTROL, message);
        }
        self.settle();
    }

    /// Sends a request and gives its answer. How much the machines allocated is to be asked for
    /// with `take_count`.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        let whole = Bytes::from(self.answers.concat());
        self.answers.clear();
        let (correlation_id, response) =
            decode_response::<R>(whole.slice(4..), version).expect("there is an answer");
        assert_eq!(correlation_id, 5);
        response
    }

    /// Sends a request that wants no answer.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) {
        let parts = encode_request(5, "test", version, request).expect("encodes");
        let mut memory = BytesMut::new();
        for part in &parts {
            memory.extend_from_slice(part);
        }
        memory.extend_from_slice(b"the next frame");
        let _length = memory.split_to(4);
        let frame_bytes = parts.iter().map(Bytes::len).sum::<usize>() - 4;
        let frame = memory.split_to(frame_bytes).freeze();
        let connection = CLIENT;
        let event = Event::Frame {
            connection,
            frame,
            arrived_us: self.now.monotonic_us,
        };
        self.events.push_back((0, event));
        self.now.monotonic_us += STEP_US;
        self.settle();
    }

    /// Drops the answers that came. Gives how many bytes they had.
    pub fn drop_answers(&mut self) -> usize {
        self.answers.drain(..).map(|part| part.len()).sum()
    }

    fn push_mesh(&mut self, shard: usize, from: ShardId, message: MeshMessage) {
        let event = Event::Mesh {
            from,
            sent_us: self.now.monotonic_us,
            message: Box::new(message),
        };
        self.events.push_back((shard, event));
    }

    /// Does everything that is due, until nothing is.
    fn settle(&mut self) {
        loop {
            if let Some((shard, event)) = self.events.pop_front() {
                let (machine, effects) = (&mut self.shards[shard], &mut self.effects[shard]);
                let now = self.now;
                counted(|| machine.handle_event(now, event, effects));
                self.take_effects(shard);
            } else if let Some((from, message)) = self.to_controller.pop_front() {
                self.drive_controller(from, message);
            } else if !self.drive_timeouts() {
                return;
            }
        }
    }

    fn drive_controller(&mut self, from: ShardId, message: MeshMessage) {
        for (to, reply) in self.controller.handle(from, message) {
            for shard in 0..self.shards.len() {
                if to.is_none_or(|to| usize::from(to.0) == shard) {
                    self.push_mesh(shard, ShardId::CONTROL, reply.message());
                }
            }
        }
    }

    fn drive_timeouts(&mut self) -> bool {
        let mut was_due = false;
        for shard in 0..self.shards.len() {
            let (machine, effects) = (&mut self.shards[shard], &mut self.effects[shard]);
            if machine
                .next_deadline()
                .is_some_and(|at| at <= self.now.monotonic_us)
            {
                was_due = true;
                let now = self.now;
                counted(|| machine.handle_timeout(now, effects));
                self.take_effects(shard);
            }
        }
        was_due
    }

    fn take_effects(&mut self, shard: usize) {
        let place = u16::try_from(shard).expect("few");
        let effects = &mut self.effects[shard];
        for request in effects.disk.drain() {
            let completion = self.disk.perform(place, request);
            self.events.push_back((shard, Event::Disk(completion)));
        }
        let mut network = std::mem::take(&mut effects.network);
        for effect in network.drain(..) {
            match effect {
                NetworkEffect::Send { mut parts, .. } => {
                    let bytes = parts.iter().map(Bytes::len).sum();
                    self.answers.append(&mut parts);
                    effects.keep_parts(parts);
                    self.events.push_back((shard, Event::Sent { bytes }));
                }
                NetworkEffect::Listen | NetworkEffect::ReceiveNext { .. } => {}
                NetworkEffect::Close { .. } => panic!("the shard closed the connection"),
            }
        }
        effects.network = network;
        effects.stages.clear();
        let messages: Vec<_> = effects.mesh.drain(..).collect();
        for effect in messages {
            let from = ShardId(place);
            if effect.to == ShardId::CONTROL {
                self.to_controller.push_back((from, *effect.message));
            } else {
                self.push_mesh(usize::from(effect.to.0), from, *effect.message);
            }
        }
    }
}

/// Runs `step` until all is warm, then so many times more. Gives what each of these allocated.
pub fn steady(
    host: &mut Host,
    warm_up: usize,
    rounds: usize,
    mut step: impl FnMut(&mut Host),
) -> Vec<usize> {
    for _ in 0..warm_up {
        step(host);
    }
    take_count();
    crate::allocation::trace();
    let counts = (0..rounds).map(|_| {
        step(host);
        take_count()
    });
    counts.collect()
}
