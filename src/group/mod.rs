// SPDX-License-Identifier: Apache-2.0
//! Groups of consumers: who is a member, who consumes what, how far it came. `consumer/` has those
//! of the new protocol (KIP-848), the rest those of the classic one and what both share.
//!
//! Owns: the machine of one coordinator, [`Coordinator`]. Invariants: no partition has two owners
//! in one generation; a committed offset goes back only if somebody asks for it; whatever a client
//! is told is in the log. Runs on: the shard that leads the partition of `__consumer_offsets` that
//! keeps the groups. Bounded by: `GROUPS_PER_COORDINATOR_MAX`, `GROUP_MEMBERS_MAX`.

mod admin;
mod alarm;
mod beats;
mod classic;
mod commit;
mod consumer;
mod coordinator;
mod describe;
mod join;
mod load;
mod member;
mod offsets;
mod rebalance;
pub mod request;
mod session;
mod state;
mod topic;
mod transactional;
mod turn;
mod write;
mod written;

#[cfg(test)]
mod tests;

pub use crate::model::coordinator::partition_of;
pub use coordinator::Coordinator;
pub use describe::GroupCounts;
pub use request::{
    Caller, GroupAnswer, GroupCall, GroupEffects, Origin, TransactionalCommit, TxnProducer,
};
pub use state::State;
pub use topic::OFFSETS_TOPIC;
pub use write::WriteError;
