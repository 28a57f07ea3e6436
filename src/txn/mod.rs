// SPDX-License-Identifier: Apache-2.0
//! Transactions (KIP-98, KIP-360, KIP-890): which producer may write in one, where it has written,
//! and how it ends.
//!
//! Owns: the machine of one coordinator, [`Coordinator`]. Invariants: a client is told nothing that
//! is not in the log; once an outcome is there, the transaction ends so in every partition; who has
//! an old epoch changes nothing. Runs on: the shard that leads the partition of
//! `__transaction_state` that keeps the transactions. Bounded by:
//! `TRANSACTIONS_PER_COORDINATOR_MAX`.

mod coordinator;
mod decide;
mod facts;
mod list;
mod load;
mod progress;
pub mod request;
mod state;
mod transaction;
mod write;

#[cfg(test)]
mod tests;

pub use coordinator::Coordinator;
pub use facts::EPOCH_PER_TRANSACTION;
pub use list::{IdPattern, unknown_states};
pub use request::{
    AddPartitions, Caller, EndCounts, EndTransaction, InitProducer, ListFilter, MarkerOutcome,
    MarkerRequest, Producer, TxnAnswer, TxnCall, TxnEffects, TxnPartition,
};
pub use state::State;

/// Kafka's name of the topic that keeps transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";
