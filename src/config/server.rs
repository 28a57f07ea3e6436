// SPDX-License-Identifier: Apache-2.0
//! The settings of one server: what was given, as one validated struct.
//!
//! Owns: [`ServerConfig`], [`BrokerDefaults`]. Invariants: a setting that would ask for a
//! protection which does not exist, or for a place in another cluster, is refused; those that have
//! no effect are accepted with one notice for all of them; an unknown one is passed over with a
//! notice that names the nearest known one, and refused where it can be meant for nobody else (a
//! flag).
//! Runs on: the start of the process. Bounded by: the text handed in.

mod cluster;
mod listeners;

use bytestring::ByteString;

use super::broker::{self, Use};
use super::definition::{ConfigError, parse_boolean};
use super::given::{FileForm, GivenSettings, Origin};
use super::layers::{BrokerLayers, Settings};
use super::{groups, topic};
use crate::model::cleaner::CleanerSettings;
use crate::model::cores::CoreChoice;
use crate::model::ids::BrokerId;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address; empty for every address of the machine.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
}

/// What the controller reads of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDefaults {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_interval_bytes: u64,
    /// All settings of the file and the flags, in text form: defaults of topic settings come from
    /// them.
    pub file: Settings,
}

/// The settings of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<ByteString>,
    /// `log.dirs`.
    pub data_directory: String,
    /// `listeners`: where to listen.
    pub listen: Endpoint,
    /// `admin.listener`: where figures are told, if anywhere.
    pub admin: Option<Endpoint>,
    /// True if it was asked for, and is not only the default.
    pub admin_is_set: bool,
    /// `advertised.listeners`: what clients are told. Port 0 stands for the port that the system
    /// chose.
    pub advertised: Endpoint,
    /// `cores`: which cores get a data shard.
    pub cores: CoreChoice,
    /// `process.nice`: the CPU priority to ask for; 0 asks for none.
    pub nice: i32,
    /// `memory.max.bytes`: what all data shards together may hold, `None` for a part of the
    /// memory of the machine.
    pub memory_bytes_max: Option<u64>,
    /// `log.flush.device`: whether one flush may serve all files of the device.
    pub flush_device: bool,
    /// `log.write.ahead`: whether zeros are written behind the logs.
    pub write_ahead: bool,
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: u32,
    /// `connections.max.idle.ms`, if idle connections are closed.
    pub connection_idle_ms: Option<u64>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `log.cleaner.enable` and its like, for all data shards together.
    pub cleaner: CleanerSettings,
    /// What the controller reads.
    pub defaults: BrokerDefaults,
    /// Sentences for a person: settings that were given but have no effect.
    pub notices: Vec<Box<str>>,
}

impl ServerConfig {
    /// Reads the text of a properties file (empty if there is none) and `key=value` flags, which
    /// beat it.
    ///
    /// # Errors
    /// The first setting that is refused.
    pub fn parse(file: &str, flags: &[String]) -> Result<ServerConfig, ConfigError> {
        let mut given = GivenSettings::default();
        given.add_file("server.properties", file, FileForm::Properties)?;
        given.add_flags(flags.iter().map(|flag| ("--set", flag.as_str())))?;
        ServerConfig::of(&given)
    }

    /// Judges the settings that were given, and reads them.
    ///
    /// # Errors
    /// The first setting that is refused.
    pub fn of(given: &GivenSettings) -> Result<ServerConfig, ConfigError> {
        let (settings, mut notices) = judged(given)?;
        cluster::judge(&settings, node_id(&settings)?)?;
        groups::judge(&settings)?;
        topic::effective(BrokerLayers::of_file(&settings), &Settings::new())?;
        let listen = listeners::listener(&settings, &mut notices)?;
        let memory_bytes: u64 = number(&settings, "memory.max.bytes")?;
        Ok(ServerConfig {
            node_id: node_id(&settings)?,
            rack: settings.get("broker.rack").cloned(),
            data_directory: data_directory(&settings)?,
            advertised: listeners::advertised(&settings, &listen)?,
            listen,
            admin: admin(&settings)?,
            admin_is_set: settings.contains_key("admin.listener"),
            cores: CoreChoice::parse(text(&settings, "cores")).unwrap_or_default(),
            nice: number(&settings, "process.nice")?,
            memory_bytes_max: Some(memory_bytes).filter(|bytes| *bytes > 0),
            flush_device: boolean(&settings, "log.flush.device"),
            write_ahead: boolean(&settings, "log.write.ahead"),
            frame_bytes_max: number(&settings, "socket.request.max.bytes")?,
            connection_idle_ms: number(&settings, "connections.max.idle.ms").ok(),
            auto_create_topics: boolean(&settings, "auto.create.topics.enable"),
            retention_check_ms: number(&settings, "log.retention.check.interval.ms")?,
            cleaner: cleaner(&settings)?,
            defaults: BrokerDefaults::of(settings)?,
            notices,
        })
    }
}

impl BrokerDefaults {
    /// What the controller reads of these settings.
    pub fn of(file: Settings) -> Result<BrokerDefaults, ConfigError> {
        Ok(BrokerDefaults {
            num_partitions: number(&file, "num.partitions")?,
            default_replication_factor: number(&file, "default.replication.factor")?,
            delete_topic_enable: boolean(&file, "delete.topic.enable"),
            snapshot_interval_bytes: number(
                &file,
                "metadata.log.max.record.bytes.between.snapshots",
            )?,
            file,
        })
    }
}

impl Default for BrokerDefaults {
    fn default() -> BrokerDefaults {
        BrokerDefaults::of(Settings::new()).expect("the built-in defaults pass their own checks")
    }
}

/// How compaction runs.
fn cleaner(settings: &Settings) -> Result<CleanerSettings, ConfigError> {
    let rate = super::cleaner::rate(text(settings, "log.cleaner.io.max.bytes.per.second"));
    Ok(CleanerSettings {
        is_enabled: boolean(settings, "log.cleaner.enable"),
        dedupe_bytes: number(settings, "log.cleaner.dedupe.buffer.size")?,
        bytes_per_second: rate,
        backoff_ms: number(settings, "log.cleaner.backoff.ms")?,
    })
}

/// Where figures are told.
fn admin(settings: &Settings) -> Result<Option<Endpoint>, ConfigError> {
    let text = text(settings, "admin.listener").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.to_owned();
        (!host.is_empty()).then_some(Endpoint { host, port })
    });
    parts.map(Some).ok_or_else(|| ConfigError::Conflict {
        sentence: format!(
            "The setting admin.listener is {text}: give an address and a port, like \
             127.0.0.1:9644, or nothing for no admin port."
        )
        .into(),
    })
}

/// What becomes of one setting that was given.
enum Judgement {
    /// It is read.
    Read,
    /// It has no effect.
    WithoutEffect,
    /// Nobody knows it; the sentence says so.
    Unknown(Box<str>),
}

/// The settings that are known, and the notices about the others.
fn judged(given: &GivenSettings) -> Result<(Settings, Vec<Box<str>>), ConfigError> {
    let mut settings = given.values().clone();
    let mut notices = Vec::new();
    let mut without_effect = Vec::new();
    for (name, value) in given.values() {
        match judge(given, name, value)? {
            Judgement::Read => {}
            Judgement::WithoutEffect => without_effect.push(&**name),
            Judgement::Unknown(sentence) => {
                settings.remove(name);
                notices.push(sentence);
            }
        }
    }
    if !without_effect.is_empty() {
        let names = without_effect.join(", ");
        let sentence = format!(
            "These settings have no effect here (--print-config says of each why): {names}."
        );
        notices.push(sentence.into());
    }
    Ok((settings, notices))
}

fn judge(given: &GivenSettings, name: &str, value: &str) -> Result<Judgement, ConfigError> {
    let Some(setting) = broker::setting(name) else {
        return judge_foreign(given, name, value);
    };
    setting.check.check(name, value)?;
    match setting.usage {
        Use::Refused if !value.is_empty() => Err(refused(name, setting.documentation)),
        Use::Ignored if setting.default != Some(value) => Ok(Judgement::WithoutEffect),
        _ => Ok(Judgement::Read),
    }
}

/// Judges a name that is not in the table of broker settings.
fn judge_foreign(given: &GivenSettings, name: &str, value: &str) -> Result<Judgement, ConfigError> {
    if let Some(reason) = broker::refusal_of_foreign(name, value) {
        return Err(refused(name, reason));
    }
    if broker::is_foreign(name) {
        return Ok(Judgement::WithoutEffect);
    }
    let unknown = broker::unknown_anywhere(name);
    match given.origin(name) {
        Some(origin @ (Origin::File(..) | Origin::Environment(_))) => {
            let sentence = format!("{unknown} It is passed over ({origin}).");
            Ok(Judgement::Unknown(sentence.into()))
        }
        _ => Err(unknown),
    }
}

fn refused(name: &str, reason: &str) -> ConfigError {
    conflict(format!(
        "The setting {name} asks for something that this broker does not have: {reason} Remove \
         the setting to run without it."
    ))
}

/// The value of a setting as a number; the check has bounded it, this narrows it to its type.
fn number<T: TryFrom<i64>>(settings: &Settings, name: &'static str) -> Result<T, ConfigError> {
    let value = text(settings, name);
    let whole = value.trim().parse::<i64>().ok();
    whole
        .and_then(|whole| T::try_from(whole).ok())
        .ok_or_else(|| ConfigError::Value {
            name: name.into(),
            value: value.into(),
            rule: "a whole number".into(),
        })
}

fn boolean(settings: &Settings, name: &'static str) -> bool {
    parse_boolean(text(settings, name).trim()).unwrap_or(false)
}

fn text<'a>(settings: &'a Settings, name: &'static str) -> &'a str {
    settings
        .get(name)
        .map_or_else(|| broker::default_of(name).unwrap_or(""), |value| &**value)
}

fn conflict(sentence: impl Into<Box<str>>) -> ConfigError {
    ConfigError::Conflict {
        sentence: sentence.into(),
    }
}

fn node_id(settings: &Settings) -> Result<BrokerId, ConfigError> {
    match (settings.get("node.id"), settings.get("broker.id")) {
        (Some(node), Some(broker)) if node.trim() != broker.trim() => Err(conflict(format!(
            "The settings node.id ({node}) and broker.id ({broker}) mean the same number: give \
             one of them."
        ))),
        (None, Some(broker)) if broker.trim() != "-1" => {
            number(settings, "broker.id").map(BrokerId)
        }
        _ => number(settings, "node.id").map(BrokerId),
    }
}

fn data_directory(settings: &Settings) -> Result<String, ConfigError> {
    let given = settings
        .get("log.dirs")
        .map_or_else(|| text(settings, "log.dir"), |value| &**value);
    match given.trim() {
        "" => Err(conflict(
            "The setting log.dirs is empty: name the directory that holds the data.",
        )),
        many if many.contains(',') => Err(conflict(format!(
            "The setting log.dirs names several directories ({many}): this broker keeps all data \
             in one."
        ))),
        one => Ok(one.to_owned()),
    }
}

#[cfg(test)]
mod tests;
