// SPDX-License-Identifier: Apache-2.0
//! Compaction against a model: of each key the newest record stays, at its offset, whatever ends in
//! between; and the log goes on as if nothing had been.
//!
//! Owns: [`Model`]. Invariants: none. Runs on: tests. Bounded by: each test.

use std::collections::BTreeMap;

use bytes::Bytes;
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::log::{LogConfig, LogEvent};
use furlong::model::ids::Offset;
use furlong::model::topic_config::{CleanupPolicy, CompactionConfig};
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::host::{Host, WITHOUT_POINTS, config};

pub type Key = Vec<u8>;
pub type Value = Option<Vec<u8>>;

pub fn compacted() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        segment_bytes: 9000,
        index_interval_bytes: 300,
        compaction: CompactionConfig {
            dirty_millionths_min: 0,
            ..CompactionConfig::default()
        },
        ..config()
    }
}

/// What was appended, by offset.
#[derive(Default)]
pub struct Model {
    pub sent: BTreeMap<Offset, (Key, Value)>,
}

impl Model {
    pub fn append(
        &mut self,
        host: &mut Host,
        codec: Compression,
        records: &[(Key, Value)],
    ) -> Offset {
        let mut builder = BatchBuilder::new(codec);
        for (key, value) in records {
            builder.append(host.now.wall_ms, Some(key), value.as_deref(), &[]);
        }
        let appended = host.append(&builder.build()).expect("a good batch");
        host.settle();
        for (offset, record) in (appended.base_offset..).zip(records) {
            self.sent.insert(offset, record.clone());
        }
        host.log
            .handle_retention_bound(host.log.durable_end_offset());
        appended.base_offset
    }

    /// Random batches over so many keys.
    pub fn fill(&mut self, host: &mut Host, batches: usize, keys: usize) {
        for _ in 0..batches {
            let codec = Compression::ALL[host.disk.dice.below(5)];
            let count = 1 + host.disk.dice.below(4);
            let records: Vec<(Key, Value)> = (0..count)
                .map(|_| {
                    let key = format!("key {}", host.disk.dice.below(keys)).into_bytes();
                    let fill = u8::try_from(host.disk.dice.below(255)).expect("small");
                    (key, Some(vec![fill; 40 + host.disk.dice.below(200)]))
                })
                .collect();
            self.append(host, codec, &records);
        }
    }

    /// Every record that is left is what it was; the newest of each key is left; below the clean
    /// end only it, if one is named.
    pub fn check(&mut self, host: &mut Host, clean_end: Option<Offset>) -> usize {
        let found = read_records(host);
        for (offset, record) in &found {
            assert_eq!(Some(record), self.sent.get(offset), "at offset {offset}");
        }
        let mut newest: BTreeMap<&Key, Offset> = BTreeMap::new();
        let mut newest_clean: BTreeMap<&Key, Offset> = BTreeMap::new();
        for (offset, (key, _)) in &self.sent {
            newest.insert(key, *offset);
            if *offset < clean_end.unwrap_or(0) {
                newest_clean.insert(key, *offset);
            } else if clean_end.is_some() {
                assert!(found.contains_key(offset), "{offset} is dirty, and gone");
            }
        }
        for offset in newest.values() {
            let (_, value) = &self.sent[offset];
            assert!(
                found.contains_key(offset) || value.is_none(),
                "{offset} is gone"
            );
        }
        for (offset, (key, _)) in found.range(..clean_end.unwrap_or(0)) {
            assert_eq!(newest_clean[key], *offset, "{offset} is outdated");
        }
        found.len()
    }
}

/// All records, read as a consumer reads: from where the last batch ended.
pub fn read_records(host: &mut Host) -> BTreeMap<Offset, (Key, Value)> {
    let mut all = BTreeMap::new();
    let mut offset = host.log.log_start_offset();
    while offset < host.log.durable_end_offset() {
        let bytes = host.read(offset, 2000).expect("a good log reads");
        assert!(!bytes.is_empty(), "nothing at {offset}");
        for batch in split_batches(&bytes) {
            let batch = batch.expect("whole batches");
            let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
            for record in &opened {
                let record = record.expect("good records");
                let key = record.key.expect("a key").to_vec();
                let value = record.value.map(<[u8]>::to_vec);
                assert!(record.offset >= offset);
                all.insert(record.offset, (key, value));
            }
            let last = opened.header().last_offset();
            assert!(last >= offset, "the walk goes on");
            offset = last + 1;
        }
    }
    all
}

/// Waits until nothing more is compacted; the clean end.
pub fn compact(host: &mut Host) -> Offset {
    let mut last = None;
    for _ in 0..100 {
        host.wait_ms(16_000);
        host.settle();
        let clean_end = host.log.clean_end_offset();
        if clean_end.is_some() && clean_end == last {
            return last.expect("just seen");
        }
        last = clean_end;
    }
    panic!("compaction does not come to an end");
}

pub fn base_of_last(host: &Host) -> Offset {
    let names = host.disk.names();
    let last = names
        .iter()
        .rfind(|name| name.ends_with(".log"))
        .expect("a segment");
    let digits = last.rsplit('/').next().expect("a name");
    digits.trim_end_matches(".log").parse().expect("a number")
}

#[test]
fn of_each_key_only_the_newest_record_stays_at_its_offset() {
    let mut host = Host::new(1, compacted());
    let mut model = Model::default();
    for round in 0..3 {
        model.fill(&mut host, 200, 20);
        let (before, segments) = (host.log.size_bytes(), host.log.segment_count());
        let clean_end = compact(&mut host);
        assert_eq!(clean_end, base_of_last(&host), "all but the last segment");
        let left = model.check(&mut host, Some(clean_end));
        assert!(
            host.log.size_bytes() < before / 2,
            "round {round}: {left} records"
        );
        let is_fewer = host.log.segment_count() < segments;
        assert!(round == 0 || is_fewer, "small segments become one");
        let unfinished = [".cleaned", ".swap", "compaction-swap"];
        let names = host.disk.names();
        assert!(
            names
                .iter()
                .all(|name| !unfinished.iter().any(|end| name.ends_with(end)))
        );
        if round == 1 {
            host.stop();
            assert!(host.reopen(compacted()).clean);
        } else {
            host.disk.crash();
            host.reopen(compacted());
        }
        host.log
            .handle_retention_bound(host.log.durable_end_offset());
        assert_eq!(model.check(&mut host, Some(clean_end)), left);
        assert!(!host.has(|event| matches!(event, LogEvent::Damaged { .. })));
    }
}

/// A log that is about to be compacted: the same for the same seed.
fn about_to_compact(seed: u64) -> (Host, Model) {
    let mut host = Host::on(WITHOUT_POINTS, seed, compacted());
    let mut model = Model::default();
    model.fill(&mut host, 60, 8);
    compact(&mut host);
    model.fill(&mut host, 80, 12);
    (host, model)
}

/// Begins to compact and ends after so many requests to the disk; true if that was all.
fn compact_for(host: &mut Host, steps: usize) -> bool {
    host.start_waiting_ms(16_000);
    for _ in 0..steps {
        if host.disk.is_idle() && !host.wake() {
            return true;
        }
        if !host.disk.is_idle() {
            host.step();
        }
    }
    false
}

#[test]
fn an_end_at_any_request_loses_and_brings_back_nothing() {
    for kind in 0..3u64 {
        let mut steps = 0;
        loop {
            let (mut host, mut model) = about_to_compact(4 * kind);
            let is_all = compact_for(&mut host, steps);
            match kind {
                0 => host.disk.crash(),
                1 => host.disk.kill(),
                _ => host.stop(),
            }
            let end = host.log.durable_end_offset();
            host.reopen(compacted());
            assert_eq!(host.log.log_end_offset(), end, "after {steps} steps");
            host.log.handle_retention_bound(end);
            assert!(!host.has(|event| matches!(event, LogEvent::Damaged { .. })));
            check_files(&host);
            model.check(&mut host, None);
            let clean_end = compact(&mut host);
            assert_eq!(clean_end, base_of_last(&host));
            model.check(&mut host, Some(clean_end));
            model.fill(&mut host, 3, 12);
            model.check(&mut host, Some(clean_end));
            if is_all {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps} steps are a whole pass");
    }
}

/// Nothing half-done is left, and segments are batches back to back.
fn check_files(host: &Host) {
    let names = host.disk.names();
    for name in &names {
        let is_unfinished = [".cleaned", ".swap", "compaction-swap"];
        assert!(
            !is_unfinished.iter().any(|end| name.ends_with(end)),
            "{name}"
        );
    }
    let logs: Vec<_> = names.iter().filter(|name| name.ends_with(".log")).collect();
    for log in &logs[..logs.len() - 1] {
        let stored = Bytes::from(host.disk.contents(log));
        assert!(split_batches(&stored).all(|batch| batch.is_ok()), "{log}");
    }
}
