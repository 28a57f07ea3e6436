// SPDX-License-Identifier: Apache-2.0
//! The deterministic simulator: one broker, its shards, its disk, its clients, a virtual clock, and
//! every fault that the head of `disk.rs` names. A seed stands for a whole run.
//!
//! Repeat a seed: `FURLONG_SIM_SEED=123 cargo test --test sim -- one_seed --nocapture`.

#![allow(clippy::unwrap_used)]

mod boot;
mod check;
mod client;
mod disk;
mod history;
mod lies;
mod net;
mod plan;
mod prng;
mod process;
mod run;
mod seeds;
mod stats;
#[cfg(test)]
mod toy;
mod world;

use std::time::Instant;

use plan::{Lie, Plan};

/// Seeds that `cargo test` runs.
const SEEDS: u64 = 200;

/// One of so many seeds that may notice a lie has to.
const LIE_SEEDS: usize = 40;
/// A disk that takes so long for each request is a slow one.
const SLOW_DISK_US_MIN: u64 = 500;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a seed is a whole number"))
}

#[test]
fn every_seed_holds_and_every_fault_is_met() {
    let first = number("FURLONG_SIM_FIRST").unwrap_or(0);
    let count = number("FURLONG_SIM_SEEDS").unwrap_or(SEEDS);
    let since = Instant::now();
    let all: Vec<u64> = (first..first + count).collect();
    let summary = seeds::run_many(&all, Lie::None, |failures| failures.len() >= 3);
    seeds::print(&summary.stats, count, since);
    let failures: Vec<String> = summary.failures.iter().map(seeds::describe).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let missing = summary.stats.missing();
    assert!(
        missing.is_empty() || count < SEEDS,
        "never met: {missing:?}"
    );
}

#[test]
fn one_seed() {
    let seed = number("FURLONG_SIM_SEED").unwrap_or(1);
    let since = Instant::now();
    let outcome = seeds::run_one(seed, Lie::None);
    seeds::print(&outcome.stats, 1, since);
    let sentences = outcome.violations;
    let failure = seeds::Failure { seed, sentences };
    assert!(
        failure.sentences.is_empty(),
        "{}",
        seeds::describe(&failure)
    );
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..5 {
        let first = seeds::run_one(seed, Lie::None).fingerprint;
        let second = seeds::run_one(seed, Lie::None).fingerprint;
        assert_eq!(first, second, "seed {seed} went another way");
    }
}

#[test]
fn a_broker_that_says_nothing_is_noticed() {
    let outcome = run::run(1, Lie::None, boot::silent());
    assert!(
        outcome
            .violations
            .iter()
            .any(|sentence| sentence.starts_with("liveness"))
    );
}

/// Runs seeds whose plan may notice the lie until one does, in these words, and names it.
fn expect_noticed(lie: Lie, words: &str, may_notice: impl Fn(&Plan) -> bool) {
    let seeds = seeds::fitting(LIE_SEEDS, may_notice);
    let is_it = |failure: &seeds::Failure| {
        let mut sentences = failure.sentences.iter();
        sentences.any(|sentence| sentence.contains(words))
    };
    let summary = seeds::run_many(&seeds, lie, |failures| failures.iter().any(is_it));
    match summary.failures.iter().find(|failure| is_it(failure)) {
        Some(failure) => println!("{lie:?}: {}", seeds::describe(failure)),
        None => {
            let all: Vec<String> = summary.failures.iter().map(seeds::describe).collect();
            panic!("no seed notices {lie:?} with {words:?}: {}", all.join("\n"));
        }
    }
}

/// Whatever a run does.
fn any(_: &Plan) -> bool {
    true
}

/// There are groups of the classic protocol.
fn has_members(plan: &Plan) -> bool {
    !plan.members.is_empty()
}

/// There are groups of the new protocol.
fn has_new_members(plan: &Plan) -> bool {
    !plan.new_members.is_empty()
}

/// There is a compacted topic.
fn has_keys(plan: &Plan) -> bool {
    !plan.key_writers.is_empty()
}

/// There are transactions.
fn has_transactions(plan: &Plan) -> bool {
    !plan.transactional.is_empty()
}

#[test]
fn without_the_flush_before_the_answer_a_seed_fails() {
    expect_noticed(Lie::FlushDoesNothing, "was acknowledged", any);
}

#[test]
fn without_a_flush_of_the_file_where_its_length_changed_a_seed_fails() {
    expect_noticed(Lie::FileFlushIsDeviceFlush, "was acknowledged", any);
}

#[test]
fn without_a_new_epoch_at_each_start_a_seed_fails() {
    expect_noticed(Lie::EpochStaysAsItWas, "epochs:", any);
}

#[test]
fn without_the_refused_producers_of_a_partition_that_moves_a_seed_fails() {
    // One of some hundred of all seeds notices; of these, which refuse and move the same few
    // partitions again and again, one of twenty.
    let is_slow = |plan: &Plan| {
        plan.shards > 1 && plan.topics == 1 && plan.disk.latency_us.0 >= SLOW_DISK_US_MIN
    };
    let words = "the oldest that is not settled";
    expect_noticed(Lie::RefusedAreForgotten, words, is_slow);
}

#[test]
fn without_the_cut_of_a_torn_tail_a_seed_fails() {
    expect_noticed(Lie::TearsAreHidden, "was acknowledged", any);
}

#[test]
fn without_the_flush_before_the_answer_committed_offsets_go_back() {
    expect_noticed(Lie::FlushDoesNothing, "G3: ", has_members);
}

#[test]
fn a_coordinator_that_keeps_the_offset_before_is_noticed() {
    expect_noticed(Lie::CommitsAreOld, "G3: ", has_members);
}

#[test]
fn commits_of_those_who_were_rebalanced_out_are_noticed() {
    expect_noticed(Lie::OutcastsCommit, "G2: ", has_members);
}

#[test]
fn an_assignment_that_is_somebody_elses_is_noticed() {
    expect_noticed(
        Lie::SharesAreMixed,
        "what no leader assigned to it",
        has_members,
    );
}

#[test]
fn a_generation_that_goes_back_is_noticed() {
    expect_noticed(Lie::GenerationsGoBack, "joined in generation", has_members);
}

#[test]
fn a_coordinator_that_waits_for_nobody_to_give_up_is_noticed() {
    expect_noticed(Lie::RevocationsAreDone, "N1: ", has_new_members);
}

#[test]
fn an_epoch_that_goes_back_is_noticed() {
    expect_noticed(Lie::EpochsGoBack, "N2: ", has_new_members);
}

#[test]
fn commits_of_those_who_were_thrown_out_are_noticed() {
    expect_noticed(Lie::OutcastsCommit, "N3: ", has_new_members);
}

#[test]
fn partitions_that_nobody_is_told_of_are_noticed() {
    expect_noticed(Lie::SharesAreCut, "N4: ", has_new_members);
}

#[test]
fn without_the_flush_before_the_answer_the_newest_of_a_key_is_lost() {
    expect_noticed(Lie::FlushDoesNothing, "K2: ", has_keys);
}

#[test]
fn tombstones_that_go_too_early_are_noticed() {
    expect_noticed(Lie::TombstonesMayGo, "K3: ", has_keys);
}

#[test]
fn records_that_are_compacted_too_early_are_noticed() {
    expect_noticed(Lie::NoCompactionLag, "K4: ", has_keys);
}

#[test]
fn a_reader_of_committed_records_who_is_told_all_is_noticed() {
    expect_noticed(Lie::NothingIsIsolated, "T2: ", has_transactions);
}
