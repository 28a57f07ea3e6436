// SPDX-License-Identifier: Apache-2.0
//! `furlong txn list` (KIP-664).
//!
//! Owns: its arguments and output. Invariants: a filter that the broker does not know is refused,
//! never passed over. Runs on: the command's thread. Bounded by: the transactions of the cluster.

use clap::Args;
use serde_json::json;

use super::ask;
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::output::{Table, print, write_json};
use crate::cli::time_text::parse_duration;
use crate::wire::protocol::list_transactions::ListTransactionsRequest;

/// Arguments of `furlong txn list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// Prints transactions in these states only, such as Ongoing, PrepareCommit or CompleteAbort
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Prints transactions of these producers only
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    producer_id: Vec<i64>,
    /// Prints transactions only that have been open for longer: 15m (ms, s, m, h, d, w) or PT15M
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<i64>,
    /// Prints transactional ids only that match this regular expression as a whole
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub(super) fn run(arguments: &ListArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let request = ListTransactionsRequest {
        state_filters: arguments
            .state
            .iter()
            .map(|one| one.as_str().into())
            .collect(),
        producer_id_filters: arguments.producer_id.clone(),
        duration_filter: arguments.older_than.unwrap_or(-1),
        transactional_id_pattern: arguments.pattern.as_deref().map(Into::into),
    };
    let found = ask::list(&mut cluster, &request)?;
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = found.iter().map(|(one, broker)| {
                json!({
                    "transactional_id": &*one.transactional_id,
                    "state": &*one.transaction_state,
                    "producer_id": one.producer_id,
                    "coordinator": broker,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let head = ["TRANSACTIONAL ID", "STATE", "PRODUCER ID", "COORDINATOR"];
            let mut table = Table::new(&head);
            for (one, broker) in &found {
                let (producer, broker) = (one.producer_id.to_string(), broker.to_string());
                table.row([
                    &*one.transactional_id,
                    &*one.transaction_state,
                    &producer,
                    &broker,
                ]);
            }
            table.write(output)
        }
    })
}
