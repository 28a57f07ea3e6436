// SPDX-License-Identifier: Apache-2.0
//! `furlong consume`: records become lines.
//!
//! Owns: the arguments, opening batches and handing their records to a form of output.
//! Invariants: a record is printed once, in the order of its partition; output that nobody reads
//! any more (a closed pipe) ends the command in peace.
//! Runs on: the caller's thread. Bounded by: one opened batch (`limits::DECOMPRESSED_BYTES_MAX`).

mod division;
mod group;
pub(super) mod json;
mod template;

use super::arguments::{BootstrapArguments, Format, TopicArgument};
use super::client::consumer::{Chunk, Consumer, ConsumerOptions, Isolation, Start, Until};
use super::client::now_ms;
use super::client::positions::Range;
use super::time_text::parse_moment;
use super::{CliError, ClientError, separator};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::wire::record::{BatchError, RecordView, records};
use clap::Args;
use division::{Assignor, GroupProtocol};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use template::{Place, Template};

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
    #[arg(long, conflicts_with_all = ["offset", "from", "tail"])]
    from_beginning: bool,
    /// Where to begin: beginning, end, an offset, -N for the last N records of each partition, or
    /// s@TIME; with e@TIME, where to end
    #[arg(
        short = 'o',
        long,
        value_name = "beginning|end|N|-N|s@TIME|e@TIME",
        allow_hyphen_values = true
    )]
    offset: Vec<String>,
    /// Begins with the first record of this time or later: 2026-01-31T12:00:00Z, -15m, or
    /// milliseconds since 1970
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "tail",
        allow_hyphen_values = true
    )]
    from: Option<String>,
    /// Ends before the first record of this time or later, or at the end of the topic as it was at
    /// the start
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Begins with the last so many records of each partition
    #[arg(long, value_name = "NUMBER")]
    tail: Option<u32>,
    /// Reads as a member of this group: its members share the partitions. Begins where the group
    /// has come to, or where it is told where the group has not come to anything, and commits what
    /// was printed
    #[arg(short = 'G', long, value_name = "GROUP", conflicts_with = "partition")]
    group: Option<String>,
    /// Who divides the partitions: with classic one of the members, with consumer the broker, which
    /// moves single partitions without stopping the others (KIP-848)
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t = GroupProtocol::Classic,
          requires = "group")]
    group_protocol: GroupProtocol,
    /// How the members of the group share the partitions: range if nothing is said, and with
    /// --group-protocol consumer what the broker prefers
    #[arg(long, value_enum, value_name = "ASSIGNOR", requires = "group")]
    assignor: Option<Assignor>,
    /// Is the member of this name, which keeps its partitions over a restart (group.instance.id)
    #[arg(long, value_name = "NAME", requires = "group")]
    instance: Option<String>,
    /// Commits nothing: the group stays where it is (a dry run)
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// What of transactions is read
    #[arg(long, value_enum, default_value_t = Isolation::ReadUncommitted)]
    isolation: Isolation,
    /// Ends after so many records
    #[arg(short = 'c', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Ends at the end of the topic, as it was at the start
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Prints the key and this text before the value
    #[arg(short = 'K', long, value_name = "TEXT", conflicts_with_all = ["line", "json"])]
    key_separator: Option<String>,
    /// Prints each record so, as kcat does: %s value, %S its length, %R its length as 4 bytes, %k
    /// key, %K its length, %t topic, %p partition, %o offset, %T timestamp, %h headers, %% a %;
    /// \n, \t, \0 and \xNN are bytes
    #[arg(short = 'f', long, value_name = "TOKENS", value_parser = Template::parse,
          conflicts_with = "json")]
    line: Option<Template>,
    /// Prints an object for each record, on a line of its own (as --format json)
    #[arg(short = 'J', long)]
    json: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Ends each record with this text instead of a line feed
    #[arg(short = 'D', long, value_name = "TEXT", default_value = r"\n",
          conflicts_with_all = ["line", "json"])]
    delimiter: String,
    /// Prints this for a key or a value that is none
    #[arg(short = 'Z', long, value_name = "TEXT", default_value = "")]
    null: String,
}

fn parse_start(text: &str, now_ms: i64) -> Result<Start, String> {
    let number = || {
        text.parse::<i64>()
            .map_err(|_| "give beginning, end, a number or s@TIME to --offset".to_string())
    };
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => match text.strip_prefix("s@") {
            Some(moment) => Ok(Start::Time(parse_moment(moment, now_ms)?)),
            None => match number()? {
                offset if offset >= 0 => Ok(Start::At(offset)),
                before => Ok(Start::BeforeEnd(before.saturating_neg())),
            },
        },
    }
}

impl ConsumeArguments {
    /// Where to begin and where to end.
    fn range(&self, now_ms: i64) -> Result<Range, String> {
        let (mut starts, mut untils) = (Vec::new(), Vec::new());
        for text in &self.offset {
            match text.strip_prefix("e@") {
                Some(moment) => untils.push(Until::Time(parse_moment(moment, now_ms)?)),
                None => starts.push(parse_start(text, now_ms)?),
            }
        }
        if let Some(moment) = &self.from {
            starts.push(Start::Time(parse_moment(moment, now_ms)?));
        }
        if let Some(count) = self.tail {
            starts.push(Start::BeforeEnd(i64::from(count)));
        }
        if let Some(moment) = &self.until {
            untils.push(Until::Time(parse_moment(moment, now_ms)?));
        }
        if starts.len() > 1 || untils.len() > 1 {
            return Err("give one place to begin and one to end".to_owned());
        }
        let open = match self.exit_at_end {
            true => Until::End,
            false => Until::Never,
        };
        let start = starts.pop().unwrap_or(Start::Beginning);
        Ok(Range {
            start,
            until: untils.pop().unwrap_or(open),
            isolation: self.isolation,
        })
    }

    fn form(&self) -> Form {
        if self.json || self.format == Format::Json {
            return Form::Json;
        }
        Form::Text(match &self.line {
            Some(template) => template.clone(),
            None => Template::of_value(
                self.key_separator.as_deref().map(separator),
                separator(&self.delimiter),
            ),
        })
    }
}

/// How a record is printed.
enum Form {
    Text(Template),
    Json,
}

/// Why the records stopped.
enum Stop {
    Closed,
    Failed(CliError),
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Stop {
        Stop::Failed(error)
    }
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
    let range = arguments.range(now_ms()).map_err(CliError::usage)?;
    let mut printer = Printer {
        topic: arguments.topic.get().to_string(),
        form: arguments.form(),
        null: arguments.null.as_bytes().to_vec(),
        left: arguments.count.unwrap_or(u64::MAX),
    };
    if let Some(group) = &arguments.group {
        return group::consume(arguments, group, range, &mut printer, &mut output);
    }
    let cluster = arguments.bootstrap.connect()?;
    let options = ConsumerOptions {
        topic: arguments.topic.get().to_string(),
        partition: arguments.partition,
        range,
    };
    let mut consumer = Consumer::new(cluster, options)?;
    while printer.left > 0 {
        let chunk = consumer.next_chunk(|| output.flush().map_err(Stop::from))?;
        let Some(chunk) = chunk else { break };
        printer.print_chunk(&chunk, &mut output)?;
    }
    Ok(output.flush()?)
}

struct Printer {
    topic: String,
    form: Form,
    /// Stands for a key or a value that is none.
    null: Vec<u8>,
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
    /// Prints a chunk; the offset where its partition goes on.
    fn print_chunk(&mut self, chunk: &Chunk, output: &mut impl Write) -> Result<i64, Stop> {
        self.print(chunk, output).map_err(|error| match error {
            PrintError::Output(error) => Stop::from(error),
            PrintError::Batch(error) => Stop::Failed(CliError::new(format!(
                "partition {} of topic {}, after offset {}: {error}",
                chunk.partition, self.topic, chunk.from
            ))),
        })
    }

    fn print(&mut self, chunk: &Chunk, output: &mut impl Write) -> Result<i64, PrintError> {
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
                    return Ok(record.offset);
                }
                self.left -= 1;
                let place = Place {
                    topic: &self.topic,
                    partition: chunk.partition,
                    timestamp_type: opened.header().attributes.timestamp_type(),
                };
                self.write(&place, &record, output)?;
            }
        }
        Ok(chunk.next())
    }

    fn write(
        &self,
        place: &Place<'_>,
        record: &RecordView<'_>,
        output: &mut impl Write,
    ) -> io::Result<()> {
        match &self.form {
            Form::Text(template) => template.write(place, record, &self.null, output),
            Form::Json => json::write(place, record, output),
        }
    }
}

#[cfg(test)]
mod tests;
