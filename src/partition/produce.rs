// SPDX-License-Identifier: Apache-2.0
//! Appends by producers, and when they are told so.
//!
//! Owns: nothing; the produce side of [`Partition`]. Invariants: appends of one partition enter its
//! log in the order in which they came, also while it is busy; `acks=1` waits for the durable end,
//! `acks=all` for the high watermark, and `min.insync.replicas` is asked before the append and
//! again before the answer.
//! Runs on: the shard that owns the partition. Bounded by: the requests in flight of all
//! connections.

use bytes::Bytes;

use super::error::ProduceError;
use super::event::{PartitionEvent, Produced};
use super::replica::{Partition, Phase};
use crate::log::{AppendError, AppendRules, Appended, RefusedProducers};
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;
use crate::model::time::Now;
use crate::replication::min_insync::{Acks, enough_in_sync};

/// One batch for a partition.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// Comes back with `Produced`.
    pub waiter: u64,
    /// What the producer waits for.
    pub acks: Acks,
    /// The batch.
    pub records: Bytes,
}

/// An append that the log was too busy to take.
pub(super) type Pending = AppendRequest;

/// An append whose answer waits.
#[derive(Debug)]
pub(super) struct Waiting {
    until: Offset,
    acks: Acks,
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
        if self.pending.is_empty() {
            self.append(now, request, disk, events);
        } else {
            self.pending.push_back(request);
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
            let is_it = |pending: &Pending| pending.waiter == waiter;
            let Some(place) = self.pending.iter().position(is_it) else {
                return;
            };
            if let Some(pending) = self.pending.remove(place) {
                self.note_refused(ProduceError::TimedOut, &pending.records);
            }
        }
        let result = Err(ProduceError::TimedOut);
        events.push(PartitionEvent::Produced { waiter, result });
    }

    fn append(
        &mut self,
        now: Now,
        request: AppendRequest,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let waiter = request.waiter;
        let result = match self.try_append(now, &request, disk) {
            Ok(appended) => {
                self.wait_for(waiter, request.acks, &appended, events);
                return;
            }
            Err(ProduceError::Append(AppendError::Busy)) => {
                self.pending.push_back(request);
                return;
            }
            Err(error) => {
                self.note_refused(error, &request.records);
                Err(error)
            }
        };
        events.push(PartitionEvent::Produced { waiter, result });
    }

    /// What is refused and may be sent again: batches behind it must not overtake it.
    fn note_refused(&mut self, error: ProduceError, records: &[u8]) {
        if matches!(error, ProduceError::Append(_)) {
            return;
        }
        let mut refused = RefusedProducers::default();
        refused.note(records);
        if !refused.is_empty() {
            self.handle_refused(refused);
        }
    }

    fn try_append(
        &mut self,
        now: Now,
        request: &AppendRequest,
        disk: &mut DiskQueue,
    ) -> Result<Appended, ProduceError> {
        match self.phase {
            Phase::Open => {}
            Phase::Delayed => return Err(ProduceError::DiskFull),
            Phase::Opening | Phase::Ending | Phase::Ended => return Err(ProduceError::NotLeader),
        }
        let leader = self.leader.as_ref().ok_or(ProduceError::NotLeader)?;
        if !enough_in_sync(request.acks, leader.in_sync(), leader.min_insync_replicas()) {
            return Err(ProduceError::NotEnoughReplicas);
        }
        let appended = self
            .log
            .handle_append(
                now,
                leader.epoch(),
                &request.records,
                AppendRules::CLIENT,
                disk,
            )
            .map_err(ProduceError::Append)?;
        if !appended.duplicate {
            let bytes = u64::try_from(request.records.len()).expect("a usize fits 64 bits");
            self.purgatory
                .handle_append(appended.last_offset + 1, bytes);
        }
        Ok(appended)
    }

    fn wait_for(
        &mut self,
        waiter: u64,
        acks: Acks,
        appended: &Appended,
        events: &mut Vec<PartitionEvent>,
    ) {
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
            let result = self.confirm(acks, produced);
            events.push(PartitionEvent::Produced { waiter, result });
            return;
        }
        queue.push(until, waiter);
        let waiting = Waiting {
            until,
            acks,
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

    /// The log is durable below `durable_end`.
    pub(super) fn take_durable_end(
        &mut self,
        now: Now,
        durable_end: Offset,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        while let Some(waiter) = self.durable_waiters.pop_reached(durable_end) {
            self.answer(waiter, events);
        }
        let moved = self
            .leader
            .as_mut()
            .and_then(|leader| leader.handle_durable_end(durable_end));
        if let Some(high_watermark) = moved {
            self.settle_committed(high_watermark, events);
        }
        self.retry_pending(now, disk, events);
    }

    /// The high watermark moved: confirms what is committed and wakes parked fetches.
    pub(super) fn settle_committed(
        &mut self,
        high_watermark: Offset,
        events: &mut Vec<PartitionEvent>,
    ) {
        self.log.handle_retention_bound(high_watermark);
        while let Some(waiter) = self.committed_waiters.pop_reached(high_watermark) {
            self.answer(waiter, events);
        }
        self.purgatory
            .handle_high_watermark(high_watermark, |woken| {
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
            let result = Err(ProduceError::DiskFull);
            events.push(PartitionEvent::Produced { waiter, result });
        }
        self.retry_pending(now, disk, events);
    }

    /// Refuses every append that waits.
    pub(super) fn refuse_all(&mut self, error: ProduceError, events: &mut Vec<PartitionEvent>) {
        self.durable_waiters = Default::default();
        self.committed_waiters = Default::default();
        let waiting = self.waiting.take_all().into_iter();
        let pending = std::mem::take(&mut self.pending);
        let waiting = waiting.map(|(waiter, _)| waiter);
        let waiters = waiting.chain(pending.into_iter().map(|pending| pending.waiter));
        events.extend(waiters.map(|waiter| PartitionEvent::Produced {
            waiter,
            result: Err(error),
        }));
    }

    fn answer(&mut self, waiter: u64, events: &mut Vec<PartitionEvent>) {
        let waiting = self
            .waiting
            .remove(waiter)
            .expect("a queued waiter has its answer kept");
        let result = self.confirm(waiting.acks, waiting.produced);
        events.push(PartitionEvent::Produced { waiter, result });
    }

    /// Appends what had to wait, as far as the log takes it.
    pub(super) fn retry_pending(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<PartitionEvent>,
    ) {
        let pending = std::mem::take(&mut self.pending);
        for request in pending {
            self.handle_append(now, request, disk, events);
        }
    }
}
