// SPDX-License-Identifier: Apache-2.0
//! Members that come, pause, die and return, while the log is slow, loses records and is read
//! again: whatever happens, the invariants hold.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PARTITIONS: usize = 6;
const CLIENTS: usize = 5;

/// What a client believes.
#[derive(Default)]
struct Client {
    id: ByteString,
    generation: i32,
    join: Option<u64>,
    sync: Option<u64>,
    owned: Vec<i32>,
    /// Commits under way: partition, offset.
    commits: Vec<(u64, i32, i64)>,
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
    /// Owners by generation and partition: two different ones must never be told.
    owners: BTreeMap<(i32, i32), ByteString>,
    /// The largest offset that was acknowledged, by partition.
    acked: BTreeMap<i32, i64>,
    /// Offsets that were tried and may be there.
    tried: BTreeMap<i32, BTreeSet<i64>>,
    next_offset: i64,
}

impl World {
    fn new() -> World {
        World {
            bench: Bench::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            owners: BTreeMap::new(),
            acked: BTreeMap::new(),
            tried: BTreeMap::new(),
            next_offset: 0,
        }
    }

    fn step(&mut self, what: u8, who: usize, ms: u16) {
        match what {
            0..=3 => self.join(who),
            4..=7 => self.sync(who),
            8..=11 => self.commit(who),
            12 | 13 => self.heartbeat(who),
            14 => self.leave(who),
            15 => self.clients[who] = Client::default(),
            16 => self.bench.holds = true,
            17 | 18 => {
                self.bench.holds = false;
                self.bench.commit_log();
            }
            19 => self.bench.lose(WriteError::Unavailable),
            20 => {
                self.bench.restart();
                self.forget_waits();
            }
            21 => {
                self.bench.unload();
                self.take_answers();
                self.bench.compact();
                self.bench.restart();
            }
            _ => self.bench.advance_ms(u64::from(ms)),
        }
        self.take_answers();
        self.check();
    }

    fn join(&mut self, who: usize) {
        if self.clients[who].join.is_some() {
            return;
        }
        let id = self.clients[who].id.clone();
        self.clients[who].owned.clear();
        let call = self.bench.join(join_request(&id));
        self.clients[who].join = Some(call);
    }

    fn sync(&mut self, who: usize) {
        let client = &self.clients[who];
        if client.join.is_some() || client.sync.is_some() || client.generation == 0 {
            return;
        }
        let (id, generation) = (client.id.clone(), client.generation);
        let call = self.bench.sync(&id, generation, &[]);
        self.clients[who].sync = Some(call);
    }

    /// A leader assigns partitions as soon as it has joined, round robin.
    fn assign(&mut self, who: usize, joined: &JoinGroupResponse) {
        let mut parts: Vec<(String, String)> = Vec::new();
        for (place, member) in joined.members.iter().enumerate() {
            let owned = (place..PARTITIONS).step_by(joined.members.len());
            let owned: Vec<String> = owned.map(|partition| partition.to_string()).collect();
            parts.push((member.member_id.to_string(), owned.join(",")));
        }
        let parts: Vec<(&str, &str)> = parts.iter().map(|(a, b)| (&**a, &**b)).collect();
        let call = self
            .bench
            .sync(&joined.member_id, joined.generation_id, &parts);
        self.clients[who].sync = Some(call);
    }

    fn commit(&mut self, who: usize) {
        let client = &self.clients[who];
        let Some(partition) = client.owned.first().copied() else {
            return;
        };
        let (id, generation) = (client.id.clone(), client.generation);
        self.next_offset += 1;
        let offset = self.next_offset;
        self.tried.entry(partition).or_default().insert(offset);
        let request = commit_request(&id, generation, ("t", partition), offset);
        let call = self.bench.call(GroupCall::Commit(request, 9));
        self.clients[who].commits.push((call, partition, offset));
    }

    fn heartbeat(&mut self, who: usize) {
        let client = &self.clients[who];
        let (id, generation) = (client.id.clone(), client.generation);
        if id.is_empty() {
            return;
        }
        let code = self.bench.heartbeat(&id, generation);
        if code == ErrorCode::UnknownMemberId && self.clients[who].join.is_none() {
            self.clients[who] = Client::default();
        }
    }

    fn leave(&mut self, who: usize) {
        let id = self.clients[who].id.clone();
        if !id.is_empty() {
            self.bench.leave(&[(&id, None)]);
            self.take_answers();
            self.clients[who] = Client::default();
        }
    }

    /// The broker died: nobody is answered any more.
    fn forget_waits(&mut self) {
        for client in &mut self.clients {
            client.join = None;
            client.sync = None;
            client.commits.clear();
        }
    }

    fn take_answers(&mut self) {
        for who in 0..CLIENTS {
            let joined = self.clients[who].join;
            if let Some(joined) = joined.and_then(|call| self.bench.joined(call)) {
                self.take_joined(who, &joined);
            }
            let synced = self.clients[who].sync;
            if let Some(synced) = synced.and_then(|call| self.bench.synced(call)) {
                self.take_synced(who, &synced);
            }
            for (call, partition, offset) in std::mem::take(&mut self.clients[who].commits) {
                match self.bench.committed(call) {
                    None => self.clients[who].commits.push((call, partition, offset)),
                    Some(codes) if codes == [ErrorCode::None] => {
                        // The bench commits in order, so a later acknowledgement is a later offset.
                        let acked = self.acked.entry(partition).or_insert(-1);
                        *acked = (*acked).max(offset);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn take_joined(&mut self, who: usize, joined: &JoinGroupResponse) {
        let client = &mut self.clients[who];
        client.join = None;
        match ErrorCode::from_code(joined.error_code) {
            Some(ErrorCode::None) => {
                client.id = joined.member_id.clone();
                client.generation = joined.generation_id;
                let leads = joined.leader == joined.member_id;
                assert_eq!(leads, !joined.members.is_empty(), "only the leader is told");
                if leads {
                    self.assign(who, joined);
                }
            }
            Some(ErrorCode::MemberIdRequired) => client.id = joined.member_id.clone(),
            Some(ErrorCode::UnknownMemberId) => *client = Client::default(),
            Some(
                ErrorCode::NotCoordinator
                | ErrorCode::RebalanceInProgress
                | ErrorCode::CoordinatorLoadInProgress,
            ) => {}
            other => panic!("a join was refused with {other:?}"),
        }
    }

    fn take_synced(&mut self, who: usize, synced: &SyncGroupResponse) {
        let client = &mut self.clients[who];
        client.sync = None;
        if synced.error_code != 0 || client.join.is_some() {
            return;
        }
        let text = std::str::from_utf8(&synced.assignment).expect("numbers");
        let owned = text.split(',').filter(|part| !part.is_empty());
        client.owned = owned.map(|part| part.parse().expect("a number")).collect();
        for partition in client.owned.clone() {
            let place = (client.generation, partition);
            let owner = self
                .owners
                .entry(place)
                .or_insert_with(|| client.id.clone());
            assert_eq!(owner, &client.id, "two owners of {place:?}");
        }
    }

    fn check(&mut self) {
        if self.bench.state().is_none() {
            // It was removed; the next group of its name counts its generations anew.
            self.owners.clear();
        }
        for partition in 0..i32::try_from(PARTITIONS).expect("few") {
            let offset = self.bench.offset("t", partition);
            let acked = self.acked.get(&partition).copied().unwrap_or(-1);
            assert!(
                offset >= acked,
                "{partition} went back to {offset} from {acked}"
            );
            let tried = self.tried.get(&partition);
            let was_tried = tried.is_some_and(|tried| tried.contains(&offset));
            assert!(offset == -1 || was_tried, "nobody committed {offset}");
        }
    }

    /// Everybody who is left alone gets into one generation and has parts that are whole.
    fn calm_down(&mut self) {
        self.bench.holds = false;
        self.bench.commit_log();
        self.take_answers();
        self.bench.advance_ms(700_000);
        self.take_answers();
        self.check();
        assert!(
            self.clients
                .iter()
                .all(|client| client.join.is_none() && client.sync.is_none())
        );
        self.clients = (0..CLIENTS).map(|_| Client::default()).collect();
        for _ in 0..4 {
            for who in 0..CLIENTS {
                self.join(who);
                self.take_answers();
            }
            self.bench.advance_ms(0);
            self.take_answers();
            for who in 0..CLIENTS {
                if self.clients[who].owned.is_empty() {
                    self.sync(who);
                }
            }
            self.take_answers();
        }
        let mut owned: Vec<i32> = Vec::new();
        for client in &self.clients {
            owned.extend(&client.owned);
        }
        owned.sort_unstable();
        assert_eq!(owned, (0..6).collect::<Vec<i32>>(), "each partition once");
        assert_eq!(self.bench.state(), Some(State::Stable));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_owners_and_no_committed_offset_goes_back(
        steps in proptest::collection::vec((0u8..26, 0usize..CLIENTS, 0u16..12_000), 1..250),
    ) {
        let mut world = World::new();
        for (what, who, ms) in steps {
            world.step(what, who, ms);
        }
        world.calm_down();
    }
}
