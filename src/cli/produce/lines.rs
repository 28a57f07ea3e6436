// SPDX-License-Identifier: Apache-2.0
//! Input is cut into lines, and each goes to a partition.
//!
//! Owns: reading ahead, cutting, choosing a partition for each line.
//! Invariants: every line becomes exactly one record, the last one with or without its line feed;
//! lines without a key go to one partition for a while and then to the next.
//! Runs on: the caller's thread, and one that reads. Bounded by: `BLOCKS_AHEAD` blocks, one line.

use super::json_line::JsonLine;
use super::progress::Progress;
use crate::cli::CliError;
use crate::cli::client::now_ms;
use crate::cli::client::partitioner::partition_of;
use crate::cli::client::producer::{Producer, RECORD_BYTES_MAX};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks read ahead of what is sent.
const BLOCKS_AHEAD: usize = 8;
/// Bytes of lines without a key after which the next partition has its turn.
const STICKY_BYTES: usize = 64 * 1024;
/// How long an open batch waits for more lines.
const LINGER: Duration = Duration::from_millis(10);

/// Name and value of a header.
pub(super) type Header = (Vec<u8>, Option<Vec<u8>>);

/// How lines become records.
#[derive(Clone, Debug)]
pub(super) struct LinesOptions {
    /// Partitions of the topic.
    pub(super) partitions: usize,
    /// The one partition that gets all.
    pub(super) fixed: Option<usize>,
    /// Each line is an object that says everything.
    pub(super) is_json: bool,
    /// Ends a line.
    pub(super) delimiter: u8,
    /// Stands between key and value.
    pub(super) key_separator: Option<Vec<u8>>,
    /// The key of every record.
    pub(super) key: Option<Vec<u8>>,
    /// Headers of every record.
    pub(super) headers: Vec<Header>,
    /// An empty value is sent as none.
    pub(super) empty_is_null: bool,
}

/// Cuts the input into lines and hands them to the producer.
pub(super) struct Lines {
    options: LinesOptions,
    /// What is told on the way.
    pub(super) progress: Progress,
    /// Where lines without a key go, and how many bytes of them went there in a row.
    sticky: usize,
    stuck_bytes: usize,
    timestamp: i64,
    /// Lines so far.
    pub(super) count: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// A line that began in an earlier block.
    begun: Vec<u8>,
}

/// A record that is to be sent.
struct Outgoing<'a> {
    place: Option<usize>,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [Header],
}

impl Lines {
    /// Nothing cut yet.
    pub(super) fn new(options: LinesOptions, progress: Progress) -> Lines {
        Lines {
            options,
            progress,
            sticky: 0,
            stuck_bytes: 0,
            timestamp: 0,
            count: 0,
            bytes: 0,
            begun: Vec::new(),
        }
    }

    /// Sends lines until the input ends or a record fails.
    pub(super) fn send_all(
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
            self.progress
                .add(block.len(), producer.tally().acknowledged);
            // A full lane of spare blocks needs no further one.
            let _ = empty.try_send(block);
        }
        if !self.begun.is_empty() {
            let line = std::mem::take(&mut self.begun);
            self.send(&line, producer)?;
        }
        Ok(())
    }

    fn cut(&mut self, block: &[u8], producer: &mut Producer) -> Result<(), CliError> {
        let mut rest = block;
        while let Some(end) = memchr::memchr(self.options.delimiter, rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.begun.is_empty() {
                self.send(line, producer)?;
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.send(&whole, producer)?;
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

    fn send(&mut self, line: &[u8], producer: &mut Producer) -> Result<(), CliError> {
        if self.options.is_json {
            return self.send_json(line, producer);
        }
        let Some(separator) = &self.options.key_separator else {
            self.send_value(line, producer);
            return Ok(());
        };
        let (key, value) = match memchr::memmem::find(line, separator) {
            Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
            None => (None, line),
        };
        self.send_pair(key, value, producer);
        Ok(())
    }

    /// Sends a value with the key that all have, if they have one.
    pub(super) fn send_value(&mut self, value: &[u8], producer: &mut Producer) {
        if self.timestamp == 0 {
            self.timestamp = now_ms();
        }
        match self.options.key.clone() {
            Some(key) => self.send_pair(Some(&key), value, producer),
            None => self.send_pair(None, value, producer),
        }
    }

    fn send_pair(&mut self, key: Option<&[u8]>, value: &[u8], producer: &mut Producer) {
        let is_null = self.options.empty_is_null && value.is_empty();
        let headers = std::mem::take(&mut self.options.headers);
        let outgoing = Outgoing {
            place: None,
            timestamp: self.timestamp,
            key,
            value: (!is_null).then_some(value),
            headers: &headers,
        };
        self.hand_out(&outgoing, producer);
        self.options.headers = headers;
    }

    fn send_json(&mut self, line: &[u8], producer: &mut Producer) -> Result<(), CliError> {
        let number = self.count + 1;
        let wrong = |sentence| CliError::new(format!("line {number} of the input: {sentence}"));
        let parsed = JsonLine::parse(line).map_err(wrong)?;
        if let Some(place) = parsed.partition
            && place >= self.options.partitions
        {
            let last = self.options.partitions - 1;
            return Err(wrong(format!(
                "it names partition {place}, and the topic has partitions 0 to {last}"
            )));
        }
        let outgoing = Outgoing {
            place: parsed.partition,
            timestamp: parsed.timestamp.unwrap_or(self.timestamp),
            key: parsed.key.as_deref(),
            value: parsed.value.as_deref(),
            headers: &parsed.headers,
        };
        self.hand_out(&outgoing, producer);
        Ok(())
    }

    fn hand_out(&mut self, record: &Outgoing<'_>, producer: &mut Producer) {
        let place = match (self.options.fixed.or(record.place), record.key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => partition_of(key, self.options.partitions),
            (None, None) => self.sticky,
        };
        let len = record.value.map_or(0, <[u8]>::len);
        self.count += 1;
        self.bytes += u64::try_from(len).expect("a usize of 64 bits");
        let (key, value) = (record.key, record.value);
        if record.headers.is_empty() {
            producer.append(place, record.timestamp, key, value);
        } else {
            let headers = record.headers.iter();
            let headers: Vec<(&[u8], Option<&[u8]>)> = headers
                .map(|(name, value)| (&**name, value.as_deref()))
                .collect();
            producer.append_with_headers(place, record.timestamp, key, value, &headers);
        }
        if key.is_none() {
            self.stuck_bytes += len;
            if self.stuck_bytes >= STICKY_BYTES {
                self.sticky = (self.sticky + 1) % self.options.partitions;
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
