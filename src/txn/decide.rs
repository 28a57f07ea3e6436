// SPDX-License-Identifier: Apache-2.0
//! What a request does to a transactional id: the rules of KIP-98, KIP-360 and KIP-890.
//!
//! Owns: the decisions. Invariants: a producer with an old epoch changes nothing; a request that
//! was answered and comes again gets the same answer and changes nothing; an outcome is never taken
//! back. Runs on: the shard that coordinates. Bounded by: nothing to bound.

use super::facts::{EPOCH_PER_TRANSACTION, Facts, LAST_EPOCH, NO_EPOCH};
use super::request::{AddPartitions, EndTransaction, InitProducer, Producer};
use super::state::State;
use crate::model::error_code::ErrorCode;

/// Why a request does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is refused.
    Refused(ErrorCode),
    /// It needs a producer id, and is to be handled again when there is one.
    NeedsId,
}

impl From<ErrorCode> for Stop {
    fn from(code: ErrorCode) -> Stop {
        Stop::Refused(code)
    }
}

/// What becomes of the end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended so before; this is who the client is now.
    Before(Producer),
    /// It is decided.
    Decided(Box<Facts>),
}

/// Producer ids that were not used yet.
#[derive(Debug, Default)]
pub(super) struct SpareIds(Vec<i64>);

impl SpareIds {
    pub(super) fn push(&mut self, id: i64) {
        assert!(id >= 0, "a producer id is not negative");
        self.0.push(id);
    }

    pub(super) fn take(&mut self) -> Result<i64, Stop> {
        self.0.pop().ok_or(Stop::NeedsId)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A client begins anew. What follows is `Empty`, or `PrepareAbort` if a transaction was open: then
/// the client has to ask again.
pub(super) fn init(
    facts: &Facts,
    call: &InitProducer,
    ids: &mut SpareIds,
    now_ms: i64,
) -> Result<Facts, Stop> {
    if facts.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions.into());
    }
    if !call.producer.is_none_or(|given| is_known(facts, given)) {
        return Err(ErrorCode::ProducerFenced.into());
    }
    if facts.state == State::Ongoing {
        return abort(facts, ids, now_ms);
    }
    let epoch = facts.producer.epoch;
    let is_current = call.producer.is_none_or(|given| given.epoch == epoch);
    match facts.is_exhausted() && is_current {
        true => Ok(facts.with_id(call, ids.take()?, now_ms)),
        false => next_epoch(facts, call, now_ms),
    }
}

/// Whether the producer that a client goes on with may be the one that is there: a new
/// transactional id takes any; one that got another id for want of epochs may not have heard of it.
fn is_known(facts: &Facts, given: Producer) -> bool {
    facts.producer.epoch == NO_EPOCH
        || given.id == facts.producer.id
        || (given.id == facts.previous_id && given.epoch >= LAST_EPOCH)
}

fn next_epoch(facts: &Facts, call: &InitProducer, now_ms: i64) -> Result<Facts, Stop> {
    let epoch = facts.producer.epoch;
    let Some(given) = call.producer else {
        return Ok(facts.with_epoch(call, epoch + 1, NO_EPOCH, now_ms));
    };
    if epoch == NO_EPOCH || given.epoch == epoch {
        return Ok(facts.with_epoch(call, epoch + 1, epoch, now_ms));
    }
    // The answer was lost: who holds the epoch before gets the same again. A client that begins
    // without an epoch leaves none before its own, so nobody is mistaken for it.
    if given.epoch == facts.last_epoch {
        return Ok(facts.with_epoch(call, epoch, facts.last_epoch, now_ms));
    }
    Err(ErrorCode::ProducerFenced.into())
}

/// Partitions are added. Nothing follows if they are there.
pub(super) fn add(
    facts: &Facts,
    call: &AddPartitions,
    now_ms: i64,
) -> Result<Option<Facts>, ErrorCode> {
    // First, since a client may know of the producer that follows already.
    if facts.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    check_producer(facts, call.producer)?;
    let mut partitions = call.partitions.iter();
    let are_there = partitions.all(|partition| facts.partitions.contains(partition));
    if facts.state == State::Ongoing && are_there {
        return Ok(None);
    }
    let version = call.transaction_version;
    Ok(Some(facts.with_partitions(
        &call.partitions,
        version,
        now_ms,
    )))
}

/// Whether partitions belong to an open transaction: a code for each.
pub(super) fn verify(facts: &Facts, call: &AddPartitions) -> Result<Vec<ErrorCode>, ErrorCode> {
    check_producer(facts, call.producer)?;
    if facts.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let partitions = call.partitions.iter();
    let codes = partitions.map(|partition| match facts.partitions.contains(partition) {
        true => ErrorCode::None,
        false => ErrorCode::TransactionAbortable,
    });
    Ok(codes.collect())
}

fn check_producer(facts: &Facts, producer: Producer) -> Result<(), ErrorCode> {
    if facts.producer.id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if facts.producer.epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}

/// What a client is told that ends its transaction while a record of it is under way: who is fenced
/// hears of it at once where the epoch cannot be changing.
pub(super) fn end_while_busy(facts: &Facts, call: &EndTransaction) -> ErrorCode {
    if call.transaction_version < EPOCH_PER_TRANSACTION
        && let Err(code) = check_producer(facts, call.producer)
    {
        return code;
    }
    ErrorCode::ConcurrentTransactions
}

/// A client ends its transaction, while no record of it is under way.
pub(super) fn end(
    facts: &Facts,
    call: &EndTransaction,
    ids: &mut SpareIds,
    now_ms: i64,
) -> Result<End, Stop> {
    match call.transaction_version {
        EPOCH_PER_TRANSACTION.. => end_with_epoch(facts, call, ids, now_ms),
        _ => end_in_epoch(facts, call, now_ms),
    }
}

/// The flow before KIP-890: the producer keeps its epoch, so a request that comes again cannot be
/// told from the next one.
fn end_in_epoch(facts: &Facts, call: &EndTransaction, now_ms: i64) -> Result<End, Stop> {
    check_producer(facts, call.producer)?;
    match (facts.state, call.is_commit) {
        (State::Ongoing, is_commit) => {
            let version = call.transaction_version;
            let decided = facts.decided(is_commit, version, None, now_ms);
            Ok(End::Decided(Box::new(decided)))
        }
        (State::PrepareCommit | State::PrepareAbort, _) => {
            Err(ErrorCode::ConcurrentTransactions.into())
        }
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => {
            Ok(End::Before(facts.producer))
        }
        _ => Err(ErrorCode::InvalidTxnState.into()),
    }
}

/// The flow of KIP-890: each end is the last word in its epoch.
fn end_with_epoch(
    facts: &Facts,
    call: &EndTransaction,
    ids: &mut SpareIds,
    now_ms: i64,
) -> Result<End, Stop> {
    if facts.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions.into());
    }
    let given = call.producer;
    let has_ended = matches!(facts.state, State::CompleteCommit | State::CompleteAbort);
    // Its answer was lost, and with it the producer id that followed for want of epochs.
    let is_before_new_id =
        facts.previous_id == given.id && given.epoch == LAST_EPOCH && facts.producer.epoch == 0;
    let is_repeated = has_ended && (is_before_new_id || facts.follows_epoch(given.epoch));
    if facts.producer.id != given.id && !is_before_new_id {
        return Err(ErrorCode::InvalidProducerIdMapping.into());
    }
    if facts.producer.epoch != given.epoch && !is_repeated {
        return Err(ErrorCode::ProducerFenced.into());
    }
    match (facts.state, call.is_commit) {
        (State::CompleteCommit, true) | (State::CompleteAbort, false) if is_repeated => {
            Ok(End::Before(facts.producer))
        }
        (State::Ongoing, true) => {
            let next_id = next_id(facts, ids)?;
            let version = call.transaction_version;
            let decided = facts.decided(true, version, next_id, now_ms);
            Ok(End::Decided(Box::new(decided)))
        }
        // A transaction of which the coordinator has not heard may be aborted: a batch may have
        // got into a partition although its addition failed.
        (State::Ongoing | State::Empty | State::CompleteCommit | State::CompleteAbort, false)
            if !is_repeated =>
        {
            let next_id = next_id(facts, ids)?;
            let version = call.transaction_version;
            let decided = facts.decided(false, version, next_id, now_ms);
            Ok(End::Decided(Box::new(decided)))
        }
        _ => Err(ErrorCode::InvalidTxnState.into()),
    }
}

/// The coordinator aborts by itself: the client took too long, or another one begins. It is fenced
/// by the epoch that follows.
pub(super) fn abort(facts: &Facts, ids: &mut SpareIds, now_ms: i64) -> Result<Facts, Stop> {
    let next_id = next_id(facts, ids)?;
    Ok(facts.decided(false, EPOCH_PER_TRANSACTION, next_id, now_ms))
}

fn next_id(facts: &Facts, ids: &mut SpareIds) -> Result<Option<i64>, Stop> {
    match facts.is_exhausted() {
        true => ids.take().map(Some),
        false => Ok(None),
    }
}
