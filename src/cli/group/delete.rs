// SPDX-License-Identifier: Apache-2.0
//! `furlong group delete` and `furlong group delete-offsets`.
//!
//! Owns: their arguments and output. Invariants: what is deleted was shown; what could not be
//! deleted is said to be refused already when it is shown. Runs on: the command's thread.
//! Bounded by: the groups that are named, the partitions of one group.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;

use super::{
    DEAD, ExecuteArguments, PREVIEW, TopicPartitions, all_or_failures, described,
    described_consumers, parse_topic, refuse_active, unknown,
};
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::client::member::wish::PROTOCOL_TYPE;
use crate::cli::client::offsets::{Place, by_topic, committed};
use crate::cli::error::refusal;
use crate::cli::output::{Table, print, write_json};
use crate::cli::{CliError, ClientError};
use crate::model::error_code::ErrorCode;
use crate::wire::consumer_protocol::{ConsumerSubscription, decode};
use crate::wire::protocol::consumer_group_describe::DescribedConsumerGroup;
use crate::wire::protocol::delete_groups::DeleteGroupsRequest;
use crate::wire::protocol::describe_groups::DescribedGroup;
use crate::wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

/// Arguments of `furlong group delete`.
#[derive(Clone, Debug, Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The groups
    #[arg(value_name = "GROUP", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong group delete-offsets`.
#[derive(Clone, Debug, Args)]
pub struct DeleteOffsetsArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// Deletes the offsets of this topic, or of these partitions of it; may be repeated
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", value_parser = parse_topic,
          required = true)]
    topic: Vec<TopicPartitions>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

struct Doomed<'a> {
    group: &'a str,
    offsets: usize,
    /// Why it stays, if it does.
    error: Option<String>,
}

/// Carries out `group delete`.
pub(super) fn run(arguments: &DeleteArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let execute = arguments.execute.execute;
    let mut found = Vec::new();
    for group in &arguments.names {
        let outcome = delete_one(&mut cluster, group, execute);
        found.push(Doomed {
            group,
            offsets: outcome.as_ref().copied().unwrap_or(0),
            error: outcome.err().map(|error| error.to_string()),
        });
    }
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = found.iter().map(|one| {
                json!({
                    "group": one.group,
                    "offsets": one.offsets,
                    "done": execute && one.error.is_none(),
                    "error": one.error,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let done = if execute { "deleted" } else { "would delete" };
            for one in found.iter().filter(|one| one.error.is_none()) {
                let (group, count) = (one.group, one.offsets);
                writeln!(output, "{done} group {group} and its {count} offsets")?;
            }
            match execute {
                true => Ok(()),
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })?;
    all_or_failures(
        &found
            .into_iter()
            .filter_map(|one| one.error)
            .collect::<Vec<_>>(),
    )
}

/// Deletes one group, or finds out whether it could; the number of its offsets.
fn delete_one(cluster: &mut Cluster, group: &str, execute: bool) -> Result<usize, CliError> {
    let mut coordinator = Coordinator::of_group(group);
    let state = refuse_active(cluster, &mut coordinator, group)?;
    let offsets = committed(cluster, &mut coordinator, group, None, false)?.len();
    if state == DEAD && offsets == 0 {
        return Err(unknown(group));
    }
    if !execute {
        return Ok(offsets);
    }
    let request = DeleteGroupsRequest {
        groups_names: vec![group.into()],
    };
    let answer = coordinator.call(cluster, &request, |answer| {
        answer.results.first().map_or(0, |one| one.error_code)
    })?;
    let code = answer.results.first().map_or(0, |one| one.error_code);
    match code == ErrorCode::None.code() {
        true => Ok(offsets),
        false => Err(coordinator.refused(code, None).into()),
    }
}

/// Carries out `group delete-offsets`.
pub(super) fn run_offsets(arguments: &DeleteOffsetsArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let (group, execute) = (&arguments.group, arguments.execute.execute);
    let mut coordinator = Coordinator::of_group(group);
    let consumed = consumed(&mut cluster, &mut coordinator, group)?;
    let mut offsets = committed(&mut cluster, &mut coordinator, group, None, false)?;
    let Some(consumed) = consumed.or_else(|| (!offsets.is_empty()).then(Consumed::nothing)) else {
        return Err(unknown(group));
    };
    offsets.retain(|place, _| arguments.topic.iter().any(|one| one.covers(place)));
    if offsets.is_empty() {
        return Err(CliError::new(format!(
            "group {group} has no offsets there; `furlong group offsets {group}` prints those it \
             has"
        )));
    }
    let places: Vec<Place> = offsets.keys().cloned().collect();
    let errors = match execute {
        true => forget(&mut cluster, &mut coordinator, group, &places)?,
        false => in_use(group, &consumed, &places),
    };
    print(|output| match arguments.format.format {
        Format::Json => {
            let objects = offsets.iter().map(|(place, one)| {
                let error = errors.get(place);
                json!({
                    "group": group,
                    "topic": place.0,
                    "partition": place.1,
                    "offset": one.offset,
                    "done": execute && error.is_none(),
                    "error": error,
                })
            });
            write_json(&objects.collect(), output)
        }
        Format::Table => {
            let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET"]);
            for (place, one) in offsets
                .iter()
                .filter(|(place, _)| !errors.contains_key(place))
            {
                table.row([place.0.clone(), place.1.to_string(), one.offset.to_string()]);
            }
            table.write(output)?;
            match execute {
                true => {
                    let count = offsets.len() - errors.len();
                    writeln!(output, "deleted {count} offsets of group {group}")
                }
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })?;
    all_or_failures(&errors.into_values().collect::<Vec<_>>())
}

/// Partitions of topics that a member consumes: those the coordinator does not forget.
fn in_use(group: &str, topics: &Consumed, places: &[Place]) -> BTreeMap<Place, String> {
    let code = ErrorCode::GroupSubscribedToTopic.code();
    let used = places.iter().filter(|place| topics.covers(&place.0));
    used.map(|place| (place.clone(), stays(group, place, code)))
        .collect()
}

/// What the members of a group consume; `None` if there is no such group. Members that are no
/// consumers say to nobody what they use, so the coordinator forgets nothing of theirs.
fn consumed(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
) -> Result<Option<Consumed>, CliError> {
    // Versions before the sixth describe a group of the new protocol as one that is not there.
    if let Some(found) = described_consumers(cluster, coordinator, group)? {
        return Ok(Some(Consumed::by_new(&found)));
    }
    let found = described(cluster, coordinator, group)?;
    if &*found.group_state == DEAD {
        return Ok(None);
    }
    if !found.members.is_empty() && &*found.protocol_type != PROTOCOL_TYPE {
        return Err(CliError::new(format!(
            "group {group} is {} with {} members that are no consumers ({}), so nobody knows which \
             offsets they use; stop them first (`furlong group describe {group}` names them)",
            found.group_state,
            found.members.len(),
            found.protocol_type,
        )));
    }
    Ok(Some(Consumed::by_classic(&found)))
}

/// The topics that members of a group consume.
#[derive(Debug, PartialEq, Eq)]
enum Consumed {
    These(BTreeSet<String>),
    /// The members have not agreed yet, and nobody says what they want.
    Unknown,
}

impl Consumed {
    fn nothing() -> Consumed {
        Consumed::These(BTreeSet::new())
    }

    fn covers(&self, topic: &str) -> bool {
        match self {
            Consumed::These(topics) => topics.contains(topic),
            Consumed::Unknown => true,
        }
    }

    /// Of a classic group; its members say it only once they have agreed on a way of dividing.
    fn by_classic(described: &DescribedGroup) -> Consumed {
        let mut topics = BTreeSet::new();
        for member in &described.members {
            match decode::<ConsumerSubscription>(&member.member_metadata) {
                Ok((_, said)) => topics.extend(said.topics.iter().map(ToString::to_string)),
                Err(_) => return Consumed::Unknown,
            }
        }
        Consumed::These(topics)
    }

    /// Of a group of the new protocol (KIP-848). What a pattern stands for shows in the shares.
    fn by_new(described: &DescribedConsumerGroup) -> Consumed {
        let mut topics = BTreeSet::new();
        for member in &described.members {
            let names = member.subscribed_topic_names.iter();
            topics.extend(names.map(ToString::to_string));
            for share in [&member.assignment, &member.target_assignment] {
                let names = share.topic_partitions.iter().map(|one| &one.topic_name);
                topics.extend(names.map(ToString::to_string));
            }
        }
        Consumed::These(topics)
    }
}

fn stays(group: &str, (topic, partition): &Place, code: i16) -> String {
    let what = format!("the offset of group {group} in partition {partition} of topic {topic}");
    refusal(&what, code, None)
}

fn forget(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
    places: &[Place],
) -> Result<BTreeMap<Place, String>, ClientError> {
    let one = |(name, partitions): (&str, Vec<i32>)| OffsetDeleteRequestTopic {
        name: name.into(),
        partitions: partitions
            .into_iter()
            .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
            .collect(),
    };
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: by_topic(places).into_iter().map(one).collect(),
    };
    let answer = coordinator.call(cluster, &request, |answer| answer.error_code)?;
    if answer.error_code != ErrorCode::None.code() {
        return Err(coordinator.refused(answer.error_code, None));
    }
    let mut errors = BTreeMap::new();
    for topic in &answer.topics {
        for one in &topic.partitions {
            if one.error_code != ErrorCode::None.code() {
                let place = (topic.name.to_string(), one.partition_index);
                let sentence = stays(group, &place, one.error_code);
                errors.insert(place, sentence);
            }
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::consumer_protocol::encode;
    use crate::wire::protocol::consumer_group_describe::{
        DescribedAssignment, DescribedConsumer, NamedTopicPartitions,
    };
    use crate::wire::protocol::describe_groups::DescribedGroupMember;
    use bytes::Bytes;

    fn these(topics: &[&str]) -> Consumed {
        Consumed::These(topics.iter().map(|topic| (*topic).to_owned()).collect())
    }

    #[test]
    fn classic_members_say_what_they_consume_once_they_have_agreed() {
        let said = ConsumerSubscription {
            topics: vec!["a".into(), "b".into()],
            ..ConsumerSubscription::default()
        };
        let member = |member_metadata: Bytes| DescribedGroupMember {
            member_metadata,
            ..DescribedGroupMember::default()
        };
        let group = |members| DescribedGroup {
            members,
            ..DescribedGroup::default()
        };
        let speaks = member(encode(&said, 0).expect("small"));
        let agreed = Consumed::by_classic(&group(vec![speaks.clone()]));
        assert_eq!(agreed, these(&["a", "b"]));
        assert!(agreed.covers("a") && !agreed.covers("c"));
        let not_yet = Consumed::by_classic(&group(vec![speaks, member(Bytes::new())]));
        assert!(not_yet.covers("c"), "who knows");
        assert_eq!(Consumed::by_classic(&group(Vec::new())), these(&[]));
    }

    #[test]
    fn a_pattern_is_what_it_got() {
        let share = |topic: &str| DescribedAssignment {
            topic_partitions: vec![NamedTopicPartitions {
                topic_name: topic.into(),
                ..NamedTopicPartitions::default()
            }],
        };
        let found = DescribedConsumerGroup {
            members: vec![
                DescribedConsumer {
                    subscribed_topic_names: vec!["a".into()],
                    ..DescribedConsumer::default()
                },
                DescribedConsumer {
                    subscribed_topic_regex: Some("b.*".into()),
                    assignment: share("b1"),
                    target_assignment: share("b2"),
                    ..DescribedConsumer::default()
                },
            ],
            ..DescribedConsumerGroup::default()
        };
        assert_eq!(Consumed::by_new(&found), these(&["a", "b1", "b2"]));
    }
}
