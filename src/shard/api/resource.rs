// SPDX-License-Identifier: Apache-2.0
//! The resources whose settings are described and changed, as the wire names them.
//!
//! Owns: the numbers of resource types, [`alter`]. Invariants: an unknown type is refused, never
//! guessed; a resource that a request names twice is refused each time; answers come in the order
//! of the request.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::control::request::{
    ConfigOperation, ConfigResource, ConfigResourceChange, ControlAnswer, ControlRequest, Refusal,
};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;

/// A topic.
pub(super) const TOPIC: i8 = 2;

/// A broker; the empty name stands for all brokers.
pub(super) const BROKER: i8 = 4;

/// A group (KIP-848).
pub(super) const GROUP: i8 = 32;

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
        GROUP if name.is_empty() => Err(refusal("the name of the group is empty")),
        GROUP => Ok(ConfigResource::Group(name.clone())),
        _ => Err(refusal(format!(
            "resources of type {kind} have no settings here; 2 is a topic, 4 a broker, 32 a group"
        ))),
    }
}

/// The refusal of a request that makes no sense.
pub(super) fn refusal(message: impl Into<ByteString>) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message: message.into(),
    }
}

/// A resource whose settings a request changes.
pub(super) struct Wanted {
    /// Its type.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: ByteString,
    /// The changes, if they make sense.
    pub(super) changes: Result<Vec<SettingChange>, Refusal>,
}

/// A setting, what is done to it, and the value for that.
pub(super) type SettingChange = (ByteString, ConfigOperation, Option<ByteString>);

/// What became of a resource.
pub(super) struct Altered {
    /// Its type.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: ByteString,
    /// The code; zero if it was changed.
    pub(super) error_code: i16,
    /// Why not.
    pub(super) error_message: Option<ByteString>,
}

/// How the changes of a request are meant.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// What is not named goes back to its default.
    pub(super) replaces: bool,
    /// Nothing is changed.
    pub(super) validate_only: bool,
}

/// Asks the controller for the changes that make sense; `finish` makes the answer.
pub(super) fn alter(
    shard: &mut Shard,
    arrival: Arrival<'_>,
    wanted: Vec<Wanted>,
    manner: Manner,
    finish: fn(&Call, Vec<Altered>) -> Result<Reply, ApiError>,
) -> Result<Reply, ApiError> {
    let mut times: BTreeMap<(i8, ByteString), usize> = BTreeMap::new();
    for one in &wanted {
        *times.entry((one.kind, one.name.clone())).or_default() += 1;
    }
    let mut resources = Vec::new();
    let mut refused = Vec::with_capacity(wanted.len());
    for one in wanted {
        let (kind, name) = (one.kind, one.name.clone());
        let is_alone = times.get(&(kind, name.clone())) == Some(&1);
        let change = match is_alone {
            true => change(one, manner.replaces),
            false => Err(refusal("the request names this resource more than once")),
        };
        let refusal = change.map(|change| resources.push(change)).err();
        refused.push((kind, name, refusal));
    }
    let alter = ControlRequest::AlterConfigs {
        resources,
        validate_only: manner.validate_only,
    };
    let finish = move |_: &Shard, call: &Call, answer: ControlAnswer| {
        let ControlAnswer::AlterConfigs(outcomes) = answer else {
            return Ok(Reply::Close);
        };
        let mut outcomes = outcomes.into_iter().map(|(_, outcome)| outcome.err());
        let altered = refused.into_iter().map(|(kind, name, refusal)| {
            let refusal = refusal.or_else(|| outcomes.next().flatten());
            Altered {
                kind,
                name,
                error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
                error_message: refusal.map(|refusal| refusal.message),
            }
        });
        finish(call, altered.collect())
    };
    shard.ask_control(arrival.call, alter, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn change(wanted: Wanted, replaces: bool) -> Result<ConfigResourceChange, Refusal> {
    Ok(ConfigResourceChange {
        resource: parse(wanted.kind, &wanted.name)?,
        replaces,
        changes: wanted.changes?,
    })
}
