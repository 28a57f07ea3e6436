// SPDX-License-Identifier: Apache-2.0
//! T1: a transaction whose commit was acknowledged is there at the end, whole. T2: nobody who reads
//! committed records sees one whose commit was not asked for. T3: at the end each is there whole or
//! not at all, over all partitions. T4: a reader of committed records passes nothing that is
//! committed later: what it has not seen below its position is not there at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::history::transactions::{TxnEntry, TxnRead};
use crate::history::{Entry, Place};

/// Records by where they are, and whose.
type Seen = BTreeMap<(Place, i64), usize>;

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let reads = history.entries.iter().enumerate();
    let reads: Vec<(usize, &TxnRead)> = reads
        .filter_map(|(moment, entry)| match entry {
            Entry::Txn(TxnEntry::Read(read)) => Some((moment, read)),
            _ => None,
        })
        .collect();
    let (mut last, mut ends, mut seen) = (Seen::new(), BTreeSet::new(), Seen::new());
    let last_scans: BTreeSet<usize> = reads
        .iter()
        .filter(|it| it.1.is_last)
        .map(|it| it.1.scan)
        .collect();
    for (moment, read) in &reads {
        let name = history.name(read.place);
        for (offset, transaction) in &read.records {
            let before = seen.insert((read.place, *offset), *transaction);
            if before.is_some_and(|before| before != *transaction) {
                wrong.push(format!("T2: {name} offset {offset} changed"));
            }
            let known = history.transactions.get(*transaction);
            let asked = known.and_then(|it| it.commit_asked);
            if asked.is_none_or(|asked| asked > *moment) {
                wrong.push(format!(
                    "T2: {name} offset {offset} of transaction {transaction} was told as \
                     committed, and nobody had asked for that"
                ));
            }
            if last_scans.contains(&read.scan) {
                last.insert((read.place, *offset), *transaction);
            }
        }
        if read.is_last {
            ends.insert(read.place);
        }
    }
    if ends.is_empty() {
        // The run did not come to its last reads, which is noted elsewhere.
        return;
    }
    check_whole(evidence, &last, wrong);
    check_passed(evidence, &reads, &last, wrong);
}

fn check_whole(evidence: &Evidence<'_>, last: &Seen, wrong: &mut Vec<String>) {
    let mut found: BTreeMap<(usize, Place), usize> = BTreeMap::new();
    for ((place, _), transaction) in last {
        *found.entry((*transaction, *place)).or_default() += 1;
    }
    for (number, transaction) in evidence.history.transactions.iter().enumerate() {
        if transaction.commit_asked.is_none() {
            continue;
        }
        let mut wanted: BTreeMap<Place, usize> = BTreeMap::new();
        for batch in &transaction.batches {
            *wanted.entry(batch.place).or_default() += batch.count;
        }
        let there = wanted.iter().map(|(place, count)| {
            let found = found.get(&(number, *place)).copied().unwrap_or(0);
            (found, *count)
        });
        let there: Vec<(usize, usize)> = there.collect();
        let is_whole = there.iter().all(|(found, count)| found == count);
        let is_gone = there.iter().all(|(found, _)| *found == 0);
        if transaction.is_committed && !is_whole {
            wrong.push(format!(
                "T1: the commit of transaction {number} was acknowledged, and of its records are \
                 there, by partition: {there:?}"
            ));
        } else if !is_whole && !is_gone {
            wrong.push(format!(
                "T3: a part of transaction {number} is there, by partition: {there:?}"
            ));
        }
    }
}

fn check_passed(
    evidence: &Evidence<'_>,
    reads: &[(usize, &TxnRead)],
    last: &Seen,
    wrong: &mut Vec<String>,
) {
    let mut scans: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
    let mut ends: BTreeMap<usize, (Place, i64)> = BTreeMap::new();
    for (_, read) in reads {
        let scan = scans.entry(read.scan).or_default();
        scan.extend(read.records.iter().map(|(offset, _)| *offset));
        ends.insert(read.scan, (read.place, read.position));
    }
    for (scan, (place, position)) in ends {
        let range = (place, 0)..(place, position);
        let missed = last.range(range);
        let mut missed = missed.filter(|((_, offset), _)| !scans[&scan].contains(offset));
        if let Some(((_, offset), transaction)) = missed.next() {
            wrong.push(format!(
                "T4: reading {scan} of {} came to {position} and had not seen offset {offset} of \
                 transaction {transaction}, which is there at the end",
                evidence.history.name(place)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::transactions::{Transaction, TxnBatch, TxnEntry, TxnRead};
    use crate::history::{Entry, History};

    /// One transaction of one record in each of two partitions.
    fn history(asked: bool, acked: bool) -> History {
        let mut history = sample::history();
        let batches = [0, 1].map(|partition| TxnBatch {
            place: sample::place(partition),
            count: 1,
            offset: Some(7),
        });
        history.transactions.push(Transaction {
            batches: batches.into(),
            ..Transaction::default()
        });
        if asked {
            history.ask_commit(0);
        }
        if acked {
            history.end_commit(0);
        }
        history
    }

    fn read(history: &mut History, partition: i32, count: usize, is_last: bool) {
        let scan = history.entries.len();
        let records = [(7, 0)].into_iter().take(count);
        history.push(Entry::Txn(TxnEntry::Read(TxnRead {
            scan,
            place: sample::place(partition),
            position: 9,
            records: records.collect(),
            is_last,
        })));
    }

    fn is_right(history: &History) {
        assert_eq!(super::super::check(history), Vec::<String>::new());
    }

    #[test]
    fn whole_or_not_at_all_is_right() {
        for (acked, count) in [(true, 1), (false, 1), (false, 0)] {
            let mut history = history(true, acked);
            read(&mut history, 0, count, true);
            read(&mut history, 1, count, true);
            is_right(&history);
        }
    }

    #[test]
    fn a_lost_commit_is_seen() {
        let mut history = history(true, true);
        read(&mut history, 0, 0, true);
        read(&mut history, 1, 0, true);
        sample::expect(&history, "T1: the commit of transaction 0 was acknowledged");
    }

    #[test]
    fn a_part_is_seen() {
        let mut history = history(true, false);
        read(&mut history, 0, 1, true);
        read(&mut history, 1, 0, true);
        sample::expect(&history, "T3: a part of transaction 0");
    }

    #[test]
    fn what_was_never_committed_is_seen() {
        let mut history = history(false, false);
        read(&mut history, 0, 1, false);
        sample::expect(&history, "T2: sample-0 offset 7 of transaction 0");
    }

    #[test]
    fn a_reader_who_passed_an_open_transaction_is_seen() {
        let mut history = history(true, true);
        read(&mut history, 0, 0, false);
        read(&mut history, 0, 1, true);
        read(&mut history, 1, 1, true);
        sample::expect(&history, "T4: ");
    }
}
