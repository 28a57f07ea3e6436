// SPDX-License-Identifier: Apache-2.0
//! The connections of one shard: requests in, answers out in the order of the requests.
//!
//! Owns: per connection a first-in-first-out queue of response slots and the right to receive.
//! Invariants: an answer leaves only when every earlier request of its connection has been answered
//! (or wants no answer); after a close nothing more leaves; at most one frame is granted at a time;
//! while the shard is short of memory no frame is granted, and those who wait get theirs in turn.
//! A connection is closed when its first request is not whole in time, or when nothing happened on
//! it for long; never while it waits for us: for its admission, for memory, for an answer, or for
//! its quota: a muted connection is granted no frame, and its answers leave all the same.
//! Runs on: the shard that accepted the connection. Bounded by: `CONNECTIONS_PER_SHARD_MAX`,
//! `REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX`, and `FRAME_BYTES_MAX` of request bytes under way per
//! connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

use super::closings::ClosedFor;
use super::contract::NetworkEffect;
use super::stage::RequestTimes;
use crate::limits::{
    CONNECTIONS_PER_SHARD_MAX, FIRST_REQUEST_MS, FRAME_BYTES_MAX,
    REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX,
};
use crate::model::ids::ConnectionId;
use crate::model::peer::PeerAddress;
use crate::model::quota::ANONYMOUS;
use crate::model::time::{MonotonicUs, Now};

/// Names one request of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// The connection.
    pub connection: ConnectionId,
    /// Counts the requests of the connection from 0.
    pub sequence: u64,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With these bytes, a whole response.
    Send(Vec<Bytes>),
    /// Without an answer (`acks=0`).
    Silent,
    /// With the end of the connection.
    Close,
}

impl Outcome {
    /// Bytes of the answer.
    fn bytes(&self) -> usize {
        match self {
            Outcome::Send(parts) => parts.iter().map(Bytes::len).sum(),
            Outcome::Silent | Outcome::Close => 0,
        }
    }
}

/// A request that has ended, and whose turn to leave has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Of which connection.
    pub connection: ConnectionId,
    /// False if the client had gone before.
    pub is_answered: bool,
    /// How it went.
    pub times: RequestTimes,
}

/// One request under way.
#[derive(Debug)]
struct Slot {
    frame_bytes: usize,
    outcome: Option<Outcome>,
    /// Known once it has ended, of one that could be read.
    times: Option<RequestTimes>,
    /// Numbers under which the shard keeps what belongs to the request.
    request: Option<u64>,
}

#[derive(Debug)]
struct Connection {
    peer: PeerAddress,
    slots: VecDeque<Slot>,
    first_sequence: u64,
    frame_bytes: usize,
    /// A frame was granted and has not come yet.
    granted: bool,
    /// It stands in the queue of those who wait for memory.
    waits: bool,
    /// It may send requests.
    is_admitted: bool,
    /// A whole request has come.
    has_asked: bool,
    /// When something happened on it.
    since_us: MonotonicUs,
    /// When it is looked at next, as the list of those that are to be looked at knows it.
    looked_at_us: Option<MonotonicUs>,
    closing: bool,
    /// No frame is granted before this moment; [`UNTIL_ANSWERED`] as long as it is not known.
    muted_until_us: Option<MonotonicUs>,
    /// What the client calls itself.
    client: String,
    /// Who the client is.
    principal: ByteString,
}

/// Stands for the moment when a request is answered.
const UNTIL_ANSWERED: MonotonicUs = MonotonicUs::MAX;

/// All connections of a shard.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    connections: BTreeMap<ConnectionId, Connection>,
    /// Who waits for memory, in turn.
    waiting: VecDeque<ConnectionId>,
    /// No frame is granted.
    is_held: bool,
    /// Frames of all requests that are not answered.
    frame_bytes: usize,
    /// Requests under way whose connection is gone, with the bytes of their frames.
    orphans: BTreeMap<SlotId, usize>,
    /// Answers that are not gone.
    outbound_bytes: usize,
    /// Requests that have left since somebody asked.
    left: Vec<Left>,
    /// The moment of the event that is handled.
    now_us: MonotonicUs,
    /// How long nothing may happen on a connection.
    idle_us_max: Option<u64>,
    /// When to look at which connection: at its deadline, or earlier if something has happened on
    /// it meanwhile.
    looks: BTreeSet<(MonotonicUs, ConnectionId)>,
    /// When which connection is no longer muted.
    mutes: BTreeSet<(MonotonicUs, ConnectionId)>,
}

impl ConnectionTable {
    /// No connections; those on which nothing happens for so long will be closed.
    #[must_use]
    pub fn new(idle_us_max: Option<u64>) -> ConnectionTable {
        ConnectionTable {
            idle_us_max,
            ..ConnectionTable::default()
        }
    }

    /// All that follows happens at this moment.
    pub fn note_time(&mut self, now: Now) {
        self.now_us = now.monotonic_us;
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Bytes of the frames of all requests that are not answered.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Bytes of answers that wait for their turn to leave, or were given to the network and are not
    /// gone.
    #[must_use]
    pub fn outbound_bytes(&self) -> usize {
        self.outbound_bytes
    }

    /// Bytes of the frame of a request.
    #[must_use]
    pub fn frame_bytes_of(&self, slot: SlotId) -> usize {
        let connection = self.connections.get(&slot.connection);
        let found = connection.and_then(|connection| connection.slot(slot.sequence));
        found.map_or(0, |slot| slot.frame_bytes)
    }

    /// True if somebody could have a frame granted who waited for memory.
    #[must_use]
    pub fn has_next_grant(&self) -> bool {
        !self.is_held && !self.waiting.is_empty()
    }

    /// Grants no frame, or grants them again.
    pub fn handle_hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Grants a frame to the one that waited longest.
    pub fn handle_next_grant(&mut self, network: &mut Vec<NetworkEffect>) {
        assert!(!self.is_held, "there is no memory for a frame");
        let Some(id) = self.waiting.pop_front() else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.waits = false;
            connection.since_us = self.now_us;
            self.handle_grant(id, network);
            self.watch(id);
        }
    }

    /// So many bytes left, or went with their connection.
    pub fn handle_sent(&mut self, bytes: usize) {
        assert!(bytes <= self.outbound_bytes, "only what was given is sent");
        self.outbound_bytes -= bytes;
    }

    /// A client connected. It may send once it is admitted. False past the bound: it is closed at
    /// once.
    pub fn handle_connected(
        &mut self,
        id: ConnectionId,
        peer: PeerAddress,
        network: &mut Vec<NetworkEffect>,
    ) -> bool {
        let mut connection = Connection {
            peer,
            slots: VecDeque::new(),
            first_sequence: 0,
            frame_bytes: 0,
            granted: false,
            waits: false,
            is_admitted: false,
            has_asked: false,
            since_us: self.now_us,
            looked_at_us: None,
            closing: false,
            muted_until_us: None,
            client: String::new(),
            principal: ByteString::from_static(ANONYMOUS),
        };
        let has_room = self.connections.len() < CONNECTIONS_PER_SHARD_MAX;
        if !has_room {
            connection.close(id, network);
        }
        let before = self.connections.insert(id, connection);
        assert!(before.is_none(), "a connection id is used once");
        has_room
    }

    /// The connection may send requests.
    pub fn handle_admitted(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_admitted = true;
            connection.since_us = self.now_us;
            self.handle_grant(id, network);
            self.watch(id);
        }
    }

    /// The connection is not served. True unless it was closing.
    pub fn handle_refused(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let was_closing = connection.closing;
        connection.close(id, network);
        !was_closing
    }

    /// A frame goes on coming, or an answer going.
    pub fn handle_progress(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.has_asked
        {
            connection.since_us = self.now_us;
        }
    }

    /// When a connection has to be looked at next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicUs> {
        let firsts = [self.looks.first(), self.mutes.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Closes the next connection that has said nothing for too long; `None` if none is left.
    pub fn handle_timeout(&mut self, network: &mut Vec<NetworkEffect>) -> Option<ClosedFor> {
        while let Some((at, id)) = self.looks.first().copied()
            && at <= self.now_us
        {
            self.looks.pop_first();
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.looked_at_us = None;
            let deadline = connection.deadline(self.idle_us_max);
            if deadline.is_none_or(|deadline| deadline > self.now_us) {
                self.watch(id);
                continue;
            }
            let reason = match connection.has_asked {
                true => ClosedFor::Idleness,
                false => ClosedFor::NoRequest,
            };
            connection.close(id, network);
            return Some(reason);
        }
        None
    }

    /// Has a connection looked at when its time is over.
    fn watch(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // One that is looked at too early is looked at again: a request costs nothing here.
        if connection.looked_at_us.is_none()
            && let Some(deadline) = connection.deadline(self.idle_us_max)
        {
            connection.looked_at_us = Some(deadline);
            self.looks.insert((deadline, id));
        }
    }

    /// A frame came. Gives its slot, or nothing if the connection is closing.
    pub fn handle_frame(&mut self, id: ConnectionId, frame_bytes: usize) -> Option<SlotId> {
        let connection = self.connections.get_mut(&id)?;
        connection.granted = false;
        if connection.closing {
            return None;
        }
        connection.has_asked = true;
        connection.since_us = self.now_us;
        let sequence = connection.first_sequence + length_u64(connection.slots.len());
        connection.frame_bytes += frame_bytes;
        self.frame_bytes += frame_bytes;
        connection.slots.push_back(Slot {
            frame_bytes,
            outcome: None,
            times: None,
            request: None,
        });
        Some(SlotId {
            connection: id,
            sequence,
        })
    }

    /// Grants the next frame if the bounds allow it.
    pub fn handle_grant(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !connection.may_receive() {
            return;
        }
        if self.is_held {
            connection.waits = true;
            self.waiting.push_back(id);
        } else {
            connection.granted = true;
            network.push(NetworkEffect::ReceiveNext { connection: id });
        }
    }

    /// Notes under which number the shard keeps a request that is under way.
    pub fn note_request(&mut self, slot: SlotId, request: u64) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.request = Some(request);
        }
    }

    /// Takes the list of the requests that have left.
    #[must_use]
    pub fn take_left(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.left)
    }

    /// Takes that list back, emptied, for its memory.
    pub fn keep_left(&mut self, list: Vec<Left>) {
        assert!(list.is_empty() && self.left.is_empty());
        self.left = list;
    }

    /// A request ended, with its moments if it could be read. Sends what may leave now and grants
    /// further frames.
    pub fn handle_outcome(
        &mut self,
        slot: SlotId,
        outcome: Outcome,
        times: Option<RequestTimes>,
        network: &mut Vec<NetworkEffect>,
    ) {
        let id = slot.connection;
        let connection = self.connections.get_mut(&id);
        let Some(connection) = connection.filter(|found| found.slot(slot.sequence).is_some())
        else {
            self.forget(slot); // The client went away meanwhile.
            self.left.extend(times.map(|times| Left {
                connection: id,
                is_answered: false,
                times,
            }));
            return;
        };
        let is_closing = connection.closing;
        let waiting = connection.slot_mut(slot.sequence).expect("just seen");
        assert!(waiting.outcome.is_none(), "a request ends once");
        // What waits for its turn to leave holds its answer and no longer its frame.
        let frame_bytes = std::mem::take(&mut waiting.frame_bytes);
        let outcome = if is_closing { Outcome::Silent } else { outcome };
        self.outbound_bytes += outcome.bytes();
        waiting.outcome = Some(outcome);
        waiting.times = times;
        connection.frame_bytes -= frame_bytes;
        self.frame_bytes -= frame_bytes;
        // However it ended: if it is to be waited for longer than that, somebody has said so.
        if connection.muted_until_us == Some(UNTIL_ANSWERED) && connection.is_last(slot.sequence) {
            connection.muted_until_us = None;
        }
        connection.send_ready(id, network, &mut self.left);
        connection.since_us = self.now_us;
        self.handle_grant(id, network);
        self.watch(id);
    }

    /// A request under way will not be answered: its client is gone.
    pub fn forget(&mut self, slot: SlotId) {
        if let Some(bytes) = self.orphans.remove(&slot) {
            self.frame_bytes -= bytes;
        }
    }

    /// The connection is gone. Gives the numbers of its requests that are under way.
    #[must_use]
    pub fn handle_disconnected(&mut self, id: ConnectionId) -> Vec<u64> {
        let Some(connection) = self.connections.remove(&id) else {
            return Vec::new();
        };
        if connection.waits {
            self.waiting.retain(|waiting| *waiting != id);
        }
        if let Some(at) = connection.looked_at_us {
            self.looks.remove(&(at, id));
        }
        if let Some(until) = connection.muted_until_us {
            self.mutes.remove(&(until, id));
        }
        for (sequence, slot) in (connection.first_sequence..).zip(&connection.slots) {
            match &slot.outcome {
                Some(outcome) => self.outbound_bytes -= outcome.bytes(),
                // What is under way goes on, and its frame stays with it.
                None => {
                    let at = SlotId {
                        connection: id,
                        sequence,
                    };
                    self.orphans.insert(at, slot.frame_bytes);
                }
            }
        }
        let under_way = connection.slots.iter();
        under_way
            .filter(|slot| slot.outcome.is_none())
            .filter_map(|slot| slot.request)
            .collect()
    }

    /// Closes every connection.
    pub fn handle_close_all(&mut self, network: &mut Vec<NetworkEffect>) {
        for (id, connection) in &mut self.connections {
            connection.close(*id, network);
        }
    }

    fn slot_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        let connection = self.connections.get_mut(&slot.connection)?;
        connection.slot_mut(slot.sequence)
    }
}

impl Connection {
    fn slot(&self, sequence: u64) -> Option<&Slot> {
        let place = sequence.checked_sub(self.first_sequence)?;
        self.slots.get(usize::try_from(place).ok()?)
    }

    /// True if no request came after this one.
    fn is_last(&self, sequence: u64) -> bool {
        sequence + 1 == self.first_sequence + length_u64(self.slots.len())
    }

    fn slot_mut(&mut self, sequence: u64) -> Option<&mut Slot> {
        let place = sequence.checked_sub(self.first_sequence)?;
        self.slots.get_mut(usize::try_from(place).ok()?)
    }

    /// Sends the answers of all leading requests that have ended.
    fn send_ready(
        &mut self,
        id: ConnectionId,
        network: &mut Vec<NetworkEffect>,
        left: &mut Vec<Left>,
    ) {
        while !self.closing
            && let Some(slot) = self.slots.front_mut()
            && let Some(outcome) = slot.outcome.take()
        {
            left.extend(slot.times.map(|times| Left {
                connection: id,
                is_answered: true,
                times,
            }));
            self.slots.pop_front();
            self.first_sequence += 1;
            match outcome {
                Outcome::Send(parts) => network.push(NetworkEffect::Send {
                    connection: id,
                    parts,
                }),
                Outcome::Silent => {}
                Outcome::Close => self.close(id, network),
            }
        }
    }

    fn close(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        if !self.closing {
            self.closing = true;
            network.push(NetworkEffect::Close { connection: id });
        }
    }

    /// When it is closed if nothing happens on it; `None` while it waits for us.
    fn deadline(&self, idle_us_max: Option<u64>) -> Option<MonotonicUs> {
        let waits = self.waits || self.muted_until_us.is_some();
        if self.closing || !self.is_admitted || waits || !self.slots.is_empty() {
            return None;
        }
        if self.has_asked {
            return Some(self.since_us.saturating_add(idle_us_max?));
        }
        let first_us = FIRST_REQUEST_MS * 1000;
        Some(self.since_us + idle_us_max.map_or(first_us, |idle| idle.min(first_us)))
    }

    /// True if the bounds of the connection allow a further frame.
    fn may_receive(&self) -> bool {
        self.is_admitted
            && !self.granted
            && !self.waits
            && !self.closing
            && self.muted_until_us.is_none()
            && self.slots.len() < REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX
            && self.frame_bytes < FRAME_BYTES_MAX
    }
}

fn length_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a usize fits 64 bits")
}

#[path = "connection/client.rs"]
mod client;
#[path = "connection/mute.rs"]
mod mute;

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
