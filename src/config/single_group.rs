// SPDX-License-Identifier: Apache-2.0
//! Settings of single groups (KIP-848): how often members of one group of the new protocol are to
//! be heard of, and how long they may be silent.
//!
//! Owns: [`SINGLE_GROUP_SETTINGS`], [`GroupPace`]. Invariants: a pace is always within the bounds
//! that the broker's settings give, also where an older file of settings allowed another; a session
//! that is set is longer than the interval between two heartbeats. Runs on: any core (plain
//! functions over a static table). Bounded by: the table and the settings handed in.

use super::definition::{Check, ConfigError, ConfigSource, ConfigSynonym};
use super::definition::{ConfigType, DescribedConfig};
use super::groups::GroupSettings;
use super::layers::{BrokerLayers, Settings};
use super::nearest::nearest;

const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const SESSION: &str = "consumer.session.timeout.ms";

/// One setting of a group.
#[derive(Clone, Copy, Debug)]
pub struct SingleGroupSetting {
    /// Name.
    pub name: &'static str,
    /// The setting of the broker that gives its default.
    pub broker: &'static str,
    /// What it does.
    pub documentation: &'static str,
}

/// Every setting of a group, sorted by name. Kafka's others belong to kinds of groups that do not
/// exist here.
pub const SINGLE_GROUP_SETTINGS: [SingleGroupSetting; 2] = [
    SingleGroupSetting {
        name: HEARTBEAT,
        broker: "group.consumer.heartbeat.interval.ms",
        documentation: "How often members of this group, if it is one of the new protocol, are \
                        told to be heard of.",
    },
    SingleGroupSetting {
        name: SESSION,
        broker: "group.consumer.session.timeout.ms",
        documentation: "How long a member of this group, if it is one of the new protocol, may not \
                        be heard of before it is taken out.",
    },
];

/// What the members of a group are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPace {
    /// How long a member may be silent, in milliseconds.
    pub session_ms: u64,
    /// How often it is told to be heard of, in milliseconds.
    pub heartbeat_ms: i32,
}

/// The pace of a group with these settings of its own.
#[must_use]
pub fn pace(broker: &GroupSettings, own: Option<&Settings>) -> GroupPace {
    let own = |name| own.and_then(|own| own.get(name)?.trim().parse::<i32>().ok());
    let sessions = &broker.consumer_session_range_ms;
    let heartbeats = &broker.consumer_heartbeat_range_ms;
    GroupPace {
        session_ms: own(SESSION).map_or(broker.consumer_session_ms, |ms| {
            let ms = ms.clamp(*sessions.start(), *sessions.end());
            u64::try_from(ms).unwrap_or(0)
        }),
        heartbeat_ms: own(HEARTBEAT).map_or(broker.consumer_heartbeat_ms, |ms| {
            ms.clamp(*heartbeats.start(), *heartbeats.end())
        }),
    }
}

/// Refuses a name that is no setting of a group.
///
/// # Errors
/// The name, with the nearest one that there is.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    if definition(name).is_some() {
        return Ok(());
    }
    let others = ["share.", "streams."];
    if others.iter().any(|start| name.starts_with(start)) {
        let sentence =
            format!("The setting {name} is one of a kind of groups that does not exist here.");
        let sentence = sentence.into();
        return Err(ConfigError::Conflict { sentence });
    }
    let names = SINGLE_GROUP_SETTINGS.iter().map(|setting| setting.name);
    Err(ConfigError::Unknown {
        name: name.into(),
        nearest: nearest(name, names),
    })
}

/// Judges all settings of a group: each within the bounds of the broker, and the session longer
/// than the interval between two heartbeats.
///
/// # Errors
/// The first setting that is refused.
pub fn validate(broker: &GroupSettings, own: &Settings) -> Result<(), ConfigError> {
    for (name, value) in own {
        check_name(name)?;
        let range = match &**name {
            SESSION => &broker.consumer_session_range_ms,
            _ => &broker.consumer_heartbeat_range_ms,
        };
        let check = Check::Whole {
            min: i64::from(*range.start()),
            max: i64::from(*range.end()),
        };
        check.check(name, value)?;
    }
    let pace = pace(broker, Some(own));
    if u64::try_from(pace.heartbeat_ms).is_ok_and(|heartbeat| pace.session_ms > heartbeat) {
        return Ok(());
    }
    let sentence = format!(
        "With {SESSION} {} and {HEARTBEAT} {} every member would be taken out between two \
         heartbeats: the first must be larger than the second.",
        pace.session_ms, pace.heartbeat_ms
    );
    let sentence = sentence.into();
    Err(ConfigError::Conflict { sentence })
}

/// All that DescribeConfigs tells of a group, sorted by name.
#[must_use]
pub fn describe(layers: BrokerLayers<'_>, own: Option<&Settings>) -> Vec<DescribedConfig> {
    let settings = SINGLE_GROUP_SETTINGS.iter();
    settings.map(|one| describe_one(layers, own, one)).collect()
}

fn describe_one(
    layers: BrokerLayers<'_>,
    own: Option<&Settings>,
    setting: &SingleGroupSetting,
) -> DescribedConfig {
    let own = own.and_then(|own| own.get(setting.name));
    let own = own.map(|value| ConfigSynonym {
        name: setting.name,
        value: value.clone(),
        source: ConfigSource::DynamicGroup,
    });
    let inherited = layers.values(&[setting.broker]);
    let synonyms: Vec<ConfigSynonym> = own.into_iter().chain(inherited).collect();
    let first = synonyms.first();
    DescribedConfig {
        name: setting.name,
        value: first.map(|first| first.value.clone()),
        source: first.map_or(ConfigSource::Default, |first| first.source),
        read_only: false,
        sensitive: false,
        synonyms,
        kind: ConfigType::Int,
        documentation: setting.documentation,
    }
}

fn definition(name: &str) -> Option<&'static SingleGroupSetting> {
    SINGLE_GROUP_SETTINGS
        .iter()
        .find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(of: &[(&str, &str)]) -> Settings {
        let of = of.iter();
        of.map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    fn broker() -> GroupSettings {
        GroupSettings::of(&Settings::new())
    }

    fn judge(of: &[(&str, &str)]) -> Result<(), String> {
        validate(&broker(), &settings(of)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_group_without_settings_of_its_own_has_the_pace_of_the_broker() {
        let usual = GroupPace {
            session_ms: 45_000,
            heartbeat_ms: 5_000,
        };
        assert_eq!(pace(&broker(), None), usual);
        assert_eq!(pace(&broker(), Some(&Settings::new())), usual);
    }

    #[test]
    fn the_bounds_are_the_brokers_and_both_ends_are_allowed() {
        for (name, low, high) in [(SESSION, 45_000, 60_000), (HEARTBEAT, 5_000, 15_000)] {
            for ms in [low, high] {
                assert_eq!(judge(&[(name, &ms.to_string())]), Ok(()));
            }
            for ms in [low - 1, high + 1] {
                let sentence = judge(&[(name, &ms.to_string())]).expect_err("out of bounds");
                let bounds = format!("from {low} to {high}");
                assert!(
                    sentence.contains(name) && sentence.contains(&bounds),
                    "{sentence}"
                );
            }
            assert!(judge(&[(name, "soon")]).is_err());
        }
        let both = [(SESSION, "60000"), (HEARTBEAT, "15000")];
        assert_eq!(judge(&both), Ok(()));
        let pace = pace(&broker(), Some(&settings(&both)));
        assert_eq!((pace.session_ms, pace.heartbeat_ms), (60_000, 15_000));
    }

    #[test]
    fn a_session_is_longer_than_the_interval_of_heartbeats() {
        let wide = settings(&[
            ("group.consumer.min.session.timeout.ms", "10"),
            ("group.consumer.max.heartbeat.interval.ms", "90000"),
        ]);
        let broker = GroupSettings::of(&wide);
        let judge = |of: &[(&str, &str)]| validate(&broker, &settings(of));
        assert_eq!(judge(&[(SESSION, "5001")]), Ok(()));
        // Each is measured by the broker's other one, too.
        for of in [
            &[(SESSION, "5000")][..],
            &[(HEARTBEAT, "45000")],
            &[(SESSION, "50000"), (HEARTBEAT, "50000")],
        ] {
            let error = judge(of).expect_err("nobody could stay");
            assert!(error.to_string().contains("larger"), "{error}");
        }
    }

    #[test]
    fn names_of_other_kinds_of_groups_are_refused_with_a_word_of_their_own() {
        let sentence = judge(&[("share.session.timeout.ms", "45000")]).expect_err("no such groups");
        assert!(sentence.contains("does not exist here"), "{sentence}");
        let sentence = judge(&[("consumer.session.timeout", "45000")]).expect_err("unknown");
        assert!(
            sentence.ends_with("Did you mean consumer.session.timeout.ms?"),
            "{sentence}"
        );
    }

    #[test]
    fn bounds_that_have_moved_since_hold_for_what_was_set_before() {
        let own = settings(&[(SESSION, "60000"), (HEARTBEAT, "1")]);
        let narrow = settings(&[("group.consumer.max.session.timeout.ms", "50000")]);
        let pace = pace(&GroupSettings::of(&narrow), Some(&own));
        assert_eq!((pace.session_ms, pace.heartbeat_ms), (50_000, 5_000));
    }

    #[test]
    fn a_group_is_described_layer_by_layer() {
        let file = settings(&[("group.consumer.session.timeout.ms", "50000")]);
        let own = settings(&[(SESSION, "55000")]);
        let all = describe(BrokerLayers::of_file(&file), Some(&own));
        assert!(all.is_sorted_by(|left, right| left.name < right.name));
        let places = |config: &DescribedConfig| {
            let places = config.synonyms.iter();
            let places = places.map(|one| (one.value.to_string(), one.source.code()));
            places.collect::<Vec<_>>()
        };
        let [heartbeat, session] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(
            (session.value.as_deref(), session.source.code()),
            (Some("55000"), 8)
        );
        let expected = [("55000", 8), ("50000", 4), ("45000", 5)];
        let expected = expected.map(|(value, source)| (value.to_owned(), source));
        assert_eq!(places(session), expected);
        assert_eq!(
            (heartbeat.value.as_deref(), heartbeat.source.code()),
            (Some("5000"), 5)
        );
        assert_eq!(places(heartbeat), [("5000".to_owned(), 5)]);
    }
}
