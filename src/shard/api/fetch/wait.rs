// SPDX-License-Identifier: Apache-2.0
//! Fetches that wait: what their shards tell, when they are over, and the answer.
//!
//! Owns: nothing; the later half of [`super`]. Invariants: those of [`super`].
//! Runs on: the shard that accepted the connection. Bounded by: the requests in flight.

use super::{FetchLists, LEADER_FROM, PartState, current_leader};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::shard::contract::Effects;
use crate::shard::fetch_sessions::TopicKey;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::{MeshMessage, Origin};
use crate::shard::parts::fetch::FetchedParts;
use crate::shard::request_table::Pending;
use crate::shard::timers::Timer;

impl Shard {
    /// A shard has told what it read.
    pub(in crate::shard) fn take_fetched(
        &mut self,
        origin: Origin,
        request: u64,
        mut body: FetchedParts,
        effects: &mut Effects,
    ) {
        let Some((call, Pending::Fetch(pending))) = self.requests.get_mut(request) else {
            return;
        };
        pending.way = body.way;
        pending.way.hop_us += origin.hop_us;
        pending.told_us = self.now_us;
        let bytes = body.bytes();
        let state = if body.is_final {
            pending.is_over = true;
            PartState::Final
        } else {
            PartState::Waiting {
                bytes,
                is_stale: false,
            }
        };
        if let Some(known) = pending.state_mut(origin.shard) {
            *known = state;
        }
        let version = call.version;
        for one in body.results.drain(..) {
            pending.take_result(version, one);
        }
        self.spares.results.give(body.results);
        self.advance_fetch(request, effects);
    }

    /// A shard could read more now.
    pub(in crate::shard) fn take_fetch_progress(
        &mut self,
        from: ShardId,
        request: u64,
        bytes: u64,
        effects: &mut Effects,
    ) {
        let Some((_, Pending::Fetch(pending))) = self.requests.get_mut(request) else {
            return;
        };
        if let Some(state @ PartState::Waiting { .. }) = pending.state_mut(from) {
            let is_stale = true;
            *state = PartState::Waiting { bytes, is_stale };
            self.advance_fetch(request, effects);
        }
    }

    /// The time of a fetch is over.
    pub(in crate::shard) fn handle_fetch_deadline(&mut self, request: u64, effects: &mut Effects) {
        if let Some((_, Pending::Fetch(pending))) = self.requests.get_mut(request) {
            // The deadline stays noted, so that parts that wait for memory are told.
            pending.is_over = true;
            self.advance_fetch(request, effects);
        }
    }

    /// The client of a fetch went away.
    pub(in crate::shard) fn cancel_fetch(&mut self, request: u64, effects: &mut Effects) {
        let is_fetch = matches!(self.requests.get_mut(request), Some((_, Pending::Fetch(_))));
        if !is_fetch {
            return;
        }
        if let Some((call, Pending::Fetch(pending))) = self.requests.remove(request) {
            self.memory.unpark(pending.parked_bytes);
            self.connections.forget(call.slot);
            if let Some(deadline) = pending.deadline {
                self.timers.remove(deadline, Timer::Request(request));
            }
            for (owner, state) in &pending.lists.parts {
                if *state != PartState::Final {
                    self.send(*owner, MeshMessage::FetchCancel { request }, effects);
                }
            }
            self.spares.fetch_lists.give(pending.lists);
        }
    }

    /// Decides how a fetch goes on: wait, gather what is stale, or answer.
    fn advance_fetch(&mut self, request: u64, effects: &mut Effects) {
        let Some((_, Pending::Fetch(pending))) = self.requests.get_mut(request) else {
            return;
        };
        pending.is_over |= pending.available_bytes() >= pending.min_bytes;
        if !pending.is_over {
            if !pending.is_gathering() {
                pending.strip();
            }
            return;
        }
        let mut messages = Vec::new();
        for (owner, state) in &mut pending.lists.parts {
            match *state {
                // Asked again so that it answers without waiting; a part that does not wait is not
                // disturbed by it.
                PartState::Gathering if pending.deadline.is_some() => {
                    messages.push((*owner, MeshMessage::FetchFinish { request }));
                }
                PartState::Waiting { is_stale: true, .. } => {
                    *state = PartState::Gathering;
                    messages.push((*owner, MeshMessage::FetchFinish { request }));
                }
                PartState::Waiting { .. } => {
                    *state = PartState::Final;
                    messages.push((*owner, MeshMessage::FetchCancel { request }));
                }
                PartState::Gathering | PartState::Final => {}
            }
        }
        let is_done = !pending.is_gathering();
        if let Some(deadline) = pending.deadline.take() {
            self.timers.remove(deadline, Timer::Request(request));
        }
        for (owner, message) in messages {
            self.send(owner, message, effects);
        }
        if is_done {
            self.answer_fetch(request, effects);
        }
    }

    fn answer_fetch(&mut self, request: u64, effects: &mut Effects) {
        if let Some((call, Pending::Fetch(mut pending))) = self.requests.remove(request) {
            self.memory.unpark(pending.parked_bytes);
            pending.max_bytes = pending.max_bytes.min(self.answer_bytes_max());
            self.settle_moved(call.version, &mut pending.lists);
            let (mut way, subject) = (pending.way, pending.subject());
            // A part that has told how little there is waits until somebody ends that.
            way.wait_us += self.now_us.saturating_sub(pending.told_us);
            let reply = self.conclude_fetch(&call, pending, effects);
            self.conclude_on_way(call, way, subject, reply, effects);
        }
    }

    /// Tells clients of partitions that moved, or whose leader epoch is not theirs, who leads them;
    /// and of topics that went away meanwhile, that they are gone.
    fn settle_moved(&self, version: i16, lists: &mut FetchLists) {
        for (wanted, answer) in lists.wanted.iter().zip(&mut lists.partitions) {
            let has_moved = answer.error_code == ErrorCode::NotLeaderOrFollower.code();
            if !has_moved && answer.error_code != ErrorCode::FencedLeaderEpoch.code() {
                continue;
            }
            let topic = match &wanted.topic {
                TopicKey::Name(name) => self.image().topics.get(name),
                TopicKey::Id(id) => self.image().topic_by_id(*id),
            };
            let Some(topic) = topic else {
                if let (true, TopicKey::Id(id)) = (has_moved, &wanted.topic) {
                    // Made again under the same name (Kafka's code for it), or gone for good.
                    let name = lists.names.iter().find(|(noted, _)| noted == id);
                    let topics = &self.image().topics;
                    let is_new = name.is_some_and(|(_, name)| topics.contains_key(name));
                    let code = match is_new {
                        true => ErrorCode::InconsistentTopicId,
                        false => ErrorCode::UnknownTopicId,
                    };
                    answer.error_code = code.code();
                }
                continue;
            };
            if version >= LEADER_FROM {
                answer.current_leader = current_leader(topic, answer.partition_index);
            }
        }
    }
}
