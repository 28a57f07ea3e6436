// SPDX-License-Identifier: Apache-2.0
//! Lies about groups, in what goes from the shard of a connection to a coordinator and back.
//!
//! Invariants: every answer keeps its shape, so that only what it says is wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use furlong::group::{GroupAnswer, GroupCall};
use furlong::shard::mesh_message::MeshMessage;
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;

use crate::plan::Lie;

/// What the liar remembers of groups.
#[derive(Default)]
pub(super) struct GroupLies {
    /// Offset and metadata of the last commit, by group, topic and partition.
    offsets: BTreeMap<(ByteString, ByteString, i32), (i64, Option<ByteString>)>,
    share: Bytes,
    joins: u32,
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
        if let GroupCall::Commit(request, _) = call
            && lie == Lie::CommitsAreOld
        {
            self.age(request);
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
