// SPDX-License-Identifier: Apache-2.0
//! One life of the broker process: its machines and what the shell would know of them.
//!
//! Invariants: data shards come first, in their order, the control shard last.

use furlong::model::ids::ShardId;
use furlong::model::time::MonotonicUs;
use furlong::shard::contract::Machine;

use crate::disk::Death;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By force.
    Death(Death),
    /// By `Event::Stop`.
    Stop,
}

/// A living process.
pub struct Process {
    /// Its machines.
    pub machines: Vec<Box<dyn Machine>>,
    /// Which of them accept connections.
    pub listening: Vec<bool>,
    /// Which of them said that they are through.
    pub stopped: Vec<bool>,
    /// It was told to stop.
    pub is_stopping: bool,
    /// It said that it serves.
    pub is_ready: bool,
    /// Turns in a row that no event caused.
    pub idle_turns: u32,
    deadlines: Vec<Option<MonotonicUs>>,
}

impl Process {
    /// A process that has not seen an event yet.
    pub fn new(machines: Vec<Box<dyn Machine>>) -> Process {
        let count = machines.len();
        Process {
            machines,
            listening: vec![false; count],
            stopped: vec![false; count],
            is_stopping: false,
            is_ready: false,
            idle_turns: 0,
            deadlines: vec![None; count],
        }
    }

    /// The core of a machine.
    pub fn shard_of(&self, machine: usize) -> ShardId {
        if machine + 1 == self.machines.len() {
            ShardId::CONTROL
        } else {
            ShardId(u16::try_from(machine).expect("few shards"))
        }
    }

    /// The machine of a core.
    pub fn machine_of(&self, shard: ShardId) -> usize {
        let machine = if shard == ShardId::CONTROL {
            self.machines.len() - 1
        } else {
            usize::from(shard.0)
        };
        assert!(machine < self.machines.len(), "there is no shard {shard}");
        machine
    }

    /// True if this machine needs no more events.
    pub fn is_stopped(&self, machine: usize) -> bool {
        self.stopped[machine]
    }

    /// Machines that accept connections.
    pub fn listening(&self) -> Vec<usize> {
        let all = (0..self.machines.len())
            .filter(|machine| !self.is_stopping && self.listening[*machine]);
        all.collect()
    }

    /// A machine had a turn: asks when it wants the next one.
    pub fn note_deadline(&mut self, machine: usize) {
        self.deadlines[machine] = self.machines[machine].next_deadline();
    }

    /// The machine that wants to be called first, and when.
    pub fn first_deadline(&self) -> Option<(MonotonicUs, usize)> {
        let all = self.deadlines.iter().enumerate();
        all.filter(|(machine, _)| !self.stopped[*machine])
            .filter_map(|(machine, deadline)| deadline.map(|deadline| (deadline, machine)))
            .min()
    }
}
