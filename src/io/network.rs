// SPDX-License-Identifier: Apache-2.0
//! The connections of one executor.
//!
//! Owns: the listener, all connections, the memory that they take, and a spare descriptor for the
//! day when there is no other.
//! Invariants: events of a connection are in order, `Connected` first and `Disconnected` last and
//! once; ids are never used twice; effects for a connection that is gone are dropped. Runs on: one
//! executor. Bounded by: `CONNECTIONS_ACCEPTED_MAX`, and by `MemoryBudget` for what comes in and
//! what goes out.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bytes::Bytes;
use io_uring::{opcode, types};

use super::clock;
use super::connection::Connection;
use super::frame_memory::FrameMemory;
use super::listener;
use super::receive_gate::ReceiveGate;
use super::ring::{Completed, Kind, Ring, Tag};
use super::slots::Slots;
use crate::limits::{
    CONNECTIONS_ACCEPTED_MAX, FRAME_BYTES_MAX, FRAME_MEMORY_PART, RECEIVE_STALL_MS,
};
use crate::model::ids::ConnectionId;
use crate::model::memory_budget::MemoryBudget;
use crate::model::peer::PeerAddress;
use crate::model::time::MonotonicUs;

/// How long accepting rests when the process has no descriptor left, in microseconds.
const ACCEPT_REST_US: u64 = 50_000;

/// How long a frame may stop to come while others wait for its memory, in microseconds.
const RECEIVE_STALL_US: u64 = RECEIVE_STALL_MS * 1000;

const ACCEPT: Tag = Tag {
    kind: Kind::Accept,
    index: 0,
};

/// Bits of a connection id that name its slot; the others count connections.
const SLOT_BITS: u32 = 16;

/// What happens on the network.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A client connected from there.
    Connected(ConnectionId, PeerAddress),
    /// A frame that is not whole goes on coming, or an answer going.
    Progress(ConnectionId),
    /// A whole frame, without its length field, and when the last of it had come.
    Frame(ConnectionId, Bytes, MonotonicUs),
    /// A connection is gone.
    Disconnected(ConnectionId),
}

/// All connections of one executor.
pub struct Network {
    listener: Option<OwnedFd>,
    listening: bool,
    accepting: bool,
    rest_until: Option<MonotonicUs>,
    reserve: Option<File>,
    connections: Slots<Box<Connection>>,
    accepted: u64,
    origin: u64,
    frame_bytes_max: usize,
    gate: ReceiveGate,
    frame_memory: FrameMemory,
    /// When to look for connections that stall while others wait for their memory.
    stall_check_at: Option<MonotonicUs>,
    /// Bytes that wait to be sent on all connections, and their soft bound.
    outbound_bytes: usize,
    outbound_bytes_max: usize,
    /// Bytes that were sent, or dropped, since somebody asked.
    gone_bytes: usize,
    dirty: Vec<u32>,
    events: VecDeque<NetworkEvent>,
}

impl Network {
    /// A network that does not listen yet. `executor` makes its connection ids differ from those of
    /// other executors; a frame larger than `frame_bytes_max` ends its connection.
    #[must_use]
    pub fn new(
        listener: Option<OwnedFd>,
        executor: u16,
        frame_bytes_max: usize,
        memory: &MemoryBudget,
    ) -> Network {
        let kept_bytes_max = memory.receive_bytes / FRAME_MEMORY_PART;
        Network {
            listener,
            listening: false,
            accepting: false,
            rest_until: None,
            reserve: open_reserve(),
            connections: Slots::new(),
            accepted: 0,
            origin: u64::from(executor) << 48,
            frame_bytes_max: frame_bytes_max.min(FRAME_BYTES_MAX),
            gate: ReceiveGate::new(memory.receive_bytes - kept_bytes_max),
            frame_memory: FrameMemory::new(kept_bytes_max),
            stall_check_at: None,
            outbound_bytes: 0,
            outbound_bytes_max: memory.outbound_bytes,
            gone_bytes: 0,
            dirty: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Starts to accept connections.
    ///
    /// # Errors
    /// When the socket cannot listen.
    pub fn listen(&mut self, ring: &mut Ring) -> io::Result<()> {
        let Some(socket) = &self.listener else {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        };
        listener::listen(socket)?;
        self.listening = true;
        self.accept(ring);
        Ok(())
    }

    /// Accepts no further connection.
    pub fn stop_listening(&mut self, ring: &mut Ring) {
        self.listening = false;
        self.rest_until = None;
        if !self.accepting {
            self.listener = None;
            return;
        }
        let entry = opcode::AsyncCancel::new(ACCEPT.encode()).build();
        let tag = Tag {
            kind: Kind::Control,
            index: 0,
        };
        // SAFETY: a cancellation names no memory.
        unsafe { ring.push(tag, entry) };
    }

    fn accept(&mut self, ring: &mut Ring) {
        let Some(socket) = self.listener.as_ref().filter(|_| self.listening) else {
            return;
        };
        if self.accepting {
            return;
        }
        self.accepting = true;
        let entry = opcode::AcceptMulti::new(types::Fd(socket.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        // SAFETY: no memory is named; the listener is closed only after this operation's last
        // completion.
        unsafe { ring.push(ACCEPT, entry) };
    }

    /// The next event, if there is one.
    pub fn take_event(&mut self) -> Option<NetworkEvent> {
        self.events.pop_front()
    }

    /// True if an event waits.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// When `handle_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        match (self.rest_until, self.stall_check_at) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (one, other) => one.or(other),
        }
    }

    /// Bytes that were sent, or dropped with their connection, since the last call.
    pub fn take_gone(&mut self) -> usize {
        self.outbound_bytes -= self.gone_bytes;
        std::mem::take(&mut self.gone_bytes)
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, ring: &mut Ring, now: MonotonicUs) {
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
            if self.reserve.is_none() {
                self.reserve = open_reserve();
            }
            self.accept(ring);
        }
        if self.stall_check_at.is_some_and(|at| at <= now) {
            self.stall_check_at = None;
            self.end_stalled(now);
        }
    }

    /// Ends connections whose frames have stopped to come while they hold the memory that others
    /// wait for.
    fn end_stalled(&mut self, now: MonotonicUs) {
        if !self.gate.has_waiting() {
            return;
        }
        let since = now.saturating_sub(RECEIVE_STALL_US);
        for index in self.connections.indexes() {
            let connection = self.connections.get_mut(index);
            if connection.is_some_and(|connection| connection.is_stalled(since)) {
                self.end(index);
            }
        }
        self.note_waiting(now);
    }

    /// Looks for stalled connections from now on, if somebody waits.
    fn note_waiting(&mut self, now: MonotonicUs) {
        if self.gate.has_waiting() && self.stall_check_at.is_none() {
            self.stall_check_at = Some(now + RECEIVE_STALL_US);
        }
    }

    /// Asks those again who waited for memory.
    fn wake_waiting(&mut self, ring: &mut Ring) {
        // Each is asked once: who has to wait again stands behind the others.
        for _ in 0..self.gate.waiting_len() {
            let Some(index) = self.gate.next_waiting() else {
                return;
            };
            self.pump(ring, index);
        }
    }

    /// The accept has completed, for the last time or not.
    pub fn handle_accepted(&mut self, ring: &mut Ring, completed: Completed, now: MonotonicUs) {
        self.accepting = completed.more;
        if completed.result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us and nobody else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(completed.result) };
            if self.listening && self.connections.len() < CONNECTIONS_ACCEPTED_MAX {
                self.open(ring, socket);
            }
        } else if matches!(-completed.result, libc::EMFILE | libc::ENFILE) {
            self.refuse_for_want_of_descriptors(now);
        }
        if !self.listening && !self.accepting {
            self.listener = None;
        } else if self.rest_until.is_none() {
            self.accept(ring);
        }
    }

    /// Without a descriptor a waiting connection cannot even be refused: it would be reported again
    /// at once, for ever.
    fn refuse_for_want_of_descriptors(&mut self, now: MonotonicUs) {
        self.reserve = None;
        if let Some(socket) = &self.listener {
            listener::refuse_waiting(socket);
        }
        self.reserve = open_reserve();
        self.rest_until = Some(now + ACCEPT_REST_US);
    }

    fn open(&mut self, ring: &mut Ring, socket: OwnedFd) {
        self.accepted += 1;
        let prefix = self.origin ^ (self.accepted << SLOT_BITS);
        let frame_bytes_max = self.frame_bytes_max;
        let (mut id, mut place) = (ConnectionId(prefix), 0);
        let socket = TcpStream::from(socket);
        // A client that has left already has no address any more, and will soon be seen to be gone.
        let peer = socket.peer_addr();
        let peer = peer.map_or(PeerAddress::UNKNOWN, |address| address.ip().into());
        self.connections.insert_with(|index| {
            (id, place) = (ConnectionId(prefix ^ u64::from(index)), index);
            Box::new(Connection::new(id, index, socket, frame_bytes_max))
        });
        self.events.push_back(NetworkEvent::Connected(id, peer));
        // Received at once, and delivered when the machine wants it: else nobody would see that a
        // client has left which waits for its admission.
        self.pump(ring, place);
    }

    fn find(&mut self, id: ConnectionId) -> Option<(u32, &mut Connection)> {
        let index = u32::try_from(id.0 & ((1 << SLOT_BITS) - 1)).expect("masked to 16 bits");
        let connection = self.connections.get_mut(index)?;
        if connection.id != id || connection.has_ended() {
            return None;
        }
        Some((index, connection))
    }

    /// The machine takes one more frame of this connection.
    pub fn receive_next(&mut self, ring: &mut Ring, id: ConnectionId) {
        if let Some((index, connection)) = self.find(id) {
            let (delivered, kept) = connection.add_credit();
            self.gate.give(index, delivered, kept);
            self.pump(ring, index);
        }
    }

    /// Queues a response, whose list is empty then; `flush` starts sending.
    pub fn send(&mut self, id: ConnectionId, parts: &mut Vec<Bytes>) {
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        self.outbound_bytes += bytes;
        let Some((index, connection)) = self.find(id).filter(|(_, found)| found.is_open()) else {
            self.gone_bytes += bytes;
            return parts.clear();
        };
        if connection.queue(parts) {
            self.dirty.push(index);
        } else {
            self.end(index);
        }
    }

    /// Closes a connection once everything queued is out.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some((index, connection)) = self.find(id) {
            connection.close_when_sent();
            if connection.is_drained() {
                self.end(index);
            }
        }
    }

    /// Where the client of a connection is, if it is still there.
    pub fn peer_of(&mut self, id: ConnectionId) -> Option<SocketAddr> {
        let (_, connection) = self.find(id)?;
        connection.peer()
    }

    /// Starts the sends of this turn, gathered by connection, and lets those receive who waited for
    /// memory.
    pub fn flush(&mut self, ring: &mut Ring) {
        self.wake_waiting(ring);
        for index in self.dirty.drain(..) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.send(ring);
            }
        }
    }

    /// A receive has completed.
    pub fn handle_received(&mut self, ring: &mut Ring, completed: Completed) {
        let index = completed.tag.index;
        let connection = self
            .connections
            .get_mut(index)
            .expect("kept while receiving");
        if connection.handle_received(completed) {
            if connection.is_amid_frame() && connection.is_progress_to_be_told() {
                let progress = NetworkEvent::Progress(connection.id);
                self.events.push_back(progress);
            }
            self.pump(ring, index);
        } else {
            self.end(index);
        }
        self.release(index);
    }

    /// A send has completed.
    pub fn handle_sent(&mut self, ring: &mut Ring, completed: Completed) {
        let index = completed.tag.index;
        let connection = self.connections.get_mut(index).expect("kept while sending");
        let before = connection.queued_bytes();
        let goes_on = connection.handle_sent(completed.result);
        self.gone_bytes += before - connection.queued_bytes();
        if !goes_on || connection.is_drained() {
            self.end(index);
        } else {
            if connection.queued_bytes() > 0 && connection.is_progress_to_be_told() {
                let progress = NetworkEvent::Progress(connection.id);
                self.events.push_back(progress);
            }
            connection.send(ring);
            self.pump(ring, index);
        }
        self.release(index);
    }

    /// Delivers what may be delivered, then receives on.
    fn pump(&mut self, ring: &mut Ring, index: u32) {
        let is_congested = self.outbound_bytes - self.gone_bytes > self.outbound_bytes_max;
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        loop {
            match connection.take_frame(&mut self.gate, &mut self.frame_memory, is_congested) {
                Ok(Some(frame)) => {
                    let arrived_us = connection.received_us();
                    self.events
                        .push_back(NetworkEvent::Frame(connection.id, frame, arrived_us));
                }
                Ok(None) => break,
                Err(_) => return self.end(index),
            }
        }
        if connection
            .receive(ring, &mut self.gate, &mut self.frame_memory)
            .is_err()
        {
            return self.end(index);
        }
        if self.gate.has_waiting() && self.stall_check_at.is_none() {
            self.note_waiting(clock::monotonic_us());
        }
    }

    fn end(&mut self, index: u32) {
        if let Some(connection) = self.connections.get_mut(index)
            && !connection.has_ended()
        {
            connection.end();
            connection.leave(&mut self.gate);
            self.events
                .push_back(NetworkEvent::Disconnected(connection.id));
        }
        self.release(index);
    }

    fn release(&mut self, index: u32) {
        let connection = self.connections.get_mut(index);
        if let Some(connection) = connection.filter(|connection| connection.is_over()) {
            self.gone_bytes += connection.queued_bytes();
            self.connections.take(index);
        }
    }
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

const _: () = assert!(CONNECTIONS_ACCEPTED_MAX < 1 << SLOT_BITS);
