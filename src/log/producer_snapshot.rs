// SPDX-License-Identifier: Apache-2.0
//! The file that keeps the producer state at one offset: `<offset>.snapshot`, in Kafka's layout.
//!
//! Big endian:
//! ```text
//!  0  version  i16 |  1
//!  2  crc      u32 |  CRC-32C of everything from offset 6 to the end
//!  6  count    i32 |  number of entries
//! 10  entries, 46 bytes each:
//!      0  producer_id               i64
//!      8  producer_epoch            i16
//!     10  last_sequence             i32
//!     14  last_offset               i64
//!     22  offset_delta              i32 |  last offset minus first offset of the batch
//!     26  timestamp                 i64 |  largest timestamp of the batch
//!     34  coordinator_epoch         i32 |  of the producer's last marker, -1 for none
//!     38  current_txn_first_offset  i64 |  of its open transaction, -1 for none
//! ```
//! Kafka writes one entry for each producer. This broker writes one for each remembered batch, a
//! producer's oldest first: a reader that keeps one entry per producer keeps the newest, as Kafka's
//! does, and ours gets all five back, so that a repeated send is recognised after a restart, too.
//! Where the last marker has a newer epoch than every batch (or there is no batch), a last entry
//! with its epoch follows, without a batch: sequence and offset are -1, as in Kafka.
//!
//! Owns: the layout. Invariants: a damaged file is refused, never half read. Runs on: the core of
//! the partition.
//! Bounded by: `SMALL_FILE_BYTES_MAX`, `PRODUCERS_PER_PARTITION_MAX`.

use super::producer_state::transactions::{ProducerTail, RememberedMarker};
use super::producer_state::{ProducerState, RememberedBatch};
use crate::model::ids::Offset;
use crate::wire::checksum::crc32c;

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const COUNT_AT: usize = 6;
const ENTRIES_AT: usize = 10;
const ENTRY_BYTES: usize = 46;

/// The contents of the file.
#[must_use]
pub fn encode(state: &ProducerState) -> Vec<u8> {
    let mut file = Vec::with_capacity(ENTRIES_AT + state.len() * ENTRY_BYTES);
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&[0; ENTRIES_AT - CRC_AT]);
    let mut count: i32 = 0;
    for (producer_id, batches, tail) in state.rows() {
        let newest = batches.last().map(|batch| batch.producer_epoch);
        let marker = tail
            .marker
            .filter(|marker| Some(marker.producer_epoch) != newest)
            .map(|marker| RememberedBatch {
                producer_epoch: marker.producer_epoch,
                last_sequence: -1,
                last_offset: -1,
                offset_delta: 0,
                timestamp: marker.timestamp,
            });
        for batch in batches.iter().chain(&marker) {
            encode_entry(&mut file, producer_id, batch, &tail);
            count += 1;
        }
    }
    file[COUNT_AT..ENTRIES_AT].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c(&file[COUNT_AT..]);
    file[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
    file
}

fn encode_entry(
    file: &mut Vec<u8>,
    producer_id: i64,
    batch: &RememberedBatch,
    tail: &ProducerTail,
) {
    let coordinator_epoch = tail.marker.map_or(-1, |marker| marker.coordinator_epoch);
    file.extend_from_slice(&producer_id.to_be_bytes());
    file.extend_from_slice(&batch.producer_epoch.to_be_bytes());
    file.extend_from_slice(&batch.last_sequence.to_be_bytes());
    file.extend_from_slice(&batch.last_offset.to_be_bytes());
    file.extend_from_slice(&batch.offset_delta.to_be_bytes());
    file.extend_from_slice(&batch.timestamp.to_be_bytes());
    file.extend_from_slice(&coordinator_epoch.to_be_bytes());
    file.extend_from_slice(&tail.open_since.unwrap_or(-1).to_be_bytes());
}

/// Reads the file taken at `offset`; `None` if it is damaged.
#[must_use]
pub fn decode(file: &[u8], offset: Offset) -> Option<ProducerState> {
    let (head, entries) = file.split_first_chunk::<ENTRIES_AT>()?;
    let [v0, v1, c0, c1, c2, c3, n0, n1, n2, n3] = *head;
    if i16::from_be_bytes([v0, v1]) != VERSION
        || u32::from_be_bytes([c0, c1, c2, c3]) != crc32c(&file[COUNT_AT..])
    {
        return None;
    }
    let count = usize::try_from(i32::from_be_bytes([n0, n1, n2, n3])).ok()?;
    let (rows, rest) = entries.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || rows.len() != count {
        return None;
    }
    let mut state = ProducerState::new();
    for row in rows {
        let (producer_id, batch, tail) = decode_entry(row)?;
        let ascends = state
            .newest(producer_id)
            .is_none_or(|newest| batch.last_offset > newest.last_offset);
        let is_open_before = tail.open_since.is_none_or(|since| since < offset);
        if producer_id < 0 || batch.last_offset >= offset || !is_open_before {
            return None;
        }
        if batch.last_offset >= 0 {
            if !ascends {
                return None;
            }
            state.remember(producer_id, batch, offset);
        } else if tail.marker.is_none() {
            return None;
        }
        state.restore(producer_id, tail);
    }
    Some(state)
}

fn decode_entry(row: &[u8; ENTRY_BYTES]) -> Option<(i64, RememberedBatch, ProducerTail)> {
    let (producer_id, row) = row.split_first_chunk()?;
    let (producer_epoch, row) = row.split_first_chunk()?;
    let (last_sequence, row) = row.split_first_chunk()?;
    let (last_offset, row) = row.split_first_chunk()?;
    let (offset_delta, row) = row.split_first_chunk()?;
    let (timestamp, row) = row.split_first_chunk()?;
    let (coordinator_epoch, open_since) = row.split_first_chunk()?;
    let batch = RememberedBatch {
        producer_epoch: i16::from_be_bytes(*producer_epoch),
        last_sequence: i32::from_be_bytes(*last_sequence),
        last_offset: i64::from_be_bytes(*last_offset),
        offset_delta: i32::from_be_bytes(*offset_delta),
        timestamp: i64::from_be_bytes(*timestamp),
    };
    let coordinator_epoch = i32::from_be_bytes(*coordinator_epoch);
    let open_since = i64::from_be_bytes(*open_since.first_chunk()?);
    let marker = (coordinator_epoch >= 0).then_some(RememberedMarker {
        producer_epoch: batch.producer_epoch,
        coordinator_epoch,
        offset: -1,
        timestamp: batch.timestamp,
    });
    let tail = ProducerTail {
        marker,
        open_since: (open_since >= 0).then_some(open_since),
    };
    Some((i64::from_be_bytes(*producer_id), batch, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(last_sequence: i32, last_offset: Offset) -> RememberedBatch {
        RememberedBatch {
            producer_epoch: 2,
            last_sequence,
            last_offset,
            offset_delta: 1,
            timestamp: 0x0102,
        }
    }

    fn state() -> ProducerState {
        let mut state = ProducerState::new();
        state.remember(5, batch(9, 100), 100);
        state
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        let mut expected = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 0, 0, 0, 9]);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 1]);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend_from_slice(&[0xff; 12]);
        let crc = crc32c(&expected[COUNT_AT..]);
        expected[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(encode(&state()), expected);
        assert_eq!(decode(&expected, 101), Some(state()));
    }

    #[test]
    fn all_remembered_batches_come_back() {
        let mut state = state();
        for place in 1..9i32 {
            let offset = 100 + i64::from(place) * 2;
            state.remember(5, batch(9 + place * 2, offset), offset);
        }
        state.remember(3, batch(1, 300), 300);
        let back = decode(&encode(&state), 301).expect("a good file");
        assert_eq!(back.newest(5), state.newest(5));
        let batches = back.rows().map(|(_, batches, _)| batches.len());
        assert!(batches.sum::<usize>() >= 6);
    }

    #[test]
    fn an_open_transaction_and_the_last_marker_come_back() {
        let marker = RememberedMarker {
            producer_epoch: 2,
            coordinator_epoch: 4,
            offset: -1,
            timestamp: 0x0102,
        };
        let tail = ProducerTail {
            marker: Some(marker),
            open_since: Some(90),
        };
        let mut state = state();
        state.restore(5, tail);
        // Its last marker has a newer epoch than its batch; another has markers alone.
        let fenced = ProducerTail {
            marker: Some(RememberedMarker {
                producer_epoch: 7,
                ..marker
            }),
            open_since: None,
        };
        state.remember(3, batch(1, 80), 100);
        state.restore(3, fenced);
        state.restore(1, fenced);
        let file = encode(&state);
        assert_eq!(file.len(), ENTRIES_AT + 4 * ENTRY_BYTES);
        assert_eq!(decode(&file, 101), Some(state));
        let last = &file[file.len() - 12..];
        assert_eq!(last, [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 90]);
        let marker_only = &file[ENTRIES_AT + 8..ENTRIES_AT + 26];
        assert_eq!(marker_only[..2], [0, 7]);
        assert_eq!(marker_only[2..14], [0xff; 12], "no sequence, no offset");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let good = encode(&state());
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert_eq!(decode(&bad, 101), None, "byte {place}");
            assert_eq!(decode(&good[..place], 101), None, "cut at {place}");
        }
        assert_eq!(decode(&good, 100), None, "from a later offset");
        assert!(decode(&encode(&ProducerState::new()), 0).is_some());
    }

    proptest! {
        #[test]
        fn entries_in_any_order_never_panic(
            rows in proptest::collection::vec((0..3i64, -1..50i64, -1..60i64), 0..12),
        ) {
            let mut file = vec![0; ENTRIES_AT];
            file[1] = 1;
            file[9] = u8::try_from(rows.len()).expect("few rows");
            for (id, offset, open) in rows {
                file.extend_from_slice(&id.to_be_bytes());
                file.extend_from_slice(&[0; 6]);
                file.extend_from_slice(&offset.to_be_bytes());
                file.extend_from_slice(&[0; 12]);
                file.extend_from_slice(&(-1i32).to_be_bytes());
                file.extend_from_slice(&open.to_be_bytes());
            }
            let crc = crc32c(&file[COUNT_AT..]);
            file[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
            if let Some(state) = decode(&file, 50) {
                for (_, batches, tail) in state.rows() {
                    prop_assert!(batches.iter().all(|batch| batch.last_offset < 50));
                    prop_assert!(tail.open_since.is_none_or(|since| since < 50));
                }
            }
        }
    }
}
