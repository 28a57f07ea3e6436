// SPDX-License-Identifier: Apache-2.0
//! Connections between clients and shards.
//!
//! Invariants: bytes of one direction of one connection arrive in order or not at all, and a prefix
//! of what was sent arrives; a machine gets a frame only after it granted one; after a connection
//! is gone no event names it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// One connection.
pub struct Connection {
    /// Whose.
    pub client: usize,
    /// The shard at the other end, once accepted.
    pub shard: Option<usize>,
    /// The process at the other end.
    pub incarnation: u32,
    /// Frames that have arrived and are not granted yet.
    /// With the moments of their coming.
    pub waiting: VecDeque<(u64, Bytes)>,
    /// Frames that the machine has granted and that have not arrived.
    pub grants: u64,
    /// When the last thing sent to the broker arrives.
    pub to_broker_us: u64,
    /// When the last thing sent to the client arrives.
    pub to_client_us: u64,
    /// The broker has closed it, or is gone: nothing more goes either way.
    pub broker_gone: bool,
    /// The client has closed it.
    pub client_gone: bool,
}

/// All connections.
#[derive(Default)]
pub struct Network {
    connections: BTreeMap<u64, Connection>,
    last: u64,
}

impl Network {
    /// A client begins to connect.
    pub fn connect(&mut self, client: usize) -> u64 {
        self.last += 1;
        self.connections.insert(
            self.last,
            Connection {
                client,
                shard: None,
                incarnation: 0,
                waiting: VecDeque::new(),
                grants: 0,
                to_broker_us: 0,
                to_client_us: 0,
                broker_gone: false,
                client_gone: false,
            },
        );
        self.last
    }

    /// A connection that at least one side still knows.
    pub fn get(&mut self, number: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&number)
    }

    /// The newest connection of a client that it has not closed.
    pub fn of_client(&self, client: usize) -> Option<u64> {
        let mut all = self.connections.iter().rev();
        all.find(|(_, it)| it.client == client && !it.client_gone)
            .map(|(number, _)| *number)
    }

    /// Connections of a process that is gone: from now on nothing more goes either way.
    pub fn process_gone(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        for (number, connection) in &mut self.connections {
            if connection.shard.is_some() && !connection.broker_gone {
                connection.broker_gone = true;
                gone.push(*number);
            }
        }
        gone
    }

    /// Forgets connections that neither side knows.
    pub fn sweep(&mut self) {
        self.connections
            .retain(|_, it| !(it.broker_gone && it.client_gone));
    }
}
