// SPDX-License-Identifier: Apache-2.0
//! `furlong topic alter`: settings, and more partitions.
//!
//! Owns: its arguments. Invariants: settings are changed first, and partitions only if that went
//! well. Runs on: the caller's thread. Bounded by: one topic.

use super::{CliError, refused};
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::REQUEST_TIMEOUT_MS;
use crate::cli::client::cluster::Cluster;
use crate::cli::config::changes::ChangeArguments;
use crate::cli::config::{Resource, alter as alter_settings};
use crate::cli::output::{print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use clap::Args;
use serde_json::json;

/// Arguments of `furlong topic alter`.
#[derive(Clone, Debug, Args)]
pub struct AlterArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The topic
    #[arg(value_name = "TOPIC")]
    name: String,
    /// How many partitions it is to have; never fewer than it has. Records with a key go elsewhere
    /// from then on, and those that are there stay where they are
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partitions: Option<i32>,
    #[command(flatten)]
    changes: ChangeArguments,
    /// Checks the changes and makes none
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Changes a topic.
pub(super) fn alter(arguments: &AlterArguments) -> Result<(), CliError> {
    let configs = arguments.changes.wanted()?;
    if configs.is_empty() && arguments.partitions.is_none() {
        return Err(CliError::usage(
            "nothing is to be changed; give --set NAME=VALUE, --delete NAME or --partitions NUMBER",
        ));
    }
    let mut cluster = arguments.bootstrap.connect()?;
    let (name, is_dry) = (arguments.name.as_str(), arguments.dry_run);
    let done = if is_dry { "would change" } else { "changed" };
    let is_text = arguments.format.format == Format::Table;
    let mut settings = Vec::new();
    if !configs.is_empty() {
        let names: Vec<String> = configs.iter().map(|one| one.name.to_string()).collect();
        alter_settings(&mut cluster, &Resource::topic(name), configs, is_dry)?;
        settings = names;
        if is_text {
            print(|output| writeln!(output, "{done} {} of topic {name}", settings.join(", ")))?;
        }
    }
    if let Some(count) = arguments.partitions {
        add_partitions(&mut cluster, name, count, is_dry)?;
        if is_text {
            print(|output| writeln!(output, "{done} the partitions of topic {name} to {count}"))?;
        }
    }
    if is_text {
        return Ok(());
    }
    let partitions = arguments.partitions;
    let object = json!({
        "topic": name,
        "settings": settings,
        "partitions": partitions,
        "done": !is_dry,
    });
    print(|output| write_json(&object, output))
}

fn add_partitions(
    cluster: &mut Cluster,
    name: &str,
    count: i32,
    validate_only: bool,
) -> Result<(), CliError> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.into(),
            count,
            assignments: None,
        }],
        timeout_ms: REQUEST_TIMEOUT_MS,
        validate_only,
    };
    let answer = cluster.call(&request)?;
    for result in &answer.results {
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_ref();
            return Err(refused(name, result.error_code, message));
        }
    }
    Ok(())
}
