// SPDX-License-Identifier: Apache-2.0
//! `furlong produce`: lines become records.
//!
//! Owns: the arguments, the order of the inputs, the last report.
//! Invariants: the exit code is 0 only if every record was acknowledged; nothing is sent before
//! every input is known to be there. Runs on: the caller's thread, and one that reads. Bounded by:
//! what `lines` and the producer bound.

mod json_line;
mod lines;
mod progress;

use super::arguments::{BootstrapArguments, TopicArgument};
use super::client::producer::{Producer, ProducerOptions, RECORD_BYTES_MAX};
use super::{CliError, separator};
use crate::wire::record::Compression;
use clap::Args;
use lines::{Lines, LinesOptions};
use progress::Progress;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `furlong produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    topic: TopicArgument,
    /// Reads this file instead of standard input; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Makes each file (or all of standard input) one record instead of a record of each line
    #[arg(long)]
    whole: bool,
    /// Reads lines as `furlong consume --format json` writes them: key, payload, headers, ts, and
    /// the partition
    #[arg(long, conflicts_with_all = ["whole", "key_separator", "key", "header", "empty_is_null"])]
    json: bool,
    /// Byte that ends a record, instead of a line feed (\0 for a zero byte)
    #[arg(short = 'D', long, value_name = "TEXT", default_value = r"\n", value_parser = parse_byte)]
    delimiter: u8,
    /// Who must have stored a record: all (the in-sync replicas), 1 (the leader) or 0 (nobody)
    #[arg(long, value_name = "all|1|0", default_value = "all", value_parser = parse_acks,
          allow_hyphen_values = true)]
    acks: i16,
    /// Compression of the batches: none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none",
          value_parser = parse_compression)]
    compression: Compression,
    /// Text between key and value; a line without it has no key
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// The key of every record
    #[arg(
        short = 'k',
        long,
        value_name = "TEXT",
        conflicts_with = "key_separator"
    )]
    key: Option<String>,
    /// A header of every record; a name alone has no value; may be repeated
    #[arg(short = 'H', long, value_name = "NAME[=VALUE]", value_parser = parse_header)]
    header: Vec<lines::Header>,
    /// Sends an empty value as none: the marker that deletes a key of a compacted topic
    #[arg(short = 'Z', long)]
    empty_is_null: bool,
    /// Writes to this partition only; otherwise a record with a key goes where Java's clients put
    /// it (murmur2), and records without one to each partition in turn
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partition: Option<usize>,
    /// Seconds after which a batch that nobody acknowledges has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    delivery_timeout: u64,
    /// Says nothing while it works, and nothing at the end unless it failed
    #[arg(short, long)]
    quiet: bool,
}

fn parse_acks(text: &str) -> Result<i16, String> {
    match text {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        "0" => Ok(0),
        _ => Err("give all, 1 or 0".to_string()),
    }
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| "give none, gzip, snappy, lz4 or zstd".to_string())
}

fn parse_byte(text: &str) -> Result<u8, String> {
    match separator(text)[..] {
        [byte] => Ok(byte),
        _ => Err(r"give one byte, such as ; or \t or \0".to_string()),
    }
}

fn parse_header(text: &str) -> Result<lines::Header, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
        None => (text, None),
    };
    match name {
        "" => Err("give NAME=VALUE".to_string()),
        name => Ok((name.as_bytes().to_vec(), value)),
    }
}

/// Carries out the command.
pub fn run(arguments: &ProduceArguments) -> Result<(), CliError> {
    let total = arguments.file.iter().try_fold(0, |sum, path| {
        let found = fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
        Ok::<u64, CliError>(sum + found.len())
    })?;
    let cluster = arguments.bootstrap.connect()?;
    let mut options = ProducerOptions::new(arguments.topic.get());
    options.acks = arguments.acks;
    options.compression = arguments.compression;
    options.delivery_timeout = Duration::from_secs(arguments.delivery_timeout);
    let mut producer = Producer::new(cluster, options)?;
    let started = Instant::now();
    let progress = Progress::new(!arguments.quiet, total);
    let mut lines = Lines::new(options_of(arguments, &producer)?, progress);
    let read = send_inputs(arguments, &mut lines, &mut producer);
    producer.flush();
    lines.progress.clear();
    if !arguments.quiet || producer.failure().is_some() {
        report(&producer, &lines, arguments.acks, started.elapsed());
    }
    read?;
    match producer.failure() {
        None => Ok(()),
        Some(sentence) => Err(CliError::new(format!(
            "{} of {} records were not acknowledged, the rest of the input was not sent: \
             {sentence}",
            producer.tally().failed,
            lines.count
        ))),
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{} cannot be opened: {error}", path.display()))
}

fn send_inputs(
    arguments: &ProduceArguments,
    lines: &mut Lines,
    producer: &mut Producer,
) -> Result<(), CliError> {
    let mut send = |input: Box<dyn Read + Send>| match arguments.whole {
        true => send_whole(input, lines, producer),
        false => lines.send_all(input, producer),
    };
    if arguments.file.is_empty() {
        return send(Box::new(io::stdin()));
    }
    for path in &arguments.file {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        let sent = send(Box::new(file));
        sent.map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Makes one record of an input.
fn send_whole(
    input: impl Read,
    lines: &mut Lines,
    producer: &mut Producer,
) -> Result<(), CliError> {
    let bound = u64::try_from(RECORD_BYTES_MAX).expect("a usize of 64 bits");
    let mut value = Vec::new();
    let read = input.take(bound + 1).read_to_end(&mut value);
    read.map_err(|error| CliError::new(format!("the input cannot be read: {error}")))?;
    if value.len() > RECORD_BYTES_MAX {
        return Err(CliError::new(format!(
            "it is larger than {RECORD_BYTES_MAX} bytes, the most that a record may have; nothing \
             of it was sent"
        )));
    }
    lines.send_value(&value, producer);
    Ok(())
}

fn options_of(arguments: &ProduceArguments, producer: &Producer) -> Result<LinesOptions, CliError> {
    let partitions = producer.partition_count();
    if let Some(wanted) = arguments.partition
        && wanted >= partitions
    {
        return Err(CliError::new(format!(
            "topic {} has partitions 0 to {}, there is no partition {wanted}",
            arguments.topic.get(),
            partitions - 1
        )));
    }
    let key_separator = arguments.key_separator.as_deref().map(separator);
    if key_separator.as_ref().is_some_and(Vec::is_empty) {
        return Err(CliError::usage(
            "--key-separator needs at least one character",
        ));
    }
    Ok(LinesOptions {
        partitions,
        fixed: arguments.partition,
        is_json: arguments.json,
        delimiter: arguments.delimiter,
        key_separator,
        key: arguments.key.as_ref().map(|key| key.as_bytes().to_vec()),
        headers: arguments.header.clone(),
        empty_is_null: arguments.empty_is_null,
    })
}

fn report(producer: &Producer, lines: &Lines, acks: i16, took: Duration) {
    let tally = producer.tally();
    let seconds = took.as_secs_f64().max(1e-6);
    let mb = |bytes: u64| f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0;
    let word = if acks == 0 { "sent" } else { "acknowledged" };
    let mut line = format!(
        "{} records {word} in {seconds:.3} s: {:.3} MB of values, {:.1} MB/s, {:.3} MB of batches",
        tally.acknowledged,
        mb(lines.bytes),
        mb(lines.bytes) / seconds,
        mb(tally.batch_bytes),
    );
    if tally.retries > 0 {
        line.push_str(&format!(", {} retries", tally.retries));
    }
    if tally.failed > 0 {
        line.push_str(&format!(", {} records failed", tally.failed));
    }
    eprintln!("{line}");
}
