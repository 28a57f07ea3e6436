// SPDX-License-Identifier: Apache-2.0
//! A client's side: requests to frames, frames to responses, batches of records.
//!
//! Owns: nothing. Invariants: the correlation id that comes back is the one that was sent.
//! Runs on: the test's thread. Bounded by: the test.

use bytes::{Bytes, BytesMut};
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::ids::{ConnectionId, Uuid};
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use furlong::wire::protocol::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use furlong::wire::protocol::{Request, decode_response, encode_request};
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::broker::Broker;

/// A request as a frame without its length.
pub fn frame<R: Request>(correlation_id: i32, version: i16, request: &R) -> Bytes {
    let parts = encode_request(correlation_id, "test", version, request).expect("encodes");
    let mut whole = BytesMut::new();
    for part in parts {
        whole.extend_from_slice(&part);
    }
    whole.freeze().slice(4..)
}

/// The next response that came.
pub fn next<R: Request>(
    broker: &mut Broker,
    connection: ConnectionId,
    version: i16,
) -> Option<(i32, R::Response)> {
    let wire = broker.wires.get_mut(&connection).expect("connected");
    let response = wire.responses.pop_front()?;
    Some(decode_response::<R>(response, version).expect("decodes"))
}

/// Sends a request and expects its response at once.
pub fn call<R: Request>(
    broker: &mut Broker,
    connection: ConnectionId,
    version: i16,
    request: &R,
) -> R::Response {
    broker.send(connection, frame(77, version, request));
    let answered = next::<R>(broker, connection, version);
    let (correlation_id, response) = answered.expect("there is an answer");
    assert_eq!(correlation_id, 77);
    response
}

/// A batch of records with these values.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// A produce request for one partition.
pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// Produces to one partition and gives its answer.
pub fn produce(
    broker: &mut Broker,
    connection: ConnectionId,
    topic: &str,
    partition: i32,
    records: Bytes,
) -> PartitionProduceResponse {
    let request = produce_request(topic, partition, -1, records);
    let response = call(broker, connection, 9, &request);
    only_produced(response)
}

/// The answer of the only partition.
pub fn only_produced(response: ProduceResponse) -> PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1);
    let mut topic = response.responses.into_iter().next().expect("one topic");
    assert_eq!(topic.partition_responses.len(), 1);
    topic.partition_responses.remove(0)
}

/// A fetch of partitions from offsets, that waits for nothing.
pub fn fetch_request(topic: &str, from: &[(i32, i64)]) -> FetchRequest {
    let partitions = from.iter().map(|(partition, offset)| FetchPartition {
        partition: *partition,
        fetch_offset: *offset,
        partition_max_bytes: 1024 * 1024,
        ..FetchPartition::default()
    });
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 16 * 1024 * 1024,
        topics: vec![FetchTopic {
            topic: topic.into(),
            topic_id: Uuid::ZERO,
            partitions: partitions.collect(),
        }],
        ..FetchRequest::default()
    }
}

/// The values of the records in a partition of a fetch answer.
pub fn values(response: &FetchResponse, place: usize) -> Vec<String> {
    let partition = &response.responses[0].partitions[place];
    let bytes = partition.records.clone().expect("never null");
    let mut values = Vec::new();
    for batch in split_batches(&bytes) {
        let batch = batch.expect("whole batches");
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
        for record in opened.iter() {
            let record = record.expect("well-formed");
            let value = record.value.expect("has a value");
            values.push(String::from_utf8(value.to_vec()).expect("text"));
        }
    }
    values
}
