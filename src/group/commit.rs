// SPDX-License-Identifier: Apache-2.0
//! Offsets that are committed, told, forgotten, and that expire.
//!
//! Owns: the offset side of [`Group`]. Invariants: a member that was rebalanced out commits
//! nothing; an offset is told once its record is committed; nothing expires while its topic is
//! consumed. Runs on: the shard that coordinates. Bounded by: the request, `PARTITIONS_MAX`.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::classic::Group;
use super::member::own;
use super::offsets::{Age, Committed};
use super::request::{Caller, GroupAnswer};
use super::state::State;
use super::turn::Turn;
use super::write::{Record, TooLarge, Write};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;
use crate::wire::offsets_topic::{GroupMetadataKey, OffsetCommitKey};
use crate::wire::protocol::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition};
use crate::wire::protocol::offset_fetch::{
    OffsetFetchRequestTopics, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

/// Tombstones of one batch; a deletion of more takes several.
const TOMBSTONES_PER_BATCH: usize = 1_000;

impl Group {
    /// Commits offsets.
    pub(super) fn handle_commit(
        &mut self,
        caller: Caller,
        request: &OffsetCommitRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) {
        if let Err(code) = self.check_commit(request, version) {
            let count = request.topics.iter().map(|topic| topic.partitions.len());
            let codes = vec![code; count.sum()];
            turn.answer(caller, GroupAnswer::Committed(codes));
            return;
        }
        if self.members.contains_key(&request.member_id) {
            self.renew_session(&request.member_id, turn);
        }
        let (codes, offsets) = judge(request, turn);
        if offsets.is_empty() {
            turn.answer(caller, GroupAnswer::Committed(codes));
            return;
        }
        let records = self.offset_records(&offsets);
        for (topic, partition, _) in &offsets {
            self.offsets.note_pending(topic, *partition);
        }
        let write = Write::Commit {
            caller,
            codes,
            group: self.id.clone(),
            offsets,
        };
        turn.append_or_fail(&records, write);
    }

    /// The records of offsets that are committed, or proposed in a transaction.
    pub(super) fn offset_records(&self, offsets: &[(ByteString, i32, Committed)]) -> Vec<Record> {
        let record = |(topic, partition, committed): &(ByteString, i32, Committed)| {
            Record::Offset(self.offset_key(topic, *partition), Some(committed.value()))
        };
        offsets.iter().map(record).collect()
    }

    pub(super) fn offset_key(&self, topic: &ByteString, partition: i32) -> OffsetCommitKey {
        OffsetCommitKey {
            group: self.id.clone(),
            topic: topic.clone(),
            partition,
        }
    }

    /// Who may commit. Without a generation only to a group without members: an administrator, or
    /// a consumer that does without groups.
    fn check_commit(&self, request: &OffsetCommitRequest, version: i16) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if let Some(group) = &self.consumer {
            return group.check_commit(request, version);
        }
        let generation = request.generation_id_or_member_epoch;
        let is_empty = self.state == State::Empty;
        if generation < 0 && is_empty {
            return Ok(());
        }
        let instance = request.group_instance_id.as_ref();
        let names_itself = generation >= 0 || !request.member_id.is_empty() || instance.is_some();
        if names_itself {
            self.check_member(&request.member_id, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !is_empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// The log has taken offsets, or has not.
    pub(super) fn finish_commit(&mut self, offsets: Vec<(ByteString, i32, Committed)>, ok: bool) {
        for (topic, partition, committed) in offsets {
            let committed = ok.then_some(committed);
            self.offsets.end_pending(&topic, partition, committed);
        }
    }

    /// The log has taken the ends of offsets, or has not.
    pub(super) fn finish_forget(&mut self, partitions: &[(ByteString, i32)], ok: bool) {
        for (topic, partition) in partitions.iter().filter(|_| ok) {
            self.offsets.forget(topic, *partition);
        }
    }

    /// The log has taken the end of the group, or has not; then it lives on.
    pub(super) fn finish_removal(
        &mut self,
        result: Result<(), ErrorCode>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let outcome = match result {
            Ok(()) if self.offsets.is_empty() => return Ok(()),
            // The end of one of its offsets was lost.
            Ok(()) => Err(ErrorCode::CoordinatorNotAvailable),
            lost => lost,
        };
        self.enter(State::Empty, now);
        outcome
    }

    /// Tells offsets.
    pub(super) fn fetch(
        &self,
        topics: Option<&[OffsetFetchRequestTopics]>,
        only_stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let tell = |topic: &ByteString, partition: i32, one: Option<&Committed>| {
            if only_stable && self.offsets.is_unstable(topic, partition) {
                unstable(partition)
            } else {
                told(partition, one)
            }
        };
        let Some(topics) = topics else {
            let all = self.offsets.by_topic().map(|(name, partitions)| {
                let partitions =
                    partitions.map(|(partition, one)| tell(name, partition, Some(one)));
                OffsetFetchResponseTopics {
                    name: name.clone(),
                    partitions: partitions.collect(),
                    ..OffsetFetchResponseTopics::default()
                }
            });
            return all.filter(|topic| !topic.partitions.is_empty()).collect();
        };
        let some = topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter();
            let partitions = partitions.map(|index| {
                let committed = self.offsets.committed(&topic.name, *index);
                tell(&topic.name, *index, committed)
            });
            OffsetFetchResponseTopics {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        some.collect()
    }

    /// Forgets offsets of topics that its members do not consume.
    pub(super) fn handle_forget(
        &mut self,
        caller: Caller,
        topics: &[(ByteString, Vec<i32>)],
        turn: &mut Turn<'_>,
    ) {
        let refusal = match self.state {
            State::Dead => Some(ErrorCode::GroupIdNotFound),
            State::Empty => None,
            _ if self.consumes() => None,
            _ => Some(ErrorCode::NonEmptyGroup),
        };
        if let Some(code) = refusal {
            turn.answer(caller, GroupAnswer::Forgotten(Err(code)));
            return;
        }
        let (mut codes, mut partitions) = (Vec::new(), Vec::new());
        for (topic, indexes) in topics {
            let is_used = self.is_subscribed_to(topic);
            for index in indexes {
                if is_used {
                    codes.push(ErrorCode::GroupSubscribedToTopic);
                    continue;
                }
                codes.push(ErrorCode::None);
                if self.offsets.contains(topic, *index) {
                    partitions.push((own(topic), *index));
                }
            }
        }
        if partitions.is_empty() {
            turn.answer(caller, GroupAnswer::Forgotten(Ok(codes)));
            return;
        }
        if self
            .append_tombstones(partitions, Some((caller, codes)), turn)
            .is_err()
        {
            let answer = GroupAnswer::Forgotten(Err(ErrorCode::UnknownServerError));
            turn.answer(caller, answer);
        }
    }

    fn append_tombstones(
        &mut self,
        partitions: Vec<(ByteString, i32)>,
        caller: Option<(Caller, Vec<ErrorCode>)>,
        turn: &mut Turn<'_>,
    ) -> Result<(), TooLarge> {
        let records: Vec<Record> = partitions
            .iter()
            .map(|(topic, partition)| Record::Offset(self.offset_key(topic, *partition), None))
            .collect();
        let write = Write::Forget {
            caller,
            group: self.id.clone(),
            partitions,
        };
        turn.append(&records, write)
    }

    /// Ends offsets without anybody waiting for it.
    pub(super) fn end_offsets(&mut self, partitions: &[(ByteString, i32)], turn: &mut Turn<'_>) {
        for some in partitions.chunks(TOMBSTONES_PER_BATCH) {
            // Keys are short: a batch of them is too large only where a topic allows next to none.
            let _ = self.append_tombstones(some.to_vec(), None, turn);
        }
    }

    /// The partitions of topics that are gone lose their offsets.
    pub(super) fn handle_topics_deleted(&mut self, topics: &[ByteString], turn: &mut Turn<'_>) {
        let gone: Vec<(ByteString, i32)> = topics
            .iter()
            .flat_map(|topic| self.offsets.partitions_of(topic))
            .collect();
        self.end_offsets(&gone, turn);
    }

    /// Ends offsets that are too old (KIP-211), and a group without members and offsets.
    pub(super) fn handle_retention(&mut self, turn: &mut Turn<'_>) {
        let mut age = Age {
            now_ms: turn.now.wall_ms,
            retention_ms: turn.settings.offsets_retention_ms,
            base_ms: None,
            used: None,
        };
        let may_expire = match (self.state, &self.protocol_type) {
            (State::Dead, _) => false,
            // Each from its commit, but for topics that its members want.
            _ if self.consumer.is_some() => true,
            (State::Empty, Some(_)) => {
                age.base_ms = Some(self.since_ms).filter(|since| *since >= 0);
                true
            }
            (State::Empty, None) => true,
            (State::Stable, Some(_)) if self.consumes() => self.topics.is_some(),
            _ => false,
        };
        if !may_expire {
            return;
        }
        let wanted = self.consumer.as_ref().map(|group| {
            let wanted = group.wanted_topics().into_iter();
            wanted.cloned().collect::<BTreeSet<ByteString>>()
        });
        if let Some(wanted) = &wanted {
            age.used = Some(wanted);
        } else if self.state == State::Stable {
            age.used = self.topics.as_ref();
        }
        let expired = self.offsets.expired(&age);
        self.end_offsets(&expired, turn);
        let is_left =
            self.state == State::Empty && self.pending.is_empty() && !self.has_consumers();
        if is_left && expired.len() == self.offsets.all().len() {
            self.remove_group(None, turn);
        }
    }

    /// Deletes the group with all its offsets.
    pub(super) fn handle_delete(&mut self, caller: Caller, turn: &mut Turn<'_>) {
        let code = match self.state {
            State::Empty if self.has_consumers() => ErrorCode::NonEmptyGroup,
            State::Empty => {
                let all = self.offsets.all();
                self.end_offsets(&all, turn);
                self.remove_group(Some(caller), turn);
                return;
            }
            State::Dead => ErrorCode::GroupIdNotFound,
            _ => ErrorCode::NonEmptyGroup,
        };
        turn.answer(caller, GroupAnswer::Deleted(code));
    }

    fn remove_group(&mut self, caller: Option<Caller>, turn: &mut Turn<'_>) {
        self.enter(State::Dead, turn.now);
        let ids: Vec<ByteString> = self.pending.keys().cloned().collect();
        for id in ids {
            self.remove_pending(&id, turn);
        }
        let group = self.id.clone();
        let key = GroupMetadataKey {
            group: group.clone(),
        };
        let mut records = vec![Record::Group(key, None)];
        if let Some(consumer) = &self.consumer {
            let ends = consumer.ends().into_iter();
            records.clear();
            records.extend(ends.map(|change| Record::Consumer(group.clone(), change)));
        }
        turn.append_or_fail(&records, Write::Remove { caller, group });
    }
}

/// A code for each partition of a request, and the offsets that are taken.
pub(super) type Judged = (Vec<ErrorCode>, Vec<(ByteString, i32, Committed)>);

pub(super) fn judge(request: &OffsetCommitRequest, turn: &Turn<'_>) -> Judged {
    let (mut codes, mut offsets) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let name = own(&topic.name);
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_ref();
            let length = metadata.map_or(0, |metadata| metadata.len());
            if length > turn.settings.offset_metadata_bytes_max {
                codes.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            codes.push(ErrorCode::None);
            let committed = Committed {
                order: turn.writes.upcoming(),
                ..committed(partition, request.retention_time_ms, turn.now.wall_ms)
            };
            offsets.push((name.clone(), partition.partition_index, committed));
        }
    }
    (codes, offsets)
}

fn committed(
    partition: &OffsetCommitRequestPartition,
    retention_ms: i64,
    now_ms: i64,
) -> Committed {
    let metadata = partition.committed_metadata.as_ref().map(own);
    Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.unwrap_or_default(),
        commit_ms: now_ms,
        expire_ms: (retention_ms >= 0).then(|| now_ms.saturating_add(retention_ms)),
        order: 0,
    }
}

/// What is told of a partition whose offset an open transaction may change.
fn unstable(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnstableOffsetCommit.code(),
        ..told(index, None)
    }
}

/// What is told of a partition.
pub(super) fn told(index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(-1, |one| one.offset),
        committed_leader_epoch: committed.map_or(-1, |one| one.leader_epoch),
        metadata: Some(committed.map_or_else(ByteString::new, |one| one.metadata.clone())),
        error_code: ErrorCode::None.code(),
    }
}
