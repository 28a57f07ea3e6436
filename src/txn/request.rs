// SPDX-License-Identifier: Apache-2.0
//! What is asked of a coordinator of transactions, its answers, and what it asks of partitions.
//!
//! Owns: the vocabulary between those who accept requests, a coordinator, and the partitions of its
//! transactions. Invariants: each call is answered once. Runs on: made on any core, handled on the
//! one that coordinates. Bounded by: the frame that asked.

use bytes::Bytes;
use bytestring::ByteString;

use super::list::IdPattern;
pub use crate::model::coordinator::Caller;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::describe_transactions::TransactionState as Described;
use crate::wire::protocol::list_transactions::TransactionState as Listed;

/// A partition by the name of its topic.
pub type TxnPartition = (ByteString, i32);

/// A producer as its requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// To get a producer id, or the next epoch of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducer {
    /// The transactional id; never empty.
    pub transactional_id: ByteString,
    /// How long a transaction may last, in milliseconds.
    pub timeout_ms: i32,
    /// The producer that the client goes on with (KIP-360).
    pub producer: Option<Producer>,
}

/// To add partitions to a transaction, which begins with the first; or to ask whether they belong
/// to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The transactional id.
    pub transactional_id: ByteString,
    /// Who.
    pub producer: Producer,
    /// The partitions. A group is the partition of `__consumer_offsets` that keeps it.
    pub partitions: Vec<TxnPartition>,
    /// Only to ask.
    pub verify_only: bool,
    /// What the client can do: 2 if it expects a new epoch after each transaction (KIP-890), else
    /// 0.
    pub transaction_version: i16,
    /// How long it may wait for the end of the transaction before, in milliseconds; with 0 it is
    /// refused at once (CONCURRENT_TRANSACTIONS).
    pub patience_ms: u32,
}

/// To end a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The transactional id.
    pub transactional_id: ByteString,
    /// Who.
    pub producer: Producer,
    /// True to commit, false to abort.
    pub is_commit: bool,
    /// As in [`AddPartitions`].
    pub transaction_version: i16,
}

/// Which transactions are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct ListFilter {
    /// Those in these states; all if there is none.
    pub states: Vec<ByteString>,
    /// Those of these producers; all if there is none.
    pub producer_ids: Vec<i64>,
    /// Those that have lasted for longer than so many milliseconds; all if negative.
    pub duration_ms: i64,
    /// Those whose id matches; all if there is no pattern.
    pub pattern: Option<IdPattern>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnCall {
    /// To get a producer id, or its next epoch.
    Init(InitProducer),
    /// To add partitions, or to ask for them.
    AddPartitions(AddPartitions),
    /// To end a transaction.
    End(EndTransaction),
    /// To describe what a transactional id does.
    Describe {
        /// The transactional id.
        transactional_id: ByteString,
    },
    /// To list transactional ids.
    List(ListFilter),
}

/// The answers, in the order of the calls.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnAnswer {
    /// To `Init`: who the client is from now on.
    Init(Result<Producer, ErrorCode>),
    /// To `AddPartitions`: a code for each partition in the order of the call.
    Added(Vec<ErrorCode>),
    /// To `End`: who the client is in its next transaction.
    Ended(Result<Producer, ErrorCode>),
    /// To `Describe`.
    Described(Described),
    /// To `List`.
    Listed(Result<Vec<Listed>, ErrorCode>),
}

impl TxnCall {
    /// The answer that only says what is wrong.
    #[must_use]
    pub fn refusal(&self, code: ErrorCode) -> TxnAnswer {
        match self {
            TxnCall::Init(_) => TxnAnswer::Init(Err(code)),
            TxnCall::AddPartitions(add) => TxnAnswer::Added(vec![code; add.partitions.len()]),
            TxnCall::End(_) => TxnAnswer::Ended(Err(code)),
            TxnCall::Describe { transactional_id } => TxnAnswer::Described(Described {
                error_code: code.code(),
                transactional_id: transactional_id.clone(),
                ..Described::default()
            }),
            TxnCall::List(_) => TxnAnswer::Listed(Err(code)),
        }
    }
}

/// The outcome of a transaction, for all partitions where it is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerRequest {
    /// Comes back with the outcomes.
    pub number: u64,
    /// Who; the epoch is the one that the markers carry.
    pub producer: Producer,
    /// True if it was committed.
    pub is_commit: bool,
    /// Leader epoch of the partition that keeps the transaction.
    pub coordinator_epoch: i32,
    /// The `transaction.version` under which it runs: from 2 on the epoch of the markers is greater
    /// than the one of the records (KIP-1228).
    pub transaction_version: i16,
    /// Where.
    pub partitions: Vec<TxnPartition>,
}

/// How it went in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerOutcome {
    /// The marker is committed.
    Written,
    /// The partition, or its topic, is gone for good.
    Gone,
    /// The partition knows a newer epoch of the producer: the transaction cannot be open there.
    Fenced,
    /// Not now; it is to be tried again.
    Later,
}

/// Where a coordinator puts its effects. Reused from event to event.
#[derive(Debug, Default)]
pub struct TxnEffects {
    /// Answers.
    pub answers: Vec<(Caller, TxnAnswer)>,
    /// Batches for the log, in order, each with the number that comes back with `handle_written`.
    pub appends: Vec<(u64, Bytes)>,
    /// Markers to write; the outcomes come back with `handle_markers`.
    pub markers: Vec<MarkerRequest>,
    /// Producer ids that are wanted; each comes back with `handle_producer_id`.
    pub ids_wanted: usize,
    /// Transactions that have ended, since these effects were made: nobody takes that away.
    pub ended: EndCounts,
}

/// How transactions have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// Committed, and every partition knows it.
    pub committed: u64,
    /// Aborted, for whatever reason, and every partition knows it.
    pub aborted: u64,
    /// Decided to be aborted because they had lasted too long.
    pub timed_out: u64,
}
