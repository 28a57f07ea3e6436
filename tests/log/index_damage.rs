// SPDX-License-Identifier: Apache-2.0
//! Damage that is not a torn tail: indexes, checkpoints, metadata, rot in a sealed segment (FAULTS
//! F4).
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use furlong::limits::UNFLUSHED_BYTES_MAX;
use furlong::log::{LogConfig, ReadError};
use furlong::wire::record::{BatchHeader, split_batches};

use crate::host::{Host, WITHOUT_POINTS, batch, config};

const FIRST_LOG: &str = "topic-0/00000000000000000000.log";
const FIRST_INDEX: &str = "topic-0/00000000000000000000.index";
const FIRST_TIME_INDEX: &str = "topic-0/00000000000000000000.timeindex";
const CHECKPOINT: &str = "topic-0/leader-epoch-checkpoint";
const BATCHES: usize = 60;

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 8000,
        index_interval_bytes: 400,
        ..config()
    }
}

/// Three segments or so, stopped.
fn stopped() -> Host {
    let mut host = Host::new(4, small());
    for place in 0..BATCHES {
        if place == 20 {
            // A second leader epoch in the middle of the first segment.
            host.epoch += 1;
        }
        host.append(&batch(&[&[u8::try_from(place).expect("small"); 300]]))
            .expect("a good batch");
        host.settle();
    }
    assert!(host.log.segment_count() >= 3);
    host.stop();
    host
}

fn check_all(host: &mut Host) {
    assert_eq!(host.read_all().len(), BATCHES);
    for offset in 0..i64::try_from(BATCHES).expect("small") {
        let bytes = host.read(offset, 1).expect("it reads");
        assert_eq!(
            BatchHeader::parse(&bytes).expect("good").base_offset,
            offset
        );
    }
}

#[test]
fn a_missing_index_is_rebuilt_and_written() {
    for name in [FIRST_INDEX, FIRST_TIME_INDEX] {
        let mut host = stopped();
        let before = host.disk.contents(name);
        host.disk.lose(name);
        host.reopen(small());
        check_all(&mut host);
        assert_eq!(host.disk.contents(name), before, "the same as before");
    }
}

#[test]
fn an_index_with_any_flipped_byte_still_leads_to_every_record() {
    let places = stopped().disk.contents(FIRST_INDEX).len();
    for place in 0..places {
        let mut host = stopped();
        host.disk
            .rewrite(FIRST_INDEX, |file| file[place] ^= 1 << (place % 8));
        host.reopen(small());
        check_all(&mut host);
    }
}

#[test]
fn a_cut_index_is_rebuilt() {
    let mut host = stopped();
    host.disk.rewrite(FIRST_INDEX, |file| file.truncate(11));
    host.disk.rewrite(FIRST_TIME_INDEX, Vec::clear);
    host.reopen(small());
    check_all(&mut host);
}

#[test]
fn the_last_segments_files_are_rebuilt_at_the_start() {
    let stem = stopped()
        .disk
        .names()
        .into_iter()
        .rfind(|name| name.ends_with(".log"))
        .expect("there are segments")
        .trim_end_matches(".log")
        .to_owned();
    for name in [
        format!("{stem}.index"),
        format!("{stem}.timeindex"),
        CHECKPOINT.to_owned(),
    ] {
        let mut host = stopped();
        host.disk
            .rewrite(&name, |file| file.truncate(file.len() - 1));
        let report = host.reopen(small());
        assert!(!report.clean, "{name}");
        check_all(&mut host);
    }
    let mut host = stopped();
    host.disk
        .rewrite("topic-0/clean-shutdown", |file| file[2] ^= 1);
    assert!(!host.reopen(small()).clean);
    check_all(&mut host);
}

#[test]
fn leader_epochs_come_back_from_the_batches() {
    let mut host = stopped();
    let before = host.disk.contents(CHECKPOINT);
    host.disk.lose(CHECKPOINT);
    host.reopen(small());
    assert_eq!(host.log.end_offset_for_epoch(1), (1, 20));
    host.stop();
    assert_eq!(host.disk.contents(CHECKPOINT), before);
}

#[test]
fn a_checkpoint_that_claims_too_much_cuts_nothing() {
    let mut host = stopped();
    host.disk.lose("topic-0/clean-shutdown");
    host.disk
        .rewrite(CHECKPOINT, |file| *file = b"0\n2\n1 0\n99 20\n".to_vec());
    host.reopen(small());
    check_all(&mut host);
    assert_eq!(host.log.latest_epoch(), Some(2));
}

#[test]
fn lost_metadata_is_written_again() {
    for change in [
        |file: &mut Vec<u8>| file.clear(),
        |file: &mut Vec<u8>| file[0] ^= 1,
    ] {
        let mut host = stopped();
        let before = host.disk.contents("topic-0/partition.metadata");
        host.disk.rewrite("topic-0/partition.metadata", change);
        host.reopen(small());
        check_all(&mut host);
        assert_eq!(host.disk.contents("topic-0/partition.metadata"), before);
    }
}

#[test]
fn rot_in_a_sealed_segment_answers_damage_and_the_rest_serves() {
    let size = batch(&[&[0; 300]]).len();
    for (place, name) in [
        (size * 5 + 100, "record"),
        (size * 5 + 8, "length"),
        (size * 5 + 20, "crc"),
    ] {
        for unclean in [false, true] {
            let mut host = stopped();
            host.disk.rewrite(FIRST_LOG, |file| file[place] ^= 0x40);
            let before = host.disk.contents(FIRST_LOG);
            if unclean {
                host.disk.lose("topic-0/clean-shutdown");
            }
            host.reopen(small());
            assert_eq!(host.log.log_end_offset(), 60);
            assert_eq!(host.read(5, 1), Err(ReadError::Corrupt), "{name}");
            let up_to_it = host.read(0, 100_000).expect("what is good reads");
            assert_eq!(split_batches(&up_to_it).count(), 5, "{name}");
            for offset in 30..60 {
                assert!(
                    host.read(offset, 1).is_ok_and(|bytes| !bytes.is_empty()),
                    "{name} {offset}"
                );
            }
            assert_eq!(host.disk.contents(FIRST_LOG), before, "never cut");
        }
    }
}

#[test]
fn a_sealed_file_that_lost_its_end_answers_damage() {
    let mut host = stopped();
    host.disk
        .rewrite(FIRST_LOG, |file| file.truncate(file.len() - 10));
    // The name of the next segment says where this one must end.
    host.reopen(small());
    let sealed_end = host.log.segment_count();
    assert!(sealed_end >= 3);
    assert!(host.read(0, 1).is_ok());
    assert_eq!(host.read(30, 1).map(|bytes| bytes.is_empty()), Ok(false));
}

#[test]
fn rot_far_from_the_end_of_the_last_segment_cuts_nothing() {
    let mut host = Host::on(WITHOUT_POINTS, 4, config());
    let value = vec![5; 900_000];
    let count = UNFLUSHED_BYTES_MAX / value.len() + 6;
    for _ in 0..count {
        host.append(&batch(&[&value])).expect("a good batch");
        host.settle();
    }
    host.disk.crash();
    let size = batch(&[&value]).len();
    host.disk.rewrite(FIRST_LOG, |file| {
        // A flipped bit in one batch, and a torn end.
        file[size * 3 + 5000] ^= 1;
        file[size * (count - 1) + 5000] ^= 1;
    });
    let report = host.reopen(config());
    assert_eq!((report.clean, report.damaged_places), (false, 1));
    let count = i64::try_from(count).expect("small");
    assert_eq!(
        host.log.log_end_offset(),
        count - 1,
        "only the torn end is cut"
    );
    assert_eq!(host.read(3, 1), Err(ReadError::Corrupt));
    for offset in [0, 2, 4, 5, count - 2] {
        let bytes = host.read(offset, 1).expect("what is good reads");
        assert_eq!(
            BatchHeader::parse(&bytes).expect("good").base_offset,
            offset
        );
    }
    host.append(&batch(&[b"after"])).expect("a good batch");
    host.settle();
    host.stop();
    assert!(host.reopen(config()).clean);
    assert_eq!(host.read(3, 1), Err(ReadError::Corrupt));
    assert!(host.read(count - 1, 1).is_ok_and(|bytes| !bytes.is_empty()));
}
