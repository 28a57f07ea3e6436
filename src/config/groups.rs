// SPDX-License-Identifier: Apache-2.0
//! What groups read of the settings.
//!
//! Owns: [`GroupSettings`]. Invariants: every value has passed the check of its setting.
//! Runs on: any core. Bounded by: its fields.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::broker::{self, whole as number};
use super::definition::ConfigError;
use super::layers::Settings;
use crate::limits::GROUP_MEMBERS_MAX;

/// Whether a group may go from one protocol to the other while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// From the classic protocol to the new one.
    Upgrade,
    /// Back.
    Downgrade,
    /// Both ways.
    Bidirectional,
}

impl MigrationPolicy {
    /// The names of all, in their order.
    pub const NAMES: &[&str] = &["bidirectional", "disabled", "downgrade", "upgrade"];

    fn by_name(name: &str) -> MigrationPolicy {
        match name {
            "disabled" => MigrationPolicy::Disabled,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            _ => MigrationPolicy::Bidirectional,
        }
    }

    /// True if a group may go over to the new protocol.
    #[must_use]
    pub const fn may_upgrade(self) -> bool {
        matches!(
            self,
            MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional
        )
    }

    /// True if a group may go back to the classic protocol.
    #[must_use]
    pub const fn may_downgrade(self) -> bool {
        matches!(
            self,
            MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional
        )
    }
}

/// The settings of groups and of the topic that keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms` to `group.max.session.timeout.ms`.
    pub session_ms: RangeInclusive<i32>,
    /// `group.max.size`, and never more than a coordinator holds.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_ms: i32,
    /// `group.consumer.min.session.timeout.ms` to `group.consumer.max.session.timeout.ms`: what a
    /// group may have of its own.
    pub consumer_session_range_ms: RangeInclusive<i32>,
    /// `group.consumer.min.heartbeat.interval.ms` to `group.consumer.max.heartbeat.interval.ms`,
    /// likewise.
    pub consumer_heartbeat_range_ms: RangeInclusive<i32>,
    /// `group.consumer.max.size`, and never more than a coordinator holds.
    pub consumer_members_max: usize,
    /// `group.consumer.assignors`, the one that is used unless members ask for another in front.
    pub assignors: Vec<ByteString>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub topic_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub topic_segment_bytes: i64,
}

impl GroupSettings {
    /// Reads them of settings that were checked.
    #[must_use]
    pub fn of(settings: &Settings) -> GroupSettings {
        let session_min = number(settings, "group.min.session.timeout.ms");
        let session_max = number(settings, "group.max.session.timeout.ms");
        GroupSettings {
            initial_rebalance_delay_ms: number(settings, "group.initial.rebalance.delay.ms"),
            session_ms: session_min..=session_max,
            members_max: number::<usize>(settings, "group.max.size").min(GROUP_MEMBERS_MAX),
            consumer_session_ms: number(settings, "group.consumer.session.timeout.ms"),
            consumer_heartbeat_ms: number(settings, "group.consumer.heartbeat.interval.ms"),
            consumer_session_range_ms: number(settings, "group.consumer.min.session.timeout.ms")
                ..=number(settings, "group.consumer.max.session.timeout.ms"),
            consumer_heartbeat_range_ms: number(
                settings,
                "group.consumer.min.heartbeat.interval.ms",
            )
                ..=number(settings, "group.consumer.max.heartbeat.interval.ms"),
            consumer_members_max: number::<usize>(settings, "group.consumer.max.size")
                .min(GROUP_MEMBERS_MAX),
            assignors: words(settings, "group.consumer.assignors"),
            migration: MigrationPolicy::by_name(&text(settings, "group.consumer.migration.policy")),
            offset_metadata_bytes_max: number(settings, "offset.metadata.max.bytes"),
            offsets_retention_ms: number::<i64>(settings, "offsets.retention.minutes") * 60_000,
            retention_check_ms: number(settings, "offsets.retention.check.interval.ms"),
            topic_partitions: number(settings, "offsets.topic.num.partitions"),
            topic_replication_factor: number(settings, "offsets.topic.replication.factor"),
            topic_segment_bytes: number(settings, "offsets.topic.segment.bytes"),
        }
    }

    /// The settings of the topic of committed offsets, as it is made.
    #[must_use]
    pub fn topic_configs(&self) -> Settings {
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", self.topic_segment_bytes.to_string()),
        ];
        configs
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }
}

/// Refuses bounds that no session timeout lies between, so that no member could ever join, and a
/// pace of the new protocol that its own bounds do not allow.
///
/// # Errors
/// The settings that are at odds, with their values.
pub fn judge(settings: &Settings) -> Result<(), ConfigError> {
    let groups = GroupSettings::of(settings);
    judge_pace(&groups)?;
    let session_ms = groups.session_ms;
    if !session_ms.is_empty() {
        return Ok(());
    }
    let (min, max) = (session_ms.start(), session_ms.end());
    let sentence = format!(
        "group.min.session.timeout.ms is {min} and group.max.session.timeout.ms is {max}: no \
         member of a group could join. The first must not be larger than the second."
    );
    let sentence = sentence.into();
    Err(ConfigError::Conflict { sentence })
}

/// Kafka's rule for the pace of the new protocol: within its bounds, and a session longer than the
/// interval between two heartbeats.
fn judge_pace(groups: &GroupSettings) -> Result<(), ConfigError> {
    let session_ms = i64::try_from(groups.consumer_session_ms).unwrap_or(i64::MAX);
    let heartbeat_ms = i64::from(groups.consumer_heartbeat_ms);
    for (what, ms, range) in [
        (
            "session.timeout",
            session_ms,
            &groups.consumer_session_range_ms,
        ),
        (
            "heartbeat.interval",
            heartbeat_ms,
            &groups.consumer_heartbeat_range_ms,
        ),
    ] {
        let (min, max) = (i64::from(*range.start()), i64::from(*range.end()));
        if !(min..=max).contains(&ms) {
            let sentence = format!(
                "group.consumer.{what}.ms is {ms}, and must be from \
                 group.consumer.min.{what}.ms ({min}) to group.consumer.max.{what}.ms ({max}): \
                 set these, too."
            );
            let sentence = sentence.into();
            return Err(ConfigError::Conflict { sentence });
        }
    }
    if heartbeat_ms < session_ms {
        return Ok(());
    }
    let sentence = format!(
        "group.consumer.heartbeat.interval.ms is {heartbeat_ms} and \
         group.consumer.session.timeout.ms is {session_ms}: every member would be taken out \
         between two heartbeats. The first must be smaller than the second."
    );
    let sentence = sentence.into();
    Err(ConfigError::Conflict { sentence })
}

/// The text of a setting, or its default.
fn text(settings: &Settings, name: &'static str) -> ByteString {
    let given = settings.get(name).map(|value| value.trim());
    let default = broker::default_of(name).unwrap_or("");
    ByteString::from(given.unwrap_or(default))
}

/// The words of a setting; an empty list is the default.
fn words(settings: &Settings, name: &'static str) -> Vec<ByteString> {
    let default = broker::default_of(name).unwrap_or("");
    for list in [&*text(settings, name), default] {
        let words = list.split(',').map(str::trim);
        let words: Vec<ByteString> = words
            .filter(|word| !word.is_empty())
            .map(ByteString::from)
            .collect();
        if !words.is_empty() {
            return words;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_kafka() {
        let settings = GroupSettings::of(&Settings::new());
        assert_eq!(settings.initial_rebalance_delay_ms, 3_000);
        assert_eq!(settings.session_ms, 6_000..=1_800_000);
        assert_eq!(settings.members_max, GROUP_MEMBERS_MAX);
        assert_eq!(settings.consumer_session_ms, 45_000);
        assert_eq!(settings.consumer_heartbeat_ms, 5_000);
        assert_eq!(settings.consumer_session_range_ms, 45_000..=60_000);
        assert_eq!(settings.consumer_heartbeat_range_ms, 5_000..=15_000);
        assert_eq!(settings.consumer_members_max, GROUP_MEMBERS_MAX);
        assert_eq!(settings.assignors, ["uniform", "range"]);
        assert_eq!(settings.migration, MigrationPolicy::Bidirectional);
        assert!(settings.migration.may_upgrade() && settings.migration.may_downgrade());
        assert_eq!(settings.offset_metadata_bytes_max, 4_096);
        assert_eq!(settings.offsets_retention_ms, 7 * 24 * 3_600_000);
        assert_eq!(settings.retention_check_ms, 600_000);
        assert_eq!(settings.topic_partitions, 50);
        assert_eq!(settings.topic_replication_factor, 3);
        assert_eq!(settings.topic_segment_bytes, 104_857_600);
    }

    #[test]
    fn what_was_set_counts() {
        let set = [
            ("group.initial.rebalance.delay.ms", "0"),
            ("group.max.size", "3"),
            ("offsets.retention.minutes", "1"),
            ("group.consumer.assignors", " range "),
            ("group.consumer.migration.policy", "upgrade"),
        ];
        let set = set.map(|(name, value)| (name.into(), value.into()));
        let settings = GroupSettings::of(&Settings::from(set));
        assert_eq!(settings.initial_rebalance_delay_ms, 0);
        assert_eq!(settings.members_max, 3);
        assert_eq!(settings.offsets_retention_ms, 60_000);
        assert_eq!(settings.assignors, ["range"]);
        assert!(settings.migration.may_upgrade() && !settings.migration.may_downgrade());
    }

    #[test]
    fn the_pace_of_the_new_protocol_is_within_its_bounds() {
        let set = |set: &[(&str, &str)]| {
            let set = set.iter();
            let set = set.map(|(name, value)| ((*name).into(), (*value).into()));
            judge(&set.collect()).map_err(|error| error.to_string())
        };
        let session = "group.consumer.session.timeout.ms";
        let heartbeat = "group.consumer.heartbeat.interval.ms";
        assert_eq!(set(&[(session, "60000"), (heartbeat, "15000")]), Ok(()));
        for (name, value) in [
            (session, "44999"),
            (session, "60001"),
            (heartbeat, "4999"),
            (heartbeat, "15001"),
            ("group.consumer.max.session.timeout.ms", "44999"),
            ("group.consumer.min.heartbeat.interval.ms", "5001"),
        ] {
            let sentence = set(&[(name, value)]).expect_err(name);
            assert!(
                sentence.contains(name) && sentence.contains(value),
                "{sentence}"
            );
        }
        let quick = ("group.consumer.min.session.timeout.ms", "1000");
        assert_eq!(set(&[quick, (session, "5001")]), Ok(()));
        let sentence = set(&[quick, (session, "5000")]).expect_err("nobody could stay");
        assert!(sentence.contains("between two heartbeats"), "{sentence}");
    }

    #[test]
    fn the_shortest_session_may_not_be_longer_than_the_longest() {
        let set = |min: &str, max: &str| {
            let set = [
                ("group.min.session.timeout.ms", min),
                ("group.max.session.timeout.ms", max),
            ];
            judge(&set.map(|(name, value)| (name.into(), value.into())).into())
        };
        assert_eq!(judge(&Settings::new()), Ok(()));
        assert_eq!(set("7000", "7000"), Ok(()));
        let Err(ConfigError::Conflict { sentence }) = set("7001", "7000") else {
            panic!("nobody could join");
        };
        assert!(
            sentence.contains("7001") && sentence.contains("7000"),
            "{sentence}"
        );
        // One of them alone meets the default of the other.
        let alone = [("group.min.session.timeout.ms".into(), "1800001".into())];
        assert!(judge(&alone.into()).is_err());
    }
}
