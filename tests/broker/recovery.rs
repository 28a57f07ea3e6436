// SPDX-License-Identifier: Apache-2.0
//! What a start makes of a directory that was damaged or left in disorder: what it cuts, what it
//! serves around, what it rebuilds, and what it says of it.

use std::fs::{self, OpenOptions};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use furlong::wire::record::{BatchHeader, split_batches};

use crate::client::{Client, batch_of};
use crate::process::Broker;

/// On a real disk: what lies in memory has no direct I/O.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}

/// Batches of two records of 100 kB each.
fn values(place: usize) -> Vec<String> {
    let value = |record| format!("{place}-{record} {}", "x".repeat(100_000));
    vec![value(0), value(1)]
}

/// The files of a partition with this ending, in the order of their names.
fn files(data: &Path, partition: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join(partition)).expect("the partition is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

/// Position and length of each batch of a file, up to the zeros behind the last.
fn batches(path: &Path) -> Vec<(u64, u64)> {
    let file = bytes::Bytes::from(fs::read(path).expect("it can be read"));
    let mut position = 0;
    split_batches(&file)
        .map_while(|batch| {
            let len = u64::try_from(batch.ok()?.len()).expect("small");
            position += len;
            Some((position - len, len))
        })
        .collect()
}

fn flip(path: &Path, position: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).expect("inside");
    byte[0] ^= 0x10;
    file.write_all_at(&byte, position)
        .expect("it can be written");
}

/// A broker that took so many batches into segments of one mebibyte.
fn filled(data: &Path, count: usize) -> Broker {
    let broker = Broker::start(data);
    let mut client = Client::connect(&broker.address);
    // Their timestamps are old.
    let settings = [("segment.bytes", "1048576"), ("retention.ms", "-1")];
    client.create_topic_with("furrow", 1, &settings);
    for place in 0..count {
        client.produce_values("furrow", 0, &values(place));
    }
    broker
}

/// Every offset up to `end` can be read, but for these.
fn check_all_but(client: &mut Client, end: i64, lost: &[i64]) {
    for offset in 0..end {
        let data = client.fetch("furrow", 0, offset);
        assert_eq!(data.high_watermark.max(end), end, "offset {offset}");
        if lost.contains(&offset) {
            assert_ne!(data.error_code, 0, "offset {offset} is damaged");
            continue;
        }
        assert_eq!(data.error_code, 0, "offset {offset}");
        let records = data.records.expect("records");
        let header = BatchHeader::parse(&records).expect("a whole batch");
        assert!((header.base_offset..=header.last_offset()).contains(&offset));
    }
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_served_around_and_told() {
    for is_clean in [true, false] {
        let data = folder();
        let broker = filled(data.path(), 12);
        if is_clean {
            assert_eq!(broker.stop().code(), Some(0));
        } else {
            broker.kill();
        }
        let first = files(data.path(), "furrow-0", ".log").remove(0);
        let (position, len) = batches(&first)[2];
        flip(&first, position + 5000);
        let before = fs::read(&first).expect("it can be read");
        let mut broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        check_all_but(&mut client, 24, &[4, 5]);
        let line = broker.hear("is damaged from byte");
        for word in [
            "furrow-0/00000000000000000000.log",
            &format!("from byte {position} to byte {}", position + len),
            "offsets 4 to 5",
            "go on at offset 6",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert_eq!(client.produce_values("furrow", 0, &values(12)), 24);
        assert_eq!(broker.stop().code(), Some(0));
        assert!(
            fs::read(&first).expect("it can be read") == before,
            "never cut"
        );
    }
}

#[test]
fn a_flipped_byte_in_the_tail_is_cut_as_a_torn_write_and_told() {
    let data = folder();
    filled(data.path(), 8).kill();
    let last = files(data.path(), "furrow-0", ".log").pop().expect("one");
    let (position, _) = *batches(&last).last().expect("a batch");
    flip(&last, position + 5000);
    let mut broker = Broker::start(data.path());
    let line = broker.hear("of a torn write");
    assert!(
        line.contains("furrow-0") && line.contains("offset 14"),
        "{line}"
    );
    let line = broker.hear("unclean start: 1 partition");
    assert!(line.contains("1 had not"), "{line}");
    let mut client = Client::connect(&broker.address);
    check_all_but(&mut client, 14, &[]);
    assert_eq!(client.produce_values("furrow", 0, &values(9)), 14);
}

/// A name, the ending of a file, and what is done to it.
type Harm = (&'static str, &'static str, fn(&Path));

#[test]
fn small_files_that_are_missing_or_damaged_are_rebuilt() {
    let harms: [Harm; 5] = [
        ("the last index", ".index", |path| {
            fs::remove_file(path).expect("it is there");
        }),
        ("the last time index", ".timeindex", |path| {
            fs::remove_file(path).expect("it is there");
        }),
        ("a snapshot", ".snapshot", |path| {
            fs::write(path, b"no snapshot").expect("it can be written");
        }),
        ("the checkpoint", "leader-epoch-checkpoint", |path| {
            fs::write(path, b"0\nnothing").expect("it can be written");
        }),
        ("the marker", "clean-shutdown", |path| flip(path, 3)),
    ];
    for (name, ending, harm) in harms {
        let data = folder();
        assert_eq!(filled(data.path(), 8).stop().code(), Some(0));
        let file = files(data.path(), "furrow-0", ending).pop();
        harm(&file.expect("it was written at the stop"));
        let mut broker = Broker::start(data.path());
        broker.hear("unclean start: 1 partition");
        let mut client = Client::connect(&broker.address);
        check_all_but(&mut client, 16, &[]);
        assert_eq!(client.produce_values("furrow", 0, &values(9)), 16, "{name}");
        assert_eq!(broker.stop().code(), Some(0));
        let mut broker = Broker::start(data.path());
        broker.hear("clean start: 1 partition");
        check_all_but(&mut Client::connect(&broker.address), 18, &[]);
    }
}

#[test]
fn an_index_of_a_sealed_segment_is_rebuilt_when_it_is_read() {
    let data = folder();
    assert_eq!(filled(data.path(), 8).stop().code(), Some(0));
    let index = files(data.path(), "furrow-0", ".index").remove(0);
    let before = fs::read(&index).expect("it can be read");
    fs::remove_file(&index).expect("it is there");
    let mut broker = Broker::start(data.path());
    broker.hear("clean start: 1 partition");
    check_all_but(&mut Client::connect(&broker.address), 16, &[]);
    assert_eq!(broker.stop().code(), Some(0));
    assert_eq!(fs::read(&index).expect("it is back"), before);
}

#[test]
fn clean_and_unclean_starts_are_told_apart() {
    let data = folder();
    let mut broker = Broker::start(data.path());
    broker.hear("start without partitions");
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 3);
    client.produce_values("furrow", 1, &values(0));
    assert_eq!(broker.stop().code(), Some(0));
    let mut broker = Broker::start(data.path());
    let line = broker.hear("clean start: 3 partitions");
    assert!(
        !line.contains("unclean") && line.contains("3 had been stopped"),
        "{line}"
    );
    assert_eq!(broker.stop().code(), Some(0));
    let marker = files(data.path(), "furrow-1", "clean-shutdown").remove(0);
    fs::remove_file(marker).expect("it is there");
    let mut broker = Broker::start(data.path());
    let line = broker.hear("unclean start: 3 partitions");
    for word in ["2 had been stopped in order", "1 had not"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let records = Client::connect(&broker.address).read_all("furrow", 1);
    assert_eq!(records.len(), 2);
    broker.kill();
    let mut broker = Broker::start(data.path());
    let line = broker.hear("unclean start: 3 partitions");
    assert!(line.contains("3 had not"), "{line}");
}

/// Zeros behind the last batch take time to read and no space on the disk.
const HOLE_BYTES: u64 = 3 << 30;

#[test]
fn clients_are_answered_while_a_partition_is_recovered() {
    let data = folder();
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("furrow", 1);
    client.produce_values("furrow", 0, &values(0));
    let address = broker.address.clone();
    broker.kill();
    let log = files(data.path(), "furrow-0", ".log").remove(0);
    let file = OpenOptions::new().write(true).open(&log).expect("there");
    let len = file.metadata().expect("open").len();
    file.set_len(len + HOLE_BYTES).expect("a hole");
    let mut broker = Broker::begin(data.path(), &["--listen", &address]);
    // Its port is bound by then, so that no connection can be one to itself.
    broker.hear("commits: ");
    while TcpStream::connect(&address).is_err() {
        broker.assert_alive();
        thread::sleep(Duration::from_millis(2));
    }
    let mut client = Client::connect(&address);
    let epoch = client.leader_epoch("furrow", 0);
    assert_eq!(epoch, 1, "metadata is that of this start");
    let refused = client.produce("furrow", 0, batch_of(&values(1)));
    assert_eq!(
        refused.error_code, 6,
        "not open yet, and the client may retry"
    );
    assert_eq!(client.fetch("furrow", 0, 0).error_code, 6);
    assert!(
        !broker.is_ready(),
        "all this came before: {:?}",
        broker.said
    );
    let line = broker.hear("recovering: 0 of 1 partition, ");
    assert!(line.contains("read") && line.contains(&address), "{line}");
    assert!(broker.wait_for_ready());
    let line = broker.hear("unclean start: 1 partition");
    assert!(line.contains("GiB") || line.contains("GB"), "{line}");
    let ready = broker
        .said
        .iter()
        .filter(|line| line.contains("serving on"));
    assert_eq!(ready.count(), 1);
    assert_eq!(client.produce_values("furrow", 0, &values(1)), 2);
    assert_eq!(client.read_all("furrow", 0).len(), 4);
    assert_eq!(broker.stop().code(), Some(0));
    let left = fs::metadata(&log).expect("there").len();
    assert!(left < HOLE_BYTES, "the hole is gone");
}
