// SPDX-License-Identifier: Apache-2.0
//! `furlong shard list` and `furlong shard move`: what each core owns, by the admin port of a
//! broker.
//!
//! Owns: the arguments, the question and the output. Invariants: a move that is reported is done.
//! Runs on: the command's thread. Bounded by: `ADMIN_CHANGE_MS_MAX` and some seconds, an answer of
//! `ANSWER_BYTES_MAX`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CliError;
use super::arguments::{Format, FormatArguments};
use super::output::{Table, print, write_json};
use crate::io::http::CHANGE_HEADER;
use crate::limits::{ADMIN_CHANGE_MS_MAX, ADMIN_WAIT_MS_MAX};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What can be done with the shards of a broker.
#[derive(Clone, Debug, Subcommand)]
pub enum ShardCommand {
    /// Prints which shard (core) of a broker owns which partition
    List(ListArguments),
    /// Has another shard own a partition; clients see it refused for some milliseconds
    Move(MoveArguments),
}

/// Where the admin port is.
#[derive(Clone, Debug, Args)]
pub struct AdminArguments {
    /// The admin port of the broker (its setting admin.listener)
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9644")]
    admin: String,
}

/// Arguments of `furlong shard list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    admin: AdminArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong shard move`.
#[derive(Clone, Debug, Args)]
pub struct MoveArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// The partition
    #[arg(value_name = "PARTITION")]
    partition: u32,
    /// The shard that is to own it, counted from 0
    #[arg(long, value_name = "SHARD")]
    to: u16,
    /// Says what would be moved, and moves nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub fn run(command: &ShardCommand) -> Result<(), CliError> {
    match command {
        ShardCommand::List(arguments) => list(arguments),
        ShardCommand::Move(arguments) => shift(arguments),
    }
}

fn list(arguments: &ListArguments) -> Result<(), CliError> {
    let found = ask(&arguments.admin.admin, "GET", "/shards")?;
    print(|output| match arguments.format.format {
        Format::Json => write_json(&found, output),
        Format::Table => table(&found).write(output),
    })
}

fn table(found: &Value) -> Table {
    let mut table = Table::new(&["SHARD", "CONNECTIONS", "TOPIC", "PARTITION", "END", "BYTES"]);
    for shard in elements(&found["shards"]) {
        let (number, connections) = (shard["shard"].to_string(), shard["connections"].to_string());
        let partitions = elements(&shard["partitions"]);
        if partitions.is_empty() {
            table.row([&*number, &*connections, "-", "-", "-", "-"]);
        }
        for partition in partitions {
            table.row([
                number.clone(),
                connections.clone(),
                partition["topic"].as_str().unwrap_or_default().to_owned(),
                partition["partition"].to_string(),
                partition["log_end_offset"].to_string(),
                partition["bytes"].to_string(),
            ]);
        }
    }
    table
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn shift(arguments: &MoveArguments) -> Result<(), CliError> {
    let (topic, partition, to) = (&arguments.topic, arguments.partition, arguments.to);
    // The names of topics need no escape; what does is no topic.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if topic.is_empty() || !topic.bytes().all(is_plain) {
        return Err(CliError::new(format!("there is no topic \"{topic}\"")));
    }
    let admin = &arguments.admin.admin;
    let moved = match arguments.dry_run {
        true => would_move(&ask(admin, "GET", "/shards")?, topic, partition, to)
            .map_err(CliError::new)?,
        false => {
            let path = format!("/shards/move?topic={topic}&partition={partition}&to={to}");
            Moved::of(&ask(admin, "POST", &path)?)
        }
    };
    print(|output| match arguments.format.format {
        Format::Json => write_json(&moved.object(arguments), output),
        Format::Table => writeln!(output, "{}", moved.sentence(arguments)),
    })
}

/// What a move did, or would do.
#[derive(Debug, PartialEq)]
struct Moved {
    /// The shard that owned the partition.
    from: u64,
    /// How long it took, in milliseconds.
    took_ms: f64,
    /// What it would take along, if it is known.
    bytes: Option<u64>,
}

impl Moved {
    fn of(answer: &Value) -> Moved {
        Moved {
            from: answer["from"].as_u64().unwrap_or_default(),
            took_ms: answer["took_ms"].as_f64().unwrap_or_default(),
            bytes: None,
        }
    }

    fn object(&self, arguments: &MoveArguments) -> Value {
        let (is_dry, from) = (arguments.dry_run, self.from);
        json!({
            "topic": arguments.topic,
            "partition": arguments.partition,
            "from": from,
            "to": arguments.to,
            "took_ms": (!is_dry).then_some(self.took_ms),
            "bytes": self.bytes,
            "done": !is_dry && from != u64::from(arguments.to),
            "dry_run": is_dry,
        })
    }

    fn sentence(&self, arguments: &MoveArguments) -> String {
        let (topic, partition, to) = (&arguments.topic, arguments.partition, arguments.to);
        let from = self.from;
        match (from == u64::from(to), arguments.dry_run) {
            (true, false) => format!("{topic}-{partition} was on shard {to} already"),
            (true, true) => {
                format!("{topic}-{partition} is on shard {to} already, nothing would be moved")
            }
            (false, false) => format!(
                "{topic}-{partition} moved from shard {from} to shard {to} in {:.1} ms",
                self.took_ms
            ),
            (false, true) => format!(
                "would move {topic}-{partition} from shard {from} to shard {to}, with {} bytes on \
                 disk",
                self.bytes.unwrap_or_default()
            ),
        }
    }
}

/// What a move would do, as the broker would say it.
fn would_move(found: &Value, topic: &str, partition: u32, to: u16) -> Result<Moved, String> {
    let shards = elements(&found["shards"]);
    let is_topic = |one: &&Value| one["topic"] == topic;
    let is_it = |one: &&Value| is_topic(one) && one["partition"] == partition;
    if !shards.iter().any(|shard| shard["shard"] == to) {
        return Err(format!(
            "there is no shard {to}; the broker has the shards 0 to {}",
            shards.len().saturating_sub(1)
        ));
    }
    for shard in shards {
        if let Some(one) = elements(&shard["partitions"]).iter().find(is_it) {
            return Ok(Moved {
                from: shard["shard"].as_u64().unwrap_or_default(),
                took_ms: 0.0,
                bytes: one["bytes"].as_u64(),
            });
        }
    }
    let all = shards
        .iter()
        .flat_map(|shard| elements(&shard["partitions"]));
    Err(match all.filter(is_topic).count() {
        0 => format!("there is no topic {topic} on this broker"),
        count => format!(
            "there is no partition {partition} of topic {topic} on this broker, which has {count} \
             of it"
        ),
    })
}

/// Asks the admin port.
fn ask(address: &str, method: &str, path: &str) -> Result<Value, CliError> {
    let unreachable = |error: io::Error| {
        CliError::new(format!(
            "the admin port at {address} cannot be asked: {error}; is the broker running, and does \
             --admin name its admin.listener?"
        ))
    };
    let said = converse(address, method, path).map_err(unreachable)?;
    let not_understood = || {
        CliError::new(format!(
            "what listens at {address} does not answer as an admin port does"
        ))
    };
    let (head, body) = said.split_once("\r\n\r\n").ok_or_else(not_understood)?;
    let status = head.split(' ').nth(1).ok_or_else(not_understood)?;
    if status != "200" {
        return Err(CliError::new(body.trim().to_owned()));
    }
    serde_json::from_str(body).map_err(|_| not_understood())
}

fn converse(address: &str, method: &str, path: &str) -> io::Result<String> {
    let patience = Duration::from_millis(ADMIN_CHANGE_MS_MAX + 2 * ADMIN_WAIT_MS_MAX);
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, Duration::from_millis(ADMIN_WAIT_MS_MAX)) {
            Err(error) => last = error,
            Ok(mut stream) => {
                stream.set_read_timeout(Some(patience))?;
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{CHANGE_HEADER}: 1\r\n\r\n"
                );
                stream.write_all(request.as_bytes())?;
                let mut said = String::new();
                stream.take(ANSWER_BYTES_MAX).read_to_string(&mut said)?;
                return Ok(said);
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_shard_without_partitions_has_a_line_of_its_own() {
        let found = json!({ "shards": [
            { "shard": 0, "connections": 3, "partitions": [
                { "topic": "t", "partition": 1, "log_end_offset": 9, "bytes": 100 },
            ] },
            { "shard": 1, "connections": 0, "partitions": [] },
        ] });
        let mut output = Vec::new();
        table(&found).write(&mut output).expect("memory");
        let text = String::from_utf8(output).expect("text");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["0", "3", "t", "1", "9", "100"]);
        assert_eq!(lines[2], ["1", "0", "-", "-", "-", "-"]);
    }

    #[test]
    fn a_move_is_foretold() {
        let one = |partition: u32, bytes: u64| {
            let topic = "t";
            json!({ "topic": topic, "partition": partition, "bytes": bytes })
        };
        let found = json!({ "shards": [
            { "shard": 0, "partitions": [one(0, 5)] },
            { "shard": 1, "partitions": [one(1, 6)] },
        ] });
        let moved = would_move(&found, "t", 1, 0).expect("it is there");
        assert_eq!((moved.from, moved.bytes), (1, Some(6)));
        for (topic, partition, to, words) in [
            ("t", 0, 2, "no shard 2"),
            ("t", 2, 0, "no partition 2 of topic t"),
            ("u", 0, 0, "no topic u"),
        ] {
            let error = would_move(&found, topic, partition, to).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_port_where_nobody_listens_is_a_sentence() {
        let error = ask("127.0.0.1:1", "GET", "/shards").expect_err("nobody listens");
        assert!(error.to_string().contains("admin.listener"), "{error}");
    }
}
