// SPDX-License-Identifier: Apache-2.0
//! AlterConfigs (33): the settings of a resource replaced by those of the request.
//!
//! Owns: its handler. Invariants: a setting that the request does not name goes back to its
//! default; names and values are judged by the controller. Runs on: the shard that accepted the
//! connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::resource::{Altered, Manner, Wanted, alter};
use super::{ApiError, Arrival, Reply};
use crate::control::request::ConfigOperation;
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
    let manner = Manner {
        replaces: true,
        validate_only: request.validate_only,
    };
    let wanted = request.resources.into_iter().map(wanted).collect();
    alter(shard, arrival, wanted, manner, finish)
}

fn wanted(resource: AlterConfigsResource) -> Wanted {
    let settings = resource.configs.into_iter();
    let changes = settings.map(|config| (config.name, ConfigOperation::Set, config.value));
    Wanted {
        kind: resource.resource_type,
        name: resource.resource_name,
        changes: Ok(changes.collect()),
    }
}

fn finish(call: &Call, altered: Vec<Altered>) -> Result<Reply, ApiError> {
    let responses = altered.into_iter().map(|one| AlterConfigsResourceResponse {
        error_code: one.error_code,
        error_message: one.error_message,
        resource_type: one.kind,
        resource_name: one.name,
    });
    call.reply(&AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    })
}
