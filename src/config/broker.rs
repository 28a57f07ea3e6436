// SPDX-License-Identifier: Apache-2.0
//! Broker settings: what may change while the broker runs, and what DescribeConfigs tells of a
//! broker.
//!
//! Owns: [`validate_dynamic`], [`describe`]. Invariants: the values described are the ones in
//! force.
//! Runs on: any core. Bounded by: the table and the layers handed in.

use bytestring::ByteString;

use super::broker_table::{BROKER_SETTINGS, FOREIGN_NAMES};
pub use super::broker_table::{BrokerSetting, Use, is_foreign, refusal_of_foreign};
use super::definition::{ConfigError, ConfigSource, ConfigSynonym, ConfigType, DescribedConfig};
use super::layers::{BrokerLayers, Settings};
use super::nearest::nearest;
use super::topic::definitions;

/// Every broker setting, sorted by name.
#[must_use]
pub fn settings() -> &'static [BrokerSetting] {
    &BROKER_SETTINGS
}

/// The setting with this name.
#[must_use]
pub fn setting(name: &str) -> Option<&'static BrokerSetting> {
    let index = BROKER_SETTINGS
        .binary_search_by(|setting| setting.name.cmp(name))
        .ok()?;
    Some(&BROKER_SETTINGS[index])
}

/// The built-in default of a setting in text form.
#[must_use]
pub fn default_of(name: &str) -> Option<&'static str> {
    setting(name)?.default
}

/// True for a list, to which one may append and from which one may subtract.
#[must_use]
pub fn is_list(name: &str) -> bool {
    setting(name).is_some_and(|setting| setting.kind == ConfigType::List)
}

/// The refusal of a name that is not in the table.
pub(super) fn unknown(name: &str) -> ConfigError {
    ConfigError::Unknown {
        name: name.into(),
        nearest: nearest(name, BROKER_SETTINGS.iter().map(|setting| setting.name)),
    }
}

/// Like [`unknown`], with the names that Apache Kafka alone knows among those that may be meant.
pub(super) fn unknown_anywhere(name: &str) -> ConfigError {
    let known = BROKER_SETTINGS.iter().map(|setting| setting.name);
    ConfigError::Unknown {
        name: name.into(),
        nearest: nearest(name, known.chain(FOREIGN_NAMES.iter().copied())),
    }
}

/// Refuses what may not be set on a running broker: unknown names, fixed settings, bad values.
pub fn validate_dynamic(name: &str, value: &str) -> Result<(), ConfigError> {
    if is_foreign(name) {
        return Err(ConfigError::Conflict {
            sentence: format!("The setting {name} has no effect here, and cannot be changed.")
                .into(),
        });
    }
    let setting = setting(name).ok_or_else(|| unknown(name))?;
    if !setting.dynamic {
        return Err(ConfigError::ReadOnly { name: name.into() });
    }
    setting.check.check(name, value)
}

/// True if a change of this setting changes the default of a topic setting.
#[must_use]
pub fn gives_topic_default(name: &str) -> bool {
    definitions()
        .iter()
        .any(|topic| topic.brokers.iter().any(|(broker, _)| *broker == name))
}

/// All that DescribeConfigs tells of a broker, sorted by name.
#[must_use]
pub fn describe(layers: BrokerLayers<'_>) -> Vec<DescribedConfig> {
    BROKER_SETTINGS
        .iter()
        .map(|setting| describe_one(layers, setting))
        .collect()
}

/// All that DescribeConfigs tells of all brokers together: what was set for all while they run, and
/// nothing else (Kafka's answer to the empty name).
#[must_use]
pub fn describe_every_broker(layers: BrokerLayers<'_>) -> Vec<DescribedConfig> {
    let Some(cluster) = layers.cluster() else {
        return Vec::new();
    };
    let set = BROKER_SETTINGS
        .iter()
        .filter_map(|setting| Some((setting, cluster.get(setting.name)?)));
    let described = set.map(|(setting, value)| {
        let mut described = describe_one(layers, setting);
        let source = ConfigSource::DynamicDefaultBroker;
        described
            .synonyms
            .retain(|synonym| synonym.source == source);
        described.source = source;
        described.value = (!described.sensitive).then(|| value.clone());
        described
    });
    described.collect()
}

/// Names for the same thing, the one that counts first in front.
const SAME_THING: &[&[&str]] = &[
    &["log.dirs", "log.dir"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    &[
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.roll.ms", "log.roll.hours"],
    &["node.id", "broker.id"],
];

/// All names for the thing that this name means, itself included; empty if it has no other name.
pub(super) fn names_of(name: &str) -> &'static [&'static str] {
    let group = SAME_THING.iter().find(|group| group.contains(&name));
    group.copied().unwrap_or_default()
}

/// The names under which a setting may have been given, the one that counts first in front.
fn names(setting: &BrokerSetting) -> Vec<&'static str> {
    match setting.name {
        "broker.id" => vec!["broker.id", "node.id"],
        "advertised.listeners" => vec!["advertised.listeners", "listeners"],
        name if names_of(name).is_empty() => vec![name],
        name => names_of(name).to_vec(),
    }
}

/// True if a value under another name, in another unit, is no value of this setting (Kafka shows
/// it as a synonym and leaves the value out).
fn has_own_unit(name: &str) -> bool {
    let units = ["log.retention.", "log.roll."];
    units.iter().any(|beginning| name.starts_with(beginning))
}

fn describe_one(layers: BrokerLayers<'_>, setting: &'static BrokerSetting) -> DescribedConfig {
    let mut synonyms = layers.values(&names(setting));
    if setting.name == "broker.id" {
        synonyms.retain(|synonym| synonym.value != "-1");
    }
    let sensitive = setting.kind == ConfigType::Password;
    let own = |one: &&ConfigSynonym| !has_own_unit(setting.name) || one.name == setting.name;
    let value: Option<ByteString> = synonyms.iter().find(own).map(|found| found.value.clone());
    DescribedConfig {
        name: setting.name,
        value: if sensitive { None } else { value },
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        read_only: !setting.dynamic,
        sensitive,
        synonyms: if sensitive { Vec::new() } else { synonyms },
        kind: setting.kind,
        documentation: setting.documentation,
    }
}

/// The value of a setting, or its default; the check of the setting has bounded it.
#[must_use]
pub fn whole<T: TryFrom<i64>>(settings: &Settings, name: &'static str) -> T {
    let given = settings.get(name).map(|value| &**value);
    let parsed = given.and_then(|text| text.trim().parse().ok());
    let default = default_of(name).and_then(|text| text.parse().ok());
    let values = [parsed, default];
    let mut values = values.into_iter().flatten();
    values
        .find_map(|value: i64| T::try_from(value).ok())
        .expect("the default of a setting fits what reads it")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ids::BrokerId;

    fn described<'a>(all: &'a [DescribedConfig], name: &str) -> &'a DescribedConfig {
        all.iter()
            .find(|config| config.name == name)
            .expect("it is in the table")
    }

    #[test]
    fn the_table_is_sorted_consistent_and_small() {
        assert!(BROKER_SETTINGS.is_sorted_by(|left, right| left.name < right.name));
        for setting in &BROKER_SETTINGS {
            if let Some(default) = setting.default {
                assert_eq!(
                    setting.check.check(setting.name, default),
                    Ok(()),
                    "{}",
                    setting.name
                );
            }
            assert!(!setting.documentation.is_empty() && setting.documentation.ends_with('.'));
        }
        // Several names for one thing are one setting.
        let is_first = |name| names_of(name).first().is_none_or(|first| *first == name);
        let read = BROKER_SETTINGS
            .iter()
            .filter(|setting| setting.usage == Use::Engine && is_first(setting.name));
        // What a person must know to run the engine stays few. Beside it Kafka's own names for what
        // its clients and operators set, by what they concern.
        let concerns = [
            ("groups", &["group.", "offset.", "offsets."][..], 19),
            ("transactions", &["transaction.", "transactional."], 7),
            ("compaction", &["log.cleaner."], 8),
            ("connections", &["max.connection", "connections."][..], 6),
            ("quotas", &["quota.", "controller.quota."][..], 4),
        ];
        let mut left: Vec<&BrokerSetting> = read.collect();
        for (what, beginnings, most) in concerns {
            let concerns = |name: &str| beginnings.iter().any(|one| name.starts_with(one));
            let before = left.len();
            left.retain(|setting| !concerns(setting.name));
            let count = before - left.len();
            assert!(count <= most, "{count} settings are read for {what}");
        }
        let names: Vec<&str> = left.iter().map(|setting| setting.name).collect();
        assert!(
            left.len() <= 40,
            "{} settings are read: {names:?}",
            left.len()
        );
    }

    #[test]
    fn a_broker_is_described_layer_by_layer() {
        let file = BTreeMap::from([
            ("log.retention.ms".into(), "1000".into()),
            ("broker.id".into(), "7".into()),
        ]);
        let dynamic = BTreeMap::from([
            (
                None,
                BTreeMap::from([("log.retention.ms".into(), "2000".into())]),
            ),
            (
                Some(BrokerId(7)),
                BTreeMap::from([("log.retention.ms".into(), "3000".into())]),
            ),
            (
                Some(BrokerId(8)),
                BTreeMap::from([("log.retention.ms".into(), "4000".into())]),
            ),
        ]);
        let all = describe(BrokerLayers::new(&dynamic, BrokerId(7), &file));
        let retention = described(&all, "log.retention.ms");
        assert_eq!(retention.value.as_deref(), Some("3000"));
        assert_eq!(retention.source, ConfigSource::DynamicBroker);
        let sources: Vec<i8> = retention
            .synonyms
            .iter()
            .map(|one| one.source.code())
            .collect();
        // What minutes and hours say counts only where milliseconds are not set.
        assert_eq!(sources, [2, 3, 4, 5]);
        assert!(!retention.read_only);
        let hours = described(&all, "log.retention.hours");
        assert_eq!(hours.value.as_deref(), Some("168"), "in its own unit");
        assert_eq!(hours.source, ConfigSource::DynamicBroker);
        assert_eq!(described(&all, "log.retention.minutes").value, None);
        let every = describe_every_broker(BrokerLayers::new(&dynamic, BrokerId(7), &file));
        assert_eq!(every.len(), 1, "minutes and hours were not set for all");
        assert_eq!(
            every[0].value.as_deref(),
            Some("2000"),
            "whatever this broker has"
        );
        assert_eq!(every[0].source, ConfigSource::DynamicDefaultBroker);
        assert_eq!(every[0].synonyms.len(), 1);
        assert_eq!(describe_every_broker(BrokerLayers::of_file(&file)), []);
        let node = described(&all, "node.id");
        assert_eq!((node.value.as_deref(), node.read_only), (Some("7"), true));
        assert_eq!(described(&all, "broker.id").value.as_deref(), Some("7"));
        assert_eq!(
            described(&all, "num.io.threads").source,
            ConfigSource::Default
        );
        assert!(described(&all, "ssl.keystore.password").sensitive);
    }

    #[test]
    fn only_dynamic_settings_change_while_running() {
        assert_eq!(validate_dynamic("log.retention.ms", "5"), Ok(()));
        let fixed = validate_dynamic("listeners", "PLAINTEXT://:1").expect_err("fixed");
        assert_eq!(
            fixed,
            ConfigError::ReadOnly {
                name: "listeners".into()
            }
        );
        assert!(validate_dynamic("log.retention.ms", "soon").is_err());
        // Tools that move partitions throttle the copies, and must be able to say so.
        assert_eq!(
            validate_dynamic("leader.replication.throttled.rate", "5"),
            Ok(())
        );
        let foreign = validate_dynamic("ssl.protocol", "TLS").expect_err("no encryption");
        assert!(
            foreign.to_string().contains("has no effect here"),
            "{foreign}"
        );
        let unknown = validate_dynamic("log.retention.mss", "5").expect_err("unknown");
        assert_eq!(
            unknown.to_string(),
            "There is no setting \"log.retention.mss\". Did you mean log.retention.ms?"
        );
    }
}
