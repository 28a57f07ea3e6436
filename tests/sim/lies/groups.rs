// SPDX-License-Identifier: Apache-2.0
//! Lies about groups, in what goes from the shard of a connection to a coordinator and back.
//!
//! Invariants: every answer keeps its shape, so that only what it says is wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use furlong::group::{GroupAnswer, GroupCall};
use furlong::shard::mesh_message::MeshMessage;
use furlong::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;

use crate::plan::Lie;

/// A member that a coordinator has heard of: its generation, its id, its name.
type Heard = (i32, ByteString, Option<ByteString>);

/// What the liar remembers of groups.
#[derive(Default)]
pub(super) struct GroupLies {
    /// Offset and metadata of the last commit, by group, topic and partition.
    offsets: BTreeMap<(ByteString, ByteString, i32), (i64, Option<ByteString>)>,
    /// Whom a coordinator has heard of last in each group of the classic protocol.
    heard: BTreeMap<ByteString, Heard>,
    /// The epoch that each member of the new protocol was told last.
    epochs: BTreeMap<ByteString, i32>,
    share: Bytes,
    joins: u32,
    beats: u32,
}

impl GroupLies {
    /// Carries a message.
    pub(super) fn on_mesh(&mut self, lie: Lie, message: &mut MeshMessage) {
        match message {
            MeshMessage::GroupAsks { asks, .. } => {
                for ask in asks {
                    self.on_call(lie, &mut ask.call);
                }
            }
            MeshMessage::GroupsSaid { answers, .. } => {
                for (_, answer) in answers {
                    self.on_answer(lie, answer);
                }
            }
            _ => {}
        }
    }

    fn on_call(&mut self, lie: Lie, call: &mut GroupCall) {
        match call {
            GroupCall::Commit(request, _) if lie == Lie::CommitsAreOld => self.age(request),
            GroupCall::Commit(request, _) if lie == Lie::OutcastsCommit => self.admit(request),
            GroupCall::Heartbeat(request) => {
                let heard = (
                    request.generation_id,
                    request.member_id.clone(),
                    request.group_instance_id.clone(),
                );
                self.learn(&request.group_id, heard);
            }
            GroupCall::Beat(request, ..)
                if lie == Lie::RevocationsAreDone
                    && request.member_epoch > 0
                    && request.topic_partitions.is_some() =>
            {
                request.topic_partitions = Some(Vec::new());
            }
            _ => {}
        }
    }

    /// Remembers who is in the newest generation.
    fn learn(&mut self, group: &ByteString, heard: Heard) {
        let before = self.heard.entry(group.clone());
        let before = before.or_insert_with(|| heard.clone());
        if before.0 < heard.0 {
            *before = heard;
        }
    }

    /// Whoever commits becomes somebody who may.
    fn admit(&mut self, request: &mut OffsetCommitRequest) {
        let epoch = &mut request.generation_id_or_member_epoch;
        if *epoch < 0 {
            return;
        }
        if let Some(told) = self.epochs.get(&request.member_id) {
            *epoch = *told;
            return;
        }
        let heard = (
            *epoch,
            request.member_id.clone(),
            request.group_instance_id.clone(),
        );
        self.learn(&request.group_id, heard);
        if let Some((generation, member, instance)) = self.heard.get(&request.group_id)
            && *epoch < *generation
        {
            *epoch = *generation;
            request.member_id = member.clone();
            request.group_instance_id = instance.clone();
        }
    }

    fn on_beat(&mut self, lie: Lie, answer: &mut ConsumerGroupHeartbeatResponse) {
        if answer.error_code != 0 || answer.member_epoch <= 0 {
            return;
        }
        if let Some(id) = &answer.member_id {
            self.epochs.insert(id.clone(), answer.member_epoch);
        }
        self.beats += 1;
        match lie {
            Lie::EpochsGoBack if self.beats.is_multiple_of(3) => answer.member_epoch -= 1,
            Lie::SharesAreCut => {
                let topics = answer.assignment.iter_mut();
                for topic in topics.flat_map(|it| &mut it.topic_partitions) {
                    topic.partitions.retain(|partition| *partition != 0);
                }
            }
            _ => {}
        }
    }

    fn age(&mut self, request: &mut OffsetCommitRequest) {
        for topic in &mut request.topics {
            for one in &mut topic.partitions {
                let key = (
                    request.group_id.clone(),
                    topic.name.clone(),
                    one.partition_index,
                );
                let now = (one.committed_offset, one.committed_metadata.clone());
                if let Some((offset, metadata)) = self.offsets.insert(key, now) {
                    (one.committed_offset, one.committed_metadata) = (offset, metadata);
                }
            }
        }
    }

    fn on_answer(&mut self, lie: Lie, answer: &mut GroupAnswer) {
        match answer {
            GroupAnswer::Synced(answer)
                if lie == Lie::SharesAreMixed && !answer.assignment.is_empty() =>
            {
                let before = std::mem::replace(&mut self.share, answer.assignment.clone());
                answer.assignment = if before.is_empty() {
                    self.share.clone()
                } else {
                    before
                };
            }
            GroupAnswer::Beat(answer) => self.on_beat(lie, answer),
            GroupAnswer::Joined(answer) if lie == Lie::GenerationsGoBack => {
                self.joins += 1;
                if answer.error_code == 0 && self.joins.is_multiple_of(3) {
                    answer.generation_id -= 1;
                }
            }
            _ => {}
        }
    }
}
