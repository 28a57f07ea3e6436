// SPDX-License-Identifier: Apache-2.0
//! FindCoordinator (10): which broker coordinates a group or a transaction.
//!
//! Owns: its handler. Invariants: as long as this broker coordinates neither, every key is answered
//! with COORDINATOR_NOT_AVAILABLE, which clients understand as "not now".
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=6;

/// First version with a list of keys (KIP-699).
const LISTS_FROM: i16 = 4;

/// First version with share groups (KIP-932).
const SHARE_FROM: i16 = 6;

/// Answers that there is no coordinator.
pub fn handle(_shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: FindCoordinatorRequest = arrival.decode()?;
    let version = arrival.call.version;
    let (error, message) = refusal(request.key_type, version);
    let message = Some(ByteString::from_static(message));
    let mut response = FindCoordinatorResponse::default();
    if version >= LISTS_FROM {
        let coordinators = request.coordinator_keys.into_iter().map(|key| Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: message.clone(),
            ..Coordinator::default()
        });
        response.coordinators = coordinators.collect();
    } else {
        response.error_code = error.code();
        response.error_message = message;
        response.node_id = -1;
        response.port = -1;
    }
    arrival.call.reply(&response)
}

fn refusal(key_type: i8, version: i16) -> (ErrorCode, &'static str) {
    let known = match key_type {
        0 | 1 => true,
        2 => version >= SHARE_FROM,
        _ => false,
    };
    if known {
        (
            ErrorCode::CoordinatorNotAvailable,
            "this broker coordinates no groups and no transactions yet",
        )
    } else {
        (ErrorCode::InvalidRequest, "there is no such type of key")
    }
}
