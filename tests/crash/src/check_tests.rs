// SPDX-License-Identifier: Apache-2.0
//! The checker must see each lie that it is there for.

use super::*;
use crate::history::{Moments, NEVER};
use crate::plan::{REBORN, Stamp};

const PLACE: Place = Place {
    topic: 2,
    partition: 0,
};

/// Five batches of an idempotent producer, acknowledged at one moment each, and what a sound broker
/// would give back.
fn sound() -> (History, BTreeMap<Place, PartitionRead>) {
    let history = History::new(1, Moments::Alike);
    let (mut batches, mut end) = (Vec::new(), 0);
    for _ in 0..5 {
        let (number, _) = history.send(0, PLACE, 0, |_| {
            Some(Stamp {
                id: 7,
                epoch: 0,
                sequence: i32::try_from(end).expect("small"),
            })
        });
        history.resolve(number, Outcome::At(end, 0));
        batches.push(ReadBatch {
            offset: end,
            number,
        });
        end += i64::from(history.batch(number).expect("sent").count);
    }
    let read = PartitionRead {
        exists: true,
        end,
        batches,
        ..PartitionRead::default()
    };
    (history, BTreeMap::from([(PLACE, read)]))
}

fn complaints(change: impl FnOnce(&History, &mut PartitionRead)) -> Vec<String> {
    let (history, mut reads) = sound();
    let knowledge = Knowledge::of(&history, 0);
    change(&history, reads.get_mut(&PLACE).expect("it is there"));
    knowledge.check(&history, &reads)
}

fn assert_told(found: &[String], words: &str) {
    assert!(
        found.iter().any(|sentence| sentence.contains(words)),
        "{words}: {found:?}"
    );
}

#[test]
fn a_sound_log_passes() {
    assert_eq!(complaints(|_, _| {}), Vec::<String>::new());
}

#[test]
fn a_lost_batch_is_seen() {
    let found = complaints(|_, read| {
        let last = read.batches.pop().expect("five");
        read.end = last.offset;
    });
    assert_told(&found, "was acknowledged or read");
}

#[test]
fn a_second_copy_is_seen() {
    let found = complaints(|_, read| {
        let number = read.batches[1].number;
        read.batches.push(ReadBatch {
            offset: read.end,
            number,
        });
    });
    assert_told(&found, "and at");
    assert_told(&found, "goes on at offset");
}

#[test]
fn a_gap_in_the_sequence_is_seen_without_any_acknowledgement() {
    let (history, mut reads) = sound();
    for number in 0..5 {
        history.resolve(number, Outcome::Unknown);
    }
    reads
        .get_mut(&PLACE)
        .expect("it is there")
        .batches
        .remove(1);
    assert_told(
        &Knowledge::of(&history, 0).check(&history, &reads),
        "goes on at offset",
    );
}

#[test]
fn a_batch_from_the_future_is_seen() {
    let (history, reads) = sound();
    let branch = history.branch(0, Moments::Alike);
    let sound = Knowledge::of(&branch, 0).check(&branch, &reads);
    assert_eq!(sound, Vec::<String>::new());
    // None of them had been sent.
    let empty = History::new(1, Moments::Alike);
    let (number, _) = empty.send(0, PLACE, 0, |_| None);
    let before = {
        let mut knowledge = Knowledge::of(&empty, 0);
        knowledge.at = 0;
        let sent = SentBatch {
            sent: NEVER,
            ..empty.batch(number).expect("sent")
        };
        let batch = ReadBatch { offset: 0, number };
        knowledge.allowed(PLACE, &[(&batch, sent)], &empty.lives(PLACE.topic))
    };
    assert_told(&before, "sent only after");
}

#[test]
fn a_log_start_that_moves_by_itself_is_seen() {
    let found = complaints(|_, read| {
        let second = read.batches[1].offset;
        read.batches.remove(0);
        (read.log_start, read.from) = (second, second);
    });
    assert_told(&found, "nothing may remove records");
}

#[test]
fn a_topic_that_is_gone_is_seen() {
    assert_told(
        &complaints(|_, read| read.exists = false),
        "the topic is gone",
    );
}

#[test]
fn two_promises_for_one_offset_are_seen() {
    let (history, reads) = sound();
    let mut knowledge = Knowledge::of(&history, 0);
    knowledge.place(PLACE, 0, 4);
    assert_told(&knowledge.check(&history, &reads), "and then batch");
}

#[test]
fn records_of_a_deleted_topic_are_seen() {
    let history = History::new(1, Moments::Alike);
    let place = Place {
        topic: REBORN,
        partition: 0,
    };
    let life = history.life_begins();
    history.life(|life, now| life.created = Some(now));
    let (number, _) = history.send(0, place, life, |_| None);
    history.resolve(number, Outcome::At(0, 0));
    let read = PartitionRead {
        exists: true,
        end: i64::from(history.batch(number).expect("sent").count),
        batches: vec![ReadBatch { offset: 0, number }],
        ..PartitionRead::default()
    };
    let reads = BTreeMap::from([(place, read)]);
    assert_eq!(
        Knowledge::of(&history, 0).check(&history, &reads),
        Vec::<String>::new()
    );
    history.life(|life, now| life.delete_sent = Some(now));
    history.life(|life, now| life.deleted = Some(now));
    let after = Knowledge::of(&history, 0).check(&history, &reads);
    assert_told(&after, "belongs to a topic that was deleted");
}
