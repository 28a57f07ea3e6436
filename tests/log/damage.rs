// SPDX-License-Identifier: Apache-2.0
//! Damage at each place of a log: what is lost, what is served around it, and what a person is
//! told. Nothing that is damaged is ever cut or written to.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::limits::UNFLUSHED_BYTES_MAX;
use furlong::log::{LogConfig, LogEvent, ReadError};
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, split_batches};

use crate::host::{Host, WITHOUT_POINTS, batch, config};

const FIRST_LOG: &str = "topic-0/00000000000000000000.log";
const FIRST_INDEX: &str = "topic-0/00000000000000000000.index";
const MARKER: &str = "topic-0/clean-shutdown";

/// Records in each batch, batches in the log.
const RECORDS: i64 = 3;
const BATCHES: i64 = 60;

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 8000,
        index_interval_bytes: 900,
        ..config()
    }
}

fn filled(place: i64) -> Bytes {
    let value = [u8::try_from(place).expect("small"); 100];
    batch(&[&value, &value, &value])
}

/// Segments of batches of several records, stopped.
fn stopped() -> Host {
    let mut host = Host::on(WITHOUT_POINTS, 4, small());
    for place in 0..BATCHES {
        host.append(&filled(place)).expect("a good batch");
        host.settle();
    }
    assert!(host.log.segment_count() >= 3);
    host.stop();
    host
}

/// Where the batches of a file begin.
fn starts(file: &[u8]) -> Vec<usize> {
    let mut next = 0;
    let whole = Bytes::copy_from_slice(file);
    let lengths = split_batches(&whole).map(|batch| batch.expect("a good file").len());
    let mut starts: Vec<usize> = lengths
        .map(|len| {
            next += len;
            next - len
        })
        .collect();
    starts.push(next);
    starts
}

fn told(host: &Host) -> Vec<String> {
    let sentence = |event: &LogEvent| match event {
        LogEvent::Damaged { sentence } => Some(sentence.to_string()),
        _ => None,
    };
    host.events.iter().filter_map(sentence).collect()
}

/// The offsets that cannot be read; whatever can be read begins with the batch that holds it.
fn lost(host: &mut Host, end: i64) -> Vec<i64> {
    let mut lost = Vec::new();
    for offset in 0..end {
        match host.read(offset, 1) {
            Ok(bytes) => {
                let header = BatchHeader::parse(&bytes).expect("a good batch");
                assert!((header.base_offset..=header.last_offset()).contains(&offset));
            }
            Err(error) => {
                assert_eq!(error, ReadError::Corrupt, "offset {offset}");
                lost.push(offset);
            }
        }
    }
    lost
}

/// A name, and what it does to the bytes of a batch.
type Harm = (&'static str, fn(&mut [u8]));

/// What may happen to the bytes of one batch.
fn harms() -> Vec<Harm> {
    vec![
        ("base offset", |batch| batch[6] ^= 1),
        ("length", |batch| batch[9] ^= 1),
        ("a huge length", |batch| batch[8] ^= 0x7f),
        ("epoch", |batch| batch[12] ^= 0x80),
        ("magic", |batch| batch[16] = 1),
        ("checksum", |batch| batch[17] ^= 1),
        ("record count", |batch| batch[60] ^= 2),
        ("records", |batch| batch[100] ^= 1),
        ("lost and read as zeros", |batch| batch.fill(0)),
    ]
}

#[test]
fn a_damaged_batch_of_a_sealed_segment_is_all_that_is_lost() {
    let places = starts(&stopped().disk.contents(FIRST_LOG)).len() - 1;
    for place in [0, 1, places / 2, places - 1] {
        // A leader epoch lies outside the checksum, and reads do not look at it.
        for (name, harm) in harms().into_iter().filter(|(name, _)| *name != "epoch") {
            for (is_clean, has_index) in [(true, true), (true, false), (false, true)] {
                let mut host = stopped();
                let ends = starts(&host.disk.contents(FIRST_LOG));
                let range = ends[place]..ends[place + 1];
                host.disk.rewrite(FIRST_LOG, |file| harm(&mut file[range]));
                let before = host.disk.contents(FIRST_LOG);
                if !is_clean {
                    host.disk.lose(MARKER);
                }
                if !has_index {
                    host.disk.lose(FIRST_INDEX);
                }
                host.reopen(small());
                let end = BATCHES * RECORDS;
                assert_eq!(host.log.log_end_offset(), end);
                let first = i64::try_from(place).expect("small") * RECORDS;
                let expected: Vec<i64> = (first..first + RECORDS).collect();
                assert_eq!(lost(&mut host, end), expected, "{name} of batch {place}");
                let told = told(&host);
                assert_eq!(told.len(), 1, "{name} of batch {place}: {told:?}");
                for word in [
                    FIRST_LOG.to_owned(),
                    format!("from byte {} to byte {}", ends[place], ends[place + 1]),
                    format!("offsets {first} to {}", first + RECORDS - 1),
                ] {
                    assert!(told[0].contains(&word), "{word}: {}", told[0]);
                }
                assert_eq!(host.disk.contents(FIRST_LOG), before, "never cut");
            }
        }
    }
}

#[test]
fn several_places_are_told_one_by_one() {
    let mut host = stopped();
    let ends = starts(&host.disk.contents(FIRST_LOG));
    host.disk.rewrite(FIRST_LOG, |file| {
        for place in [2, 3, 8] {
            file[ends[place] + 9] ^= 1;
        }
    });
    host.reopen(small());
    let end = BATCHES * RECORDS;
    let expected: Vec<i64> = (6..12).chain(24..27).collect();
    assert_eq!(lost(&mut host, end), expected);
    let told = told(&host);
    assert_eq!(told.len(), 2, "two in a row are one place: {told:?}");
    assert!(
        told[0].contains("6 to 11") && told[1].contains("24 to 26"),
        "{told:?}"
    );
}

#[test]
fn a_sealed_file_that_was_cut_loses_its_end_and_says_so() {
    let mut host = stopped();
    let ends = starts(&host.disk.contents(FIRST_LOG));
    let last = ends.len() - 2;
    host.disk
        .rewrite(FIRST_LOG, |file| file.truncate(ends[last] + 100));
    host.reopen(small());
    let end = BATCHES * RECORDS;
    let first = i64::try_from(last).expect("small") * RECORDS;
    let expected: Vec<i64> = (first..first + RECORDS).collect();
    assert_eq!(lost(&mut host, end), expected);
    assert_eq!(told(&host).len(), 1);
}

#[test]
fn records_that_look_like_batches_are_not_taken_for_what_comes_behind() {
    let mut inner = BatchBuilder::new(Compression::None);
    inner.offsets(7, 1);
    inner.append(1, None, Some(b"not a record of this log"), &[]);
    let inner = inner.build();
    let mut host = Host::on(WITHOUT_POINTS, 4, small());
    for _ in 0..BATCHES {
        host.append(&batch(&[&inner, &[9; 200]]))
            .expect("a good batch");
        host.settle();
    }
    host.stop();
    let ends = starts(&host.disk.contents(FIRST_LOG));
    // The attributes: only the checksum says that something is wrong.
    host.disk.rewrite(FIRST_LOG, |file| file[ends[2] + 40] ^= 1);
    host.reopen(small());
    assert_eq!(lost(&mut host, BATCHES * 2), [4, 5]);
    assert!(
        told(&host)[0].contains("offsets 4 to 5"),
        "{:?}",
        told(&host)
    );
}

#[test]
fn damage_in_the_tail_is_a_torn_write_and_cut() {
    let size = filled(0).len();
    for (name, harm) in harms() {
        let mut host = Host::on(WITHOUT_POINTS, 4, config());
        for place in 0..BATCHES {
            host.append(&filled(place)).expect("a good batch");
            host.settle();
        }
        host.disk.kill();
        host.disk
            .rewrite(FIRST_LOG, |file| harm(&mut file[size * 30..size * 31]));
        let report = host.reopen(config());
        assert_eq!(host.log.log_end_offset(), 30 * RECORDS, "{name}");
        assert_eq!(report.damaged_places, 0, "{name}");
        assert!(report.torn_bytes_cut > 0, "{name}");
        assert_eq!(host.disk.len_of(FIRST_LOG), size * 30, "{name}");
        assert!(told(&host).is_empty());
        assert_eq!(lost(&mut host, 30 * RECORDS), [0; 0]);
    }
}

/// A log larger than what may lie unflushed, and where its batches begin.
fn large() -> (Host, usize, usize) {
    let mut host = Host::on(WITHOUT_POINTS, 4, config());
    let value = vec![5; 900_000];
    let size = batch(&[&value]).len();
    let count = UNFLUSHED_BYTES_MAX / size + 8;
    for _ in 0..count {
        host.append(&batch(&[&value])).expect("a good batch");
        host.settle();
    }
    host.disk.kill();
    (host, size, count)
}

#[test]
fn what_lies_stale_behind_a_torn_write_is_no_proof_of_rot() {
    let (mut host, size, count) = large();
    // Batch 3 is torn, batch 4 is whole and was never acknowledged; behind them lie batches of an
    // earlier use of the file, with offsets that this log had before.
    host.disk.rewrite(FIRST_LOG, |file| {
        let stale = file[..size * 2].to_vec();
        file[size * 3 + 5000] ^= 1;
        let rest = file[size * 5..size * count].chunks_mut(size * 2);
        rest.for_each(|chunk| chunk.copy_from_slice(&stale[..chunk.len()]));
    });
    let report = host.reopen(config());
    assert_eq!(report.damaged_places, 0);
    assert_eq!(host.log.log_end_offset(), 3);
    assert!(told(&host).is_empty());
    host.append(&batch(&[b"after"])).expect("a good batch");
    host.settle();
    host.disk.crash();
    host.reopen(config());
    assert_eq!(host.log.log_end_offset(), 4);
}

#[test]
fn a_segment_with_rot_is_sealed_as_it_is_and_not_looked_through_again() {
    let (mut host, size, count) = large();
    host.disk
        .rewrite(FIRST_LOG, |file| file[size * 3 + 5000] ^= 1);
    let before = host.disk.contents(FIRST_LOG)[..size * count].to_vec();
    let report = host.reopen(config());
    assert_eq!((report.damaged_places, report.torn_bytes_cut), (1, 0));
    let told_first = told(&host);
    assert_eq!(told_first.len(), 1);
    let range = format!("from byte {} to byte {}", size * 3, size * 4);
    for word in [&range, FIRST_LOG, "record at offset 3", "go on at offset 4"] {
        assert!(told_first[0].contains(word), "{word}: {told_first:?}");
    }
    let end = i64::try_from(count).expect("small");
    for place in 0..3 {
        let appended = host.append(&batch(&[b"after"])).expect("a good batch");
        assert_eq!(appended.base_offset, end + place);
        host.settle();
    }
    assert_eq!(
        host.disk.contents(FIRST_LOG),
        before,
        "sealed, not appended to"
    );
    host.disk.crash();
    let report = host.reopen(config());
    assert_eq!((report.damaged_places, report.batches_scanned), (0, 3));
    assert_eq!(lost(&mut host, end + 3), [3]);
    assert_eq!(told(&host).len(), 1, "a read comes upon it again");
}

#[test]
fn damage_below_the_recovery_point_is_told_once_when_it_is_read() {
    let mut host = Host::new(1, config());
    for place in 0..BATCHES {
        host.append(&filled(place)).expect("a good batch");
        host.settle();
    }
    host.disk.crash();
    let size = filled(0).len();
    host.disk
        .rewrite(FIRST_LOG, |file| file[size * 5 + 100] ^= 1);
    let report = host.reopen(config());
    assert!(report.bytes_skipped > 0);
    assert!(told(&host).is_empty(), "nobody has looked yet");
    let end = BATCHES * RECORDS;
    assert_eq!(lost(&mut host, end), [15, 16, 17]);
    let told = told(&host);
    assert_eq!(told.len(), 1, "{told:?}");
    let place = format!("at byte {}: the record at offset 15", size * 5);
    assert!(told[0].contains(&place), "{}", told[0]);
}

#[test]
fn the_report_counts_what_was_read() {
    let mut host = Host::on(WITHOUT_POINTS, 4, config());
    for place in 0..BATCHES {
        host.append(&filled(place)).expect("a good batch");
        host.settle();
    }
    host.disk.crash();
    let report = host.reopen(config());
    let size = u64::try_from(filled(0).len()).expect("small") * 60;
    assert!(report.bytes_scanned >= size, "{report:?}");
    assert_eq!(report.bytes_to_scan, report.bytes_scanned);
    host.stop();
    let report = host.reopen(config());
    assert_eq!((report.bytes_to_scan, report.bytes_scanned), (0, 0));
}
