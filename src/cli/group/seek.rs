// SPDX-License-Identifier: Apache-2.0
//! `furlong group seek`.
//!
//! Owns: its arguments, gathering what is known, committing the plan. Invariants: a group with
//! members is refused before anything is shown; what is committed is what was shown.
//! Runs on: the command's thread. Bounded by: the partitions of one group, a file of
//! `OFFSETS_FILE_BYTES_MAX`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::offsets_file::{self, OFFSETS_FILE_BYTES_MAX};
use super::seek_goal::{Change, Goal, Known, plan};
use super::standing::Ends;
use super::{
    ExecuteArguments, PREVIEW, TopicPartitions, all_or_failures, parse_topic, refuse_active,
};
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::{Coordinator, passes};
use crate::cli::client::offsets::{Committed, Committer, Place, by_topic, commit, committed};
use crate::cli::client::positions::list_offsets;
use crate::cli::client::{RETRY_FOR, Retry, now_ms};
use crate::cli::error::refusal;
use crate::cli::output::{Table, print, write_json};
use crate::cli::time_text::{parse_duration, parse_moment};
use crate::cli::{CliError, ClientError};
use crate::model::error_code::ErrorCode;

/// Arguments of `furlong group seek`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("goal").required(true))]
pub struct SeekArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The group; it may be one that does not exist yet
    #[arg(value_name = "GROUP")]
    group: String,
    /// Moves in this topic, or in these partitions of it; may be repeated
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", value_parser = parse_topic,
          conflicts_with = "from_file")]
    topic: Vec<TopicPartitions>,
    /// Moves in all topics of which the group has offsets
    #[arg(long, conflicts_with_all = ["topic", "from_file"])]
    all_topics: bool,
    /// Goes to the first record there is
    #[arg(long, group = "goal")]
    to_earliest: bool,
    /// Goes behind the last record
    #[arg(long, group = "goal")]
    to_latest: bool,
    /// Stays where the group is; goes behind the last record where it has no offset
    #[arg(long, group = "goal")]
    to_current: bool,
    /// Goes to an offset
    #[arg(long, group = "goal", value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// Goes so many records forward, or back if below 0
    #[arg(
        long,
        group = "goal",
        value_name = "NUMBER",
        allow_hyphen_values = true
    )]
    shift_by: Option<i64>,
    /// Goes to the first record of the last so much time: 15m (ms, s, m, h, d, w) or PT15M
    #[arg(long, group = "goal", value_name = "DURATION", value_parser = parse_duration)]
    by_duration: Option<i64>,
    /// Goes to the first record of this time or later: 2026-01-31T12:00:00Z, -15m, or milliseconds
    /// since 1970
    #[arg(long, group = "goal", value_name = "TIME", allow_hyphen_values = true)]
    to_datetime: Option<String>,
    /// Goes where a file says (- is the standard input), as `group offsets` with --format csv or
    /// json prints it
    #[arg(long, group = "goal", value_name = "FILE")]
    from_file: Option<String>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

impl SeekArguments {
    fn goal(&self, now_ms: i64) -> Result<Goal, CliError> {
        if let Some(path) = &self.from_file {
            let text = read(path)?;
            let offsets = offsets_file::parse(&text, &self.group);
            return match offsets {
                Ok(offsets) => Ok(Goal::Each(offsets)),
                Err(sentence) => Err(CliError::new(format!("{path}: {sentence}"))),
            };
        }
        if let Some(text) = &self.to_datetime {
            let moment = parse_moment(text, now_ms).map_err(CliError::usage)?;
            return Ok(Goal::Time(moment));
        }
        let time = self
            .by_duration
            .map(|ms| Goal::Time(now_ms.saturating_sub(ms)));
        let counted = self
            .to_offset
            .map(Goal::Offset)
            .or(self.shift_by.map(Goal::Shift));
        Ok(match (time.or(counted), self.to_earliest, self.to_latest) {
            (Some(goal), _, _) => goal,
            (None, true, _) => Goal::Earliest,
            (None, false, true) => Goal::Latest,
            (None, false, false) => Goal::Current,
        })
    }
}

fn read(path: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let result = match path {
        "-" => io::stdin()
            .lock()
            .take(OFFSETS_FILE_BYTES_MAX)
            .read_to_string(&mut text),
        path => File::open(path)
            .and_then(|file| file.take(OFFSETS_FILE_BYTES_MAX).read_to_string(&mut text)),
    };
    result.map_err(|error| CliError::new(format!("{path} cannot be read: {error}")))?;
    Ok(text)
}

/// Carries out the command.
pub(super) fn run(arguments: &SeekArguments) -> Result<(), CliError> {
    if arguments.topic.is_empty() && !arguments.all_topics && arguments.from_file.is_none() {
        return Err(CliError::usage(
            "which offsets are to move? give --topic TOPIC, --all-topics or --from-file FILE",
        ));
    }
    let goal = arguments.goal(now_ms())?;
    let mut cluster = arguments.bootstrap.connect()?;
    let group = &arguments.group;
    let mut coordinator = Coordinator::of_group(group);
    refuse_active(&mut cluster, &mut coordinator, group)?;
    let offsets = committed(&mut cluster, &mut coordinator, group, None, false)?;
    let places = places(arguments, &goal, &offsets, &mut cluster)?;
    let known = known(&mut cluster, &goal, &places, &offsets)?;
    let changes = plan(&goal, &known).map_err(CliError::new)?;
    let refused = match arguments.execute.execute {
        false => None,
        true => Some(execute(&mut cluster, &mut coordinator, group, &changes)?),
    };
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = changes
                .iter()
                .map(|one| object(group, one, refused.as_ref()));
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            table(&changes).write(output)?;
            match &refused {
                None => writeln!(output, "{PREVIEW}"),
                Some(refused) => writeln!(
                    output,
                    "committed {} offsets of group {group}",
                    changes.len() - refused.len()
                ),
            }
        }
    })?;
    let failures = refused.unwrap_or_default();
    all_or_failures(&failures.into_values().collect::<Vec<_>>())
}

/// The partitions that are to move.
fn places(
    arguments: &SeekArguments,
    goal: &Goal,
    offsets: &BTreeMap<Place, Committed>,
    cluster: &mut Cluster,
) -> Result<Vec<Place>, CliError> {
    if let Goal::Each(offsets) = goal {
        return Ok(offsets.keys().cloned().collect());
    }
    if arguments.all_topics {
        return match offsets.is_empty() {
            false => Ok(offsets.keys().cloned().collect()),
            true => Err(CliError::new(format!(
                "group {} has no offsets; name the topics with --topic",
                arguments.group
            ))),
        };
    }
    let mut places = BTreeSet::new();
    for wanted in &arguments.topic {
        let topic = &wanted.topic;
        let all = cluster.leaders(topic, false)?;
        let numbers: Vec<i32> = match wanted.partitions.is_empty() {
            true => all.iter().map(|one| one.partition).collect(),
            false => wanted.partitions.clone(),
        };
        places.extend(numbers.into_iter().map(|one| (topic.clone(), one)));
    }
    Ok(places.into_iter().collect())
}

fn known(
    cluster: &mut Cluster,
    goal: &Goal,
    places: &[Place],
    offsets: &BTreeMap<Place, Committed>,
) -> Result<BTreeMap<Place, Known>, CliError> {
    let ends = Ends::ask(cluster, places)?;
    let mut at_time: BTreeMap<Place, i64> = BTreeMap::new();
    let mut known = BTreeMap::new();
    for place in places {
        let (Some(begin), Some(end)) = (ends.begins.get(place), ends.ends.get(place)) else {
            let (topic, partition) = place;
            return Err(CliError::new(format!(
                "there is no partition {partition} of topic {topic}, or it has no leader; \
                 `furlong topic describe {topic}` shows its partitions"
            )));
        };
        let one = Known {
            begin: *begin,
            end: *end,
            committed: offsets.get(place).map(|one| one.offset),
            at_time: None,
        };
        known.insert(place.clone(), one);
    }
    if let Goal::Time(moment) = goal {
        for (topic, partitions) in by_topic(places) {
            let found = list_offsets(cluster, topic, &partitions, *moment)?;
            let found = found.into_iter().filter(|(_, offset)| *offset >= 0);
            at_time.extend(found.map(|(one, offset)| ((topic.to_owned(), one), offset)));
        }
    }
    for (place, offset) in at_time {
        known
            .entry(place)
            .and_modify(|one| one.at_time = Some(offset));
    }
    Ok(known)
}

/// Commits the plan; a sentence for each partition that was refused.
fn execute(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
    changes: &[Change],
) -> Result<BTreeMap<Place, String>, CliError> {
    let offsets: BTreeMap<Place, i64> = changes
        .iter()
        .map(|one| (one.place.clone(), one.to))
        .collect();
    let committer = Committer::outside(group);
    let mut retry = Retry::lasting(RETRY_FOR);
    // The same offsets again are the same offsets.
    let refused = loop {
        match commit(cluster, coordinator, &committer, &offsets) {
            Err(error) if error.is_retriable() && retry.pause() => {}
            Ok(refused) if refused.values().any(|code| passes(*code)) && retry.pause() => {}
            Ok(refused) => break refused,
            Err(error) => return Err(error.into()),
        }
    };
    let sentence = |((topic, partition), code): (Place, i16)| {
        let what = format!("partition {partition} of topic {topic}");
        ((topic, partition), sentence_of(group, &what, code))
    };
    Ok(refused.into_iter().map(sentence).collect())
}

fn sentence_of(group: &str, what: &str, code: i16) -> String {
    let active = [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration];
    match active.iter().any(|one| one.code() == code) {
        true => ClientError::Refused {
            what: what.to_owned(),
            code,
            message: Some(format!("a member has joined group {group} meanwhile")),
        }
        .to_string(),
        false => refusal(what, code, None),
    }
}

fn table(changes: &[Change]) -> Table {
    let head = [
        "TOPIC",
        "PARTITION",
        "FROM",
        "TO",
        "START",
        "END",
        "LAG THEN",
        "NOTE",
    ];
    let mut table = Table::new(&head);
    for one in changes {
        let (topic, partition) = &one.place;
        let from = one.known.committed;
        table.row([
            topic.clone(),
            partition.to_string(),
            from.map_or("-".to_owned(), |offset| offset.to_string()),
            one.to.to_string(),
            one.known.begin.to_string(),
            one.known.end.to_string(),
            (one.known.end - one.to).to_string(),
            one.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn object(group: &str, one: &Change, refused: Option<&BTreeMap<Place, String>>) -> Value {
    let (topic, partition) = &one.place;
    let error = refused.and_then(|refused| refused.get(&one.place));
    json!({
        "group": group,
        "topic": topic,
        "partition": partition,
        "from": one.known.committed,
        "to": one.to,
        "start": one.known.begin,
        "end": one.known.end,
        "note": one.note,
        "done": refused.is_some() && error.is_none(),
        "error": error,
    })
}
