// SPDX-License-Identifier: Apache-2.0
//! `furlong txn describe` (KIP-664).
//!
//! Owns: its arguments and output. Invariants: every transactional id is asked for, and the command
//! fails if one of them is not there. Runs on: the command's thread. Bounded by: the partitions of
//! the transactions that are named.

use clap::Args;
use serde_json::{Value, json};

use super::ask;
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::now_ms;
use crate::cli::client::offsets::{Place, by_topic};
use crate::cli::output::{Table, print, write_json};
use crate::wire::protocol::describe_transactions::TransactionState;

/// Arguments of `furlong txn describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The transactional ids
    #[arg(value_name = "TRANSACTIONAL-ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// A transaction, and the id of its coordinator.
pub(super) struct View {
    pub(super) found: TransactionState,
    pub(super) coordinator: i32,
    /// How long it has been open, in milliseconds, if it is.
    pub(super) open_ms: Option<i64>,
}

impl View {
    /// As it is at this moment.
    pub(super) fn new(found: TransactionState, coordinator: i32, now_ms: i64) -> View {
        let start = Some(found.transaction_start_time_ms).filter(|start| *start >= 0);
        View {
            open_ms: start.map(|start| (now_ms - start).max(0)),
            found,
            coordinator,
        }
    }
}

/// Carries out the command.
pub(super) fn run(arguments: &DescribeArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let (mut views, mut failures) = (Vec::new(), Vec::new());
    for id in &arguments.ids {
        let mut coordinator = ask::coordinator_of(id);
        let (broker, _) = coordinator.place(&mut cluster)?;
        match ask::describe(&mut cluster, &mut coordinator, id) {
            Ok(found) => views.push(View::new(found, broker, now_ms())),
            Err(error) => failures.push(error.to_string()),
        }
    }
    print(|output| match arguments.format.format {
        Format::Json => write_json(&views.iter().map(object).collect(), output),
        // A head above nothing would say less than the sentence that follows.
        Format::Table if views.is_empty() => Ok(()),
        Format::Table => table(&views).write(output),
    })?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(failures.join("\n"))),
    }
}

/// `garden 0,1; attic 5`, or a dash.
pub(super) fn partitions_text(places: &[Place]) -> String {
    let topics = by_topic(places).into_iter().map(|(topic, partitions)| {
        let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic} {}", numbers.join(","))
    });
    let text = topics.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Seconds with the first digit behind the point, or a dash.
pub(super) fn seconds_text(ms: Option<i64>) -> String {
    ms.map_or("-".to_owned(), |ms| {
        format!("{}.{}", ms / 1000, ms % 1000 / 100)
    })
}

/// One row for each transaction.
pub(super) fn table(views: &[View]) -> Table {
    let mut table = Table::new(&[
        "TRANSACTIONAL ID",
        "STATE",
        "PRODUCER ID",
        "EPOCH",
        "TIMEOUT MS",
        "OPEN SECONDS",
        "COORDINATOR",
        "PARTITIONS",
    ]);
    for View {
        found,
        coordinator,
        open_ms,
    } in views
    {
        table.row([
            found.transactional_id.to_string(),
            found.transaction_state.to_string(),
            found.producer_id.to_string(),
            found.producer_epoch.to_string(),
            found.transaction_timeout_ms.to_string(),
            seconds_text(*open_ms),
            coordinator.to_string(),
            partitions_text(&ask::places(found)),
        ]);
    }
    table
}

/// One transaction for programs.
pub(super) fn object(view: &View) -> Value {
    let View {
        found,
        coordinator,
        open_ms,
    } = view;
    let topics = by_topic(&ask::places(found))
        .into_iter()
        .map(|(topic, partitions)| json!({"topic": topic, "partitions": partitions}))
        .collect::<Vec<Value>>();
    json!({
        "transactional_id": &*found.transactional_id,
        "state": &*found.transaction_state,
        "producer_id": found.producer_id,
        "producer_epoch": found.producer_epoch,
        "timeout_ms": found.transaction_timeout_ms,
        "start_ms": open_ms.map(|_| found.transaction_start_time_ms),
        "open_ms": open_ms,
        "coordinator": coordinator,
        "topics": topics,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_open_has_no_age() {
        let view = |start| {
            let found = TransactionState {
                transaction_start_time_ms: start,
                ..TransactionState::default()
            };
            View::new(found, 1, 10_000)
        };
        assert_eq!(view(-1).open_ms, None);
        assert_eq!(view(8500).open_ms, Some(1500));
        assert_eq!(view(11_000).open_ms, Some(0), "its clock is ahead");
        assert_eq!(object(&view(-1))["start_ms"], Value::Null);
        assert_eq!(seconds_text(Some(1560)), "1.5");
        let places = [("a", 0), ("a", 2), ("b", 1)].map(|(topic, one)| (topic.to_owned(), one));
        assert_eq!(partitions_text(&places), "a 0,2; b 1");
        assert_eq!(partitions_text(&[]), "-");
    }
}
