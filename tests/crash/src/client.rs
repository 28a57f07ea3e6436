// SPDX-License-Identifier: Apache-2.0
//! A small blocking client over the library's own messages. Several requests may be under way; an
//! error of a connection says that the outcome of all of them is unknown.

use bytes::Bytes;
use furlong::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use furlong::wire::protocol::delete_topics::DeleteTopicsRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use furlong::wire::protocol::{Request, decode_response, encode_request};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer that is believed.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The versions spoken here: the newest that name topics by name.
pub const PRODUCE: i16 = 9;
/// Likewise.
pub const FETCH: i16 = 12;

/// Error codes that this client acts upon.
pub mod code {
    /// Nothing is wrong.
    pub const NONE: i16 = 0;
    /// The asked offset is not in the log.
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    /// There is no such partition.
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    /// The topic to create exists.
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    /// A sequence number that does not follow the last one.
    pub const OUT_OF_ORDER_SEQUENCE: i16 = 45;
    /// A batch that is stored already, at an offset that is no longer known.
    pub const DUPLICATE_SEQUENCE: i16 = 46;
    /// What passes by itself, mostly after a start: leader not available, not leader, timed out,
    /// coordinator loading or not available, not controller, storage error.
    pub const PASSING: &[i16] = &[5, 6, 7, 14, 15, 41, 56];
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    next_id: i32,
    under_way: VecDeque<(i32, i16)>,
}

impl Connection {
    /// Connects.
    pub fn open(address: &str) -> Result<Connection, String> {
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream
            .set_read_timeout(Some(ANSWER_PATIENCE))
            .map_err(failed)?;
        stream
            .set_write_timeout(Some(ANSWER_PATIENCE))
            .map_err(failed)?;
        Ok(Connection {
            stream,
            next_id: 0,
            under_way: VecDeque::new(),
        })
    }

    /// Sends a request.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<(), String> {
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        let parts = encode_request(id, "furlong-crash", version, request)
            .map_err(|error| format!("a request cannot be written: {error}"))?;
        for part in parts {
            let sent = self.stream.write_all(&part);
            sent.map_err(|error| format!("the connection broke: {error}"))?;
        }
        self.under_way.push_back((id, version));
        Ok(())
    }

    /// The answer to the oldest request under way.
    pub fn receive<R: Request>(&mut self) -> Result<R::Response, String> {
        let (id, version) = self.under_way.pop_front().expect("a request is under way");
        let frame = self.frame()?;
        let (answered, response) = decode_response::<R>(frame, version)
            .map_err(|error| format!("an answer cannot be read: {error}"))?;
        if answered != id {
            return Err(format!(
                "the answer to request {id} has the number {answered}"
            ));
        }
        Ok(response)
    }

    fn frame(&mut self) -> Result<Bytes, String> {
        let broke = |error: std::io::Error| format!("the connection broke: {error}");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(broke)?;
        let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
        if length > ANSWER_BYTES_MAX {
            return Err(format!("an answer of {length} bytes is not believed"));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).map_err(broke)?;
        Ok(frame.into())
    }

    /// Sends a request and waits for its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, String> {
        assert!(
            self.under_way.is_empty(),
            "the answer would be another one's"
        );
        self.send(version, request)?;
        self.receive::<R>()
    }

    /// Creates a topic; gives the error code.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[(&'static str, &'static str)],
    ) -> Result<(i16, String), String> {
        let configs = settings.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let response = self.call(7, &request)?;
        let outcome = response.topics.first().ok_or("the answer names no topic")?;
        let message = outcome.error_message.clone().unwrap_or_default();
        Ok((outcome.error_code, message.to_string()))
    }

    /// Deletes a topic; gives the error code.
    pub fn delete_topic(&mut self, name: &str) -> Result<i16, String> {
        let request = DeleteTopicsRequest {
            topic_names: vec![name.into()],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let response = self.call(5, &request)?;
        let outcome = response
            .responses
            .first()
            .ok_or("the answer names no topic")?;
        Ok(outcome.error_code)
    }

    /// A new producer id and its epoch, or the error code.
    pub fn producer_id(&mut self) -> Result<Result<(i64, i16), i16>, String> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let response = self.call(4, &request)?;
        Ok(match response.error_code {
            code::NONE => Ok((response.producer_id, response.producer_epoch)),
            other => Err(other),
        })
    }

    /// The first offset of a partition, or the error code.
    pub fn log_start(&mut self, topic: &str, partition: i32) -> Result<Result<i64, i16>, String> {
        const EARLIEST: i64 = -2;
        let partition = ListOffsetsPartition {
            partition_index: partition,
            timestamp: EARLIEST,
            ..Default::default()
        };
        let topic = ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![partition],
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let response = self.call(6, &request)?;
        let outcome = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        let outcome = outcome.ok_or("the answer names no partition")?;
        Ok(match outcome.error_code {
            code::NONE => Ok(outcome.offset),
            other => Err(other),
        })
    }
}
