// SPDX-License-Identifier: Apache-2.0
//! `furlong txn`: transactions, shown and ended.
//!
//! Owns: the commands of transactions. Invariants: what ends a transaction shows it first, and ends
//! it only with `--execute`. Runs on: the command's thread. Bounded by: the transactions of a
//! cluster, the producers of its partitions.

mod abort;
mod ask;
mod describe;
mod hanging;
mod list;

use clap::Subcommand;

use super::CliError;

/// What can be done with transactions.
#[derive(Clone, Debug, Subcommand)]
pub enum TxnCommand {
    /// Prints transactional ids, their states and producers
    List(list::ListArguments),
    /// Prints transactions in full: since when they are open, and where they have written
    Describe(describe::DescribeArguments),
    /// Aborts a transaction: the open one of a transactional id, or in one partition what no
    /// coordinator knows any more; shows it, and does it with --execute
    Abort(abort::AbortArguments),
    /// Finds transactions that are open in a partition and that no coordinator will ever end
    FindHanging(hanging::FindArguments),
}

/// Carries out the command.
pub fn run(command: &TxnCommand) -> Result<(), CliError> {
    match command {
        TxnCommand::List(arguments) => list::run(arguments),
        TxnCommand::Describe(arguments) => describe::run(arguments),
        TxnCommand::Abort(arguments) => abort::run(arguments),
        TxnCommand::FindHanging(arguments) => hanging::run(arguments),
    }
}
