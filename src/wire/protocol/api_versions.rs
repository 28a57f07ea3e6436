// SPDX-License-Identifier: Apache-2.0
//! ApiVersions (18): which versions of which API the broker speaks.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{API_KEYS_MAX, FEATURES_MAX};

api! { 18, versions 0..=4, flexible 3:
ApiVersionsRequest => ApiVersionsResponse }

messages! {
    /// Asks for the versions of every API.
    pub struct ApiVersionsRequest {
        /// Name of the client library.
        client_software_name: ByteString = ByteString::new(), since(3).ignorable();
        /// Version of the client library.
        client_software_version: ByteString = ByteString::new(), since(3).ignorable();
    }

    /// The versions of every API, and the features of broker and cluster.
    pub struct ApiVersionsResponse {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// One entry per API.
        api_keys: Vec<ApiVersion> = Vec::new(), since(0).max(API_KEYS_MAX);
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// Features this broker is able to run with.
        supported_features: Vec<SupportedFeatureKey> = Vec::new(),
            since(3).tag(0).max(FEATURES_MAX).ignorable();
        /// Rises with every change of the finalized features; -1 if not known.
        finalized_features_epoch: i64 = -1, since(3).tag(1).ignorable();
        /// Features the cluster runs with.
        finalized_features: Vec<FinalizedFeatureKey> = Vec::new(),
            since(3).tag(2).max(FEATURES_MAX).ignorable();
        /// Whether a migration from ZooKeeper may begin; never here.
        zk_migration_ready: bool = false, since(3).tag(3).ignorable();
    }

    /// The versions of one API.
    pub struct ApiVersion {
        /// Number of the API.
        api_key: i16 = 0, since(0);
        /// Lowest version, inclusive.
        min_version: i16 = 0, since(0);
        /// Highest version, inclusive.
        max_version: i16 = 0, since(0);
    }

    /// The levels of one feature that the broker supports.
    pub struct SupportedFeatureKey {
        /// Name of the feature.
        name: ByteString = ByteString::new(), since(3);
        /// Lowest level.
        min_version: i16 = 0, since(3);
        /// Highest level.
        max_version: i16 = 0, since(3);
    }

    /// The levels of one feature that the cluster settled on.
    pub struct FinalizedFeatureKey {
        /// Name of the feature.
        name: ByteString = ByteString::new(), since(3);
        /// Highest level.
        max_version_level: i16 = 0, since(3);
        /// Lowest level.
        min_version_level: i16 = 0, since(3);
    }
}
