// SPDX-License-Identifier: Apache-2.0
//! Questions to partitions of this shard that are asked seldom: one kind of part for all of them.
//!
//! Owns: the parts of such requests, [`Question`] and [`Said`]. Invariants: a part is answered when
//! every one of its questions has been. Runs on: the shard that owns the partitions.
//! Bounded by: the requests in flight.

use super::markers::TxnMarker;
use super::{Part, SubId};
use crate::model::disk::DiskQueue;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{LeaderEpoch, Offset, ShardId, TopicPartition};
use crate::model::time::Now;
use crate::partition::{DeleteRecordsError, Partition, PartitionEvent, ProducerFact};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;

/// A question to one partition.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Comes back with what was said.
    pub place: usize,
    /// Whom.
    pub at: TopicPartition,
    /// What.
    pub question: Question,
}

/// What may be asked.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// Where a leader epoch ends.
    EndOfEpoch {
        /// The leader epoch that the client knows, -1 for none.
        current_leader_epoch: LeaderEpoch,
        /// The one whose end is wanted.
        epoch: LeaderEpoch,
    },
    /// Who produces.
    Producers,
    /// How large it is.
    Size,
    /// That the records below this offset go.
    DeleteRecords(Offset),
    /// That a transaction ends there.
    Marker(TxnMarker),
}

/// What a partition says.
#[derive(Clone, Debug)]
pub enum Said {
    /// To `EndOfEpoch`: an epoch, and where it ends.
    EndOfEpoch(LeaderEpoch, Offset),
    /// To `Producers`.
    Producers(Vec<ProducerFact>),
    /// To `Size`: bytes.
    Size(u64),
    /// To `DeleteRecords`: the first offset that is left.
    LowWatermark(Offset),
    /// To `Marker`: it is committed.
    Ended,
}

/// How one question ended.
#[derive(Clone, Debug)]
pub struct AskResult {
    /// Of the question.
    pub place: usize,
    /// The outcome.
    pub result: Result<Said, ErrorCode>,
}

/// Questions under way for one request.
#[derive(Debug)]
pub struct AsksPart {
    asker: ShardId,
    request: u64,
    pub(super) asks: Vec<Ask>,
    results: Vec<AskResult>,
}

/// What the partition says at once; nothing if it says it later.
fn put(
    now: Now,
    partition: &mut Partition,
    sub: SubId,
    question: Question,
    disk: &mut DiskQueue,
    events: &mut Vec<PartitionEvent>,
) -> Result<Option<Said>, DeleteRecordsError> {
    match question {
        Question::EndOfEpoch {
            current_leader_epoch,
            epoch,
        } => {
            let (epoch, end) = partition.end_of_epoch(current_leader_epoch, epoch)?;
            Ok(Some(Said::EndOfEpoch(epoch, end)))
        }
        Question::Producers => Ok(Some(Said::Producers(partition.producers()?))),
        Question::Size => Ok(Some(Said::Size(partition.size_bytes()))),
        Question::DeleteRecords(offset) => {
            let started = partition.handle_delete_records(sub.pack(), offset, disk)?;
            Ok(started.map(Said::LowWatermark))
        }
        Question::Marker(marker) => {
            partition.handle_marker(now, marker.request(sub), disk, events);
            Ok(None)
        }
    }
}

impl Shard {
    /// Asks for a request of `asker`.
    pub(in crate::shard) fn handle_asks(
        &mut self,
        now: Now,
        asker: ShardId,
        request: u64,
        asks: Vec<Ask>,
        effects: &mut Effects,
    ) {
        let number = self.parts.next_number();
        let part = AsksPart {
            asker,
            request,
            results: Vec::with_capacity(asks.len()),
            asks: asks.clone(),
        };
        self.parts.insert(number, Part::Asks(part));
        for (place, ask) in asks.into_iter().enumerate() {
            let sub = SubId {
                part: number,
                place,
            };
            if let Question::Marker(marker) = ask.question {
                self.refuse_late(ask.at, &marker, effects);
            }
            let said = self.on_partition(ask.at, &mut effects.disk, |partition, disk, events| {
                put(now, partition, sub, ask.question, disk, events)
            });
            match said {
                Some(Ok(None)) => {}
                Some(Ok(Some(said))) => self.handle_said(sub, Ok(said), effects),
                Some(Err(error)) => self.handle_said(sub, Err(error.into()), effects),
                None => self.handle_said(sub, Err(ErrorCode::NotLeaderOrFollower), effects),
            }
        }
    }

    /// A partition has answered.
    pub(in crate::shard) fn handle_said(
        &mut self,
        sub: SubId,
        result: Result<Said, ErrorCode>,
        effects: &mut Effects,
    ) {
        let Some(Part::Asks(part)) = self.parts.get_mut(sub.part) else {
            return;
        };
        let place = part.asks[sub.place].place;
        part.results.push(AskResult { place, result });
        if part.results.len() < part.asks.len() {
            return;
        }
        if let Some(Part::Asks(part)) = self.parts.remove(sub.part) {
            let answer = MeshMessage::Said {
                request: part.request,
                results: part.results,
            };
            self.send(part.asker, answer, effects);
        }
    }
}
