// SPDX-License-Identifier: Apache-2.0
//! The machine of one data shard: its connections, its partitions, its share of every request.
//!
//! Owns: [`Shard`]. Invariants: `&mut self`, no locks, nothing shared but immutable images;
//! whatever depends on a completion is emitted by the handler of that completion; what a queue of
//! waiters causes is done in turns, so that no turn emits more than `EFFECTS_PER_TURN_SOFT_MAX`
//! effects and what one event causes.
//! Runs on: one core each. Bounded by: `limits`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::api::init_producer_id::ProducerIds;
use super::closings::{ClosedFor, Closings};
use super::connection::ConnectionTable;
use super::contract::{Effects, Event, Machine, MeshEffect, NetworkEffect, ProcessEffect};
use super::fetch_sessions::FetchSessions;
use super::groups::Groups;
use super::handover::Handovers;
use super::image_apply::ImageProgress;
use super::memory::{MemoryUse, ShardMemory};
use super::mesh_message::{MeshMessage, Origin};
use super::numbers::{CompactionCounts, ShardCounts, ShardNumbers};
use super::partition_table::PartitionTable;
use super::parts::PartTable;
use super::request_table::{Call, Continuation, Pending, RequestTable};
use super::slow_requests::SlowRequests;
use super::spares::Spares;
use super::stage::Stage;
use super::start_progress::StartProgress;
use super::strays::Strays;
use super::timers::{Timer, Timers};
use super::volume::VolumeQuestion;
use crate::config::groups::GroupSettings;
use crate::config::layers::{BrokerLayers, Settings};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::model::cleaner::CleanerSettings;
use crate::model::disk::DiskCompletion;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{BrokerId, ConnectionId, ShardId, TopicPartition};
use crate::model::image::{MetadataImage, TopicImage};
use crate::model::memory_budget::MemoryBudget;
use crate::model::peer::PeerAddress;
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};
use crate::partition::PartitionEvent;

/// What a shard is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// Which data shard this is.
    pub shard: ShardId,
    /// How many data shards this broker runs.
    pub shard_count: u16,
    /// This broker.
    pub node_id: BrokerId,
    /// Where the logs are, for DescribeLogDirs.
    pub data_directory: Arc<str>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `connections.max.idle.ms`, if idle connections are closed.
    pub connection_idle_ms: Option<u64>,
    /// How compacted logs are compacted: this shard's part.
    pub cleaner: CleanerSettings,
    /// What the storage of the logs permits.
    pub storage: StorageRules,
    /// How much memory this shard may hold, and for what.
    pub memory: MemoryBudget,
    /// All settings of the file and the flags, in text form, for DescribeConfigs.
    pub settings: Arc<Settings>,
}

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopping,
    Stopped,
    /// A log failed; the process is to end.
    Failed,
}

/// Something to do on this shard, caused by something else.
#[derive(Debug)]
pub(super) enum Work {
    /// A message of this shard to itself.
    Message(MeshMessage),
    /// A partition said something.
    Partition { slot: u32, event: PartitionEvent },
    /// A moment has come.
    Timer(Timer),
}

/// All that one core owns.
pub struct Shard {
    pub(super) config: ShardConfig,
    pub(super) phase: Phase,
    pub(super) image: Arc<MetadataImage>,
    pub(super) connections: ConnectionTable,
    pub(super) closings: Closings,
    /// A limit of connections is in force: they wait for their admission.
    pub(super) waits_for_admission: bool,
    pub(super) requests: RequestTable,
    pub(super) fetch_sessions: FetchSessions,
    pub(super) groups: Groups,
    pub(super) parts: PartTable,
    pub(super) partitions: PartitionTable,
    pub(super) progress: ImageProgress,
    pub(super) handovers: Handovers,
    pub(super) compactions: CompactionCounts,
    pub(super) start: StartProgress,
    pub(super) strays: Strays,
    pub(super) volume: VolumeQuestion,
    pub(super) timers: Timers,
    pub(super) work: VecDeque<Work>,
    pub(super) producer_ids: ProducerIds,
    pub(super) memory: ShardMemory,
    pub(super) counts: ShardCounts,
    pub(super) spares: Spares,
    pub(super) slow: SlowRequests,
    /// The moment of the event that is being handled.
    pub(super) now_us: MonotonicUs,
}

impl Shard {
    /// A shard that knows no partitions yet.
    #[must_use]
    pub fn new(config: ShardConfig) -> Shard {
        assert!(config.shard.0 < config.shard_count, "shards count from 0");
        let mut shard = Shard {
            memory: ShardMemory::new(config.memory),
            groups: Groups::new(GroupSettings::of(&config.settings)),
            connections: ConnectionTable::new(
                config.connection_idle_ms.map(|ms| ms.saturating_mul(1000)),
            ),
            config,
            phase: Phase::Running,
            image: Arc::new(MetadataImage::empty()),
            closings: Closings::default(),
            waits_for_admission: false,
            requests: RequestTable::default(),
            fetch_sessions: FetchSessions::default(),
            parts: PartTable::default(),
            partitions: PartitionTable::default(),
            progress: ImageProgress::default(),
            handovers: Handovers::default(),
            compactions: CompactionCounts::default(),
            start: StartProgress::default(),
            strays: Strays::default(),
            volume: VolumeQuestion::default(),
            timers: Timers::default(),
            work: VecDeque::new(),
            producer_ids: ProducerIds::default(),
            counts: ShardCounts::default(),
            spares: Spares::default(),
            slow: SlowRequests::default(),
            now_us: 0,
        };
        shard.settle_slow_bound();
        shard
    }

    /// Which shard this is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.config.shard
    }

    /// How many client connections there are.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// How many partitions it owns.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// How many requests of its clients wait, and how many parts are under way on its partitions.
    #[must_use]
    pub fn waiting_count(&self) -> (usize, usize) {
        (self.requests.count(), self.parts.len())
    }

    /// How many watches of waiting fetches its partitions hold.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        let partitions = self.partitions.iter();
        partitions
            .map(|(_, partition)| partition.watch_count())
            .sum()
    }

    /// How many coordinators of groups it has, how many of them are loading, and their groups.
    #[must_use]
    pub fn group_counts(&self) -> (usize, usize, usize) {
        self.groups.counts()
    }

    /// How many fetch sessions it remembers.
    #[must_use]
    pub fn fetch_session_count(&self) -> usize {
        self.fetch_sessions.count()
    }

    /// What it holds in memory, as it counts.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        let logs = self.memory.total();
        MemoryUse {
            tail_cache_bytes: logs.cached_bytes,
            compaction_bytes: logs.compacting_bytes,
            append_bytes: logs.unflushed_bytes + self.connections.frame_bytes(),
            read_bytes: logs.reading_bytes + logs.ahead_bytes,
            outbound_bytes: self.connections.outbound_bytes(),
        }
    }

    /// The metadata that this shard answers from.
    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Where this broker's settings come from.
    pub(super) fn broker_layers(&self) -> BrokerLayers<'_> {
        BrokerLayers::new(
            &self.image.broker_configs,
            self.config.node_id,
            &self.config.settings,
        )
    }

    /// The partition of a topic and the shard of this broker that leads it, or why there is none.
    pub(super) fn route(
        &self,
        topic: &TopicImage,
        partition: i32,
    ) -> Result<(TopicPartition, ShardId), ErrorCode> {
        let index = usize::try_from(partition).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
        let image = topic.partitions.get(index);
        let image = image.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if image.leader != Some(self.config.node_id) || image.shard.0 >= self.config.shard_count {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let at = TopicPartition {
            topic_id: topic.id,
            partition,
        };
        Ok((at, image.shard))
    }

    /// Sends a message to a shard, which may be this one.
    pub(super) fn send(&mut self, to: ShardId, message: MeshMessage, effects: &mut Effects) {
        if to == self.config.shard {
            self.work.push_back(Work::Message(message));
        } else {
            let message = Box::new(message);
            effects.mesh.push(MeshEffect { to, message });
        }
    }

    /// Asks the controller.
    pub(super) fn send_control(
        &mut self,
        request: u64,
        body: ControlRequest,
        effects: &mut Effects,
    ) {
        let message = MeshMessage::ControlRequest { request, body };
        self.send(ShardId::CONTROL, message, effects);
    }

    /// Asks the controller for a client, whose answer `finish` makes.
    pub(super) fn ask_control(
        &mut self,
        call: Call,
        body: ControlRequest,
        finish: Continuation,
        effects: &mut Effects,
    ) {
        let request = self.requests.next_number();
        self.requests
            .insert(request, call, Pending::Control(finish));
        self.connections.note_request(call.slot, request);
        self.send_control(request, body, effects);
    }

    fn handle_control_answer(
        &mut self,
        request: u64,
        answer: ControlAnswer,
        effects: &mut Effects,
    ) {
        let Some(answer) = self.take_producer_ids(request, answer, effects) else {
            return;
        };
        if let Some((call, Pending::Control(finish))) = self.requests.remove(request) {
            let reply = finish(self, &call, answer);
            self.conclude(call, reply, effects);
        }
    }

    fn handle_message(
        &mut self,
        now: Now,
        origin: Origin,
        message: MeshMessage,
        effects: &mut Effects,
    ) {
        let from = origin.shard;
        match message {
            MeshMessage::Image(image) => {
                if self.phase == Phase::Running {
                    self.handle_image(now, image, effects);
                }
            }
            MeshMessage::Admitted { connection, result } => match result {
                Ok(()) => self
                    .connections
                    .handle_admitted(connection, &mut effects.network),
                Err(refusal) => self.take_refusal(connection, refusal, effects),
            },
            MeshMessage::Serve => {
                if self.phase == Phase::Running {
                    effects.network.push(NetworkEffect::Listen);
                }
            }
            MeshMessage::ControlAnswer { request, body } => {
                self.handle_control_answer(request, body, effects);
            }
            MeshMessage::Produce { request, body } => {
                self.handle_produce(now, origin, request, body, effects);
            }
            MeshMessage::Produced {
                request,
                batches,
                mut way,
            } => {
                way.hop_us += origin.hop_us;
                self.finish_produce(request, batches, way, effects);
            }
            MeshMessage::Fetch { request, body } => {
                self.handle_fetch(origin, request, body, effects)
            }
            MeshMessage::FetchFinish { request } => {
                self.handle_fetch_finish(from, request, effects);
            }
            MeshMessage::FetchCancel { request } => {
                self.handle_fetch_cancel(from, request, effects)
            }
            MeshMessage::Fetched { request, body } => {
                self.take_fetched(origin, request, body, effects);
            }
            MeshMessage::FetchProgress { request, bytes } => {
                self.take_fetch_progress(from, request, bytes, effects);
            }
            MeshMessage::Offsets { request, lookups } => {
                self.handle_offsets(from, request, lookups, effects);
            }
            MeshMessage::OffsetsFound { request, results } => {
                self.finish_offsets(request, results, effects);
            }
            MeshMessage::Asks { request, asks } => self.handle_asks(from, request, asks, effects),
            MeshMessage::Said { request, results } => {
                self.finish_asks(request, results, effects);
            }
            MeshMessage::GroupAsks { request, asks } => {
                self.handle_group_asks(now, from, request, asks, effects);
            }
            MeshMessage::GroupsSaid { request, answers } => {
                self.take_group_answers(request, answers, effects);
            }
            MeshMessage::Drain { version } => self.handle_drain(from, version, effects),
            MeshMessage::Drained => self.handle_drained(from, effects),
            MeshMessage::Handover { at, refused } => {
                self.handle_handover(now, at, refused, effects);
            }
            MeshMessage::ControlRequest { .. }
            | MeshMessage::ImageApplied { .. }
            | MeshMessage::Arrived { .. }
            | MeshMessage::Left { .. } => {
                debug_assert!(false, "meant for the control shard");
            }
        }
    }

    fn handle_disk(&mut self, now: Now, completion: DiskCompletion, effects: &mut Effects) {
        let Some(completion) = self.take_stray_completion(completion, effects) else {
            return;
        };
        let Some(completion) = self.take_volume_completion(completion, effects) else {
            return;
        };
        let slot = completion.token.owner;
        self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
            partition.handle_disk(now, completion, disk, events);
        });
    }

    /// A client connected. The control shard counts it; only where a limit is in force it has to
    /// wait for that.
    fn handle_connected(
        &mut self,
        connection: ConnectionId,
        peer: PeerAddress,
        effects: &mut Effects,
    ) {
        let network = &mut effects.network;
        if !self.connections.handle_connected(connection, peer, network) {
            return self.closings.note(ClosedFor::ShardLimit);
        }
        let waits = self.waits_for_admission;
        if !waits {
            self.connections.handle_admitted(connection, network);
        }
        let arrived = MeshMessage::Arrived {
            connection,
            peer,
            waits,
        };
        self.send(ShardId::CONTROL, arrived, effects);
    }

    fn handle_disconnected(&mut self, connection: ConnectionId, effects: &mut Effects) {
        let left = MeshMessage::Left { connection };
        self.send(ShardId::CONTROL, left, effects);
        for request in self.connections.handle_disconnected(connection) {
            // Appends and changes go on; only a fetch has no use without its client.
            self.cancel_fetch(request, effects);
        }
    }

    fn handle_stop(&mut self, now: Now, effects: &mut Effects) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping;
        self.drop_unopened();
        self.unload_all_groups(now, effects);
        let slots: Vec<u32> = self.partitions.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
                partition.handle_stop(now, disk, events);
            });
        }
        self.finish_stop(effects);
    }

    /// Says that this shard has stopped, once all its partitions have ended.
    pub(super) fn finish_stop(&mut self, effects: &mut Effects) {
        if self.phase != Phase::Stopping || !self.partitions.is_empty() || !self.work.is_empty() {
            return;
        }
        if self.strays.is_under_way() || self.volume.is_under_way() {
            return;
        }
        self.phase = Phase::Stopped;
        self.connections.handle_close_all(&mut effects.network);
        effects.process.push(ProcessEffect::Stopped);
    }

    fn handle_timer(&mut self, now: Now, timer: Timer, effects: &mut Effects) {
        match timer {
            Timer::Request(request) => self.handle_fetch_deadline(request, effects),
            Timer::StartProgress => self.tell_start(now, effects),
            Timer::Buffers => self.handle_idle_buffers(now, effects),
            Timer::SlowRequests => self.handle_slow_window(effects),
            Timer::Groups(partition) => self.handle_group_timer(now, partition, effects),
            Timer::Part(part) => self.handle_part_timeout(part, effects),
            Timer::Partition(slot) => {
                self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
                    partition.handle_timeout(now, disk, events);
                });
            }
        }
    }

    /// Works through what is queued until the turn has emitted enough.
    fn run_work(&mut self, now: Now, effects: &mut Effects) {
        while !effects.is_full() {
            let Some(work) = self.work.pop_front() else {
                break;
            };
            match work {
                Work::Message(message) => {
                    let own = Origin {
                        shard: self.config.shard,
                        hop_us: 0,
                    };
                    self.handle_message(now, own, message, effects);
                }
                Work::Partition { slot, event } => {
                    self.handle_slot_event(now, slot, event, effects);
                }
                Work::Timer(timer) => self.handle_timer(now, timer, effects),
            }
        }
        self.finish_turn(effects);
        self.watch_buffers(now, effects);
        self.finish_stop(effects);
    }
}

impl Machine for Shard {
    fn handle_event(&mut self, now: Now, event: Event, effects: &mut Effects) {
        self.now_us = now.monotonic_us;
        self.connections.note_time(now);
        match event {
            Event::Start => {}
            Event::Disk(completion) => self.handle_disk(now, completion, effects),
            Event::Connected { connection, peer } => {
                self.handle_connected(connection, peer, effects);
            }
            Event::Progress { connection } => self.connections.handle_progress(connection),
            Event::Frame {
                connection,
                frame,
                arrived_us,
            } => {
                if let Some(slot) = self.connections.handle_frame(connection, frame.len()) {
                    self.handle_frame(now, arrived_us, slot, frame, effects);
                    self.settle_pressure();
                    self.connections
                        .handle_grant(connection, &mut effects.network);
                }
            }
            Event::Sent { bytes } => self.connections.handle_sent(bytes),
            Event::Disconnected { connection } => self.handle_disconnected(connection, effects),
            Event::Mesh {
                from,
                sent_us,
                message,
            } => {
                let hop_us = now.monotonic_us.saturating_sub(sent_us);
                effects.note_stage(Stage::Hop, hop_us);
                let origin = Origin {
                    shard: from,
                    hop_us,
                };
                self.handle_message(now, origin, *message, effects);
            }
            Event::Stop => self.handle_stop(now, effects),
        }
        self.run_work(now, effects);
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        if !self.work.is_empty() || self.has_turn_waiting() {
            return Some(0);
        }
        let timers = self.timers.next_deadline();
        let connections = self.connections.next_deadline();
        let closings = self.closings.next_deadline();
        timers.into_iter().chain(connections).chain(closings).min()
    }

    fn numbers(&self) -> Option<ShardNumbers> {
        Some(Shard::numbers(self))
    }

    fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        self.now_us = now.monotonic_us;
        self.connections.note_time(now);
        self.close_overdue(now, effects);
        while let Some(timer) = self.timers.pop_due(now) {
            if let Timer::Partition(slot) = timer {
                self.note_partition_timer_gone(slot);
            }
            if let Timer::Groups(partition) = timer {
                self.note_group_timer_gone(partition);
            }
            self.work.push_back(Work::Timer(timer));
        }
        self.run_work(now, effects);
    }
}
