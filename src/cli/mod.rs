// SPDX-License-Identifier: Apache-2.0
//! The commands of the program, except `serve`.
//!
//! Owns: [`Command`] and its arguments, [`run`].
//! Invariants: a failed command gives a sentence on standard error and an exit code other than 0;
//! standard output carries results only. Runs on: the command's threads.
//! Bounded by: a few batches per partition, a few answers per broker.

pub mod check;
pub mod client;
pub mod consume;
pub mod error;
pub mod log_dump;
pub mod produce;
pub mod topic;

pub use error::{CliError, ClientError};

use clap::{Args, Subcommand};

/// What the program can be told to do, besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates, lists, describes and deletes topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Writes lines of standard input or of a file to a topic, a record each
    Produce(produce::ProduceArguments),
    /// Prints the records of a topic, a line each
    Consume(consume::ConsumeArguments),
    /// Says what a start would find on this machine, and whether the broker could serve
    Check(check::CheckArguments),
    /// Looks into the files of a partition
    #[command(subcommand)]
    Log(LogCommand),
}

/// What can be done with the files of a partition.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Prints the batches of a log file, or all files of a partition's directory
    Dump(log_dump::DumpArguments),
}

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub struct BootstrapArguments {
    /// Brokers to ask first: host:port, several with commas
    #[arg(
        short = 'b',
        long = "bootstrap-server",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    pub bootstrap_server: String,
}

/// The topic of a command, with or without the name of the option.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct TopicArgument {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: Option<String>,
    /// The topic
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    pub topic: Option<String>,
}

impl TopicArgument {
    /// The name, however it was given.
    #[must_use]
    pub fn get(&self) -> &str {
        self.topic
            .as_deref()
            .or(self.name.as_deref())
            .expect("one of the two is required")
    }
}

/// Carries out a command.
pub fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Topic(command) => topic::run(&command),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Log(LogCommand::Dump(arguments)) => log_dump::run(&arguments),
    }
}

/// The text of a separator: `\t`, `\n`, `\0` and `\\` stand for what they stand for in C.
#[must_use]
fn separator(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let next = if byte == b'\\' {
            rest.clone().next()
        } else {
            None
        };
        let escaped = match next {
            Some(b't') => Some(b'\t'),
            Some(b'n') => Some(b'\n'),
            Some(b'0') => Some(b'\0'),
            Some(b'\\') => Some(b'\\'),
            _ => None,
        };
        if escaped.is_some() {
            rest.next();
        }
        bytes.push(escaped.unwrap_or(byte));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_may_be_escaped() {
        assert_eq!(separator(":"), b":");
        assert_eq!(separator(r"\t"), b"\t");
        assert_eq!(separator(r"=>\\\n"), b"=>\\\n");
        assert_eq!(separator(r"\x"), br"\x");
        assert_eq!(separator("\\"), b"\\");
    }
}
