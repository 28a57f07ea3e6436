// SPDX-License-Identifier: Apache-2.0
//! The partitions of one shard, each in a slot whose number its disk requests carry.
//!
//! Owns: [`PartitionTable`]. Invariants: a slot number is never used twice; two partitions never
//! use one directory at a time.
//! Runs on: its shard. Bounded by: `PARTITIONS_MAX`.

use std::collections::BTreeMap;

use super::machine::{Shard, Work};
use super::timers::Timer;
use crate::log::LogMemory;
use crate::model::disk::DiskQueue;
use crate::model::ids::TopicPartition;
use crate::model::time::MonotonicUs;
use crate::partition::{Partition, PartitionEvent};

/// A partition in its slot.
#[derive(Debug)]
pub struct Slot {
    /// The partition.
    pub partition: Partition,
    /// When it wants to be called, as the timers know it.
    deadline: Option<MonotonicUs>,
}

/// All partitions of a shard.
#[derive(Debug, Default)]
pub struct PartitionTable {
    slots: BTreeMap<u32, Slot>,
    by_partition: BTreeMap<TopicPartition, u32>,
    by_directory: BTreeMap<Box<str>, u32>,
    next: u32,
    /// Reuse for what partitions say.
    events: Vec<PartitionEvent>,
}

impl PartitionTable {
    /// A number for a slot.
    pub fn next_slot(&mut self) -> u32 {
        let slot = self.next;
        self.next = self
            .next
            .checked_add(1)
            .expect("four billion partitions are not made in one run");
        slot
    }

    /// Puts a partition into its slot.
    pub fn insert(&mut self, slot: u32, partition: Partition) {
        let before = self.by_partition.insert(partition.at(), slot);
        assert!(before.is_none(), "a partition has one slot");
        let directory = partition.spec().directory.clone();
        let before = self.by_directory.insert(directory, slot);
        assert!(before.is_none(), "a directory belongs to one slot");
        let deadline = None;
        let entry = Slot {
            partition,
            deadline,
        };
        self.slots.insert(slot, entry);
    }

    /// The slot of a partition.
    #[must_use]
    pub fn slot(&self, at: TopicPartition) -> Option<u32> {
        self.by_partition.get(&at).copied()
    }

    /// True if a partition uses this directory.
    #[must_use]
    pub fn uses_directory(&self, directory: &str) -> bool {
        self.by_directory.contains_key(directory)
    }

    /// The partition in a slot.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<&Partition> {
        self.slots.get(&slot).map(|entry| &entry.partition)
    }

    /// All slots with their partitions, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Partition)> {
        self.slots
            .iter()
            .map(|(slot, entry)| (*slot, &entry.partition))
    }

    /// Takes cached bytes from the partition in a slot; what its log holds then.
    pub fn handle_shed(
        &mut self,
        slot: u32,
        bytes: usize,
        disk: &mut DiskQueue,
    ) -> Option<LogMemory> {
        let partition = &mut self.slots.get_mut(&slot)?.partition;
        partition.handle_shed(bytes, disk);
        Some(partition.memory())
    }

    /// How many partitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Shard {
    /// Does something with a partition, if this shard has it; what the partition says goes to the
    /// work queue.
    pub(super) fn on_partition<R>(
        &mut self,
        at: TopicPartition,
        disk: &mut DiskQueue,
        action: impl FnOnce(&mut Partition, &mut DiskQueue, &mut Vec<PartitionEvent>) -> R,
    ) -> Option<R> {
        let slot = self.partitions.slot(at)?;
        self.on_slot(slot, disk, action)
    }

    /// Does something with the partition in a slot; what the partition says goes to the work queue.
    pub(super) fn on_slot<R>(
        &mut self,
        slot: u32,
        disk: &mut DiskQueue,
        action: impl FnOnce(&mut Partition, &mut DiskQueue, &mut Vec<PartitionEvent>) -> R,
    ) -> Option<R> {
        let entry = self.partitions.slots.get_mut(&slot)?;
        let events = &mut self.partitions.events;
        let result = action(&mut entry.partition, disk, events);
        self.work.extend(
            events
                .drain(..)
                .map(|event| Work::Partition { slot, event }),
        );
        let (wanted, memory) = (entry.partition.next_deadline(), entry.partition.memory());
        if wanted != entry.deadline {
            if let Some(at) = entry.deadline {
                self.timers.remove(at, Timer::Partition(slot));
            }
            if let Some(at) = wanted {
                self.timers.insert(at, Timer::Partition(slot));
            }
            entry.deadline = wanted;
        }
        self.settle_memory(slot, memory, disk);
        Some(result)
    }

    /// Removes a partition that has ended.
    pub(super) fn remove_partition(&mut self, slot: u32) -> Option<Partition> {
        let entry = self.partitions.slots.remove(&slot)?;
        if let Some(at) = entry.deadline {
            self.timers.remove(at, Timer::Partition(slot));
        }
        self.memory.handle_gone(slot);
        let topic = entry.partition.at().topic_id;
        self.counts
            .note_partition_gone(topic, entry.partition.append_counts());
        self.partitions.by_partition.remove(&entry.partition.at());
        self.partitions
            .by_directory
            .remove(&entry.partition.spec().directory);
        Some(entry.partition)
    }

    /// A partition's timer was taken from the timers.
    pub(super) fn note_partition_timer_gone(&mut self, slot: u32) {
        if let Some(entry) = self.partitions.slots.get_mut(&slot) {
            entry.deadline = None;
        }
    }
}
