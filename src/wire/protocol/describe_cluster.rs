// SPDX-License-Identifier: Apache-2.0
//! DescribeCluster (60): the brokers and the controller of the cluster.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::BROKERS_MAX;

api! { 60, versions 0..=2, flexible 0:
DescribeClusterRequest => DescribeClusterResponse }

messages! {
    /// Asks for brokers and controller.
    pub struct DescribeClusterRequest {
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool = false, since(0);
        /// Which endpoints: 1 brokers, 2 controllers.
        endpoint_type: i8 = 1, since(1);
        /// Whether to name fenced brokers, too.
        include_fenced_brokers: bool = false, since(2);
    }

    /// Brokers and controller.
    pub struct DescribeClusterResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = None, since(0).nullable(0);
        /// Which endpoints: 1 brokers, 2 controllers.
        endpoint_type: i8 = 1, since(1);
        /// Id of the cluster.
        cluster_id: ByteString = ByteString::new(), since(0);
        /// Broker to send controller requests to, -1 if there is none.
        controller_id: i32 = -1, since(0);
        /// The brokers of the cluster.
        brokers: Vec<DescribeClusterBroker> = Vec::new(), since(0).max(BROKERS_MAX);
        /// Bits of what the client may do with the cluster; the smallest number if not asked for.
        cluster_authorized_operations: i32 = i32::MIN, since(0);
    }

    /// One broker and where to reach it.
    pub struct DescribeClusterBroker {
        /// Id of the broker.
        broker_id: i32 = 0, since(0);
        /// Host name or address.
        host: ByteString = ByteString::new(), since(0);
        /// Port.
        port: i32 = 0, since(0);
        /// Rack of the broker, if it has one.
        rack: Option<ByteString> = None, since(0).nullable(0);
        /// Whether the controller has fenced it.
        is_fenced: bool = false, since(2);
    }
}
