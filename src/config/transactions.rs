// SPDX-License-Identifier: Apache-2.0
//! What transactions read of the settings.
//!
//! Owns: [`TransactionSettings`]. Invariants: every value has passed the check of its setting.
//! Runs on: any core. Bounded by: its fields.

use super::broker;
use super::layers::Settings;

/// The settings of transactions and of the topic that keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// `transaction.max.timeout.ms`.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`.
    pub expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiration_check_ms: u64,
    /// `transaction.state.log.num.partitions`.
    pub topic_partitions: i32,
    /// `transaction.state.log.replication.factor`.
    pub topic_replication_factor: i16,
    /// `transaction.state.log.min.isr`.
    pub topic_min_isr: i16,
    /// `transaction.state.log.segment.bytes`.
    pub topic_segment_bytes: i64,
}

impl TransactionSettings {
    /// Reads them of settings that were checked.
    #[must_use]
    pub fn of(settings: &Settings) -> TransactionSettings {
        let number = |name| broker::whole(settings, name);
        let narrow = |name| broker::whole::<i16>(settings, name);
        TransactionSettings {
            timeout_ms_max: broker::whole(settings, "transaction.max.timeout.ms"),
            expiration_ms: number("transactional.id.expiration.ms"),
            expiration_check_ms: broker::whole(
                settings,
                "transaction.remove.expired.transaction.cleanup.interval.ms",
            ),
            topic_partitions: broker::whole(settings, "transaction.state.log.num.partitions"),
            topic_replication_factor: narrow("transaction.state.log.replication.factor"),
            topic_min_isr: narrow("transaction.state.log.min.isr"),
            topic_segment_bytes: number("transaction.state.log.segment.bytes"),
        }
    }

    /// The settings of the topic of transactions, as it is made with so many replicas.
    #[must_use]
    pub fn topic_configs(&self, replication_factor: i16) -> Settings {
        let min_isr = self.topic_min_isr.min(replication_factor);
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("min.insync.replicas", min_isr.to_string()),
            ("segment.bytes", self.topic_segment_bytes.to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ];
        configs
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_kafka() {
        let settings = TransactionSettings::of(&Settings::new());
        assert_eq!(settings.timeout_ms_max, 900_000);
        assert_eq!(settings.expiration_ms, 7 * 24 * 3_600_000);
        assert_eq!(settings.expiration_check_ms, 3_600_000);
        assert_eq!(settings.topic_partitions, 50);
        assert_eq!(settings.topic_replication_factor, 3);
        assert_eq!(settings.topic_min_isr, 2);
        assert_eq!(settings.topic_segment_bytes, 104_857_600);
    }

    #[test]
    fn what_was_set_counts() {
        let set = [
            ("transaction.max.timeout.ms", "5000"),
            ("transactional.id.expiration.ms", "60000"),
            ("transaction.state.log.num.partitions", "3"),
        ];
        let set = set.map(|(name, value)| (name.into(), value.into()));
        let settings = TransactionSettings::of(&Settings::from(set));
        assert_eq!(settings.timeout_ms_max, 5_000);
        assert_eq!(settings.expiration_ms, 60_000);
        assert_eq!(settings.topic_partitions, 3);
    }
}
