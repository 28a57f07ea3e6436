// SPDX-License-Identifier: Apache-2.0
//! What the clients did and saw, append-only: the only thing that the checkers look at.
//!
//! Invariants: entries are in the order in which they happened to their client; a batch is `Sent`
//! once for each attempt and has at most one outcome for each attempt; a batch without an outcome
//! may or may not have been stored.

pub mod groups;
pub mod keys;
pub mod owners;
pub mod transactions;

use std::collections::BTreeSet;

use groups::{Change, GroupEntry};
use keys::{KeyEntry, Write};
use owners::OwnerEntry;
use transactions::{Transaction, TxnEntry};

/// A partition of a named topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index in `History::topics`.
    pub topic: usize,
    /// Index of the partition.
    pub partition: i32,
}

/// One record as a checker compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordFact {
    /// Digest of key, value and headers; they hold a number that no other record has.
    pub digest: u64,
    /// Its timestamp.
    pub timestamp: i64,
}

/// A batch that a producer made.
#[derive(Clone, Debug)]
pub struct BatchFact {
    /// Who.
    pub client: usize,
    /// Where to.
    pub place: Place,
    /// Acknowledgements asked for.
    pub acks: i16,
    /// Producer id, epoch and first sequence of an idempotent producer.
    pub producer: Option<(i64, i16, i32)>,
    /// The connection on which a batch that is never resent goes out.
    pub connection: u64,
    /// The records.
    pub records: Vec<RecordFact>,
}

/// One batch as it was read.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Leader epoch in its header.
    pub leader_epoch: i32,
    /// Its checksum.
    pub crc: u32,
    /// Producer id, epoch and first sequence in its header.
    pub producer: (i64, i16, i32),
    /// True if the broker set the timestamps.
    pub log_append_time: bool,
    /// The records.
    pub records: Vec<RecordFact>,
}

impl ReadBatch {
    /// Offset after its last record.
    pub fn end_offset(&self) -> i64 {
        self.base_offset + i64::try_from(self.records.len()).expect("a batch is small")
    }
}

/// An answer about one partition.
#[derive(Clone, Debug)]
pub struct FetchFact {
    /// Who.
    pub client: usize,
    /// Where from.
    pub place: Place,
    /// Length of the history when the fetch was sent.
    pub called: usize,
    /// From where it wanted to read.
    pub fetch_offset: i64,
    /// Kafka's code.
    pub error: i16,
    /// As answered, -1 if not.
    pub high_watermark: i64,
    /// As answered, -1 if not.
    pub log_start_offset: i64,
    /// What came, whole batches.
    pub batches: Vec<ReadBatch>,
    /// True for the reads of everything after the last heal.
    pub last_read: bool,
}

/// One entry.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A batch left its client. Attempts count from 1.
    Sent { batch: usize },
    /// A batch was acknowledged at this offset.
    Acked {
        batch: usize,
        attempt: u32,
        base_offset: i64,
        incarnation: u32,
    },
    /// A fetch was answered.
    Fetched(FetchFact),
    /// ListOffsets answered: the start (`true`) or the end of what a consumer may read.
    Bound {
        place: Place,
        called: usize,
        start: bool,
        offset: i64,
    },
    /// Metadata of this process named the leader epoch of a partition.
    Epoch {
        place: Place,
        leader_epoch: i32,
        incarnation: u32,
    },
    /// A topic was asked for.
    CreateAsked { topic: usize },
    /// A topic was acknowledged as made, with its settings.
    Created {
        topic: usize,
        configs: Vec<(String, String)>,
    },
    /// A change of one setting was asked for, then acknowledged.
    ConfigAsked {
        topic: usize,
        key: String,
        value: String,
    },
    /// The change was acknowledged.
    ConfigDone {
        topic: usize,
        key: String,
        value: String,
    },
    /// A deletion was asked for.
    DeleteAsked { topic: usize },
    /// A deletion was acknowledged.
    Deleted { topic: usize },
    /// Records below this offset were asked to go, then known to be gone.
    TrimAsked { place: Place, offset: i64 },
    /// The deletion was acknowledged with this log start.
    Trimmed { place: Place, offset: i64 },
    /// So many partitions were acknowledged.
    Grown { topic: usize, partitions: i32 },
    /// At the end: topics that Metadata names.
    TopicsAtEnd { names: Vec<String> },
    /// At the end: a setting as DescribeConfigs names it.
    ConfigAtEnd {
        topic: usize,
        key: String,
        value: String,
    },
    /// Something about a group.
    Group(GroupEntry),
    /// Something about a member of the new group protocol.
    Owner(OwnerEntry),
    /// Something about a compacted topic.
    Key(KeyEntry),
    /// Something about a transaction.
    Txn(TxnEntry),
}

/// All of it.
#[derive(Default)]
pub struct History {
    /// Names of topics.
    pub topics: Vec<String>,
    /// Every batch that was made.
    pub batches: Vec<BatchFact>,
    /// Every attempt to change committed offsets.
    pub changes: Vec<Change>,
    /// Every record that was written to a compacted topic.
    pub writes: Vec<Write>,
    /// Every transaction that was begun.
    pub transactions: Vec<Transaction>,
    /// In order.
    pub entries: Vec<Entry>,
    /// What was seen to be wrong on the spot.
    pub violations: Vec<String>,
    /// Topics whose deletion was asked for at some time: their names may stand for several logs.
    pub deleted: BTreeSet<usize>,
}

impl History {
    /// The index of a topic name.
    pub fn topic(&mut self, name: &str) -> usize {
        let known = self.topics.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.topics.push(name.to_owned());
            self.topics.len() - 1
        })
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: Entry) {
        if let Entry::DeleteAsked { topic } = &entry {
            self.deleted.insert(*topic);
        }
        self.entries.push(entry);
    }

    /// Notes a batch that is about to be sent for the first time.
    pub fn new_batch(&mut self, batch: BatchFact) -> usize {
        self.batches.push(batch);
        self.batches.len() - 1
    }

    /// Notes something wrong.
    pub fn violation(&mut self, sentence: String) {
        if self.violations.len() < 20 {
            self.violations.push(sentence);
        }
    }

    /// A partition for a person.
    pub fn name(&self, place: Place) -> String {
        format!("{}-{}", self.topics[place.topic], place.partition)
    }

    /// The fetches, in order.
    pub fn fetches(&self) -> impl Iterator<Item = &FetchFact> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Fetched(fetch) => Some(fetch),
            _ => None,
        })
    }
}
