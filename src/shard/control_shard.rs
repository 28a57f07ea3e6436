// SPDX-License-Identifier: Apache-2.0
//! The control shard: the controller joined with its log.
//!
//! Owns: [`ControlShard`]. The phases, in order: the log of `__cluster_metadata` is opened and
//! recovered; the newest snapshot that is whole is loaded; the log after it is replayed; the broker
//! registers; the image is published and all data shards are told to serve; all have applied it.
//! Invariants: one plan is under way at a time: its records are one batch, which is replayed once
//! the quorum has committed it, and never before; an answer leaves once every data shard has
//! applied an image that contains what it says; a new image is published once all have applied the
//! last.
//! Runs on: the control shard. Bounded by: `CONTROL_REQUESTS_PENDING_MAX`.

pub mod admission;
mod describe;
mod rounds;
mod snapshots;
mod start;

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use self::admission::{Admission, Arrived, Verdict};
use self::snapshots::SnapshotKeeper;
use super::contract::{Effects, Event, Machine, MeshEffect, ProcessEffect};
use super::mesh_message::MeshMessage;
use crate::config::connections::ConnectionLimits;
use crate::config::server::BrokerDefaults;
use crate::control::controller::{Controller, ControllerConfig, Registration};
use crate::control::quorum::{MetadataQuorum, QuorumOfOne};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::control::snapshot::SnapshotId;
use crate::limits::{METADATA_TAIL_CACHE_BYTES_MAX, RECORD_BATCH_BYTES_MAX, UNFLUSHED_BYTES_MAX};
use crate::log::config::LogConfig;
use crate::log::event::LogEvent;
use crate::log::partition_log::PartitionLog;
use crate::model::disk::DiskCompletion;
use crate::model::ids::{BrokerId, Offset, ShardId, Uuid};
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};
use crate::model::topic_config::{
    CleanupPolicy, CompactionConfig, FlushMode, StoredCodec, TimestampType,
};

/// Directory of the metadata log.
const DIRECTORY: &str = "__cluster_metadata-0";

/// Topic id of the metadata log (Kafka's).
const TOPIC_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// Owners of disk requests on this shard.
const LOG_OWNER: u32 = 0;
const SNAPSHOT_OWNER: u32 = 1;

/// Long enough to stand for ever.
const CENTURY_MS: u64 = 100 * 366 * 24 * 3600 * 1000;

/// What the control shard is told once.
#[derive(Clone, Debug)]
pub struct ControlShardConfig {
    /// This broker.
    pub node_id: BrokerId,
    /// The cluster it belongs to.
    pub cluster_id: Uuid,
    /// Of its log directory.
    pub directory_id: Uuid,
    /// Drawn at random by this start of the process.
    pub incarnation_id: Uuid,
    /// Advertised host.
    pub host: ByteString,
    /// Advertised port.
    pub port: u16,
    /// Rack, if it has one.
    pub rack: Option<ByteString>,
    /// Number of data shards, which count from 0.
    pub shard_count: u16,
    /// Connections of the whole broker, whatever the settings say.
    pub connections_max: usize,
    /// Settings that the controller reads.
    pub defaults: BrokerDefaults,
    /// Seed of the topic ids, drawn at random by this start of the process.
    pub entropy: [u8; 32],
}

/// Where the control shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before `Start`.
    New,
    /// The log is being opened.
    Opening,
    /// The directory is being listed for snapshots.
    Listing { operation: u32 },
    /// A snapshot is being read.
    Loading { operation: u32, id: SnapshotId },
    /// The log is being read.
    Replaying,
    /// Requests are handled; the data shards may still apply the first image.
    Running { is_serving: bool },
    /// The log is being stopped.
    Stopping { is_log_stopped: bool },
    /// Nothing more happens.
    Ended,
}

/// A batch on its way to be committed.
#[derive(Debug)]
struct Round {
    end_offset: Offset,
    values: Vec<Bytes>,
    asker: Asker,
}

/// Who hears of the end of a round.
#[derive(Debug)]
enum Asker {
    /// Nobody: it is the registration of this broker.
    Registration,
    /// A shard.
    Request {
        from: ShardId,
        request: u64,
        answer: ControlAnswer,
    },
}

/// An answer that waits until every shard has applied an image.
#[derive(Debug)]
struct Waiting {
    version: Offset,
    to: ShardId,
    request: u64,
    answer: ControlAnswer,
}

/// The control shard.
#[derive(Debug)]
pub struct ControlShard {
    registration: Registration,
    node_id: BrokerId,
    defaults: BrokerDefaults,
    controller: Controller,
    quorum: QuorumOfOne,
    log: PartitionLog,
    log_events: Vec<LogEvent>,
    snapshots: SnapshotKeeper,
    candidates: Vec<SnapshotId>,
    phase: Phase,
    is_stop_asked: bool,
    round: Option<Round>,
    pending: VecDeque<(ShardId, u64, ControlRequest)>,
    waiting: VecDeque<Waiting>,
    admission: Admission,
    verdicts: Vec<Verdict>,
    published: Offset,
    applied: Vec<Offset>,
    is_more_to_do: bool,
}

impl ControlShard {
    /// A control shard before its start.
    #[must_use]
    pub fn new(config: ControlShardConfig) -> ControlShard {
        let defaults = config.defaults;
        let interval = defaults.snapshot_interval_bytes;
        ControlShard {
            registration: Registration {
                cluster_id: config.cluster_id,
                incarnation_id: config.incarnation_id,
                directory_id: config.directory_id,
                host: config.host,
                port: config.port,
                rack: config.rack,
                shard_count: config.shard_count,
            },
            node_id: config.node_id,
            controller: Controller::new(ControllerConfig {
                node_id: config.node_id,
                defaults: defaults.clone(),
                entropy: config.entropy,
            }),
            defaults,
            quorum: QuorumOfOne::new(),
            log: PartitionLog::new(
                LOG_OWNER,
                DIRECTORY,
                TOPIC_ID,
                log_config(),
                // Few and small rounds: a flush of the file each is enough.
                StorageRules::default(),
            ),
            log_events: Vec::new(),
            snapshots: SnapshotKeeper::new(SNAPSHOT_OWNER, DIRECTORY, interval),
            candidates: Vec::new(),
            phase: Phase::New,
            is_stop_asked: false,
            round: None,
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            admission: Admission::new(config.connections_max),
            verdicts: Vec::new(),
            published: -1,
            applied: vec![-1; usize::from(config.shard_count)],
            is_more_to_do: false,
        }
    }

    /// The controller, for those who check it.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    fn handle_disk(&mut self, now: Now, completion: DiskCompletion, effects: &mut Effects) {
        let operation = completion.token.operation;
        if self.phase == Phase::Ended {
            return;
        }
        if completion.token.owner == LOG_OWNER {
            let events = &mut self.log_events;
            self.log
                .handle_disk(now, completion, &mut effects.disk, events);
            return;
        }
        match self.phase {
            Phase::Listing { operation: asked } if asked == operation => {
                self.handle_listed(now, completion.result, effects);
            }
            Phase::Loading {
                operation: asked,
                id,
            } if asked == operation => {
                self.handle_snapshot_read(now, id, completion.result, effects);
            }
            _ => {
                let result = completion.result.map(|_| ());
                match self
                    .snapshots
                    .handle_disk(operation, result, &mut effects.disk)
                {
                    Ok(None) => {}
                    Ok(Some(sentence)) => effects.process.push(ProcessEffect::Notice { sentence }),
                    Err(sentence) => self.fail(sentence, effects),
                }
                self.end_if_stopped(effects);
            }
        }
    }

    /// Takes what the log has to say until it says nothing more.
    fn handle_log_events(&mut self, now: Now, effects: &mut Effects) {
        while !self.log_events.is_empty() {
            for event in std::mem::take(&mut self.log_events) {
                self.handle_log_event(now, event, effects);
            }
        }
    }

    fn handle_log_event(&mut self, now: Now, event: LogEvent, effects: &mut Effects) {
        if self.phase == Phase::Ended {
            return;
        }
        match event {
            LogEvent::Opened { .. } => self.handle_opened(now, effects),
            LogEvent::WrongTopic { .. } => {
                let sentence =
                    format!("The directory {DIRECTORY} holds another topic. Restore it.");
                self.fail(sentence, effects);
            }
            LogEvent::DurableEnd { offset, .. } => {
                let cached = self.log.memory().cached_bytes;
                let excess = cached.saturating_sub(METADATA_TAIL_CACHE_BYTES_MAX);
                self.log.handle_shed(excess, &mut effects.disk);
                self.quorum.handle_durable(offset);
                self.handle_committed(now, effects);
            }
            LogEvent::ReadDone { result, .. } => match result {
                Ok(bytes) => self.handle_batches(now, &bytes, effects),
                Err(error) => self.fail(format!("Reading {DIRECTORY} failed: {error}."), effects),
            },
            LogEvent::AppendsLost { error, .. } => self.handle_lost(now, error, effects),
            LogEvent::Damaged { sentence } => {
                effects.process.push(ProcessEffect::Notice { sentence });
            }
            LogEvent::OpenDelayed => {
                let sentence = "The metadata log cannot be opened: the file system is full. Free \
                                space; it is tried again every second.";
                effects.process.push(ProcessEffect::Notice {
                    sentence: sentence.into(),
                });
            }
            LogEvent::Stopped => {
                self.phase = Phase::Stopping {
                    is_log_stopped: true,
                };
                self.end_if_stopped(effects);
            }
            LogEvent::Failed { sentence } => self.fail(sentence, effects),
            LogEvent::TimestampFound { .. }
            | LogEvent::RecordsDeleted { .. }
            | LogEvent::LogStartMoved { .. }
            | LogEvent::Compacted(_)
            | LogEvent::Synced
            | LogEvent::Deleted => {}
        }
    }

    fn handle_message(
        &mut self,
        now: Now,
        from: ShardId,
        message: MeshMessage,
        effects: &mut Effects,
    ) {
        match message {
            MeshMessage::ControlRequest { request, body } => {
                self.handle_request(now, from, request, body, effects);
            }
            MeshMessage::ImageApplied { version } => {
                self.handle_applied(now, from, version, effects);
            }
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
                let verdicts = &mut self.verdicts;
                self.admission.handle_arrived(now, arrived, verdicts);
            }
            MeshMessage::Left { connection } => {
                let verdicts = &mut self.verdicts;
                self.admission.handle_left(now, connection, verdicts);
            }
            _ => {}
        }
    }

    fn tell_verdicts(&mut self, effects: &mut Effects) {
        for verdict in self.verdicts.drain(..) {
            let message = MeshMessage::Admitted {
                connection: verdict.connection,
                result: verdict.result,
            };
            send(verdict.to, message, effects);
        }
    }

    // The image: published, applied, answered.

    fn publish(&mut self, now: Now, effects: &mut Effects) {
        let image = self.controller.image();
        let is_applied = self
            .applied
            .iter()
            .all(|version| *version >= self.published);
        if !is_applied || image.version <= self.published {
            return;
        }
        let is_first = self.published < 0;
        self.published = image.version;
        let limits = ConnectionLimits::of(self.controller.state().layers());
        self.admission
            .handle_limits(now, limits, &mut self.verdicts);
        for to in (0..self.registration.shard_count).map(ShardId) {
            send(to, MeshMessage::Image(image.clone()), effects);
            if is_first {
                send(to, MeshMessage::Serve, effects);
            }
        }
    }

    fn handle_applied(&mut self, now: Now, from: ShardId, version: Offset, effects: &mut Effects) {
        let Some(applied) = self.applied.get_mut(usize::from(from.0)) else {
            return;
        };
        *applied = version.max(*applied);
        if self.applied.iter().any(|version| *version < self.published) {
            return;
        }
        if self.phase == (Phase::Running { is_serving: false }) {
            self.phase = Phase::Running { is_serving: true };
            effects.process.push(ProcessEffect::Ready);
        }
        self.send_answers(effects);
        self.publish(now, effects);
        self.plan_pending(now, effects);
    }

    /// Sends the answers whose image everybody has, as far as there is room.
    fn send_answers(&mut self, effects: &mut Effects) {
        let everywhere = self.applied.iter().min().copied().unwrap_or(self.published);
        while self
            .waiting
            .front()
            .is_some_and(|waiting| waiting.version <= everywhere)
        {
            if effects.is_full() {
                self.is_more_to_do = true;
                return;
            }
            if let Some(waiting) = self.waiting.pop_front() {
                send_answer(waiting.to, waiting.request, waiting.answer, effects);
            }
        }
    }

    // The end.

    fn handle_stop(&mut self, now: Now, effects: &mut Effects) {
        self.is_stop_asked = true;
        match self.phase {
            Phase::New => {
                self.phase = Phase::Ended;
                effects.process.push(ProcessEffect::Stopped);
            }
            Phase::Running { .. } => self.stop_log(now, effects),
            // Wherever the start stands, it looks at `is_stop_asked` before it goes on.
            _ => {}
        }
    }

    fn stop_log(&mut self, now: Now, effects: &mut Effects) {
        self.phase = Phase::Stopping {
            is_log_stopped: false,
        };
        self.refuse_pending(effects);
        self.log
            .handle_stop(now, &mut effects.disk, &mut self.log_events);
    }

    fn refuse_pending(&mut self, effects: &mut Effects) {
        for (from, request, _) in std::mem::take(&mut self.pending) {
            send_answer(from, request, ControlAnswer::Unavailable, effects);
        }
    }

    fn end_if_stopped(&mut self, effects: &mut Effects) {
        if self.phase
            == (Phase::Stopping {
                is_log_stopped: true,
            })
            && self.snapshots.is_idle()
        {
            self.phase = Phase::Ended;
            effects.process.push(ProcessEffect::Stopped);
        }
    }

    fn fail(&mut self, sentence: impl Into<Box<str>>, effects: &mut Effects) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        self.refuse_pending(effects);
        effects.process.push(ProcessEffect::Fatal {
            sentence: sentence.into(),
        });
    }
}

impl Machine for ControlShard {
    fn handle_event(&mut self, now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Start => {
                assert_eq!(self.phase, Phase::New, "a machine is started once");
                self.phase = Phase::Opening;
                self.log.handle_open(now, &mut effects.disk);
            }
            Event::Disk(completion) => self.handle_disk(now, completion, effects),
            Event::Mesh { from, message, .. } => {
                self.handle_message(now, from, *message, effects);
            }
            Event::Stop => self.handle_stop(now, effects),
            // No client is ever connected to the control shard.
            Event::Connected { .. }
            | Event::Progress { .. }
            | Event::Frame { .. }
            | Event::Sent { .. }
            | Event::Disconnected { .. } => {}
        }
        self.handle_log_events(now, effects);
        self.tell_verdicts(effects);
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        if self.is_more_to_do {
            return Some(0);
        }
        let log = self.log.next_deadline();
        log.into_iter().chain(self.admission.next_deadline()).min()
    }

    fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        if std::mem::take(&mut self.is_more_to_do) {
            self.send_answers(effects);
            self.plan_pending(now, effects);
        }
        self.log
            .handle_timeout(now, &mut effects.disk, &mut self.log_events);
        self.handle_log_events(now, effects);
        self.admission.handle_timeout(now, &mut self.verdicts);
        self.tell_verdicts(effects);
    }
}

/// The metadata log keeps everything: snapshots make it quick to load, not short.
fn log_config() -> LogConfig {
    let narrow = |bytes: usize| u32::try_from(bytes).expect("the limits fit 32 bits");
    LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: false,
        },
        retention_ms: None,
        retention_bytes: None,
        compaction: CompactionConfig::default(),
        segment_bytes: narrow(UNFLUSHED_BYTES_MAX),
        segment_ms: CENTURY_MS,
        index_interval_bytes: 4096,
        segment_index_bytes: 10 * 1024 * 1024,
        max_message_bytes: narrow(RECORD_BATCH_BYTES_MAX),
        stored_codec: StoredCodec::Producer,
        timestamp_type: TimestampType::CreateTime,
        flush_mode: FlushMode::Always,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: u64::MAX,
    }
}

fn send(to: ShardId, message: MeshMessage, effects: &mut Effects) {
    effects.mesh.push(MeshEffect {
        to,
        message: Box::new(message),
    });
}

fn send_answer(to: ShardId, request: u64, body: ControlAnswer, effects: &mut Effects) {
    send(to, MeshMessage::ControlAnswer { request, body }, effects);
}
