// SPDX-License-Identifier: Apache-2.0
//! What administrators and careful clients ask of one partition: where leader epochs end, who
//! produces, how large it is, and that its oldest records go.
//!
//! Owns: the answers. Invariants: nothing at or above the high watermark is deleted; only a leader
//! answers, except about the size.
//! Runs on: the shard that owns the partition. Bounded by: `PRODUCERS_PER_PARTITION_MAX`.

use super::error::{DeleteRecordsError, FetchError};
use super::replica::Partition;
use crate::model::disk::DiskQueue;
use crate::model::ids::{LeaderEpoch, Offset};

/// One producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFact {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Largest timestamp of its last batch.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, -1 for none.
    pub open_since: Offset,
}

impl Partition {
    /// The largest leader epoch at or below `epoch`, and the offset where it ends; (-1, -1) where
    /// that is not known. The client knows `current_leader_epoch` (-1 for none).
    pub fn end_of_epoch(
        &self,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), FetchError> {
        let leader_epoch = self.check_leader_epoch(current_leader_epoch)?.epoch();
        let log_end = self.log.log_end_offset();
        let latest = self.log.latest_epoch().unwrap_or(-1);
        // The log learns of an epoch with its first record; Kafka notes it with the election.
        let is_recorded = latest == leader_epoch;
        if is_recorded || epoch < 0 || epoch < latest {
            return Ok(self.log.end_offset_for_epoch(epoch));
        }
        Ok(match epoch {
            _ if epoch > leader_epoch => (-1, -1),
            _ if epoch == leader_epoch || latest < 0 => (epoch, log_end),
            _ => (latest, log_end),
        })
    }

    /// The producers that it remembers, by rising id.
    pub fn producers(&self) -> Result<Vec<ProducerFact>, FetchError> {
        self.check_leader_epoch(-1)?;
        let facts = self.log.producers().map(|known| ProducerFact {
            id: known.id,
            epoch: known.producer_epoch,
            last_sequence: known.last_sequence,
            last_timestamp: known.timestamp,
            coordinator_epoch: known.coordinator_epoch,
            open_since: known.open_since,
        });
        Ok(facts.collect())
    }

    /// How many producers it remembers.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.log.producer_count()
    }

    /// Bytes of its segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// Deletes the records below `offset`, or below the high watermark if it is -1. Gives the low
    /// watermark if nothing is to do; otherwise `RecordsDeleted` follows.
    pub fn handle_delete_records(
        &mut self,
        waiter: u64,
        offset: Offset,
        disk: &mut DiskQueue,
    ) -> Result<Option<Offset>, DeleteRecordsError> {
        let leader = self.check_leader_epoch(-1)?;
        let high_watermark = leader.high_watermark();
        if !self.spec.config.cleanup_policy.delete {
            return Err(DeleteRecordsError::Policy);
        }
        let offset = if offset == -1 { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&offset) {
            return Err(FetchError::OffsetOutOfRange.into());
        }
        let started = self.log.handle_delete_records(waiter, offset, disk);
        started.map_err(|error| FetchError::from(error).into())
    }
}
