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
use serde_json::Value;

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
    let path = format!("/shards/move?topic={topic}&partition={partition}&to={to}");
    let answer = ask(&arguments.admin.admin, "POST", &path)?;
    print(|output| match answer["from"].as_u64() {
        Some(from) if from == u64::from(to) => {
            writeln!(output, "{topic}-{partition} was on shard {to} already")
        }
        _ => writeln!(
            output,
            "{topic}-{partition} moved from shard {} to shard {to} in {:.1} ms",
            answer["from"],
            answer["took_ms"].as_f64().unwrap_or_default()
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
    fn a_port_where_nobody_listens_is_a_sentence() {
        let error = ask("127.0.0.1:1", "GET", "/shards").expect_err("nobody listens");
        assert!(error.to_string().contains("admin.listener"), "{error}");
    }
}
