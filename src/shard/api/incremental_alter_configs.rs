// SPDX-License-Identifier: Apache-2.0
//! IncrementalAlterConfigs (44): settings changed one by one (KIP-339).
//!
//! Owns: its handler. Invariants: names and values are judged by the controller. Runs on: the shard
//! that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::resource::{Altered, Manner, SettingChange, Wanted, alter, refusal};
use super::{ApiError, Arrival, Reply};
use crate::control::request::{ConfigOperation, Refusal};
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// Asks the controller for the changes.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: IncrementalAlterConfigsRequest = arrival.decode()?;
    let manner = Manner {
        replaces: false,
        validate_only: request.validate_only,
    };
    let wanted = request.resources.into_iter().map(wanted).collect();
    alter(shard, arrival, wanted, manner, finish)
}

fn wanted(resource: AlterConfigsResource) -> Wanted {
    Wanted {
        kind: resource.resource_type,
        name: resource.resource_name,
        changes: resource.configs.into_iter().map(change).collect(),
    }
}

fn change(config: AlterableConfig) -> Result<SettingChange, Refusal> {
    let operation = match config.config_operation {
        0 => ConfigOperation::Set,
        1 => ConfigOperation::Delete,
        2 => ConfigOperation::Append,
        3 => ConfigOperation::Subtract,
        _ => return Err(refusal("there is no such operation on a setting")),
    };
    Ok((config.name, operation, config.value))
}

fn finish(call: &Call, altered: Vec<Altered>) -> Result<Reply, ApiError> {
    let responses = altered.into_iter().map(|one| AlterConfigsResourceResponse {
        error_code: one.error_code,
        error_message: one.error_message,
        resource_type: one.kind,
        resource_name: one.name,
    });
    call.reply(&IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    })
}
