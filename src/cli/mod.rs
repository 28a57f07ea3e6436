// SPDX-License-Identifier: Apache-2.0
//! The commands of the program, except `serve`.
//!
//! Owns: [`Command`] and its arguments, [`run`].
//! Invariants: a failed command gives a sentence on standard error and an exit code other than 0;
//! standard output carries results only. Runs on: the command's threads.
//! Bounded by: a few batches per partition, a few answers per broker.

pub mod arguments;
mod base64;
mod batch_file;
pub mod check;
pub mod client;
pub mod cluster;
pub mod config;
pub mod consume;
pub mod error;
pub mod group;
mod interrupt;
pub mod log_dump;
pub mod log_verify;
mod output;
pub mod print_config;
pub mod produce;
pub mod profile;
pub mod program;
pub mod quota;
pub mod shard;
mod time_text;
pub mod topic;
pub mod txn;

pub use error::{CliError, ClientError};

use clap::Subcommand;

/// What the program can be told to do, besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates, lists, describes, alters, trims and deletes topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Writes lines of standard input or of files to a topic, a record each
    Produce(produce::ProduceArguments),
    /// Prints the records of a topic, a line each
    Consume(consume::ConsumeArguments),
    /// Shows and changes settings of topics and brokers
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Shows consumer groups and changes their offsets
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Shows transactions and aborts them
    #[command(subcommand)]
    Txn(txn::TxnCommand),
    /// Shows and changes what users, client ids and addresses may use
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Shows the brokers of a cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Shows and changes which core of a broker owns which partition
    #[command(subcommand)]
    Shard(shard::ShardCommand),
    /// Shows the clusters that have a name
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Says what a start would find on this machine, and whether the broker could serve
    Check(check::CheckArguments),
    /// Looks into the files of a partition
    #[command(subcommand)]
    Log(LogCommand),
    /// Prints what a shell reads to complete these commands
    Completions(program::CompletionsArguments),
    /// Prints the manual page
    Man(program::ManArguments),
}

/// What can be done with the files of a partition.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Prints the batches of a log file, or all files of a partition's directory
    Dump(log_dump::DumpArguments),
    /// Checks every batch, index and checkpoint of partitions, or of all below a data directory
    Verify(log_verify::VerifyArguments),
}

/// Carries out a command.
pub fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Topic(command) => topic::run(&command),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Group(command) => group::run(&command),
        Command::Txn(command) => txn::run(&command),
        Command::Quota(command) => quota::run(&command),
        Command::Cluster(command) => cluster::run(&command),
        Command::Shard(command) => shard::run(&command),
        Command::Profile(command) => profile::run(&command),
        Command::Check(arguments) => check::run(&arguments),
        Command::Log(LogCommand::Dump(arguments)) => log_dump::run(&arguments),
        Command::Log(LogCommand::Verify(arguments)) => log_verify::run(&arguments),
        Command::Completions(arguments) => program::completions(&arguments),
        Command::Man(arguments) => program::man(&arguments),
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
