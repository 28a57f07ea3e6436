// SPDX-License-Identifier: Apache-2.0
//! The settings that say which place a broker has in a cluster.
//!
//! Owns: [`judge`]. Invariants: settings of a cluster of several are refused, because a broker that
//! served alone under them would answer for topics that others hold.
//! Runs on: the start of the process. Bounded by: the text handed in.

use super::{conflict, text};
use crate::config::definition::ConfigError;
use crate::config::layers::Settings;
use crate::model::ids::BrokerId;

/// Refuses a place in a cluster that this broker cannot take.
pub(super) fn judge(settings: &Settings, node_id: BrokerId) -> Result<(), ConfigError> {
    roles(settings)?;
    voters(settings, node_id)?;
    let servers = text(settings, "controller.quorum.bootstrap.servers");
    if parts(servers).count() > 1 {
        return Err(conflict(format!(
            "The setting controller.quorum.bootstrap.servers names several controllers \
             ({servers}): this broker is its own controller, and no part of another cluster. \
             Remove the setting, or name one."
        )));
    }
    Ok(())
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn roles(settings: &Settings) -> Result<(), ConfigError> {
    let given = text(settings, "process.roles");
    let roles: Vec<&str> = parts(given).collect();
    if let Some(odd) = roles
        .iter()
        .find(|role| !matches!(**role, "broker" | "controller"))
    {
        return Err(conflict(format!(
            "The setting process.roles names \"{odd}\": there are the roles broker and controller."
        )));
    }
    let has = |role| roles.contains(&role);
    if roles.is_empty() || (has("broker") && has("controller")) {
        return Ok(());
    }
    Err(conflict(format!(
        "The setting process.roles is \"{given}\": this broker is always broker and controller in \
         one, and cannot be half of a cluster whose other half runs elsewhere. Set it to \
         broker,controller, or remove it."
    )))
}

/// `id@host:port` of each voter; the only one must be this broker.
fn voters(settings: &Settings, node_id: BrokerId) -> Result<(), ConfigError> {
    let given = text(settings, "controller.quorum.voters");
    let mut voters = parts(given);
    let (first, second) = (voters.next(), voters.next());
    if second.is_some() {
        return Err(conflict(format!(
            "The setting controller.quorum.voters names several controllers ({given}): this \
             broker is its own controller, and no part of another cluster. Remove the setting, or \
             name this broker alone."
        )));
    }
    let id = first.map(|voter| voter.split('@').next().unwrap_or(voter));
    match id {
        Some(id) if id.trim().parse() != Ok(node_id.0) => Err(conflict(format!(
            "The setting controller.quorum.voters names controller {id}, and this is node {}: \
             this broker is its own controller. Remove the setting, or name this broker.",
            node_id.0
        ))),
        _ => Ok(()),
    }
}
