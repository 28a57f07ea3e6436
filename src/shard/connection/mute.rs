// SPDX-License-Identifier: Apache-2.0
//! Connections that are muted: their clients have used more than their quota allows (KIP-219).
//!
//! Owns: nothing; verbs of [`super::ConnectionTable`]. Invariants: those of [`super`]; a muted
//! connection holds what it held, and no frame more than one that was granted before.
//! Runs on: the shard that accepted the connection. Bounded by: one moment per connection.

use super::{ConnectionTable, UNTIL_ANSWERED};
use crate::model::ids::ConnectionId;
use crate::model::time::MonotonicUs;
use crate::shard::contract::NetworkEffect;

impl ConnectionTable {
    /// How many are muted.
    #[must_use]
    pub fn muted_count(&self) -> usize {
        self.mutes.len()
    }

    /// Grants no further frame until the request has ended that came last, which is the one that is
    /// being handled.
    pub fn handle_mute_until_answered(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.muted_until_us.is_none()
        {
            connection.muted_until_us = Some(UNTIL_ANSWERED);
        }
    }

    /// Grants no further frame before this moment. The later of several counts.
    pub fn handle_mute(&mut self, id: ConnectionId, until_us: MonotonicUs) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let until_us = until_us.min(UNTIL_ANSWERED - 1);
        match connection.muted_until_us {
            None | Some(UNTIL_ANSWERED) => {}
            Some(before) if before >= until_us => return,
            Some(before) => {
                self.mutes.remove(&(before, id));
            }
        }
        connection.muted_until_us = Some(until_us);
        self.mutes.insert((until_us, id));
    }

    /// Lets the next one go on whose time is over. False if there is none.
    pub fn handle_mute_over(&mut self, network: &mut Vec<NetworkEffect>) -> bool {
        let Some((at, id)) = self
            .mutes
            .first()
            .copied()
            .filter(|one| one.0 <= self.now_us)
        else {
            return false;
        };
        self.mutes.remove(&(at, id));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.muted_until_us = None;
            connection.since_us = self.now_us;
            self.handle_grant(id, network);
            self.watch(id);
        }
        true
    }

    /// Lets all go on at once: other quotas are in force.
    pub fn handle_mutes_over(&mut self) {
        let now_us = self.now_us;
        for (_, id) in std::mem::take(&mut self.mutes) {
            self.mutes.insert((now_us, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.muted_until_us = Some(now_us);
            }
        }
    }
}
