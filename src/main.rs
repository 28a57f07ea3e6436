// SPDX-License-Identifier: Apache-2.0
//! The `furlong` program: the command line becomes a command, and nothing else.
//!
//! Owns: the exit codes: 0 done, 1 failed, 2 not understood. Invariants: exit code 0 means that the
//! command did what it says. Runs on: the first thread. Bounded by: the command.

use std::process::ExitCode;

use clap::Parser;
use furlong::cli::program::{Program, ProgramCommand};
use furlong::cli::{self, CliError};
use furlong::server::serve::serve;

fn main() -> ExitCode {
    let outcome = match Program::parse().command {
        ProgramCommand::Serve(arguments) if arguments.print_config => {
            cli::print_config::run(&arguments)
        }
        ProgramCommand::Serve(arguments) => serve(&arguments.serve).map_err(CliError::new),
        ProgramCommand::Client(command) => cli::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("furlong: {error}");
            // Not a return from `main`: executors of a broker that failed may still run.
            std::process::exit(error.exit_code())
        }
    }
}
