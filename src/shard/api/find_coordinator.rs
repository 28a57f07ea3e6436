// SPDX-License-Identifier: Apache-2.0
//! FindCoordinator (10): which broker coordinates a group or a transaction.
//!
//! Owns: its handler. Invariants: the topic that keeps groups, or transactions, is made before the
//! first of them is sent anywhere.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::groups::offsets_topic;
use super::transactions::transactions_topic;
use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::group::OFFSETS_TOPIC;
use crate::model::coordinator::partition_of;
use crate::model::error_code::ErrorCode;
use crate::model::image::BrokerImage;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::txn::TRANSACTIONS_TOPIC;
use crate::wire::protocol::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=6;

/// First version with a list of keys (KIP-699).
const LISTS_FROM: i16 = 4;

/// First version with share groups (KIP-932).
const SHARE_FROM: i16 = 6;

/// The type of key that names a group.
const GROUP: i8 = 0;

/// The type of key that is a transactional id.
const TRANSACTION: i8 = 1;

/// The type of key that names a partition of a share group.
const SHARE: i8 = 2;

/// Answers from the image, after the topic was made.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request: FindCoordinatorRequest = arrival.decode()?;
    if arrival.call.version < LISTS_FROM {
        request.coordinator_keys = vec![std::mem::take(&mut request.key)];
    }
    let topic = topic_of(request.key_type);
    if topic.is_none_or(|topic| shard.image().topics.contains_key(topic)) {
        return answer(shard, &arrival.call, request);
    }
    let create = ControlRequest::CreateTopics {
        topics: vec![match request.key_type {
            GROUP => offsets_topic(shard),
            _ => transactions_topic(shard),
        }],
        validate_only: false,
    };
    // If another shard has asked for it as well, one of the two is told that it exists.
    let finish = move |shard: &Shard, call: &Call, _: ControlAnswer| answer(shard, call, request);
    shard.ask_control(arrival.call, create, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

/// The topic that keeps what keys of this type name.
fn topic_of(key_type: i8) -> Option<&'static str> {
    match key_type {
        GROUP => Some(OFFSETS_TOPIC),
        TRANSACTION => Some(TRANSACTIONS_TOPIC),
        _ => None,
    }
}

fn answer(shard: &Shard, call: &Call, request: FindCoordinatorRequest) -> Result<Reply, ApiError> {
    let keys = request.coordinator_keys.into_iter();
    let mut coordinators = keys.map(|key| find(shard, call.version, request.key_type, key));
    if call.version >= LISTS_FROM {
        return call.reply(&FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            ..FindCoordinatorResponse::default()
        });
    }
    let Some(found) = coordinators.next() else {
        return Ok(Reply::Close);
    };
    let is_found = found.error_code == ErrorCode::None.code();
    call.reply(&FindCoordinatorResponse {
        error_code: found.error_code,
        // Kafka names the absence of an error here, and here alone.
        error_message: match is_found {
            true => Some(ByteString::from_static("NONE")),
            false => found.error_message,
        },
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    })
}

fn find(shard: &Shard, version: i16, key_type: i8, key: ByteString) -> Coordinator {
    let refused = match topic_of(key_type) {
        Some(topic) => match broker_of(shard, topic, &key) {
            Some(broker) => {
                return Coordinator {
                    key,
                    node_id: broker.id.0,
                    host: broker.host.clone(),
                    port: i32::from(broker.port),
                    ..Coordinator::default()
                };
            }
            None => (
                ErrorCode::CoordinatorNotAvailable,
                "the topic that keeps it is not there yet",
            ),
        },
        None if key_type == SHARE && version >= SHARE_FROM => (
            ErrorCode::CoordinatorNotAvailable,
            "this broker coordinates no share groups",
        ),
        None => (ErrorCode::InvalidRequest, "there is no such type of key"),
    };
    Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: refused.0.code(),
        error_message: Some(ByteString::from_static(refused.1)),
        ..Coordinator::default()
    }
}

/// The broker that leads the partition which keeps a name.
fn broker_of<'a>(shard: &'a Shard, topic: &str, name: &str) -> Option<&'a BrokerImage> {
    let topic = shard.image().topics.get(topic)?;
    let count = i32::try_from(topic.partitions.len()).ok()?;
    let partition = usize::try_from(partition_of(name, count.max(1))).ok()?;
    let leader = topic.partitions.get(partition)?.leader?;
    shard.image().brokers.get(&leader)
}
