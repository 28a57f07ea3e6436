// SPDX-License-Identifier: Apache-2.0
//! The listeners among the settings of a server.
//!
//! Owns: where to listen, and what clients are told. Invariants: exactly one listener for clients,
//! and it is unencrypted because it was said so: a listener of any other protocol is refused, never
//! opened without its protection.
//! Runs on: the start of the process. Bounded by: the text handed in.

use super::{Endpoint, conflict, text};
use crate::config::definition::ConfigError;
use crate::config::layers::Settings;

/// The one PLAINTEXT listener; listeners for controllers are noted and left out.
pub(super) fn listener(
    settings: &Settings,
    notices: &mut Vec<Box<str>>,
) -> Result<Endpoint, ConfigError> {
    let (endpoint, skipped) = endpoints(settings, "listeners")?;
    for name in skipped {
        notices.push(
            format!("The listener {name} is not opened: the controller is inside the broker.")
                .into(),
        );
    }
    Ok(endpoint)
}

/// What clients are told to connect to.
pub(super) fn advertised(settings: &Settings, listen: &Endpoint) -> Result<Endpoint, ConfigError> {
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
    setting: &'static str,
) -> Result<(Endpoint, Vec<String>), ConfigError> {
    let controllers = settings.get("controller.listener.names");
    let controllers = controllers.map_or("CONTROLLER", |names| &**names);
    let is_controller = |listener: &str| parts(controllers).any(|one| one == listener);
    let mut found = None;
    let mut skipped = Vec::new();
    for part in parts(text(settings, setting)) {
        let (listener, endpoint) = endpoint(setting, part)?;
        if is_controller(listener) {
            skipped.push(listener.to_owned());
            continue;
        }
        check_protocol(settings, setting, listener)?;
        if found.replace(endpoint).is_some() {
            return Err(conflict(format!(
                "The setting {setting} has more than one PLAINTEXT listener: this broker has one."
            )));
        }
    }
    let missing = || conflict(format!("The setting {setting} has no PLAINTEXT listener."));
    Ok((found.ok_or_else(missing)?, skipped))
}

/// Refuses a listener whose protocol is not PLAINTEXT. A listener may have a name of its own, which
/// `listener.security.protocol.map` gives a protocol; else its name is its protocol.
fn check_protocol(settings: &Settings, setting: &str, listener: &str) -> Result<(), ConfigError> {
    let pairs = parts(text(settings, "listener.security.protocol.map"));
    let mut pairs = pairs.filter_map(|pair| pair.split_once(':'));
    let mapped = pairs.find(|(name, _)| name.trim() == listener);
    let protocol = mapped.map_or(listener, |(_, protocol)| protocol.trim());
    if protocol == "PLAINTEXT" {
        return Ok(());
    }
    let known = ["SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    Err(conflict(match known.contains(&protocol) {
        true => format!(
            "The setting {setting} has a listener {listener} of the protocol {protocol}: this \
             broker has PLAINTEXT listeners only, without encryption and authentication."
        ),
        false => format!(
            "The setting {setting} has a listener {listener}, and \
             listener.security.protocol.map gives it no protocol. Add {listener}:PLAINTEXT there; \
             this broker has PLAINTEXT listeners only."
        ),
    }))
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
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
