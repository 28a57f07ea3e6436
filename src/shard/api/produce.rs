// SPDX-License-Identifier: Apache-2.0
//! Produce (0): batches for partitions, answered once what `acks` asks for is true.
//!
//! Owns: its handler, produce requests that wait. Invariants: one message per shard that owns
//! partitions of the request; the answer names every partition in the order of the request; with
//! `acks=0` there is no answer, and an error closes the connection, since any answer would be taken
//! for that of the next request.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::log::AppendError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ShardId, TopicPartition, Uuid};
use crate::model::image::TopicImage;
use crate::partition::{ProduceError, Produced};
use crate::replication::min_insync::Acks;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::parts::PLACES_MAX;
use crate::shard::parts::produce::{ProduceBatch, ProduceParts, ProduceResult};
use crate::shard::request_table::{Call, Pending};
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

/// First version that names topics by id (KIP-516).
const IDS_FROM: i16 = 13;

/// A produce request whose appends are under way.
pub struct ProducePending {
    acks: Acks,
    /// Name, id and number of partitions of each topic, in the order of the request.
    topics: Vec<(ByteString, Uuid, usize)>,
    /// One for each partition, in the order of the request.
    partitions: Vec<PartitionProduceResponse>,
    /// Shards that have not answered.
    outstanding: usize,
}

/// Hands the batches to the shards of their partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: ProduceRequest = arrival.decode()?;
    let call = arrival.call;
    let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
    let (mut pending, batches) = plan(shard, &call, request);
    if pending.partitions.len() > PLACES_MAX {
        return Ok(Reply::Close);
    }
    if batches.is_empty() {
        return conclude(&call, pending);
    }
    pending.outstanding = batches.len();
    let number = shard.requests.next_number();
    for (owner, batches) in batches {
        let body = ProduceParts {
            acks: pending.acks,
            timeout_ms,
            batches,
        };
        let message = MeshMessage::Produce {
            request: number,
            body,
        };
        shard.send(owner, message, arrival.effects);
    }
    shard.connections.note_request(call.slot, number);
    shard
        .requests
        .insert(number, call, Pending::Produce(pending));
    Ok(Reply::Pending)
}

/// The frame of the answer, and which batches go to which shard.
fn plan(
    shard: &Shard,
    call: &Call,
    request: ProduceRequest,
) -> (ProducePending, BTreeMap<ShardId, Vec<ProduceBatch>>) {
    let acks = Acks::from_wire(request.acks);
    let mut pending = ProducePending {
        acks: acks.unwrap_or(Acks::Leader),
        topics: Vec::with_capacity(request.topic_data.len()),
        partitions: Vec::new(),
        outstanding: 0,
    };
    let mut batches: BTreeMap<ShardId, Vec<ProduceBatch>> = BTreeMap::new();
    for topic in request.topic_data {
        let image = if call.version >= IDS_FROM {
            let image = shard.image().topic_by_id(topic.topic_id);
            image.ok_or(ErrorCode::UnknownTopicId)
        } else {
            let image = shard.image().topics.get(&topic.name);
            image.ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        let count = topic.partition_data.len();
        pending.topics.push((topic.name, topic.topic_id, count));
        for partition in topic.partition_data {
            let place = pending.partitions.len();
            let mut answer = unanswered(partition.index);
            let admission = match acks {
                None => refuse(
                    ErrorCode::InvalidRequiredAcks,
                    "acks is none of -1, 0 and 1",
                ),
                Some(_) => admit(shard, call.version, image, partition),
            };
            match admission {
                Ok((at, owner, records)) => {
                    let batch = ProduceBatch { place, at, records };
                    batches.entry(owner).or_default().push(batch);
                }
                Err((code, message)) => {
                    answer.error_code = code.code();
                    answer.error_message = message;
                }
            }
            pending.partitions.push(answer);
        }
    }
    (pending, batches)
}

/// A batch that may go to its shard, or the code and message of its refusal.
type Admission = Result<(TopicPartition, ShardId, Bytes), (ErrorCode, Option<ByteString>)>;

fn refuse(code: ErrorCode, message: &'static str) -> Admission {
    Err((code, Some(ByteString::from_static(message))))
}

/// Finds the partition and checks what does not depend on it: one batch of format 2 (Kafka's rule
/// since version 3).
fn admit(
    shard: &Shard,
    version: i16,
    topic: Result<&Arc<TopicImage>, ErrorCode>,
    partition: PartitionProduceData,
) -> Admission {
    let topic = topic.map_err(|code| (code, None))?;
    let (at, owner) = shard
        .route(topic, partition.index)
        .map_err(|code| (code, None))?;
    let records = partition.records.unwrap_or_default();
    if records.is_empty() {
        return refuse(ErrorCode::InvalidRecord, "there is no record batch");
    }
    let header = BatchHeader::parse(&records).map_err(|error| {
        let message = ByteString::from(error.to_string());
        (ErrorCode::from(error), Some(message))
    })?;
    if header.size_bytes() < records.len() {
        return refuse(
            ErrorCode::InvalidRecord,
            "a partition takes exactly one record batch in each request",
        );
    }
    if header.attributes.is_transactional() {
        return refuse(
            ErrorCode::InvalidTxnState,
            "this broker has no transactions yet",
        );
    }
    if version < ZSTD_FROM && header.attributes.compression() == Ok(Compression::Zstd) {
        return refuse(
            ErrorCode::UnsupportedCompressionType,
            "zstd needs version 7 of the request",
        );
    }
    Ok((at, owner, records))
}

fn unanswered(index: i32) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: -1,
        ..PartitionProduceResponse::default()
    }
}

/// Makes the answer; with `acks=0` there is none.
fn conclude(call: &Call, pending: ProducePending) -> Result<Reply, ApiError> {
    if pending.acks == Acks::None {
        let failed = pending.partitions.iter().any(|one| one.error_code != 0);
        return Ok(if failed { Reply::Close } else { Reply::Silent });
    }
    let mut partitions = pending.partitions.into_iter();
    let responses =
        pending
            .topics
            .into_iter()
            .map(|(name, topic_id, count)| TopicProduceResponse {
                name,
                topic_id,
                partition_responses: partitions.by_ref().take(count).collect(),
            });
    call.reply(&ProduceResponse {
        responses: responses.collect(),
        ..ProduceResponse::default()
    })
}

impl Shard {
    /// A shard has ended its appends.
    pub(in crate::shard) fn finish_produce(
        &mut self,
        request: u64,
        results: Vec<ProduceResult>,
        effects: &mut Effects,
    ) {
        let Some((call, Pending::Produce(mut pending))) = self.requests.remove(request) else {
            return;
        };
        for one in results {
            let answer = &mut pending.partitions[one.place];
            match one.result {
                Ok(produced) => take_success(answer, produced),
                Err(error) => take_error(answer, &error),
            }
        }
        pending.outstanding -= 1;
        if pending.outstanding > 0 {
            self.requests
                .insert(request, call, Pending::Produce(pending));
            return;
        }
        if call.version >= LEADER_FROM {
            self.name_leaders(call.version, &mut pending);
        }
        let reply = conclude(&call, pending);
        self.conclude(call.slot, reply, effects);
    }

    /// Tells clients of partitions that moved where their leader is (KIP-951).
    fn name_leaders(&self, version: i16, pending: &mut ProducePending) {
        let mut partitions = pending.partitions.iter_mut();
        for (name, topic_id, count) in &pending.topics {
            let topic = if version >= IDS_FROM {
                self.image().topic_by_id(*topic_id)
            } else {
                self.image().topics.get(name)
            };
            for answer in partitions.by_ref().take(*count) {
                if answer.error_code != ErrorCode::NotLeaderOrFollower.code() {
                    continue;
                }
                let index = usize::try_from(answer.index).ok();
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

fn take_success(answer: &mut PartitionProduceResponse, produced: Produced) {
    answer.base_offset = produced.base_offset;
    answer.log_append_time_ms = produced.log_append_time_ms;
    answer.log_start_offset = produced.log_start_offset;
}

fn take_error(answer: &mut PartitionProduceResponse, error: &ProduceError) {
    answer.error_code = ErrorCode::from(*error).code();
    let message = ByteString::from(error.to_string());
    // Which record is to blame, if one is (KIP-467).
    let blamed = match error {
        ProduceError::Append(AppendError::Batch(
            BatchError::Record { index, .. } | BatchError::Timestamp { index, .. },
        )) => u32::try_from(*index).ok().map(|_| *index),
        _ => None,
    };
    if let Some(batch_index) = blamed {
        answer.record_errors.push(BatchIndexAndErrorMessage {
            batch_index,
            batch_index_error_message: Some(message.clone()),
        });
    }
    answer.error_message = Some(message);
}
