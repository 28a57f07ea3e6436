// SPDX-License-Identifier: Apache-2.0
//! The simulated world: one broker process that comes and goes, its disk, the network, the clients,
//! one virtual clock.
//!
//! Invariants: everything happens in the order of (moment, ticket), so that a seed repeats exactly;
//! machines are driven through `shard::contract::Machine` alone; a dead process gets no event, and
//! nothing that it had not handed out before it died comes out of it.

mod clients;
mod moves;

use std::collections::BTreeMap;

use self::moves::Moves;
use bytes::{Bytes, BytesMut};
use furlong::model::disk::DiskCompletion;
use furlong::model::ids::{ConnectionId, ShardId};
use furlong::model::time::Now;
use furlong::shard::contract::{Effects, Event, NetworkEffect, ProcessEffect};
use furlong::shard::mesh_message::MeshMessage;

use crate::boot::Boot;
use crate::client::{Board, Client, ClientEffect, Context, Phase};
use crate::disk::{Completed, Death, Disk};
use crate::history::History;
use crate::lies::Lies;
use crate::net::Network;
use crate::plan::Plan;
use crate::prng::{Prng, Salt, digest};
use crate::process::{Ending, Process};
use crate::stats::Stats;

/// The wall clock at the beginning, in milliseconds: a day in 2026.
const WALL_START_MS: i64 = 1_790_000_000_000;

/// A process that works without any event from outside for so many turns hangs.
const IDLE_TURNS_MAX: u32 = 20_000;

/// What is going to happen.
enum Happening {
    Disk {
        incarnation: u32,
        number: u64,
    },
    Mesh {
        incarnation: u32,
        to: usize,
        from: ShardId,
        sent_us: u64,
        message: Box<MeshMessage>,
    },
    ToBroker {
        connection: u64,
        what: ToBroker,
    },
    Feed {
        connection: u64,
    },
    Sent {
        incarnation: u32,
        machine: usize,
        bytes: usize,
    },
    ToClient {
        connection: u64,
        what: ToClient,
    },
    Wake {
        client: usize,
        ticket: u64,
    },
    Die {
        incarnation: u32,
        death: Death,
    },
    Start,
    Move,
    Full(bool),
}

enum ToBroker {
    Connect,
    Frame(Bytes),
    Hangup,
}

enum ToClient {
    Connected,
    Frame(Bytes),
    Closed,
}

/// The streams that the world draws from.
struct Streams {
    workload: Prng,
    network: Prng,
    crash: Prng,
    boot: Prng,
    moves: Prng,
}

/// All of it.
pub struct World {
    /// The parameters.
    pub plan: Plan,
    /// The moment.
    pub now_us: u64,
    /// What clients did and saw.
    pub history: History,
    /// What was met.
    pub stats: Stats,
    /// What clients know of each other.
    pub board: Board,
    queue: BTreeMap<(u64, u64), Happening>,
    ticket: u64,
    disk: Disk,
    process: Option<Process>,
    incarnation: u32,
    boot: Boot,
    network: Network,
    lies: Lies,
    moves: Moves,
    lanes: BTreeMap<(usize, usize), u64>,
    clients: Vec<Box<dyn Client>>,
    wake_tickets: Vec<u64>,
    streams: Streams,
    effects: Effects,
    /// Events until the process is to end, and how.
    fate: Option<(u64, Ending)>,
    healed: bool,
    /// The process that ran when it was healed: what the disk had already refused may reach it yet.
    healed_incarnation: u32,
    is_traced: bool,
}

impl World {
    /// A world with an empty disk, in which nothing has happened yet.
    pub fn new(plan: Plan, boot: Boot, clients: Vec<Box<dyn Client>>) -> World {
        let seed = plan.seed;
        let mut world = World {
            now_us: 1_000_000,
            history: History::default(),
            stats: Stats::default(),
            board: Board::new(),
            queue: BTreeMap::new(),
            ticket: 0,
            disk: Disk::new(Prng::new(seed, Salt::Disk), plan.disk.clone()),
            process: None,
            incarnation: 0,
            boot,
            network: Network::default(),
            lies: Lies::new(plan.lie),
            moves: Moves::default(),
            lanes: BTreeMap::new(),
            wake_tickets: vec![0; clients.len()],
            clients,
            streams: Streams {
                workload: Prng::new(seed, Salt::Workload),
                network: Prng::new(seed, Salt::Network),
                crash: Prng::new(seed, Salt::Crash),
                boot: Prng::new(seed, Salt::Boot),
                moves: Prng::new(seed, Salt::Moves),
            },
            effects: Effects::default(),
            fate: None,
            healed: false,
            healed_incarnation: 0,
            is_traced: std::env::var_os("FURLONG_SIM_TRACE").is_some(),
            plan,
        };
        world.after(0, Happening::Start);
        world.plan_move();
        for client in 0..world.clients.len() {
            world.after(1, Happening::Wake { client, ticket: 0 });
        }
        for _ in 0..world.plan.full_windows {
            let crash = &mut world.streams.crash;
            let (begin, len) = (
                crash.below(world.plan.run_us),
                crash.skewed(1_000, 5_000_000),
            );
            world.after(begin, Happening::Full(true));
            world.after(begin + len, Happening::Full(false));
        }
        world
    }

    fn after(&mut self, delay_us: u64, happening: Happening) {
        self.ticket += 1;
        self.queue
            .insert((self.now_us + delay_us, self.ticket), happening);
    }

    fn at(&mut self, moment_us: u64, happening: Happening) {
        self.after(moment_us.saturating_sub(self.now_us), happening);
    }

    /// The moment as machines see it.
    fn now(&self) -> Now {
        Now {
            monotonic_us: self.now_us,
            wall_ms: self.wall_ms(),
        }
    }

    fn wall_ms(&self) -> i64 {
        WALL_START_MS + i64::try_from(self.now_us / 1000).expect("a run is short")
    }

    /// From now on nothing fails, and the process is restarted once more.
    pub fn heal(&mut self) {
        self.healed = true;
        self.healed_incarnation = self.incarnation;
        self.disk.heal();
        self.fate = None;
        self.board.phase = Phase::Healed;
        let is_stopping = self.process.as_ref().is_some_and(|it| it.is_stopping);
        if is_stopping {
            return;
        }
        match self.streams.crash.below(3) {
            0 => self.begin_stop(),
            1 => self.die(Death::Kill),
            _ => self.die(Death::PowerCut),
        }
    }

    /// True once everything was read.
    pub fn is_done(&self) -> bool {
        self.board.phase == Phase::Done
    }

    /// What keeps the healed world from coming to rest.
    pub fn describe_unrest(&self) -> String {
        let process = match &self.process {
            None => "there is no process",
            Some(process) if process.is_stopping => "the process does not stop",
            Some(process) if !process.is_ready => "the process does not get ready",
            Some(_) => "the process serves",
        };
        let (phase, busy) = (self.board.phase, self.board.busy_producers);
        let machines = self.process.as_ref().map_or(&[][..], |it| &it.stopped);
        let disk: Vec<usize> = (0..machines.len())
            .map(|it| self.disk.under_way(it))
            .collect();
        format!(
            "liveness: {process}, the run is at {phase:?}, {busy} producers are not through, \
             machines stopped {machines:?}, disk requests {disk:?}"
        )
    }

    /// Stands for the history.
    pub fn fingerprint(&self) -> u64 {
        digest(
            format!("{:?}", self.history.entries).as_bytes(),
            self.now_us,
        )
    }

    /// Lets the next thing happen. False if there is nothing left.
    pub fn step(&mut self) -> bool {
        let next = self.queue.first_key_value().map(|((moment, _), _)| *moment);
        let deadline = self.process.as_ref().and_then(Process::first_deadline);
        if let Some((moment, machine)) = deadline
            && next.is_none_or(|next| moment <= next)
        {
            // A machine that asks to be called at once is called a moment later: time passes while
            // it works.
            self.now_us = moment.max(self.now_us + 1);
            self.turn(machine, None);
            return true;
        }
        let Some(((moment, _), happening)) = self.queue.pop_first() else {
            return false;
        };
        self.now_us = self.now_us.max(moment);
        self.happen(happening);
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Disk {
                incarnation,
                number,
            } => self.disk_done(incarnation, number),
            Happening::Mesh {
                incarnation,
                to,
                from,
                sent_us,
                message,
            } => {
                if incarnation == self.incarnation {
                    let event = Event::Mesh {
                        from,
                        sent_us,
                        message,
                    };
                    self.turn(to, Some(event));
                }
            }
            Happening::ToBroker { connection, what } => self.arrive_at_broker(connection, what),
            Happening::Feed { connection } => self.feed(connection),
            Happening::Sent {
                incarnation,
                machine,
                bytes,
            } => {
                if incarnation == self.incarnation {
                    self.turn(machine, Some(Event::Sent { bytes }));
                }
            }
            Happening::ToClient { connection, what } => self.arrive_at_client(connection, what),
            Happening::Wake { client, ticket } => {
                if self.wake_tickets[client] == ticket {
                    self.call_client(client, |client, context| client.wake(context));
                }
            }
            Happening::Die { incarnation, death } => {
                if incarnation == self.incarnation {
                    self.die(death);
                }
            }
            Happening::Start => self.start(),
            Happening::Move => self.ask_move(),
            Happening::Full(full) => {
                if !self.healed {
                    self.disk.set_full(full);
                }
            }
        }
    }

    fn disk_done(&mut self, incarnation: u32, number: u64) {
        if incarnation != self.incarnation || self.process.is_none() {
            return;
        }
        match self.disk.complete(number, &mut self.stats) {
            Completed::Done(machine, completion) => self.deliver_disk(machine, completion),
            Completed::Later(delay) => self.after(
                delay,
                Happening::Disk {
                    incarnation,
                    number,
                },
            ),
            Completed::Gone => {}
        }
    }

    fn deliver_disk(&mut self, machine: usize, completion: DiskCompletion) {
        self.turn(machine, Some(Event::Disk(completion)));
    }

    /// One turn of one machine: an event, or what has become due; then its effects.
    fn turn(&mut self, machine: usize, event: Option<Event>) {
        let now = self.now();
        let Some(process) = &mut self.process else {
            return;
        };
        if process.is_stopped(machine) {
            assert!(
                !matches!(event, Some(Event::Disk(_))),
                "a stopped machine waits for its disk"
            );
            return;
        }
        process.idle_turns = if event.is_some() {
            0
        } else {
            process.idle_turns + 1
        };
        assert!(
            process.idle_turns < IDLE_TURNS_MAX,
            "machine {machine} turns without end"
        );
        self.stats.events += 1;
        if self.is_traced {
            println!("{:>12} machine {machine}: {event:?}", self.now_us);
        }
        match event {
            Some(event) => process.machines[machine].handle_event(now, event, &mut self.effects),
            None => process.machines[machine].handle_timeout(now, &mut self.effects),
        }
        process.note_deadline(machine);
        self.perform(machine);
        self.count_down();
    }

    fn perform(&mut self, machine: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        let incarnation = self.incarnation;
        for request in effects.disk.drain() {
            if self.is_traced {
                println!("{:>12} machine {machine} asks: {request:?}", self.now_us);
            }
            let (number, latency) = self.disk.submit(machine, request);
            self.after(
                latency,
                Happening::Disk {
                    incarnation,
                    number,
                },
            );
        }
        for effect in effects.network.drain(..) {
            self.perform_network(machine, effect);
        }
        for effect in effects.mesh.drain(..) {
            if effect.to == ShardId::MAIN {
                self.take_told(*effect.message);
                continue;
            }
            let from = self.shard_of(machine);
            let to = self.machine_of(effect.to);
            let (low, high) = self.plan.mesh_us;
            let arrival = self.now_us + self.streams.network.between(low, high);
            let lane = self.lanes.entry((machine, to)).or_default();
            *lane = arrival.max(*lane + 1);
            let (arrival, message) = (*lane, self.lies.on_mesh(effect.message));
            let happening = Happening::Mesh {
                incarnation,
                to,
                from,
                sent_us: self.now_us,
                message,
            };
            self.at(arrival, happening);
        }
        effects.stages.clear();
        for effect in effects.process.drain(..) {
            self.perform_process(machine, &effect);
        }
        self.effects = effects;
    }

    fn shard_of(&self, machine: usize) -> ShardId {
        let process = self.process.as_ref().expect("a living process");
        process.shard_of(machine)
    }

    fn machine_of(&self, shard: ShardId) -> usize {
        let process = self.process.as_ref().expect("a living process");
        process.machine_of(shard)
    }

    fn perform_process(&mut self, machine: usize, effect: &ProcessEffect) {
        let Some(process) = &mut self.process else {
            return;
        };
        match effect {
            ProcessEffect::Ready => {
                process.is_ready = true;
                self.stats.recovering = false;
            }
            ProcessEffect::Stopped => {
                process.stopped[machine] = true;
                let left = self.disk.under_way(machine);
                assert_eq!(left, 0, "a machine stopped before its disk requests ended");
                if process.stopped.iter().all(|stopped| *stopped) {
                    self.stats.graceful_stops += 1;
                    self.end_process(None);
                }
            }
            ProcessEffect::Fatal { sentence } => self.give_up(sentence),
            ProcessEffect::Recovering { .. } | ProcessEffect::Detail { .. } => {}
            ProcessEffect::Slow(request) => {
                let stages = request.stages.iter().map(|(_, took_us)| *took_us);
                let sum_us: u64 = stages.sum();
                assert!(sum_us <= request.total_us, "stages overlap: {request:?}");
                self.stats.slow_requests += 1;
            }
            ProcessEffect::SlowUntold { count } => self.stats.slow_requests += count,
            ProcessEffect::Notice { sentence } => {
                self.stats.notices += 1;
                self.stats.saw_notice(sentence);
                self.trace("notice", sentence);
            }
        }
    }

    /// The process says that it cannot go on; other cores may work for a moment longer.
    fn give_up(&mut self, sentence: &str) {
        self.trace("fatal", sentence);
        // A full disk keeps a process from registering at its start. Later it is no reason: what is
        // open goes on, what cannot be opened waits.
        let serves = self.process.as_ref().is_some_and(|it| it.is_ready);
        let full_is_no_reason = self.plan.full_windows == 0 || serves;
        let nothing_failed = full_is_no_reason && self.plan.disk.errors_per_million == 0;
        let met_nothing = self.healed && self.incarnation > self.healed_incarnation;
        if met_nothing || nothing_failed {
            let at = self.now_us;
            let sentence = format!("at {at} us the process gave up: {sentence}");
            self.history.violation(sentence);
        }
        self.stats.fatals += 1;
        self.fate = None;
        let delay = self.streams.crash.between(0, 300);
        let happening = Happening::Die {
            incarnation: self.incarnation,
            death: Death::Kill,
        };
        self.after(delay, happening);
    }

    fn trace(&self, what: &str, sentence: &str) {
        if self.is_traced {
            println!(
                "{:>12} process {} {what}: {sentence}",
                self.now_us, self.incarnation
            );
        }
    }

    /// Moves towards the end that was drawn for this process.
    fn count_down(&mut self) {
        let Some((events, ending)) = &mut self.fate else {
            return;
        };
        *events = events.saturating_sub(1);
        if *events > 0 {
            return;
        }
        let ending = *ending;
        self.fate = None;
        match ending {
            Ending::Death(death) => self.die(death),
            Ending::Stop => self.begin_stop(),
        }
    }

    fn begin_stop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if std::mem::replace(&mut process.is_stopping, true) {
            return;
        }
        if !self.healed && self.streams.crash.chance(200) {
            let death = self.draw_death();
            let events = self.streams.crash.skewed(1, 100);
            self.fate = Some((events, Ending::Death(death)));
        }
        let machines = self.process.as_ref().map_or(0, |it| it.machines.len());
        let incarnation = self.incarnation;
        for machine in 0..machines {
            if self.incarnation == incarnation && self.process.is_some() {
                self.turn(machine, Some(Event::Stop));
            }
        }
    }

    fn draw_death(&mut self) -> Death {
        if self.streams.crash.chance(self.plan.power_cut_per_mille) {
            Death::PowerCut
        } else {
            Death::Kill
        }
    }

    /// The process ends by force.
    fn die(&mut self, death: Death) {
        let Some(process) = &self.process else {
            return;
        };
        if !process.is_ready {
            self.stats.deaths_in_recovery += 1;
        } else if process.is_stopping {
            self.stats.deaths_in_stop += 1;
        }
        match death {
            Death::Kill => self.stats.kills += 1,
            Death::PowerCut => self.stats.power_cuts += 1,
        }
        self.end_process(Some(death));
    }

    fn end_process(&mut self, death: Option<Death>) {
        // After a graceful stop the power may fail: everything is on disk.
        let after_stop = self.streams.crash.chance(300);
        let death = death.or(after_stop.then_some(Death::PowerCut));
        self.disk.die(death.unwrap_or(Death::Kill), &mut self.stats);
        self.process = None;
        self.forget_moves();
        self.fate = None;
        for number in self.network.process_gone() {
            self.cut(number);
        }
        let delay = self.streams.crash.skewed(1_000, 3_000_000);
        self.after(delay, Happening::Start);
    }

    fn start(&mut self) {
        assert!(self.process.is_none());
        self.incarnation += 1;
        self.lanes.clear();
        let before = self.plan.shards;
        if self.incarnation > 1 && self.streams.boot.chance(250) {
            self.plan.shards = u16::try_from(self.streams.boot.between(1, 4)).expect("small");
        }
        self.stats.reshards += u64::from(self.plan.shards != before);
        self.stats.starts += 1;
        self.stats.recovering = true;
        self.disk.begin_life();
        let machines = (self.boot)(self.plan.shards, &mut self.streams.boot);
        let count = machines.len();
        self.process = Some(Process::new(machines));
        self.fate = self.draw_fate();
        let incarnation = self.incarnation;
        for machine in 0..count {
            if self.incarnation == incarnation && self.process.is_some() {
                self.turn(machine, Some(Event::Start));
            }
        }
    }

    fn draw_fate(&mut self) -> Option<(u64, Ending)> {
        if self.healed {
            return None;
        }
        let longest = if self.streams.crash.chance(200) {
            60
        } else {
            self.plan.life_events_max
        };
        let events = self.streams.crash.skewed(1, longest);
        if self.streams.crash.chance(self.plan.graceful_per_mille) {
            return Some((events, Ending::Stop));
        }
        Some((events, Ending::Death(self.draw_death())))
    }
}
