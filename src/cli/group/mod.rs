// SPDX-License-Identifier: Apache-2.0
//! `furlong group`: consumer groups, shown and changed.
//!
//! Owns: the commands of groups, and questions that several of them ask. Invariants: what changes
//! offsets shows first what would change, and changes it only with `--execute`; every group of a
//! command is tried, and the command fails if one of them failed. Runs on: the command's thread.
//! Bounded by: the groups of a cluster, the partitions of one group.

mod age;
mod delete;
mod describe;
mod list;
mod offsets;
mod offsets_file;
mod seek;
mod seek_goal;
mod standing;

use clap::{Args, Subcommand};

use super::CliError;
use super::client::cluster::Cluster;
use super::client::coordinator::Coordinator;
use super::client::offsets::Place;
use super::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedConsumerGroup,
};
use crate::wire::protocol::describe_groups::{DescribeGroupsRequest, DescribedGroup};

/// What can be done with groups.
#[derive(Clone, Debug, Subcommand)]
pub enum GroupCommand {
    /// Prints the groups of the cluster, their types and states
    List(list::ListArguments),
    /// Prints state and members of groups, their offsets, and how far behind they are
    Describe(describe::DescribeArguments),
    /// Prints the committed offsets of groups, also in a form that `group seek --from-file` takes
    Offsets(offsets::OffsetsArguments),
    /// Changes the committed offsets of a group without members; shows the change, and makes it
    /// with --execute
    Seek(seek::SeekArguments),
    /// Deletes groups without members, and their offsets; shows them, and does it with --execute
    Delete(delete::DeleteArguments),
    /// Deletes the committed offsets of topics that a group does not consume now; shows them, and
    /// does it with --execute
    DeleteOffsets(delete::DeleteOffsetsArguments),
}

/// Whether a command does what it shows.
#[derive(Clone, Debug, Args)]
pub struct ExecuteArguments {
    /// Does it; without this the command only shows what it would do
    #[arg(long)]
    pub execute: bool,
    /// Only shows what would be done (this is the default)
    #[arg(long, conflicts_with = "execute")]
    pub dry_run: bool,
}

/// Carries out the command.
pub fn run(command: &GroupCommand) -> Result<(), CliError> {
    match command {
        GroupCommand::List(arguments) => list::run(arguments),
        GroupCommand::Describe(arguments) => describe::run(arguments),
        GroupCommand::Offsets(arguments) => offsets::run(arguments),
        GroupCommand::Seek(arguments) => seek::run(arguments),
        GroupCommand::Delete(arguments) => delete::run(arguments),
        GroupCommand::DeleteOffsets(arguments) => delete::run_offsets(arguments),
    }
}

/// The state of a group that does not exist.
const DEAD: &str = "Dead";
/// The state of a group without members.
const EMPTY: &str = "Empty";

/// A group as its coordinator describes it; one that does not exist is `Dead`.
fn described(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
) -> Result<DescribedGroup, ClientError> {
    let request = DescribeGroupsRequest {
        groups: vec![group.into()],
        ..DescribeGroupsRequest::default()
    };
    let answer = coordinator.call(cluster, &request, |answer| {
        answer.groups.first().map_or(0, |group| group.error_code)
    })?;
    let found = answer.groups.into_iter().next().unwrap_or_default();
    match ErrorCode::from_code(found.error_code) {
        Some(ErrorCode::None) => Ok(found),
        // As versions before the sixth say it.
        Some(ErrorCode::GroupIdNotFound) => Ok(DescribedGroup {
            group_state: DEAD.into(),
            ..DescribedGroup::default()
        }),
        _ => Err(coordinator.refused(found.error_code, found.error_message.as_deref())),
    }
}

/// A group of the new protocol (KIP-848), if there is such a group and such a protocol.
fn described_consumers(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
) -> Result<Option<DescribedConsumerGroup>, ClientError> {
    let connection = coordinator.connection(cluster)?;
    let version = connection.version_of::<ConsumerGroupDescribeRequest>();
    if version.is_err() {
        return Ok(None);
    }
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.into()],
        include_authorized_operations: false,
    };
    let answer = coordinator.call(cluster, &request, |answer| {
        answer.groups.first().map_or(0, |group| group.error_code)
    })?;
    let found = answer.groups.into_iter().next().unwrap_or_default();
    match ErrorCode::from_code(found.error_code) {
        Some(ErrorCode::None) => Ok(Some(found)),
        Some(ErrorCode::GroupIdNotFound) => Ok(None),
        _ => Err(coordinator.refused(found.error_code, found.error_message.as_deref())),
    }
}

/// The sentence for a group that is not there.
fn unknown(group: &str) -> CliError {
    CliError::new(format!(
        "there is no group {group}; `furlong group list` names the groups"
    ))
}

/// Refuses a group with members: they would not learn of a change, and commit over it. The state
/// of one without: `Dead` if it does not exist.
fn refuse_active(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
) -> Result<String, CliError> {
    let found = described(cluster, coordinator, group)?;
    let (mut state, mut members) = (found.group_state.to_string(), found.members.len());
    if state == DEAD
        && let Some(found) = described_consumers(cluster, coordinator, group)?
    {
        (state, members) = (found.group_state.to_string(), found.members.len());
    }
    match state.as_str() {
        EMPTY | DEAD => Ok(state),
        _ => Err(CliError::new(format!(
            "group {group} is {state} with {members} members, and its offsets are theirs to \
             commit; stop them first (`furlong group describe {group}` names them)"
        ))),
    }
}

/// `TOPIC`, or `TOPIC:0,2,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    topic: String,
    /// All of them, if empty.
    partitions: Vec<i32>,
}

/// Reads `TOPIC` or `TOPIC:0,2,5`.
fn parse_topic(text: &str) -> Result<TopicPartitions, String> {
    let wrong = || "give TOPIC or TOPIC:0,2,5".to_owned();
    let (topic, list) = match text.split_once(':') {
        None => (text, None),
        Some((topic, list)) => (topic, Some(list)),
    };
    let number = |one: &str| one.parse::<i32>().ok().filter(|number| *number >= 0);
    let partitions = match list {
        None => Vec::new(),
        Some(list) => {
            let numbers: Option<Vec<i32>> = list.split(',').map(number).collect();
            numbers.ok_or_else(wrong)?
        }
    };
    match topic.is_empty() {
        true => Err(wrong()),
        false => Ok(TopicPartitions {
            topic: topic.to_owned(),
            partitions,
        }),
    }
}

impl TopicPartitions {
    /// Whether it names a partition.
    fn covers(&self, (topic, partition): &Place) -> bool {
        self.topic == *topic && (self.partitions.is_empty() || self.partitions.contains(partition))
    }
}

/// Joins what went wrong with each group or partition.
fn all_or_failures(failures: &[String]) -> Result<(), CliError> {
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(failures.join("\n"))),
    }
}

/// What a command says in the end that has changed nothing.
pub(super) const PREVIEW: &str = "nothing was changed; give --execute to do it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_may_come_with_partitions() {
        let one = parse_topic("garden:0,2").expect("good");
        let place = |topic: &str, partition| (topic.to_owned(), partition);
        assert!(one.covers(&place("garden", 2)) && !one.covers(&place("garden", 1)));
        assert!(!one.covers(&place("attic", 0)));
        let all = parse_topic("garden").expect("good");
        assert!(all.covers(&place("garden", 77)));
        for text in ["", ":1", "garden:", "garden:x", "garden:-1", "garden:1,"] {
            parse_topic(text).expect_err(text);
        }
    }
}
