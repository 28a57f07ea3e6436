// SPDX-License-Identifier: Apache-2.0
//! InitProducerId (22): an id for an idempotent producer, or id and epoch for a transactional one.
//!
//! Owns: its handler, the block of ids that this shard hands out. Invariants: an id is handed out
//! once, ever: blocks come from the metadata log. Runs on: the shard that accepted the connection;
//! for a transactional id the coordinator decides. Bounded by: the requests in flight.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::transactions::{TxnPlan, fenced_code};
use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::txn::{InitProducer, Producer, TxnAnswer, TxnCall};
use crate::wire::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

/// Stands for "none" in the request.
const NONE: i64 = -1;

/// The ids that a shard may hand out.
#[derive(Debug, Default)]
pub struct ProducerIds {
    next: i64,
    end: i64,
    waiting: VecDeque<Call>,
    /// The request to the controller that is under way.
    asked: Option<u64>,
}

impl ProducerIds {
    fn take(&mut self) -> Option<i64> {
        if self.next >= self.end {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Hands out an id of the block, or asks the controller for a block first.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: InitProducerIdRequest = arrival.decode()?;
    if let Some(error) = refusal(&request) {
        return refuse(&arrival.call, error);
    }
    if let Some(id) = request.transactional_id.clone() {
        return ask_coordinator(shard, arrival, id, &request);
    }
    if let Some(id) = shard.producer_ids.take() {
        return grant(&arrival.call, id);
    }
    shard.producer_ids.waiting.push_back(arrival.call);
    ask(shard, arrival.effects);
    Ok(Reply::Pending)
}

fn ask_coordinator(
    shard: &mut Shard,
    arrival: Arrival<'_>,
    id: ByteString,
    request: &InitProducerIdRequest,
) -> Result<Reply, ApiError> {
    let call = TxnCall::Init(InitProducer {
        transactional_id: id.clone(),
        timeout_ms: request.transaction_timeout_ms,
        producer: (request.producer_id != NONE).then_some(Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        }),
    });
    let mut plan = TxnPlan::default();
    plan.push(shard, &id, call);
    plan.put(shard, arrival, |call, answers| {
        match answers.into_iter().next() {
            Some(TxnAnswer::Init(Ok(producer))) => call.reply(&InitProducerIdResponse {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                ..InitProducerIdResponse::default()
            }),
            Some(TxnAnswer::Init(Err(code))) => {
                refuse(call, fenced_code(code, call.version, FENCED_FROM))
            }
            _ => Ok(Reply::Close),
        }
    })
}

/// What is wrong with a request, if anything.
fn refusal(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    if request.transactional_id.as_deref() == Some("") {
        return Some(ErrorCode::InvalidRequest);
    }
    let has_id = request.producer_id != NONE;
    let has_epoch = i64::from(request.producer_epoch) != NONE;
    (has_id != has_epoch).then_some(ErrorCode::InvalidRequest)
}

/// Asks the controller for a block unless that is under way.
fn ask(shard: &mut Shard, effects: &mut Effects) {
    if shard.producer_ids.asked.is_none() {
        let request = shard.requests.next_number();
        shard.producer_ids.asked = Some(request);
        shard.send_control(request, ControlRequest::AllocateProducerIds, effects);
    }
}

impl Shard {
    /// Takes the controller's answer if it is the one to a request for a block; else gives it back.
    pub(in crate::shard) fn take_producer_ids(
        &mut self,
        now: Now,
        request: u64,
        answer: ControlAnswer,
        effects: &mut Effects,
    ) -> Option<ControlAnswer> {
        if self.producer_ids.asked != Some(request) {
            return Some(answer);
        }
        self.producer_ids.asked = None;
        let ControlAnswer::ProducerIds { first, count } = answer else {
            while let Some(call) = self.producer_ids.waiting.pop_front() {
                let reply = refuse(&call, ErrorCode::CoordinatorNotAvailable);
                self.conclude(call, reply, effects);
            }
            self.refuse_producer_ids(now, effects);
            return None;
        };
        self.producer_ids.next = first;
        self.producer_ids.end = first.saturating_add(count);
        while let Some(call) = self.producer_ids.waiting.pop_front() {
            let Some(id) = self.producer_ids.take() else {
                self.producer_ids.waiting.push_front(call);
                ask(self, effects);
                break;
            };
            self.conclude(call, grant(&call, id), effects);
        }
        self.give_producer_ids(now, effects);
        None
    }

    /// An id for a coordinator; if there is none, the controller is asked for more.
    pub(in crate::shard) fn take_producer_id(&mut self, effects: &mut Effects) -> Option<i64> {
        let id = self.producer_ids.take();
        if id.is_none() {
            ask(self, effects);
        }
        id
    }
}

fn grant(call: &Call, producer_id: i64) -> Result<Reply, ApiError> {
    call.reply(&InitProducerIdResponse {
        producer_id,
        ..InitProducerIdResponse::default()
    })
}

fn refuse(call: &Call, error: ErrorCode) -> Result<Reply, ApiError> {
    call.reply(&InitProducerIdResponse {
        error_code: error.code(),
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    })
}
