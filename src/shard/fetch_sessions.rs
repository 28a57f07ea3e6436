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

mod partition_list;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use partition_list::PartitionList;

use crate::limits::{
    FETCH_SESSION_EVICTION_MS, FETCH_SESSION_PARTITIONS_PER_SHARD_MAX,
    FETCH_SESSIONS_PER_SHARD_MAX, LIST_ENTRIES_KEPT_MAX,
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

    /// How their keys are to each other.
    fn order(&self, other: &Wanted) -> Ordering {
        let topics = self.topic.cmp(&other.topic);
        topics.then(self.params.partition.cmp(&other.params.partition))
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
    /// Memory for looking for repetitions.
    places: Vec<usize>,
}

impl FetchSessions {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Begins a request, or says why its session does not go on. `wanted` holds what it names; what
    /// it reads takes the place of that.
    pub fn handle_request(
        &mut self,
        now_us: MonotonicUs,
        request: SessionRequest,
        wanted: &mut Vec<Wanted>,
        forgotten: &[PartitionKey],
    ) -> Result<SessionContext, ErrorCode> {
        if matches!(request.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            // Whatever session a full request names ends with it.
            self.remove(request.id);
            drop_repetitions(wanted, &mut self.places);
            return Ok(match request.epoch {
                INITIAL_EPOCH => SessionContext::New,
                _ => SessionContext::Sessionless,
            });
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
        for one in wanted.drain(..) {
            session.partitions.set(one);
        }
        for key in forgotten {
            session.partitions.remove(key);
        }
        wanted.extend(session.partitions.iter().cloned());
        if wanted.is_empty() {
            self.remove(request.id);
            return Ok(SessionContext::Sessionless);
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
        Ok(context)
    }

    /// Ends a request that wanted a session: its id, 0 if there is no room for it.
    pub fn handle_new(
        &mut self,
        now_us: MonotonicUs,
        source: SessionIds,
        uses_ids: bool,
        wanted: &[Wanted],
        answers: &[PartitionData],
    ) -> i32 {
        assert_eq!(wanted.len(), answers.len());
        let size = wanted.len();
        if !self.make_room(now_us, size) {
            return 0;
        }
        let id = self.draw_id(source);
        let mut partitions = PartitionList::default();
        for (wanted, answer) in wanted.iter().zip(answers) {
            partitions.push(wanted.clone(), answer);
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

    /// Ends a request of a session: notes in an empty list which of its answers have news. An error
    /// if another request of the session came meanwhile.
    pub fn handle_answers<'a>(
        &mut self,
        id: i32,
        epoch: i32,
        answers: impl Iterator<Item = (&'a Wanted, &'a PartitionData)>,
        has_news: &mut Vec<bool>,
    ) -> Result<(), ErrorCode> {
        let Some(session) = self.sessions.get_mut(&id) else {
            // It was pushed out meanwhile, and the client will learn that with its next request.
            has_news.extend(answers.map(|_| true));
            return Ok(());
        };
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        let partitions = &mut session.partitions;
        let news = answers.map(|(wanted, answer)| partitions.take_answer(&wanted.key(), answer));
        has_news.extend(news);
        Ok(())
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

/// Of a partition that is named more than once, the last wish counts, in the first place. `places`
/// is memory only, kept by the caller so that the usual request costs none.
fn drop_repetitions(wanted: &mut Vec<Wanted>, places: &mut Vec<usize>) {
    places.clear();
    places.extend(0..wanted.len());
    places.sort_unstable_by(|one, other| {
        let keys = wanted[*one].order(&wanted[*other]);
        keys.then(one.cmp(other))
    });
    let is_same = |one: usize, other: usize| wanted[one].order(&wanted[other]).is_eq();
    if places.windows(2).any(|pair| is_same(pair[0], pair[1])) {
        let wishes: Vec<(usize, usize)> = places
            .chunk_by(|one, other| is_same(*one, *other))
            .map(|same| (same[0], same[same.len() - 1]))
            .collect();
        for (first, last) in &wishes {
            wanted.swap(*first, *last);
        }
        places.clear();
        places.extend(wishes.iter().map(|(first, _)| *first));
        places.sort_unstable();
        for (to, from) in places.iter().enumerate() {
            wanted.swap(to, *from);
        }
        wanted.truncate(places.len());
    }
    places.clear();
    places.shrink_to(LIST_ENTRIES_KEPT_MAX);
}

#[cfg(test)]
#[path = "fetch_sessions/tests.rs"]
mod tests;
