// SPDX-License-Identifier: Apache-2.0
//! The `furlong` program: the command line becomes a command, and nothing else.
//!
//! Owns: the top of the command line. Invariants: exit code 0 means that the command did what it
//! says. Runs on: the first thread. Bounded by: the command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use furlong::cli;
use furlong::server::options::ServeArguments;
use furlong::server::serve::serve;

/// A Kafka-compatible log broker for Linux, and commands for it
#[derive(Debug, Parser)]
#[command(name = "furlong", version, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the broker until it is asked to stop (SIGINT or SIGTERM)
    Serve(ServeArguments),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    let outcome = match Program::parse().command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Client(command) => cli::run(command).map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("furlong: {sentence}");
            // Not a return from `main`: executors of a broker that failed may still run.
            std::process::exit(1)
        }
    }
}
