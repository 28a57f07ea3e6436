// SPDX-License-Identifier: Apache-2.0
//! The machine of one partition's log: its state, its getters, and who takes which completion. The
//! verbs are in files of their own: `open`, `recover`, `append`, `write`, `ahead`, `roll`, `cut`,
//! `read`, `lookup`, `warm`, `retention`, `spare`, `log_start`, `transactions`, `stop`, `delete`.
//!
//! Owns: [`PartitionLog`]. Invariants: `log_start <= durable_end <= log_end`; the durable end rises
//! only in the handler of a completed flush; segments ascend and join without a gap; while the log
//! is open the last segment takes the appends.
//! Runs on: the core of the partition. Bounded by: `limits`.

use std::collections::{BTreeMap, VecDeque};

use super::aborted::AbortedTransactions;
use super::append::SentBatch;
use super::area::AheadStep;
use super::compaction::Compaction;
use super::config::LogConfig;
use super::cut::Cut;
use super::damage::DamageMet;
use super::delay::Delay;
use super::delete::Deletion;
use super::event::{LogEvent, ReadError};
use super::leader_epochs::LeaderEpochs;
use super::log_start::StartMove;
use super::open::Opening;
use super::operations::{Operations, Pending};
use super::point::Points;
use super::producer_state::ProducerState;
use super::read_ahead::ReadAhead;
use super::refused_producers::RefusedProducers;
use super::retention::Retention;
use super::roll::Roll;
use super::segment::{FileKind, Segment, file_name};
use super::spare::Spares;
use super::stop::Stop;
use super::sync::Unsynced;
use super::tail_cache::TailCache;
use super::task::Task;
use super::warm::Rebuild;
use super::write::{Round, RoundLists, Stage};
use crate::limits::RETENTION_CHECK_MS_DEFAULT;
use crate::model::disk::{
    DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId,
};
use crate::model::ids::{LeaderEpoch, Offset, Uuid};
use crate::model::storage::StorageRules;
use crate::model::time::{MonotonicUs, Now};

/// What the log is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not opened yet, or stopped.
    Closed,
    /// Looking at the directory and recovering it.
    Opening(Box<Opening>),
    /// There was no space to open it: tried again later.
    Delayed(Delay),
    /// Taking appends and reads.
    Open,
    /// Stopping: what was appended is still written, then the files are put in order.
    Stopping(Stop),
    /// Being removed.
    Deleting(Deletion),
    /// Removed.
    Deleted,
    /// It can promise nothing any more.
    Failed,
}

/// The log of one partition.
#[derive(Debug)]
pub struct PartitionLog {
    pub(super) owner: u32,
    pub(super) directory: Box<str>,
    pub(super) topic_id: Uuid,
    pub(super) config: LogConfig,
    pub(super) storage: StorageRules,
    pub(super) phase: Phase,
    /// Ascending; the last one takes the appends.
    pub(super) segments: VecDeque<Segment>,
    pub(super) epochs: LeaderEpochs,
    pub(super) producers: ProducerState,
    pub(super) aborted: AbortedTransactions,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) durable_end: Offset,
    pub(super) retention_bound: Offset,
    pub(super) operations: Operations,
    next_file: u32,
    /// The segments that are not sealed on disk, oldest first, with what waits to be written to
    /// each.
    pub(super) stages: VecDeque<Stage>,
    /// The round that is being written.
    pub(super) round: Option<Round>,
    /// Rounds that are written and not durable yet, oldest first.
    pub(super) flushing: VecDeque<Round>,
    pub(super) next_round: u64,
    pub(super) ahead_step: AheadStep,
    pub(super) spares: Spares,
    pub(super) roll: Option<Roll>,
    pub(super) cut: Option<Cut>,
    /// A write found no space; the cut starts once nothing touches the file.
    pub(super) cut_wanted: bool,
    pub(super) unflushed_bytes: usize,
    /// What counts without a flush, in the relaxed flush modes.
    pub(super) unsynced: Unsynced,
    pub(super) lists: RoundLists,
    pub(super) batches: Vec<SentBatch>,
    pub(super) tail_cache: TailCache,
    pub(super) tasks: BTreeMap<u64, Task>,
    pub(super) next_task: u64,
    /// Buffers of reads under way.
    pub(super) reading_bytes: usize,
    pub(super) read_ahead: ReadAhead,
    pub(super) rebuilds: BTreeMap<Offset, Rebuild>,
    pub(super) uses: u64,
    pub(super) retention: Retention,
    /// How often retention looks.
    pub(super) retention_check_ms: u64,
    pub(super) compaction: Compaction,
    /// `producer.id.expiration.ms`.
    producer_expiration_ms: u64,
    pub(super) start_move: StartMove,
    pub(super) points: Points,
    pub(super) damage_met: DamageMet,
    /// When the last segment got its first batch in this process.
    pub(super) active_since: Option<MonotonicUs>,
    /// The moment of the event that is being handled, for the times of rounds.
    pub(super) now_us: MonotonicUs,
}

impl PartitionLog {
    /// A closed log in `directory`, a path relative to the data directory, on storage with these
    /// rules.
    #[must_use]
    pub fn new(
        owner: u32,
        directory: &str,
        topic_id: Uuid,
        config: LogConfig,
        storage: StorageRules,
    ) -> PartitionLog {
        assert!(!directory.is_empty());
        PartitionLog {
            owner,
            directory: directory.into(),
            topic_id,
            config,
            storage,
            phase: Phase::Closed,
            segments: VecDeque::new(),
            epochs: LeaderEpochs::new(),
            producers: ProducerState::new(),
            aborted: AbortedTransactions::default(),
            log_start: 0,
            log_end: 0,
            durable_end: 0,
            retention_bound: 0,
            operations: Operations::new(owner),
            next_file: 0,
            stages: VecDeque::new(),
            round: None,
            flushing: VecDeque::new(),
            next_round: 0,
            ahead_step: AheadStep::default(),
            spares: Spares::default(),
            roll: None,
            cut: None,
            cut_wanted: false,
            unflushed_bytes: 0,
            unsynced: Unsynced::default(),
            lists: RoundLists::default(),
            batches: Vec::new(),
            tail_cache: TailCache::default(),
            tasks: BTreeMap::new(),
            next_task: 0,
            reading_bytes: 0,
            read_ahead: ReadAhead::default(),
            rebuilds: BTreeMap::new(),
            uses: 0,
            retention: Retention::default(),
            retention_check_ms: RETENTION_CHECK_MS_DEFAULT,
            compaction: Compaction::default(),
            producer_expiration_ms: u64::MAX,
            start_move: StartMove::default(),
            points: Points::default(),
            damage_met: DamageMet::default(),
            active_since: None,
            now_us: 0,
        }
    }

    /// How often it looks for segments that retention may remove.
    pub fn set_retention_check_ms(&mut self, ms: u64) {
        assert!(ms > 0);
        self.retention_check_ms = ms;
    }

    /// How long a producer is remembered that sends nothing; looked at together with retention.
    pub fn set_producer_expiration_ms(&mut self, ms: u64) {
        self.producer_expiration_ms = ms;
    }

    /// The slot that its disk requests name.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Its directory, relative to the data directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Offset of the first record that is kept.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end
    }

    /// Everything below this offset is on stable storage.
    #[must_use]
    pub fn durable_end_offset(&self) -> Offset {
        self.durable_end
    }

    /// The largest known leader epoch at or below `epoch` and the offset where it ends; (-1, -1)
    /// where unknown.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_offset_for(epoch, self.log_end)
    }

    /// The leader epoch of the oldest record; nothing if there is no record.
    #[must_use]
    pub fn epoch_of_start(&self) -> Option<LeaderEpoch> {
        let epoch = self.epochs.epoch_of(self.log_start);
        epoch.filter(|_| self.log_start < self.log_end)
    }

    /// The leader epoch of the newest batch.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// True while the log takes appends and reads.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.mark.size_bytes)
            .sum()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Takes a completion of one of its disk requests.
    pub fn handle_disk(
        &mut self,
        now: Now,
        completion: DiskCompletion,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        self.now_us = now.monotonic_us;
        let pending = self.operations.end(completion.token);
        let result = completion.result;
        match self.phase {
            Phase::Failed | Phase::Closed | Phase::Deleted => return,
            Phase::Delayed(_) => return self.step_delay(events),
            Phase::Deleting(_) => return self.step_deletion(pending, result, disk, events),
            Phase::Opening(_) | Phase::Open | Phase::Stopping(_) => {}
        }
        match pending {
            Pending::Opening => self.step_opening(now, result, disk, events),
            Pending::Scan => self.step_scan(now, result, disk, events),
            Pending::RoundWrite(position) => {
                self.end_round_write(now, position, result, disk, events);
            }
            Pending::RoundFlush(number) => {
                self.end_round_flush(now, number, result, disk, events);
            }
            Pending::Point => self.step_point(result, disk, events),
            Pending::Sync => self.end_sync(now, result, disk, events),
            Pending::Zeros => self.end_zeros(now, result, disk, events),
            Pending::ZerosFlush => self.end_zeros_flush(now, result, disk, events),
            Pending::Roll => self.step_roll(now, result, disk, events),
            Pending::Cut => self.step_cut(now, result, disk, events),
            Pending::Stop => self.step_stop(result, disk, events),
            Pending::Spare => self.step_spare(result, disk, events),
            Pending::Retention => self.step_retention(now, result, disk, events),
            Pending::Compaction => self.end_compaction_step(now, result, disk, events),
            Pending::CleanerCheckpoint => self.end_cleaner_checkpoint(result),
            Pending::LogStart => self.end_log_start(result, disk, events),
            Pending::WarmFile(base) => self.end_warm_file(base, result, disk, events),
            Pending::WarmIndex(base) => self.end_warm_index(base, false, result, disk, events),
            Pending::WarmTimeIndex(base) => self.end_warm_index(base, true, result, disk, events),
            Pending::Rebuild(base) => self.step_rebuild(base, result, disk, events),
            Pending::Task(task) => self.end_task_read(task, result, disk, events),
            Pending::Ignored | Pending::Delete => {}
        }
        if !matches!(self.phase, Phase::Failed) {
            self.go_on_retention(disk, events);
            self.go_on_compaction(now, disk, events);
        }
        self.go_on_stopping(disk, events);
        if let Some(sentence) = self.damage_met.sentence.take() {
            events.push(LogEvent::Damaged { sentence });
        }
        self.read_ahead.stamp(now);
    }

    /// When `handle_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        if let Phase::Delayed(delay) = &self.phase {
            return Some(delay.until());
        }
        if !self.is_open() {
            return None;
        }
        let sync_at = self.unsynced.deadline(self.config.flush_mode);
        let ahead = self.read_ahead.next_deadline();
        [
            self.retention.due,
            sync_at,
            ahead,
            self.compaction_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Rolls by time, applies retention, drops what was read ahead in vain.
    pub fn handle_timeout(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        self.now_us = now.monotonic_us;
        if matches!(self.phase, Phase::Delayed(_)) {
            return self.go_on_delayed(now, disk);
        }
        if !self.is_open() {
            return;
        }
        self.sync_if_due(now, disk);
        self.read_ahead.expire(now);
        if self.retention.due.is_some_and(|at| at <= now.monotonic_us) {
            self.retention.due = Some(now.after_ms(self.retention_check_ms));
            self.producers
                .expire(now.wall_ms, self.producer_expiration_ms);
            self.roll_by_time(now, disk);
            self.check_retention(now, disk);
        }
        self.tick_compaction(now, disk, events);
    }

    /// Takes new settings.
    pub fn handle_config(&mut self, config: LogConfig) {
        self.config = config;
        // Retention may have become shorter: look at once.
        if self.retention.due.is_some() {
            self.retention.due = Some(0);
        }
        self.compaction.look_soon();
    }

    /// Tells the log up to where its records are committed (the HW): retention stays below it.
    pub fn handle_retention_bound(&mut self, bound: Offset) {
        self.retention_bound = self.retention_bound.max(bound);
        self.producers.settle_markers(bound);
    }

    /// Tells the open log of producers that were refused before they could append.
    pub fn handle_refused(&mut self, refused: RefusedProducers) {
        assert!(
            !matches!(self.phase, Phase::Opening(_)),
            "an opening reads who is known"
        );
        self.producers.note_refused(refused);
    }

    /// The producers that the log knows by what was lost or refused of theirs alone. Nothing on
    /// disk tells of them.
    #[must_use]
    pub fn take_refused(&mut self) -> RefusedProducers {
        self.producers.take_refused()
    }

    /// A path in the directory.
    pub(super) fn path(&self, name: &str) -> Box<str> {
        format!("{}/{name}", self.directory).into()
    }

    /// The path of a segment's file.
    pub(super) fn segment_path(&self, base_offset: Offset, kind: FileKind) -> Box<str> {
        self.path(&file_name(base_offset, kind))
    }

    /// A file id that was never used.
    pub(super) fn new_file(&mut self) -> FileId {
        let number = self.next_file;
        self.next_file = number
            .checked_add(1)
            .expect("a process opens fewer files than 2^32");
        FileId {
            owner: self.owner,
            number,
        }
    }

    pub(super) fn push(
        &mut self,
        pending: Pending,
        operation: DiskOperation,
        disk: &mut DiskQueue,
    ) {
        self.operations.push(pending, operation, disk);
    }

    /// The segment with this base offset.
    pub(super) fn segment_mut(&mut self, base_offset: Offset) -> Option<&mut Segment> {
        let place = self
            .segments
            .partition_point(|segment| segment.base_offset < base_offset);
        self.segments
            .get_mut(place)
            .filter(|segment| segment.base_offset == base_offset)
    }

    /// The segment that takes the appends.
    pub(super) fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("an open log has a segment")
    }

    /// Gives up: nothing is promised any more. Never called twice.
    pub(super) fn fail(&mut self, what: &str, error: DiskError, events: &mut Vec<LogEvent>) {
        let sentence = format!(
            "partition log {}: {what} failed: {error}; the directory goes offline, \
             check the device and restart",
            self.directory
        );
        self.fail_tasks(ReadError::Disk(error), events);
        self.phase = Phase::Failed;
        events.push(LogEvent::Failed {
            sentence: sentence.into(),
        });
    }

    /// Answers everything that reads, or waits for the log start to move.
    pub(super) fn fail_tasks(&mut self, error: ReadError, events: &mut Vec<LogEvent>) {
        for (_, task) in std::mem::take(&mut self.tasks) {
            self.fail_task(&task.kind, error, events);
        }
        for waiter in self.start_move.take_all() {
            let result = Err(error);
            events.push(LogEvent::RecordsDeleted { waiter, result });
        }
        self.read_ahead.clear();
        self.reading_bytes = 0;
    }
}

/// The result of a request that brings nothing back.
pub(super) fn done(result: Result<DiskOutcome, DiskError>) -> Result<(), DiskError> {
    result.map(|_| ())
}
