// SPDX-License-Identifier: Apache-2.0
//! What the clients know: every batch that was sent, when, and what the broker said to it; what was
//! read while the load ran; the lives of the topic that is deleted and created again.
//!
//! A moment is a position in the log of the disk ([`Moments`]). "Before" is what counts: a sending
//! is dated before it happens, a receipt after, so that a cut never takes a batch for unsent that
//! was sent, nor for acknowledged that was not.

use crate::device::logged::LoggedDisk;
use crate::plan::{self, BatchPlan, Place, REBORN};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};

/// A position in the log of the disk.
pub type Moment = usize;

/// After everything.
pub const NEVER: Moment = usize::MAX;

/// Where moments come from.
#[derive(Clone)]
pub enum Moments {
    /// The log of a disk.
    Of(Arc<LoggedDisk>),
    /// There is none; every moment is the same.
    Alike,
}

impl Moments {
    fn now(&self) -> Moment {
        match self {
            Moments::Of(disk) => disk.position(),
            Moments::Alike => 0,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may be stored or not.
    Unknown,
    /// The broker refused it, and will never store it.
    Refused,
    /// Stored, says the broker; where is not known (a duplicate whose place it has forgotten).
    Stored(Moment),
    /// Stored, at this offset.
    At(i64, Moment),
}

/// A batch that was sent.
#[derive(Clone, Copy, Debug)]
pub struct SentBatch {
    /// Its bytes.
    pub plan: BatchPlan,
    /// Number of records.
    pub count: i32,
    /// Where to.
    pub place: Place,
    /// Which life of the topic.
    pub life: usize,
    /// Which producer.
    pub producer: usize,
    /// Before it was first sent.
    pub sent: Moment,
    /// What became of it.
    pub outcome: Outcome,
}

/// One life of the topic that is deleted and created again.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Before it was asked for.
    pub create_sent: Moment,
    /// After the broker said that it exists.
    pub created: Option<Moment>,
    /// Before its deletion was asked for.
    pub delete_sent: Option<Moment>,
    /// After the broker said that it is gone.
    pub deleted: Option<Moment>,
}

/// A batch that a consumer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBatch {
    /// Offset of its first record.
    pub offset: i64,
    /// Its number.
    pub number: u64,
}

/// Something that a consumer read while the load ran.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Where.
    pub place: Place,
    /// What.
    pub batch: ReadBatch,
    /// After it was read.
    pub at: Moment,
}

#[derive(Default)]
struct Facts {
    batches: Vec<SentBatch>,
    observations: Vec<Observation>,
    lives: Vec<Life>,
    violations: Vec<String>,
}

/// Everything that is known.
pub struct History {
    /// What the contents follow from.
    pub seed: u64,
    moments: Moments,
    facts: Mutex<Facts>,
}

impl History {
    /// Nothing yet.
    pub fn new(seed: u64, moments: Moments) -> History {
        History {
            seed,
            moments,
            facts: Mutex::new(Facts::default()),
        }
    }

    /// What was known at a moment, as the past of another history: what had happened by then
    /// happened before its first moment, and the rest has not happened.
    pub fn branch(&self, at: Moment, moments: Moments) -> History {
        let facts = self.facts();
        let past = |moment: Option<Moment>| moment.filter(|moment| *moment <= at).map(|_| 0);
        let batches = facts.batches.iter().map(|batch| SentBatch {
            sent: past(Some(batch.sent)).unwrap_or(NEVER),
            outcome: match batch.outcome {
                Outcome::At(offset, told) if told <= at => Outcome::At(offset, 0),
                Outcome::Stored(told) if told <= at => Outcome::Stored(0),
                Outcome::Refused => Outcome::Refused,
                _ => Outcome::Unknown,
            },
            ..*batch
        });
        let seen = facts.observations.iter().filter(|seen| seen.at <= at);
        let lives = facts.lives.iter().map(|life| Life {
            create_sent: past(Some(life.create_sent)).unwrap_or(NEVER),
            created: past(life.created),
            delete_sent: past(life.delete_sent),
            deleted: past(life.deleted),
        });
        History {
            seed: self.seed,
            moments,
            facts: Mutex::new(Facts {
                batches: batches.collect(),
                observations: seen.map(|seen| Observation { at: 0, ..*seen }).collect(),
                lives: lives.collect(),
                violations: Vec::new(),
            }),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no holder panics")
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.moments.now()
    }

    /// Notes a batch that is about to be sent; gives its plan and bytes.
    pub fn send(
        &self,
        producer: usize,
        place: Place,
        life: usize,
        stamp: impl FnOnce(i32) -> Option<plan::Stamp>,
    ) -> (u64, Bytes) {
        let mut facts = self.facts();
        let number = u64::try_from(facts.batches.len()).expect("64 bits");
        let count = plan::record_count(self.seed, number);
        let plan = BatchPlan {
            number,
            timestamp: wall_ms(),
            stamp: stamp(count),
        };
        facts.batches.push(SentBatch {
            plan,
            count,
            place,
            life,
            producer,
            sent: self.moments.now(),
            outcome: Outcome::Unknown,
        });
        drop(facts);
        (number, plan::encode(self.seed, &plan))
    }

    /// A batch by its number.
    pub fn batch(&self, number: u64) -> Option<SentBatch> {
        let facts = self.facts();
        facts.batches.get(usize::try_from(number).ok()?).copied()
    }

    /// Notes what became of a batch.
    pub fn resolve(&self, number: u64, outcome: Outcome) {
        let index = usize::try_from(number).expect("64 bits");
        self.facts().batches[index].outcome = outcome;
    }

    /// All batches.
    pub fn batches(&self) -> Vec<SentBatch> {
        self.facts().batches.clone()
    }

    /// Records acknowledged so far.
    pub fn acknowledged_records(&self) -> u64 {
        let facts = self.facts();
        let acknowledged = facts
            .batches
            .iter()
            .filter(|batch| matches!(batch.outcome, Outcome::At(..) | Outcome::Stored(_)));
        acknowledged
            .map(|batch| u64::try_from(batch.count).expect("positive"))
            .sum()
    }

    /// Notes what a consumer was given.
    pub fn observe(&self, place: Place, batch: ReadBatch) {
        let at = self.moments.now();
        self.facts()
            .observations
            .push(Observation { place, batch, at });
    }

    /// All that consumers were given while the load ran.
    pub fn observations(&self) -> Vec<Observation> {
        self.facts().observations.clone()
    }

    /// Notes a violation that was seen while the load ran.
    pub fn violation(&self, sentence: String) {
        self.facts().violations.push(sentence);
    }

    /// The violations seen so far, which are then forgotten.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.facts().violations)
    }

    /// Notes that a new life of the topic is about to be asked for; gives its number.
    pub fn life_begins(&self) -> usize {
        let mut facts = self.facts();
        facts.lives.push(Life {
            create_sent: self.moments.now(),
            created: None,
            delete_sent: None,
            deleted: None,
        });
        facts.lives.len() - 1
    }

    /// Notes something about the newest life.
    pub fn life(&self, note: impl FnOnce(&mut Life, Moment)) {
        let now = self.moments.now();
        note(
            self.facts().lives.last_mut().expect("a life has begun"),
            now,
        );
    }

    /// The lives of the topic that is deleted and created again; the others have one.
    pub fn lives(&self, topic: usize) -> Vec<Life> {
        if topic == REBORN {
            return self.facts().lives.clone();
        }
        vec![Life {
            create_sent: 0,
            created: Some(0),
            delete_sent: None,
            deleted: None,
        }]
    }
}

fn wall_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("64 bits")
}
