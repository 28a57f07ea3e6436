// SPDX-License-Identifier: Apache-2.0
//! One replica of one partition: life cycle, metadata, and what its log says.
//!
//! Owns: [`Partition`]. Invariants: the high watermark follows the durable end, never the log end;
//! what waits when the log fails, goes away or changes its leader is answered with an error, never
//! forgotten.
//! Runs on: the shard that owns the partition. Bounded by: its waiters and its log.

use std::collections::VecDeque;

use super::error::{FetchError, ProduceError};
use super::event::{Fetched, FoundOffset, PartitionEvent};
use super::fetch::StableRead;
use super::produce::{Pending, Waiting};
use super::spec::PartitionSpec;
use crate::log::{LogEvent, LogMemory, PartitionLog, RecoveryReport, RefusedProducers};
use crate::model::cleaner::CleanerSettings;
use crate::model::disk::{DiskCompletion, DiskQueue};
use crate::model::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use crate::model::number_map::NumberMap;
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};
use crate::replication::ack_queue::AckQueue;
use crate::replication::leader::Leader;
use crate::replication::purgatory::Purgatory;

/// Stands for "no epoch is known" in requests.
const NO_EPOCH: LeaderEpoch = -1;

/// Where a partition is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its log is being recovered.
    Opening,
    /// There was no space to open its log, which tries again by itself.
    Delayed,
    /// It serves.
    Open,
    /// Its log ends (stops or is deleted).
    Ending,
    /// Its log has ended or failed.
    Ended,
}

/// How a partition is to end once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Delete,
}

/// What clients appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendCounts {
    /// Records.
    pub messages_in: u64,
    /// Bytes of their batches, as they are stored.
    pub bytes_in: u64,
}

/// One replica of one partition.
pub struct Partition {
    pub(super) node_id: BrokerId,
    pub(super) spec: PartitionSpec,
    pub(super) log: PartitionLog,
    pub(super) phase: Phase,
    end: Option<End>,
    /// The leader's state while this replica leads and is open.
    pub(super) leader: Option<Leader>,
    pub(super) purgatory: Purgatory,
    /// Waiting for the durable end (`acks=1`).
    pub(super) durable_waiters: AckQueue,
    /// Waiting for the high watermark (`acks=all`).
    pub(super) committed_waiters: AckQueue,
    pub(super) waiting: NumberMap<Waiting>,
    /// Appends that the log was too busy to take, in order.
    pub(super) pending: VecDeque<Pending>,
    /// Producers that were refused before the log was open.
    refused: RefusedProducers,
    /// Reads of committed transactions under way.
    pub(super) stable_reads: NumberMap<StableRead>,
    /// What was appended by clients since this value was made.
    pub(super) counts: AppendCounts,
    /// Reuse for what the log says.
    log_events: Vec<LogEvent>,
}

impl Partition {
    /// A replica on this broker whose disk requests carry `owner`.
    #[must_use]
    pub fn new(
        owner: u32,
        node_id: BrokerId,
        spec: PartitionSpec,
        storage: StorageRules,
    ) -> Partition {
        let log = PartitionLog::new(
            owner,
            &spec.directory,
            spec.at.topic_id,
            spec.config.clone(),
            storage,
        );
        Partition {
            node_id,
            spec,
            log,
            phase: Phase::Opening,
            end: None,
            leader: None,
            purgatory: Purgatory::default(),
            durable_waiters: AckQueue::default(),
            committed_waiters: AckQueue::default(),
            waiting: NumberMap::default(),
            pending: VecDeque::new(),
            refused: RefusedProducers::default(),
            stable_reads: NumberMap::default(),
            counts: AppendCounts::default(),
            log_events: Vec::new(),
        }
    }

    /// How often its log looks for segments that retention may remove.
    pub fn set_retention_check_ms(&mut self, ms: u64) {
        self.log.set_retention_check_ms(ms);
    }

    /// How its log is compacted, if it is a compacted topic's.
    pub fn set_cleaner(&mut self, settings: CleanerSettings) {
        self.log.set_cleaner(settings);
    }

    /// How long its log remembers a producer that sends nothing.
    pub fn set_producer_expiration_ms(&mut self, ms: u64) {
        self.log.set_producer_expiration_ms(ms);
    }

    /// Which partition it is.
    #[must_use]
    pub fn at(&self) -> TopicPartition {
        self.spec.at
    }

    /// What the metadata says of it.
    #[must_use]
    pub fn spec(&self) -> &PartitionSpec {
        &self.spec
    }

    /// True once its log is open and until it ends.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The high watermark, while this replica leads.
    #[must_use]
    pub fn high_watermark(&self) -> Option<Offset> {
        self.leader.as_ref().map(Leader::high_watermark)
    }

    /// How many waiting fetches watch it.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.purgatory.len()
    }

    /// What was appended to it by clients in this process.
    #[must_use]
    pub fn append_counts(&self) -> AppendCounts {
        self.counts
    }

    /// What its log holds in memory.
    #[must_use]
    pub fn memory(&self) -> LogMemory {
        self.log.memory()
    }

    /// Offset after the last record.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// The first offset.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log.log_start_offset()
    }

    /// How many segments it has.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.log.segment_count()
    }

    /// What the opening of its log has found so far, while it is under way.
    #[must_use]
    pub fn opening_report(&self) -> Option<RecoveryReport> {
        self.log.opening_report()
    }

    /// Opens or makes the log; ends in `Opened`.
    pub fn handle_open(&mut self, now: Now, disk: &mut DiskQueue) {
        assert_eq!(self.phase, Phase::Opening);
        self.log.handle_open(now, disk);
    }

    /// Takes note of producers that were refused (here, or where this partition was not known yet).
    pub fn handle_refused(&mut self, refused: RefusedProducers) {
        if self.phase == Phase::Open {
            self.log.handle_refused(refused);
        } else {
            self.refused.append(refused);
        }
    }

    /// Producers whose first batch was refused, of a partition that has ended: another shard is to
    /// know of them.
    #[must_use]
    pub fn take_refused(&mut self) -> RefusedProducers {
        assert_eq!(self.phase, Phase::Ended, "it may refuse more");
        let mut refused = self.log.take_refused();
        refused.append(std::mem::take(&mut self.refused));
        refused
    }

    /// New metadata for this partition.
    pub fn handle_spec(&mut self, spec: PartitionSpec, events: &mut Vec<PartitionEvent>) {
        assert_eq!(spec.at, self.spec.at);
        let is_new_epoch =
            spec.leader_epoch != self.spec.leader_epoch || spec.leader != self.spec.leader;
        if spec.config != self.spec.config {
            self.log.handle_config(spec.config.clone());
        }
        self.spec = spec;
        if self.phase != Phase::Open {
            return;
        }
        if is_new_epoch {
            self.start_epoch(events);
            return;
        }
        let replicas = self.spec.replicas.clone();
        let moved = self
            .leader
            .as_mut()
            .and_then(|leader| leader.handle_replicas(replicas));
        if let Some(high_watermark) = moved {
            self.settle_committed(high_watermark, None, events);
        }
    }

    /// Ends the partition: everything on disk and closed; ends in `Stopped`.
    pub fn handle_stop(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.end_as(End::Stop, now, disk, events);
    }

    /// Ends the partition and removes its directory; ends in `Deleted`.
    pub fn handle_delete(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.end_as(End::Delete, now, disk, events);
    }

    /// A disk request of this partition ended.
    pub fn handle_disk(
        &mut self,
        now: Now,
        completion: DiskCompletion,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let mut log_events = std::mem::take(&mut self.log_events);
        self.log.handle_disk(now, completion, disk, &mut log_events);
        self.take_log_events(now, log_events, disk, events);
    }

    /// When the log wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        self.log.next_deadline()
    }

    /// Does what has become due in the log.
    pub fn handle_timeout(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let mut log_events = std::mem::take(&mut self.log_events);
        self.log.handle_timeout(now, disk, &mut log_events);
        self.take_log_events(now, log_events, disk, events);
    }

    /// Gives up cached bytes.
    pub fn handle_shed(&mut self, bytes: usize, disk: &mut DiskQueue) {
        self.log.handle_shed(bytes, disk);
    }

    /// Allows or forbids to read ahead of its readers.
    pub fn handle_read_ahead(&mut self, is_allowed: bool) {
        self.log.handle_read_ahead(is_allowed);
    }

    /// Gives up what was read ahead.
    pub fn handle_read_ahead_shed(&mut self) {
        self.log.handle_read_ahead_shed();
    }

    /// Refuses a request that names another leader epoch than ours; -1 names none (KIP-320).
    pub(super) fn check_leader_epoch(&self, named: LeaderEpoch) -> Result<&Leader, FetchError> {
        let leader = self.leader.as_ref().ok_or(FetchError::NotLeader)?;
        if named == NO_EPOCH || named == leader.epoch() {
            return Ok(leader);
        }
        if named < leader.epoch() {
            return Err(FetchError::FencedLeaderEpoch);
        }
        Err(FetchError::UnknownLeaderEpoch)
    }

    fn take_log_events(
        &mut self,
        now: Now,
        mut log_events: Vec<LogEvent>,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        for event in log_events.drain(..) {
            self.take_log_event(now, event, disk, events);
        }
        self.log_events = log_events;
    }

    fn take_log_event(
        &mut self,
        now: Now,
        event: LogEvent,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        match event {
            LogEvent::Opened { report } => self.take_opened(now, report, disk, events),
            LogEvent::OpenDelayed => {
                if self.phase == Phase::Opening {
                    self.phase = Phase::Delayed;
                    events.push(PartitionEvent::OpenDelayed);
                    if let Some(end) = self.end {
                        self.end_as(end, now, disk, events);
                    }
                }
            }
            LogEvent::WrongTopic { found } => {
                self.phase = Phase::Ended;
                events.push(PartitionEvent::WrongTopic { found });
            }
            LogEvent::Damaged { sentence } => events.push(PartitionEvent::Damaged { sentence }),
            LogEvent::Synced => self.retry_pending(now, disk, events),
            LogEvent::DurableEnd { offset, round } => {
                self.take_durable_end(now, offset, round, disk, events);
            }
            LogEvent::ReadDone { read, result } => {
                let stable = self.stable_reads.remove(read);
                let result = match result {
                    Ok(records) => self.fetched(records, stable),
                    Err(error) => Err(error.into()),
                };
                events.push(PartitionEvent::Fetched { read, result });
            }
            LogEvent::TimestampFound { lookup, result } => {
                let result = result
                    .map(|found| found.map_or(FoundOffset::NONE, FoundOffset::from))
                    .map_err(FetchError::from);
                events.push(PartitionEvent::OffsetFound { lookup, result });
            }
            LogEvent::LogStartMoved { .. } => {}
            LogEvent::Compacted(report) => events.push(PartitionEvent::Compacted(report)),
            LogEvent::RecordsDeleted { waiter, result } => {
                let result = result.map_err(FetchError::from);
                events.push(PartitionEvent::RecordsDeleted { waiter, result });
            }
            LogEvent::AppendsLost { from, .. } => self.take_lost(now, from, disk, events),
            LogEvent::Stopped => {
                self.phase = Phase::Ended;
                self.resign(ProduceError::NotLeader, events);
                events.push(PartitionEvent::Stopped);
            }
            LogEvent::Deleted => {
                self.phase = Phase::Ended;
                events.push(PartitionEvent::Deleted);
            }
            LogEvent::Failed { sentence } => {
                self.phase = Phase::Ended;
                self.resign(ProduceError::Offline, events);
                events.push(PartitionEvent::Failed { sentence });
            }
        }
    }

    fn take_opened(
        &mut self,
        now: Now,
        report: RecoveryReport,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        if self.phase == Phase::Ending {
            // Its end was asked for while a delayed opening was tried again.
            return;
        }
        assert!(matches!(self.phase, Phase::Opening | Phase::Delayed));
        self.phase = Phase::Open;
        self.log.handle_refused(std::mem::take(&mut self.refused));
        events.push(PartitionEvent::Opened { report });
        self.start_epoch(events);
        if let Some(end) = self.end {
            self.end_as(end, now, disk, events);
        }
    }

    /// Begins the leader epoch that the metadata names: as its leader, or not.
    fn start_epoch(&mut self, events: &mut Vec<PartitionEvent>) {
        assert_eq!(self.phase, Phase::Open);
        let committed = self
            .leader
            .as_ref()
            .map_or(self.log.log_start_offset(), Leader::high_watermark);
        if self.spec.leader != Some(self.node_id) {
            self.resign(ProduceError::NotLeader, events);
            return;
        }
        let leader = Leader::new(
            self.node_id,
            self.spec.leader_epoch,
            self.log.durable_end_offset(),
            committed,
            self.spec.replicas.clone(),
        );
        let high_watermark = leader.high_watermark();
        self.leader = Some(leader);
        self.settle_committed(high_watermark, None, events);
    }

    /// Stops leading: all that waits is answered.
    fn resign(&mut self, error: ProduceError, events: &mut Vec<PartitionEvent>) {
        self.leader = None;
        self.refuse_all(error, events);
        let mut woken = Vec::new();
        self.purgatory.handle_end(&mut woken);
        events.extend(woken.into_iter().map(PartitionEvent::Woken));
    }

    fn end_as(
        &mut self,
        end: End,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.end = Some(end);
        match self.phase {
            Phase::Opening | Phase::Ending => return,
            Phase::Ended if end == End::Stop => {
                events.push(PartitionEvent::Stopped);
                return;
            }
            Phase::Open | Phase::Delayed | Phase::Ended => {}
        }
        self.phase = Phase::Ending;
        let mut log_events = std::mem::take(&mut self.log_events);
        match end {
            End::Stop => self.log.handle_stop(now, disk, &mut log_events),
            End::Delete => {
                self.resign(ProduceError::NotLeader, events);
                self.log.handle_delete(now, disk, &mut log_events);
            }
        }
        self.take_log_events(now, log_events, disk, events);
    }

    pub(super) fn fetched(
        &self,
        records: bytes::Bytes,
        stable: Option<StableRead>,
    ) -> Result<Fetched, FetchError> {
        let leader = self.leader.as_ref().ok_or(FetchError::NotLeader)?;
        let high_watermark = leader.high_watermark();
        // What was decided when the read began bounds what was read.
        let (last_stable_offset, aborted) = match stable {
            None => (self.log.last_stable_offset(high_watermark), Vec::new()),
            Some(read) => (
                read.last_stable_offset,
                self.log.aborted_within(read.offset, &records),
            ),
        };
        Ok(Fetched {
            records,
            high_watermark,
            last_stable_offset,
            aborted,
            log_start_offset: self.log.log_start_offset(),
            diverging: None,
        })
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partition({}, {:?})", self.spec.directory, self.phase)
    }
}
