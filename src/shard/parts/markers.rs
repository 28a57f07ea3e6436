// SPDX-License-Identifier: Apache-2.0
//! The ends of transactions in partitions of this shard.
//!
//! Owns: [`TxnMarker`], the way of a marker's end from its partition to whoever asked. Invariants:
//! a marker is answered once it is committed; what it makes of the offsets of groups is done before
//! that. Runs on: the shard that owns the partition. Bounded by: the requests in flight.

use super::asks::{Question, Said};
use super::{Part, SubId};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;
use crate::partition::{MarkerRequest, ProduceError, Produced};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::wire::record::EndMarker;

/// The end of a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnMarker {
    /// Whose transaction it is.
    pub producer_id: i64,
    /// The epoch of the producer.
    pub producer_epoch: i16,
    /// How it ended, and by which coordinator.
    pub marker: EndMarker,
    /// The `transaction.version` under which it ran: from 2 on each transaction has its own epoch,
    /// and its end the next one (KIP-890).
    pub transaction_version: i16,
}

impl TxnMarker {
    /// What its partition is asked for.
    pub(super) fn request(&self, sub: SubId) -> MarkerRequest {
        MarkerRequest {
            waiter: sub.pack(),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            marker: self.marker,
            epoch_rises: self.transaction_version >= 2,
        }
    }
}

impl Shard {
    /// Takes the end of an append, if it is that of a marker; else gives it back.
    pub(in crate::shard) fn take_marker_end(
        &mut self,
        now: Now,
        sub: SubId,
        result: Result<Produced, ProduceError>,
        effects: &mut Effects,
    ) -> Option<Result<Produced, ProduceError>> {
        let Some(Part::Asks(part)) = self.parts.get_mut(sub.part) else {
            return Some(result);
        };
        let Some(ask) = part.asks.get(sub.place).copied() else {
            return Some(result);
        };
        let Question::Marker(marker) = ask.question else {
            return Some(result);
        };
        let said = match &result {
            Ok(_) => {
                self.end_group_transaction(ask.at, &marker);
                Ok(Said::Ended)
            }
            Err(error) => {
                if matches!(error, ProduceError::NotEnoughReplicasAfterAppend) {
                    self.read_groups_again(now, ask.at, effects);
                }
                Err(ErrorCode::from(error))
            }
        };
        self.handle_said(sub, said, effects);
        None
    }
}
