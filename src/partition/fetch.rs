// SPDX-License-Identifier: Apache-2.0
//! Reads by consumers.
//!
//! Owns: nothing; the fetch side of [`Partition`]. Invariants: a read is bounded by the high
//! watermark, one of committed transactions by the last stable offset; a reader whose leader epoch
//! is not ours is refused; a reader whose log diverged is told where (KIP-320, KIP-595).
//! Runs on: the shard that owns the partition. Bounded by: the reads under way.

use bytes::Bytes;

use super::error::FetchError;
use super::event::Fetched;
use super::replica::Partition;
use crate::log::ReadStart;
use crate::model::disk::DiskQueue;
use crate::model::ids::{LeaderEpoch, Offset};

/// What is read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchAt {
    /// From here on.
    pub offset: Offset,
    /// Leader epoch that the reader knows, -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// Leader epoch of the last record that the reader has, -1 for none.
    pub last_fetched_epoch: LeaderEpoch,
    /// What of transactions the reader sees.
    pub isolation: Isolation,
}

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything, whatever becomes of it.
    #[default]
    ReadUncommitted,
    /// Decided transactions, and which of them were aborted.
    ReadCommitted,
}

impl Isolation {
    /// From the number on the wire; what has no meaning is read as uncommitted, as in Kafka.
    #[must_use]
    pub fn from_wire(level: i8) -> Isolation {
        match level {
            1 => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        }
    }
}

/// A read of committed transactions under way: from where, and up to where they are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StableRead {
    pub(super) offset: Offset,
    pub(super) last_stable_offset: Offset,
}

/// How a read starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchStart {
    /// It is done.
    Done(Fetched),
    /// `Fetched` follows.
    Started,
}

impl Partition {
    /// Reads whole batches from `at.offset` to the end of what the reader may see, at most
    /// `max_bytes`, though at least one batch with `minimum_one_batch`.
    pub fn handle_fetch(
        &mut self,
        read: u64,
        at: FetchAt,
        max_bytes: usize,
        minimum_one_batch: bool,
        disk: &mut DiskQueue,
    ) -> Result<FetchStart, FetchError> {
        let high_watermark = self
            .check_leader_epoch(at.current_leader_epoch)?
            .high_watermark();
        let last_stable_offset = self.log.last_stable_offset(high_watermark);
        let (bound, stable) = match at.isolation {
            Isolation::ReadUncommitted => (high_watermark, None),
            Isolation::ReadCommitted => {
                let stable = StableRead {
                    offset: at.offset,
                    last_stable_offset,
                };
                (last_stable_offset, Some(stable))
            }
        };
        if at.offset < self.log.log_start_offset() {
            return Err(FetchError::OffsetOutOfRange);
        }
        if let Some(diverging) = self.divergence(at)? {
            let mut fetched = self.fetched(Bytes::new(), stable)?;
            fetched.diverging = Some(diverging);
            return Ok(FetchStart::Done(fetched));
        }
        if at.offset > self.log.log_end_offset() {
            return Err(FetchError::OffsetOutOfRange);
        }
        if at.offset >= bound || (max_bytes == 0 && !minimum_one_batch) {
            return self.fetched(Bytes::new(), stable).map(FetchStart::Done);
        }
        let start =
            self.log
                .handle_read(read, at.offset, max_bytes, bound, minimum_one_batch, disk)?;
        match start {
            ReadStart::Empty => self.fetched(Bytes::new(), stable).map(FetchStart::Done),
            ReadStart::Ready(records) => self.fetched(records, stable).map(FetchStart::Done),
            ReadStart::Started => {
                if let Some(stable) = stable {
                    self.stable_reads.insert(read, stable);
                }
                Ok(FetchStart::Started)
            }
        }
    }

    /// The end of what such a reader sees.
    fn end_for(&self, isolation: Isolation) -> Offset {
        let high_watermark = self.high_watermark().unwrap_or(0);
        match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => self.log.last_stable_offset(high_watermark),
        }
    }

    /// True if such a reader would find records at this offset.
    #[must_use]
    pub fn has_records_at(&self, offset: Offset, isolation: Isolation) -> bool {
        (self.log.log_start_offset()..self.end_for(isolation)).contains(&offset)
    }

    /// True if a read at this offset needs no disk.
    #[must_use]
    pub fn is_in_memory(&self, offset: Offset, isolation: Isolation) -> bool {
        !self.has_records_at(offset, isolation) || self.log.is_in_memory(offset)
    }

    /// Parks a fetch that could take `room_bytes` from this partition. False if it cannot be
    /// parked.
    #[must_use]
    pub fn handle_park(&mut self, fetch: u64, room_bytes: u64, isolation: Isolation) -> bool {
        let is_stable = isolation == Isolation::ReadCommitted;
        self.leader.is_some() && self.purgatory.park(fetch, room_bytes, is_stable)
    }

    /// Forgets a parked fetch.
    pub fn handle_unpark(&mut self, fetch: u64) {
        self.purgatory.remove(fetch);
    }

    fn divergence(&self, at: FetchAt) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        if at.last_fetched_epoch < 0 {
            return Ok(None);
        }
        let (epoch, end) = self.end_of_epoch(at.current_leader_epoch, at.last_fetched_epoch)?;
        if epoch < 0 || end < 0 {
            return Err(FetchError::OffsetOutOfRange);
        }
        let diverges = epoch < at.last_fetched_epoch || end < at.offset;
        Ok(diverges.then_some((epoch, end)))
    }
}
