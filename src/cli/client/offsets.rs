// SPDX-License-Identifier: Apache-2.0
//! Offsets that groups committed: asked for, and committed.
//!
//! Owns: [`committed`], [`commit`]. Invariants: a partition without a committed offset is left out
//! of what is asked for; an offset that the coordinator did not take is told by its code.
//! Runs on: one thread at a time. Bounded by: the partitions of one group.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::Retry;
use super::cluster::Cluster;
use super::coordinator::Coordinator;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use crate::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};

/// The first version that asks for several groups.
const MANY_GROUPS_VERSION: i16 = 8;
/// The first version in which a member says who it is.
const MEMBERS_VERSION: i16 = 9;

/// A topic and a partition of it.
pub type Place = (String, i32);

/// What was committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset that the group wants.
    pub offset: i64,
    /// Leader epoch of the last record, -1 if not known.
    pub leader_epoch: i32,
    /// What the client keeps with it.
    pub metadata: String,
}

/// Partitions by topic.
#[must_use]
pub fn by_topic<'a>(places: impl IntoIterator<Item = &'a Place>) -> BTreeMap<&'a str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places {
        topics.entry(topic).or_default().push(*partition);
    }
    topics
}

/// What a group committed for some partitions, or for all that it committed. `is_stable` waits for
/// transactions that are about to commit offsets of these partitions (KIP-447).
pub fn committed(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    group: &str,
    places: Option<&[Place]>,
    is_stable: bool,
) -> Result<BTreeMap<Place, Committed>, ClientError> {
    let ask = |version| fetch_request(group, places, is_stable, version);
    ask_committed(cluster, coordinator, ask)
}

/// What a group committed for partitions of one of its members, which the coordinator is to know
/// under this epoch (KIP-848). That is told from version 9 on.
pub fn committed_of_member(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    member: &Committer,
    places: &[Place],
) -> Result<BTreeMap<Place, Committed>, ClientError> {
    let ask = |version| {
        let mut request = fetch_request(&member.group, Some(places), true, version);
        for group in request
            .groups
            .iter_mut()
            .filter(|_| version >= MEMBERS_VERSION)
        {
            group.member_id = Some(member.member.clone());
            group.member_epoch = member.generation;
        }
        request
    };
    ask_committed(cluster, coordinator, ask)
}

fn ask_committed(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    ask: impl Fn(i16) -> OffsetFetchRequest,
) -> Result<BTreeMap<Place, Committed>, ClientError> {
    let mut retry = Retry::lasting(super::RETRY_FOR);
    loop {
        let version = coordinator
            .connection(cluster)
            .and_then(|connection| connection.version_of::<OffsetFetchRequest>());
        let found =
            version.and_then(|version| coordinator.call_once(cluster, &ask(version), code_of));
        let outcome = found.and_then(|answer| taken(coordinator, answer));
        match outcome {
            Err(error) if passes(&error) && cluster.may_retry(&mut retry) => {}
            outcome => return outcome,
        }
    }
}

fn passes(error: &ClientError) -> bool {
    let unstable = ErrorCode::UnstableOffsetCommit.code();
    error.is_retriable() || matches!(error, ClientError::Refused { code, .. } if *code == unstable)
}

fn fetch_request(
    group: &str,
    places: Option<&[Place]>,
    require_stable: bool,
    version: i16,
) -> OffsetFetchRequest {
    let topics = places.map(by_topic);
    let base = OffsetFetchRequest {
        require_stable: require_stable && version >= 7,
        ..OffsetFetchRequest::default()
    };
    if version < MANY_GROUPS_VERSION {
        let one = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.into(),
            partition_indexes,
        };
        return OffsetFetchRequest {
            group_id: group.into(),
            topics: topics.map(|topics| topics.into_iter().map(one).collect()),
            ..base
        };
    }
    let one = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
        name: name.into(),
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: topics.map(|topics| topics.into_iter().map(one).collect()),
            ..OffsetFetchRequestGroup::default()
        }],
        ..base
    }
}

fn code_of(answer: &OffsetFetchResponse) -> i16 {
    let first = answer.groups.first();
    first.map_or(answer.error_code, |group| group.error_code)
}

/// The offsets of an answer of either form.
fn taken(
    coordinator: &Coordinator,
    answer: OffsetFetchResponse,
) -> Result<BTreeMap<Place, Committed>, ClientError> {
    let code = code_of(&answer);
    if code != ErrorCode::None.code() {
        return Err(coordinator.refused(code, None));
    }
    let mut found = BTreeMap::new();
    let mut take = |topic: &ByteString, partition, code, committed: Committed| {
        if code != ErrorCode::None.code() {
            return Err(ClientError::Refused {
                what: format!("partition {partition} of topic {topic}"),
                code,
                message: None,
            });
        }
        if committed.offset >= 0 {
            found.insert((topic.to_string(), partition), committed);
        }
        Ok(())
    };
    let text = |metadata: Option<ByteString>| metadata.unwrap_or_default().to_string();
    for topic in answer.topics {
        for one in topic.partitions {
            let committed = Committed {
                offset: one.committed_offset,
                leader_epoch: one.committed_leader_epoch,
                metadata: text(one.metadata),
            };
            take(&topic.name, one.partition_index, one.error_code, committed)?;
        }
    }
    for topic in answer.groups.into_iter().flat_map(|group| group.topics) {
        for one in topic.partitions {
            let committed = Committed {
                offset: one.committed_offset,
                leader_epoch: one.committed_leader_epoch,
                metadata: text(one.metadata),
            };
            take(&topic.name, one.partition_index, one.error_code, committed)?;
        }
    }
    Ok(found)
}

/// As whom offsets are committed.
#[derive(Clone, Debug)]
pub struct Committer {
    /// The group.
    pub group: String,
    /// Its generation, or the epoch of the member (KIP-848); -1 from outside of the group.
    pub generation: i32,
    /// The member, empty from outside.
    pub member: ByteString,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<ByteString>,
}

impl Committer {
    /// Somebody who is no member: the coordinator takes that for a group without members only.
    #[must_use]
    pub fn outside(group: &str) -> Committer {
        Committer {
            group: group.to_owned(),
            generation: -1,
            member: ByteString::new(),
            instance: None,
        }
    }
}

/// Commits offsets once and says which were refused, with their codes.
pub fn commit(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    committer: &Committer,
    offsets: &BTreeMap<Place, i64>,
) -> Result<BTreeMap<Place, i16>, ClientError> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for ((topic, partition), offset) in offsets {
        if topics.last().is_none_or(|last| *last.name != **topic) {
            topics.push(OffsetCommitRequestTopic {
                name: topic.as_str().into(),
                ..OffsetCommitRequestTopic::default()
            });
        }
        let last = topics.last_mut().expect("one was pushed");
        last.partitions.push(OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            ..OffsetCommitRequestPartition::default()
        });
    }
    let request = OffsetCommitRequest {
        group_id: committer.group.as_str().into(),
        generation_id_or_member_epoch: committer.generation,
        member_id: committer.member.clone(),
        group_instance_id: committer.instance.clone(),
        topics,
        ..OffsetCommitRequest::default()
    };
    let answer = coordinator.call_once(cluster, &request, first_code)?;
    let mut refused = BTreeMap::new();
    for topic in &answer.topics {
        for one in &topic.partitions {
            if one.error_code != ErrorCode::None.code() {
                let place = (topic.name.to_string(), one.partition_index);
                refused.insert(place, one.error_code);
            }
        }
    }
    Ok(refused)
}

/// The code of the whole: what is wrong with group or member is told of every partition.
fn first_code(answer: &OffsetCommitResponse) -> i16 {
    let mut all = answer.topics.iter().flat_map(|topic| &topic.partitions);
    all.find(|one| one.error_code != ErrorCode::None.code())
        .map_or(0, |one| one.error_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::offset_fetch::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    };

    fn places() -> Vec<Place> {
        [("a", 0), ("a", 2), ("b", 1)]
            .map(|(topic, one)| (topic.to_owned(), one))
            .to_vec()
    }

    #[test]
    fn both_forms_of_the_question() {
        let old = fetch_request("g", Some(&places()), true, 6);
        assert_eq!(&*old.group_id, "g");
        let topics = old.topics.expect("some");
        assert_eq!(topics[0].partition_indexes, [0, 2]);
        assert!(!old.require_stable, "version 6 cannot say it");
        let new = fetch_request("g", None, true, 8);
        assert!(new.require_stable && new.group_id.is_empty());
        assert_eq!(
            (&*new.groups[0].group_id, &new.groups[0].topics),
            ("g", &None)
        );
    }

    #[test]
    fn both_forms_of_the_answer() {
        let coordinator = Coordinator::of_group("g");
        let old = OffsetFetchResponse {
            topics: vec![OffsetFetchResponseTopic {
                name: "a".into(),
                partitions: vec![
                    OffsetFetchResponsePartition {
                        committed_offset: 7,
                        metadata: Some("note".into()),
                        ..OffsetFetchResponsePartition::default()
                    },
                    OffsetFetchResponsePartition {
                        partition_index: 1,
                        committed_offset: -1,
                        ..OffsetFetchResponsePartition::default()
                    },
                ],
            }],
            ..OffsetFetchResponse::default()
        };
        let found = taken(&coordinator, old).expect("no code");
        let one = Committed {
            offset: 7,
            leader_epoch: -1,
            metadata: "note".to_owned(),
        };
        assert_eq!(found, BTreeMap::from([(("a".to_owned(), 0), one)]));
        let of_group = |error_code, of_partition| OffsetFetchResponse {
            groups: vec![OffsetFetchResponseGroup {
                error_code,
                topics: vec![OffsetFetchResponseTopics {
                    name: "a".into(),
                    partitions: vec![OffsetFetchResponsePartitions {
                        committed_offset: 5,
                        error_code: of_partition,
                        ..OffsetFetchResponsePartitions::default()
                    }],
                    ..OffsetFetchResponseTopics::default()
                }],
                ..OffsetFetchResponseGroup::default()
            }],
            ..OffsetFetchResponse::default()
        };
        let found = taken(&coordinator, of_group(0, 0)).expect("no code");
        assert_eq!(found[&("a".to_owned(), 0)].offset, 5);
        let error = taken(&coordinator, of_group(69, 0)).expect_err("a code");
        assert!(error.to_string().starts_with("group g: "), "{error}");
        let unstable = taken(&coordinator, of_group(0, 88)).expect_err("a code");
        assert!(passes(&unstable) && !passes(&error));
    }
}
