// SPDX-License-Identifier: Apache-2.0
//! Appends by producers, the ends of their transactions, and when they are told so.
//!
//! Owns: nothing; the produce side of [`Partition`]. Invariants: appends of one partition enter its
//! log in the order in which they came, also while it is busy; `acks=1` waits for the durable end,
//! `acks=all` for the high watermark, and `min.insync.replicas` is asked before the append and
//! again before the answer.
//! Runs on: the shard that owns the partition. Bounded by: the requests in flight of all
//! connections.

use bytes::Bytes;

use super::error::ProduceError;
use super::event::{AppendWait, PartitionEvent, Produced};
use super::replica::{Partition, Phase};
use crate::log::{AppendError, AppendRules, Appended, RefusedProducers, RoundTimes};
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};
use crate::replication::min_insync::{Acks, enough_in_sync};
use crate::wire::record::{BatchError, EndMarker, RecordFault};

/// One batch for a partition.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// Comes back with `Produced`.
    pub waiter: u64,
    /// When it came.
    pub came_us: MonotonicUs,
    /// What the producer waits for.
    pub acks: Acks,
    /// The batch.
    pub records: Bytes,
}

/// The end of a transaction in a partition.
#[derive(Clone, Copy, Debug)]
pub struct MarkerRequest {
    /// Comes back with `Produced`.
    pub waiter: u64,
    /// Whose transaction it is.
    pub producer_id: i64,
    /// The epoch of the producer.
    pub producer_epoch: i16,
    /// How it ended.
    pub marker: EndMarker,
    /// True if its epoch is greater than that of the records that it ends (KIP-1228).
    pub epoch_rises: bool,
}

/// An append that the log was too busy to take.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    request: AppendRequest,
    rules: AppendRules,
}

/// An append whose answer waits.
#[derive(Debug)]
pub(super) struct Waiting {
    until: Offset,
    acks: Acks,
    came_us: MonotonicUs,
    produced: Produced,
}

impl Partition {
    /// Appends a batch. `Produced` says how it ended, now or later.
    pub fn handle_append(
        &mut self,
        now: Now,
        request: AppendRequest,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.handle_append_as(now, request, AppendRules::CLIENT, disk, events);
    }

    /// Appends a batch by these rules. `Produced` says how it ended, now or later.
    pub fn handle_append_as(
        &mut self,
        now: Now,
        request: AppendRequest,
        rules: AppendRules,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.append_in_turn(now, Pending { request, rules }, disk, events);
    }

    /// True if a producer has a transaction open here in this epoch of it: its next batch needs no
    /// coordinator.
    #[must_use]
    pub fn has_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.log.has_transaction(producer_id, producer_epoch)
    }

    /// Ends a transaction here. `Produced` says how that ended, once the marker is committed.
    pub fn handle_marker(
        &mut self,
        now: Now,
        request: MarkerRequest,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let MarkerRequest {
            producer_id,
            producer_epoch,
            marker,
            epoch_rises,
            ..
        } = request;
        let append = AppendRequest {
            waiter: request.waiter,
            came_us: now.monotonic_us,
            acks: Acks::All,
            records: marker.batch(producer_id, producer_epoch, now.wall_ms),
        };
        let pending = Pending {
            request: append,
            rules: AppendRules {
                epoch_rises,
                ..AppendRules::MARKER
            },
        };
        self.append_in_turn(now, pending, disk, events);
    }

    fn append_in_turn(
        &mut self,
        now: Now,
        pending: Pending,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        if self.pending.is_empty() {
            self.append(now, pending, disk, events);
        } else {
            self.pending.push_back(pending);
        }
    }

    /// The producer waits no longer. `Produced` follows if the append was waiting.
    pub fn handle_give_up(&mut self, waiter: u64, events: &mut Vec<PartitionEvent>) {
        if let Some(waiting) = self.waiting.remove(waiter) {
            let queue = match waiting.acks {
                Acks::All => &mut self.committed_waiters,
                Acks::Leader | Acks::None => &mut self.durable_waiters,
            };
            let was_queued = queue.remove(waiting.until, waiter);
            assert!(was_queued, "a waiting append stands in its queue");
        } else {
            let is_it = |pending: &Pending| pending.request.waiter == waiter;
            let Some(place) = self.pending.iter().position(is_it) else {
                return;
            };
            if let Some(pending) = self.pending.remove(place) {
                self.note_refused(&ProduceError::TimedOut, &pending);
            }
        }
        events.push(refused(waiter, ProduceError::TimedOut));
    }

    fn append(
        &mut self,
        now: Now,
        pending: Pending,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        match self.try_append(now, &pending, disk) {
            Ok(appended) => self.wait_for(&pending.request, &appended, events),
            Err(ProduceError::Append(AppendError::Busy)) => self.pending.push_back(pending),
            Err(error) => {
                self.note_refused(&error, &pending);
                events.push(refused(pending.request.waiter, error));
            }
        }
    }

    /// What is refused and may be sent again: batches behind it must not overtake it.
    fn note_refused(&mut self, error: &ProduceError, pending: &Pending) {
        let is_final = matches!(error, ProduceError::Append(_) | ProduceError::Records(_));
        if is_final || !pending.rules.client {
            return;
        }
        let mut refused = RefusedProducers::default();
        refused.note(&pending.request.records);
        if !refused.is_empty() {
            self.handle_refused(refused);
        }
    }

    fn try_append(
        &mut self,
        now: Now,
        pending: &Pending,
        disk: &mut DiskQueue,
    ) -> Result<Appended, ProduceError> {
        let Pending { request, rules } = pending;
        match self.phase {
            Phase::Open => {}
            Phase::Delayed => return Err(ProduceError::DiskFull),
            Phase::Opening | Phase::Ending | Phase::Ended => return Err(ProduceError::NotLeader),
        }
        let leader = self.leader.as_ref().ok_or(ProduceError::NotLeader)?;
        if !enough_in_sync(request.acks, leader.in_sync(), leader.min_insync_replicas()) {
            return Err(ProduceError::NotEnoughReplicas);
        }
        let (epoch, rules) = (leader.epoch(), *rules);
        let appended = self
            .log
            .handle_append(now, epoch, &request.records, rules, disk)
            .map_err(|error| self.refusal(now, &request.records, error))?;
        if !appended.duplicate {
            let bytes = u64::try_from(appended.len_bytes).expect("a usize fits 64 bits");
            self.purgatory
                .handle_append(appended.last_offset + 1, bytes);
            if rules.client {
                let messages = appended.last_offset + 1 - appended.base_offset;
                self.counts.messages_in += messages.unsigned_abs();
                self.counts.bytes_in += bytes;
            }
        }
        Ok(appended)
    }

    /// Why an append was refused; with every record that is to blame, if records are.
    fn refusal(&self, now: Now, records: &Bytes, error: AppendError) -> ProduceError {
        let breaks_a_rule = matches!(
            error,
            AppendError::Batch(
                BatchError::Timestamp { .. }
                    | BatchError::Record {
                        fault: RecordFault::KeyMissing,
                        ..
                    }
            )
        );
        if breaks_a_rule {
            let records = self.log.faulty_records(now, records, AppendRules::CLIENT);
            if !records.is_empty() {
                return ProduceError::Records(records.into());
            }
        }
        ProduceError::Append(error)
    }

    fn wait_for(
        &mut self,
        request: &AppendRequest,
        appended: &Appended,
        events: &mut Vec<PartitionEvent>,
    ) {
        let (waiter, acks) = (request.waiter, request.acks);
        let until = appended.last_offset + 1;
        let produced = Produced {
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
        };
        let (reached, queue) = match acks {
            Acks::None => (until, &mut self.durable_waiters),
            Acks::Leader => (self.log.durable_end_offset(), &mut self.durable_waiters),
            Acks::All => (
                self.leader
                    .as_ref()
                    .map_or(0, |leader| leader.high_watermark()),
                &mut self.committed_waiters,
            ),
        };
        if until <= reached {
            events.push(PartitionEvent::Produced {
                waiter,
                result: self.confirm(acks, produced),
                waited: None,
            });
            return;
        }
        queue.push(until, waiter);
        let waiting = Waiting {
            until,
            acks,
            came_us: request.came_us,
            produced,
        };
        self.waiting.insert(waiter, waiting);
    }

    /// The answer of an append whose offset is reached, if enough replicas are still in sync.
    fn confirm(&self, acks: Acks, produced: Produced) -> Result<Produced, ProduceError> {
        let leader = self.leader.as_ref().ok_or(ProduceError::NotLeader)?;
        if enough_in_sync(acks, leader.in_sync(), leader.min_insync_replicas()) {
            Ok(produced)
        } else {
            Err(ProduceError::NotEnoughReplicasAfterAppend)
        }
    }

    /// The log is durable below `durable_end`, by that round.
    pub(super) fn take_durable_end(
        &mut self,
        now: Now,
        durable_end: Offset,
        round: RoundTimes,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        events.push(PartitionEvent::RoundEnded(round));
        while let Some(waiter) = self.durable_waiters.pop_reached(durable_end) {
            self.answer(waiter, Some(round), events);
        }
        let moved = self
            .leader
            .as_mut()
            .and_then(|leader| leader.handle_durable_end(durable_end));
        if let Some(high_watermark) = moved {
            self.settle_committed(high_watermark, Some(round), events);
        }
        self.retry_pending(now, disk, events);
    }

    /// The high watermark moved, by a round or something else: confirms what is committed and wakes
    /// parked fetches.
    pub(super) fn settle_committed(
        &mut self,
        high_watermark: Offset,
        round: Option<RoundTimes>,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.log.handle_retention_bound(high_watermark);
        while let Some(waiter) = self.committed_waiters.pop_reached(high_watermark) {
            self.answer(waiter, round, events);
        }
        let last_stable = self.log.last_stable_offset(high_watermark);
        self.purgatory
            .handle_high_watermark(high_watermark, last_stable, |woken| {
                events.push(PartitionEvent::Woken(woken));
            });
    }

    /// Appends from `from` on were lost: the disk was full.
    pub(super) fn take_lost(
        &mut self,
        now: Now,
        from: Offset,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.purgatory.handle_lost(from);
        while let Some(waiter) = self
            .durable_waiters
            .pop_lost(from)
            .or_else(|| self.committed_waiters.pop_lost(from))
        {
            self.waiting.remove(waiter);
            events.push(refused(waiter, ProduceError::DiskFull));
        }
        self.retry_pending(now, disk, events);
    }

    /// Refuses every append that waits.
    pub(super) fn refuse_all(&mut self, error: ProduceError, events: &mut Vec<PartitionEvent>) {
        self.durable_waiters = Default::default();
        self.committed_waiters = Default::default();
        let waiting = self.waiting.take_all().into_iter();
        let pending = std::mem::take(&mut self.pending);
        for one in &pending {
            self.note_refused(&error, one);
        }
        let waiting = waiting.map(|(waiter, _)| waiter);
        let pending = pending.into_iter().map(|pending| pending.request.waiter);
        let waiters = waiting.chain(pending);
        events.extend(waiters.map(|waiter| refused(waiter, error.clone())));
    }

    fn answer(&mut self, waiter: u64, round: Option<RoundTimes>, events: &mut Vec<PartitionEvent>) {
        let waiting = self
            .waiting
            .remove(waiter)
            .expect("a queued waiter has its answer kept");
        let came_us = waiting.came_us;
        events.push(PartitionEvent::Produced {
            waiter,
            result: self.confirm(waiting.acks, waiting.produced),
            waited: round.map(|round| AppendWait { came_us, round }),
        });
    }

    /// Appends what had to wait, as far as the log takes it.
    pub(super) fn retry_pending(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let pending = std::mem::take(&mut self.pending);
        for pending in pending {
            self.append_in_turn(now, pending, disk, events);
        }
    }
}

/// A produce ended without success.
fn refused(waiter: u64, error: ProduceError) -> PartitionEvent {
    PartitionEvent::Produced {
        waiter,
        result: Err(error),
        waited: None,
    }
}
