// SPDX-License-Identifier: Apache-2.0
//! The resources whose settings are described and changed, as the wire names them.
//!
//! Owns: the numbers of resource types. Invariants: an unknown type is refused, never guessed.
//! Runs on: the shard that accepted the connection. Bounded by: nothing to bound.

use bytestring::ByteString;

use crate::control::request::{ConfigResource, Refusal};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;

/// A topic.
pub(super) const TOPIC: i8 = 2;

/// A broker; the empty name stands for all brokers.
pub(super) const BROKER: i8 = 4;

/// The resource that type and name mean.
pub(super) fn parse(kind: i8, name: &ByteString) -> Result<ConfigResource, Refusal> {
    match kind {
        TOPIC => Ok(ConfigResource::Topic(name.clone())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(id) => Ok(ConfigResource::Broker(Some(BrokerId(id)))),
            Err(_) => Err(refusal(format!(
                "\"{}\" is not the id of a broker",
                name.chars().take(64).collect::<String>()
            ))),
        },
        _ => Err(refusal(format!(
            "resources of type {kind} have no settings here; 2 is a topic, 4 a broker"
        ))),
    }
}

/// The wire's type and name of a resource.
pub(super) fn name(resource: &ConfigResource) -> (i8, ByteString) {
    match resource {
        ConfigResource::Topic(name) => (TOPIC, name.clone()),
        ConfigResource::Broker(None) => (BROKER, ByteString::new()),
        ConfigResource::Broker(Some(id)) => (BROKER, id.0.to_string().into()),
    }
}

fn refusal(message: String) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message: message.into(),
    }
}
