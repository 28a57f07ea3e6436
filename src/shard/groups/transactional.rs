// SPDX-License-Identifier: Apache-2.0
//! Commits of offsets in transactions: their coordinators are asked first, and markers in the
//! partitions of groups make them count.
//!
//! Owns: nothing; the transactional side of the coordinators of groups. Invariants: a commit
//! reaches its group once the coordinator of the transaction knows of the group's partition, unless
//! a marker has overtaken it; an offset counts before whoever asked for the marker is answered.
//! Runs on: its shard. Bounded by: the requests in flight.

use super::GroupAsk;
use crate::group::{Coordinator, GroupCall, OFFSETS_TOPIC};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::time::Now;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::parts::markers::TxnMarker;
use crate::shard::parts::verifications::{Claim, Held};
use crate::txn::Producer;

impl Shard {
    /// Lets a commit in a transaction wait for the transaction's coordinator; gives anything else
    /// back.
    pub(super) fn hold_group_ask(
        &mut self,
        asker: ShardId,
        request: u64,
        ask: GroupAsk,
        effects: &mut Effects,
    ) -> Option<GroupAsk> {
        let GroupCall::CommitInTransaction(commit) = &ask.call else {
            return Some(ask);
        };
        let seat = self.groups.seats.seats.get(&ask.partition);
        let Some(seat) = seat.filter(|seat| !seat.coordinator.is_loading()) else {
            return Some(ask);
        };
        let at = seat.at;
        let claim = Claim {
            transactional_id: commit.transactional_id.clone(),
            producer: Producer {
                id: commit.producer.id,
                epoch: commit.producer.epoch,
            },
            adds: commit.adds,
        };
        let held = Held::Group {
            asker,
            request,
            ask: Box::new(ask),
        };
        let question = self.verifications.hold(at, claim, held);
        self.ask_for_transactions(question.into_iter().collect(), effects);
        None
    }

    /// The coordinator of its transaction has said that a commit may be made.
    pub(in crate::shard) fn handle_group_ask(
        &mut self,
        now: Now,
        asker: ShardId,
        request: u64,
        ask: GroupAsk,
        effects: &mut Effects,
    ) {
        self.take_seat_ask::<Coordinator>(now, (asker, request), ask, effects);
        self.send_seat_answers::<Coordinator>(effects);
    }

    /// Answers a call with a code.
    pub(in crate::shard) fn refuse_group_ask(
        &mut self,
        asker: ShardId,
        request: u64,
        ask: &GroupAsk,
        code: ErrorCode,
        effects: &mut Effects,
    ) {
        self.refuse_seat_ask::<Coordinator>((asker, request), ask, code, effects);
    }

    /// A marker is committed in a partition: if it keeps groups, their offsets count, or not.
    pub(in crate::shard) fn end_group_transaction(
        &mut self,
        at: TopicPartition,
        marker: &TxnMarker,
    ) {
        let mut seats = self.groups.seats.seats.values_mut();
        if let Some(seat) = seats.find(|seat| seat.at == at) {
            let is_commit = marker.marker.is_commit;
            seat.coordinator
                .handle_transaction_end(marker.producer_id, is_commit);
        }
    }

    /// A marker may be in the log, or may not: only the log knows what has become of the offsets.
    pub(in crate::shard) fn read_groups_again(
        &mut self,
        now: Now,
        at: TopicPartition,
        effects: &mut Effects,
    ) {
        let topic = self.image.topics.get(OFFSETS_TOPIC);
        if topic.is_some_and(|topic| topic.id == at.topic_id) {
            self.unload_seat::<Coordinator>(now, at.partition, effects);
            self.settle_seats::<Coordinator>(now, effects);
        }
    }
}
