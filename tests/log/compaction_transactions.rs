// SPDX-License-Identifier: Apache-2.0
//! Compaction of a log with transactions: readers of committed records see the newest committed
//! value of each key, whatever ends in between; what was aborted goes, and at last so do the
//! markers and what is remembered of them.
//!
//! Owns: `Writers`. Invariants: none. Runs on: tests. Bounded by: each test.

use std::collections::{BTreeMap, BTreeSet};

use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::log::{AppendRules, LogConfig, LogEvent};
use furlong::model::ids::Offset;
use furlong::model::topic_config::CompactionConfig;
use furlong::wire::record::{BatchBuilder, Compression, EndMarker, records, split_batches};

use crate::committed::{batches, settle, stable};
use crate::compaction::{Key, Value, compact, compacted};
use crate::host::{Host, WITHOUT_POINTS};

const DELETE_RETENTION_MS: u64 = 100_000;

fn rules() -> LogConfig {
    LogConfig {
        segment_bytes: 3000,
        compaction: CompactionConfig {
            dirty_millionths_min: 0,
            delete_retention_ms: DELETE_RETENTION_MS,
            ..CompactionConfig::default()
        },
        ..compacted()
    }
}

/// A record that was sent, and what became of it: nothing while its transaction is open.
#[derive(Clone)]
struct Sent {
    key: Key,
    value: Value,
    is_committed: Option<bool>,
}

/// Producers, transactional ones and one that is not.
#[derive(Default)]
struct Writers {
    sent: BTreeMap<Offset, Sent>,
    sequences: BTreeMap<i64, i32>,
    open: BTreeMap<i64, Vec<Offset>>,
    markers: BTreeSet<Offset>,
}

impl Writers {
    /// A batch of one or two records; producer 0 has no transactions.
    fn send(&mut self, host: &mut Host, producer: i64, keys: usize) {
        let mut builder = BatchBuilder::new(Compression::None);
        let sequence = self.sequences.entry(producer).or_default();
        if producer > 0 {
            builder.producer(producer, 0, *sequence).transactional();
        }
        let mut rows = Vec::new();
        for _ in 0..=host.disk.dice.below(2) {
            let key = format!("key {}", host.disk.dice.below(keys)).into_bytes();
            let fill = u8::try_from(host.disk.dice.below(255)).expect("small");
            let value = vec![fill; 40 + host.disk.dice.below(100)];
            let value = (host.disk.dice.below(10) > 0).then_some(value);
            builder.append(host.now.wall_ms, Some(&key), value.as_deref(), &[]);
            rows.push((key, value));
            *sequence += 1;
        }
        let appended = host.append(&builder.build()).expect("in order");
        settle(host);
        for (offset, (key, value)) in (appended.base_offset..).zip(rows) {
            let is_committed = (producer == 0).then_some(true);
            if producer > 0 {
                self.open.entry(producer).or_default().push(offset);
            }
            let sent = Sent {
                key,
                value,
                is_committed,
            };
            self.sent.insert(offset, sent);
        }
    }

    fn end(&mut self, host: &mut Host, producer: i64, is_commit: bool) {
        let marker = EndMarker {
            is_commit,
            coordinator_epoch: 2,
        };
        let batch = marker.batch(producer, 0, host.now.wall_ms);
        let appended = host.append_with(&batch, AppendRules::MARKER);
        let appended = appended.expect("a good marker");
        settle(host);
        self.markers.insert(appended.base_offset);
        for offset in self.open.remove(&producer).unwrap_or_default() {
            let sent = self.sent.get_mut(&offset).expect("it was sent");
            sent.is_committed = Some(is_commit);
        }
    }

    fn act(&mut self, host: &mut Host, keys: usize) {
        let producer = i64::try_from(host.disk.dice.below(4)).expect("small");
        match host.disk.dice.below(10) {
            0..7 => self.send(host, producer, keys),
            _ if producer == 0 => self.send(host, producer, keys),
            _ => {
                let is_commit = host.disk.dice.below(2) == 0;
                self.end(host, producer, is_commit);
            }
        }
    }

    fn end_all(&mut self, host: &mut Host) {
        let open: Vec<i64> = self.open.keys().copied().collect();
        for producer in open {
            self.end(host, producer, producer == 2);
        }
    }

    /// Readers of committed records see nothing else, and the newest of each key; of what is below
    /// the clean end nothing that is outdated or was aborted is left in the log.
    fn check(&self, host: &mut Host, clean_end: Option<Offset>) {
        let seen = committed(host);
        let stable = stable(host);
        let mut newest: BTreeMap<&Key, Offset> = BTreeMap::new();
        let mut newest_clean: BTreeMap<&Key, Offset> = BTreeMap::new();
        for (offset, sent) in self.sent.range(..stable) {
            assert!(sent.is_committed.is_some(), "{offset} is not decided");
            if sent.is_committed == Some(true) {
                newest.insert(&sent.key, *offset);
                if *offset < clean_end.unwrap_or(0) {
                    newest_clean.insert(&sent.key, *offset);
                }
            }
        }
        for (offset, (key, value)) in &seen {
            let sent = &self.sent[offset];
            assert_eq!((key, value), (&sent.key, &sent.value), "at {offset}");
            assert_eq!(sent.is_committed, Some(true), "at {offset}");
        }
        for offset in newest.values() {
            let is_there = seen.contains_key(offset) || self.sent[offset].value.is_none();
            assert!(is_there, "{offset} is gone");
        }
        for offset in left(host).range(..clean_end.unwrap_or(0)) {
            if let Some(sent) = self.sent.get(offset) {
                assert_eq!(newest_clean.get(&sent.key), Some(offset), "is outdated");
            } else {
                assert!(self.markers.contains(offset), "nobody sent {offset}");
            }
        }
    }
}

/// The offsets of all records, those of markers included.
fn left(host: &mut Host) -> BTreeSet<Offset> {
    let mut found = BTreeSet::new();
    let mut offset = host.log.log_start_offset();
    while offset < host.log.durable_end_offset() {
        let bytes = host.read(offset, 2000).expect("a good log reads");
        for batch in split_batches(&bytes) {
            let batch = batch.expect("whole batches");
            let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
            let offsets = opened.iter().map(|record| record.expect("good").offset);
            found.extend(offsets);
            assert!(opened.header().last_offset() >= offset);
            offset = opened.header().last_offset() + 1;
        }
    }
    found
}

/// What a consumer of committed records takes up.
fn committed(host: &mut Host) -> BTreeMap<Offset, (Key, Value)> {
    let mut seen = BTreeMap::new();
    for (_, batch) in batches(host) {
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
        for record in &opened {
            let record = record.expect("good");
            let key = record.key.expect("a key").to_vec();
            seen.insert(record.offset, (key, record.value.map(<[u8]>::to_vec)));
        }
    }
    seen
}

/// A log with transactions of three producers, some compacted already.
fn about_to_compact(seed: u64) -> (Host, Writers) {
    let mut host = Host::on(WITHOUT_POINTS, seed, rules());
    let mut writers = Writers::default();
    for _ in 0..60 {
        writers.act(&mut host, 8);
    }
    compact(&mut host);
    for _ in 0..60 {
        writers.act(&mut host, 12);
    }
    writers.end_all(&mut host);
    for _ in 0..10 {
        writers.send(&mut host, 0, 12);
    }
    (host, writers)
}

#[test]
fn readers_of_committed_records_see_the_newest_of_each_key() {
    for seed in 0..30 {
        let (mut host, mut writers) = about_to_compact(seed);
        for round in 0..3 {
            let clean_end = compact(&mut host);
            writers.check(&mut host, Some(clean_end));
            assert!(!host.has(|event| matches!(event, LogEvent::Damaged { .. })));
            match (seed + round) % 4 {
                0 => host.disk.crash(),
                1 => host.disk.kill(),
                2 => host.stop(),
                _ => {}
            }
            if (seed + round) % 4 < 3 {
                let report = host.reopen(rules());
                assert!((seed + round) % 4 < 2 || report.clean);
                settle(&mut host);
                writers.check(&mut host, Some(clean_end));
            }
            for _ in 0..40 {
                writers.act(&mut host, 10);
            }
        }
    }
}

#[test]
fn an_end_at_any_request_shows_nothing_that_was_aborted() {
    for kind in 0..3u64 {
        let mut steps = 0;
        loop {
            let (mut host, mut writers) = about_to_compact(7 + kind);
            host.start_waiting_ms(16_000);
            let mut is_all = false;
            for _ in 0..steps {
                is_all = host.disk.is_idle() && !host.wake();
                if is_all {
                    break;
                }
                if !host.disk.is_idle() {
                    host.step();
                }
            }
            match kind {
                0 => host.disk.crash(),
                1 => host.disk.kill(),
                _ => host.stop(),
            }
            host.reopen(rules());
            settle(&mut host);
            assert!(!host.has(|event| matches!(event, LogEvent::Damaged { .. })));
            writers.check(&mut host, None);
            writers.act(&mut host, 12);
            writers.end_all(&mut host);
            let clean_end = compact(&mut host);
            writers.check(&mut host, Some(clean_end));
            if is_all {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps} steps are a whole pass");
    }
}

fn markers_left(host: &mut Host, writers: &Writers) -> usize {
    let left = left(host);
    writers.markers.intersection(&left).count()
}

fn txn_index_bytes(host: &Host) -> usize {
    let names = host.disk.names().into_iter();
    let names = names.filter(|name| name.ends_with(".txnindex"));
    names.map(|name| host.disk.contents(name).len()).sum()
}

/// Two passes: the first takes the records, the second one finds the markers without any.
#[test]
fn markers_of_which_nothing_is_left_go_after_their_time() {
    let mut host = Host::on(WITHOUT_POINTS, 3, rules());
    let mut writers = Writers::default();
    for producer in [1, 2, 3, 1, 2, 3] {
        writers.send(&mut host, producer, 1);
        writers.send(&mut host, producer, 1);
        writers.end(&mut host, producer, producer == 2);
    }
    let pass = |host: &mut Host, writers: &mut Writers| {
        for _ in 0..50 {
            writers.send(host, 0, 1);
        }
        let clean_end = compact(host);
        writers.check(host, Some(clean_end));
    };
    pass(&mut host, &mut writers);
    assert_eq!(markers_left(&mut host, &writers), 6);
    assert!(txn_index_bytes(&host) > 0);
    pass(&mut host, &mut writers);
    // The newest batch of each producer stays without its records, and its marker with it.
    assert_eq!(txn_index_bytes(&host), 2 * 34, "of what is left");
    assert_eq!(markers_left(&mut host, &writers), 6, "not yet");
    host.wait_ms(i64::try_from(DELETE_RETENTION_MS).expect("small"));
    pass(&mut host, &mut writers);
    assert_eq!(markers_left(&mut host, &writers), 3);
    let told = host.log.producers().filter(|one| one.id > 0);
    assert_eq!(told.count(), 3);
    // Without snapshots and indexes the log itself tells the same.
    host.disk.kill();
    let names = host.disk.names().into_iter().map(str::to_owned);
    let lost: Vec<String> = names
        .filter(|name| name.ends_with(".snapshot") || name.ends_with(".txnindex"))
        .collect();
    assert!(lost.len() > 1);
    lost.iter().for_each(|name| host.disk.lose(name));
    host.reopen(rules());
    settle(&mut host);
    writers.check(&mut host, None);
    let told = host.log.producers().filter(|one| one.id > 0);
    assert_eq!(told.count(), 3);
    for producer in [1, 2, 3] {
        assert_eq!(host.log.open_transaction(producer), None);
    }
}

/// A marker is all that a partition knows of a producer that was added and sent nothing.
#[test]
fn a_marker_that_alone_tells_of_its_producer_stays() {
    let mut host = Host::on(WITHOUT_POINTS, 3, rules());
    let mut writers = Writers::default();
    writers.end(&mut host, 5, false);
    for _ in 0..3 {
        for _ in 0..50 {
            writers.send(&mut host, 0, 1);
        }
        let clean_end = compact(&mut host);
        writers.check(&mut host, Some(clean_end));
        host.wait_ms(i64::try_from(DELETE_RETENTION_MS).expect("small") + 1);
    }
    assert_eq!(markers_left(&mut host, &writers), 1);
}

/// What a merge leaves that was broken off before its mark.
#[test]
fn a_file_that_tells_of_the_next_segments_too_is_taken_for_its_own() {
    let mut host = Host::on(WITHOUT_POINTS, 3, rules());
    let mut writers = Writers::default();
    for _ in 0..40 {
        for producer in [1, 2] {
            writers.send(&mut host, producer, 5);
            writers.end(&mut host, producer, producer == 2);
        }
    }
    host.stop();
    let names = host.disk.names().into_iter().map(str::to_owned);
    let names: Vec<String> = names.filter(|name| name.ends_with(".txnindex")).collect();
    assert!(names.len() > 2);
    let first = host.disk.contents(&names[0]);
    let second = host.disk.contents(&names[1]);
    host.disk
        .rewrite(&names[0], |file| file.extend_from_slice(&second));
    assert!(host.reopen(rules()).clean, "nothing has to be read again");
    settle(&mut host);
    writers.check(&mut host, None);
    assert_eq!(host.disk.contents(&names[0]), first);
    // Without the other file it is damage.
    host.stop();
    host.disk
        .rewrite(&names[0], |file| file.extend_from_slice(&second));
    host.disk.lose(&names[1]);
    assert_eq!(host.reopen(rules()).files_rebuilt, 1);
    settle(&mut host);
    writers.check(&mut host, None);
}
