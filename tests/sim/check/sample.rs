// SPDX-License-Identifier: Apache-2.0
//! A small history that is right, for the checkers' own tests to spoil.

use crate::history::{BatchFact, Entry, FetchFact, History, Place, ReadBatch, RecordFact};

/// The only partition of the sample.
pub const PLACE: Place = Place {
    topic: 0,
    partition: 0,
};

/// A partition of the sample's topic.
pub fn place(partition: i32) -> Place {
    Place {
        topic: 0,
        partition,
    }
}

fn record(number: u64) -> RecordFact {
    RecordFact {
        digest: 1000 + number,
        timestamp: 5,
    }
}

/// A fetch from an offset that found these batches.
pub fn fetch(offset: i64, high_watermark: i64, batches: Vec<ReadBatch>) -> FetchFact {
    FetchFact {
        client: 1,
        place: PLACE,
        called: 0,
        fetch_offset: offset,
        error: 0,
        high_watermark,
        log_start_offset: 0,
        batches,
        last_read: true,
    }
}

/// Three batches of two records: sent, acknowledged and read by two processes (the third batch by
/// the second one).
pub fn history() -> History {
    let mut history = History::default();
    history.topic("sample");
    let configs = Vec::new();
    history.push(Entry::Created { topic: 0, configs });
    let mut read = Vec::new();
    for number in 0..3 {
        let records = vec![record(number * 2), record(number * 2 + 1)];
        let small = i32::try_from(number).expect("below three");
        let base_offset = i64::from(small) * 2;
        let batch = history.new_batch(BatchFact {
            client: 0,
            place: PLACE,
            acks: -1,
            producer: Some((9, 0, small * 2)),
            connection: 0,
            records: records.clone(),
        });
        history.push(Entry::Sent { batch });
        history.push(Entry::Acked {
            batch,
            attempt: 1,
            base_offset,
            incarnation: u32::from(number == 2),
        });
        read.push(ReadBatch {
            base_offset,
            leader_epoch: i32::from(number == 2),
            crc: u32::try_from(number).expect("below three"),
            producer: (9, 0, small * 2),
            log_append_time: false,
            records,
        });
    }
    history.push(Entry::Fetched(fetch(0, 6, read)));
    let names = vec!["sample".to_owned()];
    history.push(Entry::TopicsAtEnd { names });
    history
}

/// The read at the end, to be spoilt.
pub fn last_read(history: &mut History) -> &mut FetchFact {
    let fetched = history
        .entries
        .iter_mut()
        .rev()
        .find_map(|entry| match entry {
            Entry::Fetched(fetch) => Some(fetch),
            _ => None,
        });
    fetched.expect("the sample has a fetch")
}

/// Fails unless the checkers find something that contains these words.
pub fn expect(history: &History, words: &str) {
    let wrong = super::check(history);
    assert!(
        wrong.iter().any(|sentence| sentence.contains(words)),
        "no checker says {words:?}: {wrong:?}"
    );
}

#[test]
fn the_sample_is_right() {
    assert_eq!(super::check(&history()), Vec::<String>::new());
}
