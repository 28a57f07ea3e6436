// SPDX-License-Identifier: Apache-2.0
//! `furlong consume`: records become lines.
//!
//! Owns: opening batches and writing their records out.
//! Invariants: a record is printed once, in the order of its partition; output that nobody reads
//! any more (a closed pipe) ends the command in peace.
//! Runs on: the caller's thread. Bounded by: one opened batch (`limits::DECOMPRESSED_BYTES_MAX`).

use super::client::cluster::Cluster;
use super::client::consumer::{Chunk, Consumer, ConsumerOptions, Start};
use super::{BootstrapArguments, CliError, ClientError, TopicArgument, separator};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::wire::record::{BatchError, records};
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// Bytes gathered before they are written out, while more is there.
const OUTPUT_BYTES: usize = 256 * 1024;

/// Arguments of `furlong consume`.
#[derive(Clone, Debug, Args)]
pub struct ConsumeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    topic: TopicArgument,
    /// Reads this partition only
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partition: Option<i32>,
    /// Begins with the first record there is (this is the default)
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Where to begin: beginning, end, an offset, or -N for the last N records of each partition
    #[arg(short = 'o', long, value_name = "beginning|end|N", default_value = "beginning",
          value_parser = parse_start, allow_hyphen_values = true)]
    offset: Start,
    /// Ends after so many records
    #[arg(short = 'c', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Ends at the end of the topic, as it was at the start
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Prints the key and this text before the value
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
}

fn parse_start(text: &str) -> Result<Start, String> {
    let number = || {
        text.parse::<i64>()
            .map_err(|_| "give beginning, end or a number".to_string())
    };
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => match number()? {
            offset if offset >= 0 => Ok(Start::At(offset)),
            before => Ok(Start::BeforeEnd(before.saturating_neg())),
        },
    }
}

/// Why the records stopped.
enum Stop {
    Closed,
    Failed(CliError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Stop {
        Stop::Failed(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Failed(CliError::new(format!(
                "the output cannot be written: {error}"
            ))),
        }
    }
}

/// Carries out the command.
pub fn run(arguments: &ConsumeArguments) -> Result<(), CliError> {
    // The standard output of the library would search every write for line feeds.
    let output = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let output =
        output.map_err(|error| CliError::new(format!("there is no standard output: {error}")))?;
    match consume(arguments, BufWriter::with_capacity(OUTPUT_BYTES, output)) {
        Ok(()) | Err(Stop::Closed) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn consume(arguments: &ConsumeArguments, mut output: impl Write) -> Result<(), Stop> {
    let cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
    let options = ConsumerOptions {
        topic: arguments.topic.get().to_string(),
        partition: arguments.partition,
        start: arguments.offset,
        exit_at_end: arguments.exit_at_end,
    };
    let mut printer = Printer {
        key_separator: arguments.key_separator.as_deref().map(separator),
        left: arguments.count.unwrap_or(u64::MAX),
    };
    let mut consumer = Consumer::new(cluster, options)?;
    while printer.left > 0 {
        let chunk = consumer.next_chunk(|| output.flush().map_err(Stop::from))?;
        let Some(chunk) = chunk else { break };
        printer
            .print(&chunk, &mut output)
            .map_err(|stop| match stop {
                PrintError::Output(error) => Stop::from(error),
                PrintError::Batch(error) => Stop::Failed(CliError::new(format!(
                    "partition {} of topic {}, after offset {}: {error}",
                    chunk.partition,
                    arguments.topic.get(),
                    chunk.from
                ))),
            })?;
    }
    Ok(output.flush()?)
}

struct Printer {
    key_separator: Option<Vec<u8>>,
    /// Records that may still be printed.
    left: u64,
}

#[derive(Debug)]
enum PrintError {
    Output(io::Error),
    Batch(BatchError),
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> PrintError {
        PrintError::Output(error)
    }
}

impl From<BatchError> for PrintError {
    fn from(error: BatchError) -> PrintError {
        PrintError::Batch(error)
    }
}

impl Printer {
    fn print(&mut self, chunk: &Chunk, output: &mut impl Write) -> Result<(), PrintError> {
        for batch in &chunk.batches {
            let opened = records(batch, DECOMPRESSED_BYTES_MAX)?;
            if opened.header().attributes.is_control() {
                continue;
            }
            for record in &opened {
                let record = record?;
                if record.offset < chunk.from || record.offset >= chunk.until {
                    continue;
                }
                if self.left == 0 {
                    return Ok(());
                }
                self.left -= 1;
                if let Some(separator) = &self.key_separator {
                    output.write_all(record.key.unwrap_or_default())?;
                    output.write_all(separator)?;
                }
                output.write_all(record.value.unwrap_or_default())?;
                output.write_all(b"\n")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
