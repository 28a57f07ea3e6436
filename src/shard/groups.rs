// SPDX-License-Identifier: Apache-2.0
//! The coordinators of groups of this shard: one for each partition of `__consumer_offsets` that it
//! leads.
//!
//! Owns: [`Groups`], what is particular to groups among coordinators (`seats`). Invariants: those
//! of `seats`; a heartbeat is well while its group is loading, so that nobody thinks that it was
//! thrown out. Runs on: its shard. Bounded by: the partitions of the topic.

mod transactional;

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::contract::Effects;
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::parts::PLACES_MAX;
use super::seats::{Answers, Appends, Coordinates, NewSeat, SeatAsk, Seats};
use super::timers::Timer;
use crate::config::groups::GroupSettings;
use crate::group::{
    Caller, Coordinator, GroupAnswer, GroupCall, GroupEffects, OFFSETS_TOPIC, WriteError,
};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::image::MetadataImage;
use crate::model::time::{MonotonicUs, Now};
use crate::txn::TRANSACTIONS_TOPIC;
use crate::wire::protocol::list_groups::ListedGroup;

/// A call to the coordinator of one partition.
pub type GroupAsk = SeatAsk<GroupCall>;

/// All coordinators of groups of a shard.
pub struct Groups {
    settings: GroupSettings,
    pub(super) seats: Seats<Coordinator>,
}

impl Groups {
    /// No coordinators yet.
    pub fn new(settings: GroupSettings) -> Groups {
        Groups {
            settings,
            seats: Seats::default(),
        }
    }

    /// The settings of groups.
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// How many coordinators there are, how many of them are loading, and their groups.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.seats.counts(Coordinator::group_count)
    }

    fn list(
        &self,
        states: &[ByteString],
        types: &[ByteString],
    ) -> Result<Vec<ListedGroup>, ErrorCode> {
        let mut all = Vec::new();
        for seat in self.seats.seats.values() {
            if seat.coordinator.is_loading() {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            all.extend(seat.coordinator.list(states, types));
        }
        Ok(all)
    }
}

/// True for a topic that serves the broker's own purposes.
pub fn is_internal(topic: &str) -> bool {
    topic == OFFSETS_TOPIC || topic == TRANSACTIONS_TOPIC
}

impl Coordinates for Coordinator {
    type Call = GroupCall;
    type Answer = GroupAnswer;
    type Effects = GroupEffects;

    const TOPIC: &'static str = OFFSETS_TOPIC;
    const KEPT: &'static str = "groups";
    const PLACE: usize = PLACES_MAX - 1;

    fn seats(shard: &Shard) -> &Seats<Coordinator> {
        &shard.groups.seats
    }

    fn seats_mut(shard: &mut Shard) -> &mut Seats<Coordinator> {
        &mut shard.groups.seats
    }

    fn take_seat(shard: &Shard, seat: NewSeat) -> Coordinator {
        let seed = shard.group_seed(&seat);
        let settings = shard.groups.settings.clone();
        let mut coordinator = Coordinator::new(settings, seed, seat.batch_bytes_max);
        coordinator.handle_image(Arc::clone(&shard.image));
        coordinator
    }

    fn timer(partition: u32) -> Timer {
        Timer::Groups(partition)
    }

    fn said(request: u64, waited_us: u64, answers: Vec<(usize, GroupAnswer)>) -> MeshMessage {
        MeshMessage::GroupsSaid {
            request,
            waited_us,
            answers,
        }
    }

    fn refusal(call: &GroupCall, code: ErrorCode) -> GroupAnswer {
        call.refusal(code)
    }

    fn code_while_loading(call: &GroupCall) -> ErrorCode {
        match call {
            GroupCall::Heartbeat(_) => ErrorCode::None,
            _ => ErrorCode::CoordinatorLoadInProgress,
        }
    }

    fn hold(
        shard: &mut Shard,
        (asker, request): (ShardId, u64),
        ask: GroupAsk,
        effects: &mut Effects,
    ) -> Option<GroupAsk> {
        shard.hold_group_ask(asker, request, ask, effects)
    }

    fn answer_for_all(shard: &Shard, _: Now, call: &GroupCall) -> Option<GroupAnswer> {
        match call {
            GroupCall::List { states, types } => {
                Some(GroupAnswer::Listed(shard.groups.list(states, types)))
            }
            _ => None,
        }
    }

    fn outbox(effects: &mut GroupEffects) -> (&mut Answers<GroupAnswer>, &mut Appends) {
        (&mut effects.answers, &mut effects.appends)
    }

    /// Makes a coordinator anew whose log has lost what its groups build on.
    fn settle_rest(shard: &mut Shard, now: Now, partition: i32, effects: &mut Effects) {
        let seat = shard.groups.seats.seats.get(&partition);
        if seat.is_some_and(|seat| seat.coordinator.wants_reload()) {
            shard.unload_seat::<Coordinator>(now, partition, effects);
            shard.settle_seats::<Coordinator>(now, effects);
        }
    }

    fn is_loading(&self) -> bool {
        self.is_loading()
    }

    fn handle_loaded(&mut self, batches: &Bytes) {
        self.handle_loaded(batches);
    }

    fn handle_load_done(&mut self, now: Now, out: &mut GroupEffects) -> usize {
        self.handle_load_done(now, out)
    }

    fn handle_unload(&mut self, now: Now, out: &mut GroupEffects) {
        self.handle_unload(now, out);
    }

    fn handle_call(&mut self, now: Now, caller: Caller, call: GroupCall, out: &mut GroupEffects) {
        self.handle_call(now, caller, call, out);
    }

    fn handle_written(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), WriteError>,
        out: &mut GroupEffects,
    ) {
        self.handle_written(now, number, result, out);
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        self.next_deadline()
    }

    fn handle_timeout(&mut self, now: Now, out: &mut GroupEffects) {
        self.handle_timeout(now, out);
    }
}

impl Shard {
    /// What no other coordinator of any start has: member ids follow from it.
    fn group_seed(&self, seat: &NewSeat) -> [u8; 32] {
        let broker = self.image.brokers.get(&self.config.node_id);
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&broker.map_or([0; 16], |broker| broker.incarnation_id.0));
        seed[16..18].copy_from_slice(&self.config.shard.0.to_be_bytes());
        seed[18..22].copy_from_slice(&seat.partition.to_be_bytes());
        seed[22..30].copy_from_slice(&seat.number.to_be_bytes());
        seed
    }

    /// Coordinators get the new image; topics that it took away lose their offsets.
    pub(super) fn tell_coordinators(
        &mut self,
        now: Now,
        before: &MetadataImage,
        effects: &mut Effects,
    ) {
        for seat in self.groups.seats.seats.values_mut() {
            seat.coordinator.handle_image(Arc::clone(&self.image));
        }
        if self.groups.seats.seats.is_empty() {
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
        let seats: Vec<i32> = self.groups.seats.seats.keys().copied().collect();
        for partition in seats {
            if let Some((seat, out)) = self.groups.seats.with_out(partition) {
                seat.coordinator.handle_topics_deleted(now, &gone, out);
                self.settle_seat::<Coordinator>(now, partition, effects);
            }
        }
    }
}
