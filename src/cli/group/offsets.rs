// SPDX-License-Identifier: Apache-2.0
//! `furlong group offsets`.
//!
//! Owns: its arguments and output. Invariants: what `--format csv` and `--format json` print is
//! what `furlong group seek --from-file` reads. Runs on: the command's thread. Bounded by: the
//! partitions of the groups that are named.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{DEAD, all_or_failures, described, offsets_file, parse_topic, unknown};
use crate::cli::CliError;
use crate::cli::arguments::BootstrapArguments;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::client::offsets::{Committed, Place, committed};
use crate::cli::output::{Table, print, write_json};

/// Arguments of `furlong group offsets`.
#[derive(Clone, Debug, Args)]
pub struct OffsetsArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The groups
    #[arg(value_name = "GROUP", required = true)]
    names: Vec<String>,
    /// Prints offsets of this topic only; may be repeated
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", value_parser = parse_topic)]
    topic: Vec<super::TopicPartitions>,
    /// How to print
    #[arg(long, value_enum, default_value_t = OffsetsFormat::Table)]
    format: OffsetsFormat,
}

/// The form of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OffsetsFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For programs and for Kafka's tool: topic,partition,offset; the group first, if it is several
    Csv,
}

/// Carries out the command.
pub(super) fn run(arguments: &OffsetsArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for group in &arguments.names {
        match of_group(&mut cluster, group) {
            Ok(mut offsets) => {
                let topics = &arguments.topic;
                offsets.retain(|place, _| {
                    topics.is_empty() || topics.iter().any(|one| one.covers(place))
                });
                found.push((group.as_str(), offsets));
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    let are_many = arguments.names.len() > 1;
    let rows = || {
        found.iter().flat_map(|(group, offsets)| {
            offsets.iter().map(move |(place, one)| (*group, place, one))
        })
    };
    print(|output| match arguments.format {
        OffsetsFormat::Table => {
            let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "OFFSET", "METADATA"]);
            for (group, (topic, partition), one) in rows() {
                let (partition, offset) = (partition.to_string(), one.offset.to_string());
                table.row([group, topic, &partition, &offset, &one.metadata]);
            }
            table.write(output)
        }
        OffsetsFormat::Json => {
            let objects = rows().map(|(group, (topic, partition), one)| {
                json!({
                    "group": group,
                    "topic": topic,
                    "partition": partition,
                    "offset": one.offset,
                    "leader_epoch": (one.leader_epoch >= 0).then_some(one.leader_epoch),
                    "metadata": one.metadata,
                })
            });
            write_json(&objects.collect(), output)
        }
        OffsetsFormat::Csv => rows().try_for_each(|(group, place, one)| {
            let group = are_many.then_some(group);
            writeln!(
                output,
                "{}",
                offsets_file::csv_line(group, place, one.offset)
            )
        }),
    })?;
    all_or_failures(&failures)
}

/// All offsets that a group committed.
pub(super) fn of_group(
    cluster: &mut Cluster,
    group: &str,
) -> Result<BTreeMap<Place, Committed>, CliError> {
    let mut coordinator = Coordinator::of_group(group);
    let offsets = committed(cluster, &mut coordinator, group, None, false)?;
    if offsets.is_empty() && &*described(cluster, &mut coordinator, group)?.group_state == DEAD {
        return Err(unknown(group));
    }
    Ok(offsets)
}
