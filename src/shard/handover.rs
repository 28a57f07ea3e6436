// SPDX-License-Identifier: Apache-2.0
//! Partitions that move from one shard of this broker to another while both serve.
//!
//! The metadata names another shard for a partition. The shard that had it stops its log as a clean
//! stop of the broker does: what was appended is flushed and answered, the rest is refused, the
//! files are put in order and closed. Meanwhile it asks every shard to say, behind all that it had
//! sent before, that it knows the new metadata: then no request for the partition is on the way to
//! the old shard. Only then the new one is told to open the log, and which producers were refused:
//! what they had sent behind must not be taken first.
//!
//! Owns: [`Handovers`]. Invariants: a log is open on one shard at a time; the new shard opens it
//! after the last request that the old one refused, and knows of all of them; the image is answered
//! by the old shard once it has let go, by the new one once it has opened, so one image moves at a
//! time. A process that ends in between finds a log that was stopped in order, or recovers it.
//! Runs on: each shard. Bounded by: `PARTITIONS_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use crate::log::RefusedProducers;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::image::MetadataImage;
use crate::model::time::Now;
use crate::partition::PartitionSpec;

/// A partition that has ended here.
#[derive(Debug)]
struct Ended {
    at: TopicPartition,
    to: ShardId,
    refused: RefusedProducers,
}

/// What moves to and from a shard.
#[derive(Debug, Default)]
pub struct Handovers {
    /// Shards of which requests of before the image may still come.
    undrained: BTreeSet<ShardId>,
    /// Where the partitions go whose logs are being stopped, by slot.
    leaving: BTreeMap<u32, ShardId>,
    /// Those that have ended and are not told to their new shard yet, by slot.
    ended: BTreeMap<u32, Ended>,
    /// Those that are to be opened here once their old shard has let go, with their slots.
    coming: BTreeMap<TopicPartition, (PartitionSpec, u32)>,
    /// Who asked whether all is drained, and the image that it takes.
    askers: Vec<(ShardId, i64)>,
    /// How many partitions have come.
    taken: u64,
}

impl Handovers {
    /// True if nothing comes or goes.
    pub(super) fn is_idle(&self) -> bool {
        self.leaving.is_empty() && self.ended.is_empty() && self.coming.is_empty()
    }

    /// How many partitions this shard took over from others.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Forgets what comes: the shard stops.
    pub(super) fn drop_coming(&mut self) {
        self.coming.clear();
    }
}

impl Shard {
    /// A partition of this shard belongs to another one from now on.
    pub(super) fn begin_handover(
        &mut self,
        now: Now,
        slot: u32,
        to: ShardId,
        effects: &mut Effects,
    ) {
        self.end_verifications(Some(slot), effects);
        self.handovers.leaving.insert(slot, to);
        self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
            partition.handle_stop(now, disk, events);
        });
    }

    /// A partition that was never opened here belongs to another shard.
    pub(super) fn pass_on(&mut self, slot: u32, at: TopicPartition, to: ShardId) {
        let refused = RefusedProducers::default();
        self.handovers.ended.insert(slot, Ended { at, to, refused });
    }

    /// Asks every shard, this one too, to say when it sends no more requests for what leaves.
    pub(super) fn ask_for_drain(&mut self, image: &MetadataImage, effects: &mut Effects) {
        if self.handovers.leaving.is_empty() && self.handovers.ended.is_empty() {
            return;
        }
        let version = image.version;
        for shard in (0..self.config.shard_count).map(ShardId) {
            self.handovers.undrained.insert(shard);
            self.send(shard, MeshMessage::Drain { version }, effects);
        }
    }

    /// A shard asks to be told behind all requests that this one routes by an older image.
    pub(super) fn handle_drain(&mut self, asker: ShardId, version: i64, effects: &mut Effects) {
        self.handovers.askers.push((asker, version));
        self.answer_drains(effects);
    }

    /// Answers those whose image is known here by now.
    pub(super) fn answer_drains(&mut self, effects: &mut Effects) {
        let known = self.image().version;
        for (asker, version) in std::mem::take(&mut self.handovers.askers) {
            if version <= known {
                self.send(asker, MeshMessage::Drained, effects);
            } else {
                self.handovers.askers.push((asker, version));
            }
        }
    }

    /// No further request for what leaves will come from this shard.
    pub(super) fn handle_drained(&mut self, from: ShardId, effects: &mut Effects) {
        self.handovers.undrained.remove(&from);
        self.hand_over(effects);
    }

    /// The log of a partition has ended. False if it does not move.
    pub(super) fn take_ended(&mut self, slot: u32, effects: &mut Effects) -> bool {
        let Some(to) = self.handovers.leaving.remove(&slot) else {
            return false;
        };
        if let Some(mut partition) = self.remove_partition(slot) {
            let (at, refused) = (partition.at(), partition.take_refused());
            let ended = Ended { at, to, refused };
            self.handovers.ended.insert(slot, ended);
        }
        self.hand_over(effects);
        true
    }

    /// Tells the new shards of what has ended, once nothing more can be refused here.
    fn hand_over(&mut self, effects: &mut Effects) {
        if !self.handovers.undrained.is_empty() {
            return;
        }
        while let Some((slot, ended)) = self.handovers.ended.pop_first() {
            let Ended {
                at,
                to,
                mut refused,
            } = ended;
            // What was refused once the log was gone came last.
            refused.append(self.take_noted_refused(at));
            if to.0 < self.config.shard_count {
                let handover = MeshMessage::Handover { at, refused };
                self.send(to, handover, effects);
            }
            self.finish_slot(slot);
        }
        self.answer_images(effects);
    }

    /// A partition comes from another shard, which has not let go of it yet.
    pub(super) fn await_handover(&mut self, spec: PartitionSpec, slot: u32) {
        let before = self.handovers.coming.insert(spec.at, (spec, slot));
        assert!(before.is_none(), "a partition comes once in an image");
    }

    /// The old shard of a partition has let go of it.
    pub(super) fn handle_handover(
        &mut self,
        now: Now,
        at: TopicPartition,
        mut refused: RefusedProducers,
        effects: &mut Effects,
    ) {
        // A shard that stops opens nothing more.
        let Some((spec, slot)) = self.handovers.coming.remove(&at) else {
            return;
        };
        self.handovers.taken += 1;
        // What was refused here was sent later than what was refused there.
        refused.append(self.take_noted_refused(at));
        self.open_after(now, spec, slot, refused, effects);
    }
}
