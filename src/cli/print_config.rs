// SPDX-License-Identifier: Apache-2.0
//! `furlong serve --print-config`: the settings a start would have, and where each comes from.
//!
//! Owns: [`ServeCommand`]. Invariants: settings that a start would refuse are printed all the same,
//! and then the command fails with the refusal. Runs on: the main thread. Bounded by: the settings.

use clap::Args;
use serde_json::{Value, json};

use super::CliError;
use super::arguments::Format;
use super::output::{Table, print, write_json};
use crate::config::printed::{self, PrintedSetting};
use crate::config::server::ServerConfig;
use crate::server::options::ServeArguments;

/// What `furlong serve` can be told.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Settings have Kafka's names. Flags beat the environment \
    (FURLONG_LOG_RETENTION_MS=5 is log.retention.ms=5; two underscores stand for one, three for a \
    hyphen), which beats the file."
)]
pub struct ServeCommand {
    #[command(flatten)]
    /// The settings.
    pub serve: ServeArguments,
    /// Prints every setting, its value and where that comes from, and does not serve
    #[arg(long)]
    pub print_config: bool,
    /// How to print the settings
    #[arg(long, value_enum, default_value_t = Format::Table, requires = "print_config")]
    format: Format,
}

/// Prints the settings.
pub fn run(command: &ServeCommand) -> Result<(), CliError> {
    let given = command.serve.given().map_err(CliError::new)?;
    let all = printed::print(&given);
    print(|output| match command.format {
        Format::Table => table(&all).write(output),
        Format::Json => write_json(&all.iter().map(object).collect(), output),
    })?;
    let config = ServerConfig::of(&given).map_err(|error| CliError::new(error.to_string()))?;
    for notice in &config.notices {
        eprintln!("furlong: {notice}");
    }
    Ok(())
}

fn table(all: &[PrintedSetting]) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "SOURCE", "USE"]);
    for one in all {
        table.row([one.name.as_str(), &shown(one), &one.source, one.usage]);
    }
    table
}

fn shown(one: &PrintedSetting) -> String {
    match &one.value {
        Some(value) => value.clone(),
        None if one.is_hidden => "(hidden)".to_owned(),
        None => "-".to_owned(),
    }
}

fn object(one: &PrintedSetting) -> Value {
    json!({
        "name": one.name,
        "value": one.value,
        "hidden": one.is_hidden,
        "source": one.source,
        "use": one.usage,
        "dynamic": one.is_dynamic,
        "documentation": one.documentation,
    })
}
