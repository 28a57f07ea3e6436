// SPDX-License-Identifier: Apache-2.0
//! `furlong topic`: creates, lists, describes and deletes topics.
//!
//! Owns: the arguments and the output of these commands.
//! Invariants: every topic of a command is tried, and the command fails if one of them failed.
//! Runs on: the caller's thread. Bounded by: the topics of the cluster.

use super::client::REQUEST_TIMEOUT_MS;
use super::client::cluster::Cluster;
use super::error::{describe, refusal};
use super::{BootstrapArguments, CliError};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::protocol::delete_topics::DeleteTopicsRequest;
use crate::wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use crate::wire::protocol::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use bytestring::ByteString;
use clap::{Args, Subcommand};
use std::io::{self, Write};

/// DescribeConfigs' number for topics.
const TOPIC_RESOURCE: i8 = 2;
/// The source of a value that was set for the topic itself.
const TOPIC_CONFIG_SOURCE: i8 = 1;

/// What can be done with topics.
#[derive(Clone, Debug, Subcommand)]
pub enum TopicCommand {
    /// Creates a topic
    Create(CreateArguments),
    /// Prints the names of all topics
    List(ListArguments),
    /// Prints partitions, leaders, replicas and settings of topics
    Describe(NamedArguments),
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
}

/// Arguments of `furlong topic list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
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

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("give NAME=VALUE".to_string()),
    }
}

/// Carries out the command.
pub fn run(command: &TopicCommand) -> Result<(), CliError> {
    let mut output = io::stdout().lock();
    let written = match command {
        TopicCommand::Create(arguments) => create(arguments, &mut output),
        TopicCommand::List(arguments) => list(arguments, &mut output),
        TopicCommand::Describe(arguments) => describe_topics(arguments, &mut output),
        TopicCommand::Delete(arguments) => delete(arguments, &mut output),
    };
    match written? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(format!(
            "the output cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// The outcome of writing, once the command itself succeeded.
type Written = Result<io::Result<()>, CliError>;

fn refused(name: &str, code: i16, message: Option<&ByteString>) -> CliError {
    CliError::new(refusal(
        &format!("topic {name}"),
        code,
        message.map(|text| &**text),
    ))
}

fn create(arguments: &CreateArguments, output: &mut impl Write) -> Written {
    let mut cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
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
        ..CreateTopicsRequest::default()
    };
    let answer = cluster.call(&request)?;
    for result in &answer.topics {
        let exists = result.error_code == ErrorCode::TopicAlreadyExists.code();
        if exists && arguments.if_not_exists {
            return Ok(writeln!(output, "topic {} exists already", result.name));
        }
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_ref();
            return Err(refused(&result.name, result.error_code, message));
        }
    }
    // The answer means that it is created; say so only once it can be used.
    let leaders = cluster.leaders(&arguments.name, false)?;
    Ok(writeln!(
        output,
        "created topic {} with {} partitions",
        arguments.name,
        leaders.len()
    ))
}

fn list(arguments: &ListArguments, output: &mut impl Write) -> Written {
    let mut cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
    let answer = cluster.describe(None)?;
    let mut names: Vec<&str> = answer
        .topics
        .iter()
        .filter_map(|topic| topic.name.as_deref())
        .collect();
    names.sort_unstable();
    Ok(names.iter().try_for_each(|name| writeln!(output, "{name}")))
}

fn describe_topics(arguments: &NamedArguments, output: &mut impl Write) -> Written {
    let mut cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
    let answer = cluster.describe(Some(&arguments.names))?;
    for topic in &answer.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        if topic.error_code != ErrorCode::None.code() {
            return Err(refused(name, topic.error_code, None));
        }
    }
    let resources = arguments.names.iter().map(|name| DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name.as_str().into(),
        configuration_keys: None,
    });
    let request = DescribeConfigsRequest {
        resources: resources.collect(),
        ..DescribeConfigsRequest::default()
    };
    let configs = cluster.call_again(&request)?.results;
    for topic in &answer.topics {
        let own = configs
            .iter()
            .find(|one| topic.name.as_ref() == Some(&one.resource_name));
        if let Err(error) = print_topic(topic, own, output) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn print_topic(
    topic: &MetadataResponseTopic,
    configs: Option<&DescribeConfigsResult>,
    output: &mut impl Write,
) -> io::Result<()> {
    let name = topic.name.as_deref().unwrap_or_default();
    let mut partitions: Vec<&MetadataResponsePartition> = topic.partitions.iter().collect();
    partitions.sort_by_key(|one| one.partition_index);
    let replicas = partitions.first().map_or(0, |one| one.replica_nodes.len());
    writeln!(
        output,
        "topic {name} id {} partitions {} replicas {replicas}",
        topic.topic_id,
        partitions.len()
    )?;
    for setting in configs.iter().flat_map(|result| &result.configs) {
        if setting.config_source == TOPIC_CONFIG_SOURCE {
            let value = setting.value.as_deref().unwrap_or("(not shown)");
            writeln!(output, "  {}={value}", setting.name)?;
        }
    }
    for one in partitions {
        let state = match ErrorCode::from_code(one.error_code) {
            Some(ErrorCode::None) => String::new(),
            _ => format!("  {}", describe(one.error_code)),
        };
        writeln!(
            output,
            "  partition {} leader {} epoch {} replicas {:?} isr {:?}{state}",
            one.partition_index, one.leader_id, one.leader_epoch, one.replica_nodes, one.isr_nodes
        )?;
    }
    Ok(())
}

fn delete(arguments: &NamedArguments, output: &mut impl Write) -> Written {
    let mut cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
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
    let mut failure = None;
    for result in &answer.responses {
        let name = result.name.as_deref().unwrap_or_default();
        if result.error_code == ErrorCode::None.code() {
            if let Err(error) = writeln!(output, "deleted topic {name}") {
                return Ok(Err(error));
            }
        } else {
            failure = Some(refused(
                name,
                result.error_code,
                result.error_message.as_ref(),
            ));
        }
    }
    failure.map_or(Ok(Ok(())), Err)
}
