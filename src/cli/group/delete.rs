// SPDX-License-Identifier: Apache-2.0
//! `furlong group delete` and `furlong group delete-offsets`.
//!
//! Owns: their arguments and output. Invariants: what is deleted was shown; what could not be
//! deleted is said to be refused already when it is shown. Runs on: the command's thread.
//! Bounded by: the groups that are named, the partitions of one group.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{
    DEAD, ExecuteArguments, PREVIEW, TopicPartitions, all_or_failures, described, parse_topic,
    refuse_active, unknown,
};
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::client::offsets::{Place, by_topic, committed};
use crate::cli::error::refusal;
use crate::cli::output::{Table, print, write_json};
use crate::cli::{CliError, ClientError};
use crate::model::error_code::ErrorCode;
use crate::wire::consumer_protocol::{ConsumerSubscription, decode};
use crate::wire::protocol::delete_groups::DeleteGroupsRequest;
use crate::wire::protocol::describe_groups::DescribedGroup;
use crate::wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

/// Arguments of `furlong group delete`.
#[derive(Clone, Debug, Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The groups
    #[arg(value_name = "GROUP", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong group delete-offsets`.
#[derive(Clone, Debug, Args)]
pub struct DeleteOffsetsArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// Deletes the offsets of this topic, or of these partitions of it; may be repeated
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", value_parser = parse_topic,
          required = true)]
    topic: Vec<TopicPartitions>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

struct Doomed<'a> {
    group: &'a str,
    offsets: usize,
    /// Why it stays, if it does.
    error: Option<String>,
}

/// Carries out `group delete`.
pub(super) fn run(arguments: &DeleteArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let execute = arguments.execute.execute;
    let mut found = Vec::new();
    for group in &arguments.names {
        let outcome = delete_one(&mut cluster, group, execute);
        found.push(Doomed {
            group,
            offsets: outcome.as_ref().copied().unwrap_or(0),
            error: outcome.err().map(|error| error.to_string()),
        });
    }
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = found.iter().map(|one| {
                json!({
                    "group": one.group,
                    "offsets": one.offsets,
                    "done": execute && one.error.is_none(),
                    "error": one.error,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let done = if execute { "deleted" } else { "would delete" };
            for one in found.iter().filter(|one| one.error.is_none()) {
                let (group, count) = (one.group, one.offsets);
                writeln!(output, "{done} group {group} and its {count} offsets")?;
            }
            match execute {
                true => Ok(()),
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })?;
    all_or_failures(
        &found
            .into_iter()
            .filter_map(|one| one.error)
            .collect::<Vec<_>>(),
    )
}

/// Deletes one group, or finds out whether it could; the number of its offsets.
fn delete_one(cluster: &mut Cluster, group: &str, execute: bool) -> Result<usize, CliError> {
    let mut coordinator = Coordinator::of_group(group);
    let state = refuse_active(cluster, &mut coordinator, group)?;
    let offsets = committed(cluster, &mut coordinator, group, None, false)?.len();
    if state == DEAD && offsets == 0 {
        return Err(unknown(group));
    }
    if !execute {
        return Ok(offsets);
    }
    let request = DeleteGroupsRequest {
        groups_names: vec![group.into()],
    };
    let answer = coordinator.call(cluster, &request, |answer| {
        answer.results.first().map_or(0, |one| one.error_code)
    })?;
    let code = answer.results.first().map_or(0, |one| one.error_code);
    match code == ErrorCode::None.code() {
        true => Ok(offsets),
        false => Err(coordinator.refused(code, None).into()),
    }
}

/// Carries out `group delete-offsets`.
pub(super) fn run_offsets(arguments: &DeleteOffsetsArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let (group, execute) = (&arguments.group, arguments.execute.execute);
    let mut coordinator = Coordinator::of_group(group);
    let described = described(&mut cluster, &mut coordinator, group)?;
    let mut offsets = committed(&mut cluster, &mut coordinator, group, None, false)?;
    if &*described.group_state == DEAD && offsets.is_empty() {
        return Err(unknown(group));
    }
    offsets.retain(|place, _| arguments.topic.iter().any(|one| one.covers(place)));
    if offsets.is_empty() {
        return Err(CliError::new(format!(
            "group {group} has no offsets there; `furlong group offsets {group}` prints those it \
             has"
        )));
    }
    let places: Vec<Place> = offsets.keys().cloned().collect();
    let errors = match execute {
        true => forget(&mut cluster, &mut coordinator, group, &places)?,
        false => in_use(group, &described, &places),
    };
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = offsets.iter().map(|(place, one)| {
                let error = errors.get(place);
                json!({
                    "group": group,
                    "topic": place.0,
                    "partition": place.1,
                    "offset": one.offset,
                    "done": execute && error.is_none(),
                    "error": error,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET"]);
            for (place, one) in offsets
                .iter()
                .filter(|(place, _)| !errors.contains_key(place))
            {
                table.row([place.0.clone(), place.1.to_string(), one.offset.to_string()]);
            }
            table.write(output)?;
            match execute {
                true => {
                    let count = offsets.len() - errors.len();
                    writeln!(output, "deleted {count} offsets of group {group}")
                }
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })?;
    all_or_failures(&errors.into_values().collect::<Vec<_>>())
}

/// Partitions of topics that a member consumes: those the coordinator does not forget.
fn in_use(group: &str, described: &DescribedGroup, places: &[Place]) -> BTreeMap<Place, String> {
    let mut topics: Vec<String> = Vec::new();
    for member in &described.members {
        if let Ok((_, said)) = decode::<ConsumerSubscription>(&member.member_metadata) {
            topics.extend(said.topics.iter().map(ToString::to_string));
        }
    }
    let code = ErrorCode::GroupSubscribedToTopic.code();
    let used = places.iter().filter(|place| topics.contains(&place.0));
    used.map(|place| (place.clone(), stays(group, place, code)))
        .collect()
}

fn stays(group: &str, (topic, partition): &Place, code: i16) -> String {
    let what = format!("the offset of group {group} in partition {partition} of topic {topic}");
    refusal(&what, code, None)
}

fn forget(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
    places: &[Place],
) -> Result<BTreeMap<Place, String>, ClientError> {
    let one = |(name, partitions): (&str, Vec<i32>)| OffsetDeleteRequestTopic {
        name: name.into(),
        partitions: partitions
            .into_iter()
            .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
            .collect(),
    };
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: by_topic(places).into_iter().map(one).collect(),
    };
    let answer = coordinator.call(cluster, &request, |answer| answer.error_code)?;
    if answer.error_code != ErrorCode::None.code() {
        return Err(coordinator.refused(answer.error_code, None));
    }
    let mut errors = BTreeMap::new();
    for topic in &answer.topics {
        for one in &topic.partitions {
            if one.error_code != ErrorCode::None.code() {
                let place = (topic.name.to_string(), one.partition_index);
                let sentence = stays(group, &place, one.error_code);
                errors.insert(place, sentence);
            }
        }
    }
    Ok(errors)
}
