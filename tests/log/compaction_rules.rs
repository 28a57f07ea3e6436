// SPDX-License-Identifier: Apache-2.0
//! What compaction may touch and when: tombstones, lags, the dirty ratio, producers, transactions,
//! readers, a small map, a full disk.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::log::{LogConfig, LogEvent};
use furlong::model::cleaner::CleanerSettings;
use furlong::model::topic_config::{CleanupPolicy, CompactionConfig};
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, split_batches};

use crate::compaction::{Key, Model, Value, base_of_last, compact, compacted, read_records};
use crate::host::{Host, WITHOUT_POINTS};

const HOUR_MS: i64 = 3_600_000;

fn with(rules: CompactionConfig) -> LogConfig {
    LogConfig {
        compaction: rules,
        ..compacted()
    }
}

fn quick() -> CompactionConfig {
    compacted().compaction
}

fn one(key: &str, value: Option<usize>) -> (Key, Value) {
    (key.as_bytes().to_vec(), value.map(|len| vec![5; len]))
}

/// Values of other keys until the last segment is a new one.
fn roll(host: &mut Host, model: &mut Model) {
    for place in 0..5 {
        let key = format!("filler {place}");
        model.append(host, Compression::None, &[one(&key, Some(3000))]);
    }
}

#[test]
fn a_tombstone_goes_when_its_time_is_over_and_a_value_that_follows_stays() {
    let mut host = Host::new(1, compacted());
    let mut model = Model::default();
    model.append(
        &mut host,
        Compression::None,
        &[one("a", Some(9)), one("b", Some(9))],
    );
    let tombstone = model.append(
        &mut host,
        Compression::Zstd,
        &[one("a", None), one("c", None)],
    );
    model.append(&mut host, Compression::None, &[one("c", Some(9))]);
    roll(&mut host, &mut model);
    let clean_end = compact(&mut host);
    model.check(&mut host, Some(clean_end));
    let found = read_records(&mut host);
    assert!(found.contains_key(&tombstone), "its time has just begun");
    assert!(!found.contains_key(&(tombstone + 1)), "a value follows");
    assert!(!found.contains_key(&0));
    host.wait_ms(23 * HOUR_MS);
    roll(&mut host, &mut model);
    compact(&mut host);
    assert!(read_records(&mut host).contains_key(&tombstone));
    host.wait_ms(2 * HOUR_MS);
    roll(&mut host, &mut model);
    let clean_end = compact(&mut host);
    assert!(!read_records(&mut host).contains_key(&tombstone));
    model.check(&mut host, Some(clean_end));
}

#[test]
fn records_younger_than_the_lag_stay() {
    let rules = CompactionConfig {
        lag_ms_min: 48 * 3_600_000,
        ..quick()
    };
    let mut host = Host::new(2, with(rules));
    let mut model = Model::default();
    model.fill(&mut host, 100, 5);
    assert_eq!(compact(&mut host), 0);
    model.check(&mut host, Some(0));
    host.wait_ms(50 * HOUR_MS);
    let clean_end = compact(&mut host);
    assert_eq!(clean_end, base_of_last(&host));
    model.check(&mut host, Some(clean_end));
}

#[test]
fn little_dirt_waits_until_it_is_too_old() {
    let rules = CompactionConfig {
        dirty_millionths_min: 1_000_000,
        lag_ms_max: Some(10 * 3_600_000),
        ..quick()
    };
    let mut host = Host::new(2, with(rules));
    let mut model = Model::default();
    model.fill(&mut host, 100, 5);
    assert_eq!(
        compact(&mut host),
        0,
        "all of it is dirty, and that is not more than all"
    );
    host.wait_ms(11 * HOUR_MS);
    let clean_end = compact(&mut host);
    assert_eq!(
        clean_end,
        host.log.log_end_offset(),
        "the last segment was rolled for it"
    );
    model.check(&mut host, Some(clean_end));
}

#[test]
fn a_map_that_is_too_small_takes_several_passes() {
    let mut host = Host::new(1, compacted());
    let settings = CleanerSettings {
        dedupe_bytes: 24 * 12,
        ..CleanerSettings::default()
    };
    host.log.set_cleaner(settings);
    let mut model = Model::default();
    model.fill(&mut host, 200, 40);
    let clean_end = compact(&mut host);
    assert_eq!(clean_end, base_of_last(&host));
    // Each pass leaves what the next one finds newer: only losses would be wrong.
    model.check(&mut host, None);
    assert!(read_records(&mut host).len() < model.sent.len());
}

/// Passes that were reported: whole, and given up.
fn passes(host: &Host) -> (usize, usize) {
    let reports = host.events.iter().filter_map(|event| match event {
        LogEvent::Compacted(report) => Some(report.is_whole),
        _ => None,
    });
    let (whole, given_up): (Vec<bool>, Vec<bool>) = reports.partition(|is_whole| *is_whole);
    (whole.len(), given_up.len())
}

#[test]
fn a_pass_tells_what_it_did_and_what_it_holds() {
    let mut host = Host::new(1, compacted());
    let mut model = Model::default();
    model.fill(&mut host, 200, 20);
    let before = host.log.size_bytes();
    assert_eq!(host.log.memory().compacting_bytes, 0);
    host.start_waiting_ms(16_000);
    let mut held = 0;
    for _ in 0..200 {
        if host.disk.is_idle() && !host.wake() {
            break;
        }
        if !host.disk.is_idle() {
            host.step();
        }
        held = held.max(host.log.memory().compacting_bytes);
    }
    assert!(held > 0, "the map and its pieces count");
    let clean_end = compact(&mut host);
    assert_eq!(host.log.memory().compacting_bytes, 0);
    let reports: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            LogEvent::Compacted(report) => Some(*report),
            _ => None,
        })
        .collect();
    let last = reports.last().expect("it was compacted");
    assert!(last.is_whole);
    assert_eq!(last.clean_end, clean_end);
    let removed: u64 = reports.iter().map(|report| report.removed_bytes).sum();
    assert_eq!(removed, before - host.log.size_bytes());
    let read: u64 = reports.iter().map(|report| report.read_bytes).sum();
    assert!(read > before, "the dirty part, and then all");
    assert!(reports.iter().map(|report| report.keys).max() <= Some(20));
}

#[test]
fn a_full_disk_has_the_pass_given_up_and_begun_again() {
    let mut room = 0;
    loop {
        let mut host = Host::on(WITHOUT_POINTS, 1, compacted());
        let mut model = Model::default();
        model.fill(&mut host, 120, 20);
        let names = host.disk.names();
        let used: usize = names.iter().map(|name| host.disk.len_of(name)).sum();
        host.disk.capacity = used + room;
        for _ in 0..4 {
            host.wait_ms(16_000);
            host.settle();
        }
        assert!(
            !host.has(|event| matches!(event, LogEvent::Failed { .. })),
            "{room}"
        );
        model.check(&mut host, None);
        let (whole, given_up) = passes(&host);
        host.disk.capacity = usize::MAX;
        let clean_end = compact(&mut host);
        model.check(&mut host, Some(clean_end));
        let names = host.disk.names();
        assert!(!names.iter().any(|name| name.ends_with(".cleaned")));
        if given_up == 0 {
            assert!(whole > 0 && room > 0, "the first one had no room");
            return;
        }
        room += 4096;
    }
}

#[test]
fn damage_leaves_the_log_as_it_is_until_somebody_has_looked() {
    let mut host = Host::on(WITHOUT_POINTS, 1, compacted());
    let mut model = Model::default();
    model.fill(&mut host, 120, 20);
    host.shed(usize::MAX);
    let names: Vec<String> = host.disk.names().into_iter().map(str::to_owned).collect();
    let logs: Vec<&String> = names.iter().filter(|name| name.ends_with(".log")).collect();
    assert!(logs.len() > 3);
    let middle = logs[1];
    host.disk.rewrite(middle, |file| file[100] ^= 1);
    let before: Vec<Vec<u8>> = logs.iter().map(|name| host.disk.contents(name)).collect();
    for _ in 0..4 {
        host.wait_ms(16_000);
        host.settle();
    }
    let told = host.events.iter().filter_map(|event| match event {
        LogEvent::Damaged { sentence } => Some(sentence),
        _ => None,
    });
    let told: Vec<&Box<str>> = told.collect();
    assert_eq!(told.len(), 1, "told once");
    assert!(told[0].contains(middle.as_str()) && told[0].contains("not compacted"));
    assert_eq!(passes(&host), (0, 1));
    let after: Vec<Vec<u8>> = logs.iter().map(|name| host.disk.contents(name)).collect();
    assert_eq!(before, after);
    assert_eq!(host.log.clean_end_offset(), Some(0));
}

#[test]
fn what_is_not_committed_or_is_switched_off_is_left_alone() {
    let mut host = Host::new(1, compacted());
    let off = CleanerSettings {
        is_enabled: false,
        ..CleanerSettings::default()
    };
    host.log.set_cleaner(off);
    let mut model = Model::default();
    model.fill(&mut host, 100, 5);
    host.wait_ms(60_000);
    assert_eq!(host.log.clean_end_offset(), None);
    assert_eq!(model.check(&mut host, Some(0)), model.sent.len());
}

/// A batch of this producer.
fn produced(host: &mut Host, sequence: i32, transactional: bool, key: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(77, 3, sequence);
    if transactional {
        builder.transactional();
    }
    for _ in 0..2 {
        builder.append(host.now.wall_ms, Some(key.as_bytes()), Some(b"value"), &[]);
    }
    builder.build()
}

#[test]
fn a_producer_goes_on_although_all_its_records_are_outdated() {
    let mut host = Host::on(WITHOUT_POINTS, 1, compacted());
    let mut model = Model::default();
    for sequence in [0, 2, 4] {
        let batch = produced(&mut host, sequence, false, "x");
        host.append(&batch).expect("in order");
        host.settle();
    }
    for offset in 0..6 {
        model
            .sent
            .insert(offset, (b"x".to_vec(), Some(b"value".to_vec())));
    }
    model.append(&mut host, Compression::None, &[one("x", Some(1))]);
    roll(&mut host, &mut model);
    let clean_end = compact(&mut host);
    model.check(&mut host, Some(clean_end));
    let first = host.read(0, 1 << 20).expect("reads");
    let first = split_batches(&first).next().expect("one").expect("whole");
    let header = BatchHeader::parse(&first).expect("good");
    let place = (header.base_offset, header.last_offset());
    assert_eq!(
        (place, header.record_count),
        ((4, 5), 0),
        "its last batch is empty"
    );
    assert_eq!((header.producer_id, header.producer_epoch), (77, 3));
    // Without snapshots all that is known of it is that batch.
    host.disk.kill();
    let names = host.disk.names().into_iter().map(str::to_owned);
    let names: Vec<String> = names.filter(|name| name.ends_with(".snapshot")).collect();
    for name in &names {
        host.disk.lose(name);
    }
    host.reopen(compacted());
    let again = produced(&mut host, 4, false, "x");
    assert!(host.append(&again).expect("known").duplicate);
    let gap = produced(&mut host, 8, false, "x");
    host.append(&gap).expect_err("a gap");
    let next = produced(&mut host, 6, false, "x");
    assert!(!host.append(&next).expect("in order").duplicate);
}

#[test]
fn a_read_under_way_is_answered_whenever_the_copy_takes_its_place() {
    for steps in 0..400 {
        let mut host = Host::on(WITHOUT_POINTS, 1, compacted());
        let mut model = Model::default();
        model.fill(&mut host, 60, 5);
        host.shed(usize::MAX);
        host.start_waiting_ms(16_000);
        for _ in 0..steps {
            if host.disk.is_idle() && !host.wake() {
                return;
            }
            if !host.disk.is_idle() {
                host.step();
            }
        }
        let middle = host.log.log_end_offset() / 2;
        let read = host.start_read(middle, 1000, i64::MAX);
        host.settle();
        let bytes = host.read_result(read).expect("no read fails for it");
        let first = split_batches(&bytes).next().expect("one").expect("whole");
        assert!(BatchHeader::parse(&first).expect("good").last_offset() >= middle);
    }
    panic!("the pass does not end");
}

#[test]
fn both_policies_together_compact_and_delete() {
    let both = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: true,
        },
        retention_bytes: Some(10_000),
        ..compacted()
    };
    let mut host = Host::new(1, both);
    let mut model = Model::default();
    for round in 0..6 {
        model.fill(&mut host, 80, 60 + 20 * round);
        compact(&mut host);
        host.wait_ms(31_000);
    }
    assert!(host.log.size_bytes() <= 20_000);
    let start = host.log.log_start_offset();
    assert!(start > 0);
    model.sent.retain(|offset, _| *offset >= start);
    model.check(&mut host, None);
    assert!(!host.has(|event| matches!(event, LogEvent::Failed { .. })));
}
