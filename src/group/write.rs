// SPDX-License-Identifier: Apache-2.0
//! What a coordinator has given to its log and what follows from it.
//!
//! Owns: [`Write`], [`Writes`], the batches. Invariants: what depends on a record is done by the
//! handler of its commit, in the order of the log; a batch that would be too large is refused
//! before it is made. Runs on: the shard that coordinates. Bounded by: the requests in flight.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

use super::consumer::Change;
use super::offsets::Committed;
use super::request::{Caller, GroupAnswer, TxnProducer};
pub use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::wire::codec::EncodeError;
use crate::wire::offsets_topic::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use crate::wire::protocol::join_group::JoinGroupResponse;
use crate::wire::record::{BatchBuilder, Compression};

/// What is done once records are committed, or lost.
#[derive(Debug)]
pub(super) enum Write {
    /// Offsets count, and the caller is told.
    Commit {
        /// Who waits, with the codes for all partitions.
        caller: Caller,
        codes: Vec<ErrorCode>,
        group: ByteString,
        offsets: Vec<(ByteString, i32, Committed)>,
    },
    /// A transaction has offsets that count with its end, and the caller is told.
    Propose {
        /// Who waits, with the codes for all partitions.
        caller: Caller,
        codes: Vec<ErrorCode>,
        group: ByteString,
        /// Whose transaction it is.
        producer: TxnProducer,
        offsets: Vec<(ByteString, i32, Committed)>,
    },
    /// The members of this generation get their assignments.
    Assign {
        group: ByteString,
        generation: i32,
        assignment: BTreeMap<ByteString, Bytes>,
    },
    /// The last member has gone.
    Empty,
    /// A static member came back under a new id.
    Replace(Box<Replacement>),
    /// Offsets are gone.
    Forget {
        caller: Option<(Caller, Vec<ErrorCode>)>,
        group: ByteString,
        partitions: Vec<(ByteString, i32)>,
    },
    /// A group of the new protocol has changed; whoever waits is told.
    Consumer {
        group: ByteString,
        answers: Vec<(Caller, GroupAnswer)>,
    },
    /// A group is gone.
    Remove {
        caller: Option<Caller>,
        group: ByteString,
    },
}

/// A static member that came back, and what to go back to if the log does not take it.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) group: ByteString,
    pub(super) instance: ByteString,
    pub(super) caller: Caller,
    pub(super) answer: JoinGroupResponse,
    pub(super) new_id: ByteString,
    pub(super) old_id: ByteString,
    pub(super) old_protocols: Vec<(ByteString, Bytes)>,
    pub(super) old_rebalance_ms: i32,
    pub(super) old_session_ms: i32,
}

/// One record.
#[derive(Debug)]
pub(super) enum Record {
    /// An offset, or (without a value) its end.
    Offset(OffsetCommitKey, Option<OffsetCommitValue>),
    /// A group, or (without a value) its end.
    Group(GroupMetadataKey, Option<GroupMetadataValue>),
    /// A change of a group of the new protocol.
    Consumer(ByteString, Change),
}

impl Record {
    /// Its key and value.
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Ok(match self {
            Record::Offset(key, value) => (
                key.encode()?,
                value.as_ref().map(OffsetCommitValue::encode).transpose()?,
            ),
            Record::Group(key, value) => (
                key.encode()?,
                value.as_ref().map(GroupMetadataValue::encode).transpose()?,
            ),
            Record::Consumer(group, change) => change.encode(group)?,
        })
    }
}

/// The records do not fit one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl From<EncodeError> for TooLarge {
    fn from(_: EncodeError) -> TooLarge {
        // What came over the wire can be written again but for its length.
        TooLarge
    }
}

/// Everything that is under way to the log, oldest first.
#[derive(Debug)]
pub(super) struct Writes {
    next: u64,
    under_way: VecDeque<(u64, Write)>,
    /// What was too large to be given to the log.
    refused: Vec<Write>,
    batch_bytes_max: usize,
}

impl Writes {
    /// Nothing under way; a batch may have so many bytes.
    pub(super) fn new(batch_bytes_max: usize) -> Writes {
        Writes {
            next: 0,
            under_way: VecDeque::new(),
            refused: Vec::new(),
            batch_bytes_max,
        }
    }

    /// The number of what is given to the log next: larger than those of all that is in it.
    pub(super) fn upcoming(&self) -> u64 {
        self.next + 1
    }

    /// So many records were in the log.
    pub(super) fn begin_behind(&mut self, records: u64) {
        self.next = self.next.max(records);
    }

    /// Takes note of what follows, and gives its number.
    pub(super) fn push(&mut self, write: Write) -> u64 {
        self.next += 1;
        self.under_way.push_back((self.next, write));
        self.next
    }

    /// Takes note of something that is too large.
    pub(super) fn fail(&mut self, write: Write) {
        self.refused.push(write);
    }

    /// Takes what was too large.
    pub(super) fn take_refused(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.refused)
    }

    /// Takes out what follows from the records with this number.
    pub(super) fn take(&mut self, number: u64) -> Option<Write> {
        let is_it = |(one, _): &(u64, Write)| *one == number;
        let place = self.under_way.iter().position(is_it)?;
        self.under_way.remove(place).map(|(_, write)| write)
    }

    /// True if an assignment for this generation is on its way to the log.
    pub(super) fn assigns(&self, id: &ByteString, wanted: i32) -> bool {
        let mut writes = self.under_way.iter();
        writes.any(|(_, write)| match write {
            Write::Assign {
                group, generation, ..
            } => group == id && *generation == wanted,
            _ => false,
        })
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Write> {
        std::mem::take(&mut self.under_way)
            .into_iter()
            .map(|(_, write)| write)
    }

    /// True if nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The records as one batch.
    pub(super) fn batch(&self, now_ms: i64, records: &[Record]) -> Result<Bytes, TooLarge> {
        let mut batches = self.batches(now_ms, records)?;
        match (batches.pop(), batches.is_empty()) {
            (Some(batch), true) => Ok(batch),
            _ => Err(TooLarge),
        }
    }

    /// The records as one batch of a producer's transaction. It has no sequence: the producer does
    /// not know of it.
    pub(super) fn batch_of(
        &self,
        producer: TxnProducer,
        now_ms: i64,
        records: &[Record],
    ) -> Result<Bytes, TooLarge> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder
            .producer(producer.id, producer.epoch, -1)
            .transactional();
        for record in records {
            let (key, value) = record.encode()?;
            let (key, value) = (Some(&key[..]), value.as_deref());
            let bytes = BatchBuilder::record_bytes_max(key, value);
            if builder.size_bytes() + bytes > self.batch_bytes_max {
                return Err(TooLarge);
            }
            builder.append(now_ms, key, value, &[]);
        }
        Ok(builder.build())
    }

    /// The records in their order as batches, as few as possible.
    pub(super) fn batches(&self, now_ms: i64, records: &[Record]) -> Result<Vec<Bytes>, TooLarge> {
        let mut batches = Vec::new();
        let mut builder = BatchBuilder::new(Compression::None);
        let mut is_empty = true;
        for record in records {
            let (key, value) = record.encode()?;
            let (key, value) = (Some(&key[..]), value.as_deref());
            let bytes = BatchBuilder::record_bytes_max(key, value);
            if !is_empty && builder.size_bytes() + bytes > self.batch_bytes_max {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(Compression::None));
                batches.push(full.build());
            }
            if builder.size_bytes() + bytes > self.batch_bytes_max {
                return Err(TooLarge);
            }
            builder.append(now_ms, key, value, &[]);
            is_empty = false;
        }
        batches.push(builder.build());
        Ok(batches)
    }

    /// Who waits for the write of this number, if it is under way and anybody can.
    pub(super) fn answers_of(&mut self, number: u64) -> Option<&mut Vec<(Caller, GroupAnswer)>> {
        let place = self
            .under_way
            .binary_search_by_key(&number, |(one, _)| *one);
        match self.under_way.get_mut(place.ok()?) {
            Some((_, Write::Consumer { answers, .. })) => Some(answers),
            _ => None,
        }
    }
}
