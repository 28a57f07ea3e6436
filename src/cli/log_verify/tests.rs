// SPDX-License-Identifier: Apache-2.0
//! Sound and damaged partitions.
//!
//! Owns: nothing. Invariants: none. Runs on: the test runner. Bounded by: small files.

use super::*;
use crate::log::clean_marker::CleanMarker;
use crate::log::offset_index::OffsetIndex;
use crate::log::time_index::TimeIndex;
use crate::wire::record::{BatchBuilder, Compression};

/// Batches of ten records each from offset 100 and time 1000 on, a millisecond apart; two segments
/// of three batches; leader epoch 2, then 3 in the second one; stopped in order.
struct Partition {
    directory: tempfile::TempDir,
}

const FIRST: &str = "00000000000000000100";
const SECOND: &str = "00000000000000000130";

fn batch(number: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for place in 0..10 {
        builder.append(1000 + number * 10 + place, Some(b"bed"), None, &[]);
    }
    builder.offsets(100 + number * 10, if number < 3 { 2 } else { 3 });
    builder.build().to_vec()
}

impl Partition {
    fn new() -> Partition {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let partition = Partition { directory };
        for (base, numbers) in [(100, 0..3), (130, 3..6)] {
            let (mut log, mut offsets, mut times) =
                (Vec::new(), OffsetIndex::new(base), TimeIndex::new(base));
            for number in numbers {
                let last = 109 + number * 10;
                if !log.is_empty() {
                    offsets.append(last, u64::try_from(log.len()).expect("small"));
                }
                times.maybe_append(1009 + number * 10, last);
                log.extend(batch(number));
            }
            partition.put(&format!("{base:020}.log"), &log);
            partition.put(&format!("{base:020}.index"), &offsets.encode());
            partition.put(&format!("{base:020}.timeindex"), &times.encode());
        }
        partition.put("leader-epoch-checkpoint", b"0\n2\n2 100\n3 130\n");
        partition.put(
            "partition.metadata",
            b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ",
        );
        partition.stop();
        partition
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file");
    }

    fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("a file");
    }

    /// Writes the marker of a clean stop.
    fn stop(&self) {
        let marker = CleanMarker {
            segment_base: 130,
            log_end: 160,
            segment_bytes: u64::try_from(self.get(&log(SECOND)).len()).expect("small"),
        };
        self.put("clean-shutdown", &marker.encode());
    }

    fn report(&self) -> Report {
        let mut reports = verify(self.directory.path()).expect("it can be read");
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    /// The one problem that there is.
    fn problem(&self) -> String {
        let report = self.report();
        assert_eq!(report.problems.len(), 1, "{report:?}");
        report.problems[0].clone()
    }
}

fn log(base: &str) -> String {
    format!("{base}.log")
}

#[test]
fn a_sound_partition_is_counted() {
    let partition = Partition::new();
    let report = partition.report();
    assert_eq!(
        (&report.problems[..], &report.notes[..]),
        (&[][..], &[][..])
    );
    let counts = (report.segments, report.batches, report.records);
    assert_eq!((counts, report.offsets), ((2, 6, 60), Some((100, 160))));
    let mut text = Vec::new();
    report.write(&mut text).expect("memory");
    let text = String::from_utf8(text).expect("text");
    assert!(
        text.contains("sound (2 segments, 6 batches, 60 records"),
        "{text}"
    );
    // A data directory holds it as one of several.
    let above = tempfile::tempdir().expect("a temporary directory");
    fs::rename(partition.directory.path(), above.path().join("garden-0")).expect("moved");
    fs::create_dir(above.path().join("empty")).expect("a directory");
    let reports = verify(above.path()).expect("readable");
    assert_eq!((reports.len(), reports[0].batches), (1, 6));
    fs::write(
        above.path().join("meta.properties"),
        "version=1\nnode.id=1\n",
    )
    .expect("a file");
    let reports = verify(above.path()).expect("readable");
    assert_eq!(
        reports[1].problems,
        ["meta.properties: it does not say cluster.id"]
    );
}

#[test]
fn every_flipped_bit_of_a_log_is_found() {
    let partition = Partition::new();
    let sound = partition.get(&log(FIRST));
    for place in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        partition.put(&log(FIRST), &bytes);
        let report = partition.report();
        // An offset that is larger than it was may be one that compaction left behind.
        let is_gap = report
            .notes
            .iter()
            .any(|note| note.contains("gaps in the offsets"));
        assert!(!report.problems.is_empty() || is_gap, "byte {place}");
        assert!(!report.problems.is_empty() || place < 8, "byte {place}");
    }
}

#[test]
fn a_torn_end_is_a_note_only_where_a_crash_may_have_torn_it() {
    let partition = Partition::new();
    let whole = partition.get(&log(SECOND));
    partition.put(&log(SECOND), &whole[..whole.len() - 1]);
    let torn = partition.report();
    assert!(
        torn.problems
            .iter()
            .any(|one| one.contains("bytes before the end")),
        "{torn:?}"
    );
    partition.remove("clean-shutdown");
    partition.remove(&format!("{SECOND}.index"));
    partition.remove(&format!("{SECOND}.timeindex"));
    let torn = partition.report();
    assert_eq!(torn.problems, Vec::<String>::new());
    assert!(torn.notes[0].contains("A start cuts it"), "{torn:?}");
    // Space that was prepared.
    partition.put(&log(SECOND), &[&whole[..], &[0; 4096]].concat());
    let prepared = partition.report();
    assert_eq!(prepared.problems, Vec::<String>::new());
    assert!(
        prepared.notes[0].contains("4096 bytes of zeros"),
        "{prepared:?}"
    );
    // In a segment that was sealed it is neither.
    let first = partition.get(&log(FIRST));
    partition.put(&log(FIRST), &[&first[..], &[0; 4096]].concat());
    assert!(partition.problem().contains("4096 bytes of zeros"));
}

#[test]
fn an_index_that_lies_is_found() {
    let name = format!("{FIRST}.index");
    for (bytes, part) in [
        (vec![0; 7], "no whole number of entries"),
        (
            vec![0, 0, 0, 11, 0, 0, 0, 5],
            "position 5, where no batch begins",
        ),
        (vec![0, 0, 0, 0, 0, 0, 0, 1], "no batch begins"),
        (vec![0, 0, 0, 9, 0, 0, 255, 0], "behind the last batch"),
        (
            vec![0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 10],
            "goes backwards",
        ),
        (vec![0, 0, 0, 9, 255, 0, 0, 9], "position below 0"),
    ] {
        let partition = Partition::new();
        partition.put(&name, &bytes);
        let problem = partition.problem();
        assert!(
            problem.starts_with(&name) && problem.contains(part),
            "{part}: {problem}"
        );
    }
    let partition = Partition::new();
    let second = u8::try_from(batch(0).len()).expect("small");
    partition.put(&name, &[0, 0, 0, 3, 0, 0, 0, second]);
    assert!(partition.problem().contains("points behind itself"));
    // Prepared space, and an index that a start makes anew.
    let partition = Partition::new();
    partition.put(&name, &[0; 80]);
    assert_eq!(partition.report().problems, Vec::<String>::new());
    partition.remove(&name);
    let report = partition.report();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.notes[0].contains("makes it anew"), "{report:?}");
}

#[test]
fn a_time_index_that_lies_is_found() {
    let name = format!("{FIRST}.timeindex");
    let entry = |timestamp: i64, offset: i32| {
        [&timestamp.to_be_bytes()[..], &offset.to_be_bytes()].concat()
    };
    for (bytes, part) in [
        (entry(1000, 9), "where it is 1009"),
        (entry(1012, 9), "where it is 1009"),
        (entry(1029, 40), "names offset 140"),
        ([entry(1009, 9), entry(1009, 19)].concat(), "goes backwards"),
        (vec![0; 13], "no whole number"),
    ] {
        let partition = Partition::new();
        partition.put(&name, &bytes);
        let problem = partition.problem();
        assert!(
            problem.starts_with(&name) && problem.contains(part),
            "{part}: {problem}"
        );
    }
}

#[test]
fn small_files_that_lie_are_found() {
    for (name, bytes, part) in [
        (
            "leader-epoch-checkpoint",
            &b"0\n1\n3 130"[..],
            "no list of ascending",
        ),
        ("partition.metadata", b"version: 0\n", "to which topic"),
        (
            "00000000000000000160.snapshot",
            b"\0\x01abcdefgh",
            "producer state is damaged",
        ),
        (
            "00000000000000000130-0000000003.checkpoint",
            b"abc",
            "at position 0",
        ),
    ] {
        let partition = Partition::new();
        partition.put(name, bytes);
        let problem = partition.problem();
        assert!(
            problem.starts_with(name) && problem.contains(part),
            "{name}: {problem}"
        );
    }
    let partition = Partition::new();
    partition.put("leader-epoch-checkpoint", b"0\n2\n2 100\n4 130\n");
    let report = partition.report();
    assert_eq!(report.problems.len(), 3, "{report:?}");
    assert!(report.problems[0].contains("leader epoch is 3, and leader-epoch-checkpoint says 4"));
    // Where nothing is known of the first records, they were trimmed; where nothing is known at
    // all, something is lost.
    partition.put("leader-epoch-checkpoint", b"0\n1\n3 130\n");
    assert_eq!(partition.report().problems, Vec::<String>::new());
    partition.put("leader-epoch-checkpoint", b"0\n0\n");
    let report = partition.report();
    assert_eq!(report.problems.len(), 6, "{report:?}");
    assert!(report.problems[0].contains("leader-epoch-checkpoint says none"));
    // A marker of another end.
    let partition = Partition::new();
    let longer = [partition.get(&log(SECOND)), batch(6)].concat();
    partition.put(&log(SECOND), &longer);
    partition.put("leader-epoch-checkpoint", b"0\n2\n2 100\n3 130\n");
    assert!(
        partition
            .problem()
            .starts_with("clean-shutdown: it says that segment 130")
    );
    partition.remove("clean-shutdown");
    assert_eq!(partition.report().problems, Vec::<String>::new());
}

#[test]
fn a_trimmed_log_starts_where_its_file_says() {
    let partition = Partition::new();
    let file = |offset: i64| {
        let head = format!("0\n{offset}\n");
        format!("{head}{:08x}\n", crc32fast::hash(head.as_bytes()))
    };
    partition.put("log-start-offset", file(115).as_bytes());
    let report = partition.report();
    assert_eq!(
        (&report.problems[..], report.offsets),
        (&[][..], Some((115, 160)))
    );
    partition.put("log-start-offset", file(161).as_bytes());
    assert!(
        partition
            .problem()
            .contains("starts at 161, and it ends at 160")
    );
    partition.put("log-start-offset", b"0\n115\nffffffff\n");
    assert!(partition.problem().contains("it is damaged"));
}

#[test]
fn segments_that_overlap_are_found() {
    let partition = Partition::new();
    let overlapping = [partition.get(&log(FIRST)), batch(3)].concat();
    partition.put(&log(FIRST), &overlapping);
    partition.remove("leader-epoch-checkpoint");
    let problem = partition.problem();
    assert!(
        problem.starts_with(SECOND) && problem.contains("begins before the end"),
        "{problem}"
    );
}

#[test]
fn where_nothing_is_nothing_is_sound() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let error = verify(empty.path()).expect_err("no partition");
    assert!(error.to_string().contains("holds no log"), "{error}");
    let missing = verify(Path::new("/no/such/directory")).expect_err("not there");
    assert!(
        missing.to_string().contains("/no/such/directory"),
        "{missing}"
    );
}
