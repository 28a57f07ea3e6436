// SPDX-License-Identifier: Apache-2.0
//! What writers and readers of compacted topics did and saw.
//!
//! Invariants: no two writes of a run have one number; a write without an acknowledgement may be
//! in the log at any offset, or not at all.

use super::{Entry, History, Place};

/// One record that was written under a key.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Where to.
    pub place: Place,
    /// Under which key.
    pub key: u64,
    /// Its number, which is its value; `None` for a tombstone.
    pub value: Option<u64>,
    /// Its timestamp: when it was made.
    pub made_ms: i64,
    /// Length of the history when it was sent.
    pub asked: usize,
    /// Its offset, once it is known.
    pub offset: Option<i64>,
}

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRead {
    /// Where.
    pub offset: i64,
    /// Its key.
    pub key: u64,
    /// Its value; `None` for a tombstone.
    pub value: Option<u64>,
    /// Its timestamp.
    pub made_ms: i64,
}

/// One answer that a reader got, of those that it got one after the other from one beginning on.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// Which reading.
    pub scan: usize,
    /// Of what.
    pub place: Place,
    /// Where the reading began, and when.
    pub from: i64,
    pub began_ms: i64,
    /// Up to where it is now.
    pub position: i64,
    /// The end of what may be read, as answered.
    pub high_watermark: i64,
    /// When it was answered.
    pub at_ms: i64,
    /// What came.
    pub records: Vec<KeyRead>,
}

/// Settings of a compacted topic, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyTopic {
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`.
    pub lag_ms: i64,
}

/// One entry.
#[derive(Clone, Debug)]
pub enum KeyEntry {
    /// A batch of writes left.
    Sent,
    /// One was acknowledged.
    Acked,
    /// A reader read.
    Scanned(Scanned),
}

impl History {
    /// Notes the writes of a batch that is about to leave for the first time.
    pub fn ask_writes(&mut self, writes: Vec<Write>) -> usize {
        let first = self.writes.len();
        self.writes.extend(writes);
        self.push(Entry::Key(KeyEntry::Sent));
        first
    }

    /// Notes that a batch of writes was acknowledged.
    pub fn end_writes(&mut self, first: usize, count: usize, base_offset: i64) {
        for (write, offset) in self.writes[first..first + count]
            .iter_mut()
            .zip(base_offset..)
        {
            write.offset = Some(offset);
        }
        self.push(Entry::Key(KeyEntry::Acked));
    }
}
