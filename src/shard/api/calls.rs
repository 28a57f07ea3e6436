// SPDX-License-Identifier: Apache-2.0
//! Requests to coordinators, whichever shards they are on.
//!
//! Owns: [`CallPlan`], requests that wait for coordinators. Invariants: a name belongs to the shard
//! that leads its partition of the topic that keeps it; the answer is made once every coordinator
//! has said its part. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;

use super::{ApiError, Arrival, Reply};
use crate::model::coordinator::partition_of;
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::time::Now;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::request_table::{Call, Pending};
use crate::shard::seats::{Coordinates, EVERY_PARTITION, SeatAsk};
use crate::shard::stage::{Subject, Way};

/// Goes on with a request once the coordinators have answered, in the order of the calls.
type Finish<A> = Box<dyn FnOnce(&mut Shard, Concluding<'_>, Vec<A>) -> Result<Reply, ApiError>>;

/// Coordinators whose answers clients wait for.
pub trait Asked: Coordinates<Call: Clone> + 'static {
    /// The message that brings calls to a shard.
    fn asks(request: u64, asks: Vec<SeatAsk<Self::Call>>) -> MeshMessage;
    /// A request that waits.
    fn pending(calls: CallsPending<Self::Answer>) -> Pending;
    /// From a request that waits.
    fn calls(pending: &mut Pending) -> Option<&mut CallsPending<Self::Answer>>;
    /// Likewise.
    fn into_calls(pending: Pending) -> Option<CallsPending<Self::Answer>>;
}

/// A request whose coordinators have answered.
pub struct Concluding<'a> {
    /// The moment.
    pub now: Now,
    /// Where its answer goes.
    pub call: Call,
    /// Where effects go.
    pub effects: &'a mut Effects,
}

/// The calls of one request.
pub struct CallPlan<K: Coordinates> {
    answers: Vec<Option<K::Answer>>,
    asks: BTreeMap<ShardId, Vec<SeatAsk<K::Call>>>,
}

/// A request whose calls are under way.
pub struct CallsPending<A> {
    answers: Vec<Option<A>>,
    /// Calls that have not been answered.
    outstanding: usize,
    /// The longest that one of them waited for others, as it was asked to.
    waited_us: u64,
    finish: Finish<A>,
}

impl<K: Coordinates> Default for CallPlan<K> {
    fn default() -> CallPlan<K> {
        CallPlan {
            answers: Vec::new(),
            asks: BTreeMap::new(),
        }
    }
}

impl<K: Asked> CallPlan<K> {
    /// Adds a call to the coordinator of a name.
    pub fn push(&mut self, shard: &Shard, name: &str, call: K::Call) {
        match shard.coordinator_of::<K>(name) {
            Ok((partition, owner)) => self.push_to(owner, partition, call),
            Err(code) => self.answers.push(Some(K::refusal(&call, code))),
        }
    }

    /// Adds one call to all coordinators of each shard.
    pub fn push_to_all(&mut self, shard: &Shard, call: &K::Call) {
        for owner in (0..shard.config.shard_count).map(ShardId) {
            self.push_to(owner, EVERY_PARTITION, call.clone());
        }
    }

    fn push_to(&mut self, owner: ShardId, partition: i32, call: K::Call) {
        let ask = SeatAsk {
            place: self.answers.len(),
            partition,
            call,
        };
        self.answers.push(None);
        self.asks.entry(owner).or_default().push(ask);
    }

    /// Makes the calls; `finish` makes the answer.
    pub fn put(
        self,
        shard: &mut Shard,
        arrival: Arrival<'_>,
        finish: impl FnOnce(&Call, Vec<K::Answer>) -> Result<Reply, ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        self.put_then(shard, arrival, |_, concluding, answers| {
            finish(&concluding.call, answers)
        })
    }

    /// Makes the calls; `finish` goes on with the request, and may leave it pending.
    pub fn put_then(
        self,
        shard: &mut Shard,
        arrival: Arrival<'_>,
        finish: impl FnOnce(&mut Shard, Concluding<'_>, Vec<K::Answer>) -> Result<Reply, ApiError>
        + 'static,
    ) -> Result<Reply, ApiError> {
        let call = arrival.call;
        if self.asks.is_empty() {
            let concluding = Concluding {
                now: arrival.now,
                call,
                effects: arrival.effects,
            };
            let answers = self.answers.into_iter().flatten().collect();
            return finish(shard, concluding, answers);
        }
        let request = shard.requests.next_number();
        let outstanding = self.asks.values().map(Vec::len).sum();
        for (owner, asks) in self.asks {
            shard.send(owner, K::asks(request, asks), arrival.effects);
        }
        let pending = K::pending(CallsPending {
            answers: self.answers,
            outstanding,
            waited_us: 0,
            finish: Box::new(finish),
        });
        shard.connections.note_request(call.slot, request);
        shard.requests.insert(request, call, pending);
        Ok(Reply::Pending)
    }
}

impl Shard {
    /// The partition that keeps a name, and the shard that leads it.
    pub(in crate::shard) fn coordinator_of<K: Coordinates>(
        &self,
        name: &str,
    ) -> Result<(i32, ShardId), ErrorCode> {
        let topic = self.image().topics.get(K::TOPIC);
        let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = partition_of(name, count.max(1));
        let routed = self.route(topic, partition);
        let (_, owner) = routed.map_err(|_| ErrorCode::NotCoordinator)?;
        Ok((partition, owner))
    }

    /// Coordinators have answered, after they waited so long for others.
    pub(in crate::shard) fn take_call_answers<K: Asked>(
        &mut self,
        now: Now,
        (request, waited_us): (u64, u64),
        answers: Vec<(usize, K::Answer)>,
        effects: &mut Effects,
    ) {
        let waiting = self.requests.get_mut(request);
        let Some(pending) = waiting.and_then(|(_, pending)| K::calls(pending)) else {
            return;
        };
        pending.waited_us = pending.waited_us.max(waited_us);
        for (place, answer) in answers {
            let before = pending.answers[place].replace(answer);
            assert!(before.is_none(), "a call is answered once");
            pending.outstanding -= 1;
        }
        if pending.outstanding > 0 {
            return;
        }
        let Some((call, pending)) = self.requests.remove(request) else {
            return;
        };
        if let Some(pending) = K::into_calls(pending) {
            let answers = pending.answers.into_iter().flatten().collect();
            let concluding = Concluding { now, call, effects };
            let way = Way {
                wait_us: pending.waited_us,
                ..Way::default()
            };
            let reply = (pending.finish)(self, concluding, answers);
            self.conclude_on_way(call, way, Subject::default(), reply, effects);
        }
    }
}
