// SPDX-License-Identifier: Apache-2.0
//! Fetch sessions (KIP-227): what clients read again and again is remembered, so that a request
//! names only what changed, and an answer only what has news.
//!
//! Owns: [`FetchSessions`]. Invariants: a session's epoch rises by one with each request that
//! passes; whatever is told of a partition is what a client without a session would be told; a
//! partition whose records were sent moves behind all others, so that none starves. A new session
//! may push out (Kafka's rules) the one that was unused for longest, after two minutes without use,
//! or the smallest of those that are two minutes old, if that is smaller than the new one.
//! Runs on: the shard that accepted the connection; a session is known there only.
//! Bounded by: `FETCH_SESSIONS_PER_SHARD_MAX`, `FETCH_SESSION_PARTITIONS_PER_SHARD_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use crate::limits::{
    FETCH_SESSION_EVICTION_MS, FETCH_SESSION_PARTITIONS_PER_SHARD_MAX, FETCH_SESSIONS_PER_SHARD_MAX,
};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicId, Uuid};
use crate::model::time::MonotonicUs;
use crate::wire::protocol::fetch::{FetchPartition, PartitionData};

/// The epoch of a request that wants a new session.
pub const INITIAL_EPOCH: i32 = 0;

/// The epoch of a request that wants none.
pub const FINAL_EPOCH: i32 = -1;

/// A topic as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// By name (up to version 12).
    Name(ByteString),
    /// By id.
    Id(TopicId),
}

/// A partition as a client names it.
pub type PartitionKey = (TopicKey, i32);

/// A partition that a fetch reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its topic.
    pub topic: TopicKey,
    /// Which partition, and how it is read.
    pub params: FetchPartition,
}

impl Wanted {
    fn key(&self) -> PartitionKey {
        (self.topic.clone(), self.params.partition)
    }
}

/// How a request stands to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionContext {
    /// There is none.
    Sessionless,
    /// It wants one.
    New,
    /// It goes on with one.
    Incremental {
        /// The session.
        id: i32,
        /// The epoch that the session has now.
        epoch: i32,
    },
}

/// What the request says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// The session, 0 for none.
    pub id: i32,
    /// Place in the session.
    pub epoch: i32,
    /// Topics are named by id.
    pub uses_ids: bool,
}

/// A partition of a session: how it is read, and what its client was told last.
#[derive(Clone, Debug)]
struct CachedPartition {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

impl CachedPartition {
    fn new(wanted: Wanted) -> CachedPartition {
        CachedPartition {
            wanted,
            high_watermark: -1,
            log_start_offset: -1,
        }
    }

    /// True if the answer has to name the partition; notes what is told.
    fn take_answer(&mut self, answer: &PartitionData) -> bool {
        let mut has_news = has_records(answer)
            || answer.preferred_read_replica >= 0
            || answer.diverging_epoch.epoch >= 0;
        has_news |= self.high_watermark != answer.high_watermark;
        self.high_watermark = answer.high_watermark;
        has_news |= self.log_start_offset != answer.log_start_offset;
        self.log_start_offset = answer.log_start_offset;
        if answer.error_code != 0 {
            // Told again once the error is over.
            self.high_watermark = -1;
            has_news = true;
        }
        has_news
    }
}

fn has_records(answer: &PartitionData) -> bool {
    answer
        .records
        .as_ref()
        .is_some_and(|records| !records.is_empty())
}

/// Partitions in the order in which they are read.
#[derive(Debug, Default)]
struct PartitionList {
    order: BTreeMap<u64, CachedPartition>,
    places: BTreeMap<PartitionKey, u64>,
    next: u64,
}

impl PartitionList {
    fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes a partition; one that is there keeps its place.
    fn set(&mut self, wanted: Wanted) {
        let key = wanted.key();
        if let Some(place) = self.places.get(&key) {
            let cached = self.order.get_mut(place).expect("a place is taken");
            cached.wanted.params = wanted.params;
            return;
        }
        self.push(key, CachedPartition::new(wanted));
    }

    fn push(&mut self, key: PartitionKey, cached: CachedPartition) {
        self.next += 1;
        self.places.insert(key, self.next);
        self.order.insert(self.next, cached);
    }

    fn remove(&mut self, key: &PartitionKey) -> Option<CachedPartition> {
        let place = self.places.remove(key)?;
        self.order.remove(&place)
    }

    /// True if the answer has to name the partition.
    fn take_answer(&mut self, key: &PartitionKey, answer: &PartitionData) -> bool {
        let cached = self
            .places
            .get(key)
            .and_then(|place| self.order.get_mut(place));
        let Some(cached) = cached else {
            // A request that came meanwhile forgot it.
            return true;
        };
        let has_news = cached.take_answer(answer);
        if has_records(answer) {
            let cached = self.remove(key).expect("just seen");
            self.push(key.clone(), cached);
        }
        has_news
    }
}

#[derive(Debug)]
struct Session {
    uses_ids: bool,
    epoch: i32,
    created_us: MonotonicUs,
    used_us: MonotonicUs,
    /// Its number of partitions when it was last used.
    size: usize,
    partitions: PartitionList,
}

/// The sessions of one shard.
#[derive(Debug, Default)]
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    by_use: BTreeSet<(MonotonicUs, i32)>,
    /// Those that are old enough to be pushed out, by size.
    evictable: BTreeSet<(usize, i32)>,
    /// Of all sessions, as of their last use.
    partition_count: usize,
    drawn: u64,
}

impl FetchSessions {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Begins a request: which partitions it reads, or why its session does not go on.
    pub fn handle_request(
        &mut self,
        now_us: MonotonicUs,
        request: SessionRequest,
        named: Vec<Wanted>,
        forgotten: &[PartitionKey],
    ) -> Result<(SessionContext, Vec<Wanted>), ErrorCode> {
        if matches!(request.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            // Whatever session a full request names ends with it.
            self.remove(request.id);
            let context = match request.epoch {
                INITIAL_EPOCH => SessionContext::New,
                _ => SessionContext::Sessionless,
            };
            return Ok((context, without_repetitions(named)));
        }
        let session = self
            .sessions
            .get_mut(&request.id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != request.uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for wanted in named {
            session.partitions.set(wanted);
        }
        for key in forgotten {
            session.partitions.remove(key);
        }
        let cached = session.partitions.order.values();
        let wanted: Vec<Wanted> = cached.map(|cached| cached.wanted.clone()).collect();
        if wanted.is_empty() {
            self.remove(request.id);
            return Ok((SessionContext::Sessionless, wanted));
        }
        session.epoch = next_epoch(session.epoch);
        let context = SessionContext::Incremental {
            id: request.id,
            epoch: session.epoch,
        };
        self.touch(now_us, request.id);
        if self.partition_count > FETCH_SESSION_PARTITIONS_PER_SHARD_MAX {
            self.remove(request.id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok((context, wanted))
    }

    /// Ends a request that wanted a session: its id, 0 if there is no room for it.
    pub fn handle_new<'a>(
        &mut self,
        now_us: MonotonicUs,
        source: SessionIds,
        uses_ids: bool,
        wanted: Vec<Wanted>,
        answers: impl Iterator<Item = &'a PartitionData>,
    ) -> i32 {
        let size = wanted.len();
        if !self.make_room(now_us, size) {
            return 0;
        }
        let id = self.draw_id(source);
        let mut partitions = PartitionList::default();
        for (wanted, answer) in wanted.into_iter().zip(answers) {
            let key = wanted.key();
            let mut cached = CachedPartition::new(wanted);
            cached.take_answer(answer);
            partitions.push(key, cached);
        }
        let session = Session {
            uses_ids,
            epoch: next_epoch(INITIAL_EPOCH),
            created_us: now_us,
            used_us: now_us,
            size,
            partitions,
        };
        self.partition_count += size;
        self.by_use.insert((now_us, id));
        self.sessions.insert(id, session);
        id
    }

    /// Ends a request of a session: which of its answers have news. An error if another request of
    /// the session came meanwhile.
    pub fn handle_answers<'a>(
        &mut self,
        id: i32,
        epoch: i32,
        answers: impl Iterator<Item = (PartitionKey, &'a PartitionData)>,
    ) -> Result<Vec<bool>, ErrorCode> {
        let Some(session) = self.sessions.get_mut(&id) else {
            // It was pushed out meanwhile, and the client will learn that with its next request.
            return Ok(answers.map(|_| true).collect());
        };
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        let partitions = &mut session.partitions;
        let has_news = answers.map(|(key, answer)| partitions.take_answer(&key, answer));
        Ok(has_news.collect())
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.by_use.remove(&(session.used_us, id));
            self.evictable.remove(&(session.size, id));
            self.partition_count -= session.size;
        }
    }

    fn touch(&mut self, now_us: MonotonicUs, id: i32) {
        let session = self.sessions.get_mut(&id).expect("the caller has found it");
        self.by_use.remove(&(session.used_us, id));
        self.evictable.remove(&(session.size, id));
        self.partition_count -= session.size;
        session.used_us = now_us;
        session.size = session.partitions.len();
        self.partition_count += session.size;
        self.by_use.insert((now_us, id));
        if is_past(session.created_us, now_us) {
            self.evictable.insert((session.size, id));
        }
    }

    /// Makes room for a session of so many partitions; false if those that are there have to stay.
    fn make_room(&mut self, now_us: MonotonicUs, size: usize) -> bool {
        let is_full = self.sessions.len() >= FETCH_SESSIONS_PER_SHARD_MAX;
        if is_full && !self.evict(now_us, size) {
            return false;
        }
        self.partition_count + size <= FETCH_SESSION_PARTITIONS_PER_SHARD_MAX
    }

    fn evict(&mut self, now_us: MonotonicUs, size: usize) -> bool {
        let oldest = self.by_use.first().copied();
        if let Some((_, id)) = oldest.filter(|(used_us, _)| is_past(*used_us, now_us)) {
            self.remove(id);
            return true;
        }
        match self.evictable.first().copied() {
            Some((smallest, id)) if smallest < size => {
                self.remove(id);
                true
            }
            _ => false,
        }
    }

    /// An id that no session has. Kafka draws them at random, and so that a client of an earlier
    /// life of the broker does not meet the session of somebody else, they look random here, too.
    fn draw_id(&mut self, source: SessionIds) -> i32 {
        loop {
            self.drawn += 1;
            let mixed = mix(source.seed() ^ mix(self.drawn));
            let id = i32::try_from(mixed >> 33).expect("31 bits are left");
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

/// What makes the ids of sessions differ from those of other shards and other lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionIds {
    /// Drawn at random by each start of the broker.
    pub incarnation: Uuid,
    /// The shard.
    pub shard: ShardId,
}

impl SessionIds {
    fn seed(self) -> u64 {
        let (high, low) = self.incarnation.0.split_at(8);
        let number = |half: &[u8]| {
            half.iter()
                .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        number(high) ^ mix(number(low) ^ u64::from(self.shard.0))
    }
}

/// Spreads each bit of a number over all of them (the finish of SplitMix64).
fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// True if more than the time of eviction lies between.
fn is_past(then_us: MonotonicUs, now_us: MonotonicUs) -> bool {
    now_us.saturating_sub(then_us) > FETCH_SESSION_EVICTION_MS * 1000
}

fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        before => before + 1,
    }
}

/// Of a partition that is named more than once, the last wish counts, in the first place.
fn without_repetitions(named: Vec<Wanted>) -> Vec<Wanted> {
    if named.len() < 2 {
        return named;
    }
    let mut places: BTreeMap<PartitionKey, usize> = BTreeMap::new();
    let mut wanted: Vec<Wanted> = Vec::with_capacity(named.len());
    for one in named {
        match places.get(&one.key()) {
            Some(place) => wanted[*place] = one,
            None => {
                places.insert(one.key(), wanted.len());
                wanted.push(one);
            }
        }
    }
    wanted
}

#[cfg(test)]
#[path = "fetch_sessions/tests.rs"]
mod tests;
