// SPDX-License-Identifier: Apache-2.0
//! Drives one machine on one executor: events in, effects out, and sleep when there is nothing to
//! do.
//!
//! Owns: the machine, its driver and its ends of the mesh. Invariants: the machine is called from
//! here alone; it is called again at once when its deadline has passed; all effects of a turn are
//! handed on before the executor parks.
//! Runs on: one executor each. Bounded by: events of a turn by the credits, lanes and operations
//! that are bounded.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use super::collector::Figures;
use super::stages::StageTimes;
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::io::clock;
use crate::io::driver::Driver;
use crate::io::mesh::MeshPort;
use crate::io::network::NetworkEvent;
use crate::io::ring::Registered;
use crate::model::buffer_pool::BufferPool;
use crate::model::disk::DiskQueue;
use crate::model::ids::ShardId;
use crate::model::time::{MonotonicUs, Now};
use crate::shard::contract::{Effects, Event, Machine, MeshEffect, NetworkEffect, ProcessEffect};
use crate::shard::mesh_message::MeshMessage;
use crate::shard::slow_requests::SlowRequest;

/// Events handled before the kernel is entered again.
const EVENTS_PER_TURN_MAX: usize = 256;

/// What a loop tells the main thread.
#[derive(Debug)]
pub enum Report {
    /// A machine wants something of the process.
    Effect(ShardId, ProcessEffect),
    /// A request took long, and where its client is.
    Slow(ShardId, Box<SlowRequest>, Option<SocketAddr>),
    /// The sockets of this shard take connections.
    Listening(ShardId),
    /// The process was asked to stop.
    Signal(i32),
    /// Somebody wants the figures of all executors.
    Figures(Sender<Figures>),
    /// Somebody has a request for the controller, and takes its answer.
    Ask(ControlRequest, Sender<ControlAnswer>),
    /// A machine has a message for the main thread.
    Message(Box<MeshMessage>),
    /// An executor could not set up its ring.
    NoRing(ShardId, io::Error),
    /// How much of its buffers' memory a data shard could register with its ring.
    Buffers(Registered),
}

/// What crosses the lanes: messages between machines, and the main thread's wish to stop.
#[derive(Debug)]
pub enum Crossing {
    /// From machine to machine, with the moment of its sending.
    Message(Box<MeshMessage>, MonotonicUs),
    /// The main thread asks this machine to stop.
    Stop,
    /// Somebody wants the figures of this machine.
    Figures(Sender<Figures>),
}

/// The loop of one machine.
pub struct MachineLoop<M> {
    machine: M,
    shard: ShardId,
    /// Data shards of this process; the control shard comes after them in the mesh, the main thread
    /// last.
    shard_count: u16,
    driver: Driver,
    mesh: MeshPort<Crossing>,
    reports: Sender<Report>,
    effects: Effects,
    stages: StageTimes,
    events: VecDeque<Event>,
    crossings: VecDeque<(usize, Crossing)>,
    stopped: bool,
}

impl<M: Machine> MachineLoop<M> {
    /// A loop that has not started.
    pub fn new(
        machine: M,
        shard: ShardId,
        shard_count: u16,
        driver: Driver,
        mesh: MeshPort<Crossing>,
        reports: Sender<Report>,
        buffers: BufferPool,
    ) -> MachineLoop<M> {
        MachineLoop {
            machine,
            shard,
            shard_count,
            driver,
            mesh,
            reports,
            effects: Effects {
                disk: DiskQueue::with_buffers(buffers),
                ..Effects::default()
            },
            stages: StageTimes::default(),
            events: VecDeque::new(),
            crossings: VecDeque::new(),
            stopped: false,
        }
    }

    /// Runs until the machine says that it has stopped.
    pub fn run(mut self) {
        self.events.push_back(Event::Start);
        while !self.stopped {
            let outcome = match self.turn() {
                Ok(true) => Ok(()),
                Ok(false) => self.park(),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.give_up(&error);
            }
        }
        // What was sent last goes out if the peer has room for it.
        let _ = self.driver.turn();
    }

    fn give_up(&mut self, error: &io::Error) {
        let sentence = format!("the ring of shard {} failed: {error}", self.shard);
        self.report(ProcessEffect::Fatal {
            sentence: sentence.into(),
        });
        self.stopped = true;
    }

    /// One turn. False if there was nothing to do.
    fn turn(&mut self) -> io::Result<bool> {
        let mut busy = self.driver.turn()?;
        self.gather();
        let begin = clock::now();
        let mut now = begin;
        busy |= !self.events.is_empty();
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Some(event) = self.events.pop_front() else {
                break;
            };
            let is_request = matches!(event, Event::Frame { .. } | Event::Mesh { .. });
            self.machine.handle_event(now, event, &mut self.effects);
            self.carry_out(now);
            // An event may have taken long; what comes behind it has waited for it.
            let before_us = now.monotonic_us;
            now = clock::now_after(&begin);
            if is_request && self.machine.measures_time() {
                let took_us = now.monotonic_us.saturating_sub(before_us);
                let spent = Event::Spent { took_us };
                self.machine.handle_event(now, spent, &mut self.effects);
                self.carry_out(now);
            }
        }
        busy |= self.handle_deadlines(now);
        self.mesh.flush();
        Ok(busy || self.mesh.has_backlog())
    }

    /// Turns what has arrived into events. Frames wait while another core cannot keep up.
    fn gather(&mut self) {
        self.mesh.receive(&mut self.crossings);
        while let Some((from, crossing)) = self.crossings.pop_front() {
            match crossing {
                Crossing::Message(message, sent_us) => {
                    self.events.push_back(Event::Mesh {
                        from: self.shard_at(from),
                        sent_us,
                        message,
                    });
                }
                Crossing::Stop => {
                    self.driver.network.stop_listening(&mut self.driver.ring);
                    self.events.push_back(Event::Stop);
                }
                Crossing::Figures(asker) => {
                    let figures = Figures {
                        shard: self.shard,
                        numbers: self.machine.numbers(),
                        stages: self.stages.clone(),
                    };
                    // Whoever asked may no longer wait.
                    let _ = asker.send(figures);
                }
            }
        }
        while let Some(completion) = self.driver.disk.take_completion() {
            self.events.push_back(Event::Disk(completion));
        }
        let bytes = self.driver.network.take_gone();
        if bytes > 0 {
            self.events.push_back(Event::Sent { bytes });
        }
        if self.mesh.is_congested() {
            return;
        }
        while let Some(event) = self.driver.network.take_event() {
            self.events.push_back(match event {
                NetworkEvent::Connected(connection, peer) => Event::Connected { connection, peer },
                NetworkEvent::Progress(connection) => Event::Progress { connection },
                NetworkEvent::Frame(connection, frame, arrived_us) => Event::Frame {
                    connection,
                    frame,
                    arrived_us,
                },
                NetworkEvent::Disconnected(connection) => Event::Disconnected { connection },
            });
        }
    }

    fn handle_deadlines(&mut self, now: Now) -> bool {
        let driver = &mut self.driver;
        driver
            .network
            .handle_timeout(&mut driver.ring, now.monotonic_us);
        let due = self.machine.next_deadline();
        if due.is_none_or(|deadline| deadline > now.monotonic_us) {
            return false;
        }
        self.machine.handle_timeout(now, &mut self.effects);
        self.carry_out(now);
        true
    }

    fn carry_out(&mut self, now: Now) {
        for request in self.effects.disk.drain() {
            self.driver.disk.submit(&mut self.driver.ring, request);
        }
        let network = std::mem::take(&mut self.effects.network);
        self.effects.network = self.drained(network);
        for MeshEffect { to, message } in self.effects.mesh.drain(..) {
            if to == ShardId::MAIN {
                // The main thread outlives the executors; it takes no messages but reports.
                let _ = self.reports.send(Report::Message(message));
                continue;
            }
            let place = if to == ShardId::CONTROL {
                self.shard_count
            } else {
                to.0
            };
            self.mesh.send(
                usize::from(place),
                Crossing::Message(message, now.monotonic_us),
            );
        }
        for sample in self.effects.stages.drain(..) {
            self.stages.record(sample);
        }
        for effect in std::mem::take(&mut self.effects.process) {
            self.stopped |= effect == ProcessEffect::Stopped;
            match effect {
                ProcessEffect::Slow(request) => {
                    let peer = self.driver.network.peer_of(request.connection);
                    self.tell(Report::Slow(self.shard, request, peer));
                }
                effect => self.report(effect),
            }
        }
    }

    /// Carries out network effects and gives the emptied list back for its memory.
    fn drained(&mut self, mut effects: Vec<NetworkEffect>) -> Vec<NetworkEffect> {
        let (network, ring) = (&mut self.driver.network, &mut self.driver.ring);
        let mut listened = None;
        for effect in effects.drain(..) {
            match effect {
                NetworkEffect::Listen => listened = Some(network.listen(ring)),
                NetworkEffect::ReceiveNext { connection } => network.receive_next(ring, connection),
                NetworkEffect::Send {
                    connection,
                    mut parts,
                } => {
                    network.send(connection, &mut parts);
                    self.effects.keep_parts(parts);
                }
                NetworkEffect::Close { connection } => network.close(connection),
            }
        }
        match listened {
            Some(Ok(())) => self.tell(Report::Listening(self.shard)),
            Some(Err(error)) => self.report(ProcessEffect::Fatal {
                sentence: format!("cannot listen: {error}").into(),
            }),
            None => {}
        }
        effects
    }

    fn report(&self, effect: ProcessEffect) {
        self.tell(Report::Effect(self.shard, effect));
    }

    fn tell(&self, report: Report) {
        // The main thread outlives the executors; if it is gone, the process is ending.
        let _ = self.reports.send(report);
    }

    fn shard_at(&self, place: usize) -> ShardId {
        let place = u16::try_from(place).expect("cores are counted in 16 bits");
        match place.cmp(&self.shard_count) {
            Ordering::Less => ShardId(place),
            Ordering::Equal => ShardId::CONTROL,
            Ordering::Greater => ShardId::MAIN,
        }
    }

    fn park(&mut self) -> io::Result<()> {
        let machine = self.machine.next_deadline();
        let network = self.driver.network.next_deadline();
        let deadline = match (machine, network) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (one, other) => one.or(other),
        };
        let mesh = &self.mesh;
        self.driver.park(deadline, || mesh.has_message())
    }
}
