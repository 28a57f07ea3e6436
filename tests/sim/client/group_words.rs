// SPDX-License-Identifier: Apache-2.0
//! What clients of groups say and understand: who coordinates, subscriptions, assignments, commits,
//! and answers to OffsetFetch.
//!
//! Invariants: an assignment carries its number, a commit carries its number as metadata; both are
//! read back whole or not at all.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use furlong::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::link::{Link, decode};
use super::{Board, Context, KnownTopic};
use crate::history::Place;
use crate::history::groups::{Change, GROUPS, GroupEntry, GroupIndex, Outcome};
use crate::history::{Entry, History};

/// First version of OffsetCommit and OffsetFetch that names topics by id.
const IDS_FROM: i16 = 10;

/// First version of OffsetFetch with several groups.
const GROUPS_FROM: i16 = 8;

/// First version of FindCoordinator with several keys.
const KEYS_FROM: i16 = 4;

/// One offset of a commit: where, which offset, and the number of the commit.
pub type Mark = (Place, i64, u64);

/// A committed offset as it was told: where, which offset, and the number of its commit.
pub type Told = (Place, i64, Option<u64>);

/// What a consumer says of itself (`ConsumerProtocolSubscription` v0).
pub fn subscription(topics: &[String]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(topics.len()).expect("few topics"));
    for topic in topics {
        bytes.put_i16(i16::try_from(topic.len()).expect("a short name"));
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// An assignment: its number and the partitions.
pub fn encode_share(number: u64, places: &[Place]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u64(number);
    for place in places {
        bytes.put_u64(u64::try_from(place.topic).expect("few topics"));
        bytes.put_i32(place.partition);
    }
    bytes.freeze()
}

/// Reads an assignment; `None` if there is none.
pub fn decode_share(mut bytes: Bytes) -> Option<(u64, Vec<Place>)> {
    let number = bytes.try_get_u64().ok()?;
    let mut places = Vec::new();
    while bytes.has_remaining() {
        let topic = usize::try_from(bytes.try_get_u64().ok()?).ok()?;
        let partition = bytes.try_get_i32().ok()?;
        places.push(Place { topic, partition });
    }
    Some((number, places))
}

/// The partitions that groups consume: those of topics that nobody deletes.
pub fn consumed(board: &Board) -> Vec<Place> {
    let lasting = board.topics.iter();
    let lasting = lasting.filter(|known| known.usable && !known.name.starts_with("churn"));
    lasting.flat_map(KnownTopic::places).collect()
}

/// A request for the coordinator of a group.
pub fn find_coordinator<T>(
    link: &Link<T>,
    context: &mut Context<'_>,
    group: GroupIndex,
) -> (i16, FindCoordinatorRequest) {
    let version = link.version::<FindCoordinatorRequest>(context, i16::MAX);
    let key = GROUPS[group];
    let mut body = FindCoordinatorRequest::default();
    if version < KEYS_FROM {
        body.key = key.into();
    } else {
        body.coordinator_keys = vec![key.into()];
    }
    (version, body)
}

/// Takes the answer to it. Gives its code.
pub fn take_found(context: &mut Context<'_>, version: i16, frame: Bytes) -> Option<i16> {
    let body = decode::<FindCoordinatorRequest>(context, version, frame)?;
    if version < KEYS_FROM {
        return Some(body.error_code);
    }
    body.coordinators.first().map(|found| found.error_code)
}

fn by_topic<T: Clone>(all: impl Iterator<Item = (Place, T)>) -> BTreeMap<usize, Vec<(i32, T)>> {
    let mut topics: BTreeMap<usize, Vec<(i32, T)>> = BTreeMap::new();
    for (place, what) in all {
        let topic = topics.entry(place.topic).or_default();
        topic.push((place.partition, what));
    }
    topics
}

/// The id of a topic, zero if nobody knows it.
fn id_of(board: &Board, topic: usize) -> Uuid {
    board.topic(topic).map_or(Uuid::ZERO, |known| known.id)
}

/// The newest version that can name these partitions.
pub fn newest(board: &Board, mut places: impl Iterator<Item = Place>) -> i16 {
    if places.all(|place| !id_of(board, place.topic).is_zero()) {
        i16::MAX
    } else {
        IDS_FROM - 1
    }
}

/// The topics of a commit.
pub fn commit_topics(context: &Context<'_>, marks: &[Mark]) -> Vec<OffsetCommitRequestTopic> {
    let all = marks
        .iter()
        .map(|(place, offset, mark)| (*place, (*offset, *mark)));
    let topics = by_topic(all).into_iter();
    topics
        .map(|(topic, partitions)| OffsetCommitRequestTopic {
            name: context.history.topics[topic].clone().into(),
            topic_id: id_of(context.board, topic),
            partitions: partitions
                .into_iter()
                .map(
                    |(partition_index, (offset, mark))| OffsetCommitRequestPartition {
                        partition_index,
                        committed_offset: offset,
                        committed_metadata: Some(mark.to_string().into()),
                        ..OffsetCommitRequestPartition::default()
                    },
                )
                .collect(),
        })
        .collect()
}

/// Notes the attempt to commit these; the numbers of the changes stand in the order of the marks.
pub fn note_commit(
    context: &mut Context<'_>,
    group: GroupIndex,
    (member, generation): (&str, i32),
    marks: &[Mark],
) -> Vec<(Place, usize)> {
    let incarnation = context.incarnation;
    let mut changes = Vec::new();
    for (place, _, mark) in marks {
        let change = context.history.ask_change(Change {
            group,
            place: Some(*place),
            mark: Some(*mark),
            member: member.to_owned(),
            generation,
            incarnation,
            asked: 0,
            ended: None,
        });
        changes.push((*place, change));
    }
    changes
}

/// How a change ended that was answered with this code; `None` if a right client never gets it.
pub fn outcome(code: i16) -> Option<Outcome> {
    Some(match ErrorCode::from_code(code)? {
        ErrorCode::None => Outcome::Done,
        ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::RebalanceInProgress
        | ErrorCode::FencedInstanceId
        | ErrorCode::GroupIdNotFound
        | ErrorCode::StaleMemberEpoch
        | ErrorCode::NonEmptyGroup
        | ErrorCode::GroupSubscribedToTopic
        | ErrorCode::CoordinatorLoadInProgress => Outcome::Refused,
        // The records may have been on their way to the log when the coordinator was given up.
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => Outcome::Over,
        _ => return None,
    })
}

/// Takes the answer to a commit. Gives the code of each partition.
pub fn take_committed(
    context: &mut Context<'_>,
    version: i16,
    frame: Bytes,
    mut changes: Vec<(Place, usize)>,
) -> Vec<i16> {
    let Some(body) = decode::<OffsetCommitRequest>(context, version, frame) else {
        return Vec::new();
    };
    let mut codes = Vec::new();
    for topic in &body.topics {
        let name = if version >= IDS_FROM {
            ""
        } else {
            &*topic.name
        };
        let known = context.board.find(name, topic.topic_id);
        let index = known.map(|known| known.topic);
        for answer in &topic.partitions {
            let mut asked = changes.iter();
            let found = asked.position(|(place, _)| {
                Some(place.topic) == index && place.partition == answer.partition_index
            });
            let Some(found) = found else {
                context.violation("OffsetCommit answers what was not asked");
                continue;
            };
            let (place, change) = changes.swap_remove(found);
            let code = answer.error_code;
            end_change(context, place, change, code);
            codes.push(code);
        }
    }
    if !changes.is_empty() {
        context.violation("OffsetCommit does not answer for all that was asked");
    }
    codes
}

/// Notes the end of one change.
pub fn end_change(context: &mut Context<'_>, place: Place, change: usize, code: i16) {
    match outcome(code) {
        Some(outcome) => {
            let done = outcome == Outcome::Done;
            context.stats.offsets_committed += u64::from(done);
            context.stats.commits_refused += u64::from(outcome == Outcome::Refused);
            context.history.end_change(change, outcome);
        }
        None => {
            let name = context.name(place);
            context.violation(&format!("a change of offsets of {name} got error {code}"));
        }
    }
}

/// A request for the offsets of a group.
pub fn offset_fetch<T>(
    link: &Link<T>,
    context: &mut Context<'_>,
    group: GroupIndex,
    places: &[Place],
) -> (i16, OffsetFetchRequest) {
    let at_most = newest(context.board, places.iter().copied());
    let version = link.version::<OffsetFetchRequest>(context, at_most);
    let group_id = GROUPS[group];
    let topics = by_topic(places.iter().map(|place| (*place, ()))).into_iter();
    let topics = topics.map(|(topic, partitions)| {
        let indexes: Vec<i32> = partitions.into_iter().map(|(index, ())| index).collect();
        (
            context.history.topics[topic].clone(),
            id_of(context.board, topic),
            indexes,
        )
    });
    if version < GROUPS_FROM {
        let topics = topics.map(|(name, _, partition_indexes)| OffsetFetchRequestTopic {
            name: name.into(),
            partition_indexes,
        });
        let body = OffsetFetchRequest {
            group_id: group_id.into(),
            topics: Some(topics.collect()),
            ..OffsetFetchRequest::default()
        };
        return (version, body);
    }
    let topics = topics.map(
        |(name, topic_id, partition_indexes)| OffsetFetchRequestTopics {
            name: name.into(),
            topic_id,
            partition_indexes,
        },
    );
    let asked = OffsetFetchRequestGroup {
        group_id: group_id.into(),
        topics: Some(topics.collect()),
        ..OffsetFetchRequestGroup::default()
    };
    let body = OffsetFetchRequest {
        groups: vec![asked],
        ..OffsetFetchRequest::default()
    };
    (version, body)
}

/// Reads an answer to OffsetFetch: what was told, or the code.
fn read_fetched(
    context: &mut Context<'_>,
    version: i16,
    frame: Bytes,
) -> Option<Result<Vec<Told>, i16>> {
    let body = decode::<OffsetFetchRequest>(context, version, frame)?;
    let mut rows = Vec::new();
    let mut code = body.error_code;
    for topic in body.topics {
        for one in topic.partitions {
            let row = (
                one.partition_index,
                one.committed_offset,
                one.metadata,
                one.error_code,
            );
            rows.push((topic.name.to_string(), Uuid::ZERO, row));
        }
    }
    for group in body.groups {
        code = if code == 0 { group.error_code } else { code };
        for topic in group.topics {
            let name = if version >= IDS_FROM {
                ""
            } else {
                &*topic.name
            };
            for one in topic.partitions {
                let row = (
                    one.partition_index,
                    one.committed_offset,
                    one.metadata,
                    one.error_code,
                );
                rows.push((name.to_owned(), topic.topic_id, row));
            }
        }
    }
    let mut told = Vec::new();
    for (name, id, (partition, offset, metadata, error)) in rows {
        code = if code == 0 { error } else { code };
        let Some(topic) = context.board.find(&name, id).map(|known| known.topic) else {
            continue;
        };
        let place = Place { topic, partition };
        let metadata = metadata.unwrap_or_default();
        let mark = metadata.parse().ok();
        if (offset < 0) != mark.is_none() {
            let name = context.name(place);
            context.violation(&format!("{name}: the offset {offset} with {metadata:?}"));
        }
        told.push((place, offset, mark));
    }
    Some(if code == 0 { Ok(told) } else { Err(code) })
}

/// Takes an answer to OffsetFetch, and notes what was told.
pub fn take_fetched(
    context: &mut Context<'_>,
    version: i16,
    frame: Bytes,
    group: GroupIndex,
    called: usize,
) -> Option<Vec<Told>> {
    match read_fetched(context, version, frame)? {
        Ok(told) => {
            for (place, _, mark) in &told {
                note_offset(context, group, *place, called, *mark);
            }
            Some(told)
        }
        Err(code) => {
            let is_unstable = code == ErrorCode::UnstableOffsetCommit.code();
            let is_now = matches!(outcome(code), Some(Outcome::Over | Outcome::Refused));
            if !is_unstable && !is_now {
                context.violation(&format!("OffsetFetch is refused with error {code}"));
            }
            None
        }
    }
}

fn note_offset(
    context: &mut Context<'_>,
    group: GroupIndex,
    place: Place,
    called: usize,
    mark: Option<u64>,
) {
    context.stats.offsets_told += u64::from(mark.is_some());
    let incarnation = context.incarnation;
    let history: &mut History = context.history;
    history.push(Entry::Group(GroupEntry::Offset {
        group,
        place,
        called,
        mark,
        incarnation,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_back_whole() {
        let places = [(0, 3), (2, 0)].map(|(topic, partition)| Place { topic, partition });
        let bytes = encode_share(7, &places);
        assert_eq!(decode_share(bytes.clone()), Some((7, places.to_vec())));
        assert_eq!(decode_share(bytes.slice(..bytes.len() - 1)), None);
        assert_eq!(decode_share(Bytes::new()), None);
    }
}
