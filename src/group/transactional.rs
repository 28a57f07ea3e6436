// SPDX-License-Identifier: Apache-2.0
//! Offsets that are committed as a part of a transaction (KIP-98, KIP-447).
//!
//! Owns: the transactional side of [`Group`] and [`Coordinator`]. Invariants: an offset counts once
//! the marker that commits its transaction is in the log, and never if the transaction is aborted;
//! a member that was rebalanced out proposes nothing. Runs on: the shard that coordinates.
//! Bounded by: the request, `PARTITIONS_MAX` for each open transaction.

use bytestring::ByteString;

use super::classic::Group;
use super::commit::judge;
use super::coordinator::{Coordinator, drop_blank};
use super::member::own;
use super::offsets::Committed;
use super::request::{Caller, GroupAnswer, GroupEffects, TransactionalCommit, TxnProducer};
use super::state::State;
use super::turn::Turn;
use super::write::{Record, TooLarge, Write};
use crate::limits::{GROUP_ID_BYTES_MAX, GROUPS_PER_COORDINATOR_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;
use crate::wire::protocol::offset_commit::OffsetCommitRequest;

/// First version of a commit with the codes of the new protocol (KIP-848).
const EPOCHS_FROM: i16 = 9;

impl Coordinator {
    /// Notes offsets that count if the transaction of the producer is committed.
    pub(super) fn commit_in_transaction(
        &mut self,
        now: Now,
        caller: Caller,
        commit: &TransactionalCommit,
        effects: &mut GroupEffects,
    ) {
        let (request, producer) = (&commit.request, commit.producer);
        let id = &request.group_id;
        let (groups, mut turn) = self.split(now, effects);
        let refusal = if id.len() > GROUP_ID_BYTES_MAX {
            Some(ErrorCode::InvalidGroupId)
        } else if groups.contains_key(id) {
            None
        } else if request.generation_id_or_member_epoch >= 0 {
            Some(ErrorCode::IllegalGeneration)
        } else if groups.len() >= GROUPS_PER_COORDINATOR_MAX {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        };
        if let Some(code) = refusal {
            return turn.refuse_commit(caller, request, code);
        }
        let group = groups
            .entry(own(id))
            .or_insert_with_key(|id| Group::new(id.clone(), now));
        let group_id = group.id.clone();
        group.handle_commit_in_transaction(caller, request, producer, &mut turn);
        drop_blank(groups, id);
        let of_producer = self.transactions.entry(producer.id).or_default();
        of_producer.insert(group_id);
    }

    /// The marker that ends the transaction of a producer here is committed. Nothing is known of
    /// those that a log still to be read tells of.
    pub fn handle_transaction_end(&mut self, producer_id: i64, is_commit: bool) {
        let ids = self.transactions.remove(&producer_id);
        for id in ids.into_iter().flatten() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.end_transaction(producer_id, is_commit);
                drop_blank(&mut self.groups, &id);
            }
        }
    }

    /// How many producers may have offsets in open transactions.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }
}

impl Group {
    fn handle_commit_in_transaction(
        &mut self,
        caller: Caller,
        request: &OffsetCommitRequest,
        producer: TxnProducer,
        turn: &mut Turn<'_>,
    ) {
        if let Err(code) = self.check_commit_in_transaction(request) {
            return turn.refuse_commit(caller, request, code);
        }
        let (codes, offsets) = judge(request, turn);
        if offsets.is_empty() {
            turn.answer(caller, GroupAnswer::Committed(codes));
            return;
        }
        let records = self.offset_records(&offsets);
        for (topic, partition, _) in &offsets {
            self.offsets.note_proposing(topic, *partition);
        }
        let write = Write::Propose {
            caller,
            codes,
            group: self.id.clone(),
            producer,
            offsets,
        };
        turn.append_for(producer, &records, write);
    }

    /// Who may propose. Unlike a plain commit it may come while a generation begins, and without a
    /// member: clients before KIP-447 did not name one.
    fn check_commit_in_transaction(&self, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let generation = request.generation_id_or_member_epoch;
        let instance = request.group_instance_id.as_ref();
        let names_itself = generation >= 0 || !request.member_id.is_empty() || instance.is_some();
        if let Some(group) = self.consumer.as_ref().filter(|_| names_itself) {
            // The codes of the new protocol are not known to producers, as in Kafka.
            let checked = group.check_commit(request, EPOCHS_FROM);
            return checked.map_err(|code| match code {
                ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
                code => code,
            });
        }
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if names_itself {
            self.check_member(&request.member_id, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        }
        Ok(())
    }

    /// The log has taken what a transaction proposes, or has not.
    pub(super) fn finish_proposal(
        &mut self,
        producer: TxnProducer,
        offsets: Vec<(ByteString, i32, Committed)>,
        ok: bool,
    ) {
        for (topic, partition, committed) in offsets {
            let proposed = ok.then_some(committed);
            self.offsets
                .end_proposing(producer.id, topic, partition, proposed);
        }
    }
}

impl Turn<'_> {
    /// Refuses every offset of a request.
    fn refuse_commit(&mut self, caller: Caller, request: &OffsetCommitRequest, code: ErrorCode) {
        let count = request.topics.iter().map(|topic| topic.partitions.len());
        let codes = vec![code; count.sum()];
        self.answer(caller, GroupAnswer::Committed(codes));
    }

    /// Gives records to the log as a part of a transaction.
    fn append_for(&mut self, producer: TxnProducer, records: &[Record], write: Write) {
        match self.writes.batch_of(producer, self.now.wall_ms, records) {
            Ok(batch) => {
                let number = self.writes.push(write);
                self.effects.appends.push((number, batch));
            }
            Err(TooLarge) => self.writes.fail(write),
        }
    }
}
