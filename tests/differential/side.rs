// SPDX-License-Identifier: Apache-2.0
//! One of the two brokers: requests to it, and what it answered, written down.
//!
//! Owns: [`Side`]. Invariants: requests and answers go through the crate `kafka-protocol` alone,
//! never through code of ours; an answer that is not whole or has bytes left over is written down
//! as such; a connection that the broker closed is made anew for the next request.
//! Runs on: one thread for each broker. Bounded by: the cases.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use uuid::Uuid;

use crate::rules::Placeholders;
use crate::value::Value;

/// How long an answer may take. No case asks a broker to wait for longer than a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a broker may take until all of it knows of a change.
const SETTLING: Duration = Duration::from_secs(15);

/// A broker that closed the connection.
pub const CLOSED: &str = "(the connection is closed)";
/// A broker that says nothing.
pub const SILENT: &str = "(no answer)";

/// What came back.
pub enum Answer<T> {
    /// A whole answer.
    Body(T),
    /// Something else, in words.
    Other(String),
}

/// One broker in the course of one case.
pub struct Side {
    address: String,
    stream: Option<TcpStream>,
    correlation_id: i32,
    /// Who the requests say they come from.
    pub client_id: Option<&'static str>,
    /// The start of the names of this case's topics.
    prefix: String,
    answers: Vec<(String, Value)>,
    placeholders: Placeholders,
}

impl Side {
    /// A broker at this address.
    pub fn new(address: &str) -> Side {
        Side {
            address: address.to_owned(),
            stream: None,
            correlation_id: 0,
            client_id: Some("differential"),
            prefix: String::new(),
            answers: Vec::new(),
            placeholders: Placeholders::default(),
        }
    }

    /// Begins a case.
    pub fn begin(&mut self, case: &str) {
        self.stream = None;
        self.client_id = Some("differential");
        self.prefix = case.replace(['/', ' ', ','], "-");
        self.placeholders = Placeholders::default();
    }

    /// Ends a case: what the broker answered, step by step.
    pub fn end(&mut self) -> Value {
        Value::List(std::mem::take(&mut self.answers))
    }

    /// The name of a topic of this case.
    pub fn name(&self, topic: &str) -> TopicName {
        TopicName(format!("{}-{topic}", self.prefix).into())
    }

    /// Writes something down.
    pub fn note(&mut self, step: &str, value: &Value) {
        let value = self.placeholders.settle(value);
        let same = |one: &&(String, Value)| one.0.split('#').next() == Some(step);
        let before = self.answers.iter().filter(same).count();
        let step = match before {
            0 => step.to_owned(),
            _ => format!("{step}#{}", before + 1),
        };
        self.answers.push((step, value));
    }

    /// Sends a request, writes the answer down and gives it back. A broker that answers with
    /// something else ends the case for whoever needs the answer.
    pub fn ask<R: Request>(&mut self, step: &str, version: i16, request: &R) -> Option<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        let answer = self.send(version, request);
        self.take_down(step, answer)
    }

    /// Writes an answer down.
    pub fn take_down<T: std::fmt::Debug>(&mut self, step: &str, answer: Answer<T>) -> Option<T> {
        match answer {
            Answer::Body(body) => {
                self.note(step, &Value::of(&body));
                Some(body)
            }
            Answer::Other(words) => {
                self.note(step, &Value::leaf(words));
                None
            }
        }
    }

    /// Sends a request whose answer is not compared.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Answer<R::Response> {
        self.send_as(version, version, request)
    }

    /// Sends a request whose answer must come, and is not compared.
    pub fn must<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        match self.send(version, request) {
            Answer::Body(body) => body,
            Answer::Other(words) => panic!("{}: {words}", self.prefix),
        }
    }

    /// Sends a request under a version whose layout is that of another one: the decoder does not
    /// know every version.
    pub fn send_as<R: Request>(
        &mut self,
        version: i16,
        layout: i16,
        request: &R,
    ) -> Answer<R::Response> {
        let mut body = BytesMut::new();
        let encoded = request.encode(&mut body, layout);
        encoded.unwrap_or_else(|error| panic!("{} v{version}: {error}", self.prefix));
        let header = R::header_version(layout);
        match self.send_raw(R::KEY, version, header, &body) {
            Ok(frame) => decode::<R>(frame, layout, self.correlation_id),
            Err(words) => Answer::Other(words.to_owned()),
        }
    }

    /// Sends any body under any header; the frame that comes back.
    pub fn send_raw(
        &mut self,
        key: i16,
        version: i16,
        header_version: i16,
        body: &[u8],
    ) -> Result<Bytes, &'static str> {
        self.push(key, version, header_version, body);
        self.next_frame()
    }

    /// Sends any body under any header and waits for nothing.
    pub fn push(&mut self, key: i16, version: i16, header_version: i16, body: &[u8]) {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(self.client_id.map(StrBytes::from_static_str));
        let mut frame = BytesMut::new();
        let encoded = header.encode(&mut frame, header_version);
        encoded.expect("a header can be written");
        frame.extend_from_slice(body);
        self.push_frame(&frame);
    }

    /// Sends a whole frame and waits for nothing.
    pub fn push_frame(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).expect("a frame is small");
        let whole = [&length.to_be_bytes(), frame].concat();
        let address = self.address.clone();
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(&address).expect("the broker listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time");
            stream.set_nodelay(true).expect("an option");
            stream
        });
        // A broker that has closed is seen at the read.
        let _ = stream.write_all(&whole);
    }

    /// The next frame of the connection.
    pub fn next_frame(&mut self) -> Result<Bytes, &'static str> {
        let stream = self.stream.as_mut().expect("something was sent");
        let mut length = [0; 4];
        let read = stream.read_exact(&mut length).and_then(|()| {
            let length = usize::try_from(u32::from_be_bytes(length)).expect("fits");
            let mut frame = vec![0; length];
            stream.read_exact(&mut frame).map(|()| frame)
        });
        read.map(Bytes::from).map_err(|error| {
            self.stream = None;
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => SILENT,
                _ => CLOSED,
            }
        })
    }

    /// True for a topic of this case.
    pub fn is_own(&self, topic: &str) -> bool {
        let rest = topic.strip_prefix(&*self.prefix);
        rest.is_some_and(|rest| rest.starts_with('-'))
    }

    /// The number that the next request will have.
    pub fn next_number(&self) -> i32 {
        self.correlation_id + 1
    }

    /// Forgets the connection, so that the next request has a new one.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Asks until the answer is right, for at most [`SETTLING`]; the last answer.
    pub fn until<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        is_right: impl Fn(&R::Response) -> bool,
    ) -> R::Response {
        let began = Instant::now();
        loop {
            let answer = self.must(version, request);
            if is_right(&answer) || began.elapsed() > SETTLING {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes a topic of this case and waits until it can be used; its id.
    pub fn topic(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let name = self.name(topic);
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name((*name).to_owned().into())
                .with_value(Some((*value).to_owned().into()))
        });
        let create = CreateTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![
                CreatableTopic::default()
                    .with_name(name.clone())
                    .with_num_partitions(partitions)
                    .with_replication_factor(1)
                    .with_configs(configs.collect()),
            ]);
        let made = self.must(7, &create);
        let code = made.topics[0].error_code;
        assert_eq!(code, 0, "{name:?}: {:?}", made.topics[0].error_message);
        self.wait_for_topic(&name, partitions);
        made.topics[0].topic_id
    }

    /// Waits until a topic has so many partitions that all have a leader.
    pub fn wait_for_topic(&mut self, name: &TopicName, partitions: i32) {
        let named = MetadataRequestTopic::default().with_name(Some(name.clone()));
        let metadata = MetadataRequest::default()
            .with_topics(Some(vec![named]))
            .with_allow_auto_topic_creation(false);
        let is_there = |answer: &MetadataResponse| {
            let partitions = usize::try_from(partitions).expect("not negative");
            answer.topics.iter().all(|topic| {
                topic.error_code == 0
                    && topic.partitions.len() == partitions
                    && topic.partitions.iter().all(|one| one.error_code == 0)
            })
        };
        self.until(12, &metadata, is_there);
        // A broker of Kafka names itself the leader a moment before it is one.
        let ends = (0..partitions).map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(-1)
        });
        let topic = ListOffsetsTopic::default()
            .with_name(name.clone())
            .with_partitions(ends.collect());
        let offsets = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        self.until(1, &offsets, |answer| {
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.all(|one| one.error_code == 0)
        });
    }
}

/// The body of an answer, if all of the frame is one.
fn decode<R: Request>(mut frame: Bytes, version: i16, correlation_id: i32) -> Answer<R::Response> {
    let header_version = R::Response::header_version(version);
    let header = match ResponseHeader::decode(&mut frame, header_version) {
        Ok(header) => header,
        Err(error) => return Answer::Other(format!("(no header: {error})")),
    };
    if header.correlation_id != correlation_id {
        return Answer::Other("(the answer to another request)".to_owned());
    }
    match R::Response::decode(&mut frame, version) {
        Ok(body) if !frame.has_remaining() => Answer::Body(body),
        Ok(_) => Answer::Other(format!("({} bytes left over)", frame.remaining())),
        Err(error) => Answer::Other(format!("(not decoded: {error})")),
    }
}
