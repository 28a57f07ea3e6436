// SPDX-License-Identifier: Apache-2.0
//! Requests to the coordinators of groups, and the topic that keeps groups.
//!
//! Owns: [`GroupPlan`], what the topic is made like. Invariants: those of `calls`. Runs on: the
//! shard that accepted the connection. Bounded by: the frame.

use bytestring::ByteString;

use super::Arrival;
use super::calls::{Asked, CallPlan, CallsPending};
use crate::control::request::NewTopic;
use crate::group::{Coordinator, GroupAnswer, OFFSETS_TOPIC, Origin};
use crate::shard::groups::GroupAsk;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::request_table::Pending;

/// The calls of one request.
pub type GroupPlan = CallPlan<Coordinator>;

impl Asked for Coordinator {
    fn asks(request: u64, asks: Vec<GroupAsk>) -> MeshMessage {
        MeshMessage::GroupAsks { request, asks }
    }

    fn pending(calls: CallsPending<GroupAnswer>) -> Pending {
        Pending::Groups(calls)
    }

    fn calls(pending: &mut Pending) -> Option<&mut CallsPending<GroupAnswer>> {
        match pending {
            Pending::Groups(calls) => Some(calls),
            _ => None,
        }
    }

    fn into_calls(pending: Pending) -> Option<CallsPending<GroupAnswer>> {
        match pending {
            Pending::Groups(calls) => Some(calls),
            _ => None,
        }
    }
}

/// Where a member speaks from.
pub fn origin(shard: &Shard, arrival: &Arrival<'_>) -> Origin {
    let connection = arrival.call.slot.connection;
    let client = shard.connections.client_of(connection);
    Origin {
        client_id: ByteString::from(client.unwrap_or_default()),
        // Java's way to write an address, which tools expect.
        client_host: format!("/{}", shard.connections.peer_of(connection)).into(),
    }
}

/// The topic that keeps groups, as it is made where it is missing.
pub fn offsets_topic(shard: &Shard) -> NewTopic {
    let settings = shard.groups.settings();
    let configs = settings.topic_configs().into_iter();
    NewTopic {
        name: ByteString::from_static(OFFSETS_TOPIC),
        num_partitions: settings.topic_partitions,
        replication_factor: replication_factor(shard, settings.topic_replication_factor),
        assignments: Vec::new(),
        configs: configs.map(|(name, value)| (name, Some(value))).collect(),
    }
}

/// The replication factor that a topic of the broker gets: no more than there are brokers.
pub(super) fn replication_factor(shard: &Shard, wanted: i16) -> i16 {
    let brokers = i16::try_from(shard.image().brokers.len()).unwrap_or(i16::MAX);
    wanted.min(brokers).max(1)
}
