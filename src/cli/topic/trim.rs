// SPDX-License-Identifier: Apache-2.0
//! `furlong topic trim`: removes the oldest records (DeleteRecords, KIP-107).
//!
//! Owns: its arguments and output. Invariants: every partition is tried, and the command fails if
//! one of them failed; the leader of a partition is asked. Runs on: the caller's thread. Bounded
//! by: the partitions of one topic.

use super::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::REQUEST_TIMEOUT_MS;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::now_ms;
use crate::cli::client::positions::list_offsets;
use crate::cli::error::refusal;
use crate::cli::output::{Table, print, write_json};
use crate::cli::time_text::parse_moment;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Stands for everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// Asks for the first offset.
const EARLIEST: i64 = -2;

/// Arguments of `furlong topic trim`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("until").required(true))]
pub struct TrimArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topic
    #[arg(value_name = "TOPIC")]
    name: String,
    /// Trims this partition only
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partition: Option<i32>,
    /// Removes the records below this offset
    #[arg(long, value_name = "OFFSET", group = "until", requires = "partition")]
    before_offset: Option<i64>,
    /// Removes the records before the first one of this time or later: 2026-01-31T12:00:00Z, -15m,
    /// or milliseconds since 1970
    #[arg(long, value_name = "TIME", group = "until", allow_hyphen_values = true)]
    before: Option<String>,
    /// Removes all records
    #[arg(long, group = "until")]
    all: bool,
    /// Prints what the first offsets would be, and removes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// What became of one partition: its first offset, or why it failed.
type Outcomes = BTreeMap<i32, Result<i64, String>>;

/// Trims a topic.
pub(super) fn trim(arguments: &TrimArguments) -> Result<(), CliError> {
    let moment = match &arguments.before {
        Some(text) => Some(parse_moment(text, now_ms()).map_err(CliError::usage)?),
        None => None,
    };
    let mut cluster = arguments.bootstrap.connect()?;
    let wanted = wanted(arguments, moment, &mut cluster)?;
    let outcomes = match arguments.dry_run {
        true => would_be(&mut cluster, &arguments.name, &wanted)?,
        false => delete_records(&mut cluster, &arguments.name, &wanted)?,
    };
    print(|output| match arguments.format.format {
        Format::Table => {
            let mut table = Table::new(&["PARTITION", "FIRST OFFSET"]);
            for (partition, outcome) in &outcomes {
                let first = outcome.as_ref().map_or("failed".to_owned(), i64::to_string);
                table.row([partition.to_string(), first]);
            }
            table.write(output)?;
            match arguments.dry_run {
                true => writeln!(output, "nothing was removed; leave --dry-run out to do it"),
                false => Ok(()),
            }
        }
        Format::Json => {
            let objects = outcomes.iter().map(|one| object(arguments, one));
            write_json(&objects.collect(), output)
        }
    })?;
    let failures: Vec<String> = outcomes.into_values().filter_map(Result::err).collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(failures.join("\n"))),
    }
}

fn object(arguments: &TrimArguments, (partition, outcome): (&i32, &Result<i64, String>)) -> Value {
    json!({
        "topic": arguments.name,
        "done": !arguments.dry_run && outcome.is_ok(),
        "partition": partition,
        "first_offset": outcome.as_ref().ok(),
        "error": outcome.as_ref().err(),
    })
}

/// The offset of each partition below which records go.
fn wanted(
    arguments: &TrimArguments,
    moment: Option<i64>,
    cluster: &mut Cluster,
) -> Result<BTreeMap<i32, i64>, CliError> {
    let name = &arguments.name;
    let leaders = cluster.leaders(name, false)?;
    let all = leaders.iter().map(|one| one.partition);
    let partitions: Vec<i32> = match arguments.partition {
        None => all.collect(),
        Some(wanted) if leaders.iter().any(|one| one.partition == wanted) => vec![wanted],
        Some(wanted) => {
            return Err(CliError::new(format!(
                "topic {name} has partitions 0 to {}, there is no partition {wanted}",
                leaders.len() - 1
            )));
        }
    };
    let Some(moment) = moment else {
        let offset = arguments.before_offset.unwrap_or(HIGH_WATERMARK);
        return Ok(partitions.into_iter().map(|one| (one, offset)).collect());
    };
    // A partition without such a record (-1) loses all it has, which is what -1 says here, too.
    Ok(list_offsets(cluster, name, &partitions, moment)?)
}

/// What the first offsets would be: an offset outside of the log is refused by the leader, too.
fn would_be(
    cluster: &mut Cluster,
    name: &str,
    wanted: &BTreeMap<i32, i64>,
) -> Result<Outcomes, CliError> {
    let partitions: Vec<i32> = wanted.keys().copied().collect();
    let begins = list_offsets(cluster, name, &partitions, EARLIEST)?;
    let ends = list_offsets(cluster, name, &partitions, HIGH_WATERMARK)?;
    let one = |(partition, offset): (&i32, &i64)| {
        let (begin, end) = (begins[partition], ends[partition]);
        let first = match *offset {
            HIGH_WATERMARK => Ok(end),
            offset if (0..=end).contains(&offset) => Ok(offset.max(begin)),
            offset => Err(format!(
                "partition {partition} of topic {name}: offset {offset} is outside the log, which \
                 goes from {begin} to {end}"
            )),
        };
        (*partition, first)
    };
    Ok(wanted.iter().map(one).collect())
}

fn delete_records(
    cluster: &mut Cluster,
    name: &str,
    wanted: &BTreeMap<i32, i64>,
) -> Result<Outcomes, CliError> {
    let mut by_leader: BTreeMap<i32, Vec<DeleteRecordsPartition>> = BTreeMap::new();
    for one in cluster.leaders(name, false)? {
        if let Some(offset) = wanted.get(&one.partition) {
            let partitions = by_leader.entry(one.leader).or_default();
            partitions.push(DeleteRecordsPartition {
                partition_index: one.partition,
                offset: *offset,
            });
        }
    }
    let mut outcomes = Outcomes::new();
    for (leader, partitions) in by_leader {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: name.into(),
                partitions,
            }],
            timeout_ms: REQUEST_TIMEOUT_MS,
        };
        let answer = cluster.call_broker(leader, &request)?;
        for one in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let outcome = match one.error_code == ErrorCode::None.code() {
                true => Ok(one.low_watermark),
                false => {
                    let what = format!("partition {} of topic {name}", one.partition_index);
                    Err(refusal(&what, one.error_code, None))
                }
            };
            outcomes.insert(one.partition_index, outcome);
        }
    }
    Ok(outcomes)
}
