// SPDX-License-Identifier: Apache-2.0
//! Who is at the other end of a connection.
//!
//! Owns: nothing; getters of [`super::ConnectionTable`]. Invariants: those of [`super`].
//! Runs on: the shard that accepted the connection. Bounded by: `CLIENT_ID_BYTES_KEPT_MAX`.

use bytestring::ByteString;

use super::ConnectionTable;
use crate::limits::CLIENT_ID_BYTES_KEPT_MAX;
use crate::model::ids::ConnectionId;
use crate::model::peer::PeerAddress;

impl ConnectionTable {
    /// Notes what the client of a connection calls itself. Nearly always it is what it was; true
    /// if not.
    pub fn note_client(&mut self, id: ConnectionId, name: Option<&str>) -> bool {
        let name = beginning(name.unwrap_or_default(), CLIENT_ID_BYTES_KEPT_MAX);
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.client != name
        {
            connection.client.clear();
            connection.client.push_str(name);
            return true;
        }
        false
    }

    /// Who the client of a connection is.
    #[must_use]
    pub fn principal_of(&self, id: ConnectionId) -> ByteString {
        let connection = self.connections.get(&id);
        connection.map_or_else(ByteString::new, |connection| connection.principal.clone())
    }

    /// What the client of a connection calls itself.
    #[must_use]
    pub fn client_of(&self, id: ConnectionId) -> Option<&str> {
        let connection = self.connections.get(&id)?;
        Some(&connection.client)
    }

    /// Where the client of a connection is.
    #[must_use]
    pub fn peer_of(&self, id: ConnectionId) -> PeerAddress {
        let connection = self.connections.get(&id);
        connection.map_or(PeerAddress::UNKNOWN, |connection| connection.peer)
    }
}

/// As much of a text as fits so many bytes.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
