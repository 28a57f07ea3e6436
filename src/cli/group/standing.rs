// SPDX-License-Identifier: Apache-2.0
//! Where a group stands: its members, its offsets, and how far these are behind.
//!
//! Owns: [`GroupView`] and how it is gathered. Invariants: the end of a partition is asked for
//! after the committed offset, so no lag is below 0 because time went by; what is not known stays
//! unknown and is never 0. Runs on: the command's thread. Bounded by: the partitions of one group.

use std::collections::BTreeMap;

use super::{DEAD, age, described, described_consumers, unknown};
use crate::cli::CliError;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::client::member::wish;
use crate::cli::client::offsets::{Committed, Place, by_topic, committed};
use crate::cli::client::positions::list_offsets;
use crate::cli::error::ClientError;
use crate::wire::consumer_protocol::{ConsumerSubscription, decode};
use crate::wire::protocol::consumer_group_describe::{DescribedConsumer, DescribedConsumerGroup};
use crate::wire::protocol::describe_groups::{DescribedGroup, DescribedGroupMember};
use bytestring::ByteString;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A group and where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupView {
    /// Its name.
    pub(super) group: String,
    /// Type, such as `classic`.
    pub(super) kind: &'static str,
    /// Its state.
    pub(super) state: String,
    /// The kind of protocol, `consumer` for consumers.
    pub(super) protocol_type: String,
    /// How partitions are assigned.
    pub(super) assignor: String,
    /// Id and address of the broker that coordinates it.
    pub(super) coordinator: (i32, String),
    /// Its members.
    pub(super) members: Vec<Member>,
    /// Where it stands in each partition that it has or had.
    pub(super) standings: Vec<Standing>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// What the coordinator calls it.
    pub(super) id: String,
    /// What its operator calls it.
    pub(super) instance: Option<String>,
    /// What its client calls itself.
    pub(super) client: String,
    /// Where it is.
    pub(super) host: String,
    /// The topics that it wants, if it says so in the way of consumers.
    pub(super) subscription: Option<Vec<String>>,
    /// The partitions that it has, likewise.
    pub(super) assignment: Option<Vec<Place>>,
}

/// Where a group stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Topic and partition.
    pub(super) place: Place,
    /// What it committed.
    pub(super) committed: Option<Committed>,
    /// First offset of the partition, if it is there.
    pub(super) begin: Option<i64>,
    /// The offset of the next record to be written, if the partition is there.
    pub(super) end: Option<i64>,
    /// Age of the first record that was not consumed, in milliseconds; 0 where there is none.
    pub(super) age_ms: Option<i64>,
    /// The member that has the partition.
    pub(super) member: Option<String>,
}

impl Standing {
    /// Records from the committed offset to the end.
    pub(super) fn lag(&self) -> Option<i64> {
        let (committed, end) = (self.committed.as_ref()?, self.end?);
        Some(end.saturating_sub(committed.offset).max(0))
    }

    /// The first offset that is there and not consumed.
    fn first_left(&self) -> Option<i64> {
        let (committed, begin) = (self.committed.as_ref()?, self.begin?);
        (self.lag()? > 0).then(|| committed.offset.max(begin))
    }
}

/// First and next offsets of partitions, and their leaders. What is not there is left out.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// First offsets.
    pub(super) begins: BTreeMap<Place, i64>,
    /// Next offsets.
    pub(super) ends: BTreeMap<Place, i64>,
    /// Ids of the leaders.
    pub(super) leaders: BTreeMap<Place, i32>,
}

impl Ends {
    /// Asks for the partitions of these topics; those of `places` only, if given.
    pub(super) fn ask(cluster: &mut Cluster, places: &[Place]) -> Result<Ends, ClientError> {
        let mut found = Ends::default();
        for (topic, partitions) in existing(cluster, places)? {
            let numbers: Vec<i32> = partitions.iter().map(|one| one.0).collect();
            let place = |partition: i32| (topic.clone(), partition);
            let leaders = partitions.iter().map(|one| (place(one.0), one.1));
            found.leaders.extend(leaders);
            let begins = list_offsets(cluster, &topic, &numbers, EARLIEST)?;
            let ends = list_offsets(cluster, &topic, &numbers, LATEST)?;
            let named = |offsets: BTreeMap<i32, i64>| {
                let named = offsets
                    .into_iter()
                    .map(|(one, offset)| (place(one), offset));
                named.collect::<Vec<_>>()
            };
            found.begins.extend(named(begins));
            found.ends.extend(named(ends));
        }
        Ok(found)
    }
}

/// Those of the places that are there, and their leaders, by topic.
fn existing(
    cluster: &mut Cluster,
    places: &[Place],
) -> Result<BTreeMap<String, Vec<(i32, i32)>>, ClientError> {
    let wanted = by_topic(places);
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let names: Vec<String> = wanted.keys().map(|name| (*name).to_owned()).collect();
    for topic in cluster.describe(Some(&names))?.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        let Some(numbers) = wanted.get(name) else {
            continue;
        };
        let partitions = topic.partitions.iter();
        let there: Vec<(i32, i32)> = partitions
            .filter(|one| numbers.contains(&one.partition_index) && one.leader_id >= 0)
            .map(|one| (one.partition_index, one.leader_id))
            .collect();
        if !there.is_empty() {
            found.insert(name.to_owned(), there);
        }
    }
    Ok(found)
}

/// Asks for all of one group.
pub(super) fn view(
    cluster: &mut Cluster,
    group: &str,
    now_ms: impl Fn() -> i64,
) -> Result<GroupView, CliError> {
    let mut coordinator = Coordinator::of_group(group);
    let place = coordinator.place(cluster)?;
    let found = described(cluster, &mut coordinator, group)?;
    let mut view = match &*found.group_state == DEAD {
        false => classic(&found),
        // One of the new protocol is none for the old question.
        true => {
            let found = described_consumers(cluster, &mut coordinator, group)?;
            consumers(&found.ok_or_else(|| unknown(group))?)
        }
    };
    view.group = group.to_owned();
    view.coordinator = place;
    let offsets = committed(cluster, &mut coordinator, group, None, false)?;
    view.standings = standings(cluster, &view.members, offsets, now_ms)?;
    Ok(view)
}

fn classic(found: &DescribedGroup) -> GroupView {
    GroupView {
        kind: "classic",
        state: found.group_state.to_string(),
        protocol_type: found.protocol_type.to_string(),
        assignor: found.protocol_data.to_string(),
        members: members(found),
        ..GroupView::default()
    }
}

fn consumers(found: &DescribedConsumerGroup) -> GroupView {
    let member = |one: &DescribedConsumer| {
        let topics = one.assignment.topic_partitions.iter();
        let places = topics.flat_map(|topic| {
            let name = topic.topic_name.to_string();
            topic.partitions.iter().map(move |one| (name.clone(), *one))
        });
        Member {
            id: one.member_id.to_string(),
            instance: one.instance_id.as_ref().map(ToString::to_string),
            client: one.client_id.to_string(),
            host: one.client_host.to_string(),
            subscription: Some(named(&one.subscribed_topic_names)),
            assignment: Some(sorted(places.collect())),
        }
    };
    let mut members: Vec<Member> = found.members.iter().map(member).collect();
    members.sort_by(|left, right| left.id.cmp(&right.id));
    GroupView {
        kind: "consumer",
        state: found.group_state.to_string(),
        protocol_type: "consumer".to_owned(),
        assignor: found.assignor_name.to_string(),
        members,
        ..GroupView::default()
    }
}

fn members(found: &DescribedGroup) -> Vec<Member> {
    let is_consumer = &*found.protocol_type == "consumer";
    let mut members: Vec<Member> = found
        .members
        .iter()
        .map(|one| member(one, is_consumer))
        .collect();
    members.sort_by(|left, right| left.id.cmp(&right.id));
    members
}

fn member(found: &DescribedGroupMember, is_consumer: bool) -> Member {
    let mut member = Member {
        id: found.member_id.to_string(),
        instance: found.group_instance_id.as_ref().map(ToString::to_string),
        client: found.client_id.to_string(),
        host: found.client_host.to_string(),
        subscription: None,
        assignment: None,
    };
    if !is_consumer {
        return member;
    }
    // In a rebalance a member has neither.
    let said = decode::<ConsumerSubscription>(&found.member_metadata).ok();
    member.subscription = said.map(|(_, said)| named(&said.topics));
    let got = wish::share(&found.member_assignment).ok();
    member.assignment = got.map(|got| sorted(wish::places(&got.assigned_partitions)));
    member
}

fn named(topics: &[ByteString]) -> Vec<String> {
    topics.iter().map(ToString::to_string).collect()
}

fn sorted(mut places: Vec<Place>) -> Vec<Place> {
    places.sort();
    places
}

fn standings(
    cluster: &mut Cluster,
    members: &[Member],
    mut offsets: BTreeMap<Place, Committed>,
    now_ms: impl Fn() -> i64,
) -> Result<Vec<Standing>, CliError> {
    let mut owners: BTreeMap<Place, &str> = BTreeMap::new();
    for member in members {
        for place in member.assignment.iter().flatten() {
            owners.insert(place.clone(), &member.id);
        }
    }
    let mut places: Vec<Place> = offsets.keys().chain(owners.keys()).cloned().collect();
    places.sort();
    places.dedup();
    let found = Ends::ask(cluster, &places)?;
    let mut standings: Vec<Standing> = places
        .into_iter()
        .map(|place| Standing {
            committed: offsets.remove(&place),
            begin: found.begins.get(&place).copied(),
            end: found.ends.get(&place).copied(),
            age_ms: None,
            member: owners.get(&place).map(|id| (*id).to_owned()),
            place,
        })
        .collect();
    let left = standings
        .iter()
        .filter_map(|one| Some((one.place.clone(), one.first_left()?)));
    let times = age::timestamps(cluster, &found.leaders, &left.collect())?;
    let now_ms = now_ms();
    for one in &mut standings {
        one.age_ms = match one.lag() {
            Some(0) => Some(0),
            _ => times.get(&one.place).map(|time| (now_ms - time).max(0)),
        };
    }
    Ok(standings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::consumer_protocol::{ConsumerAssignment, NamedPartitions, encode};
    use crate::wire::protocol::consumer_group_describe::{
        DescribedAssignment, NamedTopicPartitions,
    };
    use bytes::Bytes;

    fn standing(committed: Option<i64>, begin: Option<i64>, end: Option<i64>) -> Standing {
        Standing {
            place: ("t".to_owned(), 0),
            committed: committed.map(|offset| Committed {
                offset,
                leader_epoch: -1,
                metadata: String::new(),
            }),
            begin,
            end,
            age_ms: None,
            member: None,
        }
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let lag = |committed, begin, end| {
            let one = standing(committed, begin, end);
            (one.lag(), one.first_left())
        };
        assert_eq!(lag(Some(5), Some(0), Some(9)), (Some(4), Some(5)));
        assert_eq!(lag(Some(9), Some(0), Some(9)), (Some(0), None));
        assert_eq!(lag(None, Some(0), Some(9)), (None, None));
        assert_eq!(lag(Some(5), None, None), (None, None), "no such topic");
        // Retention took what was not consumed: the first record that is left counts.
        assert_eq!(lag(Some(2), Some(6), Some(9)), (Some(7), Some(6)));
        // The topic was made anew.
        assert_eq!(lag(Some(50), Some(0), Some(9)), (Some(0), None));
    }

    #[test]
    fn a_group_of_the_new_protocol_names_its_partitions_itself() {
        let topic = NamedTopicPartitions {
            topic_name: "t".into(),
            partitions: vec![4, 1],
            ..NamedTopicPartitions::default()
        };
        let consumer = |id: &str, topic_partitions: Vec<NamedTopicPartitions>| DescribedConsumer {
            member_id: id.into(),
            subscribed_topic_names: vec!["t".into()],
            assignment: DescribedAssignment { topic_partitions },
            ..DescribedConsumer::default()
        };
        let found = DescribedConsumerGroup {
            group_state: "Stable".into(),
            assignor_name: "uniform".into(),
            members: vec![consumer("b", Vec::new()), consumer("a", vec![topic])],
            ..DescribedConsumerGroup::default()
        };
        let view = consumers(&found);
        assert_eq!((view.kind, &*view.assignor), ("consumer", "uniform"));
        let place = |number| ("t".to_owned(), number);
        assert_eq!(view.members[0].assignment, Some(vec![place(1), place(4)]));
        assert_eq!(view.members[1].assignment, Some(Vec::new()));
    }

    #[test]
    fn members_say_what_they_want_and_have() {
        let topics = |partitions: &[i32]| NamedPartitions {
            topic: "t".into(),
            partitions: partitions.to_vec(),
        };
        let subscription = ConsumerSubscription {
            topics: vec!["t".into()],
            ..ConsumerSubscription::default()
        };
        let assignment = ConsumerAssignment {
            assigned_partitions: vec![topics(&[4, 1])],
            ..ConsumerAssignment::default()
        };
        let raw = DescribedGroupMember {
            member_id: "m".into(),
            member_metadata: encode(&subscription, 3).expect("small"),
            member_assignment: encode(&assignment, 3).expect("small"),
            ..DescribedGroupMember::default()
        };
        let read = member(&raw, true);
        assert_eq!(read.subscription, Some(vec!["t".to_owned()]));
        let place = |number| ("t".to_owned(), number);
        assert_eq!(read.assignment, Some(vec![place(1), place(4)]));
        // Another kind of group has bytes of its own.
        assert_eq!(member(&raw, false).assignment, None);
        let odd = DescribedGroupMember {
            member_metadata: Bytes::from_static(b"?"),
            ..raw
        };
        assert_eq!(member(&odd, true).subscription, None);
    }
}
