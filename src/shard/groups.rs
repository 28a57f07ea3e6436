// SPDX-License-Identifier: Apache-2.0
//! The coordinators of this shard: one for each partition of `__consumer_offsets` that it leads.
//!
//! Owns: [`Groups`]; the way from a coordinator to its partition and back. Invariants: a
//! coordinator begins with its partition's leadership and ends with it, and answers nothing before
//! it has read the partition to the high watermark; what it writes is `acks=all`. Loading and
//! unloading may happen at any time. Runs on: its shard. Bounded by: the partitions of the topic;
//! `GROUP_LOADS_MAX` are read at a time.

mod load;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::parts::{PLACES_MAX, SubId};
use super::timers::Timer;
use crate::config::groups::GroupSettings;
use crate::group::{
    Caller, Coordinator, GroupAnswer, GroupCall, GroupEffects, OFFSETS_TOPIC, WriteError,
};
use crate::log::AppendError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{LeaderEpoch, Offset, ShardId, TopicPartition};
use crate::model::image::MetadataImage;
use crate::model::number_map::NumberMap;
use crate::model::time::{MonotonicUs, Now};
use crate::partition::{AppendRequest, ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::wire::protocol::list_groups::ListedGroup;
use crate::wire::record::BatchError;

/// The place of what coordinators ask of partitions: no request has so many.
const PLACE: usize = PLACES_MAX - 1;

/// Stands for every partition of the topic, where groups are listed.
pub const EVERY_PARTITION: i32 = -1;

/// A call to the coordinator of one partition.
#[derive(Debug)]
pub struct GroupAsk {
    /// Comes back with the answer.
    pub place: usize,
    /// The partition of the topic, or [`EVERY_PARTITION`].
    pub partition: i32,
    /// What.
    pub call: GroupCall,
}

/// A coordinator, and the leadership that it belongs to.
struct Seat {
    at: TopicPartition,
    leader_epoch: LeaderEpoch,
    /// No other coordinator of this shard had it.
    number: u64,
    coordinator: Coordinator,
    /// The next offset to read.
    next: Offset,
    /// The read under way.
    read: Option<u64>,
    /// Its reading could not go on.
    is_stuck: bool,
    deadline: Option<MonotonicUs>,
}

/// All coordinators of a shard.
pub struct Groups {
    settings: GroupSettings,
    seats: BTreeMap<i32, Seat>,
    /// Appends under way: the partition, the seat, and the coordinator's number for it.
    writes: NumberMap<(i32, u64, u64)>,
    /// How many coordinators there have been.
    made: u64,
    effects: GroupEffects,
}

impl Groups {
    /// No coordinators yet.
    pub fn new(settings: GroupSettings) -> Groups {
        Groups {
            settings,
            seats: BTreeMap::new(),
            writes: NumberMap::default(),
            made: 0,
            effects: GroupEffects::default(),
        }
    }

    /// The settings of groups.
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// How many coordinators there are, how many of them are loading, and their groups.
    pub fn counts(&self) -> (usize, usize, usize) {
        let seats = self.seats.values();
        let loading = seats.clone().filter(|seat| seat.coordinator.is_loading());
        let groups = seats.clone().map(|seat| seat.coordinator.group_count());
        (self.seats.len(), loading.count(), groups.sum())
    }
}

/// True for a topic that serves the broker's own purposes.
pub fn is_internal(topic: &str) -> bool {
    topic == OFFSETS_TOPIC
}

impl Shard {
    /// Makes the coordinators those of the partitions that this shard leads now.
    pub(super) fn settle_coordinators(&mut self, now: Now, effects: &mut Effects) {
        let wanted = self.led_offsets_partitions();
        let seats = self.groups.seats.iter();
        let is_kept = |(partition, seat): &(&i32, &Seat)| {
            wanted.get(*partition) == Some(&(seat.at, seat.leader_epoch))
        };
        let unwanted: Vec<i32> = seats
            .filter(|one| !is_kept(one))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in unwanted {
            self.unload_groups(now, partition, effects);
        }
        for (partition, (at, leader_epoch)) in wanted {
            if !self.groups.seats.contains_key(&partition) {
                self.load_groups(partition, at, leader_epoch);
            }
        }
        self.read_groups(now, effects);
    }

    /// The partitions of the topic that are open and led here, with their leader epochs.
    fn led_offsets_partitions(&self) -> BTreeMap<i32, (TopicPartition, LeaderEpoch)> {
        let mut led = BTreeMap::new();
        let Some(topic) = self.image.topics.get(OFFSETS_TOPIC) else {
            return led;
        };
        for (index, image) in (0..).zip(&topic.partitions) {
            let at = TopicPartition {
                topic_id: topic.id,
                partition: index,
            };
            let slot = self.partitions.slot(at);
            let partition = slot.and_then(|slot| self.partitions.get(slot));
            let is_led = partition.is_some_and(|one| one.high_watermark().is_some());
            if is_led && image.shard == self.config.shard {
                led.insert(index, (at, image.leader_epoch));
            }
        }
        led
    }

    /// True if this slot belongs to the topic of the groups.
    pub(super) fn keeps_groups(&self, slot: u32) -> bool {
        let partition = self.partitions.get(slot);
        let topic = self.image.topics.get(OFFSETS_TOPIC);
        partition
            .zip(topic)
            .is_some_and(|(partition, topic)| partition.at().topic_id == topic.id)
    }

    /// Begins to load the groups of a partition.
    fn load_groups(&mut self, partition: i32, at: TopicPartition, leader_epoch: LeaderEpoch) {
        let slot = self.partitions.slot(at);
        let log = slot.and_then(|slot| self.partitions.get(slot));
        let Some(log) = log else {
            return;
        };
        let next = log.log_start_offset();
        let topic = self.image.topics.get(OFFSETS_TOPIC);
        let max_bytes = topic.map_or(0, |topic| topic.config.max_message_bytes);
        self.groups.made += 1;
        let seed = self.group_seed(partition);
        let mut coordinator = Coordinator::new(
            self.groups.settings.clone(),
            seed,
            usize::try_from(max_bytes).unwrap_or(0),
        );
        coordinator.handle_image(Arc::clone(&self.image));
        let seat = Seat {
            at,
            leader_epoch,
            number: self.groups.made,
            coordinator,
            next,
            read: None,
            is_stuck: false,
            deadline: None,
        };
        self.groups.seats.insert(partition, seat);
    }

    /// What no other coordinator of any start has: member ids follow from it.
    fn group_seed(&self, partition: i32) -> [u8; 32] {
        let broker = self.image.brokers.get(&self.config.node_id);
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&broker.map_or([0; 16], |broker| broker.incarnation_id.0));
        seed[16..18].copy_from_slice(&self.config.shard.0.to_be_bytes());
        seed[18..22].copy_from_slice(&partition.to_be_bytes());
        seed[22..30].copy_from_slice(&self.groups.made.to_be_bytes());
        seed
    }

    /// Gives the groups of a partition up: whoever waits is sent to another coordinator.
    pub(super) fn unload_groups(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        let Some(mut seat) = self.groups.seats.remove(&partition) else {
            return;
        };
        if let Some(at) = seat.deadline {
            self.timers.remove(at, timer(partition));
        }
        seat.coordinator
            .handle_unload(now, &mut self.groups.effects);
        self.send_group_answers(effects);
    }

    /// Gives all groups up: the shard stops.
    pub(super) fn unload_all_groups(&mut self, now: Now, effects: &mut Effects) {
        let all: Vec<i32> = self.groups.seats.keys().copied().collect();
        for partition in all {
            self.unload_groups(now, partition, effects);
        }
    }

    /// Handles calls of `asker`.
    pub(super) fn handle_group_asks(
        &mut self,
        now: Now,
        asker: ShardId,
        request: u64,
        asks: Vec<GroupAsk>,
        effects: &mut Effects,
    ) {
        for ask in asks {
            let caller = Caller {
                shard: asker,
                request,
                place: ask.place,
            };
            if let GroupCall::List { states, types } = &ask.call {
                let answer = GroupAnswer::Listed(self.list_groups(states, types));
                self.groups.effects.answers.push((caller, answer));
                continue;
            }
            match self.groups.seats.get_mut(&ask.partition) {
                Some(seat) => {
                    let out = &mut self.groups.effects;
                    seat.coordinator.handle_call(now, caller, ask.call, out);
                    self.append_group_batches(now, ask.partition, effects);
                    self.settle_group_timer(ask.partition);
                    self.reload_groups(now, ask.partition, effects);
                }
                None => {
                    let answer = self.refuse_group(ask.partition, &ask.call);
                    self.groups.effects.answers.push((caller, answer));
                }
            }
        }
        self.send_group_answers(effects);
    }

    fn list_groups(
        &self,
        states: &[ByteString],
        types: &[ByteString],
    ) -> Result<Vec<ListedGroup>, ErrorCode> {
        let mut all = Vec::new();
        for seat in self.groups.seats.values() {
            if seat.coordinator.is_loading() {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            all.extend(seat.coordinator.list(states, types));
        }
        Ok(all)
    }

    /// There is no coordinator here: it has not begun, or it is elsewhere.
    fn refuse_group(&self, partition: i32, call: &GroupCall) -> GroupAnswer {
        let topic = self.image.topics.get(OFFSETS_TOPIC);
        let is_ours = topic.is_some_and(|topic| {
            let routed = self.route(topic, partition);
            routed.is_ok_and(|(_, shard)| shard == self.config.shard)
        });
        call.refusal(match call {
            _ if !is_ours => ErrorCode::NotCoordinator,
            GroupCall::Heartbeat(_) => ErrorCode::None,
            _ => ErrorCode::CoordinatorLoadInProgress,
        })
    }

    /// Does what a coordinator wants: appends, answers, its timer.
    fn settle_groups(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        self.append_group_batches(now, partition, effects);
        self.send_group_answers(effects);
        self.settle_group_timer(partition);
        self.reload_groups(now, partition, effects);
    }

    /// Makes a coordinator anew whose log has lost what its groups build on.
    fn reload_groups(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        let seat = self.groups.seats.get(&partition);
        if seat.is_some_and(|seat| seat.coordinator.wants_reload()) {
            self.unload_groups(now, partition, effects);
            self.settle_coordinators(now, effects);
        }
    }

    fn append_group_batches(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        while !self.groups.effects.appends.is_empty() {
            for (number, batch) in std::mem::take(&mut self.groups.effects.appends) {
                self.append_group_batch(now, partition, number, batch, effects);
            }
        }
    }

    fn append_group_batch(
        &mut self,
        now: Now,
        partition: i32,
        number: u64,
        records: Bytes,
        effects: &mut Effects,
    ) {
        let Some(seat) = self.groups.seats.get_mut(&partition) else {
            return;
        };
        let at = seat.at;
        let write = self.parts.next_number();
        let mark = (partition, seat.number, number);
        self.groups.writes.insert(write, mark);
        let append = AppendRequest {
            waiter: sub(write).pack(),
            came_us: now.monotonic_us,
            acks: Acks::All,
            records,
        };
        let done = self.on_partition(at, &mut effects.disk, |log, disk, events| {
            log.handle_append(now, append, disk, events);
        });
        if done.is_none() {
            self.finish_group_write(now, write, Err(WriteError::NotLeader));
        }
    }

    /// Takes the end of an append, if a coordinator made it; else gives it back.
    pub(super) fn take_group_write(
        &mut self,
        now: Now,
        sub: SubId,
        result: Result<Produced, ProduceError>,
        effects: &mut Effects,
    ) -> Option<Result<Produced, ProduceError>> {
        if sub.place != PLACE {
            return Some(result);
        }
        let may_be_there = matches!(
            result,
            Err(ProduceError::NotEnoughReplicasAfterAppend | ProduceError::TimedOut)
        );
        let result = result.map(|_| ()).map_err(|error| write_error(&error));
        if let Some(partition) = self.finish_group_write(now, sub.part, result) {
            self.settle_groups(now, partition, effects);
            if may_be_there {
                // What was undone may be in the log: only the log knows.
                self.unload_groups(now, partition, effects);
                self.settle_coordinators(now, effects);
            }
        }
        None
    }

    /// Tells a coordinator of the end of an append, if it is still the one that made it.
    fn finish_group_write(
        &mut self,
        now: Now,
        write: u64,
        result: Result<(), WriteError>,
    ) -> Option<i32> {
        let (partition, seat_number, number) = self.groups.writes.remove(write)?;
        let seat = self.groups.seats.get_mut(&partition)?;
        if seat.number != seat_number {
            return None;
        }
        let out = &mut self.groups.effects;
        seat.coordinator.handle_written(now, number, result, out);
        Some(partition)
    }

    /// Sends the answers of coordinators, those to one request together.
    fn send_group_answers(&mut self, effects: &mut Effects) {
        let mut answers = std::mem::take(&mut self.groups.effects.answers);
        let mut together: Vec<(usize, GroupAnswer)> = Vec::new();
        let mut last: Option<(ShardId, u64)> = None;
        for (caller, answer) in answers.drain(..) {
            let to = (caller.shard, caller.request);
            if let Some(before) = last.filter(|before| *before != to) {
                self.send_group_answer(before, std::mem::take(&mut together), effects);
            }
            last = Some(to);
            together.push((caller.place, answer));
        }
        if let Some(to) = last {
            self.send_group_answer(to, together, effects);
        }
        self.groups.effects.answers = answers;
    }

    fn send_group_answer(
        &mut self,
        (to, request): (ShardId, u64),
        answers: Vec<(usize, GroupAnswer)>,
        effects: &mut Effects,
    ) {
        self.send(to, MeshMessage::GroupsSaid { request, answers }, effects);
    }

    fn settle_group_timer(&mut self, partition: i32) {
        let Some(seat) = self.groups.seats.get_mut(&partition) else {
            return;
        };
        let wanted = seat.coordinator.next_deadline();
        if wanted != seat.deadline {
            if let Some(at) = seat.deadline {
                self.timers.remove(at, timer(partition));
            }
            if let Some(at) = wanted {
                self.timers.insert(at, timer(partition));
            }
            seat.deadline = wanted;
        }
    }

    /// A coordinator's timer was taken from the timers.
    pub(super) fn note_group_timer_gone(&mut self, partition: u32) {
        let partition = i32::try_from(partition).unwrap_or(EVERY_PARTITION);
        if let Some(seat) = self.groups.seats.get_mut(&partition) {
            seat.deadline = None;
        }
    }

    /// Something is due at a coordinator.
    pub(super) fn handle_group_timer(&mut self, now: Now, partition: u32, effects: &mut Effects) {
        let partition = i32::try_from(partition).unwrap_or(EVERY_PARTITION);
        if let Some(seat) = self.groups.seats.get_mut(&partition) {
            let out = &mut self.groups.effects;
            seat.coordinator.handle_timeout(now, out);
            self.settle_groups(now, partition, effects);
        }
    }

    /// Coordinators get the new image; topics that it took away lose their offsets.
    pub(super) fn tell_coordinators(
        &mut self,
        now: Now,
        before: &MetadataImage,
        effects: &mut Effects,
    ) {
        for seat in self.groups.seats.values_mut() {
            seat.coordinator.handle_image(Arc::clone(&self.image));
        }
        if self.groups.seats.is_empty() {
            return;
        }
        let topics = before.topics.iter();
        let gone = topics.filter(|(name, topic)| {
            let now = self.image.topics.get(*name);
            now.is_none_or(|now| now.id != topic.id)
        });
        let gone: Vec<ByteString> = gone.map(|(name, _)| name.clone()).collect();
        if gone.is_empty() {
            return;
        }
        let seats: Vec<i32> = self.groups.seats.keys().copied().collect();
        for partition in seats {
            if let Some(seat) = self.groups.seats.get_mut(&partition) {
                let out = &mut self.groups.effects;
                seat.coordinator.handle_topics_deleted(now, &gone, out);
                self.settle_groups(now, partition, effects);
            }
        }
    }
}

fn sub(part: u64) -> SubId {
    SubId { part, place: PLACE }
}

fn timer(partition: i32) -> Timer {
    Timer::Groups(u32::try_from(partition).unwrap_or(0))
}

fn write_error(error: &ProduceError) -> WriteError {
    match error {
        ProduceError::NotLeader | ProduceError::Offline => WriteError::NotLeader,
        ProduceError::Append(AppendError::LargerThanSegment) => WriteError::TooLarge,
        ProduceError::Append(AppendError::Batch(BatchError::TooLarge { .. })) => {
            WriteError::TooLarge
        }
        _ => WriteError::Unavailable,
    }
}
