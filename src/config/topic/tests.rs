// SPDX-License-Identifier: Apache-2.0
//! Tests of topic settings: the table, the layers, the typed values.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::broker;
use crate::model::ids::BrokerId;

fn settings(pairs: &[(&'static str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn of(overrides: &[(&'static str, &str)]) -> Result<TopicConfig, ConfigError> {
    effective(
        BrokerLayers::of_file(&Settings::new()),
        &settings(overrides),
    )
}

#[test]
fn the_table_is_sorted_and_its_defaults_pass() {
    assert!(TOPIC_SETTINGS.is_sorted_by(|left, right| left.name < right.name));
    for setting in TOPIC_SETTINGS {
        assert_eq!(
            setting.check.check(setting.name, setting.default),
            Ok(()),
            "{}",
            setting.name
        );
        assert!(setting.documentation.ends_with('.'), "{}", setting.name);
        assert_eq!(
            definition(setting.name).map(|found| found.name),
            Some(setting.name)
        );
    }
}

#[test]
fn a_default_equals_that_of_the_broker_setting_behind_it() {
    let nothing = Settings::new();
    for setting in TOPIC_SETTINGS {
        for (name, _) in setting.brokers {
            assert!(broker::setting(name).is_some(), "{name} is in no table");
        }
        let inherited = text(BrokerLayers::of_file(&nothing), &nothing, setting.name);
        assert_eq!(inherited, setting.default, "{}", setting.name);
    }
}

#[test]
fn defaults_are_those_of_kafka() {
    let config = of(&[]).expect("defaults");
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: true,
            compact: false
        }
    );
    assert_eq!(config.retention_ms, Some(604_800_000));
    assert_eq!(config.retention_bytes, None);
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.segment_ms, 604_800_000);
    assert_eq!(config.max_message_bytes, 1_048_588);
    assert_eq!(config.min_insync_replicas, 1);
    assert_eq!(config.timestamp_type, TimestampType::CreateTime);
    assert_eq!(config.timestamp_after_max_ms, 3_600_000);
    assert_eq!(config.file_delete_delay_ms, 60_000);
}

#[test]
fn overrides_are_read() {
    let config = of(&[
        ("cleanup.policy", "compact, delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "2147483647"),
        ("internal.segment.bytes", "4096"),
        ("segment.ms", " 5 "),
    ])
    .expect("all valid");
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: true,
            compact: true
        }
    );
    assert_eq!(
        (config.retention_ms, config.retention_bytes),
        (None, Some(1000))
    );
    assert_eq!(config.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(
        usize::try_from(config.max_message_bytes),
        Ok(RECORD_BATCH_BYTES_MAX)
    );
    assert_eq!((config.segment_bytes, config.segment_ms), (4096, 5));
    let neither = of(&[("cleanup.policy", "")]).expect("neither");
    assert_eq!(
        neither.cleanup_policy,
        CleanupPolicy {
            delete: false,
            compact: false
        }
    );
}

#[test]
fn bad_overrides_are_refused_with_a_sentence() {
    for (name, value) in [
        ("retention.ms", "-2"),
        ("retention.ms", "ten"),
        ("segment.bytes", "1000"),
        ("segment.bytes", "2147483648"),
        ("cleanup.policy", "remove"),
        ("compression.type", "brotli"),
        ("min.insync.replicas", "0"),
        ("remote.storage.enable", "true"),
        ("message.timestamp.type", "createtime"),
    ] {
        let refusal = of(&[(name, value)]).expect_err(name);
        assert!(
            matches!(refusal, ConfigError::Value { .. }),
            "{name}: {refusal}"
        );
        assert!(refusal.to_string().contains(name));
    }
    let unknown = of(&[("retention.mss", "1")]).expect_err("unknown");
    assert!(unknown.to_string().ends_with("Did you mean retention.ms?"));
    let crossed = of(&[
        ("min.compaction.lag.ms", "10"),
        ("max.compaction.lag.ms", "5"),
    ]);
    assert!(matches!(crossed, Err(ConfigError::Conflict { .. })));
}

#[test]
fn what_an_older_release_wrote_falls_back_to_the_default() {
    let overrides = settings(&[("retention.ms", "soon"), ("segment.ms", "7")]);
    let nothing = Settings::new();
    let (config, refused) = effective_or_default(BrokerLayers::of_file(&nothing), &overrides);
    assert_eq!(
        (config.retention_ms, config.segment_ms),
        (Some(604_800_000), 7)
    );
    assert_eq!(refused.len(), 1);
    let internal = settings(&[("internal.segment.bytes", "soon")]);
    let (config, refused) = effective_or_default(BrokerLayers::of_file(&nothing), &internal);
    assert_eq!((config.segment_bytes, refused.len()), (1 << 30, 1));
}

#[test]
fn the_broker_gives_defaults_in_its_own_units() {
    let file = settings(&[("log.retention.hours", "2"), ("log.roll.hours", "1")]);
    let config = effective(BrokerLayers::of_file(&file), &Settings::new()).expect("valid");
    assert_eq!(
        (config.retention_ms, config.segment_ms),
        (Some(7_200_000), 3_600_000)
    );
    let file = settings(&[
        ("log.retention.hours", "2"),
        ("log.retention.minutes", "-1"),
    ]);
    let config = effective(BrokerLayers::of_file(&file), &Settings::new()).expect("valid");
    assert_eq!(config.retention_ms, None);
}

#[test]
fn a_topic_is_described_with_every_place_that_has_a_value() {
    let file = settings(&[("log.retention.hours", "2")]);
    let dynamic = BTreeMap::from([(None, settings(&[("log.retention.ms", "9000")]))]);
    let layers = BrokerLayers::new(&dynamic, BrokerId(1), &file);
    let all = describe(layers, &settings(&[("segment.ms", "5")]));
    assert!(all.is_sorted_by(|left, right| left.name < right.name));
    let find = |name: &str| {
        all.iter()
            .find(|one| one.name == name)
            .expect("in the table")
    };
    let retention = find("retention.ms");
    assert_eq!(retention.value.as_deref(), Some("9000"));
    assert_eq!(retention.source, ConfigSource::DynamicDefaultBroker);
    let names: Vec<&str> = retention.synonyms.iter().map(|one| one.name).collect();
    assert_eq!(
        names,
        [
            "log.retention.ms",
            "log.retention.hours",
            "log.retention.hours"
        ]
    );
    let segment = find("segment.ms");
    assert_eq!(
        (segment.value.as_deref(), segment.source.code()),
        (Some("5"), 1)
    );
    assert_eq!(find("remote.storage.enable").source, ConfigSource::Default);
    assert!(all.iter().all(|one| one.name != "internal.segment.bytes"));
}

proptest! {
    #[test]
    fn whatever_is_accepted_can_be_read(
        index in 0..TOPIC_SETTINGS.len(),
        value in prop_oneof!["-?[0-9]{1,20}", "[a-z,.:*0-9-]{0,12}",
         Just("compact,delete".to_owned())],
    ) {
        let overrides = settings(&[(TOPIC_SETTINGS[index].name, &value)]);
        let nothing = Settings::new();
        let layers = BrokerLayers::of_file(&nothing);
        let strict = effective(layers, &overrides);
        let (lenient, refused) = effective_or_default(layers, &overrides);
        if let Ok(config) = strict {
            prop_assert_eq!(config, lenient);
            prop_assert!(refused.is_empty());
        }
    }
}

#[test]
fn the_flush_mode_is_always_unless_an_interval_or_a_mode_is_asked_for() {
    let mode = |own: &[(&'static str, &str)]| of(own).expect("right settings").flush_mode;
    let unset = i64::MAX.unsigned_abs();
    let interval = |records, ms| FlushMode::Interval { records, ms };
    assert_eq!(mode(&[]), FlushMode::Always);
    assert_eq!(mode(&[("flush.messages", "1")]), FlushMode::Always);
    assert_eq!(mode(&[("flush.ms", "0")]), FlushMode::Always);
    assert_eq!(mode(&[("flush.messages", "500")]), interval(500, unset));
    assert_eq!(mode(&[("flush.ms", "20")]), interval(unset, 20));
    assert_eq!(
        mode(&[("flush.ms", "20"), ("flush.mode", "always")]),
        FlushMode::Always
    );
    assert_eq!(
        mode(&[("flush.mode", "interval")]),
        interval(unset, FLUSH_INTERVAL_MS_DEFAULT)
    );
    assert_eq!(mode(&[("flush.mode", "never")]), FlushMode::Never);
}

#[test]
fn the_codec_of_a_topic_is_its_own_or_the_brokers() {
    let codec = |file: &Settings, overrides: &Settings| {
        let config = effective(BrokerLayers::of_file(file), overrides);
        config.expect("valid").stored_codec
    };
    let nothing = Settings::new();
    let broker = settings(&[
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-7"),
    ]);
    assert_eq!(codec(&nothing, &nothing), StoredCodec::Producer);
    assert_eq!(codec(&broker, &nothing), StoredCodec::Zstd(-7));
    let gzip = settings(&[("compression.type", "gzip")]);
    assert_eq!(codec(&broker, &gzip), StoredCodec::Gzip(-1));
    let level = settings(&[
        ("compression.type", "gzip"),
        ("compression.gzip.level", "9"),
    ]);
    assert_eq!(codec(&nothing, &level), StoredCodec::Gzip(9));
    for (name, expected) in [
        ("uncompressed", StoredCodec::Uncompressed),
        ("snappy", StoredCodec::Snappy),
        ("lz4", StoredCodec::Lz4),
        ("producer", StoredCodec::Producer),
    ] {
        let own = settings(&[("compression.type", name)]);
        assert_eq!(codec(&broker, &own), expected);
    }
}
