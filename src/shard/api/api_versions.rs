// SPDX-License-Identifier: Apache-2.0
//! ApiVersions (18): which APIs this broker offers, in which versions.
//!
//! Owns: its handler. Invariants: the answer is exactly the table of APIs; a version that is not
//! known is answered in version 0 with UNSUPPORTED_VERSION and the versions of this API alone, so
//! that the client can choose again (KIP-511).
//! Runs on: the shard that accepted the connection. Bounded by: the table.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{APIS, ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::model::features::FEATURES;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::ApiKey;
use crate::wire::protocol::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// Answers with the table of APIs.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let _request: ApiVersionsRequest = arrival.decode()?;
    let call = arrival.call;
    call.reply(&response(shard, &call, ErrorCode::None))
}

/// Answers a version that is not known.
pub(super) fn fall_back(shard: &Shard, call: &Call) -> Result<Reply, ApiError> {
    let call = Call {
        version: 0,
        ..*call
    };
    let mut response = response(shard, &call, ErrorCode::UnsupportedVersion);
    // As Kafka does: the client learns how to ask for the others.
    let own = ApiKey::ApiVersions.code();
    response.api_keys.retain(|api| api.api_key == own);
    call.reply(&response)
}

/// First version in which a client can read a feature whose lowest level is 0 (KAFKA-17011).
const LEVEL_0_FROM: i16 = 4;

fn response(shard: &Shard, call: &Call, error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = APIS.iter().map(|api| ApiVersion {
        api_key: api.key.code(),
        min_version: api.advertised_from,
        max_version: *api.versions.end(),
    });
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        supported_features: FEATURES
            .iter()
            .filter(|feature| feature.level > 0 || call.version >= LEVEL_0_FROM)
            .map(|feature| SupportedFeatureKey {
                name: ByteString::from_static(feature.name),
                min_version: feature.level,
                max_version: feature.level,
            })
            .collect(),
        // Rises with the metadata, as in Kafka; -1 would make clients ignore what they learn.
        finalized_features_epoch: shard.image().version,
        finalized_features: FEATURES
            .iter()
            .filter(|feature| feature.level > 0)
            .map(|feature| FinalizedFeatureKey {
                name: ByteString::from_static(feature.name),
                max_version_level: feature.level,
                min_version_level: feature.level,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}
