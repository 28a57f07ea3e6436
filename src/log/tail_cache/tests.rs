// SPDX-License-Identifier: Apache-2.0
//! Tests of the tail cache.
//!
//! Owns: nothing. Invariants: each test name states the rule it checks. Runs on: the test's thread.
//! Bounded by: its loops.

use super::*;
use crate::limits::WRITE_BYTES_MAX;
use proptest::prelude::*;

fn buffer(byte: u8, len: usize) -> BlockBuffer {
    let mut buffer = BlockBuffer::zeroed(len);
    buffer.as_mut_slice().fill(byte);
    buffer
}

/// A log that is written in rounds, each of which begins with the block that the one before it
/// left unfinished.
struct Writer {
    cache: TailCache,
    pool: BufferPool,
    segment: Offset,
    /// What the segment holds.
    file: Vec<u8>,
    /// Round starts of the segment: position and offset.
    starts: Vec<(u64, Offset)>,
    next_offset: Offset,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer {
            cache: TailCache::default(),
            pool: BufferPool::new(4 * WRITE_BYTES_MAX),
            segment: 0,
            file: Vec::new(),
            starts: Vec::new(),
            next_offset: 0,
        }
    }
}

impl Writer {
    /// Writes a round of one batch, in writes of at most 1 MiB and with room to spare.
    fn round(&mut self, len: usize, spare: usize) {
        let at = self.file.len();
        self.cache
            .mark(self.segment, file_len(at), self.next_offset);
        self.starts.push((file_len(at), self.next_offset));
        let byte = u8::try_from(self.next_offset % 251).expect("small") + 1;
        self.file.extend(std::iter::repeat_n(byte, len));
        self.next_offset += 1;
        let mut start = at - at % BLOCK_BYTES;
        while start < self.file.len() {
            let end = self.file.len().min(start + WRITE_BYTES_MAX);
            let bytes = &self.file[start..end];
            // Only the last write of a round has room to spare.
            let spare = if end == self.file.len() { spare } else { 0 };
            let mut buffer = BlockBuffer::zeroed(bytes.len() + spare);
            buffer.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
            let whole_end = file_len(self.file.len());
            self.cache.insert(
                self.segment,
                file_len(start),
                whole_end,
                buffer,
                &mut self.pool,
            );
            start += WRITE_BYTES_MAX;
        }
    }

    fn roll(&mut self) {
        self.segment = self.next_offset;
        self.file.clear();
        self.starts.clear();
    }

    /// The first cached position of the segment.
    fn first(&self) -> Option<u64> {
        let own = self
            .cache
            .chunks
            .iter()
            .filter(|chunk| chunk.segment == self.segment);
        own.map(|chunk| chunk.start).min()
    }

    fn check(&self) {
        let held: usize = self
            .cache
            .chunks
            .iter()
            .map(|chunk| chunk.buffer.len())
            .sum();
        assert_eq!(held, self.cache.held_bytes());
        let Some(first) = self.first() else {
            return;
        };
        let len = file_len(self.file.len());
        let middle = first + (len - first) / 2;
        for position in [first, middle, len - 1] {
            let rest = len - position;
            for useful in [1, rest / 2, rest] {
                let cached = self.cache.read(self.segment, position, 1, useful);
                let bytes = cached.expect("the cache has no gap").bytes;
                assert!(file_len(bytes.len()) >= useful.min(rest));
                let from = memory_len(position);
                assert!(
                    bytes == self.file[from..from + bytes.len()],
                    "at {position}"
                );
            }
            let beyond = self.cache.read(self.segment, position, rest + 1, rest + 1);
            assert!(beyond.is_none(), "what is not there");
        }
        for (_, offset) in &self.starts {
            if let Some(floor) = self.cache.floor(self.segment, *offset) {
                assert!(floor >= first);
                let found = self.starts.iter().find(|start| start.0 == floor);
                let (_, at) = found.expect("it names the start of a batch");
                assert!(at <= offset);
            }
        }
        let (position, last) = self.starts.last().expect("a round was written");
        let floor = self.cache.floor(self.segment, *last);
        assert_eq!(
            floor.is_some(),
            *position >= first,
            "the tip needs no index"
        );
    }
}

#[test]
fn the_tip_is_a_slice_of_the_newest_round() {
    let mut writer = Writer::default();
    writer.round(100, 0);
    writer.round(200_000, 0);
    writer.round(20_000, 0);
    let tip = writer.cache.read(0, 200_100, 10, 10).expect("it is there");
    assert_eq!(tip.bytes.len(), 20_000);
    assert!(tip.held_bytes < 2 * 20_000 + 2 * BLOCK_BYTES);
    assert_eq!(writer.cache.read(0, 220_100, 1, 1), None, "the end");
    assert_eq!(
        writer.cache.read(8, 200_100, 10, 10),
        None,
        "another segment"
    );
}

#[test]
fn rounds_are_joined_where_more_is_useful() {
    let mut writer = Writer::default();
    for _ in 0..3 {
        writer.round(50_000, 0);
    }
    let all = writer.cache.read(0, 100, 61, 1 << 20).expect("it is there");
    assert!(all.bytes == writer.file[100..]);
    let one = writer.cache.read(0, 100, 61, 200).expect("it is there");
    assert!(
        one.bytes == writer.file[100..50_000],
        "one round is a slice"
    );
}

#[test]
fn small_rounds_share_buffers() {
    let mut writer = Writer::default();
    for _ in 0..20_000 {
        writer.round(100, 0);
    }
    writer.check();
    let held = writer.cache.held_bytes();
    assert!(
        held < 2_000_000 + TAIL_CACHE_BUFFER_MERGED_MAX,
        "{held} for 2,000,000 bytes"
    );
    assert!(
        writer.cache.chunks.len() < 32,
        "{}",
        writer.cache.chunks.len()
    );
}

#[test]
fn a_quiet_partition_holds_one_block() {
    let mut writer = Writer::default();
    for _ in 0..10 {
        writer.round(100, 28 * 1024);
    }
    assert_eq!(
        writer.cache.held_bytes(),
        BLOCK_BYTES,
        "whatever buffer the rounds came in"
    );
}

#[test]
fn a_reader_keeps_what_it_holds_while_small_rounds_go_on() {
    let mut writer = Writer::default();
    writer.round(100, 0);
    let held = writer
        .cache
        .read(0, 0, 100, 100)
        .expect("it is there")
        .bytes;
    writer.round(100, 0);
    writer.round(100, 0);
    assert_eq!(held, &writer.file[..100]);
    writer.check();
    drop(held);
    writer.round(100, 0);
    writer.check();
    assert_eq!(writer.cache.held_bytes(), BLOCK_BYTES);
}

#[test]
fn the_oldest_goes_first_and_serves_the_next_round() {
    let mut writer = Writer::default();
    for _ in 0..3 {
        writer.round(WRITE_BYTES_MAX, 0);
    }
    assert!(writer.cache.give_up_oldest(&mut writer.pool));
    assert_eq!(writer.cache.read(0, 0, 1, 1), None);
    assert_eq!(writer.cache.floor(0, 0), None, "its marks go with it");
    assert!(writer.cache.floor(0, 1).is_some());
    assert_eq!(
        writer.pool.take(WRITE_BYTES_MAX).as_slice()[0],
        1,
        "the buffer of the first"
    );
    writer.check();
    while writer.cache.give_up_oldest(&mut writer.pool) {}
    assert_eq!(
        (writer.cache.held_bytes(), writer.cache.marks.len()),
        (0, 0)
    );
    assert_eq!(writer.cache.floor(0, 2), None);
}

#[test]
fn a_buffer_that_is_mostly_empty_is_not_kept() {
    let (mut cache, mut pool) = (TailCache::default(), BufferPool::new(4 * WRITE_BYTES_MAX));
    cache.insert(0, 0, 100_000, buffer(1, WRITE_BYTES_MAX), &mut pool);
    assert!(
        cache.held_bytes() <= 2 * 100_000 + BLOCK_BYTES,
        "{}",
        cache.held_bytes()
    );
    assert_eq!(cache.read(0, 0, 1, 1).expect("there").bytes.len(), 100_000);
    cache.clear();
    assert_eq!((cache.held_bytes(), cache.read(0, 0, 1, 1)), (0, None));
}

proptest! {
    #[test]
    fn the_cache_is_a_gapless_end_of_the_log(
        steps in proptest::collection::vec((0usize..12, 1usize..40_000, 0usize..40_000), 1..80),
    ) {
        let mut writer = Writer::default();
        let mut holds = Vec::new();
        for (what, len, spare) in steps {
            match what {
                0 if !writer.file.is_empty() => writer.roll(),
                1 => {
                    writer.cache.give_up_oldest(&mut writer.pool);
                }
                2 if !writer.file.is_empty() => {
                    let last = file_len(writer.file.len() - 1);
                    holds.push(writer.cache.read(writer.segment, last, 1, 1));
                }
                3 => holds.clear(),
                4..=7 => writer.round(1 + len % 500, spare),
                8 => writer.round(len * 60, spare),
                _ => writer.round(len, spare),
            }
            if !writer.file.is_empty() && writer.first().is_some() {
                writer.check();
            }
        }
        // What is held follows the bytes: nobody keeps a buffer that is less than half used, but
        // for the small ones.
        let bytes: usize = writer
            .cache
            .chunks
            .iter()
            .map(|chunk| memory_len(chunk.end - chunk.start))
            .sum();
        let small = writer.cache.chunks.len() * 2 * BLOCK_BYTES;
        prop_assert!(writer.cache.held_bytes() <= 3 * bytes + small);
    }
}
