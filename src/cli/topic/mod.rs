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
use super::arguments::{BootstrapArguments, parse_setting};
use super::client::REQUEST_TIMEOUT_MS;
use super::error::refusal;
use super::output::print;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::protocol::delete_topics::DeleteTopicsRequest;
use bytestring::ByteString;
use clap::{Args, Subcommand};

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
}

/// Arguments of commands that name topics.
#[derive(Clone, Debug, Args)]
pub struct NamedArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topics
    #[arg(value_name = "TOPIC", required = true)]
    names: Vec<String>,
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
            return print(|output| writeln!(output, "topic {} exists already", result.name));
        }
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_ref();
            return Err(refused(&result.name, result.error_code, message));
        }
    }
    let name = &arguments.name;
    if arguments.dry_run {
        return print(|output| writeln!(output, "topic {name} could be created"));
    }
    // The answer means that it is created; say so only once it can be used.
    let count = cluster.leaders_of_new(name)?.len();
    print(|output| writeln!(output, "created topic {name} with {count} partitions"))
}

fn delete(arguments: &NamedArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let request = DeleteTopicsRequest {
        topic_names: arguments
            .names
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        timeout_ms: REQUEST_TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    let answer = cluster.call(&request)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for result in &answer.responses {
        let name = result.name.as_deref().unwrap_or_default();
        if result.error_code == ErrorCode::None.code() {
            deleted.push(name);
        } else {
            let message = result.error_message.as_ref();
            failures.push(refused(name, result.error_code, message).to_string());
        }
    }
    print(|output| {
        let mut names = deleted.iter();
        names.try_for_each(|name| writeln!(output, "deleted topic {name}"))
    })?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(failures.join("\n"))),
    }
}
