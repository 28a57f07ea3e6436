// SPDX-License-Identifier: Apache-2.0
//! UpdateFeatures (57): changes the levels of features that the cluster runs with (KIP-584).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::FEATURES_MAX;

api! { 57, versions 0..=2, flexible 0:
UpdateFeaturesRequest => UpdateFeaturesResponse }

messages! {
    /// Asks for other levels of features.
    pub struct UpdateFeaturesRequest {
        /// How long to wait, in milliseconds.
        timeout_ms: i32 = 60_000, since(0);
        /// One entry per feature.
        feature_updates: Vec<FeatureUpdateKey> = Vec::new(), since(0).max(FEATURES_MAX);
        /// Whether to check only and change nothing.
        validate_only: bool = false, since(1);
    }

    /// Another level for one feature.
    pub struct FeatureUpdateKey {
        /// Name of the feature.
        feature: ByteString = ByteString::new(), since(0);
        /// The level; below 1 to switch the feature off.
        max_version_level: i16 = 0, since(0);
        /// Whether the level may fall.
        allow_downgrade: bool = false, since(0).until(0);
        /// 1 to raise the level, 2 to lower it where that is safe, 3 to lower it anyway.
        upgrade_type: i8 = 1, since(1);
    }

    /// What became of the request.
    pub struct UpdateFeaturesResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// One entry per feature.
        results: Vec<UpdatableFeatureResult> = Vec::new(),
            since(0).until(1).max(FEATURES_MAX).ignorable();
    }

    /// What became of one feature.
    pub struct UpdatableFeatureResult {
        /// Name of the feature.
        feature: ByteString = ByteString::new(), since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }
}
