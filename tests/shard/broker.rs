// SPDX-License-Identifier: Apache-2.0
//! All shards of one broker, driven by hand.
//!
//! Owns: the shards, the disk, the clock, what the network was told. Invariants: events are
//! delivered in the order in which they were caused. Runs on: the test's thread.
//! Bounded by: the test.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use furlong::config::connections::ConnectionLimits;
use furlong::config::layers::{BrokerLayers, Settings};
use furlong::config::quotas::QuotaWindows;
use furlong::model::cleaner::CleanerSettings;
use furlong::model::disk::{DiskOperation, DiskRequest};
use furlong::model::ids::{ConnectionId, ShardId, TopicId};
use furlong::model::image::MetadataImage;
use furlong::model::memory_budget::MemoryBudget;
use furlong::model::peer::PeerAddress;
use furlong::model::storage::StorageRules;
use furlong::model::time::Now;
use furlong::shard::contract::{Effects, Event, Machine, NetworkEffect, ProcessEffect};
use furlong::shard::control_shard::admission::{Admission, Arrived, Verdict};
use furlong::shard::mesh_message::MeshMessage;
use furlong::shard::stage::{Stage, StageSample};
use furlong::shard::{Shard, ShardConfig};

use crate::controller::{Controller, NODE};
use crate::memory_disk::MemoryDisk;

/// `connections.max.idle.ms` of every broker.
pub const IDLE_MS: u64 = 600_000;

/// Connections that the descriptors of every broker allow.
pub const CONNECTIONS_MAX: usize = 10_500;

/// Where clients come from unless a test says something else.
pub fn peer(text: &str) -> PeerAddress {
    PeerAddress::parse(text).expect("an address")
}

/// What a client sees of its connection.
#[derive(Default)]
pub struct Wire {
    pub shard: usize,
    pub grants: usize,
    pub responses: VecDeque<Bytes>,
    pub closed: bool,
}

/// Which disk requests a test holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Nothing,
    Flushes,
    Everything,
}

fn shards(shard_count: u16, memory: MemoryBudget, settings: &Settings) -> Vec<Shard> {
    let shards = (0..shard_count).map(|shard| {
        Shard::new(ShardConfig {
            shard: ShardId(shard),
            shard_count,
            node_id: NODE,
            data_directory: "/data".into(),
            auto_create_topics: true,
            retention_check_ms: 30_000,
            connection_idle_ms: Some(IDLE_MS),
            cleaner: CleanerSettings::default(),
            storage: StorageRules {
                device_flush: true,
                write_ahead: true,
                ..StorageRules::default()
            },
            memory,
            settings: Arc::new(settings.clone()),
        })
    });
    shards.collect()
}

/// One broker.
pub struct Broker {
    pub shards: Vec<Shard>,
    pub controller: Controller,
    pub disk: MemoryDisk,
    pub hold: Hold,
    held: VecDeque<(usize, DiskRequest)>,
    pub now: Now,
    events: VecDeque<(usize, Event)>,
    to_controller: VecDeque<(ShardId, MeshMessage)>,
    admission: Admission,
    pub wires: BTreeMap<ConnectionId, Wire>,
    next_connection: u64,
    pub process: Vec<(usize, ProcessEffect)>,
    /// Clients take nothing.
    pub holds_sent: bool,
    unsent: Vec<(usize, usize)>,
    /// Reads that the disk was asked for.
    pub reads: usize,
    pub memory: MemoryBudget,
    /// Shards do not hear of each other that all is drained.
    pub holds_drained: bool,
    drained: Vec<(usize, ShardId)>,
    /// Messages between data shards, by kind.
    pub mesh_messages: usize,
    /// Most effects that one call of a machine emitted.
    pub largest_turn: usize,
    /// Stages that ended, by shard.
    pub stages: Vec<(usize, StageSample)>,
    /// How long before its handling a frame came.
    pub queued_us: u64,
    /// Messages between shards are under way until they are delivered.
    pub holds_mesh: bool,
    held_mesh: VecDeque<(usize, Event)>,
    /// Settings of the file.
    settings: Settings,
    effects: Effects,
}

impl Broker {
    /// A broker that serves, without topics.
    pub fn new(shard_count: u16) -> Broker {
        let memory = MemoryBudget::of_shard(64 << 20, 1).expect("enough");
        Broker::with_memory(shard_count, memory)
    }

    /// A broker whose shards have this much memory.
    pub fn with_memory(shard_count: u16, memory: MemoryBudget) -> Broker {
        Broker::with(shard_count, memory, Settings::new())
    }

    /// A broker whose file has these settings.
    pub fn with_settings(shard_count: u16, settings: &[(&'static str, &'static str)]) -> Broker {
        let memory = MemoryBudget::of_shard(64 << 20, 1).expect("enough");
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| ((*name).into(), (*value).into()));
        Broker::with(shard_count, memory, settings.collect())
    }

    fn with(shard_count: u16, memory: MemoryBudget, settings: Settings) -> Broker {
        let mut broker = Broker {
            shards: shards(shard_count, memory, &settings),
            controller: Controller::new(shard_count),
            disk: MemoryDisk::default(),
            hold: Hold::Nothing,
            held: VecDeque::new(),
            now: Now {
                monotonic_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            events: VecDeque::new(),
            to_controller: VecDeque::new(),
            admission: Admission::new(CONNECTIONS_MAX),
            wires: BTreeMap::new(),
            next_connection: 1,
            process: Vec::new(),
            holds_sent: false,
            unsent: Vec::new(),
            reads: 0,
            memory,
            holds_drained: false,
            drained: Vec::new(),
            mesh_messages: 0,
            largest_turn: 0,
            stages: Vec::new(),
            queued_us: 0,
            holds_mesh: false,
            held_mesh: VecDeque::new(),
            settings,
            effects: Effects::default(),
        };
        broker.start();
        broker
    }

    /// New shards over the same disk and metadata, once the old ones have stopped.
    pub fn restart(&mut self) {
        let shard_count = u16::try_from(self.shards.len()).expect("few");
        self.shards = shards(shard_count, self.memory, &self.settings);
        self.unsent.clear();
        self.wires.clear();
        self.process.clear();
        self.start();
    }

    fn start(&mut self) {
        for shard in 0..self.shards.len() {
            self.events.push_back((shard, Event::Start));
        }
        self.publish(|_| {});
        for shard in 0..self.shards.len() {
            self.push_mesh(shard, ShardId::CONTROL, MeshMessage::Serve);
        }
        self.settle();
    }

    /// A broker with one topic.
    pub fn with_topic(shard_count: u16, name: &str, partitions: i32) -> Broker {
        let mut broker = Broker::new(shard_count);
        broker.add_topic(name, partitions, &[]);
        broker
    }

    /// Adds a topic and waits until it is served.
    pub fn add_topic(&mut self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicId {
        let id = self.controller.add_topic(name, partitions, settings);
        self.publish(|_| {});
        self.settle();
        assert!(self.controller.is_applied());
        id
    }

    /// Publishes changed metadata to all shards.
    pub fn publish(&mut self, change: impl FnOnce(&mut MetadataImage)) {
        let image = self.controller.publish(change);
        let file = Settings::new();
        let layers = BrokerLayers::new(&image.broker_configs, NODE, &file);
        let windows = QuotaWindows::of_clients(&self.settings);
        self.admission.handle_quotas(&image.quotas, windows);
        let (limits, mut verdicts) = (ConnectionLimits::of(layers), Vec::new());
        self.admission
            .handle_limits(self.now, limits, &mut verdicts);
        self.tell_verdicts(verdicts);
        for shard in 0..self.shards.len() {
            let message = MeshMessage::Image(Arc::clone(&image));
            self.push_mesh(shard, ShardId::CONTROL, message);
        }
    }

    /// A client on the given shard.
    pub fn connect(&mut self, shard: usize) -> ConnectionId {
        self.connect_from(shard, peer("10.0.0.1"))
    }

    /// A client on the given shard, from an address.
    pub fn connect_from(&mut self, shard: usize, peer: PeerAddress) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let wire = Wire {
            shard,
            ..Wire::default()
        };
        self.wires.insert(connection, wire);
        self.events
            .push_back((shard, Event::Connected { connection, peer }));
        self.settle();
        connection
    }

    /// The client goes away.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let wire = self.wires.remove(&connection).expect("connected");
        let event = Event::Disconnected { connection };
        self.events.push_back((wire.shard, event));
        self.settle();
    }

    /// Delivers a frame (without its length) and does all that follows at once.
    pub fn send(&mut self, connection: ConnectionId, frame: Bytes) {
        let wire = self.wires.get_mut(&connection).expect("connected");
        assert!(wire.grants > 0, "the shard has not asked for a frame");
        wire.grants -= 1;
        let event = Event::Frame {
            connection,
            frame,
            arrived_us: self.now.monotonic_us.saturating_sub(self.queued_us),
        };
        self.events.push_back((wire.shard, event));
        self.settle();
    }

    /// Hands an event to a shard.
    pub fn event(&mut self, shard: usize, event: Event) {
        self.events.push_back((shard, event));
        self.settle();
    }

    /// Lets held disk requests through.
    pub fn release(&mut self) {
        self.release_to(Hold::Nothing);
    }

    /// Lets those held disk requests through that are not held any more.
    pub fn release_to(&mut self, hold: Hold) {
        self.hold = hold;
        for (shard, request) in std::mem::take(&mut self.held) {
            if self.is_held(&request) {
                self.held.push_back((shard, request));
            } else {
                let completion = self.disk.perform(shard as u16, request);
                self.events.push_back((shard, Event::Disk(completion)));
            }
        }
        self.settle();
    }

    fn is_held(&self, request: &DiskRequest) -> bool {
        match self.hold {
            Hold::Nothing => false,
            Hold::Flushes => matches!(
                request.operation,
                DiskOperation::Flush { .. } | DiskOperation::FlushDevice
            ),
            Hold::Everything => true,
        }
    }

    /// Lets the messages between shards arrive that are under way.
    pub fn deliver_mesh(&mut self) {
        self.events.append(&mut self.held_mesh);
        self.settle();
    }

    /// How long the stages of this kind took that ended since somebody asked, in microseconds.
    pub fn take_stages(&mut self, stage: Stage) -> Vec<u64> {
        let is_it = |(_, sample): &(usize, StageSample)| sample.stage == stage;
        let found = self.stages.iter().filter(|sample| is_it(sample));
        let times = found.map(|(_, sample)| sample.took_us).collect();
        self.stages.retain(|sample| !is_it(sample));
        times
    }

    /// Clients take everything.
    pub fn take_sent(&mut self) {
        self.holds_sent = false;
        for (shard, bytes) in std::mem::take(&mut self.unsent) {
            self.events.push_back((shard, Event::Sent { bytes }));
        }
        self.settle();
    }

    /// Shards hear of each other that all is drained.
    pub fn release_drained(&mut self) {
        self.holds_drained = false;
        for (shard, from) in std::mem::take(&mut self.drained) {
            self.push_mesh(shard, from, MeshMessage::Drained);
        }
        self.settle();
    }

    /// Another shard owns a partition from now on.
    pub fn shift(&mut self, topic: &str, partition: usize, to: u16) {
        self.publish(|image| {
            let topic = image.topics.get_mut(topic).expect("it is there");
            Arc::make_mut(topic).partitions[partition].shard = ShardId(to);
        });
        self.settle();
    }

    /// How many disk requests are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Lets time pass.
    pub fn advance_ms(&mut self, ms: u64) {
        self.now.wall_ms += i64::try_from(ms).expect("short");
        self.advance_us(ms * 1000);
    }

    /// Lets a moment pass.
    pub fn advance_us(&mut self, us: u64) {
        self.now.monotonic_us += us;
        self.settle();
    }

    /// Does everything that is due, until nothing is.
    pub fn settle(&mut self) {
        loop {
            if let Some((shard, event)) = self.events.pop_front() {
                let mut effects = std::mem::take(&mut self.effects);
                self.shards[shard].handle_event(self.now, event, &mut effects);
                self.take_effects(shard, effects);
            } else if let Some((from, message)) = self.to_controller.pop_front() {
                self.drive_controller(from, message);
            } else if !self.drive_timeouts() {
                return;
            }
        }
    }

    fn tell_verdicts(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let message = MeshMessage::Admitted {
                connection: verdict.connection,
                result: verdict.result,
            };
            self.push_mesh(usize::from(verdict.to.0), ShardId::CONTROL, message);
        }
    }

    fn drive_controller(&mut self, from: ShardId, message: MeshMessage) {
        let (now, mut verdicts) = (self.now, Vec::new());
        let message = match message {
            MeshMessage::Arrived {
                connection,
                peer,
                waits,
            } => {
                let arrived = Arrived {
                    shard: from,
                    connection,
                    peer,
                    waits,
                };
                self.admission.handle_arrived(now, arrived, &mut verdicts);
                return self.tell_verdicts(verdicts);
            }
            MeshMessage::Left { connection } => {
                self.admission.handle_left(now, connection, &mut verdicts);
                return self.tell_verdicts(verdicts);
            }
            other => other,
        };
        for (to, reply) in self.controller.handle(from, message) {
            for shard in 0..self.shards.len() {
                let is_for = to.is_none_or(|to| usize::from(to.0) == shard);
                if is_for {
                    self.push_mesh(shard, ShardId::CONTROL, reply.message());
                }
            }
        }
    }

    fn drive_timeouts(&mut self) -> bool {
        let mut was_due = false;
        let admission = self.admission.next_deadline();
        if admission.is_some_and(|at| at <= self.now.monotonic_us) {
            was_due = true;
            let mut verdicts = Vec::new();
            self.admission.handle_timeout(self.now, &mut verdicts);
            self.tell_verdicts(verdicts);
        }
        for shard in 0..self.shards.len() {
            let deadline = self.shards[shard].next_deadline();
            if deadline.is_some_and(|at| at <= self.now.monotonic_us) {
                was_due = true;
                let mut effects = std::mem::take(&mut self.effects);
                self.shards[shard].handle_timeout(self.now, &mut effects);
                self.take_effects(shard, effects);
            }
        }
        was_due
    }

    fn push_mesh(&mut self, shard: usize, from: ShardId, message: MeshMessage) {
        let event = Event::Mesh {
            from,
            sent_us: self.now.monotonic_us,
            message: Box::new(message),
        };
        match self.holds_mesh {
            true => self.held_mesh.push_back((shard, event)),
            false => self.events.push_back((shard, event)),
        }
    }

    fn take_effects(&mut self, shard: usize, mut effects: Effects) {
        let emitted = effects.disk.len() + effects.network.len() + effects.mesh.len();
        self.largest_turn = self.largest_turn.max(emitted);
        for request in effects.disk.drain() {
            self.reads += usize::from(matches!(request.operation, DiskOperation::Read { .. }));
            if self.is_held(&request) {
                self.held.push_back((shard, request));
            } else {
                let completion = self.disk.perform(shard as u16, request);
                self.events.push_back((shard, Event::Disk(completion)));
            }
        }
        for effect in effects.network.drain(..) {
            self.take_network(shard, effect);
        }
        for effect in effects.mesh.drain(..) {
            let from = ShardId(shard as u16);
            if effect.to == ShardId::CONTROL {
                self.to_controller.push_back((from, *effect.message));
            } else {
                let is_drained = matches!(*effect.message, MeshMessage::Drained);
                if is_drained && self.holds_drained {
                    self.drained.push((usize::from(effect.to.0), from));
                    continue;
                }
                self.mesh_messages += 1;
                self.push_mesh(usize::from(effect.to.0), from, *effect.message);
            }
        }
        for sample in effects.stages.drain(..) {
            self.stages.push((shard, sample));
        }
        for effect in effects.process.drain(..) {
            self.process.push((shard, effect));
        }
        self.effects = effects;
    }

    fn take_network(&mut self, shard: usize, effect: NetworkEffect) {
        match effect {
            NetworkEffect::Listen => {}
            NetworkEffect::ReceiveNext { connection } => {
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.grants += 1;
                }
            }
            NetworkEffect::Send { connection, parts } => {
                let bytes = parts.iter().map(Bytes::len).sum();
                if self.holds_sent {
                    self.unsent.push((shard, bytes));
                } else {
                    self.events.push_back((shard, Event::Sent { bytes }));
                }
                if let Some(wire) = self.wires.get_mut(&connection) {
                    assert!(!wire.closed, "nothing is sent after a close");
                    let whole = parts.concat();
                    let announced = u32::from_be_bytes(whole[..4].try_into().expect("four"));
                    assert_eq!(announced as usize, whole.len() - 4, "the length is true");
                    wire.responses.push_back(Bytes::from(whole).slice(4..));
                }
            }
            NetworkEffect::Close { connection } => {
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.closed = true;
                }
            }
        }
    }
}
