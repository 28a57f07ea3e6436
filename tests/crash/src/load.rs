// SPDX-License-Identifier: Apache-2.0
//! The load: threads that produce, consume, delete and create; the gate that holds them.

use crate::client::{Connection, FETCH, code};
use crate::history::History;
use crate::plan::{Place, REBORN, TOPICS, places};
use crate::prng::Prng;
use crate::producer::Producer;
use crate::read::{check_batch, fetch_request};
use furlong::wire::record::split_batches;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Producers of the topics that stay; every second one is idempotent.
const PRODUCERS: usize = 4;
/// How long the threads may take to stand still.
const PARK_PATIENCE: Duration = Duration::from_secs(60);
/// How long one life of the topic lasts that is deleted and created again.
const LIFE: Duration = Duration::from_millis(700);
/// Pause before something is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct GateState {
    is_open: bool,
    is_over: bool,
    parked: usize,
    address: String,
}

/// Holds the threads of the load while somebody looks.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

impl Gate {
    /// True while the threads may go on.
    pub fn is_open(&self) -> bool {
        let state = self.state.lock().expect("no holder panics");
        state.is_open && !state.is_over
    }

    /// Waits until the gate is open and says where the broker is; `None` when all is over.
    pub fn wait(&self) -> Option<String> {
        let mut state = self.state.lock().expect("no holder panics");
        state.parked += 1;
        self.changed.notify_all();
        while !state.is_open && !state.is_over {
            state = self.changed.wait(state).expect("no holder panics");
        }
        state.parked -= 1;
        (!state.is_over).then(|| state.address.clone())
    }

    fn set(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.state.lock().expect("no holder panics"));
        self.changed.notify_all();
    }
}

/// A running load.
pub struct Load {
    gate: Arc<Gate>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the threads; they wait for [`Load::resume`]. `pace` is the longest pause between two
    /// requests of a producer.
    pub fn start(history: &Arc<History>, pace: Duration) -> Load {
        let gate = Arc::new(Gate::default());
        let mut threads = Vec::new();
        let topics: Vec<usize> = (0..TOPICS.len()).filter(|topic| *topic != REBORN).collect();
        for index in 0..PRODUCERS {
            let mut producer = Producer::new(history, &gate, index, topics.clone(), pace);
            threads.push(thread::spawn(move || producer.run()));
        }
        let mut reborn = Reborn::new(history, &gate, pace);
        threads.push(thread::spawn(move || reborn.run()));
        let mut consumer = Consumer::new(history, &gate);
        threads.push(thread::spawn(move || consumer.run()));
        Load { gate, threads }
    }

    /// Lets the threads go on with the broker at this address.
    pub fn resume(&self, address: &str) {
        self.gate.set(|state| {
            state.is_open = true;
            address.clone_into(&mut state.address);
        });
    }

    /// Shuts the gate: no thread sends anything new.
    pub fn hold(&self) {
        self.gate.set(|state| state.is_open = false);
    }

    /// Waits until every thread stands still.
    pub fn wait_parked(&self) -> Result<(), String> {
        let begun = Instant::now();
        let mut state = self.gate.state.lock().expect("no holder panics");
        while state.parked < self.threads.len() {
            if let Some(thread) = self.threads.iter().find(|thread| thread.is_finished()) {
                let id = thread.thread().id();
                return Err(format!(
                    "a thread of the load has ended ({id:?}); see above"
                ));
            }
            if begun.elapsed() > PARK_PATIENCE {
                return Err("the load does not stand still: an answer is missing".into());
            }
            let pause = Duration::from_millis(100);
            let waited = self.gate.changed.wait_timeout(state, pause);
            state = waited.expect("no holder panics").0;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.gate.set(|state| state.is_over = true);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Deletes a topic and creates it again, with records in between.
struct Reborn {
    history: Arc<History>,
    gate: Arc<Gate>,
    producers: [Producer; 2],
}

impl Reborn {
    fn new(history: &Arc<History>, gate: &Arc<Gate>, pace: Duration) -> Reborn {
        let make = |index| Producer::new(history, gate, index, vec![REBORN], pace);
        Reborn {
            history: Arc::clone(history),
            gate: Arc::clone(gate),
            producers: [make(PRODUCERS), make(PRODUCERS + 1)],
        }
    }

    fn run(&mut self) {
        let plan = &TOPICS[REBORN];
        loop {
            let life = self.history.life_begins();
            let created = self.insist(|connection| {
                let (code, message) =
                    connection.create_topic(plan.name, plan.partitions, plan.settings)?;
                Ok((code, message))
            });
            match created {
                None => return,
                Some((code::NONE | code::TOPIC_ALREADY_EXISTS, _)) => {}
                Some((code, message)) => self.violation("created", code, &message),
            }
            self.history.life(|life, now| life.created = Some(now));
            if !self.produce(life) {
                return;
            }
            self.history.life(|life, now| life.delete_sent = Some(now));
            let deleted =
                self.insist(|connection| Ok((connection.delete_topic(plan.name)?, String::new())));
            match deleted {
                None => return,
                Some((code::NONE | code::UNKNOWN_TOPIC_OR_PARTITION, _)) => {}
                Some((code, _)) => self.violation("deleted", code, ""),
            }
            self.history.life(|life, now| life.deleted = Some(now));
        }
    }

    fn violation(&self, what: &str, code: i16, message: &str) {
        let name = TOPICS[REBORN].name;
        let sentence = format!("{name} cannot be {what}: error {code} {message}");
        self.history.violation(sentence);
    }

    /// Produces for one life; false when all is over.
    fn produce(&mut self, life: usize) -> bool {
        for producer in &mut self.producers {
            producer.begin_life(life);
        }
        let begun = Instant::now();
        while begun.elapsed() < LIFE {
            for producer in &mut self.producers {
                if !producer.step() {
                    return false;
                }
            }
        }
        self.producers.iter_mut().for_each(Producer::drain);
        true
    }

    /// Asks until there is an answer that does not pass by itself; `None` when all is over.
    fn insist(
        &mut self,
        mut ask: impl FnMut(&mut Connection) -> Result<(i16, String), String>,
    ) -> Option<(i16, String)> {
        loop {
            let address = self.gate.wait()?;
            let answer = Connection::open(&address).and_then(|mut connection| ask(&mut connection));
            match answer {
                Ok((code, message)) if !code::PASSING.contains(&code) => {
                    return Some((code, message));
                }
                _ => thread::sleep(RETRY_PAUSE),
            }
        }
    }
}

/// Reads at the tip of every partition that stays.
struct Consumer {
    history: Arc<History>,
    gate: Arc<Gate>,
    next: BTreeMap<Place, i64>,
    prng: Prng,
}

impl Consumer {
    fn new(history: &Arc<History>, gate: &Arc<Gate>) -> Consumer {
        let stay = places().into_iter().filter(|place| place.topic != REBORN);
        Consumer {
            history: Arc::clone(history),
            gate: Arc::clone(gate),
            next: stay.map(|place| (place, 0)).collect(),
            prng: Prng::new(history.seed, 0xc0),
        }
    }

    fn run(&mut self) {
        while let Some(address) = self.gate.wait() {
            let Ok(mut connection) = Connection::open(&address) else {
                thread::sleep(RETRY_PAUSE);
                continue;
            };
            while self.gate.is_open() && self.read(&mut connection).is_ok() {}
        }
    }

    fn read(&mut self, connection: &mut Connection) -> Result<(), String> {
        thread::sleep(Duration::from_millis(self.prng.below(20)));
        let mut wanted: Vec<(Place, i64)> = self.next.iter().map(|(p, o)| (*p, *o)).collect();
        // Whoever comes first in a request is served first where the answer is full.
        let first = self.prng.index(wanted.len());
        wanted.rotate_left(first);
        let response = connection.call(FETCH, &fetch_request(&wanted, 50))?;
        let answers = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        for ((place, next), data) in wanted.iter().zip(answers) {
            if data.error_code == code::OFFSET_OUT_OF_RANGE {
                self.start_over(connection, *place, *next)?;
            }
            for batch in split_batches(&data.records.clone().unwrap_or_default()) {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => {
                        let sentence = format!("{place}: a consumer got a damaged batch: {error}");
                        self.history.violation(sentence);
                        break;
                    }
                };
                match check_batch(&self.history, *place, &batch) {
                    Ok((found, last)) if last >= self.next[place] => {
                        self.history.observe(*place, found);
                        self.next.insert(*place, last + 1);
                    }
                    Ok(_) => {}
                    Err(sentence) => self.history.violation(sentence),
                }
            }
        }
        Ok(())
    }

    /// Goes on where the log starts, which must be further on.
    fn start_over(
        &mut self,
        connection: &mut Connection,
        place: Place,
        next: i64,
    ) -> Result<(), String> {
        if let Ok(start) = connection.log_start(TOPICS[place.topic].name, place.partition)? {
            if start <= next {
                self.history.violation(format!(
                    "{place}: a consumer has read up to offset {next}, and that is now out of \
                     range (the log starts at {start})"
                ));
            }
            self.next.insert(place, start);
        }
        Ok(())
    }
}
