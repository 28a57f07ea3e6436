// SPDX-License-Identifier: Apache-2.0
//! Many seeds at once, and what is said about them.
//!
//! Invariants: a panic inside of a run is a failure of its seed, not of the others; a failure names
//! the command that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::boot;
use crate::plan::{Lie, Plan};
use crate::run::{Outcome, run};
use crate::stats::Stats;

/// Threads that run seeds.
const THREADS: usize = 2;

/// A seed that failed, and why.
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was wrong, a sentence each.
    pub sentences: Vec<String>,
}

/// What many seeds gave.
#[derive(Default)]
pub struct Summary {
    /// The sum of what they met.
    pub stats: Stats,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
}

/// Runs one seed; a panic becomes a sentence.
pub fn run_one(seed: u64, lie: Lie) -> Outcome {
    let result = catch_unwind(AssertUnwindSafe(|| run(seed, lie, boot::broker())));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            stats: Stats::default(),
            violations: vec![format!("panic: {}", text.unwrap_or_default())],
            fingerprint: 0,
        }
    })
}

/// The first so many seeds whose plan is of this kind.
pub fn fitting(count: usize, is_it: impl Fn(&Plan) -> bool) -> Vec<u64> {
    let seeds = (0..).filter(|seed| is_it(&Plan::new(*seed, Lie::None)));
    seeds.take(count).collect()
}

/// Runs seeds until there are none left or enough was seen.
pub fn run_many(seeds: &[u64], lie: Lie, is_enough: impl Fn(&[Failure]) -> bool + Sync) -> Summary {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut summary = Summary::default();
        while !is_over.load(Ordering::Relaxed) {
            let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let outcome = run_one(seed, lie);
            summary.stats.add(&outcome.stats);
            if !outcome.violations.is_empty() {
                let sentences = outcome.violations;
                summary.failures.push(Failure { seed, sentences });
                is_over.fetch_or(is_enough(&summary.failures), Ordering::Relaxed);
            }
        }
        summary
    };
    let mut sum = Summary::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let part = thread.join().expect("a run does not panic out of its seed");
            sum.stats.add(&part.stats);
            sum.failures.extend(part.failures);
        }
    });
    sum.failures.sort_by_key(|failure| failure.seed);
    sum
}

/// Prints the counters, many to a line.
pub fn print(stats: &Stats, seeds: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{seeds} seeds in {seconds:.1} s; met:");
    for line in stats.lines().chunks(4) {
        let words: Vec<String> = line
            .iter()
            .map(|(name, count)| format!("{name:>22} {count:<9}"))
            .collect();
        println!("  {}", words.join(""));
    }
}

/// What a person reads when a seed fails.
pub fn describe(failure: &Failure) -> String {
    let mut text = format!(
        "seed {} failed; repeat it with\n  FURLONG_SIM_SEED={} cargo test --test sim -- one_seed \
         --nocapture\n",
        failure.seed, failure.seed
    );
    for sentence in failure.sentences.iter().take(10) {
        text.push_str("  ");
        text.push_str(sentence);
        text.push('\n');
    }
    text
}
