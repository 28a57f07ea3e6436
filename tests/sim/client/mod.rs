// SPDX-License-Identifier: Apache-2.0
//! The clients: what they share.
//!
//! Invariants: a client has at most one connection, sees only what comes over it, and writes down
//! what it did before it does it and what it saw before it acts on it.

pub mod admin;
pub mod consumer;
pub mod group_admin;
pub mod group_words;
pub mod hostile;
pub mod key_reader;
pub mod key_writer;
pub mod link;
pub mod member;
pub mod new_member;
pub mod payload;
pub mod producer;
pub mod scan;
pub mod txn_producer;
pub mod txn_reader;
pub mod verifier;

use bytes::Bytes;
use furlong::model::ids::Uuid;

use crate::history::{History, Place};
use crate::prng::Prng;
use crate::stats::Stats;

/// What a client wants done.
#[derive(Debug)]
pub enum ClientEffect {
    /// Connect.
    Connect,
    /// Send a whole frame, length included.
    Send(Bytes),
    /// Close the connection; `closed` is not called.
    Close,
    /// Call `wake` after so many microseconds; replaces an earlier wish.
    WakeAfter(u64),
}

/// Names of compacted topics begin so.
pub const COMPACTED: &str = "compacted";

/// Names of topics that only transactional producers write to begin so.
pub const TRANSACTIONAL: &str = "transactional";

/// True for a topic that is not for everybody.
pub fn is_private(name: &str) -> bool {
    name.starts_with(COMPACTED) || name.starts_with(TRANSACTIONAL)
}

/// A topic as the clients know it from each other.
#[derive(Clone, Debug)]
pub struct KnownTopic {
    /// Its index in the history.
    pub topic: usize,
    /// Its name.
    pub name: String,
    /// Its id; zero if nobody learned it.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// It is there as far as anybody knows, nobody is about to delete it, and it is for everybody.
    pub usable: bool,
}

impl KnownTopic {
    /// True for a topic that only writers and readers of keys use.
    pub fn is_compacted(&self) -> bool {
        self.name.starts_with(COMPACTED)
    }

    /// True for a topic that only transactional producers write to.
    pub fn is_transactional(&self) -> bool {
        self.name.starts_with(TRANSACTIONAL)
    }

    /// Its partitions.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let topic = self.topic;
        (0..self.partitions).map(move |partition| Place { topic, partition })
    }
}

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Faults happen.
    Faulty,
    /// Everything is healed: what was begun must come to an end.
    Healed,
    /// Producers are done: the last reads.
    LastReads,
    /// Everything was read.
    Done,
}

/// What clients share with each other, outside of the broker.
pub struct Board {
    /// Topics.
    pub topics: Vec<KnownTopic>,
    /// What the run is at.
    pub phase: Phase,
    /// Producers and members that are not through.
    pub busy_clients: u64,
    /// Clients beside the verifier that still have to read what is there at the end.
    pub last_readers: u64,
    /// Numbers records, so that no two are alike.
    pub last_record: u64,
    /// Numbers assignments and commits.
    pub last_mark: u64,
    /// The group with members of both protocols was of the new one when it was last seen.
    pub mixed_is_new: bool,
}

impl Board {
    /// Before anything is known.
    pub fn new() -> Board {
        Board {
            topics: Vec::new(),
            phase: Phase::Faulty,
            busy_clients: 0,
            last_readers: 0,
            last_record: 0,
            last_mark: 0,
            mixed_is_new: false,
        }
    }

    /// A topic that may be used.
    pub fn pick_topic(&self, prng: &mut Prng) -> Option<&KnownTopic> {
        let usable: Vec<&KnownTopic> = self.topics.iter().filter(|it| it.usable).collect();
        (!usable.is_empty()).then(|| *prng.pick(&usable))
    }

    /// The topic with this index in the history.
    pub fn topic(&self, topic: usize) -> Option<&KnownTopic> {
        self.topics.iter().find(|known| known.topic == topic)
    }

    /// The topic with this name or, if the name is empty, with this id.
    pub fn find(&self, name: &str, id: Uuid) -> Option<&KnownTopic> {
        self.topics.iter().find(|known| match name {
            "" => known.id == id,
            name => known.name == name,
        })
    }
}

/// What a client can see and do while it is called.
pub struct Context<'a> {
    /// Which client it is.
    pub me: usize,
    /// The simulated moment.
    pub now_us: u64,
    /// The simulated wall clock.
    pub wall_ms: i64,
    /// The process at the other end of the connection.
    pub incarnation: u32,
    /// The connection.
    pub connection: u64,
    /// The stream of the workload.
    pub prng: &'a mut Prng,
    /// Where it writes down what happens.
    pub history: &'a mut History,
    /// What was met.
    pub stats: &'a mut Stats,
    /// What clients know of each other.
    pub board: &'a mut Board,
    /// What it wants done.
    pub effects: &'a mut Vec<ClientEffect>,
}

impl Context<'_> {
    /// Notes something wrong.
    pub fn violation(&mut self, sentence: &str) {
        let (me, at) = (self.me, self.now_us);
        self.history
            .violation(format!("client {me} at {at} us: {sentence}"));
    }

    /// A partition for a person.
    pub fn name(&self, place: Place) -> String {
        self.history.name(place)
    }
}

/// A client.
pub trait Client {
    /// The moment that it asked for has come (the first one comes by itself).
    fn wake(&mut self, context: &mut Context<'_>);
    /// Its connection is up.
    fn connected(&mut self, context: &mut Context<'_>);
    /// A frame came, without its length.
    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes);
    /// Its connection is gone, or did not come up.
    fn closed(&mut self, context: &mut Context<'_>);
}
