// SPDX-License-Identifier: Apache-2.0
//! What the shell and the simulator see of a machine: events in, effects out.
//!
//! Owns: [`Event`], [`Effects`], [`Machine`]. Invariants: a machine acts only when called; effects
//! of different queues have no order between them, so the shell needs none: whatever depends on a
//! completion is emitted by the handler of that completion. Runs on: the core of the machine.
//! Bounded by: `EFFECTS_PER_TURN_SOFT_MAX`; past it a machine sets `next_deadline` to now and goes
//! on there.

use bytes::Bytes;

use super::mesh_message::MeshMessage;
use super::numbers::ShardNumbers;
use super::slow_requests::SlowRequest;
use super::stage::{Stage, StageSample};
use super::start_progress::RecoveryProgress;
use crate::limits::{EFFECTS_PER_TURN_SOFT_MAX, LIST_ENTRIES_KEPT_MAX, LISTS_KEPT_MAX};
use crate::model::disk::{DiskCompletion, DiskQueue};
use crate::model::ids::{ConnectionId, ShardId};
use crate::model::peer::PeerAddress;
use crate::model::time::{MonotonicUs, Now};

/// What happens to a machine.
#[derive(Debug)]
pub enum Event {
    /// The first event of a machine, before any other.
    Start,
    /// A client connected. The machine grants the first frame with `ReceiveNext`.
    Connected {
        /// The new connection.
        connection: ConnectionId,
        /// From where.
        peer: PeerAddress,
    },
    /// A frame that is not whole goes on coming, or an answer goes on going; told now and then.
    Progress {
        /// On which connection.
        connection: ConnectionId,
    },
    /// One whole request frame, without its length field, at most `FRAME_BYTES_MAX`.
    Frame {
        /// From whom.
        connection: ConnectionId,
        /// The bytes after the length field.
        frame: Bytes,
        /// When the last of them had come.
        arrived_us: MonotonicUs,
    },
    /// The connection is gone (for whatever reason, `Close` included). No further event names it.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// So many bytes of what this machine sent are gone: sent, or dropped with their connection.
    /// All bytes of every `Send` are told in the end.
    Sent {
        /// How many.
        bytes: usize,
    },
    /// A disk request ended.
    Disk(DiskCompletion),
    /// A message from another core.
    Mesh {
        /// From whom.
        from: ShardId,
        /// When it was sent: the moment of the event that caused it.
        sent_us: MonotonicUs,
        /// What.
        message: Box<MeshMessage>,
    },
    /// Stop gracefully; `ProcessEffect::Stopped` says when all is on disk.
    Stop,
}

/// What a machine wants of the network.
#[derive(Debug)]
pub enum NetworkEffect {
    /// Start to accept connections on this core.
    Listen,
    /// Deliver one more frame of this connection (one effect, one frame), once the client has taken
    /// most of what was sent to it: a client that asks and does not read must not fill the memory.
    ReceiveNext {
        /// Which.
        connection: ConnectionId,
    },
    /// Send these bytes, parts in order, after everything sent before on this connection.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// A whole response, length field included.
        parts: Vec<Bytes>,
    },
    /// Close once everything sent before is out.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// A message for another core.
#[derive(Debug)]
pub struct MeshEffect {
    /// To whom.
    pub to: ShardId,
    /// What.
    pub message: Box<MeshMessage>,
}

/// What concerns the whole process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessEffect {
    /// Everything is recovered and serving (control shard, once).
    Ready,
    /// The partitions of a start are being opened; told now and then, and once they all are.
    Recovering {
        /// How far it is.
        progress: RecoveryProgress,
    },
    /// Everything is on disk; this machine needs no more events.
    Stopped,
    /// The process cannot go on: print the sentence, exit with an error.
    Fatal {
        /// What happened, to which file, what to do.
        sentence: Box<str>,
    },
    /// Something a person should know: print the sentence.
    Notice {
        /// What happened.
        sentence: Box<str>,
    },
    /// Something for those who look closely: print the sentence where they asked for that.
    Detail {
        /// What happened.
        sentence: Box<str>,
    },
    /// A request took long.
    Slow(Box<SlowRequest>),
    /// So many more requests took long than were told.
    SlowUntold {
        /// How many since that was told last.
        count: u64,
    },
}

/// Where a machine puts its effects. Reused from event to event; the shell drains each queue in
/// order.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the disk.
    pub disk: DiskQueue,
    /// For the network.
    pub network: Vec<NetworkEffect>,
    /// For other cores.
    pub mesh: Vec<MeshEffect>,
    /// For the process.
    pub process: Vec<ProcessEffect>,
    /// Stages of requests that ended, for the figures.
    pub stages: Vec<StageSample>,
    /// Emptied lists of `NetworkEffect::Send`, for the next ones.
    pub spare_parts: Vec<Vec<Bytes>>,
}

impl Effects {
    /// Takes the list of a `NetworkEffect::Send` back, once its parts are where they are sent from.
    pub fn keep_parts(&mut self, mut parts: Vec<Bytes>) {
        parts.clear();
        let is_large = parts.capacity() > LIST_ENTRIES_KEPT_MAX;
        if self.spare_parts.len() < LISTS_KEPT_MAX && !is_large {
            self.spare_parts.push(parts);
        }
    }

    /// A stage of a request ended.
    pub fn note_stage(&mut self, stage: Stage, took_us: u64) {
        self.stages.push(StageSample { stage, took_us });
    }

    /// True once a machine should stop working through waiters and ask to be called again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.disk.len() + self.network.len() + self.mesh.len() >= EFFECTS_PER_TURN_SOFT_MAX
    }
}

/// The contract of a machine that owns a core: four families of methods and nothing else.
pub trait Machine {
    /// Handles one event.
    fn handle_event(&mut self, now: Now, event: Event, effects: &mut Effects);
    /// The moment at which `handle_timeout` wants to be called, if any; a moment that has passed
    /// means at once.
    fn next_deadline(&self) -> Option<MonotonicUs>;
    /// Does what has become due.
    fn handle_timeout(&mut self, now: Now, effects: &mut Effects);
    /// Its figures, of a machine that has some.
    fn numbers(&self) -> Option<ShardNumbers> {
        None
    }
}

const _: () = assert!(std::mem::size_of::<NetworkEffect>() <= 64);
const _: () = assert!(std::mem::size_of::<MeshEffect>() <= 64);
