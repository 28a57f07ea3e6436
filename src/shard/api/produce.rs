// SPDX-License-Identifier: Apache-2.0
//! Produce (0): batches for partitions, answered once what `acks` asks for is true.
//!
//! Owns: its handler, produce requests that wait. Invariants: one message per shard that owns
//! partitions of the request; the answer names every partition in the order of the request; with
//! `acks=0` there is no answer, and an error closes the connection, since any answer would be taken
//! for that of the next request.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::log::AppendError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition};
use crate::model::image::TopicImage;
use crate::partition::{ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::shard::contract::Effects;
use crate::shard::groups::is_internal;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::produce::{InTransaction, ProduceBatch, ProduceParts, ProduceRefusal};
use crate::shard::parts::verify::may_pass;
use crate::shard::parts::{AnswerPlace, PLACES_MAX};
use crate::shard::request_table::{Call, Pending};
use crate::shard::stage::{Subject, Way};
use crate::txn::Producer;
use crate::wire::protocol::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::wire::record::{BatchError, BatchHeader, Compression};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 3..=13;

/// Lowest version that is advertised: librdkafka looks for it (KAFKA-18659).
pub const ADVERTISED_FROM: i16 = 0;

/// First version in which a batch may be compressed with zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// First version that tells where the leader is (KIP-951).
const LEADER_FROM: i16 = 10;

/// First version whose clients know that a transaction can only be aborted (KIP-1050).
const ABORTABLE_FROM: i16 = 11;

/// First version that adds its partitions to the transaction by itself (KIP-890).
const ADDS_FROM: i16 = 12;

/// First version that names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

/// A produce request whose appends are under way.
pub struct ProducePending {
    acks: Acks,
    /// What is known of the answer.
    answer: ProduceResponse,
    /// Shards that have not answered.
    outstanding: usize,
    subject: Subject,
}

/// Hands the batches to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let mut request = shard.spares.produce_requests.take();
    arrival.decode_over(&mut request)?;
    let call = arrival.call;
    let topics = request.topic_data.iter();
    if topics
        .map(|topic| topic.partition_data.len())
        .sum::<usize>()
        > PLACES_MAX
    {
        return Ok(Reply::Close);
    }
    let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
    let transaction = request.transactional_id.take();
    let transaction = transaction.map(|transactional_id| InTransaction {
        transactional_id,
        adds: call.version >= ADDS_FROM,
    });
    let mut batches = std::mem::take(&mut shard.spares.batches_by_shard);
    batches.resize_with(usize::from(shard.config.shard_count), Vec::new);
    let answer = shard.spares.produce_answers.take();
    let refusal = transaction.as_ref().and_then(|_| check_producers(&request));
    let admits = Admits {
        version: call.version,
        in_transaction: transaction.is_some(),
        refusal,
    };
    let mut pending = plan(shard, admits, &mut request, answer, &mut batches);
    shard.spares.produce_requests.give(request);
    pending.outstanding = batches.iter().filter(|list| !list.is_empty()).count();
    let reply = if pending.outstanding == 0 {
        conclude(shard, &call, pending, arrival.effects)
    } else {
        let number = shard.requests.next_number();
        let acks = pending.acks;
        shard.connections.note_request(call.slot, number);
        shard
            .requests
            .insert(number, call, Pending::Produce(pending));
        hand_out(
            shard,
            number,
            acks,
            timeout_ms,
            transaction.as_ref(),
            &mut batches,
            arrival.effects,
        );
        Ok(Reply::Pending)
    };
    shard.spares.batches_by_shard = batches;
    reply
}

/// Sends each shard its batches.
fn hand_out(
    shard: &mut Shard,
    request: u64,
    acks: Acks,
    timeout_ms: u64,
    transaction: Option<&InTransaction>,
    by_shard: &mut [Vec<ProduceBatch>],
    effects: &mut Effects,
) {
    for (owner, list) in (0u16..).zip(by_shard) {
        if list.is_empty() {
            continue;
        }
        let batches = std::mem::replace(list, shard.spares.batches.take());
        let body = ProduceParts {
            acks,
            timeout_ms,
            transaction: transaction.cloned(),
            batches,
        };
        let message = MeshMessage::Produce { request, body };
        shard.send(ShardId(owner), message, effects);
    }
}

/// The frame of the answer, and which batches go to which shard.
fn plan(
    shard: &Shard,
    admits: Admits,
    request: &mut ProduceRequest,
    mut answer: ProduceResponse,
    batches: &mut [Vec<ProduceBatch>],
) -> ProducePending {
    let acks = Acks::from_wire(request.acks);
    let topic_count = request.topic_data.len();
    answer.responses.truncate(topic_count);
    answer
        .responses
        .resize_with(topic_count, TopicProduceResponse::default);
    let mut subject = Subject::default();
    let topics = request.topic_data.iter_mut().zip(&mut answer.responses);
    for (place, (topic, answers)) in topics.enumerate() {
        let image = if admits.version >= IDS_FROM {
            let image = shard.image().topic_by_id(topic.topic_id);
            image.ok_or(ErrorCode::UnknownTopicId)
        } else {
            let image = shard.image().topics.get(&topic.name);
            image.ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        answers.name = std::mem::take(&mut topic.name);
        answers.topic_id = topic.topic_id;
        for partition in &mut topic.partition_data {
            let mut answer = unanswered(partition.index);
            let admission = match acks {
                None => refuse(
                    ErrorCode::InvalidRequiredAcks,
                    "acks is none of -1, 0 and 1",
                ),
                Some(_) => admit(shard, admits, image, partition),
            };
            match admission {
                Ok((at, owner, producer, records)) => {
                    subject.add(at);
                    let place = AnswerPlace {
                        topic: place,
                        partition: answers.partition_responses.len(),
                    };
                    batches[usize::from(owner.0)].push(ProduceBatch {
                        place,
                        at,
                        records,
                        producer,
                        outcome: None,
                    });
                }
                Err((code, message)) => {
                    answer.error_code = code.code();
                    answer.error_message = message;
                }
            }
            answers.partition_responses.push(answer);
        }
    }
    ProducePending {
        acks: acks.unwrap_or(Acks::Leader),
        answer,
        outstanding: 0,
        subject,
    }
}

/// What holds for all batches of a request.
#[derive(Clone, Copy)]
struct Admits {
    version: i16,
    /// It names a transaction.
    in_transaction: bool,
    /// Why none of it is taken.
    refusal: Option<(ErrorCode, &'static str)>,
}

/// All transactional batches of a request are of one producer, as it has one transaction.
fn check_producers(request: &ProduceRequest) -> Option<(ErrorCode, &'static str)> {
    let partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let mut producer = None;
    for records in partitions.filter_map(|partition| partition.records.as_ref()) {
        let Ok(header) = BatchHeader::parse(records) else {
            continue;
        };
        if !header.attributes.is_transactional() {
            continue;
        }
        let this = (header.producer_id, header.producer_epoch);
        if *producer.get_or_insert(this) != this {
            return Some((
                ErrorCode::InvalidProducerIdMapping,
                "the batches of the transaction are of more than one producer",
            ));
        }
    }
    None
}

/// A batch that may go to its shard, with its producer if it is part of a transaction, or the code
/// and message of its refusal.
type Admission =
    Result<(TopicPartition, ShardId, Option<Producer>, Bytes), (ErrorCode, Option<ByteString>)>;

fn refuse(code: ErrorCode, message: &'static str) -> Admission {
    Err((code, Some(ByteString::from_static(message))))
}

/// Finds the partition and checks what does not depend on it: one batch of format 2 (Kafka's rule
/// since version 3).
fn admit(
    shard: &Shard,
    admits: Admits,
    topic: Result<&Arc<TopicImage>, ErrorCode>,
    partition: &mut PartitionProduceData,
) -> Admission {
    if let Some((code, message)) = admits.refusal {
        return refuse(code, message);
    }
    let topic = topic.map_err(|code| (code, None))?;
    if is_internal(&topic.name) {
        return refuse(
            ErrorCode::InvalidTopicException,
            "only this broker itself writes to the topic that keeps groups",
        );
    }
    let (at, owner) = shard
        .route(topic, partition.index)
        .map_err(|code| (code, None))?;
    let records = partition.records.take().unwrap_or_default();
    if records.is_empty() {
        return refuse(ErrorCode::InvalidRecord, "there is no record batch");
    }
    let header = BatchHeader::parse(&records).map_err(|error| {
        let message = ByteString::from(error.to_string());
        (unreadable(&error), Some(message))
    })?;
    if header.base_offset != 0 {
        return refuse(
            ErrorCode::InvalidRecord,
            "the base offset of a batch is 0: the broker gives the offsets",
        );
    }
    if header.size_bytes() > records.len() {
        return refuse(ErrorCode::InvalidRecord, "the record batch is not whole");
    }
    if header.size_bytes() < records.len() {
        return refuse(
            ErrorCode::InvalidRecord,
            "a partition takes exactly one record batch in each request",
        );
    }
    let mut producer = None;
    if header.attributes.is_transactional() {
        if !admits.in_transaction {
            return refuse(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "the batch is part of a transaction, and the request does not name it",
            );
        }
        producer = Some(Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
        });
    }
    if admits.version < ZSTD_FROM && header.attributes.compression() == Ok(Compression::Zstd) {
        return refuse(
            ErrorCode::UnsupportedCompressionType,
            "zstd needs version 7 of the request",
        );
    }
    Ok((at, owner, producer, records))
}

/// The code for bytes that are no batch. A batch that is not whole and a message of the old formats
/// are no batches at all to Kafka; any other format is damage.
fn unreadable(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Truncated { .. } | BatchError::Magic { magic: 0 | 1 } => {
            ErrorCode::InvalidRecord
        }
        BatchError::Magic { .. } => ErrorCode::CorruptMessage,
        other => ErrorCode::from(*other),
    }
}

fn unanswered(index: i32) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: -1,
        ..PartitionProduceResponse::default()
    }
}

/// Makes the answer; with `acks=0` there is none.
fn conclude(
    shard: &mut Shard,
    call: &Call,
    pending: ProducePending,
    effects: &mut Effects,
) -> Result<Reply, ApiError> {
    let answer = pending.answer;
    let reply = if pending.acks == Acks::None {
        let topics = answer.responses.iter();
        let mut partitions = topics.flat_map(|topic| &topic.partition_responses);
        let failed = partitions.any(|one| one.error_code != 0);
        Ok(if failed { Reply::Close } else { Reply::Silent })
    } else {
        let spares = &mut shard.spares;
        spares
            .encode(call.correlation_id, call.version, &answer, effects)
            .map(Reply::Send)
    };
    shard.spares.produce_answers.give(answer);
    reply
}

impl Shard {
    /// A shard has ended its appends, which waited for that.
    pub(in crate::shard) fn finish_produce(
        &mut self,
        request: u64,
        mut batches: Vec<ProduceBatch>,
        way: Way,
        effects: &mut Effects,
    ) {
        let Some((call, Pending::Produce(pending))) = self.requests.get_mut(request) else {
            return;
        };
        let version = call.version;
        for batch in batches.drain(..) {
            let AnswerPlace { topic, partition } = batch.place;
            let answer = &mut pending.answer.responses[topic].partition_responses[partition];
            match batch
                .outcome
                .expect("a part comes back when all of it has ended")
            {
                Ok(produced) => take_success(answer, produced),
                Err(ProduceRefusal::Partition(error)) => take_error(answer, &error),
                Err(ProduceRefusal::Coordinator(code)) => take_unverified(answer, version, code),
                Err(ProduceRefusal::Late) => {
                    let error = ProduceError::Append(AppendError::NoTransaction);
                    take_error(answer, &error);
                }
            }
        }
        self.spares.batches.give(batches);
        pending.outstanding -= 1;
        if pending.outstanding > 0 {
            return;
        }
        let call = *call;
        let Some((_, Pending::Produce(mut pending))) = self.requests.remove(request) else {
            return;
        };
        if call.version >= LEADER_FROM {
            self.name_leaders(call.version, &mut pending.answer);
        }
        let subject = pending.subject;
        let reply = conclude(self, &call, pending, effects);
        self.conclude_on_way(call, way, subject, reply, effects);
    }

    /// Tells clients of partitions that moved where their leader is (KIP-951).
    fn name_leaders(&self, version: i16, answer: &mut ProduceResponse) {
        for topic in &mut answer.responses {
            let image = if version >= IDS_FROM {
                self.image().topic_by_id(topic.topic_id)
            } else {
                self.image().topics.get(&topic.name)
            };
            for answer in &mut topic.partition_responses {
                if answer.error_code != ErrorCode::NotLeaderOrFollower.code() {
                    continue;
                }
                let index = usize::try_from(answer.index).ok();
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

fn take_success(answer: &mut PartitionProduceResponse, produced: Produced) {
    answer.base_offset = produced.base_offset;
    answer.log_append_time_ms = produced.log_append_time_ms;
    answer.log_start_offset = produced.log_start_offset;
}

fn take_error(answer: &mut PartitionProduceResponse, error: &ProduceError) {
    answer.error_code = ErrorCode::from(error).code();
    // Which records are to blame, if some are (KIP-467).
    answer.record_errors = match error {
        ProduceError::Records(records) => records.iter().filter_map(blame).collect(),
        ProduceError::Append(AppendError::Batch(error)) => blame(error).into_iter().collect(),
        _ => Vec::new(),
    };
    answer.error_message = Some(ByteString::from(error.to_string()));
}

/// The coordinator of the transaction did not confirm it. What may pass is a code on which
/// producers of every age send again, and look for no leader (as in Kafka).
fn take_unverified(answer: &mut PartitionProduceResponse, version: i16, code: ErrorCode) {
    let (told, why) = match code {
        code if may_pass(code) => (
            ErrorCode::NotEnoughReplicas,
            "the coordinator of the transaction could not say yet whether the partition belongs \
             to it",
        ),
        ErrorCode::ProducerFenced => (
            ErrorCode::InvalidProducerEpoch,
            "the producer has a newer epoch",
        ),
        ErrorCode::TransactionAbortable if version < ABORTABLE_FROM => (
            ErrorCode::InvalidTxnState,
            "the partition was not added to the transaction",
        ),
        ErrorCode::InvalidTxnState | ErrorCode::TransactionAbortable => {
            (code, "the partition was not added to the transaction")
        }
        code => (code, "the coordinator of the transaction refused the batch"),
    };
    answer.error_code = told.code();
    answer.error_message = Some(ByteString::from_static(why));
}

fn blame(error: &BatchError) -> Option<BatchIndexAndErrorMessage> {
    let (BatchError::Record { index, .. } | BatchError::Timestamp { index, .. }) = error else {
        return None;
    };
    (*index >= 0).then(|| BatchIndexAndErrorMessage {
        batch_index: *index,
        batch_index_error_message: Some(ByteString::from(error.to_string())),
    })
}
