// SPDX-License-Identifier: Apache-2.0
//! The same requests to Furlong and to Apache Kafka, and their answers field by field.
//!
//! Owns: nothing but tests. The comparison is ignored unless it is asked for: it needs two brokers,
//! which `tests/differential/run` starts (`FURLONG_ADDRESS`, `KAFKA_ADDRESS`). Requests and answers
//! go through the crate `kafka-protocol`, so that no reader of ours judges itself.

#![allow(
    clippy::unwrap_used,
    reason = "a test says with a panic that something is wrong"
)]

mod batch;
mod cases;
mod compare;
mod rules;
mod side;
mod value;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use cases::Case;
use compare::{Known, differences};
use side::Side;
use value::Value;

/// What must be compared at least.
const CASES_MIN: usize = 150;

/// The last step of a case that could not go on: its value is the broker, so it always differs.
const BROKEN: &str = "(the case could not go on)";

/// Only cases whose name begins so, for a look at a few.
const ONLY: &str = "FURLONG_DIFFERENTIAL_ONLY";

#[test]
#[ignore = "needs the two brokers that tests/differential/run starts"]
fn furlong_answers_as_apache_kafka_does() {
    let address = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (furlong, kafka) = (address("FURLONG_ADDRESS"), address("KAFKA_ADDRESS"));
    let only = env::var(ONLY).unwrap_or_default();
    let cases: Vec<(String, Case, i16)> = cases::all()
        .into_iter()
        .filter(|(name, ..)| name.starts_with(&only))
        .collect();
    let (ours, theirs) = thread::scope(|scope| {
        let ours = scope.spawn(|| answers(&furlong, &cases));
        let theirs = scope.spawn(|| answers(&kafka, &cases));
        (
            ours.join().expect("Furlong answered"),
            theirs.join().expect("Kafka answered"),
        )
    });
    let mut found = Vec::new();
    let mut answer_count = 0;
    for ((name, ..), (one, other)) in cases.iter().zip(ours.iter().zip(&theirs)) {
        if let Value::List(steps) = other {
            assert!(!steps.is_empty(), "{name} asks nothing");
            answer_count += steps.len();
        }
        differences(name, "", Some(one), Some(other), &mut found);
    }
    let known = Known::read(include_str!("differences.toml"));
    let complaints = known.judge(&found);
    println!(
        "{} cases, {answer_count} answers, {} fields differ in {} known ways, {} complaints",
        cases.len(),
        found.len(),
        known.len(),
        complaints.len()
    );
    let shown = complaints.join("\n");
    if only.is_empty() {
        assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    }
    assert!(complaints.is_empty(), "{shown}");
}

/// What a broker answers to each case. A case that cannot go on ends with that, and fails.
fn answers(address: &str, cases: &[(String, Case, i16)]) -> Vec<Value> {
    let mut side = Side::new(address);
    let answers = cases.iter().map(|(name, case, version)| {
        side.begin(name);
        let run = AssertUnwindSafe(|| (case.run)(&mut side, *version));
        if catch_unwind(run).is_err() {
            side.note(BROKEN, &Value::leaf(address));
        }
        side.end()
    });
    answers.collect()
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<String> = cases::all().into_iter().map(|one| one.0).collect();
    let count = names.len();
    assert!(count >= CASES_MIN, "{count} cases");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_known_differences_can_be_read() {
    assert!(Known::read(include_str!("differences.toml")).len() > 0);
}
