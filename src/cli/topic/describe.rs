// SPDX-License-Identifier: Apache-2.0
//! `furlong topic list` and `furlong topic describe`.
//!
//! Owns: their arguments and output. Invariants: topics are sorted by name, partitions by index.
//! Runs on: the caller's thread. Bounded by: the topics of the cluster.

use super::{CliError, refused};
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::config::Resource;
use crate::cli::config::describe::settings_of;
use crate::cli::error::describe as describe_code;
use crate::cli::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::describe_configs::DescribeConfigsResourceResult;
use crate::wire::protocol::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The source of a value that was set for the topic itself.
const TOPIC_CONFIG_SOURCE: i8 = 1;

/// Arguments of `furlong topic list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// Prints ids, partitions and replicas, too
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong topic describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topics
    #[arg(value_name = "TOPIC", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_deref().unwrap_or_default()
}

fn replicas_of(topic: &MetadataResponseTopic) -> usize {
    let counts = topic.partitions.iter().map(|one| one.replica_nodes.len());
    counts.max().unwrap_or(0)
}

/// Prints all topics.
pub(super) fn list(arguments: &ListArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let mut topics = cluster.describe(None)?.topics;
    topics.sort_by(|left, right| name_of(left).cmp(name_of(right)));
    print(|output| match (arguments.format.format, arguments.long) {
        (Format::Json, _) => {
            let all = topics.iter().map(|topic| {
                json!({
                    "name": name_of(topic),
                    "id": topic.topic_id.to_string(),
                    "partitions": topic.partitions.len(),
                    "replicas": replicas_of(topic),
                    "internal": topic.is_internal,
                })
            });
            write_json(&all.collect(), output)
        }
        (Format::Table, false) => {
            let mut names = topics.iter().map(name_of);
            names.try_for_each(|name| writeln!(output, "{name}"))
        }
        (Format::Table, true) => {
            let mut table = Table::new(&["TOPIC", "ID", "PARTITIONS", "REPLICAS"]);
            for topic in &topics {
                table.row([
                    name_of(topic).to_owned(),
                    topic.topic_id.to_string(),
                    topic.partitions.len().to_string(),
                    replicas_of(topic).to_string(),
                ]);
            }
            table.write(output)
        }
    })
}

/// Prints some topics in full.
pub(super) fn describe(arguments: &DescribeArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let mut topics = cluster.describe(Some(&arguments.names))?.topics;
    topics.sort_by(|left, right| name_of(left).cmp(name_of(right)));
    let mut described = Vec::new();
    for topic in &mut topics {
        if topic.error_code != ErrorCode::None.code() {
            return Err(refused(name_of(topic), topic.error_code, None));
        }
        topic.partitions.sort_by_key(|one| one.partition_index);
        let resource = Resource::topic(name_of(topic));
        let mut own = settings_of(&mut cluster, &resource, false, false)?;
        own.retain(|setting| setting.config_source == TOPIC_CONFIG_SOURCE);
        described.push(own);
    }
    let mut all = topics.iter().zip(&described);
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = all.map(|(topic, own)| object(topic, own));
            write_json(&objects.collect(), output)
        }
        Format::Table => all.try_for_each(|(topic, own)| print_topic(topic, own, output)),
    })
}

fn state_of(partition: &MetadataResponsePartition) -> Option<String> {
    match ErrorCode::from_code(partition.error_code) {
        Some(ErrorCode::None) => None,
        _ => Some(describe_code(partition.error_code)),
    }
}

fn print_topic(
    topic: &MetadataResponseTopic,
    own: &[DescribeConfigsResourceResult],
    output: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        output,
        "topic {} id {} partitions {} replicas {}",
        name_of(topic),
        topic.topic_id,
        topic.partitions.len(),
        replicas_of(topic)
    )?;
    for setting in own {
        let value = setting.value.as_deref().unwrap_or("(hidden)");
        writeln!(output, "  {}={value}", setting.name)?;
    }
    for one in &topic.partitions {
        let state = state_of(one).map_or_else(String::new, |state| format!("  {state}"));
        writeln!(
            output,
            "  partition {} leader {} epoch {} replicas {:?} isr {:?}{state}",
            one.partition_index, one.leader_id, one.leader_epoch, one.replica_nodes, one.isr_nodes
        )?;
    }
    Ok(())
}

fn object(topic: &MetadataResponseTopic, own: &[DescribeConfigsResourceResult]) -> Value {
    let settings = own.iter().map(|setting| {
        let value = setting.value.as_deref().map_or(Value::Null, Value::from);
        (setting.name.to_string(), value)
    });
    let partitions = topic.partitions.iter().map(|one| {
        json!({
            "partition": one.partition_index,
            "leader": one.leader_id,
            "leader_epoch": one.leader_epoch,
            "replicas": one.replica_nodes,
            "isr": one.isr_nodes,
            "offline": one.offline_replicas,
            "error": state_of(one),
        })
    });
    json!({
        "name": name_of(topic),
        "id": topic.topic_id.to_string(),
        "internal": topic.is_internal,
        "settings": Value::Object(settings.collect()),
        "partitions": partitions.collect::<Vec<Value>>(),
    })
}
