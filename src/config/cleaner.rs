// SPDX-License-Identifier: Apache-2.0
//! How compaction runs, by the settings.
//!
//! Owns: the reading of `log.cleaner.*`. Invariants: what was set while the broker runs goes before
//! what it was started with, as in Kafka, which lets all of them but `log.cleaner.enable` change.
//! Runs on: any core (pure). Bounded by: the settings.

use super::layers::BrokerLayers;
use crate::model::cleaner::CleanerSettings;

/// Bytes a second, nothing for so many that they are no limit.
pub(super) fn rate(text: &str) -> Option<u64> {
    let rate: f64 = text.trim().parse().unwrap_or(f64::MAX);
    // Whole bytes: what is written with a fraction or an exponent is printed without.
    let whole = (rate < 1e18).then(|| format!("{:.0}", rate.ceil()));
    whole.and_then(|whole| whole.parse().ok())
}

/// What one of so many shards goes by: its part of what it was started with, and what was set
/// since. No map is larger than `dedupe_bytes_max`.
#[must_use]
pub fn settled(
    started: CleanerSettings,
    layers: BrokerLayers<'_>,
    shards: u16,
    dedupe_bytes_max: usize,
) -> CleanerSettings {
    let number = |name| {
        let text = layers.dynamic_value(name)?;
        text.trim().parse::<u64>().ok()
    };
    let mut set = CleanerSettings {
        bytes_per_second: None,
        ..started
    };
    if let Some(bytes) = number("log.cleaner.dedupe.buffer.size") {
        set.dedupe_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        set.dedupe_bytes = set.divided(shards).within(dedupe_bytes_max).dedupe_bytes;
    }
    let text = layers.dynamic_value("log.cleaner.io.max.bytes.per.second");
    set.bytes_per_second = match text {
        Some(text) => {
            let whole = CleanerSettings {
                bytes_per_second: rate(text),
                ..set
            };
            whole.divided(shards).bytes_per_second
        }
        None => started.bytes_per_second,
    };
    if let Some(backoff_ms) = number("log.cleaner.backoff.ms") {
        set.backoff_ms = backoff_ms;
    }
    set
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::layers::Settings;
    use crate::model::ids::BrokerId;

    const STARTED: CleanerSettings = CleanerSettings {
        is_enabled: true,
        dedupe_bytes: 1000,
        bytes_per_second: Some(500),
        backoff_ms: 15_000,
    };

    fn set(pairs: &[(&str, &str)]) -> CleanerSettings {
        let file = Settings::new();
        let own = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let dynamic = BTreeMap::from([(None, own.collect::<Settings>())]);
        settled(
            STARTED,
            BrokerLayers::new(&dynamic, BrokerId(1), &file),
            2,
            3000,
        )
    }

    #[test]
    fn what_was_set_since_goes_before_what_was_given_at_the_start() {
        assert_eq!(set(&[]), STARTED);
        let changed = set(&[
            ("log.cleaner.dedupe.buffer.size", "5000"),
            ("log.cleaner.io.max.bytes.per.second", "3e3"),
            ("log.cleaner.backoff.ms", "20"),
            ("log.cleaner.enable", "false"),
        ]);
        let expected = CleanerSettings {
            is_enabled: true,
            dedupe_bytes: 2500,
            bytes_per_second: Some(1500),
            backoff_ms: 20,
        };
        assert_eq!(changed, expected);
        let large = set(&[("log.cleaner.dedupe.buffer.size", "50000")]);
        assert_eq!(large.dedupe_bytes, 3000, "not more than there is");
        let free = set(&[("log.cleaner.io.max.bytes.per.second", "1.79E308")]);
        assert_eq!(free.bytes_per_second, None);
    }

    #[test]
    fn rates_are_whole_bytes() {
        assert_eq!(rate("0.5"), Some(1));
        assert_eq!(rate(" 3e6 "), Some(3_000_000));
        assert_eq!(rate("1.7976931348623157E308"), None);
    }
}
