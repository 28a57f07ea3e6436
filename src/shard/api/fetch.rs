// SPDX-License-Identifier: Apache-2.0
//! Fetch (1): records for consumers, at once or when enough of them are there.
//!
//! Owns: its handler, fetches that wait. Invariants: one message per shard that owns partitions of
//! the request, a second one only to end a wait; the first batch is returned whatever its size
//! (KIP-74); records are empty, never null; a fetch that claims to be a replica gets nothing; with
//! a session (KIP-227), partitions without news are left out of the answer.
//! States: gathering (some shard has not answered) -> waiting (all have, too few bytes) ->
//! gathering -> answered.
//! Runs on: the shard that accepted the connection.
//! Bounded by: the frame or the session, `FETCH_RESPONSE_BYTES_MAX`.

mod throttle;
mod wait;

use std::ops::RangeInclusive;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::limits::FETCH_RESPONSE_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicId, TopicPartition};
use crate::model::image::TopicImage;
use crate::model::time::MonotonicUs;
use crate::partition::{FetchAt, Fetched, Isolation};
use crate::shard::contract::Effects;
use crate::shard::fetch_sessions::{
    FINAL_EPOCH, PartitionKey, SessionContext, SessionIds, SessionRequest, TopicKey, Wanted,
};
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::PLACES_MAX;
use crate::shard::parts::fetch::{FetchParts, FetchRead, FetchResult};
use crate::shard::request_table::{Call, Pending};
use crate::shard::spares::{Kept, Refillable};
use crate::shard::stage::{Subject, Way};
use crate::shard::timers::Timer;
use crate::wire::protocol::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse,
    FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 4..=18;

/// First version that tells where the leader is and where logs diverge.
const LEADER_FROM: i16 = 12;

/// First version that names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

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

/// What a fetch knows of its partitions. The lists are kept for later fetches.
#[derive(Debug, Default)]
pub struct FetchLists {
    /// What is read, in order.
    wanted: Vec<Wanted>,
    /// Where that is, if there is such a partition.
    at: Vec<Option<TopicPartition>>,
    /// One for each.
    partitions: Vec<PartitionData>,
    /// Whether each is told; empty if all of them are.
    has_news: Vec<bool>,
    /// Names of the topics that were named by id, as of its coming.
    names: Vec<(TopicId, ByteString)>,
    /// By rising shard.
    parts: Vec<(ShardId, PartState)>,
}

impl Refillable for FetchLists {
    fn empty(&mut self) {
        self.wanted.clear();
        self.at.clear();
        self.partitions.clear();
        self.has_news.clear();
        self.names.clear();
        self.parts.clear();
    }

    fn room(&self) -> usize {
        let news = self.has_news.capacity() + self.names.capacity() + self.parts.capacity();
        let largest = self.wanted.capacity().max(self.partitions.capacity());
        largest.max(news)
    }
}

/// A fetch whose reads are under way, or that waits for more.
pub struct FetchPending {
    context: SessionContext,
    /// When it came.
    came_us: MonotonicUs,
    lists: FetchLists,
    max_bytes: usize,
    min_bytes: u64,
    deadline: Option<MonotonicUs>,
    /// The wait is over.
    is_over: bool,
    /// Bytes of its frame that are set aside for as long as it waits.
    parked_bytes: usize,
    /// What the part waited for that told last, and when it did.
    way: Way,
    told_us: MonotonicUs,
}

/// Hands the reads to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request = shard.spares.fetch_requests.take();
    arrival.decode_over(&mut request)?;
    let call = arrival.call;
    let mut pending = new_pending(shard, &request, arrival.now.monotonic_us);
    if shard.quotas.is_active() {
        let most = shard.fetch_allowance(call.slot.connection);
        pending.bound_bytes(most);
    }
    if let Err(code) = begin_in_session(shard, call.version, &request, &mut pending) {
        shard.spares.fetch_requests.give(request);
        shard.spares.fetch_lists.give(pending.lists);
        return session_error(&call, code, 0);
    }
    if pending.lists.wanted.len() > PLACES_MAX {
        return Ok(Reply::Close);
    }
    let mut reads = std::mem::take(&mut shard.spares.reads_by_shard);
    reads.resize_with(usize::from(shard.config.shard_count), Vec::new);
    plan(shard, &request, &mut pending.lists, &mut reads);
    let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    shard.spares.fetch_requests.give(request);
    let reply = if reads.iter().all(Vec::is_empty) {
        shard.conclude_fetch(&call, pending, arrival.effects)
    } else {
        begin(shard, &mut arrival, pending, max_wait_ms, &mut reads)
    };
    shard.spares.reads_by_shard = reads;
    reply
}

fn new_pending(shard: &mut Shard, request: &FetchRequest, came_us: MonotonicUs) -> FetchPending {
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes
        .min(FETCH_RESPONSE_BYTES_MAX)
        .min(shard.answer_bytes_max());
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    FetchPending {
        context: SessionContext::Sessionless,
        came_us,
        lists: shard.spares.fetch_lists.take(),
        max_bytes,
        min_bytes: min_bytes.min(u64::try_from(max_bytes).unwrap_or(u64::MAX)),
        deadline: None,
        is_over: false,
        parked_bytes: 0,
        way: Way::default(),
        told_us: came_us,
    }
}

/// Finds out what is read: what the request names, and what its session knows. An error if the
/// session does not go on.
fn begin_in_session(
    shard: &mut Shard,
    version: i16,
    request: &FetchRequest,
    pending: &mut FetchPending,
) -> Result<(), ErrorCode> {
    let wanted = &mut pending.lists.wanted;
    let forgotten = name_partitions(shard, version, request, wanted);
    let session = SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        uses_ids: version >= IDS_FROM,
    };
    let sessions = &mut shard.fetch_sessions;
    let context = sessions.handle_request(pending.came_us, session, wanted, &forgotten);
    pending.context = context?;
    Ok(())
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
    // What a session adds to a short frame is held as long as the frame.
    let held_bytes = pending.lists.wanted.len() * size_of::<Wanted>();
    let parked_bytes = shard.connections.frame_bytes_of(call.slot).max(held_bytes);
    let wait = max_wait_ms > 0 && pending.min_bytes > 0 && shard.memory.park(parked_bytes);
    if wait {
        pending.parked_bytes = parked_bytes;
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
        pending.lists.parts.push((owner, PartState::Gathering));
        let body = FetchParts {
            connection: call.slot.connection,
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

/// Lists the partitions that the request names. Gives those that its session is to forget.
fn name_partitions(
    shard: &Shard,
    version: i16,
    request: &FetchRequest,
    named: &mut Vec<Wanted>,
) -> Vec<PartitionKey> {
    // A name that is kept in a session must not keep the frame in memory.
    let is_kept = request.session_epoch != FINAL_EPOCH;
    let key = |name: &ByteString, id: TopicId| {
        if version >= IDS_FROM {
            return TopicKey::Id(id);
        }
        if !is_kept {
            return TopicKey::Name(name.clone());
        }
        match shard.image().topics.get_key_value(name) {
            Some((name, _)) => TopicKey::Name(name.clone()),
            None => TopicKey::Name(ByteString::from(name.to_string())),
        }
    };
    for topic in &request.topics {
        let topic_key = key(&topic.topic, topic.topic_id);
        named.extend(topic.partitions.iter().map(|params| Wanted {
            topic: topic_key.clone(),
            params: params.clone(),
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_key = key(&topic.topic, topic.topic_id);
        let partitions = topic.partitions.iter();
        forgotten.extend(partitions.map(|partition| (topic_key.clone(), *partition)));
    }
    forgotten
}

/// The answer to a request whose session does not go on.
fn session_error(call: &Call, code: ErrorCode, session_id: i32) -> Result<Reply, ApiError> {
    call.reply(&FetchResponse {
        error_code: code.code(),
        session_id,
        ..FetchResponse::default()
    })
}

/// True if the request claims to come from a replica, in the old field or the new one (KIP-903).
fn claims_to_be_replica(request: &FetchRequest) -> bool {
    request.replica_id >= 0 || request.replica_state.replica_id >= 0
}

/// The frame of the answer, and which reads go to which shard.
fn plan(
    shard: &Shard,
    request: &FetchRequest,
    lists: &mut FetchLists,
    reads: &mut [Vec<FetchRead>],
) {
    let isolation = Isolation::from_wire(request.isolation_level);
    for (place, one) in lists.wanted.iter().enumerate() {
        let mut answer = unanswered(request, one.params.partition);
        let routed = if claims_to_be_replica(request) {
            Err(ErrorCode::TopicAuthorizationFailed)
        } else {
            find(shard, &one.topic).and_then(|image| {
                note_name(&mut lists.names, &one.topic, image);
                shard.route(image, one.params.partition)
            })
        };
        match routed {
            Ok((at, owner)) => {
                lists.at.push(Some(at));
                reads[usize::from(owner.0)].push(read(place, at, isolation, &one.params));
            }
            Err(code) => {
                lists.at.push(None);
                answer.error_code = code.code();
                // Nobody looked for transactions, but Kafka leaves no null here.
                answer.aborted_transactions = Some(Vec::new());
            }
        }
        lists.partitions.push(answer);
    }
}

/// Notes under which name a topic goes that was named by id. Its partitions mostly are neighbours.
fn note_name(names: &mut Vec<(TopicId, ByteString)>, topic: &TopicKey, image: &TopicImage) {
    if let TopicKey::Id(id) = topic
        && names.last().is_none_or(|(noted, _)| noted != id)
    {
        names.push((*id, image.name.clone()));
    }
}

fn find<'a>(shard: &'a Shard, topic: &TopicKey) -> Result<&'a TopicImage, ErrorCode> {
    match topic {
        TopicKey::Id(id) => {
            let image = shard.image().topic_by_id(*id);
            image.map(|image| &**image).ok_or(ErrorCode::UnknownTopicId)
        }
        TopicKey::Name(name) => {
            let image = shard.image().topics.get(name);
            let image = image.map(|image| &**image);
            image.ok_or(ErrorCode::UnknownTopicOrPartition)
        }
    }
}

fn read(
    place: usize,
    at: TopicPartition,
    isolation: Isolation,
    partition: &FetchPartition,
) -> FetchRead {
    FetchRead {
        place,
        at,
        from: FetchAt {
            offset: partition.fetch_offset,
            // Here every negative epoch means that none is known, in ListOffsets only one does.
            current_leader_epoch: partition.current_leader_epoch.max(-1),
            last_fetched_epoch: partition.last_fetched_epoch,
            isolation,
        },
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
    }
}

fn unanswered(request: &FetchRequest, index: i32) -> PartitionData {
    let is_committed = Isolation::from_wire(request.isolation_level) == Isolation::ReadCommitted;
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

impl FetchPending {
    fn take_result(&mut self, version: i16, one: FetchResult) {
        let answer = &mut self.lists.partitions[one.place];
        match one.result {
            Ok(fetched) => take_success(answer, version, fetched),
            Err(error) => {
                answer.error_code = ErrorCode::from(error).code();
                answer.records = Some(Bytes::new());
            }
        }
    }

    /// What it is about, in short.
    fn subject(&self) -> Subject {
        let mut subject = Subject::default();
        let there = self.lists.at.iter().flatten();
        there.for_each(|at| subject.add(*at));
        subject
    }

    fn available_bytes(&self) -> u64 {
        let states = self.lists.parts.iter();
        let bytes = states.map(|(_, state)| match state {
            PartState::Waiting { bytes, .. } => *bytes,
            PartState::Gathering | PartState::Final => 0,
        });
        bytes.fold(0, u64::saturating_add)
    }

    fn is_gathering(&self) -> bool {
        let mut states = self.lists.parts.iter();
        states.any(|(_, state)| *state == PartState::Gathering)
    }

    fn state_mut(&mut self, shard: ShardId) -> Option<&mut PartState> {
        let mut parts = self.lists.parts.iter_mut();
        parts.find_map(|(owner, state)| (*owner == shard).then_some(state))
    }

    /// Drops the records of parts that wait: no memory is held for as long as a client likes.
    fn strip(&mut self) {
        let mut has_dropped = false;
        for (_, state) in &mut self.lists.parts {
            if let PartState::Waiting { bytes, is_stale } = state {
                *is_stale |= *bytes > 0;
                has_dropped |= *is_stale;
            }
        }
        if has_dropped {
            self.lists.partitions.iter_mut().for_each(drop_records);
        }
    }

    /// Leaves no more bytes than the client allows, except for the first batch.
    fn fit(&mut self) {
        let mut used_bytes = 0usize;
        for partition in &mut self.lists.partitions {
            let bytes = partition.records.as_ref().map_or(0, Bytes::len);
            let total = used_bytes.saturating_add(bytes);
            if used_bytes > 0 && total > self.max_bytes {
                drop_records(partition);
            } else {
                used_bytes = total;
            }
        }
    }
}

/// Leaves the records out, and what was said of them.
fn drop_records(answer: &mut PartitionData) {
    answer.records = Some(Bytes::new());
    if let Some(aborted) = &mut answer.aborted_transactions {
        aborted.clear();
    }
}

fn take_success(answer: &mut PartitionData, version: i16, fetched: Fetched) {
    answer.error_code = ErrorCode::None.code();
    answer.high_watermark = fetched.high_watermark;
    answer.last_stable_offset = fetched.last_stable_offset;
    if let Some(aborted) = &mut answer.aborted_transactions {
        let told = fetched.aborted.iter().map(|one| AbortedTransaction {
            producer_id: one.producer_id,
            first_offset: one.first_offset,
        });
        aborted.clear();
        aborted.extend(told);
    }
    answer.log_start_offset = fetched.log_start_offset;
    answer.records = Some(fetched.records);
    if version >= LEADER_FROM {
        answer.diverging_epoch = fetched
            .diverging
            .map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset })
            .unwrap_or_default();
    }
}

fn current_leader(topic: &TopicImage, partition: i32) -> LeaderIdAndEpoch {
    let index = usize::try_from(partition).ok();
    match index.and_then(|index| topic.partitions.get(index)) {
        Some(image) => LeaderIdAndEpoch {
            leader_id: image.leader.map_or(-1, |leader| leader.0),
            leader_epoch: image.leader_epoch,
        },
        None => LeaderIdAndEpoch::default(),
    }
}

impl Shard {
    /// Makes the answer, and takes note of it in the session.
    fn conclude_fetch(
        &mut self,
        call: &Call,
        mut pending: FetchPending,
        effects: &mut Effects,
    ) -> Result<Reply, ApiError> {
        pending.fit();
        let came_us = pending.came_us;
        let mut lists = pending.lists;
        if self.quotas.is_active() {
            let throttle_ms = self.throttle_fetch(call, lists.bytes(), effects);
            if throttle_ms > 0 {
                self.spares.fetch_lists.give(lists);
                return throttle::throttled(call, pending.context, throttle_ms);
            }
        }
        let session_id = match pending.context {
            SessionContext::Sessionless => 0,
            SessionContext::New => {
                let uses_ids = call.version >= IDS_FROM;
                let ids = self.session_ids();
                let sessions = &mut self.fetch_sessions;
                sessions.handle_new(came_us, ids, uses_ids, &lists.wanted, &lists.partitions)
            }
            SessionContext::Incremental { id, epoch } => {
                let sessions = &mut self.fetch_sessions;
                let told = lists.wanted.iter().zip(&lists.partitions);
                let noted = sessions.handle_answers(id, epoch, told, &mut lists.has_news);
                if let Err(code) = noted {
                    self.spares.fetch_lists.give(lists);
                    return session_error(call, code, id);
                }
                id
            }
        };
        self.note_bytes_out(&lists);
        let spares = &mut self.spares;
        let mut answer = spares.fetch_answers.take();
        answer.session_id = session_id;
        tell(&mut lists, &mut answer.responses, &mut spares.fetch_topics);
        let parts = spares.encode(call.correlation_id, call.version, &answer, effects);
        spares.fetch_answers.give(answer);
        spares.fetch_lists.give(lists);
        parts.map(Reply::Send)
    }

    fn note_bytes_out(&mut self, lists: &FetchLists) {
        for (at, partition) in lists.at.iter().zip(&lists.partitions) {
            let bytes = partition.records.as_ref().map_or(0, Bytes::len);
            if let (Some(at), 1..) = (at, bytes) {
                self.counts.note_bytes_out(at.topic_id, bytes);
            }
        }
    }

    fn session_ids(&self) -> SessionIds {
        let broker = self.image().brokers.get(&self.config.node_id);
        SessionIds {
            incarnation: broker
                .map(|broker| broker.incarnation_id)
                .unwrap_or_default(),
            shard: self.config.shard,
        }
    }
}

/// Moves what is told into the answer. Neighbours of one topic share an entry of it.
fn tell(
    lists: &mut FetchLists,
    responses: &mut Vec<FetchableTopicResponse>,
    unused: &mut Kept<FetchableTopicResponse>,
) {
    let wanted = &lists.wanted;
    let mut used = 0;
    let mut last = None;
    for (place, answer) in lists.partitions.drain(..).enumerate() {
        if lists.has_news.get(place) == Some(&false) {
            continue;
        }
        let topic = &wanted[place].topic;
        if last != Some(topic) {
            if used == responses.len() {
                responses.push(unused.take());
            }
            let response = &mut responses[used];
            (response.topic, response.topic_id) = match topic {
                TopicKey::Name(name) => (name.clone(), TopicId::ZERO),
                TopicKey::Id(id) => (ByteString::new(), *id),
            };
            used += 1;
            last = Some(topic);
        }
        responses[used - 1].partitions.push(answer);
    }
    for response in responses.drain(used..) {
        unused.give(response);
    }
}
