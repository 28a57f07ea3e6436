// SPDX-License-Identifier: Apache-2.0
//! IncrementalAlterConfigs (44): settings changed one by one (KIP-339).
//!
//! Owns: its handler. Invariants: a resource that the request names twice is refused; names and
//! values are judged by the controller. Runs on: the shard that accepted the connection. Bounded
//! by: the frame.

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
use crate::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// Asks the controller for the changes.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: IncrementalAlterConfigsRequest = arrival.decode()?;
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
            _ => Err(refusal("the request names this resource more than once")),
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
        call.reply(&IncrementalAlterConfigsResponse {
            responses,
            ..IncrementalAlterConfigsResponse::default()
        })
    };
    shard.ask_control(arrival.call, alter, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn change(wanted: AlterConfigsResource) -> Result<ConfigResourceChange, Refusal> {
    let resource = resource::parse(wanted.resource_type, &wanted.resource_name)?;
    let mut changes = Vec::with_capacity(wanted.configs.len());
    for config in wanted.configs {
        let operation = match config.config_operation {
            0 => ConfigOperation::Set,
            1 => ConfigOperation::Delete,
            2 => ConfigOperation::Append,
            3 => ConfigOperation::Subtract,
            _ => return Err(refusal("there is no such operation on a setting")),
        };
        changes.push((config.name, operation, config.value));
    }
    Ok(ConfigResourceChange {
        resource,
        replaces: false,
        changes,
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
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, Some(refusal.message)),
    };
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message: message,
        resource_type,
        resource_name,
    }
}
