// SPDX-License-Identifier: Apache-2.0
//! UpdateFeatures (57): other levels for features of the cluster (KIP-584).
//!
//! Owns: its handler. Invariants: Kafka's checks in Kafka's order; one update that fails fails the
//! request. As every feature has one level, an update that passes changes nothing.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::model::features::feature;
use crate::shard::machine::Shard;
use crate::wire::protocol::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Raise the level.
const UPGRADE: i8 = 1;
/// Lower it where nothing is lost by it.
const SAFE_DOWNGRADE: i8 = 2;
/// Lower it whatever is lost by it.
const UNSAFE_DOWNGRADE: i8 = 3;

/// Judges the updates.
pub fn handle(_shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: UpdateFeaturesRequest = arrival.decode()?;
    let call = arrival.call;
    let mut updates = request.feature_updates.iter();
    let refusal = updates.find_map(|update| judge(call.version, update).err());
    if let Some(sentence) = refusal {
        let sentence = format!(
            "The update failed for all features since the following feature had an error: \
             {sentence}"
        );
        return call.reply(&UpdateFeaturesResponse {
            error_code: ErrorCode::InvalidUpdateVersion.code(),
            error_message: Some(sentence.into()),
            ..UpdateFeaturesResponse::default()
        });
    }
    let results = request.feature_updates.into_iter();
    let results = results.map(|update| UpdatableFeatureResult {
        feature: update.feature,
        error_code: ErrorCode::None.code(),
        error_message: None,
    });
    call.reply(&UpdateFeaturesResponse {
        error_message: None,
        results: results.collect(),
        ..UpdateFeaturesResponse::default()
    })
}

fn judge(version: i16, update: &FeatureUpdateKey) -> Result<(), String> {
    let level = update.max_version_level;
    let invalid = |why: String| {
        Err(format!(
            "Invalid update version {level} for feature {}. {why}",
            update.feature
        ))
    };
    let kind = match (version, update.allow_downgrade) {
        (0, true) => SAFE_DOWNGRADE,
        (0, false) => UPGRADE,
        _ => update.upgrade_type,
    };
    if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&kind) {
        return invalid("The controller does not support the given upgrade type.".into());
    }
    if level < 0 {
        return invalid("A feature version cannot be less than 0.".into());
    }
    let Some(known) = feature(&update.feature) else {
        return invalid("This broker does not support this feature.".into());
    };
    match level.cmp(&known.level) {
        Ordering::Equal => Ok(()),
        Ordering::Less if kind == UPGRADE => invalid(
            "Can't downgrade the version of this feature without setting the upgrade type to \
             either safe or unsafe downgrade."
                .into(),
        ),
        Ordering::Greater if kind != UPGRADE => {
            invalid("Can't downgrade to a newer version.".into())
        }
        _ => invalid(format!(
            "This broker only supports version {} of it.",
            known.level
        )),
    }
}
