// SPDX-License-Identifier: Apache-2.0
//! Fetch (1): records for consumers, at once or when enough of them are there.
//!
//! Owns: its handler, fetches that wait. Invariants: one message per shard that owns partitions of
//! the request, a second one only to end a wait; no session is ever made (`session_id` 0, which
//! KIP-227 allows); the first batch is returned whatever its size (KIP-74); records are empty,
//! never null; a fetch that claims to be a replica gets nothing.
//! States: gathering (some shard has not answered) -> waiting (all have, too few bytes) ->
//! gathering -> answered.
//! Runs on: the shard that accepted the connection.
//! Bounded by: the frame, `FETCH_RESPONSE_BYTES_MAX`.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{ApiError, Arrival, Reply};
use crate::limits::FETCH_RESPONSE_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::time::MonotonicUs;
use crate::partition::{FetchAt, Fetched};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::fetch::{FetchParts, FetchRead, FetchResult, FetchedParts};
use crate::shard::parts::{AnswerPlace, PLACES_MAX};
use crate::shard::request_table::{Call, Pending};
use crate::shard::timers::Timer;
use crate::wire::protocol::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 4..=18;

/// First version that tells where the leader is and where logs diverge.
const LEADER_FROM: i16 = 12;

/// First version that names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

/// Isolation level of readers that see committed transactions only.
const READ_COMMITTED: i8 = 1;

/// Where one shard's part of a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Its answer is awaited.
    Gathering,
    /// It has told what there is, and waits for more.
    Waiting {
        /// Bytes that it could read.
        bytes: u64,
        /// What it told of them is not here (any more).
        is_stale: bool,
    },
    /// It is over.
    Final,
}

/// A fetch whose reads are under way, or that waits for more.
pub struct FetchPending {
    /// What is known of the answer.
    answer: FetchResponse,
    /// By rising shard.
    parts: Vec<(ShardId, PartState)>,
    max_bytes: usize,
    min_bytes: u64,
    deadline: Option<MonotonicUs>,
    /// The wait is over.
    is_over: bool,
    /// Bytes of its frame that are set aside for as long as it waits.
    parked_bytes: usize,
}

/// Hands the reads to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request = shard.spares.fetch_requests.take();
    arrival.decode_over(&mut request)?;
    let call = arrival.call;
    if names_session(&request) {
        return call.reply(&FetchResponse {
            error_code: ErrorCode::FetchSessionIdNotFound.code(),
            ..FetchResponse::default()
        });
    }
    let topics = request.topics.iter();
    if topics.map(|topic| topic.partitions.len()).sum::<usize>() > PLACES_MAX {
        return Ok(Reply::Close);
    }
    let mut reads = std::mem::take(&mut shard.spares.reads_by_shard);
    reads.resize_with(usize::from(shard.config.shard_count), Vec::new);
    let mut pending = new_pending(shard, &request);
    plan(shard, &call, &mut request, &mut pending.answer, &mut reads);
    let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    shard.spares.fetch_requests.give(request);
    let reply = if reads.iter().all(Vec::is_empty) {
        conclude(shard, &call, pending, arrival.effects)
    } else {
        begin(shard, &mut arrival, pending, max_wait_ms, &mut reads)
    };
    shard.spares.reads_by_shard = reads;
    reply
}

fn new_pending(shard: &mut Shard, request: &FetchRequest) -> FetchPending {
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes
        .min(FETCH_RESPONSE_BYTES_MAX)
        .min(shard.answer_bytes_max());
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    FetchPending {
        answer: shard.spares.fetch_answers.take(),
        parts: shard.spares.part_states.take(),
        max_bytes,
        min_bytes: min_bytes.min(u64::try_from(max_bytes).unwrap_or(u64::MAX)),
        deadline: None,
        is_over: false,
        parked_bytes: 0,
    }
}

/// True if the request goes on with a session: there are none here. Epochs 0 and -1 ask for a new
/// session and for none, both of which are answered in full without one.
fn names_session(request: &FetchRequest) -> bool {
    !matches!(request.session_epoch, 0 | -1)
}

/// True if the request claims to come from a replica, in the old field or the new one (KIP-903).
fn claims_to_be_replica(request: &FetchRequest) -> bool {
    request.replica_id >= 0 || request.replica_state.replica_id >= 0
}

/// The frame of the answer, and which reads go to which shard.
fn plan(
    shard: &Shard,
    call: &Call,
    request: &mut FetchRequest,
    answer: &mut FetchResponse,
    reads: &mut [Vec<FetchRead>],
) {
    let is_committed = request.isolation_level == READ_COMMITTED;
    let is_replica = claims_to_be_replica(request);
    let topic_count = request.topics.len();
    answer
        .responses
        .resize_with(topic_count, FetchableTopicResponse::default);
    let topics = request.topics.iter_mut().zip(&mut answer.responses);
    for (place, (topic, answers)) in topics.enumerate() {
        for partition in &topic.partitions {
            let mut answer = unanswered(is_committed, partition.partition);
            let routed = if is_replica {
                Err(ErrorCode::TopicAuthorizationFailed)
            } else {
                route(shard, call.version, topic, partition)
            };
            match routed {
                Ok((at, owner)) => {
                    let place = AnswerPlace {
                        topic: place,
                        partition: answers.partitions.len(),
                    };
                    reads[usize::from(owner.0)].push(read(place, at, partition));
                }
                Err(code) => answer.error_code = code.code(),
            }
            answers.partitions.push(answer);
        }
        answers.topic = std::mem::take(&mut topic.topic);
        answers.topic_id = topic.topic_id;
    }
}

/// Sends each shard its reads. The fetch waits for enough bytes if it wants to and may.
fn begin(
    shard: &mut Shard,
    arrival: &mut Arrival<'_>,
    mut pending: FetchPending,
    max_wait_ms: u64,
    by_shard: &mut [Vec<FetchRead>],
) -> Result<Reply, ApiError> {
    let call = arrival.call;
    let number = shard.requests.next_number();
    let frame_bytes = shard.connections.frame_bytes_of(call.slot);
    let wait = max_wait_ms > 0 && pending.min_bytes > 0 && shard.memory.park(frame_bytes);
    if wait {
        pending.parked_bytes = frame_bytes;
        let deadline = arrival.now.after_ms(max_wait_ms);
        shard.timers.insert(deadline, Timer::Request(number));
        pending.deadline = Some(deadline);
    } else {
        pending.is_over = true;
    }
    let shards = by_shard.iter().filter(|list| !list.is_empty()).count();
    for (owner, list) in (0u16..).zip(by_shard) {
        if list.is_empty() {
            continue;
        }
        let owner = ShardId(owner);
        pending.parts.push((owner, PartState::Gathering));
        let body = FetchParts {
            max_bytes: pending.max_bytes.div_ceil(shards),
            min_bytes: pending.min_bytes,
            wait,
            shared: shards > 1,
            reads: std::mem::replace(list, shard.spares.reads.take()),
        };
        let request = number;
        shard.send(owner, MeshMessage::Fetch { request, body }, arrival.effects);
    }
    shard.connections.note_request(call.slot, number);
    shard.requests.insert(number, call, Pending::Fetch(pending));
    Ok(Reply::Pending)
}

fn route(
    shard: &Shard,
    version: i16,
    topic: &FetchTopic,
    partition: &FetchPartition,
) -> Result<(TopicPartition, ShardId), ErrorCode> {
    let image = if version >= IDS_FROM {
        let image = shard.image().topic_by_id(topic.topic_id);
        image.ok_or(ErrorCode::UnknownTopicId)?
    } else {
        let image = shard.image().topics.get(&topic.topic);
        image.ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    shard.route(image, partition.partition)
}

fn read(place: AnswerPlace, at: TopicPartition, partition: &FetchPartition) -> FetchRead {
    FetchRead {
        place,
        at,
        from: FetchAt {
            offset: partition.fetch_offset,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        },
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
    }
}

fn unanswered(is_committed: bool, index: i32) -> PartitionData {
    PartitionData {
        partition_index: index,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        // Null where nobody asked about transactions, empty where there were none (Kafka's habit).
        aborted_transactions: is_committed.then(Vec::new),
        records: Some(Bytes::new()),
        ..PartitionData::default()
    }
}

/// Makes the answer: no more bytes than the client allows, except for the first batch.
fn conclude(
    shard: &mut Shard,
    call: &Call,
    mut pending: FetchPending,
    effects: &mut Effects,
) -> Result<Reply, ApiError> {
    let mut used_bytes = 0usize;
    let topics = pending.answer.responses.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        let bytes = partition.records.as_ref().map_or(0, Bytes::len);
        let total = used_bytes.saturating_add(bytes);
        if used_bytes > 0 && total > pending.max_bytes {
            partition.records = Some(Bytes::new());
        } else {
            used_bytes = total;
        }
    }
    let spares = &mut shard.spares;
    let parts = spares.encode(call.correlation_id, call.version, &pending.answer, effects);
    spares.fetch_answers.give(pending.answer);
    spares.part_states.give(pending.parts);
    parts.map(Reply::Send)
}

impl FetchPending {
    fn take_result(&mut self, version: i16, one: FetchResult) {
        let AnswerPlace { topic, partition } = one.place;
        let answer = &mut self.answer.responses[topic].partitions[partition];
        match one.result {
            Ok(fetched) => take_success(answer, version, fetched),
            Err(error) => {
                answer.error_code = ErrorCode::from(error).code();
                answer.records = Some(Bytes::new());
            }
        }
    }

    fn available_bytes(&self) -> u64 {
        let states = self.parts.iter();
        let bytes = states.map(|(_, state)| match state {
            PartState::Waiting { bytes, .. } => *bytes,
            PartState::Gathering | PartState::Final => 0,
        });
        bytes.fold(0, u64::saturating_add)
    }

    fn is_gathering(&self) -> bool {
        let mut states = self.parts.iter();
        states.any(|(_, state)| *state == PartState::Gathering)
    }

    fn state_mut(&mut self, shard: ShardId) -> Option<&mut PartState> {
        let mut parts = self.parts.iter_mut();
        parts.find_map(|(owner, state)| (*owner == shard).then_some(state))
    }

    /// Drops the records of parts that wait: no memory is held for as long as a client likes.
    fn strip(&mut self) {
        let mut has_dropped = false;
        for (_, state) in &mut self.parts {
            if let PartState::Waiting { bytes, is_stale } = state {
                *is_stale |= *bytes > 0;
                has_dropped |= *is_stale;
            }
        }
        if has_dropped {
            let topics = self.answer.responses.iter_mut();
            for partition in topics.flat_map(|topic| &mut topic.partitions) {
                partition.records = Some(Bytes::new());
            }
        }
    }
}

fn take_success(answer: &mut PartitionData, version: i16, fetched: Fetched) {
    answer.error_code = ErrorCode::None.code();
    answer.high_watermark = fetched.high_watermark;
    // Without transactions everything below the high watermark is stable.
    answer.last_stable_offset = fetched.high_watermark;
    answer.log_start_offset = fetched.log_start_offset;
    answer.records = Some(fetched.records);
    if version >= LEADER_FROM {
        answer.diverging_epoch = fetched
            .diverging
            .map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset })
            .unwrap_or_default();
    }
}

impl Shard {
    /// A shard has told what it read.
    pub(in crate::shard) fn take_fetched(
        &mut self,
        from: ShardId,
        request: u64,
        mut body: FetchedParts,
        effects: &mut Effects,
    ) {
        let Some((call, Pending::Fetch(pending))) = self.requests.get_mut(request) else {
            return;
        };
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
        if let Some(known) = pending.state_mut(from) {
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
            for (owner, state) in pending.parts {
                if state != PartState::Final {
                    self.send(owner, MeshMessage::FetchCancel { request }, effects);
                }
            }
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
        for (owner, state) in &mut pending.parts {
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
            if call.version >= LEADER_FROM {
                self.name_fetch_leaders(call.version, &mut pending.answer);
            }
            let reply = conclude(self, &call, pending, effects);
            self.conclude(call.slot, reply, effects);
        }
    }

    /// Tells clients of partitions that moved, or whose leader epoch is not theirs, who leads them.
    fn name_fetch_leaders(&self, version: i16, answer: &mut FetchResponse) {
        let moved = [
            ErrorCode::NotLeaderOrFollower.code(),
            ErrorCode::FencedLeaderEpoch.code(),
        ];
        for topic in &mut answer.responses {
            let image = if version >= IDS_FROM {
                self.image().topic_by_id(topic.topic_id)
            } else {
                self.image().topics.get(&topic.topic)
            };
            for answer in &mut topic.partitions {
                if !moved.contains(&answer.error_code) {
                    continue;
                }
                let index = usize::try_from(answer.partition_index).ok();
                let image = image.and_then(|topic| topic.partitions.get(index?));
                if let Some(image) = image {
                    answer.current_leader = LeaderIdAndEpoch {
                        leader_id: image.leader.map_or(-1, |leader| leader.0),
                        leader_epoch: image.leader_epoch,
                    };
                }
            }
        }
    }
}
