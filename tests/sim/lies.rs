// SPDX-License-Identifier: Apache-2.0
//! A shell that lies about what it carries from core to core.
//!
//! Invariants: without a lie a message passes as it is.

mod groups;

use std::collections::BTreeMap;
use std::sync::Arc;

use furlong::model::ids::{LeaderEpoch, Uuid};
use furlong::partition::Isolation;
use furlong::shard::mesh_message::MeshMessage;

use self::groups::GroupLies;
use crate::plan::Lie;

/// What the liar remembers.
pub struct Lies {
    lie: Lie,
    first_epochs: BTreeMap<(Uuid, usize), LeaderEpoch>,
    groups: GroupLies,
}

impl Lies {
    /// A shell with this lie.
    pub fn new(lie: Lie) -> Lies {
        Lies {
            lie,
            first_epochs: BTreeMap::new(),
            groups: GroupLies::default(),
        }
    }

    /// Carries a message.
    pub fn on_mesh(&mut self, mut message: Box<MeshMessage>) -> Box<MeshMessage> {
        self.groups.on_mesh(self.lie, message.as_mut());
        if self.lie == Lie::RefusedAreForgotten
            && let MeshMessage::Handover { refused, .. } = message.as_mut()
        {
            *refused = Default::default();
        }
        if let MeshMessage::Image(image) = message.as_mut()
            && matches!(self.lie, Lie::TombstonesMayGo | Lie::NoCompactionLag)
        {
            for topic in Arc::make_mut(image).topics.values_mut() {
                let rules = &mut Arc::make_mut(topic).config.compaction;
                match self.lie {
                    Lie::TombstonesMayGo => rules.delete_retention_ms = 0,
                    _ => rules.lag_ms_min = 0,
                }
            }
        }
        if self.lie == Lie::NothingIsIsolated
            && let MeshMessage::Fetch { body, .. } = message.as_mut()
        {
            for read in &mut body.reads {
                read.from.isolation = Isolation::ReadUncommitted;
            }
        }
        if self.lie != Lie::EpochStaysAsItWas {
            return message;
        }
        if let MeshMessage::Image(image) = message.as_mut() {
            let image = Arc::make_mut(image);
            for topic in image.topics.values_mut() {
                let topic = Arc::make_mut(topic);
                for (index, partition) in topic.partitions.iter_mut().enumerate() {
                    let first = self.first_epochs.entry((topic.id, index));
                    partition.leader_epoch = *first.or_insert(partition.leader_epoch);
                }
            }
        }
        message
    }
}
