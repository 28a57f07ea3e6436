// SPDX-License-Identifier: Apache-2.0
//! What a coordinator has given to its log, and what follows from it.
//!
//! Owns: [`Writes`], the batches. Invariants: a batch that would be too large is refused before it
//! is made. Runs on: the shard that coordinates. Bounded by: one record per transactional id.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use super::facts::Facts;
use super::request::{Caller, TxnAnswer};
use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::wire::record::{BatchBuilder, Compression};
use crate::wire::transaction_topic::TransactionLogKey;

/// Who waits for a record, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The producer has begun anew.
    Init(Caller),
    /// So many partitions are added.
    Add(Caller, usize),
    /// The transaction is decided.
    End(Caller),
    /// It is decided by the coordinator; who caused it has to ask again.
    Abort(Option<Caller>),
    /// All partitions know the outcome.
    Complete,
    /// The id has expired.
    Remove,
}

impl Then {
    /// The answer to whoever waits, if the record is lost.
    pub(super) fn refusal(self, code: ErrorCode) -> Option<(Caller, TxnAnswer)> {
        match self {
            Then::Init(caller) | Then::Abort(Some(caller)) => {
                Some((caller, TxnAnswer::Init(Err(code))))
            }
            Then::Add(caller, count) => Some((caller, TxnAnswer::Added(vec![code; count]))),
            Then::End(caller) => Some((caller, TxnAnswer::Ended(Err(code)))),
            Then::Abort(None) | Then::Complete | Then::Remove => None,
        }
    }
}

/// A record under way.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) id: ByteString,
    pub(super) then: Then,
}

/// Everything that is under way to the log, oldest first.
#[derive(Debug)]
pub(super) struct Writes {
    next: u64,
    under_way: VecDeque<(u64, Write)>,
    batch_bytes_max: usize,
}

impl Writes {
    /// Nothing under way; a batch may have so many bytes.
    pub(super) fn new(batch_bytes_max: usize) -> Writes {
        Writes {
            next: 0,
            under_way: VecDeque::new(),
            batch_bytes_max,
        }
    }

    /// Takes note of a record, and gives its number.
    pub(super) fn push(&mut self, write: Write) -> u64 {
        self.next += 1;
        self.under_way.push_back((self.next, write));
        self.next
    }

    /// Takes out the record with this number.
    pub(super) fn take(&mut self, number: u64) -> Option<Write> {
        let is_it = |(one, _): &(u64, Write)| *one == number;
        let place = self.under_way.iter().position(is_it)?;
        self.under_way.remove(place).map(|(_, write)| write)
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Write> {
        let all = std::mem::take(&mut self.under_way);
        all.into_iter().map(|(_, write)| write)
    }

    /// True if nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The record as a batch; without facts a tombstone. Nothing if it is too large.
    pub(super) fn batch(
        &self,
        now_ms: i64,
        id: &ByteString,
        facts: Option<&Facts>,
    ) -> Option<Bytes> {
        let key = TransactionLogKey {
            transactional_id: id.clone(),
        };
        let key = key.encode().ok()?;
        let value = facts.map(|facts| facts.value().encode()).transpose().ok()?;
        let (key, value) = (Some(&key[..]), value.as_deref());
        let mut builder = BatchBuilder::new(Compression::None);
        let size = builder.size_bytes() + BatchBuilder::record_bytes_max(key, value);
        if size > self.batch_bytes_max {
            return None;
        }
        builder.append(now_ms, key, value, &[]);
        Some(builder.build())
    }
}

/// What a client is told whose record did not get into the log.
pub(super) fn code_of(error: WriteError) -> ErrorCode {
    match error {
        WriteError::NotLeader => ErrorCode::NotCoordinator,
        WriteError::TooLarge => ErrorCode::UnknownServerError,
        // Its own records are in nobody's transaction.
        WriteError::Unavailable | WriteError::Fenced => ErrorCode::CoordinatorNotAvailable,
    }
}
