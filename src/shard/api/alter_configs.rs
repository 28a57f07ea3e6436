// SPDX-License-Identifier: Apache-2.0
//! AlterConfigs (33): the settings of a resource replaced by those of the request.
//!
//! Owns: its handler. Invariants: a setting that the request does not name goes back to its
//! default; a resource that the request names twice is refused; names and values are judged by the
//! controller. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply, resource};
use crate::control::request::{
    ConfigOperation, ConfigResourceChange, ControlAnswer, ControlRequest, Refusal,
};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Asks the controller for the changes.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: AlterConfigsRequest = arrival.decode()?;
    let mut times: BTreeMap<(i8, ByteString), usize> = BTreeMap::new();
    for one in &request.resources {
        let key = (one.resource_type, one.resource_name.clone());
        *times.entry(key).or_default() += 1;
    }
    let mut responses = Vec::new();
    let mut resources = Vec::new();
    for one in request.resources {
        let (kind, name) = (one.resource_type, one.resource_name.clone());
        let judged = match times.get(&(kind, name.clone())) {
            Some(1) => change(one),
            _ => Err(refusal("The request names this resource more than once.")),
        };
        match judged {
            Ok(change) => resources.push(change),
            Err(refusal) => responses.push(response(kind, name, Err(refusal))),
        }
    }
    let alter = ControlRequest::AlterConfigs {
        resources,
        validate_only: request.validate_only,
    };
    let finish = move |_: &Shard, call: &Call, answer: ControlAnswer| {
        let ControlAnswer::AlterConfigs(outcomes) = answer else {
            return Ok(Reply::Close);
        };
        responses.extend(outcomes.into_iter().map(|(changed, outcome)| {
            let (kind, name) = resource::name(&changed);
            response(kind, name, outcome)
        }));
        call.reply(&AlterConfigsResponse {
            responses,
            ..AlterConfigsResponse::default()
        })
    };
    shard.ask_control(arrival.call, alter, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn change(wanted: AlterConfigsResource) -> Result<ConfigResourceChange, Refusal> {
    let resource = resource::parse(wanted.resource_type, &wanted.resource_name)?;
    let settings = wanted.configs.into_iter();
    let changes = settings.map(|config| (config.name, ConfigOperation::Set, config.value));
    Ok(ConfigResourceChange {
        resource,
        replaces: true,
        changes: changes.collect(),
    })
}

fn refusal(message: &'static str) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message: ByteString::from_static(message),
    }
}

fn response(
    resource_type: i8,
    resource_name: ByteString,
    outcome: Result<(), Refusal>,
) -> AlterConfigsResourceResponse {
    let (code, error_message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, Some(refusal.message)),
    };
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message,
        resource_type,
        resource_name,
    }
}
