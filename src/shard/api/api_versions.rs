// SPDX-License-Identifier: Apache-2.0
//! ApiVersions (18): which APIs this broker offers, in which versions.
//!
//! Owns: its handler. Invariants: the answer is exactly the table of APIs; a version that is not
//! known is answered in version 0 with UNSUPPORTED_VERSION and the list, so that the client can
//! choose again (KIP-511).
//! Runs on: the shard that accepted the connection. Bounded by: the table.

use std::ops::RangeInclusive;

use super::{APIS, ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// Answers with the table of APIs.
pub fn handle(_shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let _request: ApiVersionsRequest = arrival.decode()?;
    arrival.call.reply(&response(ErrorCode::None))
}

/// Answers a version that is not known.
pub(super) fn fall_back(call: &Call) -> Result<Reply, ApiError> {
    let call = Call {
        version: 0,
        ..*call
    };
    call.reply(&response(ErrorCode::UnsupportedVersion))
}

fn response(error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = APIS.iter().map(|api| ApiVersion {
        api_key: api.key.code(),
        min_version: api.advertised_from,
        max_version: *api.versions.end(),
    });
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        // No feature is finalized; -1 would make some clients ignore what they learn (Kafka starts
        // at 0).
        finalized_features_epoch: 0,
        ..ApiVersionsResponse::default()
    }
}
