// SPDX-License-Identifier: Apache-2.0
//! `furlong check`: what a start would find on this machine, without starting.
//!
//! Owns: [`CheckArguments`]. Invariants: exit code 0 means that the broker could serve; a broker
//! that runs is not disturbed. Runs on: the main thread. Bounded by: some twenty lines.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::server::check::check;
use crate::server::findings::Weight;
use crate::server::options::ServeArguments;

/// What `furlong check` can be told.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// File with settings, in the form of Kafka's server.properties, or TOML if it is called .toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that would hold the data (the setting log.dirs)
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
}

/// Prints what was found, a line each.
pub fn run(arguments: &CheckArguments) -> Result<(), CliError> {
    let arguments = ServeArguments {
        config: arguments.config.clone(),
        data: arguments.data.clone(),
        ..ServeArguments::default()
    };
    let config = arguments.settings().map_err(CliError::new)?;
    let found = check(&config).map_err(CliError::new)?;
    let mut out = io::stdout().lock();
    for finding in &found {
        // Whoever closed the pipe wants no more lines; the exit code still counts.
        let _ = writeln!(out, "{finding}");
    }
    if found
        .iter()
        .any(|finding| finding.weight == Weight::Obstacle)
    {
        return Err(CliError::new(
            "the broker could not serve here; the lines above say why and what to do",
        ));
    }
    let _ = writeln!(out, "the broker can serve here");
    Ok(())
}
