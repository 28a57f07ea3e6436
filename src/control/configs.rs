// SPDX-License-Identifier: Apache-2.0
//! Changing settings of topics, brokers and groups.
//!
//! Owns: [`alter`], [`new_overrides`]. Invariants: Kafka's rules and error codes
//! (`IncrementalAlterConfigs`, KIP-339): the changes of one resource are made together or not at
//! all; the result of a change passes every check of the settings, not just the changed ones.
//! Runs on: the control shard. Bounded by: `CONFIG_VALUE_BYTES_MAX`, `GROUP_CONFIGS_MAX`,
//! `METADATA_BATCH_BYTES_MAX`.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::record_list::RecordList;
use super::request::{ConfigOperation, ConfigResource, ConfigResourceChange, Refusal};
use super::state::MetadataState;
use super::topic_name;
use super::topics::refusal;
use crate::config::broker;
use crate::config::definition::ConfigError;
use crate::config::groups::GroupSettings;
use crate::config::layers::{BrokerLayers, Settings};
use crate::config::{single_group, topic};
use crate::limits::{CONFIG_VALUE_BYTES_MAX, GROUP_CONFIGS_MAX, GROUP_ID_BYTES_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::ids::BrokerId;
use crate::model::image::TopicImage;
use crate::wire::schema::record::{
    BrokerConfigRecord, GroupConfigRecord, MetadataRecord, TopicConfigRecord,
};

type Outcome<T> = Result<T, Refusal>;

fn invalid(error: ConfigError) -> Refusal {
    refusal(ErrorCode::InvalidConfig, error.to_string())
}

/// Of brokers Kafka refuses what may not be set as a request that makes no sense.
fn invalid_of_broker(error: ConfigError) -> Refusal {
    let code = match error {
        ConfigError::Unknown { .. } => ErrorCode::InvalidConfig,
        _ => ErrorCode::InvalidRequest,
    };
    refusal(code, error.to_string())
}

fn check_length(name: &str, value: &str) -> Outcome<()> {
    if value.len() <= CONFIG_VALUE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("The value of {name} is longer than {CONFIG_VALUE_BYTES_MAX} bytes.");
    Err(refusal(ErrorCode::InvalidConfig, message))
}

/// The settings that a new topic is made with.
pub(super) fn new_overrides(
    layers: BrokerLayers<'_>,
    given: &[(ByteString, Option<ByteString>)],
) -> Outcome<Settings> {
    let mut overrides = Settings::new();
    for (name, value) in given {
        let Some(text) = value.as_deref() else {
            let message = format!("The request gives no value for {name}.");
            return Err(refusal(ErrorCode::InvalidConfig, message));
        };
        topic::validate_one(name, text).map_err(invalid)?;
        check_length(name, text)?;
        if overrides.insert(name.clone(), text.into()).is_some() {
            let message = format!("The request sets {name} more than once.");
            return Err(refusal(ErrorCode::InvalidConfig, message));
        }
    }
    topic::effective(layers, &overrides).map_err(invalid)?;
    Ok(overrides)
}

/// Plans one request to change settings.
pub(super) fn alter(
    state: &MetadataState,
    resources: &[ConfigResourceChange],
    validate_only: bool,
    list: &mut RecordList,
) -> Vec<(ConfigResource, Outcome<()>)> {
    let mut answers = Vec::with_capacity(resources.len());
    for (index, change) in resources.iter().enumerate() {
        let same = |(other, earlier): &(usize, &ConfigResourceChange)| {
            *other != index && earlier.resource == change.resource
        };
        let outcome = if resources.iter().enumerate().any(|other| same(&other)) {
            Err(refusal(
                ErrorCode::InvalidRequest,
                "The request names this resource more than once.",
            ))
        } else {
            one(state, change, validate_only, list)
        };
        answers.push((change.resource.clone(), outcome));
    }
    answers
}

fn one(
    state: &MetadataState,
    change: &ConfigResourceChange,
    validate_only: bool,
    list: &mut RecordList,
) -> Outcome<()> {
    let records = match &change.resource {
        ConfigResource::Topic(name) => match state.image().topics.get(name) {
            Some(topic) => topic_records(state, topic, change)?,
            None => return Err(no_topic(name)),
        },
        ConfigResource::Broker(id) => broker_records(state, *id, change)?,
        ConfigResource::Group(name) => group_records(state, name, change)?,
    };
    if validate_only {
        return Ok(());
    }
    list.extend(records)
        .map_err(|error| refusal(ErrorCode::PolicyViolation, error.to_string()))
}

/// Why there is no such topic: Kafka tells names that cannot be apart from those that are not
/// there.
fn no_topic(name: &str) -> Refusal {
    if name.is_empty() {
        return refusal(ErrorCode::InvalidRequest, "The request names no topic.");
    }
    match topic_name::check(name) {
        Err(sentence) => refusal(ErrorCode::InvalidTopicException, sentence),
        Ok(()) => refusal(
            ErrorCode::UnknownTopicOrPartition,
            format!("There is no topic \"{name}\"."),
        ),
    }
}

fn topic_records(
    state: &MetadataState,
    topic: &TopicImage,
    change: &ConfigResourceChange,
) -> Outcome<Vec<MetadataRecord>> {
    let layers = state.layers();
    let inherited = |name: &str| {
        let all = topic::describe(layers, &Settings::new());
        all.into_iter()
            .find(|config| config.name == name)
            .and_then(|config| config.value)
    };
    for (name, _, _) in &change.changes {
        if topic::definition(name).is_none() {
            // The check words the refusal, with the nearest name.
            topic::validate_one(name, "").map_err(invalid)?;
        }
    }
    let after = changed(&topic.overrides, change, topic::is_list, inherited)?;
    topic::effective(layers, &after).map_err(invalid)?;
    let differences = differences(&topic.overrides, &after);
    let record = |(name, value)| {
        let topic_id = topic.id;
        MetadataRecord::TopicConfigRecord(TopicConfigRecord {
            topic_id,
            name,
            value,
        })
    };
    Ok(differences.into_iter().map(record).collect())
}

fn broker_records(
    state: &MetadataState,
    broker_id: Option<BrokerId>,
    change: &ConfigResourceChange,
) -> Outcome<Vec<MetadataRecord>> {
    let image = state.image();
    if let Some(id) = broker_id.filter(|id| !image.brokers.contains_key(id)) {
        let message = format!("There is no broker {}.", id.0);
        return Err(refusal(ErrorCode::InvalidRequest, message));
    }
    let nothing = Settings::new();
    let before = image.broker_configs.get(&broker_id).unwrap_or(&nothing);
    let default = |name: &str| broker::default_of(name).map(ByteString::from_static);
    let after = changed(before, change, broker::is_list, default)?;
    for (name, operation, _) in &change.changes {
        match after.get(name) {
            Some(value) => broker::validate_dynamic(name, value).map_err(invalid_of_broker)?,
            None if *operation == ConfigOperation::Delete && before.contains_key(name) => {}
            None => check_may_change(name)?,
        }
    }
    let mut dynamic = image.broker_configs.clone();
    dynamic.insert(broker_id, after.clone());
    let layers = BrokerLayers::new(&dynamic, state.node_id(), state.file());
    topic::effective(layers, &nothing).map_err(invalid)?;
    let record = |(name, value)| {
        MetadataRecord::BrokerConfigRecord(BrokerConfigRecord {
            broker_id,
            name,
            value,
        })
    };
    Ok(differences(before, &after)
        .into_iter()
        .map(record)
        .collect())
}

fn group_records(
    state: &MetadataState,
    group: &ByteString,
    change: &ConfigResourceChange,
) -> Outcome<Vec<MetadataRecord>> {
    if group.is_empty() || group.len() > GROUP_ID_BYTES_MAX {
        let message = format!(
            "The name of a group has 1 to {GROUP_ID_BYTES_MAX} bytes; there are no settings of \
             all groups, but for those of the brokers."
        );
        return Err(refusal(ErrorCode::InvalidRequest, message));
    }
    let configs = &state.image().group_configs;
    let nothing = Settings::new();
    let before = configs.get(group).unwrap_or(&nothing);
    for (name, _, _) in &change.changes {
        single_group::check_name(name).map_err(invalid)?;
    }
    let after = changed(before, change, |_| false, |_| None)?;
    single_group::validate(&GroupSettings::of(state.file()), &after).map_err(invalid)?;
    if before.is_empty() && !after.is_empty() && configs.len() >= GROUP_CONFIGS_MAX {
        let message = format!("{GROUP_CONFIGS_MAX} groups have settings of their own already.");
        return Err(refusal(ErrorCode::PolicyViolation, message));
    }
    let record = |(name, value)| {
        let group = group.clone();
        MetadataRecord::GroupConfigRecord(GroupConfigRecord { group, name, value })
    };
    Ok(differences(before, &after)
        .into_iter()
        .map(record)
        .collect())
}

/// Refuses a setting that does not exist or is fixed, whatever its value.
fn check_may_change(name: &str) -> Outcome<()> {
    match broker::setting(name) {
        Some(setting) if setting.dynamic => Ok(()),
        _ => broker::validate_dynamic(name, "").map_err(invalid_of_broker),
    }
}

/// The settings after these changes, not yet checked.
fn changed(
    before: &Settings,
    change: &ConfigResourceChange,
    is_list: impl Fn(&str) -> bool,
    inherited: impl Fn(&str) -> Option<ByteString>,
) -> Outcome<Settings> {
    let mut times: BTreeMap<&ByteString, usize> = BTreeMap::new();
    let mut after = match change.replaces {
        true => Settings::new(),
        false => before.clone(),
    };
    for (name, operation, value) in &change.changes {
        let count = times.entry(name).or_default();
        *count += 1;
        if *count > 1 {
            let message = format!("The request changes {name} more than once.");
            return Err(refusal(ErrorCode::InvalidRequest, message));
        }
        if *operation == ConfigOperation::Delete {
            after.remove(name);
            continue;
        }
        let Some(value) = value else {
            let message = format!("The request gives no value for {name}.");
            return Err(refusal(ErrorCode::InvalidRequest, message));
        };
        let value = match operation {
            ConfigOperation::Append | ConfigOperation::Subtract if !is_list(name) => {
                let message =
                    format!("Nothing can be added to or taken from {name}: it is no list.");
                return Err(refusal(ErrorCode::InvalidConfig, message));
            }
            ConfigOperation::Append => {
                let now = after.get(name).cloned().or_else(|| inherited(name));
                with(now.as_deref().unwrap_or(""), value)
            }
            ConfigOperation::Subtract => {
                let now = after.get(name).cloned().or_else(|| inherited(name));
                without(now.as_deref().unwrap_or(""), value)
            }
            _ => value.clone(),
        };
        check_length(name, &value)?;
        after.insert(name.clone(), value);
    }
    Ok(after)
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn with(list: &str, more: &str) -> ByteString {
    let mut all: Vec<&str> = parts(list).collect();
    for part in parts(more) {
        if !all.contains(&part) {
            all.push(part);
        }
    }
    all.join(",").into()
}

fn without(list: &str, less: &str) -> ByteString {
    let gone: Vec<&str> = parts(less).collect();
    let left: Vec<&str> = parts(list).filter(|part| !gone.contains(part)).collect();
    left.join(",").into()
}

fn differences(before: &Settings, after: &Settings) -> Vec<(ByteString, Option<ByteString>)> {
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    let removed = removed.map(|name| (name.clone(), None));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    removed
        .chain(set.map(|(name, value)| (name.clone(), Some(value.clone()))))
        .collect()
}
