// SPDX-License-Identifier: Apache-2.0
//! `furlong config`: settings of topics and brokers, shown and changed.
//!
//! Owns: the arguments and the output of these commands. Invariants: a broker is asked for its own
//! settings, whatever broker was connected to first; a change is made whole or not at all.
//! Runs on: the command's thread. Bounded by: the settings of one topic or broker.

pub mod changes;
pub mod describe;

use bytestring::ByteString;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::CliError;
use super::arguments::{BootstrapArguments, Format, FormatArguments};
use super::client::cluster::Cluster;
use super::error::{ClientError, refusal};
use super::output::{print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::Request;
use crate::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use changes::ChangeArguments;

/// The type of groups.
const GROUP: i8 = 32;

/// The name that stands for all brokers.
const EVERY_BROKER: &str = "default";

/// What can be done with settings.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints settings, their values and where those come from
    Describe(describe::DescribeArguments),
    /// Changes settings while the brokers run
    Alter(AlterArguments),
}

/// What settings belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A topic
    Topic,
    /// A broker, or all of them
    Broker,
    /// A group of the new protocol (KIP-848)
    Group,
}

/// A topic or a broker.
#[derive(Clone, Debug, Args)]
pub struct ResourceArguments {
    /// Whose settings
    #[arg(value_enum)]
    kind: Kind,
    /// Name of the topic or group, or id of the broker; the broker "default" stands for all brokers
    #[arg(value_name = "NAME|ID|default")]
    name: String,
}

/// A topic or a broker, as the wire names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// 2 topic, 4 broker, 32 group.
    pub code: i8,
    /// Its name; empty for all brokers.
    pub name: ByteString,
    /// The broker that must be asked, if not any.
    broker: Option<i32>,
}

impl Resource {
    /// A topic.
    #[must_use]
    pub fn topic(name: &str) -> Resource {
        Resource {
            code: 2,
            name: name.into(),
            broker: None,
        }
    }

    /// What the arguments name.
    pub fn of(arguments: &ResourceArguments) -> Result<Resource, CliError> {
        let name = arguments.name.as_str();
        if arguments.kind == Kind::Topic {
            return Ok(Resource::topic(name));
        }
        if arguments.kind == Kind::Group {
            return Ok(Resource {
                code: GROUP,
                ..Resource::topic(name)
            });
        }
        let broker = match name {
            EVERY_BROKER => None,
            id => Some(id.parse().map_err(|_| {
                CliError::usage(format!(
                    "{name} is no broker: give its id (`furlong cluster describe` names them), or \
                     {EVERY_BROKER} for all brokers"
                ))
            })?),
        };
        Ok(Resource {
            code: 4,
            name: broker.map_or_else(ByteString::new, |_| name.into()),
            broker,
        })
    }

    /// How it is called in sentences.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.code, &*self.name) {
            (2, name) => format!("topic {name}"),
            (GROUP, name) => format!("group {name}"),
            (_, "") => "all brokers".to_owned(),
            (_, id) => format!("broker {id}"),
        }
    }

    /// Asks the broker whose business it is.
    pub fn ask<R: Request>(
        &self,
        cluster: &mut Cluster,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        match self.broker {
            None => cluster.call(request),
            Some(id) => cluster.call_broker(id, request),
        }
    }
}

/// Arguments of `furlong config alter`.
#[derive(Clone, Debug, Args)]
pub struct AlterArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    resource: ResourceArguments,
    #[command(flatten)]
    changes: ChangeArguments,
    /// Checks the changes and makes none
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub fn run(command: &ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Describe(arguments) => describe::run(arguments),
        ConfigCommand::Alter(arguments) => run_alter(arguments),
    }
}

fn run_alter(arguments: &AlterArguments) -> Result<(), CliError> {
    let resource = Resource::of(&arguments.resource)?;
    let configs = arguments.changes.wanted()?;
    if configs.is_empty() {
        return Err(CliError::usage(
            "nothing is to be changed; give --set NAME=VALUE or --delete NAME",
        ));
    }
    let mut cluster = arguments.bootstrap.connect()?;
    let names: Vec<String> = configs.iter().map(|one| one.name.to_string()).collect();
    alter(&mut cluster, &resource, configs, arguments.dry_run)?;
    let done = if arguments.dry_run {
        "would change"
    } else {
        "changed"
    };
    let title = resource.title();
    print(|output| match arguments.format.format {
        Format::Json => {
            let is_done = !arguments.dry_run;
            write_json(
                &json!({"of": title, "settings": names, "done": is_done}),
                output,
            )
        }
        Format::Table => writeln!(output, "{done} {} of {title}", names.join(", ")),
    })
}

/// Changes settings of one resource, all or none.
pub fn alter(
    cluster: &mut Cluster,
    resource: &Resource,
    configs: Vec<AlterableConfig>,
    validate_only: bool,
) -> Result<(), CliError> {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.code,
            resource_name: resource.name.clone(),
            configs,
        }],
        validate_only,
    };
    let answer = resource.ask(cluster, &request)?;
    for result in &answer.responses {
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_deref();
            return Err(CliError::new(refusal(
                &resource.title(),
                result.error_code,
                message,
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: Kind, name: &str) -> Result<Resource, CliError> {
        let name = name.to_owned();
        Resource::of(&ResourceArguments { kind, name })
    }

    #[test]
    fn topics_and_brokers_are_told_apart() {
        let topic = resource(Kind::Topic, "7").expect("any name");
        assert_eq!((topic.code, &*topic.name, topic.broker), (2, "7", None));
        let one = resource(Kind::Broker, "7").expect("an id");
        assert_eq!((one.code, &*one.name, one.broker), (4, "7", Some(7)));
        assert_eq!(one.title(), "broker 7");
        let group = resource(Kind::Group, "7").expect("any name");
        assert_eq!((group.code, &*group.name, group.broker), (32, "7", None));
        assert_eq!(group.title(), "group 7");
        let all = resource(Kind::Broker, "default").expect("all");
        assert_eq!((all.code, &*all.name, all.broker), (4, "", None));
        assert_eq!(all.title(), "all brokers");
        let odd = resource(Kind::Broker, "seven").expect_err("no id");
        assert_eq!(odd.exit_code(), 2);
    }
}
