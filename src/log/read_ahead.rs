// SPDX-License-Identifier: Apache-2.0
//! Read-ahead: the next answer of a reader that goes through the log is read while the one before
//! it is on its way, so that the reader waits for the network or for the disk and not for both.
//!
//! Owns: [`ReadAhead`]. A reader has no name; it is known by where its last read from the disk
//! ended. Invariants: what is kept are answers, checked like any other, of durable records that
//! were committed; an answer that ended at the bound is not kept, for there may be more by the time
//! it is asked for; a read that meets its own read-ahead under way waits for it instead of reading
//! the same bytes twice.
//! Runs on: the core of the partition. Bounded by: `READ_AHEAD_READERS_PER_LOG_MAX` readers,
//! `READ_AHEAD_DEPTH` answers of `READ_AHEAD_BYTES_MAX` (or one batch) each, for
//! `READ_AHEAD_IDLE_MS`; its shard forbids it when reads take too much memory.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::event::{LogEvent, ReadError, ReadStart};
use super::partition_log::PartitionLog;
use super::read::{Answer, ReadTask};
use super::task::Ended;
use crate::limits::{
    READ_AHEAD_BYTES_MAX, READ_AHEAD_DEPTH, READ_AHEAD_IDLE_MS, READ_AHEAD_READERS_PER_LOG_MAX,
};
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};
use crate::wire::record::BatchHeader;

/// Answers of all readers.
const ENTRIES_MAX: usize = READ_AHEAD_READERS_PER_LOG_MAX * 2;
const _: () = assert!(READ_AHEAD_DEPTH == 2);

/// An answer that nobody has asked for yet.
#[derive(Debug)]
struct Ready {
    answer: Answer,
    /// When it is dropped; unknown until the turn ends in which it was made.
    until: Option<MonotonicUs>,
}

#[derive(Debug)]
enum Entry {
    /// Under way: how many more are wanted behind it, and who waits for it.
    Reading {
        depth: u8,
        waiters: Vec<ReadTask>,
    },
    Ready(Ready),
}

/// What was read ahead, by the offset where it starts.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    entries: BTreeMap<Offset, Entry>,
    /// Where recent reads from the disk ended, newest last.
    ends: VecDeque<Offset>,
    held_bytes: usize,
    is_forbidden: bool,
}

impl ReadAhead {
    /// The memory of what waits.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// True if what starts at this offset is here or under way.
    pub(super) fn has(&self, offset: Offset) -> bool {
        self.entries.contains_key(&offset)
    }

    /// True if an earlier read ended at this offset; it is forgotten.
    pub(super) fn take_end(&mut self, offset: Offset) -> bool {
        let place = self.ends.iter().rposition(|end| *end == offset);
        place.and_then(|place| self.ends.remove(place)).is_some()
    }

    fn note_end(&mut self, offset: Offset) {
        self.take_end(offset);
        if self.ends.len() >= READ_AHEAD_READERS_PER_LOG_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back(offset);
    }

    fn keep(&mut self, offset: Offset, ready: Ready) {
        self.held_bytes += ready.answer.held_bytes;
        let before = self.entries.insert(offset, Entry::Ready(ready));
        assert!(before.is_none(), "an offset is read ahead once");
    }

    /// Says when what was kept in this turn is dropped.
    pub(super) fn stamp(&mut self, now: Now) {
        for entry in self.entries.values_mut() {
            if let Entry::Ready(ready) = entry {
                ready.until.get_or_insert(now.after_ms(READ_AHEAD_IDLE_MS));
            }
        }
    }

    /// When `expire` wants to be called.
    pub(super) fn next_deadline(&self) -> Option<MonotonicUs> {
        let deadlines = self.entries.values().filter_map(|entry| match entry {
            Entry::Ready(ready) => ready.until,
            Entry::Reading { .. } => None,
        });
        deadlines.min()
    }

    /// Drops what nobody came for.
    pub(super) fn expire(&mut self, now: Now) {
        self.drop_ready(|ready| ready.until.is_some_and(|until| until <= now.monotonic_us));
    }

    fn drop_ready(&mut self, is_over: impl Fn(&Ready) -> bool) {
        let held_bytes = &mut self.held_bytes;
        self.entries.retain(|_, entry| match entry {
            Entry::Ready(ready) if is_over(ready) => {
                *held_bytes -= ready.answer.held_bytes;
                false
            }
            _ => true,
        });
    }

    /// A read-ahead is given up. Gives who waited for it.
    pub(super) fn abandon(&mut self, read: &ReadTask) -> Vec<ReadTask> {
        if read.caller.is_some() {
            return Vec::new();
        }
        match self.entries.remove(&read.offset) {
            Some(Entry::Reading { waiters, .. }) => waiters,
            _ => Vec::new(),
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
        self.held_bytes = 0;
    }
}

impl ReadTask {
    /// The part of an answer that this read may have, and what is left of it.
    fn cut(&self, answer: Answer) -> (Answer, Option<Answer>) {
        let (mut len, mut next_offset) = (0, self.offset);
        while len < answer.bytes.len() {
            let header = BatchHeader::parse(&answer.bytes[len..]);
            let header = header.expect("an answer holds whole batches");
            let end = len + header.size_bytes();
            let is_wanted = end <= self.max_bytes || (len == 0 && self.minimum_one_batch);
            if !is_wanted || header.last_offset() >= self.bound {
                break;
            }
            (len, next_offset) = (end, header.last_offset() + 1);
        }
        let held_bytes = answer.held_bytes;
        let rest = (len < answer.bytes.len()).then(|| Answer {
            bytes: answer.bytes.slice(len..),
            ..answer
        });
        let taken = Answer {
            bytes: answer.bytes.slice(..len),
            next_offset,
            held_bytes,
        };
        (taken, rest)
    }
}

impl PartitionLog {
    /// Allows or forbids to begin to read ahead.
    pub fn handle_read_ahead(&mut self, is_allowed: bool) {
        self.read_ahead.is_forbidden = !is_allowed;
    }

    /// Gives up what was read ahead.
    pub fn handle_read_ahead_shed(&mut self) {
        self.read_ahead.drop_ready(|_| true);
    }

    /// Starts a read from what was read ahead, if it was.
    pub(super) fn take_read_ahead(
        &mut self,
        read: ReadTask,
        disk: &mut DiskQueue,
    ) -> Option<ReadStart> {
        match self.read_ahead.entries.get_mut(&read.offset)? {
            Entry::Reading { waiters, .. } => {
                waiters.push(read);
                return Some(ReadStart::Started);
            }
            Entry::Ready(_) => {}
        }
        let Some(Entry::Ready(ready)) = self.read_ahead.entries.remove(&read.offset) else {
            unreachable!("just seen");
        };
        self.read_ahead.held_bytes -= ready.answer.held_bytes;
        let (taken, rest) = read.cut(ready.answer);
        if taken.bytes.is_empty() {
            return None;
        }
        self.keep_rest(taken.next_offset, rest, ready.until);
        self.go_on_reading(&read, taken.next_offset, disk);
        Some(ReadStart::Ready(taken.bytes))
    }

    fn keep_rest(&mut self, from: Offset, rest: Option<Answer>, until: Option<MonotonicUs>) {
        let has_room = self.read_ahead.entries.len() < ENTRIES_MAX;
        let rest = rest.filter(|_| has_room && !self.read_ahead.has(from));
        if let Some(answer) = rest.filter(|_| !self.read_ahead.is_forbidden) {
            self.read_ahead.keep(from, Ready { answer, until });
        }
    }

    /// A read that was not served from the tail cache ended before `next_offset`: if its reader
    /// goes through the log, what follows is read ahead.
    pub(super) fn go_on_reading(
        &mut self,
        read: &ReadTask,
        next_offset: Offset,
        disk: &mut DiskQueue,
    ) {
        self.read_ahead.note_end(next_offset);
        if !read.is_sequential {
            return;
        }
        let mut offset = next_offset;
        for depth in (0..READ_AHEAD_DEPTH).rev() {
            match self.read_ahead.entries.get_mut(&offset) {
                Some(Entry::Ready(ready)) => offset = ready.answer.next_offset,
                Some(Entry::Reading { depth: wanted, .. }) => {
                    *wanted = depth.max(*wanted);
                    return;
                }
                None => return self.start_read_ahead(read, offset, depth, disk),
            }
        }
    }

    fn start_read_ahead(
        &mut self,
        after: &ReadTask,
        offset: Offset,
        depth: u8,
        disk: &mut DiskQueue,
    ) {
        let is_full = self.read_ahead.entries.len() >= ENTRIES_MAX;
        if self.read_ahead.is_forbidden || is_full || !self.is_open() || offset >= after.bound {
            return;
        }
        let Some(segment) = self.segment_of(offset) else {
            return;
        };
        if self.tail_cache.floor(segment, offset).is_some() {
            return; // It is in memory already.
        }
        let read = ReadTask {
            caller: None,
            offset,
            max_bytes: after.max_bytes.min(READ_AHEAD_BYTES_MAX),
            bound: after.bound,
            minimum_one_batch: true,
            is_sequential: true,
        };
        let waiters = Vec::new();
        let entry = Entry::Reading { depth, waiters };
        let before = self.read_ahead.entries.insert(offset, entry);
        assert!(before.is_none(), "the caller looked");
        if self.start_read(read, segment, disk).is_some() {
            // It needed no disk, so neither will its reader; or it failed, and its reader is told.
            self.read_ahead.entries.remove(&offset);
        }
    }

    /// What was read ahead is here.
    pub(super) fn end_read_ahead(
        &mut self,
        read: &ReadTask,
        result: Result<Answer, ReadError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let entry = self.read_ahead.entries.remove(&read.offset);
        let Some(Entry::Reading { depth, waiters }) = entry else {
            return;
        };
        let answer = match result {
            Ok(answer) if !answer.bytes.is_empty() => answer,
            // Whoever waits finds out for itself.
            _ => return self.read_anew(waiters, disk, events),
        };
        let next_offset = answer.next_offset;
        if waiters.is_empty() {
            let is_whole = next_offset < read.bound && !self.read_ahead.is_forbidden;
            if is_whole {
                let until = None;
                self.read_ahead.keep(read.offset, Ready { answer, until });
                if depth > 0 && !self.read_ahead.has(next_offset) {
                    self.start_read_ahead(read, next_offset, depth - 1, disk);
                }
            }
            return;
        }
        let mut unserved = Vec::new();
        for waiter in waiters {
            let (taken, rest) = waiter.cut(answer.share());
            if taken.bytes.is_empty() {
                unserved.push(waiter);
                continue;
            }
            self.keep_rest(taken.next_offset, rest, None);
            self.go_on_reading(&waiter, taken.next_offset, disk);
            self.tell_read(&waiter, Ok(taken.bytes), events);
        }
        self.read_anew(unserved, disk, events);
    }

    /// Reads that waited for a read-ahead which does not serve them.
    fn read_anew(
        &mut self,
        reads: Vec<ReadTask>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        for read in reads {
            match self.segment_of(read.offset) {
                None => self.tell_read(&read, Err(ReadError::OffsetOutOfRange), events),
                Some(segment) => match self.start_read(read, segment, disk) {
                    Some(Ended::Told(event)) => events.push(event),
                    Some(Ended::Ahead(..)) => unreachable!("somebody waits for this read"),
                    None => {}
                },
            }
        }
    }

    fn tell_read(
        &self,
        read: &ReadTask,
        result: Result<Bytes, ReadError>,
        events: &mut Vec<LogEvent>,
    ) {
        let read = read.caller.expect("somebody waits for this read");
        events.push(LogEvent::ReadDone { read, result });
    }
}
