// SPDX-License-Identifier: Apache-2.0
//! `furlong produce`: lines become records.
//!
//! Owns: reading and cutting the input, choosing a partition for each line.
//! Invariants: every line becomes exactly one record, the last one with or without its line feed;
//! lines without a key go to one partition for a while and then to the next; the exit code is 0
//! only if every record was acknowledged.
//! Runs on: the caller's thread, and one that reads. Bounded by: `BLOCKS_AHEAD` blocks, one line.

use super::client::cluster::Cluster;
use super::client::partitioner::partition_of;
use super::client::producer::{Producer, ProducerOptions, RECORD_BYTES_MAX};
use super::{BootstrapArguments, CliError, TopicArgument, separator};
use crate::wire::record::Compression;
use clap::Args;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks read ahead of what is sent.
const BLOCKS_AHEAD: usize = 8;
/// Bytes of lines without a key after which the next partition has its turn.
const STICKY_BYTES: usize = 64 * 1024;
/// How long an open batch waits for more lines.
const LINGER: Duration = Duration::from_millis(10);

/// Arguments of `furlong produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    topic: TopicArgument,
    /// Reads this file instead of standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
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
    /// Writes to this partition only
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partition: Option<usize>,
    /// Seconds after which a batch that nobody acknowledges has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    delivery_timeout: u64,
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

/// Carries out the command.
pub fn run(arguments: &ProduceArguments) -> Result<(), CliError> {
    let input: Box<dyn Read + Send> = match &arguments.file {
        None => Box::new(io::stdin()),
        Some(path) => Box::new(File::open(path).map_err(|error| {
            CliError::new(format!("{} cannot be opened: {error}", path.display()))
        })?),
    };
    let cluster = Cluster::connect(&arguments.bootstrap.bootstrap_server)?;
    let mut options = ProducerOptions::new(arguments.topic.get());
    options.acks = arguments.acks;
    options.compression = arguments.compression;
    options.delivery_timeout = Duration::from_secs(arguments.delivery_timeout);
    let mut producer = Producer::new(cluster, options)?;
    let started = Instant::now();
    let mut lines = Lines::new(arguments, &producer)?;
    let read = lines.send_all(input, &mut producer);
    producer.flush();
    report(&producer, &lines, arguments.acks, started.elapsed());
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

/// Cuts the input into lines and hands them to the producer.
struct Lines {
    key_separator: Option<Vec<u8>>,
    partitions: usize,
    fixed: Option<usize>,
    /// Where lines without a key go, and how many bytes of them went there in a row.
    sticky: usize,
    stuck_bytes: usize,
    timestamp: i64,
    count: u64,
    bytes: u64,
    /// A line that began in an earlier block.
    begun: Vec<u8>,
}

impl Lines {
    fn new(arguments: &ProduceArguments, producer: &Producer) -> Result<Lines, CliError> {
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
            return Err(CliError::new(
                "--key-separator needs at least one character",
            ));
        }
        Ok(Lines {
            key_separator,
            partitions,
            fixed: arguments.partition,
            sticky: 0,
            stuck_bytes: 0,
            timestamp: 0,
            count: 0,
            bytes: 0,
            begun: Vec::new(),
        })
    }

    /// Sends lines until the input ends or a record fails.
    fn send_all(
        &mut self,
        input: Box<dyn Read + Send>,
        producer: &mut Producer,
    ) -> Result<(), CliError> {
        let (full, blocks) = sync_channel(BLOCKS_AHEAD);
        let (empty, spare) = sync_channel(BLOCKS_AHEAD);
        std::thread::spawn(move || read_blocks(input, &full, &spare));
        while producer.failure().is_none() {
            let Some(block) = next_block(&blocks, producer) else {
                break;
            };
            let block = block
                .map_err(|error| CliError::new(format!("the input cannot be read: {error}")))?;
            self.timestamp = now_ms();
            self.cut(&block, producer)?;
            // A full lane of spare blocks needs no further one.
            let _ = empty.try_send(block);
        }
        if !self.begun.is_empty() {
            let line = std::mem::take(&mut self.begun);
            self.send(&line, producer);
        }
        Ok(())
    }

    fn cut(&mut self, block: &[u8], producer: &mut Producer) -> Result<(), CliError> {
        let mut rest = block;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.begun.is_empty() {
                self.send(line, producer);
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.send(&whole, producer);
            }
            if producer.failure().is_some() {
                self.begun.clear();
                return Ok(());
            }
            rest = after;
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > RECORD_BYTES_MAX {
            return Err(CliError::new(format!(
                "line {} of the input is longer than {RECORD_BYTES_MAX} bytes, the most that a \
                 record may have; nothing of it was sent",
                self.count + 1
            )));
        }
        Ok(())
    }

    fn send(&mut self, line: &[u8], producer: &mut Producer) {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => match memchr::memmem::find(line, separator) {
                Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
                None => (None, line),
            },
        };
        let place = match (self.fixed, key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => partition_of(key, self.partitions),
            (None, None) => self.sticky,
        };
        self.count += 1;
        self.bytes += u64::try_from(value.len()).expect("a usize of 64 bits");
        producer.append(place, self.timestamp, key, Some(value));
        if key.is_none() {
            self.stuck_bytes += line.len();
            if self.stuck_bytes >= STICKY_BYTES {
                self.sticky = (self.sticky + 1) % self.partitions;
                self.stuck_bytes = 0;
            }
        }
    }
}

/// The next block of input. When none comes for a while, what is open is sent and waited for.
fn next_block(
    blocks: &Receiver<io::Result<Vec<u8>>>,
    producer: &mut Producer,
) -> Option<io::Result<Vec<u8>>> {
    match blocks.recv_timeout(LINGER) {
        Ok(block) => Some(block),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => {
            producer.flush();
            blocks.recv().ok()
        }
    }
}

/// Reads the input to its end. Ends early once nobody takes the blocks.
fn read_blocks(
    mut input: Box<dyn Read + Send>,
    full: &SyncSender<io::Result<Vec<u8>>>,
    spare: &Receiver<Vec<u8>>,
) {
    loop {
        let mut block = spare.try_recv().unwrap_or_default();
        block.resize(BLOCK_BYTES, 0);
        let result = match input.read(&mut block) {
            Ok(0) => return,
            Ok(len) => {
                block.truncate(len);
                Ok(block)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let ended = result.is_err();
        if full.send(result).is_err() || ended {
            return;
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
