// SPDX-License-Identifier: Apache-2.0
//! The requests of a producer.
//!
//! Owns: their contents. Invariants: a request holds one batch of one partition, so that its answer
//! concerns that batch alone. Runs on: the producer's thread. Bounded by: one batch.

use crate::cli::client::cluster::Cluster;
use crate::cli::client::{REQUEST_TIMEOUT_MS, RETRY_FOR, Retry};
use crate::cli::error::{ClientError, is_retriable};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::init_producer_id::InitProducerIdRequest;
use crate::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use bytes::Bytes;
use bytestring::ByteString;

/// Asks for a producer id, for a bounded time.
pub(super) fn init_producer_id(cluster: &mut Cluster) -> Result<(i64, i16), ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: REQUEST_TIMEOUT_MS,
        ..InitProducerIdRequest::default()
    };
    let mut retry = Retry::lasting(RETRY_FOR);
    loop {
        let answer = cluster.call_again(&request)?;
        let code = answer.error_code;
        if code == ErrorCode::None.code() {
            return Ok((answer.producer_id, answer.producer_epoch));
        }
        if !is_retriable(code) || !retry.pause() {
            let what = "asking for a producer id".to_string();
            return Err(ClientError::Refused {
                what,
                code,
                message: None,
            });
        }
    }
}

/// A request that appends one batch.
pub(super) fn request_of(
    topic: &ByteString,
    acks: i16,
    partition: i32,
    records: Bytes,
) -> ProduceRequest {
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: REQUEST_TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            name: topic.clone(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
    }
}
