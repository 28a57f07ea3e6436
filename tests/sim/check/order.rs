// SPDX-License-Identifier: Apache-2.0
//! I4: what one reader reads of a partition is a piece of one sequence without gaps, and a
//! producer's batches of one connection stand in the order in which they were sent.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::FetchFact;

const OFFSET_OUT_OF_RANGE: i16 = 1;

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    for fetch in evidence.history.fetches() {
        check_gaps(evidence, fetch, wrong);
    }
    check_connections(evidence, wrong);
}

fn check_gaps(evidence: &Evidence<'_>, fetch: &FetchFact, wrong: &mut Vec<String>) {
    let name = || evidence.history.name(fetch.place);
    let wanted = fetch.fetch_offset;
    let mut next = None;
    for batch in &fetch.batches {
        let (base, end) = (batch.base_offset, batch.end_offset());
        let fits = next.map_or(base <= wanted && wanted < end, |next| base == next);
        if !fits {
            wrong.push(format!(
                "I4: {} a fetch of client {} from {wanted} got the batch {base}..{end} \
                 where {} was due",
                name(),
                fetch.client,
                next.unwrap_or(wanted)
            ));
        }
        next = Some(end);
    }
    if evidence.deleted.contains(&fetch.place.topic) || fetch.error != OFFSET_OUT_OF_RANGE {
        return;
    }
    let start = evidence.logs.get(&fetch.place).map_or(0, |log| log.start);
    if wanted >= start {
        wrong.push(format!(
            "I4: {} offset {wanted} was out of range, and the log starts at {start} in the end",
            name()
        ));
    }
}

fn check_connections(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut batch_of = BTreeMap::new();
    for (number, fact) in history.batches.iter().enumerate() {
        if fact.producer.is_none() {
            for record in &fact.records {
                batch_of.insert((fact.place, record.digest), number);
            }
        }
    }
    for (place, log) in evidence.lasting_logs() {
        let mut last = BTreeMap::new();
        for (offset, stored) in &log.records {
            let Some(number) = batch_of.get(&(place, stored.record.digest)) else {
                continue;
            };
            let fact = &history.batches[*number];
            let before = last.insert((fact.client, fact.connection), *number);
            if before.is_some_and(|before| before > *number) {
                wrong.push(format!(
                    "I4: {} offset {offset}: batch {number} of client {} stands behind a later one",
                    history.name(place),
                    fact.client
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_gap_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).batches.remove(1);
        sample::expect(&history, "got the batch 4..6 where 2 was");
    }

    #[test]
    fn an_offset_out_of_range_needs_a_reason() {
        let mut history = sample::history();
        sample::last_read(&mut history).error = 1;
        sample::expect(&history, "I4: sample-0 offset 0 was out of range");
    }

    #[test]
    fn a_swapped_connection_is_seen() {
        let mut history = sample::history();
        for batch in &mut history.batches {
            batch.producer = None;
        }
        history.batches.swap(0, 1);
        sample::expect(&history, "stands behind a later one");
    }
}
