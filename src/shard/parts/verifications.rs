// SPDX-License-Identifier: Apache-2.0
//! Batches that wait until the coordinator of their transaction has said that it knows of their
//! partition (KIP-890).
//!
//! A batch that goes on with a transaction that is open in its partition needs no such word. The
//! first one does: without it, a batch that comes late, when its transaction has ended everywhere,
//! would open one that nobody ends.
//!
//! Owns: [`Verifications`]. Invariants: what one producer sends to one partition leaves in the
//! order in which it came; a word that a marker has overtaken counts for nothing, since the batch
//! may be of the transaction that has ended. Runs on: the shard that owns the partitions. Bounded
//! by: the requests in flight of all shards.

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use super::SubId;
use super::markers::TxnMarker;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::number_map::NumberMap;
use crate::replication::min_insync::Acks;
use crate::shard::groups::GroupAsk;
use crate::txn::Producer;

/// In which transaction something wants to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The transactional id.
    pub transactional_id: ByteString,
    /// Who.
    pub producer: Producer,
    /// True if the partition is to be added, false if it has to have been.
    pub adds: bool,
}

/// What waits.
#[derive(Debug)]
pub enum Held {
    /// An append of a client.
    Append {
        /// Which.
        sub: SubId,
        /// What the producer waits for.
        acks: Acks,
    },
    /// A commit of offsets; the partition is that of its group.
    Group {
        /// Who asks.
        asker: ShardId,
        /// The request.
        request: u64,
        /// The commit.
        ask: Box<GroupAsk>,
    },
}

/// What one producer has sent to one partition.
#[derive(Debug)]
struct Queue {
    /// The question under way.
    guard: u64,
    held: VecDeque<(Claim, Held)>,
}

/// A question to be put to a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// For which transaction.
    pub claim: Claim,
    /// About which partition.
    pub at: TopicPartition,
    /// Comes back with the answer.
    pub guard: u64,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub struct Verifications {
    queues: BTreeMap<(TopicPartition, i64), Queue>,
    /// Questions under way, by the number of their message.
    rounds: NumberMap<Vec<Question>>,
    guards: u64,
}

impl Verifications {
    /// True if nothing of this producer waits here.
    #[must_use]
    pub fn lets_pass(&self, at: TopicPartition, producer_id: i64) -> bool {
        self.queues.is_empty() || !self.queues.contains_key(&(at, producer_id))
    }

    /// Lets something wait. A question to be put, unless it waits behind another one.
    pub fn hold(&mut self, at: TopicPartition, claim: Claim, held: Held) -> Option<Question> {
        let place = (at, claim.producer.id);
        if let Some(queue) = self.queues.get_mut(&place) {
            queue.held.push_back((claim, held));
            return None;
        }
        self.begin(place, VecDeque::from([(claim, held)]))
    }

    /// Asks for the first of what waits.
    fn begin(
        &mut self,
        place: (TopicPartition, i64),
        held: VecDeque<(Claim, Held)>,
    ) -> Option<Question> {
        let claim = held.front()?.0.clone();
        self.guards += 1;
        let guard = self.guards;
        self.queues.insert(place, Queue { guard, held });
        let at = place.0;
        Some(Question { claim, at, guard })
    }

    /// These questions are asked in one message.
    pub fn note_round(&mut self, number: u64, questions: Vec<Question>) {
        self.rounds.insert(number, questions);
    }

    /// The questions of a message that was answered.
    pub fn take_round(&mut self, number: u64) -> Option<Vec<Question>> {
        self.rounds.remove(number)
    }

    /// A question was answered: what waited for it, and the next question. Nothing if a marker, or
    /// the end of the partition, has overtaken it.
    pub fn take(&mut self, question: &Question) -> (Vec<Held>, Option<Question>) {
        let place = (question.at, question.claim.producer.id);
        let queue = self.queues.get(&place);
        if queue.is_none_or(|queue| queue.guard != question.guard) {
            return (Vec::new(), None);
        }
        let mut rest = self.queues.remove(&place).map(|queue| queue.held);
        let (mut ended, mut held) = (Vec::new(), rest.take().unwrap_or_default());
        while held
            .front()
            .is_some_and(|(claim, _)| *claim == question.claim)
        {
            ended.extend(held.pop_front().map(|(_, one)| one));
        }
        let next = self.begin(place, held);
        (ended, next)
    }

    /// A transaction ends in a partition: what may be part of it, and waits, is too late.
    pub fn take_late(
        &mut self,
        at: TopicPartition,
        marker: &TxnMarker,
    ) -> (Vec<Held>, Option<Question>) {
        let place = (at, marker.producer_id);
        if self.lets_pass(at, marker.producer_id) {
            return (Vec::new(), None);
        }
        // From version 2 on the marker has the epoch of the next transaction (KIP-890).
        let last_epoch = match marker.transaction_version {
            2.. => marker.producer_epoch.saturating_sub(1),
            _ => marker.producer_epoch,
        };
        let is_late = |claim: &Claim| claim.producer.epoch <= last_epoch;
        let Some(queue) = self.queues.get_mut(&place) else {
            return (Vec::new(), None);
        };
        let asks_for_late = queue.held.front().is_some_and(|(claim, _)| is_late(claim));
        let (late, held): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut queue.held)
            .into_iter()
            .partition(|(claim, _)| is_late(claim));
        let late = late.into_iter().map(|(_, one)| one).collect();
        if !asks_for_late {
            queue.held = held;
            return (late, None);
        }
        self.queues.remove(&place);
        let next = self.begin(place, held);
        (late, next)
    }

    /// A partition ends, or all do: what waits there.
    pub fn take_all(&mut self, at: Option<TopicPartition>) -> Vec<(TopicPartition, Held)> {
        let is_wanted = |place: &(TopicPartition, i64)| at.is_none_or(|at| place.0 == at);
        let places: Vec<(TopicPartition, i64)> = self
            .queues
            .keys()
            .filter(|place| is_wanted(place))
            .copied()
            .collect();
        let mut all = Vec::new();
        for place in places {
            let queue = self.queues.remove(&place);
            let held = queue.into_iter().flat_map(|queue| queue.held);
            all.extend(held.map(|(_, one)| (place.0, one)));
        }
        all
    }

    /// An append waits no longer. True if it was here.
    pub fn give_up(&mut self, at: TopicPartition, producer_id: i64, sub: SubId) -> bool {
        let Some(queue) = self.queues.get_mut(&(at, producer_id)) else {
            return false;
        };
        let before = queue.held.len();
        let is_it = |held: &Held| matches!(held, Held::Append { sub: one, .. } if *one == sub);
        queue.held.retain(|(_, held)| !is_it(held));
        before > queue.held.len()
    }

    /// How many queues there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// True if nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

#[cfg(test)]
mod tests;
