// SPDX-License-Identifier: Apache-2.0
//! Coordinators of this shard: one for each partition that it leads of a topic in which
//! coordinators keep their state. Groups and transactions differ in what they decide; what is the
//! same stands here.
//!
//! Owns: [`Seats`], [`Coordinates`]; the way from a coordinator to its partition and back.
//! Invariants: a coordinator begins with its partition's leadership and ends with it, and answers
//! nothing before it has read the partition to the high watermark; what it writes is `acks=all`.
//! Loading and unloading may happen at any time. Runs on: its shard. Bounded by: the partitions of
//! the topics; `GROUP_LOADS_MAX` of each are read at a time.

mod load;
mod messages;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::parts::SubId;
use super::timers::Timer;
use crate::log::{AppendError, AppendRules};
use crate::model::coordinator::{Caller, WriteError};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{LeaderEpoch, Offset, ShardId, TopicPartition};
use crate::model::number_map::NumberMap;
use crate::model::time::{MonotonicUs, Now};
use crate::partition::{AppendRequest, ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::wire::record::{BatchError, BatchHeader};

/// Stands for every partition of the topic, where something is listed.
pub const EVERY_PARTITION: i32 = -1;

/// A call to the coordinator of one partition.
#[derive(Debug)]
pub struct SeatAsk<C> {
    /// Comes back with the answer.
    pub place: usize,
    /// The partition of the topic, or [`EVERY_PARTITION`].
    pub partition: i32,
    /// What.
    pub call: C,
}

/// Answers of a coordinator, and who gets them.
pub type Answers<A> = Vec<(Caller, A)>;

/// Batches of a coordinator, by its own numbers.
pub type Appends = Vec<(u64, Bytes)>;

/// A new seat, as the coordinator that takes it is told.
#[derive(Clone, Copy, Debug)]
pub struct NewSeat {
    /// The partition of the topic.
    pub partition: i32,
    /// No other seat of this shard had it.
    pub number: u64,
    /// Leader epoch of the partition.
    pub leader_epoch: LeaderEpoch,
    /// Most bytes that one batch may have.
    pub batch_bytes_max: usize,
}

/// A machine that coordinates what one partition of a topic keeps.
pub trait Coordinates: Sized {
    /// What it is asked.
    type Call;
    /// What it answers.
    type Answer;
    /// Where it puts its effects.
    type Effects: Default;

    /// The topic.
    const TOPIC: &'static str;
    /// What the topic keeps, for people.
    const KEPT: &'static str;
    /// The place of what these coordinators ask of partitions: no request has so many.
    const PLACE: usize;

    /// All of them.
    fn seats(shard: &Shard) -> &Seats<Self>;
    /// All of them.
    fn seats_mut(shard: &mut Shard) -> &mut Seats<Self>;
    /// One for a seat.
    fn take_seat(shard: &Shard, seat: NewSeat) -> Self;
    /// Its timer.
    fn timer(partition: u32) -> Timer;
    /// The message that brings answers to the shard that asked, and for how long they waited for
    /// others.
    fn said(request: u64, waited_us: u64, answers: Vec<(usize, Self::Answer)>) -> MeshMessage;
    /// The answer that only says what is wrong.
    fn refusal(call: &Self::Call, code: ErrorCode) -> Self::Answer;
    /// What is said while it has not read its log.
    fn code_while_loading(call: &Self::Call) -> ErrorCode;
    /// Lets a call wait before it comes to its coordinator; gives any other back.
    fn hold(
        shard: &mut Shard,
        asker: (ShardId, u64),
        ask: SeatAsk<Self::Call>,
        effects: &mut Effects,
    ) -> Option<SeatAsk<Self::Call>>;
    /// The answer to a call that concerns all of them on this shard.
    fn answer_for_all(shard: &Shard, now: Now, call: &Self::Call) -> Option<Self::Answer>;
    /// Answers and batches among its effects.
    fn outbox(effects: &mut Self::Effects) -> (&mut Answers<Self::Answer>, &mut Appends);
    /// Does what else is among its effects.
    fn settle_rest(shard: &mut Shard, now: Now, partition: i32, effects: &mut Effects);

    /// True until its log is read.
    fn is_loading(&self) -> bool;
    /// Takes whole batches of the log, in order.
    fn handle_loaded(&mut self, batches: &Bytes);
    /// The log is read. Gives the number of records that could not be read.
    fn handle_load_done(&mut self, now: Now, out: &mut Self::Effects) -> usize;
    /// The partition is not led here any more: whoever waits is told.
    fn handle_unload(&mut self, now: Now, out: &mut Self::Effects);
    /// Handles a call.
    fn handle_call(&mut self, now: Now, caller: Caller, call: Self::Call, out: &mut Self::Effects);
    /// Records are committed, or lost.
    fn handle_written(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), WriteError>,
        out: &mut Self::Effects,
    );
    /// When it wants to be called.
    fn next_deadline(&self) -> Option<MonotonicUs>;
    /// Does what has become due.
    fn handle_timeout(&mut self, now: Now, out: &mut Self::Effects);
}

/// A coordinator, and the leadership that it belongs to.
pub struct Seat<K> {
    pub(super) at: TopicPartition,
    pub(super) leader_epoch: LeaderEpoch,
    /// No other coordinator of this shard had it.
    pub(super) number: u64,
    pub(super) coordinator: K,
    /// The next offset to read.
    next: Offset,
    /// The read under way.
    read: Option<u64>,
    /// Its reading could not go on.
    is_stuck: bool,
    deadline: Option<MonotonicUs>,
}

/// All coordinators of one kind of a shard.
pub struct Seats<K: Coordinates> {
    pub(super) seats: BTreeMap<i32, Seat<K>>,
    /// Appends under way: the partition, the seat, and the coordinator's number for it.
    writes: NumberMap<(i32, u64, u64)>,
    /// How many coordinators there have been.
    made: u64,
    pub(super) out: K::Effects,
}

impl<K: Coordinates> Default for Seats<K> {
    fn default() -> Seats<K> {
        Seats {
            seats: BTreeMap::new(),
            writes: NumberMap::default(),
            made: 0,
            out: K::Effects::default(),
        }
    }
}

impl<K: Coordinates> Seats<K> {
    /// How many there are, how many of them are loading, and the sum of what they count.
    pub fn counts(&self, count: impl Fn(&K) -> usize) -> (usize, usize, usize) {
        let seats = self.seats.values();
        let loading = seats.clone().filter(|seat| seat.coordinator.is_loading());
        let kept = seats.clone().map(|seat| count(&seat.coordinator));
        (self.seats.len(), loading.count(), kept.sum())
    }

    /// A coordinator and the place of its effects.
    pub(super) fn with_out(&mut self, partition: i32) -> Option<(&mut Seat<K>, &mut K::Effects)> {
        let seat = self.seats.get_mut(&partition)?;
        Some((seat, &mut self.out))
    }

    fn take_answers(&mut self) -> Answers<K::Answer> {
        std::mem::take(K::outbox(&mut self.out).0)
    }

    fn take_appends(&mut self) -> Appends {
        std::mem::take(K::outbox(&mut self.out).1)
    }

    fn answer(&mut self, caller: Caller, answer: K::Answer) {
        K::outbox(&mut self.out).0.push((caller, answer));
    }
}

impl Shard {
    /// Makes the coordinators those of the partitions that this shard leads now.
    pub(super) fn settle_seats<K: Coordinates>(&mut self, now: Now, effects: &mut Effects) {
        let wanted = self.led_partitions_of(K::TOPIC);
        let seats = K::seats(self).seats.iter();
        let is_kept = |(partition, seat): &(&i32, &Seat<K>)| {
            wanted.get(*partition) == Some(&(seat.at, seat.leader_epoch))
        };
        let unwanted: Vec<i32> = seats
            .filter(|one| !is_kept(one))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in unwanted {
            self.unload_seat::<K>(now, partition, effects);
        }
        for (partition, (at, leader_epoch)) in wanted {
            if !K::seats(self).seats.contains_key(&partition) {
                self.load_seat::<K>(partition, at, leader_epoch);
            }
        }
        self.read_seats::<K>(now, effects);
    }

    /// The partitions of a topic that are open and led here, with their leader epochs.
    fn led_partitions_of(&self, topic: &str) -> BTreeMap<i32, (TopicPartition, LeaderEpoch)> {
        let mut led = BTreeMap::new();
        let Some(topic) = self.image.topics.get(topic) else {
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

    /// Begins to load what a partition keeps.
    fn load_seat<K: Coordinates>(
        &mut self,
        partition: i32,
        at: TopicPartition,
        leader_epoch: LeaderEpoch,
    ) {
        let slot = self.partitions.slot(at);
        let log = slot.and_then(|slot| self.partitions.get(slot));
        let Some(log) = log else {
            return;
        };
        let next = log.log_start_offset();
        let topic = self.image.topics.get(K::TOPIC);
        let max_bytes = topic.map_or(0, |topic| topic.config.max_message_bytes);
        let seats = K::seats_mut(self);
        seats.made += 1;
        let new = NewSeat {
            partition,
            number: seats.made,
            leader_epoch,
            batch_bytes_max: usize::try_from(max_bytes).unwrap_or(0),
        };
        let seat = Seat {
            at,
            leader_epoch,
            number: new.number,
            coordinator: K::take_seat(self, new),
            next,
            read: None,
            is_stuck: false,
            deadline: None,
        };
        K::seats_mut(self).seats.insert(partition, seat);
    }

    /// Gives a coordinator up: whoever waits is sent to another one.
    pub(super) fn unload_seat<K: Coordinates>(
        &mut self,
        now: Now,
        partition: i32,
        effects: &mut Effects,
    ) {
        let Some(mut seat) = K::seats_mut(self).seats.remove(&partition) else {
            return;
        };
        if let Some(at) = seat.deadline {
            self.timers.remove(at, timer::<K>(partition));
        }
        let out = &mut K::seats_mut(self).out;
        seat.coordinator.handle_unload(now, out);
        self.send_seat_answers::<K>(effects);
    }

    /// Gives all of a kind up: the shard stops.
    pub(super) fn unload_all_seats<K: Coordinates>(&mut self, now: Now, effects: &mut Effects) {
        let all: Vec<i32> = K::seats(self).seats.keys().copied().collect();
        for partition in all {
            self.unload_seat::<K>(now, partition, effects);
        }
    }

    /// Handles calls of `asker`.
    pub(super) fn handle_seat_asks<K: Coordinates>(
        &mut self,
        now: Now,
        asker: ShardId,
        request: u64,
        asks: Vec<SeatAsk<K::Call>>,
        effects: &mut Effects,
    ) {
        for ask in asks {
            if let Some(ask) = K::hold(self, (asker, request), ask, effects) {
                self.take_seat_ask::<K>(now, (asker, request), ask, effects);
            }
        }
        self.send_seat_answers::<K>(effects);
    }

    /// Gives a call to its coordinator; the answers are not sent yet.
    pub(super) fn take_seat_ask<K: Coordinates>(
        &mut self,
        now: Now,
        asker: (ShardId, u64),
        ask: SeatAsk<K::Call>,
        effects: &mut Effects,
    ) {
        let caller = caller_of(self.now_us, asker, ask.place);
        if let Some(answer) = K::answer_for_all(self, now, &ask.call) {
            return K::seats_mut(self).answer(caller, answer);
        }
        match K::seats_mut(self).with_out(ask.partition) {
            Some((seat, out)) => {
                seat.coordinator.handle_call(now, caller, ask.call, out);
                self.append_seat_batches::<K>(now, ask.partition, effects);
                K::settle_rest(self, now, ask.partition, effects);
                self.settle_seat_timer::<K>(ask.partition);
            }
            None => {
                let answer = self.refuse_seat_call::<K>(ask.partition, &ask.call);
                K::seats_mut(self).answer(caller, answer);
            }
        }
    }

    /// Answers a call with a code.
    pub(super) fn refuse_seat_ask<K: Coordinates>(
        &mut self,
        asker: (ShardId, u64),
        ask: &SeatAsk<K::Call>,
        code: ErrorCode,
        effects: &mut Effects,
    ) {
        let caller = caller_of(self.now_us, asker, ask.place);
        let answer = K::refusal(&ask.call, code);
        K::seats_mut(self).answer(caller, answer);
        self.send_seat_answers::<K>(effects);
    }

    /// There is no coordinator here: it has not begun, or it is elsewhere.
    fn refuse_seat_call<K: Coordinates>(&self, partition: i32, call: &K::Call) -> K::Answer {
        let topic = self.image.topics.get(K::TOPIC);
        let is_ours = topic.is_some_and(|topic| {
            let routed = self.route(topic, partition);
            routed.is_ok_and(|(_, shard)| shard == self.config.shard)
        });
        K::refusal(
            call,
            match is_ours {
                true => K::code_while_loading(call),
                false => ErrorCode::NotCoordinator,
            },
        )
    }

    /// Does what a coordinator wants: appends, answers, its timer, and what else there is.
    pub(super) fn settle_seat<K: Coordinates>(
        &mut self,
        now: Now,
        partition: i32,
        effects: &mut Effects,
    ) {
        self.append_seat_batches::<K>(now, partition, effects);
        self.send_seat_answers::<K>(effects);
        K::settle_rest(self, now, partition, effects);
        self.settle_seat_timer::<K>(partition);
    }

    fn append_seat_batches<K: Coordinates>(
        &mut self,
        now: Now,
        partition: i32,
        effects: &mut Effects,
    ) {
        loop {
            let appends = K::seats_mut(self).take_appends();
            if appends.is_empty() {
                return;
            }
            for (number, batch) in appends {
                self.append_seat_batch::<K>(now, partition, number, batch, effects);
            }
        }
    }

    fn append_seat_batch<K: Coordinates>(
        &mut self,
        now: Now,
        partition: i32,
        number: u64,
        records: Bytes,
        effects: &mut Effects,
    ) {
        let write = self.parts.next_number();
        let seats = K::seats_mut(self);
        let Some(seat) = seats.seats.get_mut(&partition) else {
            return;
        };
        let at = seat.at;
        seats.writes.insert(write, (partition, seat.number, number));
        // Offsets of a transaction: its coordinator was asked before they came here.
        let header = BatchHeader::parse(&records);
        let rules = match header.map(|header| header.attributes.is_transactional()) {
            Ok(true) => AppendRules::ON_BEHALF,
            _ => AppendRules::CLIENT,
        };
        let append = AppendRequest {
            waiter: sub::<K>(write).pack(),
            came_us: now.monotonic_us,
            acks: Acks::All,
            records,
        };
        let done = self.on_partition(at, &mut effects.disk, |log, disk, events| {
            log.handle_append_as(now, append, rules, disk, events);
        });
        if done.is_none() {
            self.finish_seat_write::<K>(now, write, Err(WriteError::NotLeader));
        }
    }

    /// Takes the end of an append, if a coordinator of this kind made it; else gives it back.
    pub(super) fn take_seat_write<K: Coordinates>(
        &mut self,
        now: Now,
        sub: SubId,
        result: Result<Produced, ProduceError>,
        effects: &mut Effects,
    ) -> Option<Result<Produced, ProduceError>> {
        if sub.place != K::PLACE {
            return Some(result);
        }
        let may_be_there = matches!(
            result,
            Err(ProduceError::NotEnoughReplicasAfterAppend | ProduceError::TimedOut)
        );
        let result = result.map(|_| ()).map_err(|error| write_error(&error));
        if let Some(partition) = self.finish_seat_write::<K>(now, sub.part, result) {
            self.settle_seat::<K>(now, partition, effects);
            if may_be_there {
                // What was undone may be in the log: only the log knows.
                self.unload_seat::<K>(now, partition, effects);
                self.settle_seats::<K>(now, effects);
            }
        }
        None
    }

    /// Tells a coordinator of the end of an append, if it is still the one that made it.
    fn finish_seat_write<K: Coordinates>(
        &mut self,
        now: Now,
        write: u64,
        result: Result<(), WriteError>,
    ) -> Option<i32> {
        let seats = K::seats_mut(self);
        let (partition, seat_number, number) = seats.writes.remove(write)?;
        let (seat, out) = seats.with_out(partition)?;
        if seat.number != seat_number {
            return None;
        }
        seat.coordinator.handle_written(now, number, result, out);
        Some(partition)
    }

    /// Sends the answers of coordinators, those to one request together.
    pub(super) fn send_seat_answers<K: Coordinates>(&mut self, effects: &mut Effects) {
        let mut together: Vec<(usize, K::Answer)> = Vec::new();
        let mut last: Option<(ShardId, u64)> = None;
        let mut waited_us = 0;
        for (caller, answer) in K::seats_mut(self).take_answers() {
            let to = (caller.shard, caller.request);
            if let Some((shard, request)) = last.filter(|before| *before != to) {
                let message = K::said(request, waited_us, std::mem::take(&mut together));
                self.send(shard, message, effects);
                waited_us = 0;
            }
            last = Some(to);
            waited_us = waited_us.max(caller.waited_us.unwrap_or(0));
            together.push((caller.place, answer));
        }
        if let Some((shard, request)) = last {
            self.send(shard, K::said(request, waited_us, together), effects);
        }
    }

    fn settle_seat_timer<K: Coordinates>(&mut self, partition: i32) {
        let Some(seat) = K::seats_mut(self).seats.get_mut(&partition) else {
            return;
        };
        let wanted = seat.coordinator.next_deadline();
        let before = std::mem::replace(&mut seat.deadline, wanted);
        if before == wanted {
            return;
        }
        if let Some(at) = before {
            self.timers.remove(at, timer::<K>(partition));
        }
        if let Some(at) = wanted {
            self.timers.insert(at, timer::<K>(partition));
        }
    }

    /// A coordinator's timer was taken from the timers.
    pub(super) fn note_seat_timer_gone<K: Coordinates>(&mut self, partition: u32) {
        let partition = i32::try_from(partition).unwrap_or(EVERY_PARTITION);
        if let Some(seat) = K::seats_mut(self).seats.get_mut(&partition) {
            seat.deadline = None;
        }
    }

    /// Something is due at a coordinator.
    pub(super) fn handle_seat_timer<K: Coordinates>(
        &mut self,
        now: Now,
        partition: u32,
        effects: &mut Effects,
    ) {
        let partition = i32::try_from(partition).unwrap_or(EVERY_PARTITION);
        if let Some((seat, out)) = K::seats_mut(self).with_out(partition) {
            seat.coordinator.handle_timeout(now, out);
            self.settle_seat::<K>(now, partition, effects);
        }
    }
}

fn caller_of(came_us: MonotonicUs, (shard, request): (ShardId, u64), place: usize) -> Caller {
    Caller {
        shard,
        request,
        place,
        came_us,
        waited_us: None,
    }
}

fn sub<K: Coordinates>(part: u64) -> SubId {
    SubId {
        part,
        place: K::PLACE,
    }
}

fn timer<K: Coordinates>(partition: i32) -> Timer {
    K::timer(u32::try_from(partition).unwrap_or(0))
}

fn write_error(error: &ProduceError) -> WriteError {
    match error {
        ProduceError::NotLeader | ProduceError::Offline => WriteError::NotLeader,
        ProduceError::Append(AppendError::LargerThanSegment) => WriteError::TooLarge,
        ProduceError::Append(AppendError::ProducerFenced) => WriteError::Fenced,
        ProduceError::Append(AppendError::Batch(BatchError::TooLarge { .. })) => {
            WriteError::TooLarge
        }
        _ => WriteError::Unavailable,
    }
}
