// SPDX-License-Identifier: Apache-2.0
//! Topic settings: from text to what the engine reads, and to what DescribeConfigs tells.
//!
//! Owns: [`validate`], [`effective`], [`effective_or_default`], [`describe`].
//! Invariants: a [`TopicConfig`] is made only here and lies inside its bounds; a topic's own value
//! beats the broker's, which beats the built-in default.
//! Runs on: any core. Bounded by: the table and the overrides handed in.

use bytestring::ByteString;

use super::definition::{
    Check, ConfigError, ConfigSource, ConfigSynonym, ConfigType, DescribedConfig,
};
use super::layers::{BrokerLayers, Settings};
use super::nearest::nearest;
pub use super::topic_table::TopicSetting;
use super::topic_table::{Convert, INTERNAL_SEGMENT_BYTES, TOPIC_SETTINGS};
use crate::limits::{FLUSH_INTERVAL_MS_DEFAULT, RECORD_BATCH_BYTES_MAX};
use crate::model::topic_config::{
    CleanupPolicy, CompactionConfig, FlushMode, StoredCodec, TimestampType, TopicConfig,
};

/// Every topic setting, sorted by name.
#[must_use]
pub fn definitions() -> &'static [TopicSetting] {
    TOPIC_SETTINGS
}

/// The setting with this name.
#[must_use]
pub fn definition(name: &str) -> Option<&'static TopicSetting> {
    if name == INTERNAL_SEGMENT_BYTES.name {
        return Some(&INTERNAL_SEGMENT_BYTES);
    }
    let index = TOPIC_SETTINGS
        .binary_search_by(|setting| setting.name.cmp(name))
        .ok()?;
    Some(&TOPIC_SETTINGS[index])
}

/// True for a list, to which one may append and from which one may subtract.
#[must_use]
pub fn is_list(name: &str) -> bool {
    definition(name).is_some_and(|setting| setting.kind == ConfigType::List)
}

/// Refuses an unknown name or a value outside its bounds.
pub fn validate_one(name: &str, value: &str) -> Result<(), ConfigError> {
    match definition(name) {
        Some(setting) => setting.check.check(name, value),
        None => Err(ConfigError::Unknown {
            name: name.into(),
            nearest: nearest(name, TOPIC_SETTINGS.iter().map(|setting| setting.name)),
        }),
    }
}

/// Refuses overrides that a topic may not have: unknown names, bad values, contradictions.
pub fn validate(layers: BrokerLayers<'_>, overrides: &Settings) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        validate_one(name, value)?;
    }
    let number = |name| whole(&text(layers, overrides, name)).unwrap_or(0);
    let (min, max) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    );
    if min > max {
        let sentence = format!(
            "The setting min.compaction.lag.ms ({min}) cannot be larger than \
             max.compaction.lag.ms ({max})."
        );
        return Err(ConfigError::Conflict {
            sentence: sentence.into(),
        });
    }
    Ok(())
}

/// The settings a topic with these overrides has on a broker.
pub fn effective(
    layers: BrokerLayers<'_>,
    overrides: &Settings,
) -> Result<TopicConfig, ConfigError> {
    validate(layers, overrides)?;
    let (config, refused) = effective_or_default(layers, overrides);
    match refused.into_iter().next() {
        None => Ok(config),
        Some(error) => Err(error),
    }
}

/// Like [`effective`], but where a value is not acceptable (an older release or another file of
/// settings wrote it) the built-in default stands in for it, and the refusals say so.
#[must_use]
pub fn effective_or_default(
    layers: BrokerLayers<'_>,
    overrides: &Settings,
) -> (TopicConfig, Vec<ConfigError>) {
    let mut reading = Reading {
        layers,
        overrides,
        refused: Vec::new(),
    };
    let config = reading.config();
    (config, reading.refused)
}

/// Reads settings one by one and collects what it had to refuse.
struct Reading<'a> {
    layers: BrokerLayers<'a>,
    overrides: &'a Settings,
    refused: Vec<ConfigError>,
}

impl Reading<'_> {
    fn config(&mut self) -> TopicConfig {
        let largest_batch = u32::try_from(RECORD_BATCH_BYTES_MAX).unwrap_or(u32::MAX);
        let policy = self.text("cleanup.policy");
        let has = |word: &str| policy.split(',').any(|part| part.trim() == word);
        TopicConfig {
            cleanup_policy: CleanupPolicy {
                delete: has("delete"),
                compact: has("compact"),
            },
            retention_ms: u64::try_from(self.whole("retention.ms")).ok(),
            retention_bytes: u64::try_from(self.whole("retention.bytes")).ok(),
            segment_bytes: self.segment_bytes(),
            segment_ms: self.unsigned("segment.ms"),
            index_interval_bytes: self.narrow("index.interval.bytes"),
            segment_index_bytes: self.narrow("segment.index.bytes"),
            max_message_bytes: self.narrow("max.message.bytes").min(largest_batch),
            stored_codec: self.stored_codec(),
            min_insync_replicas: self.narrow("min.insync.replicas"),
            timestamp_type: match self.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: self.unsigned("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: self.unsigned("message.timestamp.after.max.ms"),
            flush_mode: self.flush_mode(),
            compaction: self.compaction(),
            file_delete_delay_ms: self.unsigned("file.delete.delay.ms"),
        }
    }

    fn compaction(&mut self) -> CompactionConfig {
        let unset = i64::MAX.unsigned_abs();
        let ratio = self.text("min.cleanable.dirty.ratio");
        CompactionConfig {
            lag_ms_min: self.unsigned("min.compaction.lag.ms"),
            lag_ms_max: Some(self.unsigned("max.compaction.lag.ms")).filter(|ms| *ms < unset),
            delete_retention_ms: self.unsigned("delete.retention.ms"),
            dirty_millionths_min: millionths(&ratio),
        }
    }

    fn stored_codec(&mut self) -> StoredCodec {
        match self.text("compression.type").as_str() {
            "uncompressed" => StoredCodec::Uncompressed,
            "gzip" => StoredCodec::Gzip(self.level("compression.gzip.level")),
            "snappy" => StoredCodec::Snappy,
            "lz4" => StoredCodec::Lz4,
            "zstd" => StoredCodec::Zstd(self.level("compression.zstd.level")),
            _ => StoredCodec::Producer,
        }
    }

    fn level(&mut self, name: &'static str) -> i32 {
        i32::try_from(self.whole(name)).expect("the check bounds it by 32 bits")
    }

    /// `auto` is `always` unless the interval of Kafka is set: who sets it asks for it.
    fn flush_mode(&mut self) -> FlushMode {
        let unset = i64::MAX.unsigned_abs();
        let records = self.unsigned("flush.messages");
        let ms = self.unsigned("flush.ms");
        let is_set = records < unset || ms < unset;
        let is_at_once = records == 1 || ms == 0;
        match self.text("flush.mode").as_str() {
            "never" => FlushMode::Never,
            "interval" if is_set => FlushMode::Interval { records, ms },
            "interval" => FlushMode::Interval {
                records,
                ms: FLUSH_INTERVAL_MS_DEFAULT,
            },
            "auto" if is_set && !is_at_once => FlushMode::Interval { records, ms },
            _ => FlushMode::Always,
        }
    }

    fn segment_bytes(&mut self) -> u32 {
        match self.overrides.get(INTERNAL_SEGMENT_BYTES.name) {
            Some(_) => self.narrow(INTERNAL_SEGMENT_BYTES.name),
            None => self.narrow("segment.bytes"),
        }
    }

    fn text(&mut self, name: &'static str) -> String {
        let value = text(self.layers, self.overrides, name);
        let Err(error) = validate_one(name, &value) else {
            return value;
        };
        self.refused.push(error);
        match definition(name).map_or("", |setting| setting.default) {
            "" => "1073741824".to_owned(),
            default => default.to_owned(),
        }
    }

    fn whole(&mut self, name: &'static str) -> i64 {
        let value = self.text(name);
        whole(&value).expect("the text passed the check of a whole number, or is its default")
    }

    fn unsigned(&mut self, name: &'static str) -> u64 {
        u64::try_from(self.whole(name)).expect("the check lets no negative number pass")
    }

    fn narrow(&mut self, name: &'static str) -> u32 {
        u32::try_from(self.whole(name)).expect("the check bounds it by 32 bits")
    }
}

/// A fraction of one, which the check has seen to be one.
fn millionths(value: &str) -> u32 {
    const ONE: u32 = 1_000_000;
    let fraction: f64 = value.trim().parse().unwrap_or(0.5);
    // The smallest step of the search is one millionth: no cast, and no rounding to think of.
    let (mut low, mut high) = (0, ONE);
    while low < high {
        let middle = u32::midpoint(low, high);
        if f64::from(middle) < fraction * f64::from(ONE) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn whole(value: &str) -> Option<i64> {
    value.parse().ok()
}

/// The text that counts for a topic: its own, else the broker's, else the built-in default.
fn text(layers: BrokerLayers<'_>, overrides: &Settings, name: &'static str) -> String {
    if let Some(own) = overrides.get(name) {
        return own.trim().to_owned();
    }
    let setting = definition(name).expect("only names of the table are asked for");
    match inherited(layers, setting).into_iter().next() {
        Some(synonym) => converted(setting, &synonym),
        None => setting.default.to_owned(),
    }
}

fn inherited(layers: BrokerLayers<'_>, setting: &TopicSetting) -> Vec<ConfigSynonym> {
    let names: Vec<&'static str> = setting.brokers.iter().map(|(name, _)| *name).collect();
    layers.values(&names)
}

/// The text of a broker setting in the unit of the topic setting.
fn converted(setting: &TopicSetting, synonym: &ConfigSynonym) -> String {
    let factor = match setting
        .brokers
        .iter()
        .find(|(name, _)| *name == synonym.name)
    {
        Some((_, Convert::Minutes)) => 60 * 1000,
        Some((_, Convert::Hours)) => 60 * 60 * 1000,
        _ => 1,
    };
    let value = synonym.value.trim();
    match whole(value) {
        Some(number) if factor > 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

/// All that DescribeConfigs tells of a topic, sorted by name.
#[must_use]
pub fn describe(layers: BrokerLayers<'_>, overrides: &Settings) -> Vec<DescribedConfig> {
    TOPIC_SETTINGS
        .iter()
        .map(|setting| describe_one(layers, overrides, setting))
        .collect()
}

fn describe_one(
    layers: BrokerLayers<'_>,
    overrides: &Settings,
    setting: &'static TopicSetting,
) -> DescribedConfig {
    let own = overrides.get(setting.name).map(|value| ConfigSynonym {
        name: setting.name,
        value: value.clone(),
        source: ConfigSource::DynamicTopic,
    });
    let inherited = inherited(layers, setting);
    let value = match (&own, inherited.first()) {
        (Some(own), _) => own.value.clone(),
        (None, Some(first)) => converted(setting, first).into(),
        (None, None) => ByteString::from_static(setting.default),
    };
    let synonyms: Vec<ConfigSynonym> = own.into_iter().chain(inherited).collect();
    DescribedConfig {
        name: setting.name,
        value: Some(value),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        read_only: matches!(setting.check, Check::Only(_)),
        sensitive: false,
        synonyms,
        kind: setting.kind,
        documentation: setting.documentation,
    }
}

#[cfg(test)]
mod tests;
