// SPDX-License-Identifier: Apache-2.0
//! Members of both protocols in one group, that come, pause, die and return, while the log is slow,
//! loses records and is read again, and topics change: no partition has two owners, ever.
//!
//! What keeps two owners apart where messages are lost is time, so clients here give up what they
//! own when they have not been heard of for their session, or have not given up in time.

use proptest::prelude::*;

use super::beats::{Member, beat, beat_of, topic_id};
use super::migrations::Classic;
use super::*;
use crate::wire::protocol::consumer_group_heartbeat::TopicPartitions;

const CLIENTS: usize = 5;

/// Sessions of both protocols, in microseconds.
const SESSION_US: u64 = 10_000_000;

/// Who is told to give up has done so by then: well within its rebalance timeout, which may have
/// begun before it was told.
const REBALANCE_US: u64 = 10_000_000;

/// A client of the new protocol.
#[derive(Default)]
struct New {
    member: Member,
    lives: usize,
    /// The call under way, and when it was made.
    call: Option<(u64, u64)>,
    /// When the last request was made that was answered.
    heard_us: u64,
    /// By when it gives up what it has to.
    until_us: Option<u64>,
    /// It says everything with its next request: it may have missed an answer.
    says_all: bool,
}

impl New {
    fn holds(&self) -> Vec<i32> {
        [&self.member.owned[..], &self.member.to_give_up[..]].concat()
    }

    /// It is another process from now on.
    fn start_anew(&mut self, who: usize) {
        let lives = self.lives + 1;
        *self = New {
            lives,
            ..New::default()
        };
        self.member.id = ByteString::from(format!("m{who}-{lives}"));
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        if self.member.epoch == 0 {
            return beat(&self.member.id, 0, &["t"]);
        }
        if !self.says_all {
            return self.member.request();
        }
        let mut request = beat(&self.member.id, self.member.epoch, &["t"]);
        request.topic_partitions = Some(vec![TopicPartitions {
            topic_id: topic_id("t"),
            partitions: self.holds(),
        }]);
        request
    }
}

struct World {
    bench: Bench,
    clients: Vec<New>,
    classic: Classic,
    classic_heard_us: u64,
    partitions: usize,
}

impl World {
    fn new() -> World {
        let session = ("group.consumer.session.timeout.ms", "10000");
        let mut bench = Bench::with(&[session]);
        bench.set_topics(&[("t", 6)]);
        let mut clients: Vec<New> = (0..CLIENTS).map(|_| New::default()).collect();
        for (who, client) in clients.iter_mut().enumerate() {
            client.start_anew(who);
        }
        World {
            bench,
            clients,
            classic: Classic::default(),
            classic_heard_us: 0,
            partitions: 6,
        }
    }

    fn step(&mut self, what: u8, who: usize, ms: u16) {
        match what {
            0..=9 => self.beat(who, false),
            10 | 11 => self.beat(who, true),
            12..=16 => self.clients[who].member.give_up(),
            17 => self.leave(who),
            18 => self.clients[who].start_anew(who),
            19 => self.bench.holds = true,
            20 | 21 => {
                self.bench.holds = false;
                self.bench.commit_log();
            }
            22 => self.bench.lose(WriteError::Unavailable),
            23 => {
                self.bench.restart();
                self.forget_calls();
            }
            24 => {
                self.partitions = 4 + usize::from(ms) % 5;
                self.bench.set_topics(&[("t", self.partitions), ("u", 3)]);
            }
            25..=28 if !self.bench.holds => self.play_classic(),
            _ => self.pass(u64::from(ms)),
        }
        self.take_answers();
        self.check();
    }

    fn beat(&mut self, who: usize, twice: bool) {
        let client = &self.clients[who];
        if client.call.is_some() {
            return;
        }
        let request = client.request();
        let at = self.bench.now.monotonic_us;
        let call = self.bench.beat_as(request.clone(), 1);
        if twice {
            // The answer to the first of the two is the one that comes: a client that missed an
            // answer would say all that it owns.
            self.bench.beat_as(request, 1);
        }
        self.clients[who].call = Some((call, at));
    }

    fn leave(&mut self, who: usize) {
        if self.clients[who].member.epoch > 0 && self.clients[who].call.is_none() {
            // Whoever leaves has given up all before.
            let id = self.clients[who].member.id.clone();
            self.clients[who].start_anew(who);
            self.bench.beat_as(beat_of(&id, -1), 1);
        }
    }

    /// The broker died: nobody is answered any more.
    fn forget_calls(&mut self) {
        for client in &mut self.clients {
            client.says_all |= client.call.take().is_some();
        }
    }

    fn take_answers(&mut self) {
        for who in 0..CLIENTS {
            let Some((call, at)) = self.clients[who].call else {
                continue;
            };
            if let Some(response) = self.bench.beaten(call) {
                self.take_answer(who, at, &response);
            }
        }
    }

    fn take_answer(&mut self, who: usize, at: u64, response: &ConsumerGroupHeartbeatResponse) {
        let now_us = self.bench.now.monotonic_us;
        let client = &mut self.clients[who];
        client.call = None;
        if at + SESSION_US <= now_us {
            // The answer took as long as its session, which began when it asked.
            return client.start_anew(who);
        }
        match ErrorCode::from_code(response.error_code).expect("a code") {
            ErrorCode::None => {
                client.member.take(response);
                client.heard_us = at;
                client.says_all = false;
                let is_new = response.assignment.is_some();
                if client.member.to_give_up.is_empty() {
                    client.until_us = None;
                } else if is_new || client.until_us.is_none() {
                    let until = at + REBALANCE_US;
                    client.until_us = Some(client.until_us.unwrap_or(until).min(until));
                }
            }
            ErrorCode::FencedMemberEpoch
            | ErrorCode::UnknownMemberId
            | ErrorCode::GroupIdNotFound => client.start_anew(who),
            ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress => {
                client.says_all = true;
            }
            other => panic!("a heartbeat was answered with {other:?}"),
        }
    }

    /// A classic member makes its next step.
    fn play_classic(&mut self) {
        let now_us = self.bench.now.monotonic_us;
        let code = match self.classic.generation {
            0 => ErrorCode::RebalanceInProgress,
            _ => self.classic.beat(&mut self.bench),
        };
        match code {
            ErrorCode::None => self.classic_heard_us = now_us,
            ErrorCode::RebalanceInProgress => {
                if let Some(joined) = self.classic.join(&mut self.bench) {
                    self.take_classic(&joined, now_us);
                } else {
                    self.classic = Classic::default(); // It waits too long for us.
                }
            }
            ErrorCode::CoordinatorNotAvailable => {}
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
                self.classic = Classic::default();
            }
            other => panic!("a classic heartbeat was answered with {other:?}"),
        }
    }

    fn take_classic(&mut self, joined: &JoinGroupResponse, now_us: u64) {
        let classic = &mut self.classic;
        if joined.error_code != 0 {
            *classic = Classic::default();
            return;
        }
        let all: Vec<i32> = (0..i32::try_from(self.partitions).expect("few")).collect();
        let id = classic.id.clone();
        let parts = [(&id, &all[..])];
        let leads = joined.leader == classic.id && joined.members.len() == 1;
        let code = classic.sync(&mut self.bench, if leads { &parts } else { &[] });
        match code {
            ErrorCode::None => self.classic_heard_us = now_us,
            ErrorCode::RebalanceInProgress => {}
            _ => *classic = Classic::default(),
        }
    }

    /// Lets time pass; who was not heard of, or has not given up in time, gives up all.
    fn pass(&mut self, ms: u64) {
        let now_us = self.bench.now.monotonic_us + ms * 1000;
        for who in 0..CLIENTS {
            let client = &self.clients[who];
            let is_over = client.member.epoch > 0 && client.heard_us + SESSION_US <= now_us;
            if is_over || client.until_us.is_some_and(|at| at <= now_us) {
                self.clients[who].start_anew(who);
            }
        }
        if self.classic_heard_us + SESSION_US <= now_us {
            self.classic = Classic::default();
        }
        self.bench.advance_ms(ms);
    }

    fn check(&self) {
        let mut owners: BTreeMap<i32, String> = BTreeMap::new();
        let new = self
            .clients
            .iter()
            .map(|one| (one.member.id.to_string(), one.holds()));
        let classic = (self.classic.id.to_string(), self.classic.owned.clone());
        for (id, owned) in new.chain(std::iter::once(classic)) {
            for partition in owned {
                let other = owners.insert(partition, id.clone());
                assert_eq!(other, None, "{partition} has two owners, one is {id}");
            }
        }
    }

    /// Those who are left alone get a whole and even assignment.
    fn calm_down(&mut self) {
        self.bench.holds = false;
        self.bench.commit_log();
        self.take_answers();
        self.pass(60_000);
        self.take_answers();
        self.check();
        for _ in 0..6 {
            for who in 0..CLIENTS {
                self.beat(who, false);
                self.take_answers();
                self.clients[who].member.give_up();
                self.check();
            }
            self.pass(1_000);
        }
        let mut all: Vec<i32> = self.clients.iter().flat_map(New::holds).collect();
        all.sort_unstable();
        let partitions = i32::try_from(self.partitions).expect("few");
        assert_eq!(all, (0..partitions).collect::<Vec<i32>>(), "each once");
        let loads = self.clients.iter().map(|one| one.member.owned.len());
        let (most, least) = (loads.clone().max(), loads.min());
        assert!(most <= least.map(|least| least + 1), "{most:?} {least:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_owners_in_either_protocol(
        steps in proptest::collection::vec((0u8..34, 0usize..CLIENTS, 0u16..4_000), 1..300),
    ) {
        let mut world = World::new();
        for (what, who, ms) in steps {
            world.step(what, who, ms);
        }
        world.calm_down();
    }
}
