// SPDX-License-Identifier: Apache-2.0
//! What a shard can say of the groups and the transactions that it coordinates, in figures.
//!
//! Owns: the vocabulary, and the reading of the counts. Invariants: reading changes nothing; every
//! state that is told of has its figure, also if it is 0, in the same order each time; counts of
//! what ended outlive the coordinators that counted, so they never fall.
//! Runs on: its shard. Bounded by: the groups and transactional ids of the shard.

use super::machine::Shard;
use crate::group::{GroupCounts, State as GroupState};
use crate::txn::{EndCounts, State as TxnState};

/// Kinds of groups, and their states, as clients are told of them.
const GROUP_STATES: [(&str, &[&str]); 2] = [
    (
        "classic",
        &[
            GroupState::Empty.name(),
            GroupState::PreparingRebalance.name(),
            GroupState::CompletingRebalance.name(),
            GroupState::Stable.name(),
            GroupState::Dead.name(),
        ],
    ),
    ("consumer", &["Empty", "Assigning", "Reconciling", "Stable"]),
];

/// The states of a transactional id that are in the log.
const TXN_STATES: [TxnState; 6] = [
    TxnState::Empty,
    TxnState::Ongoing,
    TxnState::PrepareCommit,
    TxnState::PrepareAbort,
    TxnState::CompleteCommit,
    TxnState::CompleteAbort,
];

/// The groups and transactions of one shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorNumbers {
    /// Coordinators that are reading their logs: their groups are not counted yet.
    pub loading: usize,
    /// Groups by kind and state.
    pub groups: Vec<(&'static str, &'static str, usize)>,
    /// Members of groups by kind of group.
    pub members: Vec<(&'static str, usize)>,
    /// Transactional ids by state.
    pub transactional_ids: Vec<(&'static str, usize)>,
    /// Transactions that ended since the start of the process.
    pub ended: EndCounts,
    /// Producers that the partitions of this shard remember, once for each partition.
    pub producers: usize,
}

impl Shard {
    /// Its groups and transactions in figures.
    pub(super) fn coordinator_numbers(&self) -> CoordinatorNumbers {
        let (_, groups_loading, _) = self.group_counts();
        let (_, transactions_loading, _) = self.transaction_counts();
        let mut counts = GroupCounts::default();
        for seat in self.groups.seats.seats.values() {
            seat.coordinator.count(&mut counts);
        }
        let states = GROUP_STATES.into_iter();
        let states = states.flat_map(|(kind, states)| states.iter().map(move |one| (kind, *one)));
        let groups = states.map(|(kind, state)| (kind, state, counts.groups(kind, state)));
        let members = GROUP_STATES.map(|(kind, _)| (kind, counts.members(kind)));
        let transactions = self.transactions.seats.seats.values();
        let transactional_ids = TXN_STATES.map(|state| {
            let counts = transactions
                .clone()
                .map(|seat| seat.coordinator.count_in(state));
            (state.name(), counts.sum())
        });
        let partitions = self.partitions.iter();
        CoordinatorNumbers {
            loading: groups_loading + transactions_loading,
            groups: groups.collect(),
            members: members.into(),
            transactional_ids: transactional_ids.into(),
            ended: self.transactions.seats.out.ended,
            producers: partitions.map(|(_, one)| one.producer_count()).sum(),
        }
    }
}
