// SPDX-License-Identifier: Apache-2.0
//! The connections of one shard: requests in, answers out in the order of the requests.
//!
//! Owns: per connection a first-in-first-out queue of response slots and the right to receive.
//! Invariants: an answer leaves only when every earlier request of its connection has been answered
//! (or wants no answer); after a close nothing more leaves; at most one frame is granted at a time.
//! Runs on: the shard that accepted the connection. Bounded by: `CONNECTIONS_PER_SHARD_MAX`,
//! `REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX`, and `FRAME_BYTES_MAX` of request bytes under way per
//! connection.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::contract::NetworkEffect;
use crate::limits::{
    CONNECTIONS_PER_SHARD_MAX, FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX,
};
use crate::model::ids::ConnectionId;

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

/// One request under way.
#[derive(Debug)]
struct Slot {
    frame_bytes: usize,
    outcome: Option<Outcome>,
    /// Numbers under which the shard keeps what belongs to the request.
    request: Option<u64>,
}

#[derive(Debug)]
struct Connection {
    slots: VecDeque<Slot>,
    first_sequence: u64,
    frame_bytes: usize,
    /// A frame was granted and has not come yet.
    granted: bool,
    closing: bool,
}

/// All connections of a shard.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    connections: BTreeMap<ConnectionId, Connection>,
}

impl ConnectionTable {
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

    /// A client connected. Past the bound it is closed at once.
    pub fn handle_connected(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        let mut connection = Connection {
            slots: VecDeque::new(),
            first_sequence: 0,
            frame_bytes: 0,
            granted: false,
            closing: false,
        };
        if self.connections.len() >= CONNECTIONS_PER_SHARD_MAX {
            connection.closing = true;
            network.push(NetworkEffect::Close { connection: id });
        }
        connection.grant(id, network);
        let before = self.connections.insert(id, connection);
        assert!(before.is_none(), "a connection id is used once");
    }

    /// A frame came. Gives its slot, or nothing if the connection is closing.
    pub fn handle_frame(&mut self, id: ConnectionId, frame_bytes: usize) -> Option<SlotId> {
        let connection = self.connections.get_mut(&id)?;
        connection.granted = false;
        if connection.closing {
            return None;
        }
        let sequence = connection.first_sequence + length_u64(connection.slots.len());
        connection.frame_bytes += frame_bytes;
        connection.slots.push_back(Slot {
            frame_bytes,
            outcome: None,
            request: None,
        });
        Some(SlotId {
            connection: id,
            sequence,
        })
    }

    /// Grants the next frame if the bounds allow it.
    pub fn handle_grant(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.grant(id, network);
        }
    }

    /// Notes under which number the shard keeps a request that is under way.
    pub fn note_request(&mut self, slot: SlotId, request: u64) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.request = Some(request);
        }
    }

    /// A request ended. Sends what may leave now and grants further frames.
    pub fn handle_outcome(
        &mut self,
        slot: SlotId,
        outcome: Outcome,
        network: &mut Vec<NetworkEffect>,
    ) {
        let Some(waiting) = self.slot_mut(slot) else {
            return; // The client went away meanwhile.
        };
        assert!(waiting.outcome.is_none(), "a request ends once");
        waiting.outcome = Some(outcome);
        let id = slot.connection;
        let connection = self
            .connections
            .get_mut(&id)
            .expect("the slot was found in it");
        connection.send_ready(id, network);
        connection.grant(id, network);
    }

    /// The connection is gone. Gives the numbers of its requests that are under way.
    #[must_use]
    pub fn handle_disconnected(&mut self, id: ConnectionId) -> Vec<u64> {
        let Some(connection) = self.connections.remove(&id) else {
            return Vec::new();
        };
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
        if connection.closing {
            return None;
        }
        let place = slot.sequence.checked_sub(connection.first_sequence)?;
        connection.slots.get_mut(usize::try_from(place).ok()?)
    }
}

impl Connection {
    /// Sends the answers of all leading requests that have ended.
    fn send_ready(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        while let Some(outcome) = self.slots.front_mut().and_then(|slot| slot.outcome.take()) {
            let slot = self.slots.pop_front().expect("it was looked at");
            self.first_sequence += 1;
            self.frame_bytes -= slot.frame_bytes;
            match outcome {
                Outcome::Send(parts) => network.push(NetworkEffect::Send {
                    connection: id,
                    parts,
                }),
                Outcome::Silent => {}
                Outcome::Close => {
                    self.close(id, network);
                    return;
                }
            }
        }
    }

    fn close(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        if !self.closing {
            self.closing = true;
            network.push(NetworkEffect::Close { connection: id });
        }
    }

    fn grant(&mut self, id: ConnectionId, network: &mut Vec<NetworkEffect>) {
        let may_receive = !self.granted
            && !self.closing
            && self.slots.len() < REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX
            && self.frame_bytes < FRAME_BYTES_MAX;
        if may_receive {
            self.granted = true;
            network.push(NetworkEffect::ReceiveNext { connection: id });
        }
    }
}

fn length_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a usize fits 64 bits")
}

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
