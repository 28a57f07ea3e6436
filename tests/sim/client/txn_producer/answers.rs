// SPDX-License-Identifier: Apache-2.0
//! What a transactional producer makes of the answers that it gets.
//!
//! Invariants: what is told is noted before it is acted on; a code that a right client never gets
//! is a violation.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use furlong::wire::protocol::add_partitions_to_txn::AddPartitionsToTxnRequest;
use furlong::wire::protocol::end_txn::EndTxnRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::produce::ProduceRequest;
use furlong::wire::protocol::txn_offset_commit::TxnOffsetCommitRequest;

use super::super::Context;
use super::super::link::decode;
use super::{Tag, TxnProducer};
use crate::history::groups::Outcome;

impl TxnProducer {
    pub(super) fn answered(
        &mut self,
        context: &mut Context<'_>,
        tag: Tag,
        version: i16,
        frame: Bytes,
    ) {
        let code = match tag {
            Tag::Find | Tag::FindGroup => {
                let body = decode::<FindCoordinatorRequest>(context, version, frame);
                body.and_then(|body| body.coordinators.first().map(|one| one.error_code))
            }
            Tag::Init => self.take_init(context, version, frame),
            Tag::AddPartitions => {
                let body = decode::<AddPartitionsToTxnRequest>(context, version, frame);
                body.map(|body| {
                    let topics = body.results_by_topic_v3_and_below.iter();
                    let all = topics.flat_map(|topic| &topic.results_by_partition);
                    let mut bad = all.map(|one| one.partition_error_code);
                    bad.find(|code| *code != 0).unwrap_or(0)
                })
            }
            Tag::Produce => self.take_produced(context, version, frame),
            Tag::AddOffsets => decode::<AddOffsetsToTxnRequest>(context, version, frame)
                .map(|body| body.error_code),
            Tag::Offsets => {
                decode::<TxnOffsetCommitRequest>(context, version, frame).and_then(|body| {
                    body.topics
                        .first()?
                        .partitions
                        .first()
                        .map(|one| one.error_code)
                })
            }
            Tag::End => self.take_end(context, version, frame),
            Tag::Copy => {
                let _ = decode::<EndTxnRequest>(context, version, frame);
                return;
            }
        };
        match code {
            Some(0) => self.step(tag),
            Some(code) => self.heed(context, tag, code),
            None => {}
        }
    }

    /// A step was done.
    fn step(&mut self, tag: Tag) {
        self.is_found |= matches!(tag, Tag::Find);
        self.group_is_found |= matches!(tag, Tag::FindGroup);
        let Some(current) = &mut self.current else {
            return;
        };
        match tag {
            Tag::AddPartitions => current.is_added = true,
            Tag::Produce => {
                current.left.pop();
            }
            Tag::AddOffsets => current.group_is_added = true,
            Tag::Offsets => current.offsets_are_sent = true,
            Tag::Find | Tag::FindGroup | Tag::Init | Tag::End | Tag::Copy => {}
        }
    }

    fn heed(&mut self, context: &mut Context<'_>, tag: Tag, code: i16) {
        self.has_failed = true;
        match ErrorCode::from_code(code) {
            Some(
                ErrorCode::ConcurrentTransactions
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::KafkaStorageError
                | ErrorCode::RequestTimedOut
                | ErrorCode::NotEnoughReplicas,
            ) => {}
            Some(
                ErrorCode::InvalidProducerEpoch
                | ErrorCode::ProducerFenced
                | ErrorCode::InvalidTxnState
                | ErrorCode::InvalidProducerIdMapping
                | ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::UnknownProducerId
                | ErrorCode::TransactionAbortable,
            ) => {
                let until_us = self
                    .current
                    .as_ref()
                    .map(|it| it.begun_us + self.timeout_us());
                let is_overdue = until_us.is_some_and(|until| until < context.now_us);
                context.stats.txn_overdue += u64::from(is_overdue);
                context.stats.txn_fenced += u64::from(!is_overdue);
                self.forget();
            }
            _ => {
                let what = match tag {
                    Tag::Find | Tag::FindGroup => "FindCoordinator",
                    Tag::Init => "InitProducerId",
                    Tag::AddPartitions => "AddPartitionsToTxn",
                    Tag::Produce => "Produce",
                    Tag::AddOffsets => "AddOffsetsToTxn",
                    Tag::Offsets => "TxnOffsetCommit",
                    Tag::End | Tag::Copy => "EndTxn",
                };
                context.violation(&format!("{what} of a transaction got error {code}"));
                self.forget();
            }
        }
    }

    fn take_init(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes) -> Option<i16> {
        let body = decode::<InitProducerIdRequest>(context, version, frame)?;
        if body.error_code == 0 {
            self.producer = Some((body.producer_id, body.producer_epoch));
            self.sequences.clear();
            if let Some(change) = self.open_change.take() {
                // What was under way has ended, one way or the other.
                context.history.end_change(change, Outcome::Over);
            }
        }
        Some(body.error_code)
    }

    fn take_produced(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
    ) -> Option<i16> {
        let body = decode::<ProduceRequest>(context, version, frame)?;
        let answer = body.responses.first()?.partition_responses.first()?;
        let (code, offset) = (answer.error_code, answer.base_offset);
        if let Some(current) = self.current.as_ref().filter(|_| code == 0) {
            let (_, batch, _) = current.left.last()?;
            context.history.transactions[current.number].batches[*batch].offset = Some(offset);
        }
        Some(code)
    }

    fn take_end(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes) -> Option<i16> {
        let body = decode::<EndTxnRequest>(context, version, frame)?;
        if body.error_code != 0 {
            return Some(body.error_code);
        }
        let current = self.current.take()?;
        if current.commits {
            context.stats.txns_committed += 1;
            context.history.end_commit(current.number);
        } else {
            context.stats.txns_aborted += 1;
        }
        if let Some(change) = current.change {
            context.history.end_change(change, Outcome::Done);
        }
        if self.plan.is_new {
            self.producer = Some((body.producer_id, body.producer_epoch));
            self.sequences.clear();
        }
        Some(0)
    }
}
