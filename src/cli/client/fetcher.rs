// SPDX-License-Identifier: Apache-2.0
//! Fetching ahead from one leader, on a thread of its own.
//!
//! Owns: the positions of the leader's partitions, the checks of what comes. Invariants: a chunk
//! holds whole batches whose checksums were right; under `read_committed` it holds none of an
//! aborted transaction, and its position is past them all the same. Runs on: a thread per leader.
//! Bounded by: `FETCH_BYTES_MAX` per answer, one answer under way.

use super::aborted::Aborted;
use super::connection::Connection;
use super::consumer::{Chunk, Event, Isolation, Position};
use super::positions::refused;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::checksum::crc32c;
use crate::wire::protocol::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use crate::wire::record::{BatchError, BatchHeader, split_batches};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::mpsc::SyncSender;

/// Bytes of records that one answer may bring (a larger first batch comes all the same).
const FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;
/// Bytes of records of one partition in one answer.
const PARTITION_BYTES_MAX: i32 = 4 * 1024 * 1024;
/// How long a broker may wait for new records.
const FETCH_WAIT_MS: i32 = 500;
/// Where the bytes begin that a batch's checksum covers.
const CRC_FROM: usize = 21;

/// Fetches from one leader until its partitions reached their ends or nobody listens.
pub(super) struct Fetcher {
    /// To the leader.
    pub(super) connection: Connection,
    /// The topic.
    pub(super) topic: String,
    /// Where each partition goes on.
    pub(super) positions: BTreeMap<i32, Position>,
    /// What of transactions is read.
    pub(super) isolation: Isolation,
    /// Gone when nobody listens any more: without records there is nothing to send that would tell.
    pub(super) listener: Weak<()>,
    /// Counts requests; the partition that is asked for first changes with it.
    pub(super) turn: usize,
}

impl Fetcher {
    /// Fetches until the end.
    pub(super) fn run(mut self, lane: &SyncSender<Event>) {
        let outcome = self.ask().and_then(|()| {
            while self.step(lane)? {}
            Ok(())
        });
        if let Err(error) = outcome {
            // Nobody listens any more: nothing to tell.
            let _ = lane.send(Event::Trouble(error));
        }
    }

    fn ask(&mut self) -> Result<(), ClientError> {
        let request = self.request();
        self.turn = self.turn.wrapping_add(1);
        self.connection.send(&request)
    }

    /// Takes one answer and asks for the next before handing it out, so that the broker works while
    /// the caller does. False once all is fetched or nobody listens.
    fn step(&mut self, lane: &SyncSender<Event>) -> Result<bool, ClientError> {
        let answer: FetchResponse = self.connection.receive::<FetchRequest>()?;
        if answer.error_code != ErrorCode::None.code() {
            return Err(ClientError::Refused {
                what: format!("fetching from topic {}", self.topic),
                code: answer.error_code,
                message: None,
            });
        }
        let mut chunks = Vec::new();
        let mut outcome = Ok(true);
        for data in answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            match self.take(data) {
                Ok(chunk) => chunks.extend(chunk),
                Err(error) => outcome = Err(error),
            }
        }
        if self.positions.is_empty() || self.listener.upgrade().is_none() {
            outcome = outcome.and(Ok(false));
        } else if outcome.is_ok() {
            outcome = self.ask().map(|()| true);
        }
        // Whoever waits is to know that the broker answers.
        if chunks.is_empty() && outcome.is_ok() && lane.send(Event::Quiet).is_err() {
            return Ok(false);
        }
        for chunk in chunks {
            if lane.send(Event::Chunk(chunk)).is_err() {
                return Ok(false);
            }
        }
        outcome
    }

    fn request(&self) -> FetchRequest {
        let mut partitions: Vec<FetchPartition> = self
            .positions
            .iter()
            .map(|(partition, position)| FetchPartition {
                partition: *partition,
                fetch_offset: position.next,
                partition_max_bytes: PARTITION_BYTES_MAX,
                ..FetchPartition::default()
            })
            .collect();
        let first = self.turn % partitions.len();
        partitions.rotate_left(first);
        let topic = self.topic.as_str().into();
        FetchRequest {
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            isolation_level: self.isolation.code(),
            topics: vec![FetchTopic {
                topic,
                partitions,
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }

    /// Checks the batches of one partition and moves its position past them.
    fn take(&mut self, data: PartitionData) -> Result<Option<Chunk>, ClientError> {
        let partition = data.partition_index;
        let Some(position) = self.positions.get_mut(&partition) else {
            return Ok(None);
        };
        if data.error_code != ErrorCode::None.code() {
            return Err(refused(&self.topic, partition, data.error_code));
        }
        let records = data.records.unwrap_or_default();
        let from = position.next;
        let mut aborted = match self.isolation {
            Isolation::ReadCommitted => Aborted::of(data.aborted_transactions.as_deref()),
            Isolation::ReadUncommitted => Aborted::of(None),
        };
        let mut has_come = false;
        let mut batches = Vec::new();
        for batch in split_batches(&records) {
            let checked = batch.and_then(|batch| Ok((check(&batch)?, batch)));
            match checked {
                Ok((header, batch)) => {
                    position.next = position.next.max(header.last_offset() + 1);
                    has_come = true;
                    if aborted.keeps(&header, &batch) {
                        batches.push(batch);
                    }
                }
                // An answer may end inside a batch.
                Err(BatchError::Truncated { .. }) if has_come => break,
                Err(error) => {
                    return Err(ClientError::Protocol {
                        address: self.connection.address().to_string(),
                        sentence: format!(
                            "partition {partition} of topic {} from offset {}: {error}",
                            self.topic, position.next
                        ),
                    });
                }
            }
        }
        let (next, until) = (position.next, position.end);
        if next >= until {
            self.positions.remove(&partition);
        }
        // A chunk without batches says how far nothing was committed.
        Ok(has_come.then_some(Chunk {
            partition,
            from,
            until,
            batches,
            next,
        }))
    }
}

fn check(batch: &Bytes) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let computed = crc32c(&batch[CRC_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Checksum {
            stored: header.crc,
            computed,
        });
    }
    Ok(header)
}
