// SPDX-License-Identifier: Apache-2.0
//! DescribeCluster (60): the brokers, the controller, the cluster id.
//!
//! Owns: its handler. Invariants: answers from the published image. Runs on: the shard that
//! accepted the connection.
//! Bounded by: the number of brokers.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// `endpoint_type` for brokers.
const BROKERS: i8 = 1;

/// `endpoint_type` for controllers (KIP-919).
const CONTROLLERS: i8 = 2;

/// All that may be done to a cluster, one bit each (KIP-430): create, alter, describe, cluster
/// action, describe and alter configs, idempotent write.
pub(super) const CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// Answers from the image.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeClusterRequest = arrival.decode()?;
    // The type of endpoint that is told is this one's, also where another was asked for.
    let mut response = DescribeClusterResponse::default();
    if request.endpoint_type != BROKERS {
        let (error, message) = if request.endpoint_type == CONTROLLERS {
            (
                ErrorCode::MismatchedEndpointType,
                "the request was sent to a broker, not to a controller",
            )
        } else {
            (
                ErrorCode::UnsupportedEndpointType,
                "there is no such type of endpoint",
            )
        };
        response.error_code = error.code();
        response.error_message = Some(ByteString::from_static(message));
        return arrival.call.reply(&response);
    }
    let image = shard.image();
    response.cluster_id = image.cluster_id.to_string().into();
    response.controller_id = image.controller_id.0;
    let brokers = image.brokers.values().map(|broker| DescribeClusterBroker {
        broker_id: broker.id.0,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
        is_fenced: false,
    });
    response.brokers = brokers.collect();
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    arrival.call.reply(&response)
}
