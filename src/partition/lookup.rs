// SPDX-License-Identifier: Apache-2.0
//! Offsets by name or by timestamp.
//!
//! Owns: nothing; the ListOffsets side of [`Partition`]. Invariants: no offset past the high
//! watermark is told, nor one past the last stable offset to a reader of committed transactions.
//! Runs on: the shard that owns the partition. Bounded by: the look-ups under way.

use super::error::FetchError;
use super::event::FoundOffset;
use super::fetch::Isolation;
use super::replica::Partition;
use crate::log::{LookupStart, TimestampedOffset};
use crate::model::disk::DiskQueue;
use crate::model::ids::LeaderEpoch;

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The end of what may be read.
    Latest,
    /// The first offset.
    Earliest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    Timestamp(i64),
    /// An offset that only tiered storage has: none.
    Tiered,
}

/// How a look-up starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryStart {
    /// It is done.
    Done(FoundOffset),
    /// `OffsetFound` follows.
    Started,
}

impl From<TimestampedOffset> for FoundOffset {
    fn from(found: TimestampedOffset) -> FoundOffset {
        FoundOffset {
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch,
        }
    }
}

impl Partition {
    /// Finds an offset for a reader of such transactions that knows `current_leader_epoch` (-1 for
    /// none).
    pub fn handle_offset_query(
        &mut self,
        lookup: u64,
        query: OffsetQuery,
        current_leader_epoch: LeaderEpoch,
        isolation: Isolation,
        disk: &mut DiskQueue,
    ) -> Result<QueryStart, FetchError> {
        let leader = self.check_leader_epoch(current_leader_epoch)?;
        let high_watermark = leader.high_watermark();
        let end = match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => self.log.last_stable_offset(high_watermark),
        };
        let is_behind = high_watermark < leader.epoch_start();
        let start = match query {
            OffsetQuery::Earliest => {
                return Ok(QueryStart::Done(FoundOffset {
                    offset: self.log.log_start_offset(),
                    timestamp: -1,
                    leader_epoch: self.log.epoch_of_start().unwrap_or(leader.epoch()),
                }));
            }
            OffsetQuery::Tiered => return Ok(QueryStart::Done(FoundOffset::NONE)),
            // A new leader does not know yet how far its followers are (KIP-207).
            _ if is_behind => return Err(FetchError::OffsetNotAvailable),
            OffsetQuery::Latest => {
                return Ok(QueryStart::Done(FoundOffset {
                    offset: end,
                    timestamp: -1,
                    leader_epoch: leader.epoch(),
                }));
            }
            OffsetQuery::MaxTimestamp => self.log.handle_max_timestamp(lookup, end, disk)?,
            OffsetQuery::Timestamp(timestamp) => self
                .log
                .handle_offset_for_timestamp(lookup, timestamp, end, disk)?,
        };
        Ok(match start {
            LookupStart::Found(found) => {
                QueryStart::Done(found.map_or(FoundOffset::NONE, FoundOffset::from))
            }
            LookupStart::Started => QueryStart::Started,
        })
    }
}
