// SPDX-License-Identifier: Apache-2.0
//! ListConfigResources (74): the resources that have settings (KIP-1142). Version 0 asked for
//! client metrics alone.
//!
//! Owns: its handler. Invariants: Kafka's order of types; a type that the version does not know is
//! UNSUPPORTED_VERSION for the whole request. Groups are those that have settings of
//! their own; client metrics have none here.
//! Runs on: the shard that accepted the connection. Bounded by: the metadata.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply, resource};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;

/// Answers from the image.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ListConfigResourcesRequest = arrival.decode()?;
    let call = arrival.call;
    let known: &[i8] = match call.version {
        0 => &[CLIENT_METRICS],
        _ => &[
            resource::TOPIC,
            resource::BROKER,
            BROKER_LOGGER,
            CLIENT_METRICS,
            resource::GROUP,
        ],
    };
    let wanted = match request.resource_types.is_empty() {
        true => known,
        false => &request.resource_types[..],
    };
    if wanted.iter().any(|kind| !known.contains(kind)) {
        return call.reply(&ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        });
    }
    let image = shard.image();
    let named = |resource_name: ByteString, resource_type: i8| ConfigResource {
        resource_name,
        resource_type,
    };
    let mut config_resources = Vec::new();
    for kind in [BROKER_LOGGER, resource::BROKER] {
        if wanted.contains(&kind) {
            let brokers = image.brokers.keys();
            config_resources.extend(brokers.map(|id| named(id.0.to_string().into(), kind)));
        }
    }
    if wanted.contains(&resource::TOPIC) {
        let topics = image.topics.keys();
        config_resources.extend(topics.map(|name| named(name.clone(), resource::TOPIC)));
    }
    if wanted.contains(&resource::GROUP) {
        let groups = image.group_configs.keys();
        config_resources.extend(groups.map(|name| named(name.clone(), resource::GROUP)));
    }
    call.reply(&ListConfigResourcesResponse {
        config_resources,
        ..ListConfigResourcesResponse::default()
    })
}
