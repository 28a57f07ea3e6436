// SPDX-License-Identifier: Apache-2.0
//! Consuming: one thread per leader fetches ahead, the caller takes checked batches.
//!
//! Owns: the position of each partition, the lane from the fetching threads.
//! Invariants: a chunk holds whole batches whose checksums were right, and continues its partition
//! exactly where the last one ended; after trouble, fetching starts again from what was handed out.
//! Runs on: the caller's thread. Bounded by: `CHUNKS_AHEAD` chunks in the lane.

use super::Retry;
use super::cluster::{Cluster, is_unknown};
use super::fetcher::Fetcher;
use super::positions::{Range, place};
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use bytes::Bytes;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Chunks that wait for the caller, of all leaders together.
const CHUNKS_AHEAD: usize = 2;
/// How long fetching may bring nothing but trouble.
pub(super) const TROUBLE_FOR: Duration = Duration::from_secs(60);

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

/// What of transactions a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// All records, those of open and aborted transactions included
    #[value(name = "read_uncommitted")]
    ReadUncommitted,
    /// Records of committed transactions and of none, up to the first open transaction
    #[value(name = "read_committed")]
    ReadCommitted,
}

impl Isolation {
    /// Its number on the wire.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// What to consume.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The topic.
    pub topic: String,
    /// One partition, or all.
    pub partition: Option<i32>,
    /// Where to begin and to end, and what to read between.
    pub range: Range,
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
    /// The offset behind the batches.
    pub(super) next: i64,
}

impl Chunk {
    /// Where the partition goes on once all of this was dealt with.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next.min(self.until)
    }
}

/// Where a partition goes on, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next offset.
    pub next: i64,
    /// The offset that is not read any more; `i64::MAX` where there is none.
    pub end: i64,
}

/// What a fetching thread tells.
pub(super) enum Event {
    /// Records.
    Chunk(Chunk),
    /// An answer without any.
    Quiet,
    /// It has ended.
    Trouble(ClientError),
}

/// What came of waiting.
#[derive(Debug)]
pub enum Waited {
    /// Records.
    Chunk(Chunk),
    /// Nothing within the time.
    Nothing,
    /// Every partition has reached its end.
    End,
}

/// Where records come from, and the sign to the threads that somebody listens.
#[derive(Debug)]
struct Lane {
    events: Receiver<Event>,
    _listener: Arc<()>,
}

/// A consumer of one topic.
#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    topic: String,
    isolation: Isolation,
    positions: BTreeMap<i32, Position>,
    lane: Option<Lane>,
    retry: Retry,
}

impl Consumer {
    /// Finds the partitions, where they begin and where they end.
    pub fn new(mut cluster: Cluster, options: ConsumerOptions) -> Result<Consumer, ClientError> {
        let partitions = partitions(&mut cluster, &options)?;
        let committed = BTreeMap::new();
        let (topic, range) = (options.topic, options.range);
        let positions = place(&mut cluster, &topic, &partitions, &range, &committed)?;
        let mut consumer = Consumer::idle(cluster, topic, range.isolation);
        consumer.positions = positions;
        Ok(consumer)
    }

    /// One that reads nothing until it is told what.
    #[must_use]
    pub fn idle(cluster: Cluster, topic: String, isolation: Isolation) -> Consumer {
        Consumer {
            cluster,
            topic,
            isolation,
            positions: BTreeMap::new(),
            lane: None,
            retry: Retry::lasting(TROUBLE_FOR),
        }
    }

    /// The cluster that it reads from.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// Reads these partitions from now on, and no others. What was fetched ahead is dropped.
    pub fn read(&mut self, positions: BTreeMap<i32, Position>) {
        self.positions = positions;
        self.lane = None;
    }

    /// The next chunk, or `None` once every partition reached the end that was asked for.
    /// `before_waiting` is called when nothing is there yet.
    pub fn next_chunk<E: From<ClientError>>(
        &mut self,
        mut before_waiting: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Chunk>, E> {
        loop {
            let patience = match self.wait(Duration::ZERO)? {
                Waited::Chunk(chunk) => return Ok(Some(chunk)),
                Waited::End => return Ok(None),
                Waited::Nothing => Duration::MAX,
            };
            before_waiting()?;
            match self.wait(patience)? {
                Waited::Chunk(chunk) => return Ok(Some(chunk)),
                Waited::End => return Ok(None),
                Waited::Nothing => {}
            }
        }
    }

    /// Waits for the next chunk, for this long at most.
    pub fn wait(&mut self, patience: Duration) -> Result<Waited, ClientError> {
        // Longer than the clock goes is for ever.
        let until = Instant::now().checked_add(patience);
        loop {
            self.positions
                .retain(|_, position| position.next < position.end);
            if self.positions.is_empty() {
                return Ok(Waited::End);
            }
            if self.lane.is_none()
                && let Err(error) = self.start_fetching()
            {
                if is_unknown(&error) {
                    return Err(error);
                }
                self.sit_out(error)?;
                if is_past(until) {
                    return Ok(Waited::Nothing);
                }
                continue;
            }
            let events = &self.lane.as_ref().expect("it was just made").events;
            let event = match until {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Chunk(chunk)) => {
                    self.retry = Retry::lasting(TROUBLE_FOR);
                    if let Some(position) = self.positions.get_mut(&chunk.partition) {
                        position.next = chunk.next;
                    }
                    return Ok(Waited::Chunk(chunk));
                }
                Ok(Event::Quiet) => self.retry = Retry::lasting(TROUBLE_FOR),
                Ok(Event::Trouble(error)) => {
                    self.sit_out(error)?;
                    if is_past(until) {
                        return Ok(Waited::Nothing);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Waited::Nothing),
                Err(RecvTimeoutError::Disconnected) => self.lane = None,
            }
        }
    }

    /// Pauses after trouble that may pass; fetching starts anew after it.
    fn sit_out(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.lane = None;
        match error.is_retriable() && self.retry.pause() {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Starts a thread for each leader of an unfinished partition.
    fn start_fetching(&mut self) -> Result<(), ClientError> {
        let leaders = self.cluster.leaders_now(&self.topic)?;
        let mut by_leader: BTreeMap<i32, BTreeMap<i32, Position>> = BTreeMap::new();
        for one in leaders {
            if let Some(position) = self.positions.get(&one.partition) {
                by_leader
                    .entry(one.leader)
                    .or_default()
                    .insert(one.partition, *position);
            }
        }
        let (sender, events) = sync_channel(CHUNKS_AHEAD);
        let listener = Arc::new(());
        for (leader, positions) in by_leader {
            let sender = sender.clone();
            match self.cluster.open(leader) {
                Ok(connection) => {
                    let topic = self.topic.clone();
                    let fetcher = Fetcher {
                        connection,
                        topic,
                        positions,
                        isolation: self.isolation,
                        listener: Arc::downgrade(&listener),
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
        self.lane = Some(Lane {
            events,
            _listener: listener,
        });
        Ok(())
    }
}

fn is_past(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// The partitions that are wanted.
fn partitions(cluster: &mut Cluster, options: &ConsumerOptions) -> Result<Vec<i32>, ClientError> {
    let leaders = cluster.leaders(&options.topic, false)?;
    let partitions: Vec<i32> = leaders.iter().map(|one| one.partition).collect();
    match options.partition {
        None => Ok(partitions),
        Some(wanted) if partitions.contains(&wanted) => Ok(vec![wanted]),
        Some(wanted) => Err(ClientError::Refused {
            what: format!("partition {wanted} of topic {}", options.topic),
            code: ErrorCode::UnknownTopicOrPartition.code(),
            message: Some(format!(
                "the topic has partitions 0 to {}",
                partitions.len() - 1
            )),
        }),
    }
}
