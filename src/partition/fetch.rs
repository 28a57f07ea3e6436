// SPDX-License-Identifier: Apache-2.0
//! Reads by consumers.
//!
//! Owns: nothing; the fetch side of [`Partition`]. Invariants: a read is bounded by the high
//! watermark; a reader whose leader epoch is not ours is refused; a reader whose log diverged is
//! told where (KIP-320, KIP-595).
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
    /// Reads whole batches from `at.offset` to the high watermark, at most `max_bytes`, though at
    /// least one batch with `minimum_one_batch`.
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
        if at.offset < self.log.log_start_offset() {
            return Err(FetchError::OffsetOutOfRange);
        }
        if let Some(diverging) = self.divergence(at)? {
            let mut fetched = self.fetched(Bytes::new())?;
            fetched.diverging = Some(diverging);
            return Ok(FetchStart::Done(fetched));
        }
        if at.offset > self.log.log_end_offset() {
            return Err(FetchError::OffsetOutOfRange);
        }
        if at.offset >= high_watermark || (max_bytes == 0 && !minimum_one_batch) {
            return self.fetched(Bytes::new()).map(FetchStart::Done);
        }
        let start = self.log.handle_read(
            read,
            at.offset,
            max_bytes,
            high_watermark,
            minimum_one_batch,
            disk,
        )?;
        match start {
            ReadStart::Empty => self.fetched(Bytes::new()).map(FetchStart::Done),
            ReadStart::Ready(records) => self.fetched(records).map(FetchStart::Done),
            ReadStart::Started => Ok(FetchStart::Started),
        }
    }

    /// True if a read at this offset would find records.
    #[must_use]
    pub fn has_records_at(&self, offset: Offset) -> bool {
        let high_watermark = self.high_watermark().unwrap_or(0);
        (self.log.log_start_offset()..high_watermark).contains(&offset)
    }

    /// True if a read at this offset needs no disk.
    #[must_use]
    pub fn is_in_memory(&self, offset: Offset) -> bool {
        !self.has_records_at(offset) || self.log.is_in_memory(offset)
    }

    /// Parks a fetch that could take `room_bytes` from this partition. False if it cannot be
    /// parked.
    #[must_use]
    pub fn handle_park(&mut self, fetch: u64, room_bytes: u64) -> bool {
        self.leader.is_some() && self.purgatory.park(fetch, room_bytes)
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
