// SPDX-License-Identifier: Apache-2.0
//! The settings of one server: a properties file and flags to one validated struct.
//!
//! Owns: [`ServerConfig`], [`BrokerDefaults`]. Invariants: a setting that would ask for a
//! protection which does not exist is refused; one that has no effect is accepted with a notice; an
//! unknown one is refused with the nearest known name.
//! Runs on: the start of the process. Bounded by: the text handed in.

use bytestring::ByteString;

use super::broker::{self, Use};
use super::definition::{ConfigError, parse_boolean};
use super::layers::{BrokerLayers, Settings};
use super::properties;
use super::topic;
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
    /// `cores`: number of data shards, `None` for one on each core that the process may use.
    pub cores: Option<u16>,
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
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// What the controller reads.
    pub defaults: BrokerDefaults,
    /// Sentences for a person: settings that were given but have no effect.
    pub notices: Vec<Box<str>>,
}

impl ServerConfig {
    /// Reads the text of a properties file (empty if there is none) and `key=value` flags, which
    /// beat it.
    pub fn parse(file: &str, flags: &[String]) -> Result<ServerConfig, ConfigError> {
        let mut settings = properties::parse(file)?;
        for flag in flags {
            let (name, value) = properties::parse_assignment(flag)?;
            settings.insert(name, value);
        }
        let mut notices = Vec::new();
        for (name, value) in &settings {
            accept(name, value, &mut notices)?;
        }
        topic::effective(BrokerLayers::of_file(&settings), &Settings::new())?;
        let listen = listener(&settings, &mut notices)?;
        let cores = number(&settings, "cores")?;
        let memory_bytes: u64 = number(&settings, "memory.max.bytes")?;
        Ok(ServerConfig {
            node_id: node_id(&settings)?,
            rack: settings.get("broker.rack").cloned(),
            data_directory: data_directory(&settings)?,
            advertised: advertised(&settings, &listen)?,
            listen,
            admin: admin(&settings)?,
            admin_is_set: settings.contains_key("admin.listener"),
            cores: Some(cores).filter(|cores| *cores > 0),
            nice: number(&settings, "process.nice")?,
            memory_bytes_max: Some(memory_bytes).filter(|bytes| *bytes > 0),
            flush_device: boolean(&settings, "log.flush.device"),
            write_ahead: boolean(&settings, "log.write.ahead"),
            frame_bytes_max: number(&settings, "socket.request.max.bytes")?,
            auto_create_topics: boolean(&settings, "auto.create.topics.enable"),
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

/// Refuses one setting, or notes that it has no effect.
fn accept(name: &str, value: &str, notices: &mut Vec<Box<str>>) -> Result<(), ConfigError> {
    let setting = broker::setting(name).ok_or_else(|| broker::unknown(name))?;
    setting.check.check(name, value)?;
    match setting.usage {
        Use::Refused if !value.trim().is_empty() => Err(ConfigError::Conflict {
            sentence: format!(
                "The setting {name} asks for something that this broker does not have yet: {} \
                 Remove the setting to run \
                 without it.",
                setting.documentation
            )
            .into(),
        }),
        Use::Ignored if setting.default != Some(value.trim()) => {
            let documentation = setting.documentation;
            notices.push(format!("The setting {name} has no effect here. {documentation}").into());
            Ok(())
        }
        _ => Ok(()),
    }
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

/// The one PLAINTEXT listener; listeners for controllers are noted and left out.
fn listener(settings: &Settings, notices: &mut Vec<Box<str>>) -> Result<Endpoint, ConfigError> {
    let (endpoint, skipped) = endpoints(settings, "listeners")?;
    for name in skipped {
        notices.push(
            format!("The listener {name} is not opened: the controller is inside the broker.")
                .into(),
        );
    }
    Ok(endpoint)
}

fn advertised(settings: &Settings, listen: &Endpoint) -> Result<Endpoint, ConfigError> {
    let everywhere = |host: &str| matches!(host, "" | "0.0.0.0" | "::");
    if !settings.contains_key("advertised.listeners") {
        if everywhere(&listen.host) {
            return Err(conflict(
                "The setting listeners names every address of this machine. Say in \
                 advertised.listeners which one clients \
                 shall connect to, for example PLAINTEXT://localhost:9092.",
            ));
        }
        return Ok(listen.clone());
    }
    let (endpoint, _) = endpoints(settings, "advertised.listeners")?;
    if everywhere(&endpoint.host) {
        return Err(conflict(
            "The setting advertised.listeners must name an address that clients can connect to, \
             not every address.",
        ));
    }
    Ok(endpoint)
}

/// The one listener for clients, and the names of those for controllers.
fn endpoints(
    settings: &Settings,
    name: &'static str,
) -> Result<(Endpoint, Vec<String>), ConfigError> {
    let controllers = match settings.get("controller.listener.names") {
        Some(names) => names.to_string(),
        None => "CONTROLLER".to_owned(),
    };
    let is_controller = |protocol: &str| controllers.split(',').any(|one| one.trim() == protocol);
    let mut found = None;
    let mut skipped = Vec::new();
    for part in text(settings, name)
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (protocol, endpoint) = endpoint(name, part)?;
        if is_controller(protocol) {
            skipped.push(protocol.to_owned());
        } else if protocol != "PLAINTEXT" {
            return Err(conflict(format!(
                "The setting {name} has a listener {protocol}: this broker has PLAINTEXT \
                 listeners only."
            )));
        } else if found.replace(endpoint).is_some() {
            return Err(conflict(format!(
                "The setting {name} has more than one PLAINTEXT listener: this broker has one."
            )));
        }
    }
    let missing = || conflict(format!("The setting {name} has no PLAINTEXT listener."));
    Ok((found.ok_or_else(missing)?, skipped))
}

/// `PROTOCOL://host:port`; the host may be empty or an IPv6 address in brackets.
fn endpoint<'a>(name: &str, text: &'a str) -> Result<(&'a str, Endpoint), ConfigError> {
    let parts = || {
        let (protocol, address) = text.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let endpoint = Endpoint {
            host: host.to_owned(),
            port: port.parse().ok()?,
        };
        Some((protocol, endpoint))
    };
    parts().ok_or_else(|| ConfigError::Value {
        name: name.into(),
        value: text.into(),
        rule: "of the form PLAINTEXT://host:port".into(),
    })
}

#[cfg(test)]
mod tests;
