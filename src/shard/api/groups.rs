// SPDX-License-Identifier: Apache-2.0
//! Requests to the coordinators of groups, whichever shards they are on.
//!
//! Owns: [`GroupPlan`], requests that wait for coordinators. Invariants: a group belongs to the
//! shard that leads its partition of the offsets topic; the answer is made once every coordinator
//! has said its part. Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::control::request::NewTopic;
use crate::group::{GroupAnswer, GroupCall, OFFSETS_TOPIC, Origin, partition_of};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::shard::contract::Effects;
use crate::shard::groups::{EVERY_PARTITION, GroupAsk};
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::request_table::{Call, Pending};

/// Makes the answer of a request from those of the coordinators, in the order of the calls.
type Finish = Box<dyn FnOnce(&Call, Vec<GroupAnswer>) -> Result<Reply, ApiError>>;

/// The calls of one request.
#[derive(Default)]
pub struct GroupPlan {
    answers: Vec<Option<GroupAnswer>>,
    asks: BTreeMap<ShardId, Vec<GroupAsk>>,
}

/// A request whose calls are under way.
pub struct GroupsPending {
    answers: Vec<Option<GroupAnswer>>,
    /// Calls that have not been answered.
    outstanding: usize,
    finish: Finish,
}

impl GroupPlan {
    /// Adds a call to the coordinator of a group.
    pub fn push(&mut self, shard: &Shard, group: &str, call: GroupCall) {
        match shard.coordinator_of(group) {
            Ok((partition, owner)) => self.push_to(owner, partition, call),
            Err(code) => self.answers.push(Some(call.refusal(code))),
        }
    }

    /// Adds one call to all coordinators of each shard.
    pub fn push_to_all(&mut self, shard: &Shard, call: &GroupCall) {
        for owner in (0..shard.config.shard_count).map(ShardId) {
            self.push_to(owner, EVERY_PARTITION, call.clone());
        }
    }

    fn push_to(&mut self, owner: ShardId, partition: i32, call: GroupCall) {
        let ask = GroupAsk {
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
        finish: impl FnOnce(&Call, Vec<GroupAnswer>) -> Result<Reply, ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        let call = arrival.call;
        if self.asks.is_empty() {
            return finish(&call, self.answers.into_iter().flatten().collect());
        }
        let request = shard.requests.next_number();
        let outstanding = self.asks.values().map(Vec::len).sum();
        for (owner, asks) in self.asks {
            let message = MeshMessage::GroupAsks { request, asks };
            shard.send(owner, message, arrival.effects);
        }
        let pending = GroupsPending {
            answers: self.answers,
            outstanding,
            finish: Box::new(finish),
        };
        shard.connections.note_request(call.slot, request);
        let pending = Pending::Groups(pending);
        shard.requests.insert(request, call, pending);
        Ok(Reply::Pending)
    }
}

/// Where a member speaks from.
pub fn origin(shard: &Shard, arrival: &Arrival<'_>) -> Origin {
    let connection = arrival.call.slot.connection;
    let client = shard.connections.client_of(connection);
    Origin {
        client_id: ByteString::from(client.unwrap_or_default()),
        // Java's way to write an address, which tools expect.
        client_host: format!("/{}", shard.connections.peer_of(connection)).into(),
    }
}

/// The topic that keeps groups, as it is made where it is missing.
pub fn offsets_topic(shard: &Shard) -> NewTopic {
    let settings = shard.groups.settings();
    let brokers = i16::try_from(shard.image().brokers.len()).unwrap_or(i16::MAX);
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", settings.topic_segment_bytes.to_string()),
    ];
    let configs = configs.map(|(name, value)| {
        let name = ByteString::from_static(name);
        (name, Some(ByteString::from(value)))
    });
    NewTopic {
        name: ByteString::from_static(OFFSETS_TOPIC),
        num_partitions: settings.topic_partitions,
        replication_factor: settings.topic_replication_factor.min(brokers).max(1),
        assignments: Vec::new(),
        configs: configs.into(),
    }
}

impl Shard {
    /// The partition of the offsets topic that keeps a group, and the shard that leads it.
    fn coordinator_of(&self, group: &str) -> Result<(i32, ShardId), ErrorCode> {
        let topic = self.image().topics.get(OFFSETS_TOPIC);
        let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = partition_of(group, count.max(1));
        let routed = self.route(topic, partition);
        let (_, owner) = routed.map_err(|_| ErrorCode::NotCoordinator)?;
        Ok((partition, owner))
    }

    /// Coordinators have answered.
    pub(in crate::shard) fn take_group_answers(
        &mut self,
        request: u64,
        answers: Vec<(usize, GroupAnswer)>,
        effects: &mut Effects,
    ) {
        let Some((_, Pending::Groups(pending))) = self.requests.get_mut(request) else {
            return;
        };
        for (place, answer) in answers {
            let before = pending.answers[place].replace(answer);
            assert!(before.is_none(), "a call is answered once");
            pending.outstanding -= 1;
        }
        if pending.outstanding > 0 {
            return;
        }
        if let Some((call, Pending::Groups(pending))) = self.requests.remove(request) {
            let answers = pending.answers.into_iter().flatten().collect();
            let reply = (pending.finish)(&call, answers);
            self.conclude(call, reply, effects);
        }
    }
}
