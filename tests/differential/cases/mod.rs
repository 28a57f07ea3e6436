// SPDX-License-Identifier: Apache-2.0
//! The cases, one file for each group of APIs.
//!
//! Owns: [`Case`], [`all`]. Invariants: a case makes what it needs under names of its own, so that
//! it can run alone; the last group makes topics of its own accord (`__consumer_offsets`).
//! Runs on: one thread for each broker. Bounded by: the table.

mod changes;
mod cluster;
mod configs;
mod fetch;
mod metadata;
mod odd;
mod offsets;
mod partitions;
mod produce;
mod producers;
mod quotas;
mod records;
mod topics;
mod transactions;

use crate::side::Side;

/// One case in some versions of its request.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    /// The versions in which it is asked; none if the case chooses them.
    pub versions: &'static [i16],
    /// Asks.
    pub run: fn(&mut Side, i16),
}

const fn case(name: &'static str, versions: &'static [i16], run: fn(&mut Side, i16)) -> Case {
    Case {
        name,
        versions,
        run,
    }
}

/// Every case with its whole name and its version.
pub fn all() -> Vec<(String, Case, i16)> {
    let groups = [
        metadata::CASES,
        produce::CASES,
        records::CASES,
        producers::CASES,
        fetch::CASES,
        offsets::CASES,
        topics::CASES,
        partitions::CASES,
        configs::CASES,
        changes::CASES,
        quotas::CASES,
        cluster::CASES,
        odd::CASES,
        transactions::CASES,
    ];
    let mut all = Vec::new();
    for case in groups.into_iter().flatten() {
        match case.versions {
            [] => all.push((case.name.to_owned(), *case, 0)),
            versions => all.extend(
                versions
                    .iter()
                    .map(|version| (format!("{} v{version}", case.name), *case, *version)),
            ),
        }
    }
    all
}
