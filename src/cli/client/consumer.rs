// SPDX-License-Identifier: Apache-2.0
//! Consuming: one thread per leader fetches ahead, the caller takes checked batches.
//!
//! Owns: the position of each partition, the fetching threads, the lane from them.
//! Invariants: a chunk holds whole batches whose checksums were right, and continues its partition
//! exactly where the last one ended; after trouble, fetching starts again from what was handed out.
//! Runs on: the caller's thread, and one thread per leader. Bounded by: `FETCH_BYTES_MAX` per
//! answer, `CHUNKS_AHEAD` chunks in the lane.

use super::Retry;
use super::cluster::Cluster;
use super::connection::Connection;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::checksum::crc32c;
use crate::wire::protocol::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use crate::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::wire::record::{BatchError, BatchHeader, split_batches};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// Bytes of records that one answer may bring (a larger first batch comes all the same).
const FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;
/// Bytes of records of one partition in one answer.
const PARTITION_BYTES_MAX: i32 = 4 * 1024 * 1024;
/// How long a broker may wait for new records.
const FETCH_WAIT_MS: i32 = 500;
/// Chunks that wait for the caller, of all leaders together.
const CHUNKS_AHEAD: usize = 2;
/// How long fetching may bring nothing but trouble.
const TROUBLE_FOR: Duration = Duration::from_secs(60);
/// Where the bytes begin that a batch's checksum covers.
const CRC_FROM: usize = 21;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Beginning,
    /// With the next record to be written.
    End,
    /// At an offset.
    At(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// At the first record of this moment or later, in milliseconds since 1970.
    Time(i64),
}

/// Where to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Nowhere: what is written later is read, too.
    Never,
    /// At the end as it was at the start.
    End,
    /// Before the first record of this moment or later, or else at the end as it was at the start.
    Time(i64),
}

/// What to consume.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The topic.
    pub topic: String,
    /// One partition, or all.
    pub partition: Option<i32>,
    /// Where to begin.
    pub start: Start,
    /// Where to end.
    pub until: Until,
}

/// Batches of one partition.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Index of the partition.
    pub partition: i32,
    /// Records before this offset were asked for by nobody; the first batch may hold some.
    pub from: i64,
    /// Records at or past this offset lie past the end that was asked for.
    pub until: i64,
    /// Whole batches, checked.
    pub batches: Vec<Bytes>,
    next: i64,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: i64,
    /// `i64::MAX` where there is none.
    end: i64,
}

enum Event {
    Chunk(Chunk),
    Trouble(ClientError),
}

/// A consumer of one topic.
#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    options: ConsumerOptions,
    positions: BTreeMap<i32, Position>,
    lane: Option<Receiver<Event>>,
    retry: Retry,
}

impl Consumer {
    /// Finds the partitions, where they begin and where they end.
    pub fn new(mut cluster: Cluster, options: ConsumerOptions) -> Result<Consumer, ClientError> {
        let positions = first_positions(&mut cluster, &options)?;
        let retry = Retry::lasting(TROUBLE_FOR);
        Ok(Consumer {
            cluster,
            options,
            positions,
            lane: None,
            retry,
        })
    }

    /// The next chunk, or `None` once every partition reached the end that was asked for.
    /// `before_waiting` is called when nothing is there yet.
    pub fn next_chunk<E: From<ClientError>>(
        &mut self,
        mut before_waiting: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Chunk>, E> {
        loop {
            self.positions
                .retain(|_, position| position.next < position.end);
            if self.positions.is_empty() {
                return Ok(None);
            }
            if self.lane.is_none() {
                self.start_fetching()?;
            }
            let lane = self.lane.as_ref().expect("it was just made");
            let event = match lane.try_recv() {
                Ok(event) => Some(event),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    before_waiting()?;
                    lane.recv().ok()
                }
            };
            match event {
                Some(Event::Chunk(chunk)) => {
                    self.retry = Retry::lasting(TROUBLE_FOR);
                    if let Some(position) = self.positions.get_mut(&chunk.partition) {
                        position.next = chunk.next;
                    }
                    return Ok(Some(chunk));
                }
                Some(Event::Trouble(error)) => {
                    self.lane = None;
                    if !error.is_retriable() || !self.retry.pause() {
                        return Err(error.into());
                    }
                }
                None => self.lane = None,
            }
        }
    }

    /// Starts a thread for each leader of an unfinished partition.
    fn start_fetching(&mut self) -> Result<(), ClientError> {
        let leaders = self.cluster.leaders(&self.options.topic, false)?;
        let mut by_leader: BTreeMap<i32, BTreeMap<i32, Position>> = BTreeMap::new();
        for one in leaders {
            if let Some(position) = self.positions.get(&one.partition) {
                by_leader
                    .entry(one.leader)
                    .or_default()
                    .insert(one.partition, *position);
            }
        }
        let (sender, lane) = sync_channel(CHUNKS_AHEAD);
        for (leader, positions) in by_leader {
            let sender = sender.clone();
            match self.cluster.open(leader) {
                Ok(connection) => {
                    let topic = self.options.topic.clone();
                    let fetcher = Fetcher {
                        connection,
                        topic,
                        positions,
                        turn: 0,
                    };
                    std::thread::spawn(move || fetcher.run(&sender));
                }
                Err(error) => {
                    // The lane holds as many; the threads started before may have filled it.
                    std::thread::spawn(move || sender.send(Event::Trouble(error)));
                }
            }
        }
        self.lane = Some(lane);
        Ok(())
    }
}

fn first_positions(
    cluster: &mut Cluster,
    options: &ConsumerOptions,
) -> Result<BTreeMap<i32, Position>, ClientError> {
    let mut partitions: Vec<i32> = cluster
        .leaders(&options.topic, false)?
        .iter()
        .map(|one| one.partition)
        .collect();
    if let Some(wanted) = options.partition {
        if !partitions.contains(&wanted) {
            return Err(ClientError::Refused {
                what: format!("partition {wanted} of topic {}", options.topic),
                code: ErrorCode::UnknownTopicOrPartition.code(),
                message: Some(format!(
                    "the topic has partitions 0 to {}",
                    partitions.len() - 1
                )),
            });
        }
        partitions = vec![wanted];
    }
    let begins = list_offsets(cluster, &options.topic, &partitions, EARLIEST)?;
    let ends = list_offsets(cluster, &options.topic, &partitions, LATEST)?;
    let at_time = |cluster: &mut Cluster, moment| -> Result<BTreeMap<i32, i64>, ClientError> {
        let mut found = list_offsets(cluster, &options.topic, &partitions, moment)?;
        // Where no record is that late, the next one will be.
        found.retain(|_, offset| *offset >= 0);
        Ok(partitions
            .iter()
            .map(|one| (*one, found.get(one).copied().unwrap_or(ends[one])))
            .collect())
    };
    let starts = match options.start {
        Start::Time(moment) => at_time(cluster, moment)?,
        _ => BTreeMap::new(),
    };
    let stops = match options.until {
        Until::Time(moment) => at_time(cluster, moment)?,
        _ => BTreeMap::new(),
    };
    let place = |partition: &i32| {
        let (begin, end) = (begins[partition], ends[partition]);
        let next = match options.start {
            Start::Time(_) => starts[partition],
            Start::Beginning => begin,
            Start::End => end,
            Start::BeforeEnd(count) => end.saturating_sub(count).max(begin),
            Start::At(offset) if (begin..=end).contains(&offset) => offset,
            Start::At(offset) => {
                return Err(ClientError::Refused {
                    what: format!(
                        "offset {offset} of partition {partition} of {}",
                        options.topic
                    ),
                    code: ErrorCode::OffsetOutOfRange.code(),
                    message: Some(format!(
                        "it is outside the log, which goes from {begin} to {end}"
                    )),
                });
            }
        };
        let end = match options.until {
            Until::Never => i64::MAX,
            Until::End => end,
            Until::Time(_) => stops[partition],
        };
        Ok((*partition, Position { next, end }))
    };
    partitions.iter().map(place).collect()
}

/// Asks the leaders for an offset of each partition.
pub fn list_offsets(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut retry = Retry::lasting(TROUBLE_FOR);
    loop {
        match list_offsets_once(cluster, topic, partitions, timestamp) {
            Err(error) if error.is_retriable() && retry.pause() => {}
            result => return result,
        }
    }
}

fn list_offsets_once(
    cluster: &mut Cluster,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for one in cluster.leaders(topic, false)? {
        if partitions.contains(&one.partition) {
            by_leader
                .entry(one.leader)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: one.partition,
                    timestamp,
                    ..ListOffsetsPartition::default()
                });
        }
    }
    let mut offsets = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions,
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = cluster.open(leader)?.call(&request)?;
        for result in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if result.error_code != ErrorCode::None.code() {
                return Err(refused(topic, result.partition_index, result.error_code));
            }
            offsets.insert(result.partition_index, result.offset);
        }
    }
    match partitions
        .iter()
        .find(|partition| !offsets.contains_key(partition))
    {
        Some(missing) => Err(refused(
            topic,
            *missing,
            ErrorCode::LeaderNotAvailable.code(),
        )),
        None => Ok(offsets),
    }
}

fn refused(topic: &str, partition: i32, code: i16) -> ClientError {
    ClientError::Refused {
        what: format!("partition {partition} of topic {topic}"),
        code,
        message: None,
    }
}

/// Fetches from one leader until its partitions reached their ends or nobody listens.
struct Fetcher {
    connection: Connection,
    topic: String,
    positions: BTreeMap<i32, Position>,
    /// Counts requests; the partition that is asked for first changes with it.
    turn: usize,
}

impl Fetcher {
    fn run(mut self, lane: &SyncSender<Event>) {
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
        if self.positions.is_empty() {
            outcome = outcome.and(Ok(false));
        } else if outcome.is_ok() {
            outcome = self.ask().map(|()| true);
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
        let mut batches = Vec::new();
        for batch in split_batches(&records) {
            let checked = batch.and_then(|batch| Ok((check(&batch)?, batch)));
            match checked {
                Ok((header, batch)) => {
                    position.next = position.next.max(header.last_offset() + 1);
                    batches.push(batch);
                }
                // An answer may end inside a batch.
                Err(BatchError::Truncated { .. }) if !batches.is_empty() => break,
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
        Ok((!batches.is_empty()).then_some(Chunk {
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
