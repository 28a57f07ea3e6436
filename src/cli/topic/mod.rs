// SPDX-License-Identifier: Apache-2.0
//! `furlong topic`: creates, lists, describes, alters, trims and deletes topics.
//!
//! Owns: the arguments of these commands, creating and deleting.
//! Invariants: every topic of a command is tried, and the command fails if one of them failed.
//! Runs on: the caller's thread. Bounded by: the topics of the cluster.

mod alter;
mod describe;
mod trim;

use super::CliError;
use super::arguments::{BootstrapArguments, Format, FormatArguments, parse_setting};
use super::client::REQUEST_TIMEOUT_MS;
use super::client::cluster::Cluster;
use super::error::refusal;
use super::output::{print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::protocol::delete_topics::DeleteTopicsRequest;
use crate::wire::protocol::metadata::MetadataResponseTopic;
use bytestring::ByteString;
use clap::{Args, Subcommand};
use serde_json::json;

/// What can be done with topics.
#[derive(Clone, Debug, Subcommand)]
pub enum TopicCommand {
    /// Creates a topic
    Create(CreateArguments),
    /// Prints the names of all topics
    List(describe::ListArguments),
    /// Prints partitions, leaders, replicas and settings of topics
    Describe(describe::DescribeArguments),
    /// Changes settings of a topic, or gives it more partitions
    Alter(alter::AlterArguments),
    /// Removes the oldest records of a topic
    Trim(trim::TrimArguments),
    /// Deletes topics and all their records
    Delete(NamedArguments),
}

/// Arguments of `furlong topic create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topic
    #[arg(value_name = "TOPIC")]
    name: String,
    /// Number of partitions; the broker's num.partitions if not given
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partitions: Option<i32>,
    /// Number of replicas; the broker's default.replication.factor if not given
    #[arg(short = 'r', long, value_name = "NUMBER")]
    replication_factor: Option<i16>,
    /// A setting of the topic, such as retention.ms=3600000; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    config: Vec<(String, String)>,
    /// Succeeds if the topic exists already, whatever its settings
    #[arg(long)]
    if_not_exists: bool,
    /// Checks whether it could be created, and does not create it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of commands that name topics.
#[derive(Clone, Debug, Args)]
pub struct NamedArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topics
    #[arg(value_name = "TOPIC", required = true)]
    names: Vec<String>,
    /// Checks whether the topics are there, and deletes none
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub fn run(command: &TopicCommand) -> Result<(), CliError> {
    match command {
        TopicCommand::Create(arguments) => create(arguments),
        TopicCommand::List(arguments) => describe::list(arguments),
        TopicCommand::Describe(arguments) => describe::describe(arguments),
        TopicCommand::Alter(arguments) => alter::alter(arguments),
        TopicCommand::Trim(arguments) => trim::trim(arguments),
        TopicCommand::Delete(arguments) => delete(arguments),
    }
}

fn refused(name: &str, code: i16, message: Option<&ByteString>) -> CliError {
    CliError::new(refusal(
        &format!("topic {name}"),
        code,
        message.map(|text| &**text),
    ))
}

fn create(arguments: &CreateArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let configs = arguments
        .config
        .iter()
        .map(|(name, value)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        })
        .collect();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: arguments.name.as_str().into(),
            num_partitions: arguments.partitions.unwrap_or(-1),
            replication_factor: arguments.replication_factor.unwrap_or(-1),
            configs,
            ..CreatableTopic::default()
        }],
        timeout_ms: REQUEST_TIMEOUT_MS,
        validate_only: arguments.dry_run,
    };
    let answer = cluster.call(&request)?;
    for result in &answer.topics {
        let exists = result.error_code == ErrorCode::TopicAlreadyExists.code();
        if exists && arguments.if_not_exists {
            return say_created(arguments, "exists", None);
        }
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_ref();
            return Err(refused(&result.name, result.error_code, message));
        }
    }
    if arguments.dry_run {
        return say_created(arguments, "possible", None);
    }
    // The answer means that it is created; say so only once it can be used.
    let count = cluster.leaders_of_new(&arguments.name)?.len();
    say_created(arguments, "created", Some(count))
}

fn say_created(
    arguments: &CreateArguments,
    outcome: &str,
    partitions: Option<usize>,
) -> Result<(), CliError> {
    let name = &arguments.name;
    print(
        |output| match (arguments.format.format, outcome, partitions) {
            (Format::Json, _, _) => {
                let object = json!({"topic": name, "outcome": outcome, "partitions": partitions});
                write_json(&object, output)
            }
            (Format::Table, _, Some(count)) => {
                writeln!(output, "created topic {name} with {count} partitions")
            }
            (Format::Table, "exists", None) => writeln!(output, "topic {name} exists already"),
            (Format::Table, _, None) => writeln!(output, "topic {name} could be created"),
        },
    )
}

fn delete(arguments: &NamedArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let outcomes = match arguments.dry_run {
        true => look_for(&mut cluster, &arguments.names)?,
        false => delete_topics(&mut cluster, &arguments.names)?,
    };
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = outcomes.iter().map(|(name, error)| {
                let is_done = !arguments.dry_run && error.is_none();
                json!({"topic": name, "done": is_done, "error": error})
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let done = if arguments.dry_run {
                "would delete"
            } else {
                "deleted"
            };
            let mut names = outcomes.iter().filter(|(_, error)| error.is_none());
            names.try_for_each(|(name, _)| writeln!(output, "{done} topic {name}"))
        }
    })?;
    let failures: Vec<String> = outcomes
        .into_iter()
        .filter_map(|(_, error)| error)
        .collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(failures.join("\n"))),
    }
}

/// What became of each topic: nothing to say, or why it is still there.
type Outcomes = Vec<(String, Option<String>)>;

fn look_for(cluster: &mut Cluster, names: &[String]) -> Result<Outcomes, CliError> {
    let found = cluster.describe(Some(names))?.topics.into_iter();
    let one = |topic: MetadataResponseTopic| {
        let name = topic.name.unwrap_or_default().to_string();
        let error = (topic.error_code != ErrorCode::None.code())
            .then(|| refused(&name, topic.error_code, None).to_string());
        (name, error)
    };
    Ok(found.map(one).collect())
}

fn delete_topics(cluster: &mut Cluster, names: &[String]) -> Result<Outcomes, CliError> {
    let request = DeleteTopicsRequest {
        topic_names: names.iter().map(|name| name.as_str().into()).collect(),
        timeout_ms: REQUEST_TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    let answer = cluster.call(&request)?;
    let outcomes = answer.responses.iter().map(|result| {
        let name = result.name.as_deref().unwrap_or_default();
        let message = result.error_message.as_ref();
        let error = (result.error_code != ErrorCode::None.code())
            .then(|| refused(name, result.error_code, message).to_string());
        (name.to_owned(), error)
    });
    Ok(outcomes.collect())
}
