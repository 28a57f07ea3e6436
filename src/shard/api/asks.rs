// SPDX-License-Identifier: Apache-2.0
//! Requests that put one question to each of many partitions, whichever shards own them, and shards
//! that do so for themselves.
//!
//! Owns: [`AskPlan`], requests that wait for such answers, [`OwnAsks`]. Invariants: one message per
//! shard; the answer is made once every partition has said its part. Runs on: the shard that
//! accepted the connection, or that asks for itself. Bounded by: the frame, or what the shard asks.

use std::collections::BTreeMap;

use super::{ApiError, Reply};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::number_map::NumberMap;
use crate::model::time::Now;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::PLACES_MAX;
use crate::shard::parts::asks::{Ask, AskResult, Question, Said};
use crate::shard::request_table::{Call, Pending};

/// What became of one question.
pub type Outcome = Result<Said, ErrorCode>;

/// Makes the answer of a request from the outcomes, in the order of its questions.
type Finish = Box<dyn FnOnce(&Call, Vec<Outcome>) -> Result<Reply, ApiError>>;

/// Goes on with what a shard has asked for itself, with the outcomes in the order of its questions.
pub type OwnFinish = Box<dyn FnOnce(&mut Shard, Now, Vec<Outcome>, &mut Effects)>;

/// Questions that a shard has put for itself, by their numbers among its requests.
#[derive(Default)]
pub struct OwnAsks {
    rounds: NumberMap<OwnRound>,
}

/// Some of them, put together.
struct OwnRound {
    outcomes: Vec<Outcome>,
    /// Shards that have not answered.
    outstanding: usize,
    finish: OwnFinish,
}

/// The questions of one request.
#[derive(Default)]
pub struct AskPlan {
    /// One for each question; an error until it is answered.
    outcomes: Vec<Outcome>,
    asks: BTreeMap<ShardId, Vec<Ask>>,
}

/// A request whose questions are under way.
pub struct AsksPending {
    outcomes: Vec<Outcome>,
    /// Shards that have not answered.
    outstanding: usize,
    finish: Finish,
}

impl AskPlan {
    /// Adds a question, or why it cannot be asked.
    pub fn push(
        &mut self,
        routed: Result<(TopicPartition, ShardId), ErrorCode>,
        question: Question,
    ) {
        let place = self.outcomes.len();
        match routed {
            Ok((at, owner)) => {
                self.outcomes.push(Err(ErrorCode::UnknownServerError));
                let ask = Ask {
                    place,
                    at,
                    question,
                };
                self.asks.entry(owner).or_default().push(ask);
            }
            Err(code) => self.outcomes.push(Err(code)),
        }
    }

    /// Puts the questions; `finish` makes the answer.
    pub fn put(
        self,
        shard: &mut Shard,
        call: Call,
        effects: &mut Effects,
        finish: impl FnOnce(&Call, Vec<Outcome>) -> Result<Reply, ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        if self.outcomes.len() > PLACES_MAX {
            return Ok(Reply::Close);
        }
        if self.asks.is_empty() {
            return finish(&call, self.outcomes);
        }
        let pending = AsksPending {
            outcomes: self.outcomes,
            outstanding: self.asks.len(),
            finish: Box::new(finish),
        };
        let request = shard.requests.next_number();
        for (owner, asks) in self.asks {
            shard.send(owner, MeshMessage::Asks { request, asks }, effects);
        }
        shard.connections.note_request(call.slot, request);
        shard.requests.insert(request, call, Pending::Asks(pending));
        Ok(Reply::Pending)
    }

    /// Puts the questions for the shard itself: no client waits. `finish` is called once, at once
    /// if there is nobody to ask.
    pub fn put_for_shard(
        self,
        shard: &mut Shard,
        now: Now,
        effects: &mut Effects,
        finish: OwnFinish,
    ) {
        if self.asks.is_empty() {
            return finish(shard, now, self.outcomes, effects);
        }
        let request = shard.requests.next_number();
        let round = OwnRound {
            outcomes: self.outcomes,
            outstanding: self.asks.len(),
            finish,
        };
        shard.own_asks.rounds.insert(request, round);
        for (owner, asks) in self.asks {
            shard.send(owner, MeshMessage::Asks { request, asks }, effects);
        }
    }
}

impl Shard {
    /// A shard has put its questions.
    pub(in crate::shard) fn finish_asks(
        &mut self,
        now: Now,
        request: u64,
        results: Vec<AskResult>,
        effects: &mut Effects,
    ) {
        if let Some(round) = self.own_asks.rounds.remove(request) {
            return self.finish_own_asks(now, request, round, results, effects);
        }
        let Some((call, Pending::Asks(mut pending))) = self.requests.remove(request) else {
            return;
        };
        for one in results {
            pending.outcomes[one.place] = one.result;
        }
        pending.outstanding -= 1;
        if pending.outstanding > 0 {
            self.requests.insert(request, call, Pending::Asks(pending));
            return;
        }
        let reply = (pending.finish)(&call, pending.outcomes);
        self.conclude(call, reply, effects);
    }

    /// A shard has put questions of this shard itself.
    fn finish_own_asks(
        &mut self,
        now: Now,
        request: u64,
        mut round: OwnRound,
        results: Vec<AskResult>,
        effects: &mut Effects,
    ) {
        for one in results {
            round.outcomes[one.place] = one.result;
        }
        round.outstanding -= 1;
        if round.outstanding > 0 {
            self.own_asks.rounds.insert(request, round);
            return;
        }
        (round.finish)(self, now, round.outcomes, effects);
    }

    /// The partition of a topic by name, and the shard that leads it.
    pub(in crate::shard) fn route_by_name(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(TopicPartition, ShardId), ErrorCode> {
        let image = self.image().topics.get(topic);
        let image = image.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.route(image, partition)
    }
}
