// SPDX-License-Identifier: Apache-2.0
//! What the broker says while it runs: lines on the standard error, as text or as JSON.
//!
//! Owns: the form of the lines. Invariants: one event, one line, whole; the line that says that it
//! serves goes to the standard output instead, for whoever waits for it.
//! Runs on: every thread. Bounded by: what is said.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::fmt;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: an object a line
    Json,
}

/// What is worth a line, most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Something does not work
    Error,
    /// Something is worse than it could be
    Warn,
    /// What happens
    #[default]
    Info,
    /// What happens, in detail
    Debug,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> tracing::Level {
        match level {
            Level::Error => tracing::Level::ERROR,
            Level::Warn => tracing::Level::WARN,
            Level::Info => tracing::Level::INFO,
            Level::Debug => tracing::Level::DEBUG,
        }
    }
}

/// Sets it up, once in a process.
///
/// # Errors
/// A sentence, when it was set up before.
pub fn set_up(format: Format, level: Level) -> Result<(), String> {
    let lines = fmt::fmt()
        .with_max_level(tracing::Level::from(level))
        .with_writer(io::stderr)
        .with_target(false);
    let done = match format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|error| format!("cannot set up the log: {error}"))
}
