// SPDX-License-Identifier: Apache-2.0
//! Published metadata becomes partitions of this shard.
//!
//! Owns: [`ImageProgress`]. Invariants: an image is answered once every partition that it brings is
//! open and every one that it takes away is gone; images are answered in order; two partitions
//! never use one directory at a time.
//! Runs on: its shard. Bounded by: the metadata.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::contract::{Effects, ProcessEffect};
use super::machine::{Phase, Shard};
use super::mesh_message::MeshMessage;
use super::parts::SubId;
use super::parts::asks::Said;
use super::stage::Stage;
use crate::config::connections::ConnectionLimits;
use crate::limits::{OPENING_PARTITIONS_MAX, PARTITIONS_MAX};
use crate::log::{RecoveryReport, RefusedProducers, RoundTimes};
use crate::model::ids::{ShardId, TopicId, TopicPartition};
use crate::model::image::{MetadataImage, PartitionImage};
use crate::model::time::Now;
use crate::partition::{DeleteRecordsError, Partition, PartitionEvent, PartitionSpec};

/// Images that are being applied.
#[derive(Debug, Default)]
pub struct ImageProgress {
    /// Version and the slots that have to open or go first, oldest image first.
    images: VecDeque<(i64, BTreeSet<u32>)>,
    /// Slots that are being opened or removed.
    busy: BTreeSet<u32>,
    /// Slots that are to be removed.
    leaving: BTreeSet<u32>,
    /// Slots whose log is being opened.
    opening: BTreeSet<u32>,
    /// Partitions that are to be opened, with their slots.
    to_open: VecDeque<(PartitionSpec, u32)>,
    /// Those of them whose directory another slot still uses.
    blocked: Vec<(PartitionSpec, u32)>,
    /// Producers that were refused by partitions that are to be opened, or will be by the next
    /// image.
    refused: BTreeMap<TopicPartition, RefusedProducers>,
}

impl Shard {
    /// Applies an image.
    pub(super) fn handle_image(
        &mut self,
        now: Now,
        image: Arc<MetadataImage>,
        effects: &mut Effects,
    ) {
        assert!(
            image.version >= self.image.version,
            "metadata never goes back"
        );
        assert!(
            self.handovers.is_idle(),
            "an image comes once the last one is applied"
        );
        let before = std::mem::replace(&mut self.image, Arc::clone(&image));
        let wanted = self.changed_partitions(&before, &image);
        self.remove_unwanted(now, &image, effects);
        let refused = &mut self.progress.refused;
        refused.retain(|at, _| image.partition(*at).is_some());
        for spec in wanted {
            self.apply_spec(&before, spec, effects);
        }
        self.ask_for_drain(&image, effects);
        self.answer_drains(effects);
        self.begin_start(now, self.progress.to_open.len());
        self.open_waiting(now, effects);
        self.settle_slow_bound();
        self.waits_for_admission = ConnectionLimits::of(self.broker_layers()).is_limited();
        self.counts.forget_topics(&image);
        self.tell_coordinators(now, &before, effects);
        self.settle_coordinators(now, effects);
        let strays = self.start_strays(effects);
        self.progress.busy.extend(strays);
        let outstanding = self.progress.busy.clone();
        self.progress.images.push_back((image.version, outstanding));
        self.answer_images(effects);
    }

    /// The partitions of this shard in topics that an image changes.
    fn changed_partitions(
        &self,
        before: &MetadataImage,
        image: &MetadataImage,
    ) -> Vec<PartitionSpec> {
        let mut specs = Vec::new();
        for (name, topic) in &image.topics {
            let is_same = before
                .topics
                .get(name)
                .is_some_and(|old| Arc::ptr_eq(old, topic) || old == topic);
            if is_same {
                continue;
            }
            for (index, partition) in (0..).zip(&topic.partitions) {
                if self.owns(partition) {
                    specs.push(PartitionSpec::new(topic, index, partition));
                }
            }
        }
        specs
    }

    fn owns(&self, partition: &PartitionImage) -> bool {
        partition.shard == self.config.shard && partition.replicas.contains(&self.config.node_id)
    }

    fn remove_unwanted(&mut self, now: Now, image: &MetadataImage, effects: &mut Effects) {
        let unwanted: Vec<u32> = self
            .partitions
            .iter()
            .filter(|(slot, _)| !self.progress.leaving.contains(slot))
            .filter(|(_, partition)| {
                image
                    .partition(partition.at())
                    .is_none_or(|(_, wanted)| !self.owns(wanted))
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in unwanted {
            self.end_slot(now, slot, image, effects);
        }
        // A partition that waited to be opened may be unwanted before it was.
        let blocked = std::mem::take(&mut self.progress.blocked);
        let waiting = std::mem::take(&mut self.progress.to_open);
        for (spec, slot) in blocked.into_iter().chain(waiting) {
            match image.partition(spec.at) {
                None => self.finish_slot(slot),
                Some((_, wanted)) if self.owns(wanted) => {
                    self.progress.to_open.push_back((spec, slot));
                }
                Some((_, wanted)) => self.pass_on(slot, spec.at, wanted.shard),
            }
        }
    }

    /// A partition is not this shard's any more: it moves, or it goes.
    fn end_slot(&mut self, now: Now, slot: u32, image: &MetadataImage, effects: &mut Effects) {
        let partition = self.partitions.get(slot);
        let wanted = partition.and_then(|partition| image.partition(partition.at()));
        match wanted {
            Some((_, wanted)) if wanted.replicas.contains(&self.config.node_id) => {
                self.progress.leaving.insert(slot);
                self.progress.busy.insert(slot);
                self.begin_handover(now, slot, wanted.shard, effects);
            }
            _ => self.delete_slot(now, slot, effects),
        }
    }

    fn delete_slot(&mut self, now: Now, slot: u32, effects: &mut Effects) {
        self.progress.leaving.insert(slot);
        self.progress.busy.insert(slot);
        self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
            partition.handle_delete(now, disk, events);
        });
    }

    fn apply_spec(&mut self, before: &MetadataImage, spec: PartitionSpec, effects: &mut Effects) {
        if let Some(slot) = self.partitions.slot(spec.at) {
            self.on_slot(slot, &mut effects.disk, |partition, _, events| {
                partition.handle_spec(spec, events);
            });
            return;
        }
        if let Some(waiting) = self.progress.waiting_spec(spec.at) {
            *waiting = spec;
            return;
        }
        let slot = self.partitions.next_slot();
        self.progress.busy.insert(slot);
        match before.partition(spec.at) {
            // Another shard has it open, or is about to open it.
            Some((_, old)) if old.replicas.contains(&self.config.node_id) => {
                self.await_handover(spec, slot);
            }
            _ => self.progress.to_open.push_back((spec, slot)),
        }
    }

    /// Opens a partition that had to wait for another shard; producers were refused meanwhile.
    pub(super) fn open_after(
        &mut self,
        now: Now,
        spec: PartitionSpec,
        slot: u32,
        refused: RefusedProducers,
        effects: &mut Effects,
    ) {
        self.progress.refused.insert(spec.at, refused);
        self.progress.to_open.push_back((spec, slot));
        self.open_waiting(now, effects);
    }

    /// The producers that were refused by a partition that is not open here.
    pub(super) fn take_noted_refused(&mut self, at: TopicPartition) -> RefusedProducers {
        self.progress.refused.remove(&at).unwrap_or_default()
    }

    /// `producer.id.expiration.ms`.
    fn producer_expiration_ms(&self) -> u64 {
        let layers = self.broker_layers();
        let set = layers.value("producer.id.expiration.ms");
        let number = set.and_then(|text| text.trim().parse().ok());
        number.expect("a setting that was checked is a number")
    }

    /// Opens partitions that wait for it, a bounded number at a time, each once its directory is
    /// free.
    fn open_waiting(&mut self, now: Now, effects: &mut Effects) {
        if self.phase != Phase::Running {
            // Nobody would stop it again.
            self.drop_unopened();
            return;
        }
        while self.progress.opening.len() < OPENING_PARTITIONS_MAX {
            let Some((spec, slot)) = self.progress.to_open.pop_front() else {
                return;
            };
            if self.partitions.uses_directory(&spec.directory) {
                self.progress.blocked.push((spec, slot));
                continue;
            }
            let (node_id, storage) = (self.config.node_id, self.config.storage);
            let refused = self.progress.refused.remove(&spec.at);
            let mut partition = Partition::new(slot, node_id, spec, storage);
            partition.set_retention_check_ms(self.config.retention_check_ms);
            partition.set_cleaner(self.config.cleaner);
            partition.set_producer_expiration_ms(self.producer_expiration_ms());
            partition.handle_refused(refused.unwrap_or_default());
            self.partitions.insert(slot, partition);
            self.progress.opening.insert(slot);
            self.on_slot(slot, &mut effects.disk, |partition, disk, _| {
                partition.handle_open(now, disk);
            });
        }
    }

    /// A producer was refused, because the partition is not open yet: what it sent behind must not
    /// be taken first.
    pub(super) fn note_refused(&mut self, at: TopicPartition, records: &[u8]) {
        let refused = &mut self.progress.refused;
        if refused.contains_key(&at) || refused.len() < PARTITIONS_MAX {
            refused.entry(at).or_default().note(records);
        }
    }

    /// Forgets what has not been opened: the shard stops.
    pub(super) fn drop_unopened(&mut self) {
        self.progress.to_open.clear();
        self.progress.blocked.clear();
        self.handovers.drop_coming();
    }

    /// A partition said something.
    pub(super) fn handle_slot_event(
        &mut self,
        now: Now,
        slot: u32,
        event: PartitionEvent,
        effects: &mut Effects,
    ) {
        match event {
            PartitionEvent::Opened { report } => self.take_opened(now, slot, &report, effects),
            PartitionEvent::Damaged { sentence } => {
                effects.process.push(ProcessEffect::Notice { sentence });
                return;
            }
            PartitionEvent::OpenDelayed => self.take_open_delayed(now, slot, effects),
            PartitionEvent::WrongTopic { found } => {
                self.take_wrong_topic(now, slot, found, effects)
            }
            PartitionEvent::Deleted => self.take_deleted(now, slot, effects),
            PartitionEvent::Stopped => self.take_stopped(slot, effects),
            PartitionEvent::Failed { sentence } => {
                self.phase = Phase::Failed;
                effects.process.push(ProcessEffect::Fatal { sentence });
            }
            PartitionEvent::Produced {
                waiter,
                result,
                waited,
            } => {
                let sub = SubId::unpack(waiter);
                if let Some(result) = self.take_group_write(now, sub, result, effects) {
                    self.handle_produced(sub, result, waited, effects);
                }
                return;
            }
            PartitionEvent::Compacted(report) => {
                self.note_compaction(slot, &report, effects);
                return;
            }
            PartitionEvent::RoundEnded(round) => {
                note_round(&round, effects);
                return;
            }
            PartitionEvent::Fetched { read, result } => {
                let sub = SubId::unpack(read);
                if let Some(result) = self.take_group_read(now, sub, result, effects) {
                    self.handle_fetched(sub, result, effects);
                }
                return;
            }
            PartitionEvent::OffsetFound { lookup, result } => {
                self.handle_offset_found(SubId::unpack(lookup), result, effects);
                return;
            }
            PartitionEvent::RecordsDeleted { waiter, result } => {
                let result = result
                    .map(Said::LowWatermark)
                    .map_err(DeleteRecordsError::from);
                self.handle_said(SubId::unpack(waiter), result, effects);
                return;
            }
            PartitionEvent::Woken(woken) => {
                self.handle_woken(woken, effects);
                return;
            }
        }
        self.answer_images(effects);
        self.finish_stop(effects);
    }

    /// A partition is open.
    fn take_opened(&mut self, now: Now, slot: u32, report: &RecoveryReport, effects: &mut Effects) {
        self.notice_recovery(slot, report, effects);
        self.note_opened(report);
        self.progress.opening.remove(&slot);
        if !self.progress.leaving.contains(&slot) {
            self.finish_slot(slot);
        }
        if self.keeps_groups(slot) && self.phase == Phase::Running {
            self.settle_coordinators(now, effects);
        }
        self.open_waiting(now, effects);
    }

    /// There is no space to open a partition: nothing waits for it any longer, it serves once it
    /// has opened by itself.
    fn take_open_delayed(&mut self, now: Now, slot: u32, effects: &mut Effects) {
        if let Some(partition) = self.partitions.get(slot) {
            let sentence = format!(
                "{} cannot be opened: the file system is full. Free space; it is tried again \
                 every second, and until then the partition refuses reads and writes.",
                partition.spec().directory
            );
            effects.process.push(ProcessEffect::Notice {
                sentence: sentence.into(),
            });
        }
        self.note_delayed();
        self.progress.opening.remove(&slot);
        if !self.progress.leaving.contains(&slot) {
            self.finish_slot(slot);
        }
        self.open_waiting(now, effects);
    }

    /// The directory holds another topic's log. If that topic is known to be gone (its name was
    /// given to the topic that wants the directory), its log is removed; the new one follows.
    fn take_wrong_topic(&mut self, now: Now, slot: u32, found: TopicId, effects: &mut Effects) {
        let Some(partition) = self.partitions.get(slot) else {
            return;
        };
        let directory = partition.spec().directory.clone();
        if self.image.topic_names.contains_key(&found) {
            self.phase = Phase::Failed;
            let sentence = format!(
                "The directory {directory} holds the log of another topic ({found}), which still \
                 exists. Move the directory back to where it belongs."
            );
            effects.process.push(ProcessEffect::Fatal {
                sentence: sentence.into(),
            });
            return;
        }
        let sentence = format!("Removing {directory}: its topic ({found}) was deleted.");
        effects.process.push(ProcessEffect::Notice {
            sentence: sentence.into(),
        });
        self.on_slot(slot, &mut effects.disk, |partition, disk, events| {
            partition.handle_delete(now, disk, events);
        });
    }

    fn take_stopped(&mut self, slot: u32, effects: &mut Effects) {
        self.progress.leaving.remove(&slot);
        self.progress.opening.remove(&slot);
        if !self.take_ended(slot, effects) {
            self.remove_partition(slot);
        }
    }

    fn take_deleted(&mut self, now: Now, slot: u32, effects: &mut Effects) {
        self.progress.opening.remove(&slot);
        let is_leaving = self.progress.leaving.remove(&slot);
        if self.take_ended(slot, effects) {
            // What was in its way was another topic's log.
            return;
        }
        let partition = self.remove_partition(slot);
        match partition {
            // Another topic's log was in the way; ours is opened under a new number.
            Some(partition) if !is_leaving => {
                let next = self.partitions.next_slot();
                self.progress.rename(slot, next);
                let spec = partition.spec().clone();
                self.progress.to_open.push_back((spec, next));
            }
            _ => self.finish_slot(slot),
        }
        let freed = std::mem::take(&mut self.progress.blocked);
        self.progress.to_open.extend(freed);
        self.open_waiting(now, effects);
    }

    /// What an image waited for is done.
    pub(super) fn finish_slot(&mut self, slot: u32) {
        self.progress.busy.remove(&slot);
        for (_, outstanding) in &mut self.progress.images {
            outstanding.remove(&slot);
        }
    }

    pub(super) fn answer_images(&mut self, effects: &mut Effects) {
        while let Some((version, outstanding)) = self.progress.images.front() {
            if !outstanding.is_empty() {
                return;
            }
            let version = *version;
            self.progress.images.pop_front();
            self.finish_start(effects);
            let applied = MeshMessage::ImageApplied { version };
            self.send(ShardId::CONTROL, applied, effects);
        }
    }

    fn notice_recovery(&self, slot: u32, report: &RecoveryReport, effects: &mut Effects) {
        let Some(partition) = self.partitions.get(slot) else {
            return;
        };
        if report.torn_bytes_cut > 0 {
            let sentence = format!(
                "{}: cut {} bytes of a torn write at offset {}; nothing of it was acknowledged.",
                partition.spec().directory,
                report.torn_bytes_cut,
                partition.log_end_offset()
            );
            effects.process.push(ProcessEffect::Notice {
                sentence: sentence.into(),
            });
        }
    }
}

/// A round ended: its stages are over.
fn note_round(round: &RoundTimes, effects: &mut Effects) {
    let wrote_us = round.written_us.saturating_sub(round.started_us);
    effects.note_stage(Stage::Write, wrote_us);
    if round.is_flushed {
        let flushed_us = round.ended_us.saturating_sub(round.written_us);
        effects.note_stage(Stage::Flush, flushed_us);
    }
}

impl ImageProgress {
    /// A partition that has not been opened yet.
    fn waiting_spec(&mut self, at: TopicPartition) -> Option<&mut PartitionSpec> {
        let waiting = self.to_open.iter_mut().chain(&mut self.blocked);
        waiting.map(|(spec, _)| spec).find(|spec| spec.at == at)
    }

    fn rename(&mut self, from: u32, to: u32) {
        if self.busy.remove(&from) {
            self.busy.insert(to);
        }
        for (_, outstanding) in &mut self.images {
            if outstanding.remove(&from) {
                outstanding.insert(to);
            }
        }
    }
}
