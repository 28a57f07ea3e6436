// SPDX-License-Identifier: Apache-2.0
//! A coordinator by itself, with a log and partitions that take what they are told to take, when
//! they are told to.

mod ends;
mod inits;
mod lifecycle;
mod random;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::*;
use crate::config::layers::Settings;
use crate::config::transactions::TransactionSettings;
use crate::limits::RECORD_BATCH_BYTES_DEFAULT_MAX;
use crate::model::coordinator::WriteError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::time::Now;

/// The transactional id of most tests.
const ID: &str = "copy";

/// How long a transaction may last unless a test says otherwise.
const TIMEOUT_MS: i32 = 60_000;

/// Leader epoch of the partition in the first life.
const EPOCH: i32 = 3;

/// A coordinator, its log, its partitions and its callers.
struct Bench {
    coordinator: Coordinator,
    settings: TransactionSettings,
    now: Now,
    effects: TxnEffects,
    /// Batches that are not committed.
    held: VecDeque<(u64, Bytes)>,
    /// What is committed.
    log: Vec<Bytes>,
    /// Batches wait for `commit_log` or `lose`.
    holds: bool,
    /// Markers that are not written.
    markers: VecDeque<MarkerRequest>,
    /// Markers wait.
    holds_markers: bool,
    /// What partitions were told: where, who, and how it ended.
    told: Vec<(TxnPartition, Producer, bool)>,
    answers: BTreeMap<u64, TxnAnswer>,
    next: u64,
    next_id: i64,
    /// There are no producer ids.
    lacks_ids: bool,
    lives: i32,
}

fn settings(changes: &[(&'static str, &str)]) -> TransactionSettings {
    let changes = changes.iter();
    let changes = changes.map(|(name, value)| ((*name).into(), (*value).into()));
    TransactionSettings::of(&changes.collect::<Settings>())
}

fn coordinator(settings: &TransactionSettings, epoch: i32) -> Coordinator {
    Coordinator::new(settings.clone(), epoch, RECORD_BATCH_BYTES_DEFAULT_MAX)
}

fn at(topic: &str, partition: i32) -> TxnPartition {
    (topic.into(), partition)
}

impl Bench {
    fn new() -> Bench {
        Bench::with(&[])
    }

    /// A coordinator of an empty log.
    fn with(changes: &[(&'static str, &str)]) -> Bench {
        let settings = settings(changes);
        let mut bench = Bench {
            coordinator: coordinator(&settings, EPOCH),
            settings,
            now: Now {
                monotonic_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            effects: TxnEffects::default(),
            held: VecDeque::new(),
            log: Vec::new(),
            holds: false,
            markers: VecDeque::new(),
            holds_markers: false,
            told: Vec::new(),
            answers: BTreeMap::new(),
            next: 0,
            next_id: 100,
            lacks_ids: false,
            lives: 0,
        };
        bench.load();
        bench
    }

    /// Reads the log into a new coordinator: the broker was started again. What was under way is
    /// lost.
    fn restart(&mut self) {
        self.held.clear();
        self.markers.clear();
        self.lives += 1;
        self.coordinator = coordinator(&self.settings, EPOCH + self.lives);
        self.load();
    }

    fn load(&mut self) {
        for batch in &self.log {
            self.coordinator.handle_loaded(batch);
        }
        let unreadable = self.coordinator.handle_load_done(self.now);
        assert_eq!(unreadable, 0, "what was written can be read");
        self.settle();
    }

    /// Makes a call; gives its number.
    fn put(&mut self, call: TxnCall) -> u64 {
        self.next += 1;
        let caller = Caller {
            shard: ShardId(0),
            request: self.next,
            place: 0,
            came_us: self.now.monotonic_us,
            waited_us: None,
        };
        let effects = &mut self.effects;
        self.coordinator
            .handle_call(self.now, caller, call, effects);
        self.settle();
        self.next
    }

    /// The answer to a call, if there is one.
    fn take(&mut self, number: u64) -> Option<TxnAnswer> {
        self.answers.remove(&number)
    }

    /// Makes a call that is answered at once.
    fn ask(&mut self, call: TxnCall) -> TxnAnswer {
        let number = self.put(call);
        self.take(number).expect("answered")
    }

    fn init(&mut self, producer: Option<Producer>) -> Result<Producer, ErrorCode> {
        let answer = self.ask(init_call(producer));
        let TxnAnswer::Init(result) = answer else {
            panic!("another answer: {answer:?}");
        };
        result
    }

    /// A producer that is ready.
    fn producer(&mut self) -> Producer {
        self.init(None).expect("nothing is open")
    }

    fn add(&mut self, producer: Producer, partition: TxnPartition, version: i16) -> ErrorCode {
        let answer = self.ask(add_call(producer, partition, version));
        added(answer)
    }

    fn end(
        &mut self,
        producer: Producer,
        is_commit: bool,
        version: i16,
    ) -> Result<Producer, ErrorCode> {
        let answer = self.ask(end_call(producer, is_commit, version));
        let TxnAnswer::Ended(result) = answer else {
            panic!("another answer: {answer:?}");
        };
        result
    }

    fn state(&self) -> Option<State> {
        self.coordinator.state_of(ID)
    }

    /// Commits everything that was held.
    fn commit_log(&mut self) {
        self.holds = false;
        self.settle();
    }

    /// Loses the oldest batch that is held.
    fn lose(&mut self, error: WriteError) {
        let (number, _) = self.held.pop_front().expect("something is under way");
        let effects = &mut self.effects;
        self.coordinator
            .handle_written(self.now, number, Err(error), effects);
        self.settle();
    }

    /// Says what became of the oldest markers.
    fn answer_markers(&mut self, outcomes: &[MarkerOutcome]) {
        let markers = self.markers.pop_front().expect("some are under way");
        self.take_markers(&markers, outcomes);
        self.settle();
    }

    fn take_markers(&mut self, markers: &MarkerRequest, outcomes: &[MarkerOutcome]) {
        assert!(markers.coordinator_epoch >= EPOCH);
        for (partition, outcome) in markers.partitions.iter().zip(outcomes) {
            if *outcome == MarkerOutcome::Written {
                let told = (partition.clone(), markers.producer, markers.is_commit);
                self.told.push(told);
            }
        }
        let effects = &mut self.effects;
        self.coordinator
            .handle_markers(self.now, markers.number, outcomes, effects);
    }

    /// Lets time pass.
    fn advance_ms(&mut self, ms: u64) {
        self.now.monotonic_us += ms * 1000;
        self.now.wall_ms += i64::try_from(ms).expect("short");
        self.settle();
    }

    /// Does everything that is due and not held.
    fn settle(&mut self) {
        loop {
            for (caller, answer) in self.effects.answers.drain(..) {
                let before = self.answers.insert(caller.request, answer);
                assert!(before.is_none(), "a call is answered once");
            }
            self.held.extend(self.effects.appends.drain(..));
            self.markers.extend(self.effects.markers.drain(..));
            let effects = &mut self.effects;
            if effects.ids_wanted > 0 {
                effects.ids_wanted -= 1;
                let id = match self.lacks_ids {
                    true => Err(ErrorCode::CoordinatorNotAvailable),
                    false => Ok(self.next_id),
                };
                self.next_id += 1;
                self.coordinator.handle_producer_id(self.now, id, effects);
            } else if !self.holds && !self.held.is_empty() {
                let (number, batch) = self.held.pop_front().expect("not empty");
                self.log.push(batch);
                self.coordinator
                    .handle_written(self.now, number, Ok(()), effects);
            } else if !self.holds_markers && !self.markers.is_empty() {
                let markers = self.markers.pop_front().expect("not empty");
                let outcomes = vec![MarkerOutcome::Written; markers.partitions.len()];
                self.take_markers(&markers, &outcomes);
            } else {
                let due = self.coordinator.next_deadline();
                if due.is_none_or(|at| at > self.now.monotonic_us) {
                    return;
                }
                self.coordinator.handle_timeout(self.now, effects);
            }
        }
    }
}

fn init_call(producer: Option<Producer>) -> TxnCall {
    TxnCall::Init(InitProducer {
        transactional_id: ID.into(),
        timeout_ms: TIMEOUT_MS,
        producer,
    })
}

fn add_call(producer: Producer, partition: TxnPartition, version: i16) -> TxnCall {
    TxnCall::AddPartitions(add_of(producer, partition, version))
}

fn add_of(producer: Producer, partition: TxnPartition, version: i16) -> AddPartitions {
    AddPartitions {
        transactional_id: ID.into(),
        producer,
        partitions: vec![partition],
        verify_only: false,
        transaction_version: version,
        patience_ms: 0,
    }
}

fn end_call(producer: Producer, is_commit: bool, version: i16) -> TxnCall {
    TxnCall::End(EndTransaction {
        transactional_id: ID.into(),
        producer,
        is_commit,
        transaction_version: version,
    })
}

fn added(answer: TxnAnswer) -> ErrorCode {
    let TxnAnswer::Added(codes) = answer else {
        panic!("another answer: {answer:?}");
    };
    codes[0]
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}
