// SPDX-License-Identifier: Apache-2.0
//! Random sequences of calls, crashes, lost records and failing markers, against what clients and
//! partitions may see.
//!
//! The model keeps what was promised: a transaction whose commit was answered is told to all of its
//! partitions as committed, and no partition hears two outcomes of one transaction; a producer that
//! another one has followed gets nothing done; epochs never fall.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A client begins; it may go on with what it has.
    Init {
        client: usize,
        goes_on: bool,
    },
    Add {
        client: usize,
        partition: i32,
    },
    End {
        client: usize,
        is_commit: bool,
    },
    /// The last request of a client comes again.
    Repeat {
        client: usize,
    },
    /// Records wait from now on, or are committed.
    HoldLog(bool),
    LoseRecord,
    HoldMarkers(bool),
    /// The oldest markers go wrong in the partitions whose bit is set.
    FailMarkers(u8),
    Advance(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, any::<bool>())
            .prop_map(|(client, goes_on)| Step::Init { client, goes_on }),
        6 => (0..2usize, 0..3i32).prop_map(|(client, partition)| Step::Add { client, partition }),
        5 => (0..2usize, any::<bool>())
            .prop_map(|(client, is_commit)| Step::End { client, is_commit }),
        3 => (0..2usize).prop_map(|client| Step::Repeat { client }),
        3 => any::<bool>().prop_map(Step::HoldLog),
        1 => Just(Step::LoseRecord),
        2 => any::<bool>().prop_map(Step::HoldMarkers),
        2 => any::<u8>().prop_map(Step::FailMarkers),
        2 => (1..100_000u64).prop_map(Step::Advance),
        2 => Just(Step::Restart),
    ]
}

#[derive(Clone, Debug, Default)]
struct Client {
    /// What it was given.
    producer: Option<Producer>,
    /// Its request that is not answered.
    waits_for: Option<(u64, TxnCall)>,
    last: Option<TxnCall>,
    /// Partitions of its transaction that were confirmed.
    added: BTreeSet<i32>,
}

struct Run {
    bench: Bench,
    clients: [Client; 2],
    version: i16,
    /// The newest producer that anybody was given.
    newest: Producer,
    /// The outcomes that were promised, by the producer at the begin of the transaction.
    promised: BTreeMap<(i64, i16), (bool, BTreeSet<i32>)>,
}

impl Run {
    fn new(version: i16) -> Run {
        Run {
            bench: Bench::new(),
            clients: Default::default(),
            version,
            newest: producer(0, -1),
            promised: BTreeMap::new(),
        }
    }

    fn call(&mut self, client: usize, call: TxnCall) {
        if self.clients[client].waits_for.is_some() {
            return; // A client asks one thing at a time.
        }
        let number = self.bench.put(call.clone());
        let client = &mut self.clients[client];
        client.last = Some(call.clone());
        client.waits_for = Some((number, call));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Init { client, goes_on } => {
                let held = self.clients[client].producer.filter(|_| goes_on);
                self.call(client, init_call(held));
            }
            Step::Add { client, partition } => {
                if let Some(producer) = self.clients[client].producer {
                    self.call(client, add_call(producer, at("t", partition), self.version));
                }
            }
            Step::End { client, is_commit } => {
                if let Some(producer) = self.clients[client].producer {
                    self.call(client, end_call(producer, is_commit, self.version));
                }
            }
            Step::Repeat { client } => {
                if let Some(last) = self.clients[client].last.clone() {
                    self.call(client, last);
                }
            }
            Step::HoldLog(holds) => self.bench.holds = holds,
            Step::LoseRecord => {
                if !self.bench.held.is_empty() {
                    self.bench.lose(WriteError::Unavailable);
                }
            }
            Step::HoldMarkers(holds) => self.bench.holds_markers = holds,
            Step::FailMarkers(bits) => {
                if let Some(markers) = self.bench.markers.front() {
                    let outcomes: Vec<MarkerOutcome> = (0..markers.partitions.len())
                        .map(|place| match bits >> place & 1 {
                            0 => MarkerOutcome::Written,
                            _ => MarkerOutcome::Later,
                        })
                        .collect();
                    self.bench.answer_markers(&outcomes);
                }
            }
            Step::Advance(ms) => self.bench.advance_ms(ms),
            Step::Restart => {
                // Markers that are under way may be written all the same.
                for markers in std::mem::take(&mut self.bench.markers) {
                    if let Some(partition) = markers.partitions.first() {
                        let told = (partition.clone(), markers.producer, markers.is_commit);
                        self.bench.told.push(told);
                    }
                }
                self.bench.restart();
                for client in &mut self.clients {
                    client.waits_for = None; // The answer is lost.
                }
            }
        }
        self.bench.settle();
        self.take_answers();
    }

    fn take_answers(&mut self) {
        for place in 0..self.clients.len() {
            let Some((number, call)) = self.clients[place].waits_for.clone() else {
                continue;
            };
            let Some(answer) = self.bench.take(number) else {
                continue;
            };
            self.clients[place].waits_for = None;
            match (call, answer) {
                (TxnCall::Init(_), TxnAnswer::Init(Ok(given))) => self.note_given(place, given),
                (TxnCall::AddPartitions(call), TxnAnswer::Added(codes)) => {
                    let client = &mut self.clients[place];
                    if codes[0] == ErrorCode::None && client.producer == Some(call.producer) {
                        client.added.insert(call.partitions[0].1);
                    }
                }
                (TxnCall::End(call), TxnAnswer::Ended(Ok(next))) => {
                    self.note_ended(place, &call, next);
                }
                _ => {}
            }
        }
    }

    fn note_given(&mut self, place: usize, given: Producer) {
        let is_new = given.id != self.newest.id;
        assert!(
            is_new && given.epoch == 0 || !is_new && given.epoch >= self.newest.epoch,
            "{given:?} after {:?}",
            self.newest
        );
        self.newest = given;
        let client = &mut self.clients[place];
        client.producer = Some(given);
        client.added.clear();
    }

    fn note_ended(&mut self, place: usize, call: &EndTransaction, next: Producer) {
        let client = &mut self.clients[place];
        if client.producer != Some(call.producer) {
            return; // A request from before came again.
        }
        let added = std::mem::take(&mut client.added);
        if self.version >= EPOCH_PER_TRANSACTION && !added.is_empty() {
            let before = self.promised.insert(
                (call.producer.id, call.producer.epoch),
                (call.is_commit, added),
            );
            assert!(before.is_none(), "one end for an epoch");
        }
        self.note_given(place, next);
    }

    /// Lets everything that is under way come to its end.
    fn finish(&mut self) {
        self.bench.holds = false;
        self.bench.holds_markers = false;
        self.bench.advance_ms(10_000);
        self.take_answers();
        self.bench
            .advance_ms(u64::try_from(TIMEOUT_MS).expect("positive"));
        self.take_answers();
        assert!(self.bench.coordinator.is_idle());
        let state = self.bench.state();
        assert!(state.is_none_or(State::is_quiet), "{state:?} at the end");
    }

    fn check(&self) {
        // In the flow of KIP-890 the epoch of a marker names its transaction.
        let mut outcomes = BTreeMap::new();
        for ((_, partition), by, is_commit) in &self.bench.told {
            if self.version >= EPOCH_PER_TRANSACTION {
                let before = outcomes.insert((by.id, by.epoch, *partition), *is_commit);
                assert!(
                    before.is_none_or(|before| before == *is_commit),
                    "two outcomes"
                );
                let others = outcomes.range((by.id, by.epoch, i32::MIN)..);
                let mut others =
                    others.take_while(|(place, _)| (place.0, place.1) == (by.id, by.epoch));
                assert!(others.all(|(_, other)| other == is_commit), "in part");
            }
        }
        for ((id, epoch), (is_commit, partitions)) in &self.promised {
            for partition in partitions {
                let told = outcomes.get(&(*id, epoch + 1, *partition));
                assert_eq!(told, Some(is_commit), "{id}/{epoch} in {partition}");
            }
        }
        let mut last = State::Empty;
        for (state, epoch, id) in self.logged() {
            let follows = last.may_become(state);
            assert!(follows, "{state:?} ({id}/{epoch}) after {last:?}");
            last = state;
        }
    }

    /// The states in the log.
    fn logged(&self) -> Vec<(State, i16, i64)> {
        let batches = self.bench.log.iter();
        batches
            .map(|batch| {
                let opened = crate::wire::record::records(batch, 1 << 20).expect("a batch");
                let record = opened.iter().next().expect("one record").expect("whole");
                let value = Bytes::copy_from_slice(record.value.expect("no tombstone"));
                let facts = super::super::facts::Facts::decode(value).expect("a record");
                (facts.state, facts.producer.epoch, facts.producer.id)
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_promised_is_told_everywhere(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run::new(2);
        for step in &steps {
            run.step(step);
        }
        run.finish();
        run.check();
    }

    #[test]
    fn the_old_flow_ends_what_it_begins(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run::new(0);
        for step in &steps {
            run.step(step);
        }
        run.finish();
        run.check();
    }
}
