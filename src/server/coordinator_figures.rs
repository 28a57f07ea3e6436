// SPDX-License-Identifier: Apache-2.0
//! Figures of groups and transactions, as text.
//!
//! Owns: the names of these metrics. Invariants: a figure of the broker is the sum of those of its
//! shards; every state has its line, also if nothing is in it.
//! Runs on: the admin thread. Bounded by: the kinds and states that there are.

use super::exposition::{Exposition, Kind};
use crate::shard::coordinator_numbers::CoordinatorNumbers;
use crate::shard::numbers::ShardNumbers;
use crate::txn::EndCounts;

/// A figure of all shards together: name, kind, help, what it is of one.
type Sum = (
    &'static str,
    Kind,
    &'static str,
    fn(&CoordinatorNumbers) -> usize,
);

const SUMS: [Sum; 2] = [
    (
        "furlong_coordinators_loading",
        Kind::Gauge,
        "Coordinators that are reading their logs; what they keep is not counted yet.",
        |numbers| numbers.loading,
    ),
    (
        "furlong_producers",
        Kind::Gauge,
        "Idempotent producers that partitions remember, once for each partition.",
        |numbers| numbers.producers,
    ),
];

/// A counter of transactions: name, help, what it is.
type EndCounter = (&'static str, &'static str, fn(&EndCounts) -> u64);

const END_COUNTERS: [EndCounter; 3] = [
    (
        "furlong_transactions_committed_total",
        "Transactions that were committed, once every partition had its marker.",
        |ended| ended.committed,
    ),
    (
        "furlong_transactions_aborted_total",
        "Transactions that were aborted, for whatever reason, once every partition had its marker.",
        |ended| ended.aborted,
    ),
    (
        "furlong_transactions_timed_out_total",
        "Transactions that lasted longer than their producers asked for, and are aborted for it.",
        |ended| ended.timed_out,
    ),
];

/// Adds them.
pub fn add(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let all: Vec<&CoordinatorNumbers> = shards.iter().map(|(_, one)| &one.coordinators).collect();
    for (name, kind, help, get) in SUMS {
        let sum: usize = all.iter().map(|one| get(one)).sum();
        out.metric(name, kind, help).value(&[], sum);
    }
    let Some(first) = all.first() else {
        return;
    };
    // Every shard tells the same states in the same order.
    let mut groups = out.metric("furlong_groups", Kind::Gauge, "Groups by kind and state.");
    for (place, (kind, state, _)) in first.groups.iter().enumerate() {
        let counts = all.iter().filter_map(|one| one.groups.get(place));
        let sum: usize = counts.map(|(_, _, count)| count).sum();
        groups.value(&[("type", kind), ("state", state)], sum);
    }
    let mut members = out.metric(
        "furlong_group_members",
        Kind::Gauge,
        "Members of groups, by kind of group.",
    );
    for (place, (kind, _)) in first.members.iter().enumerate() {
        let counts = all.iter().filter_map(|one| one.members.get(place));
        members.value(
            &[("type", kind)],
            counts.map(|(_, count)| count).sum::<usize>(),
        );
    }
    let mut ids = out.metric(
        "furlong_transactional_ids",
        Kind::Gauge,
        "Transactional ids by state; Ongoing are open transactions.",
    );
    for (place, (state, _)) in first.transactional_ids.iter().enumerate() {
        let counts = all
            .iter()
            .filter_map(|one| one.transactional_ids.get(place));
        ids.value(
            &[("state", state)],
            counts.map(|(_, count)| count).sum::<usize>(),
        );
    }
    for (name, help, get) in END_COUNTERS {
        let sum: u64 = all.iter().map(|one| get(&one.ended)).sum();
        out.metric(name, Kind::Counter, help).value(&[], sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(count: usize) -> ShardNumbers {
        ShardNumbers {
            coordinators: CoordinatorNumbers {
                loading: 0,
                groups: vec![("classic", "Stable", count), ("consumer", "Empty", 0)],
                members: vec![("classic", 3 * count), ("consumer", 0)],
                transactional_ids: vec![("Ongoing", count)],
                ended: EndCounts {
                    committed: 5,
                    aborted: 3,
                    timed_out: 1,
                },
                producers: 7,
            },
            ..ShardNumbers::default()
        }
    }

    #[test]
    fn figures_of_shards_are_added_up_by_state() {
        let shards = [shard(2), shard(4)];
        let named = shards.iter().map(|one| ("0".to_owned(), one));
        let mut out = Exposition::default();
        add(&mut out, &named.collect::<Vec<_>>());
        let text = out.finish();
        for line in [
            "furlong_groups{type=\"classic\",state=\"Stable\"} 6",
            "furlong_groups{type=\"consumer\",state=\"Empty\"} 0",
            "furlong_group_members{type=\"classic\"} 18",
            "furlong_transactional_ids{state=\"Ongoing\"} 6",
            "furlong_transactions_committed_total 10",
            "furlong_transactions_aborted_total 6",
            "furlong_transactions_timed_out_total 2",
            "furlong_producers 14",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn without_an_answer_there_are_no_states_to_tell() {
        let mut out = Exposition::default();
        add(&mut out, &[]);
        assert!(!out.finish().contains("furlong_groups"));
    }
}
