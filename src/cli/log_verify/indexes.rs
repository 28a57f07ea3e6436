// SPDX-License-Identifier: Apache-2.0
//! Indexes against the batches that they point at.
//!
//! Owns: [`IndexCheck`]. Invariants: batches come in the order of the file; each entry is judged
//! once, by the first batch that can tell; the first lie of an index is told, the rest follows from
//! it. Runs on: the caller's thread. Bounded by: the entries of one segment's indexes.

use crate::wire::record::BatchHeader;

/// Bytes of an entry of the offset index: relative offset and position, 4 bytes each.
const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of an entry of the time index: a timestamp of 8 bytes, a relative offset of 4.
const TIME_ENTRY_BYTES: usize = 12;

/// Both indexes of a segment while its batches go by.
#[derive(Debug, Default)]
pub(super) struct IndexCheck {
    /// Offset and position of each entry.
    offsets: Vec<(i64, u64)>,
    offsets_judged: usize,
    /// Timestamp and offset of each entry.
    times: Vec<(i64, i64)>,
    times_judged: usize,
    largest_timestamp: i64,
    /// What is wrong with the offset index, and with the time index.
    lies: [Option<String>; 2],
}

/// Entries without the zeros at the end, which are space that was prepared. (The first entry of an
/// index may be all zeros in earnest.)
fn entries<const N: usize>(file: &[u8]) -> Result<Vec<[u8; N]>, String> {
    let (rows, rest) = file.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!(
            "its {} bytes are no whole number of entries",
            file.len()
        ));
    }
    let mut rows = rows.to_vec();
    while rows.len() > 1
        && rows
            .last()
            .is_some_and(|row| row.iter().all(|byte| *byte == 0))
    {
        rows.pop();
    }
    Ok(rows)
}

fn number(four: &[u8]) -> i64 {
    let four = four.try_into().expect("four bytes of an entry");
    i64::from(i32::from_be_bytes(four))
}

impl IndexCheck {
    /// Nothing to judge yet.
    pub(super) fn new() -> IndexCheck {
        IndexCheck {
            largest_timestamp: -1,
            ..IndexCheck::default()
        }
    }

    /// Takes the offset index of a segment.
    pub(super) fn take_offsets(&mut self, base_offset: i64, file: &[u8]) {
        let rows = match entries::<OFFSET_ENTRY_BYTES>(file) {
            Ok(rows) => rows,
            Err(sentence) => return self.lies[0] = Some(sentence),
        };
        for row in rows {
            let offset = base_offset.saturating_add(number(&row[..4]));
            let Ok(position) = u64::try_from(number(&row[4..])) else {
                return self.lies[0] = Some(format!("offset {offset} has a position below 0"));
            };
            let goes_up = self.offsets.last();
            let goes_up = goes_up.is_none_or(|last| last.0 < offset && last.1 < position);
            if !goes_up || offset < base_offset {
                let sentence = format!("the entry of offset {offset} goes backwards");
                return self.lies[0] = Some(sentence);
            }
            self.offsets.push((offset, position));
        }
    }

    /// Takes the time index of a segment.
    pub(super) fn take_times(&mut self, base_offset: i64, file: &[u8]) {
        let rows = match entries::<TIME_ENTRY_BYTES>(file) {
            Ok(rows) => rows,
            Err(sentence) => return self.lies[1] = Some(sentence),
        };
        for row in rows {
            let timestamp = row.first_chunk().copied().map_or(-1, i64::from_be_bytes);
            let offset = base_offset.saturating_add(number(&row[8..]));
            let goes_up = self.times.last();
            let goes_up = goes_up.is_none_or(|last| last.0 < timestamp && last.1 <= offset);
            if !goes_up || offset < base_offset {
                let sentence = format!("the entry of timestamp {timestamp} goes backwards");
                return self.lies[1] = Some(sentence);
            }
            self.times.push((timestamp, offset));
        }
    }

    /// A batch goes by.
    pub(super) fn see(&mut self, position: u64, header: &BatchHeader) {
        self.judge_offsets(position, header);
        let before = self.largest_timestamp;
        self.largest_timestamp = before.max(header.max_timestamp);
        self.judge_times(before, header);
    }

    fn judge_offsets(&mut self, position: u64, header: &BatchHeader) {
        while let Some((offset, points_at)) = self.offsets.get(self.offsets_judged).copied() {
            if points_at > position {
                return;
            }
            self.offsets_judged += 1;
            let sentence = if points_at < position {
                format!("offset {offset} points at position {points_at}, where no batch begins")
            } else if offset < header.base_offset {
                format!(
                    "offset {offset} points behind itself, at the batch of offset {}",
                    header.base_offset
                )
            } else {
                continue;
            };
            self.lies[0].get_or_insert(sentence);
        }
    }

    /// `before` is the largest timestamp of the batches before this one.
    fn judge_times(&mut self, before: i64, header: &BatchHeader) {
        while let Some((timestamp, offset)) = self.times.get(self.times_judged).copied() {
            if offset > header.last_offset() {
                return;
            }
            self.times_judged += 1;
            // An entry says: up to this offset, this is the largest timestamp.
            let least = match offset == header.last_offset() {
                true => self.largest_timestamp,
                false => before,
            };
            let is_true = (least..=self.largest_timestamp).contains(&timestamp);
            let is_empty = timestamp == 0 && self.times.len() == 1;
            if !is_true && !is_empty {
                let largest = self.largest_timestamp;
                self.lies[1].get_or_insert(format!(
                    "it says that {timestamp} is the largest timestamp up to offset {offset}, \
                     where it is {largest}"
                ));
            }
        }
    }

    /// What is wrong with the offset index, and with the time index, once all batches went by and
    /// the last one ended before `next_offset`.
    pub(super) fn finish(mut self, next_offset: i64) -> [Option<String>; 2] {
        let is_prepared = |length: usize, is_zero: bool| length == 1 && is_zero;
        if let Some((offset, position)) = self.offsets.get(self.offsets_judged)
            && !is_prepared(self.offsets.len(), *position == 0)
        {
            let sentence =
                format!("offset {offset} points at position {position}, behind the last batch");
            self.lies[0].get_or_insert(sentence);
        }
        if let Some((timestamp, offset)) = self.times.get(self.times_judged)
            && !is_prepared(self.times.len(), *timestamp == 0)
        {
            self.lies[1].get_or_insert(format!(
                "the entry of timestamp {timestamp} names offset {offset}, and the segment ends \
                 before {next_offset}"
            ));
        }
        self.lies
    }
}
