// SPDX-License-Identifier: Apache-2.0
//! `furlong txn find-hanging` (KIP-664).
//!
//! Owns: its arguments and output. Invariants: a transaction is said to hang only if it has been
//! open for longer than a coordinator lets any be, and no coordinator has still to end it.
//! Runs on: the command's thread. Bounded by: the producers of the partitions that are looked at.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::ask;
use super::describe::seconds_text;
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::now_ms;
use crate::cli::client::offsets::Place;
use crate::cli::output::{Table, print, write_json};
use crate::cli::time_text::parse_duration;
use crate::wire::protocol::describe_producers::ProducerState;

/// Arguments of `furlong txn find-hanging`.
#[derive(Clone, Debug, Args)]
pub struct FindArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// Looks at this topic only; may be repeated
    #[arg(short, long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Looks at partitions only that this broker leads
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// Looks at transactions only whose last record is older; no less than the broker's
    /// transaction.max.timeout.ms, or they may yet be ended
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15m")]
    older_than: i64,
    #[command(flatten)]
    format: FormatArguments,
}

struct Hanging {
    place: Place,
    producer: ProducerState,
    age_ms: i64,
}

/// Carries out the command.
pub(super) fn run(arguments: &FindArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let mut found = Vec::new();
    for (leader, places) in by_leader(&mut cluster, arguments)? {
        for (place, producers) in ask::producers(&mut cluster, leader, &places)? {
            for producer in producers {
                let age_ms = now_ms() - producer.last_timestamp;
                let is_open = producer.current_txn_start_offset >= 0;
                if !is_open || age_ms < arguments.older_than {
                    continue;
                }
                if ask::keeper(&mut cluster, &place, &producer)?.is_none() {
                    let place = place.clone();
                    found.push(Hanging {
                        place,
                        producer,
                        age_ms,
                    });
                }
            }
        }
    }
    found.sort_by(|left, right| left.place.cmp(&right.place));
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = found.iter().map(|one| {
                json!({
                    "topic": one.place.0,
                    "partition": one.place.1,
                    "producer_id": one.producer.producer_id,
                    "producer_epoch": one.producer.producer_epoch,
                    "coordinator_epoch": one.producer.coordinator_epoch,
                    "start_offset": one.producer.current_txn_start_offset,
                    "last_ms": one.producer.last_timestamp,
                    "age_ms": one.age_ms,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => table(&found).write(output),
    })
}

fn table(found: &[Hanging]) -> Table {
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "PRODUCER ID",
        "EPOCH",
        "START OFFSET",
        "AGE SECONDS",
    ]);
    for one in found {
        table.row([
            one.place.0.clone(),
            one.place.1.to_string(),
            one.producer.producer_id.to_string(),
            one.producer.producer_epoch.to_string(),
            one.producer.current_txn_start_offset.to_string(),
            seconds_text(Some(one.age_ms)),
        ]);
    }
    table
}

/// The partitions to look at, by their leaders.
fn by_leader(
    cluster: &mut Cluster,
    arguments: &FindArguments,
) -> Result<BTreeMap<i32, Vec<Place>>, CliError> {
    let wanted = (!arguments.topic.is_empty()).then_some(arguments.topic.as_slice());
    let mut leaders: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for topic in cluster.describe(wanted)?.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        if topic.error_code != 0 {
            let what = format!("topic {name}");
            let sentence = crate::cli::error::refusal(&what, topic.error_code, None);
            return Err(CliError::new(sentence));
        }
        for one in &topic.partitions {
            let is_wanted = arguments
                .broker
                .is_none_or(|broker| broker == one.leader_id);
            if one.leader_id >= 0 && is_wanted {
                let places = leaders.entry(one.leader_id).or_default();
                places.push((name.to_owned(), one.partition_index));
            }
        }
    }
    Ok(leaders)
}
