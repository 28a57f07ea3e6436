// SPDX-License-Identifier: Apache-2.0
//! K1: in a compacted topic an offset never changes its record, and no record is at two offsets.
//! K2: whoever has read from somewhere to the end has seen of each key the newest record that was
//! acknowledged there, or a later one. K3: a tombstone may be missing only once it was there for
//! `delete.retention.ms`, and an older value of its key is seen without it only by a reader who was
//! slower than that. K4: nothing younger than `min.compaction.lag.ms` is missing.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::keys::{KeyEntry, KeyRead, KeyTopic, Scanned, Write};
use crate::history::{Entry, History, Place};

/// What a reading has seen.
#[derive(Default)]
struct Scan {
    seen: BTreeMap<i64, KeyRead>,
    newest: BTreeMap<u64, i64>,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut by_number = BTreeMap::new();
    for (number, write) in history.writes.iter().enumerate() {
        if let Some(value) = write.value {
            by_number.insert(value, number);
        }
    }
    let mut places: BTreeMap<(Place, i64), KeyRead> = BTreeMap::new();
    let mut offsets: BTreeMap<u64, (Place, i64)> = BTreeMap::new();
    let mut scans: BTreeMap<usize, Scan> = BTreeMap::new();
    for (moment, entry) in history.entries.iter().enumerate() {
        let Entry::Key(KeyEntry::Scanned(scanned)) = entry else {
            continue;
        };
        let name = history.name(scanned.place);
        for record in &scanned.records {
            let place = (scanned.place, record.offset);
            let before = places.insert(place, *record);
            if before.is_some_and(|before| before != *record) {
                wrong.push(format!("K1: {name} offset {} changed", record.offset));
            }
            if !is_known(history, &by_number, scanned.place, record) {
                wrong.push(format!("K1: {name} holds {record:?}, which nobody wrote"));
            }
            if let Some(value) = record.value {
                let before = *offsets.entry(value).or_insert(place);
                if before != place {
                    let at = record.offset;
                    wrong.push(format!("K1: {name} holds {value} at {} and {at}", before.1));
                }
            }
        }
        let scan = scans.entry(scanned.scan).or_default();
        for record in &scanned.records {
            scan.seen.insert(record.offset, *record);
            scan.newest.insert(record.key, record.offset);
        }
        if scanned.position >= scanned.high_watermark {
            check_end(history, scan, scanned, moment, wrong);
        }
    }
    for write in history.writes.iter().filter(|it| it.offset.is_some()) {
        let at = (write.place, write.offset.unwrap_or(-1));
        let read = places.get(&at);
        if read.is_some_and(|read| read.value != write.value || read.key != write.key) {
            let name = history.name(write.place);
            wrong.push(format!(
                "K1: {name} offset {} is not what was acknowledged",
                at.1
            ));
        }
    }
}

/// True for a record that somebody wrote to this partition.
fn is_known(
    history: &History,
    by_number: &BTreeMap<u64, usize>,
    place: Place,
    record: &KeyRead,
) -> bool {
    let is_it = |write: &Write| {
        let same = (write.place, write.key) == (place, record.key);
        same && write.value == record.value && write.made_ms == record.made_ms
    };
    match record.value {
        Some(value) => by_number
            .get(&value)
            .is_some_and(|number| is_it(&history.writes[*number])),
        None => history.writes.iter().any(is_it),
    }
}

fn settings(history: &History, topic: usize) -> KeyTopic {
    let mut settings = KeyTopic::default();
    for entry in &history.entries {
        let Entry::Created {
            topic: made,
            configs,
        } = entry
        else {
            continue;
        };
        let number = |wanted: &str| {
            let found = configs.iter().find(|(key, _)| key == wanted);
            found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        if *made == topic {
            settings.delete_retention_ms = number("delete.retention.ms");
            settings.lag_ms = number("min.compaction.lag.ms");
        }
    }
    settings
}

/// A reading has come to the end.
fn check_end(
    history: &History,
    scan: &Scan,
    scanned: &Scanned,
    moment: usize,
    wrong: &mut Vec<String>,
) {
    let rules = settings(history, scanned.place.topic);
    let name = history.name(scanned.place);
    let here = history.writes.iter();
    let here = here.filter(|write| write.place == scanned.place && write.asked < moment);
    let range = scanned.from..scanned.position;
    let mut newest: BTreeMap<u64, &Write> = BTreeMap::new();
    for write in here.clone() {
        let Some(offset) = write.offset.filter(|offset| range.contains(offset)) else {
            continue;
        };
        let known = newest.entry(write.key).or_insert(write);
        if known.offset < write.offset {
            *known = write;
        }
        let is_young = write.made_ms + rules.lag_ms > scanned.at_ms;
        if is_young && !scan.seen.contains_key(&offset) {
            wrong.push(format!(
                "K4: {name} offset {offset} was missing at {}, made at {}, though it stays for {} \
                 ms",
                scanned.at_ms, write.made_ms, rules.lag_ms
            ));
        }
    }
    for (key, write) in newest {
        let seen = scan.newest.get(&key).copied();
        if seen >= write.offset {
            continue;
        }
        // What may have taken its place, or be it, and have gone since.
        let unknown = here.clone();
        let unknown = unknown.filter(|it| it.key == key && it.offset.is_none());
        let mut tombstones = unknown.chain([write]).filter(|it| it.value.is_none());
        let has_ended = |it: &Write| it.made_ms + rules.delete_retention_ms <= scanned.at_ms;
        let took_ms = scanned.at_ms - scanned.began_ms;
        let may_be_old = seen.is_none() || took_ms > rules.delete_retention_ms;
        if tombstones.any(has_ended) && may_be_old {
            continue;
        }
        let rule = if write.value.is_none() { "K3" } else { "K2" };
        wrong.push(format!(
            "{rule}: reading {} of {name} from {} (at {}) to {} (at {}) saw of key {key} {seen:?}, \
             and {:?} at offset {:?} was acknowledged (tombstones stay for {} ms)",
            scanned.scan,
            scanned.from,
            scanned.began_ms,
            scanned.position,
            scanned.at_ms,
            write.value,
            write.offset,
            rules.delete_retention_ms
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::keys::{KeyEntry, KeyRead, Scanned, Write};
    use crate::history::{Entry, History};

    /// Value 1, value 2, a tombstone, all of one key, made at 1000, 2000, 3000; the tombstone stays
    /// for 500 ms, all for 100 ms.
    fn history(count: usize) -> History {
        let mut history = sample::history();
        let configs = [
            ("delete.retention.ms", "500"),
            ("min.compaction.lag.ms", "100"),
        ];
        let configs = configs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        history.push(Entry::Created {
            topic: 0,
            configs: configs.into(),
        });
        let all = [(Some(1), 1_000), (Some(2), 2_000), (None, 3_000)];
        let writes = all.into_iter().take(count).map(|(value, made_ms)| Write {
            place: sample::PLACE,
            key: 5,
            value,
            made_ms,
            asked: 0,
            offset: None,
        });
        let first = history.ask_writes(writes.collect());
        history.end_writes(first, count, 10);
        history
    }

    fn read(number: i64) -> KeyRead {
        let value = [Some(1), Some(2), None];
        let index = usize::try_from(number).unwrap();
        KeyRead {
            offset: 10 + number,
            key: 5,
            value: value[index],
            made_ms: 1_000 + 1_000 * number,
        }
    }

    fn scan(history: &mut History, began_ms: i64, at_ms: i64, seen: &[i64]) {
        let records: Vec<KeyRead> = seen.iter().map(|number| read(*number)).collect();
        history.push(Entry::Key(KeyEntry::Scanned(Scanned {
            scan: history.entries.len(),
            place: sample::PLACE,
            from: 0,
            began_ms,
            position: 13,
            high_watermark: 13,
            at_ms,
            records,
        })));
    }

    fn is_right(history: &History) {
        assert_eq!(super::super::check(history), Vec::<String>::new());
    }

    #[test]
    fn the_newest_is_enough() {
        let mut history = history(2);
        scan(&mut history, 9_000, 9_001, &[0, 1]);
        scan(&mut history, 9_000, 9_001, &[1]);
        is_right(&history);
        scan(&mut history, 9_000, 9_001, &[0]);
        sample::expect(&history, "K2: ");
    }

    #[test]
    fn a_tombstone_may_go_after_its_time() {
        let mut history = history(3);
        scan(&mut history, 3_200, 3_400, &[2]);
        scan(&mut history, 3_600, 3_700, &[]);
        is_right(&history);
        scan(&mut history, 3_200, 3_400, &[]);
        sample::expect(&history, "K3: ");
    }

    #[test]
    fn only_a_slow_reader_misses_a_tombstone() {
        let mut slow = history(3);
        scan(&mut slow, 3_000, 9_000, &[1]);
        is_right(&slow);
        let mut quick = history(3);
        scan(&mut quick, 8_900, 9_000, &[1]);
        sample::expect(&quick, "K3: ");
    }

    #[test]
    fn what_is_young_stays() {
        let mut history = history(2);
        scan(&mut history, 2_000, 2_050, &[1]);
        is_right(&history);
        scan(&mut history, 1_000, 1_050, &[1]);
        sample::expect(&history, "K4: ");
    }

    #[test]
    fn a_changed_offset_is_seen() {
        let mut history = history(2);
        scan(&mut history, 9_000, 9_001, &[1]);
        let Some(Entry::Key(KeyEntry::Scanned(last))) = history.entries.last_mut() else {
            panic!("just pushed");
        };
        last.records[0].offset = 12;
        scan(&mut history, 9_000, 9_001, &[1]);
        sample::expect(&history, "K1: sample-0 holds 2 at 12 and 11");
    }
}
