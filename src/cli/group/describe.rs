// SPDX-License-Identifier: Apache-2.0
//! `furlong group describe`.
//!
//! Owns: its arguments and output. Invariants: with `--watch` each round is one line of JSON for
//! each group, or tables under each other; on a terminal the newest stand at its top.
//! Runs on: the command's thread. Bounded by: the partitions of one group.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::all_or_failures;
use super::list::or_dash;
use super::standing::{GroupView, Member, Standing, view};
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::now_ms;
use crate::cli::client::offsets::{Place, by_topic};
use crate::cli::output::{Table, is_read, print, write_json, write_json_line};

/// Moves to the top of a terminal and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Arguments of `furlong group describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The groups
    #[arg(value_name = "GROUP", required = true)]
    names: Vec<String>,
    /// Prints again every so many seconds (2 if not given), until interrupted
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "2", value_parser = parse_seconds)]
    watch: Option<Duration>,
    #[command(flatten)]
    format: FormatArguments,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|one| (0.1..=86_400.0).contains(one));
    let seconds = seconds.ok_or("give seconds from 0.1 to 86400")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Carries out the command.
pub(super) fn run(arguments: &DescribeArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let Some(interval) = arguments.watch else {
        let (views, failures) = ask(&mut cluster, &arguments.names);
        print(|output| match arguments.format.format {
            Format::Json => write_json(&views.iter().map(object).collect(), output),
            Format::Table => write_tables(&views, output),
        })?;
        return all_or_failures(&failures);
    };
    let clear = if io::stdout().is_terminal() {
        CLEAR
    } else {
        ""
    };
    let mut was_there = false;
    loop {
        let (views, failures) = ask(&mut cluster, &arguments.names);
        was_there |= !views.is_empty();
        let is_read = is_read(|output| match arguments.format.format {
            Format::Json => views
                .iter()
                .try_for_each(|view| write_json_line(&object(view), output)),
            Format::Table => {
                write!(output, "{clear}")?;
                write_tables(&views, output)?;
                failures
                    .iter()
                    .try_for_each(|failure| writeln!(output, "{failure}"))?;
                if clear.is_empty() {
                    writeln!(output)
                } else {
                    Ok(())
                }
            }
        })?;
        if !is_read {
            return Ok(());
        }
        // What was there may come again; what never was is a mistake.
        if !was_there {
            return all_or_failures(&failures);
        }
        std::thread::sleep(interval);
    }
}

fn ask(cluster: &mut Cluster, names: &[String]) -> (Vec<GroupView>, Vec<String>) {
    let (mut views, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match view(cluster, name, now_ms) {
            Ok(view) => views.push(view),
            Err(error) => failures.push(error.to_string()),
        }
    }
    (views, failures)
}

fn write_tables(views: &[GroupView], output: &mut dyn Write) -> io::Result<()> {
    for (number, view) in views.iter().enumerate() {
        if number > 0 {
            writeln!(output)?;
        }
        let (id, address) = &view.coordinator;
        let assignor = match view.assignor.is_empty() {
            true => String::new(),
            false => format!(" ({})", view.assignor),
        };
        let members = match view.members.len() {
            1 => "1 member".to_owned(),
            count => format!("{count} members"),
        };
        writeln!(
            output,
            "group {}: {}, {}{assignor}, {members}, coordinated by broker {id} at {address}",
            view.group, view.state, view.kind,
        )?;
        if !view.members.is_empty() {
            members_table(&view.members).write(output)?;
        }
        if !view.standings.is_empty() {
            offsets_table(&view.standings).write(output)?;
        }
    }
    Ok(())
}

/// `garden 0,1,2; attic 5`.
fn partitions_text(places: &[Place]) -> String {
    let topics = by_topic(places).into_iter().map(|(topic, partitions)| {
        let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic} {}", numbers.join(","))
    });
    topics.collect::<Vec<_>>().join("; ")
}

fn members_table(members: &[Member]) -> Table {
    let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
    for member in members {
        let partitions = member.assignment.as_deref().map(partitions_text);
        table.row([
            &*member.id,
            member.instance.as_deref().unwrap_or("-"),
            or_dash(&member.client),
            or_dash(&member.host),
            or_dash(partitions.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// Seconds with the first digit behind the point.
pub(super) fn seconds_text(ms: i64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

fn offsets_table(standings: &[Standing]) -> Table {
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "LAG SECONDS",
        "MEMBER",
    ]);
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |one| one.to_string());
    for one in standings {
        let (topic, partition) = &one.place;
        table.row([
            topic.clone(),
            partition.to_string(),
            number(one.committed.as_ref().map(|one| one.offset)),
            number(one.end),
            number(one.lag()),
            one.age_ms.map_or("-".to_owned(), seconds_text),
            one.member.clone().unwrap_or("-".to_owned()),
        ]);
    }
    table
}

fn object(view: &GroupView) -> Value {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let members = view.members.iter().map(|member| {
        let assignment = member.assignment.as_ref().map(|places| {
            let topics = by_topic(places).into_iter();
            let one = |(topic, partitions)| json!({"topic": topic, "partitions": partitions});
            topics.map(one).collect::<Vec<Value>>()
        });
        json!({
            "member_id": member.id,
            "instance_id": member.instance,
            "client_id": member.client,
            "host": member.host,
            "subscription": member.subscription,
            "assignment": assignment,
        })
    });
    // One unknown makes the whole unknown.
    let lag: Option<i64> = view.standings.iter().map(Standing::lag).sum();
    let age: Option<Option<i64>> = view.standings.iter().map(|one| one.age_ms).max();
    let (id, address) = &view.coordinator;
    json!({
        "group": view.group,
        "type": view.kind,
        "state": view.state,
        "protocol_type": known(&view.protocol_type),
        "assignor": known(&view.assignor),
        "coordinator": {"id": id, "address": address},
        "members": members.collect::<Vec<Value>>(),
        "lag": lag,
        "lag_seconds": age.flatten().map(seconds),
        "offsets": view.standings.iter().map(standing_object).collect::<Vec<Value>>(),
    })
}

fn seconds(ms: i64) -> Value {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    json!(text.parse::<f64>().ok())
}

/// One partition for programs.
pub(super) fn standing_object(one: &Standing) -> Value {
    let (topic, partition) = &one.place;
    json!({
        "topic": topic,
        "partition": partition,
        "offset": one.committed.as_ref().map(|one| one.offset),
        "metadata": one.committed.as_ref().map(|one| &one.metadata),
        "start": one.begin,
        "end": one.end,
        "lag": one.lag(),
        "lag_seconds": one.age_ms.map(seconds),
        "member_id": one.member,
    })
}
