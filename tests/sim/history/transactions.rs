// SPDX-License-Identifier: Apache-2.0
//! What transactional producers did, and what readers of committed records saw.
//!
//! Invariants: each record of a transaction carries its number; a commit is asked for only once
//! everything of the transaction was acknowledged.

use super::{Entry, History, Place};

/// One batch of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct TxnBatch {
    /// Where to.
    pub place: Place,
    /// Its records.
    pub count: usize,
    /// The offset of its first record, once it is known.
    pub offset: Option<i64>,
}

/// A transaction.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// What was written in it.
    pub batches: Vec<TxnBatch>,
    /// Length of the history when its commit was asked for first.
    pub commit_asked: Option<usize>,
    /// Its commit was acknowledged.
    pub is_committed: bool,
}

/// One answer to a reader of committed records, who reads a partition from its beginning on.
#[derive(Clone, Debug)]
pub struct TxnRead {
    /// Which reading.
    pub scan: usize,
    /// Of what.
    pub place: Place,
    /// Up to where it is now.
    pub position: i64,
    /// Offset and transaction of the records that came.
    pub records: Vec<(i64, usize)>,
    /// It is one of the readings of everything after the last heal, and has come to the end.
    pub is_last: bool,
}

/// One entry.
#[derive(Clone, Debug)]
pub enum TxnEntry {
    /// A commit was asked for, or acknowledged.
    Moved,
    /// A reader read.
    Read(TxnRead),
}

impl History {
    /// Notes that a commit is about to be asked for.
    pub fn ask_commit(&mut self, transaction: usize) {
        let now = self.entries.len();
        self.transactions[transaction]
            .commit_asked
            .get_or_insert(now);
        self.push(Entry::Txn(TxnEntry::Moved));
    }

    /// Notes that a commit was acknowledged.
    pub fn end_commit(&mut self, transaction: usize) {
        self.transactions[transaction].is_committed = true;
        self.push(Entry::Txn(TxnEntry::Moved));
    }
}
