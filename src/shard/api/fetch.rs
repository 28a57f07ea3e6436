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

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::limits::FETCH_RESPONSE_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition, Uuid};
use crate::model::time::MonotonicUs;
use crate::partition::{FetchAt, Fetched};
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::PLACES_MAX;
use crate::shard::parts::fetch::{FetchParts, FetchRead, FetchResult, FetchedParts};
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
enum PartState {
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
    /// Name, id and number of partitions of each topic, in the order of the request.
    topics: Vec<(ByteString, Uuid, usize)>,
    /// One for each partition, in the order of the request.
    partitions: Vec<PartitionData>,
    parts: BTreeMap<ShardId, PartState>,
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
    let request: FetchRequest = arrival.decode()?;
    let call = arrival.call;
    if names_session(&request) {
        return call.reply(&FetchResponse {
            error_code: ErrorCode::FetchSessionIdNotFound.code(),
            ..FetchResponse::default()
        });
    }
    let (mut pending, reads) = plan(shard, &call, &request);
    if pending.partitions.len() > PLACES_MAX {
        return Ok(Reply::Close);
    }
    if reads.is_empty() {
        return conclude(&call, pending);
    }
    let number = shard.requests.next_number();
    let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
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
    let shards = reads.len();
    for (owner, reads) in reads {
        pending.parts.insert(owner, PartState::Gathering);
        let body = FetchParts {
            max_bytes: pending.max_bytes.div_ceil(shards),
            min_bytes: pending.min_bytes,
            wait,
            shared: shards > 1,
            reads,
        };
        let message = MeshMessage::Fetch {
            request: number,
            body,
        };
        shard.send(owner, message, arrival.effects);
    }
    shard.connections.note_request(call.slot, number);
    shard.requests.insert(number, call, Pending::Fetch(pending));
    Ok(Reply::Pending)
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
    request: &FetchRequest,
) -> (FetchPending, BTreeMap<ShardId, Vec<FetchRead>>) {
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes
        .min(FETCH_RESPONSE_BYTES_MAX)
        .min(shard.answer_bytes_max());
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    let mut pending = FetchPending {
        topics: Vec::with_capacity(request.topics.len()),
        partitions: Vec::new(),
        parts: BTreeMap::new(),
        max_bytes,
        min_bytes: min_bytes.min(u64::try_from(max_bytes).unwrap_or(u64::MAX)),
        deadline: None,
        is_over: false,
        parked_bytes: 0,
    };
    let mut reads: BTreeMap<ShardId, Vec<FetchRead>> = BTreeMap::new();
    for topic in &request.topics {
        let count = topic.partitions.len();
        let named = (topic.topic.clone(), topic.topic_id, count);
        pending.topics.push(named);
        for partition in &topic.partitions {
            let place = pending.partitions.len();
            let mut answer = unanswered(request, partition.partition);
            let routed = if claims_to_be_replica(request) {
                Err(ErrorCode::TopicAuthorizationFailed)
            } else {
                route(shard, call.version, topic, partition)
            };
            match routed {
                Ok((at, owner)) => {
                    let read = read(place, at, partition);
                    reads.entry(owner).or_default().push(read);
                }
                Err(code) => answer.error_code = code.code(),
            }
            pending.partitions.push(answer);
        }
    }
    (pending, reads)
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

fn read(place: usize, at: TopicPartition, partition: &FetchPartition) -> FetchRead {
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

fn unanswered(request: &FetchRequest, index: i32) -> PartitionData {
    let is_committed = request.isolation_level == READ_COMMITTED;
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
fn conclude(call: &Call, pending: FetchPending) -> Result<Reply, ApiError> {
    let mut used_bytes = 0usize;
    let max_bytes = pending.max_bytes;
    let fitting = pending.partitions.into_iter().map(|mut partition| {
        let bytes = partition.records.as_ref().map_or(0, Bytes::len);
        let total = used_bytes.saturating_add(bytes);
        if used_bytes > 0 && total > max_bytes {
            partition.records = Some(Bytes::new());
        } else {
            used_bytes = total;
        }
        partition
    });
    let fitting: Vec<PartitionData> = fitting.collect();
    let mut partitions = fitting.into_iter();
    let responses =
        pending
            .topics
            .into_iter()
            .map(|(topic, topic_id, count)| FetchableTopicResponse {
                topic,
                topic_id,
                partitions: partitions.by_ref().take(count).collect(),
            });
    call.reply(&FetchResponse {
        responses: responses.collect(),
        ..FetchResponse::default()
    })
}

impl FetchPending {
    fn take_result(&mut self, version: i16, one: FetchResult) {
        let answer = &mut self.partitions[one.place];
        match one.result {
            Ok(fetched) => take_success(answer, version, fetched),
            Err(error) => {
                answer.error_code = ErrorCode::from(error).code();
                answer.records = Some(Bytes::new());
            }
        }
    }

    fn available_bytes(&self) -> u64 {
        let states = self.parts.values();
        let bytes = states.map(|state| match state {
            PartState::Waiting { bytes, .. } => *bytes,
            PartState::Gathering | PartState::Final => 0,
        });
        bytes.fold(0, u64::saturating_add)
    }

    fn is_gathering(&self) -> bool {
        self.parts
            .values()
            .any(|state| *state == PartState::Gathering)
    }

    /// Drops the records of parts that wait: no memory is held for as long as a client likes.
    fn strip(&mut self) {
        let mut has_dropped = false;
        for state in self.parts.values_mut() {
            if let PartState::Waiting { bytes, is_stale } = state {
                *is_stale |= *bytes > 0;
                has_dropped |= *is_stale;
            }
        }
        if has_dropped {
            for partition in &mut self.partitions {
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
        body: FetchedParts,
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
        pending.parts.insert(from, state);
        let version = call.version;
        for one in body.results {
            pending.take_result(version, one);
        }
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
        if let Some(PartState::Waiting { .. }) = pending.parts.get(&from) {
            let is_stale = true;
            let state = PartState::Waiting { bytes, is_stale };
            pending.parts.insert(from, state);
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
                self.name_fetch_leaders(call.version, &mut pending);
            }
            let reply = conclude(&call, pending);
            self.conclude(call.slot, reply, effects);
        }
    }

    /// Tells clients of partitions that moved, or whose leader epoch is not theirs, who leads them.
    fn name_fetch_leaders(&self, version: i16, pending: &mut FetchPending) {
        let moved = [
            ErrorCode::NotLeaderOrFollower.code(),
            ErrorCode::FencedLeaderEpoch.code(),
        ];
        let mut partitions = pending.partitions.iter_mut();
        for (name, topic_id, count) in &pending.topics {
            let topic = if version >= IDS_FROM {
                self.image().topic_by_id(*topic_id)
            } else {
                self.image().topics.get(name)
            };
            for answer in partitions.by_ref().take(*count) {
                if !moved.contains(&answer.error_code) {
                    continue;
                }
                let index = usize::try_from(answer.partition_index).ok();
                let image = topic.and_then(|topic| topic.partitions.get(index?));
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
