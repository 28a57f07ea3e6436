// SPDX-License-Identifier: Apache-2.0
//! What a coordinator has given to its log and what follows from it.
//!
//! Owns: [`Write`], [`Writes`], the batches. Invariants: what depends on a record is done by the
//! handler of its commit, in the order of the log; a batch that would be too large is refused
//! before it is made. Runs on: the shard that coordinates. Bounded by: the requests in flight.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

use super::offsets::Committed;
use super::request::{Caller, TxnProducer};
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
        self.fill(BatchBuilder::new(Compression::None), now_ms, records)
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
        self.fill(builder, now_ms, records)
    }

    fn fill(
        &self,
        mut builder: BatchBuilder,
        now_ms: i64,
        records: &[Record],
    ) -> Result<Bytes, TooLarge> {
        for record in records {
            let (key, value) = match record {
                Record::Offset(key, value) => (
                    key.encode()?,
                    value.as_ref().map(OffsetCommitValue::encode).transpose()?,
                ),
                Record::Group(key, value) => (
                    key.encode()?,
                    value.as_ref().map(GroupMetadataValue::encode).transpose()?,
                ),
            };
            let (key, value) = (Some(&key[..]), value.as_deref());
            let size = builder.size_bytes() + BatchBuilder::record_bytes_max(key, value);
            if size > self.batch_bytes_max {
                return Err(TooLarge);
            }
            builder.append(now_ms, key, value, &[]);
        }
        Ok(builder.build())
    }
}
