// SPDX-License-Identifier: Apache-2.0
//! A small blocking client over the library's own messages, and one that speaks raw bytes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use furlong::wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use furlong::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use furlong::wire::protocol::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use furlong::wire::protocol::{Request, decode_response, encode_request};
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::process::PATIENCE;

/// One connection.
pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connects.
    pub fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        stream.set_nodelay(true).expect("it is TCP");
        Client {
            stream,
            correlation_id: 0,
        }
    }

    /// Sends a request and waits for its answer.
    pub fn call<R: Request>(&mut self, version: i16, body: &R) -> R::Response {
        self.correlation_id += 1;
        let id = self.correlation_id;
        let parts = encode_request(id, "test", version, body).expect("the version can say it");
        for part in parts {
            self.stream.write_all(&part).expect("the broker reads");
        }
        let frame = self.read_frame().expect("an answer");
        let (answered, response) = decode_response::<R>(frame, version).expect("a sound answer");
        assert_eq!(answered, id, "answers come in the order of requests");
        response
    }

    /// Sends bytes as they are. The broker may have closed by then.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes with a true length before them.
    pub fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).expect("a frame is small");
        self.send(&[&length.to_be_bytes()[..], frame].concat())
    }

    /// The next answer without its length field; an error once the broker has closed.
    pub fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Makes a topic.
    pub fn create_topic(&mut self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Makes a topic with these settings.
    pub fn create_topic_with(&mut self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let setting = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: settings.iter().map(setting).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let response = self.call(7, &request);
        let outcome = &response.topics[0];
        assert_eq!(outcome.error_code, 0, "{:?}", outcome.error_message);
    }

    /// Changes one setting of a topic; `None` takes it away.
    pub fn alter_topic(&mut self, topic: &str, name: &str, value: Option<&str>) {
        self.alter(2, topic, name, value);
    }

    /// Changes one setting of all brokers; `None` takes it away.
    pub fn alter_brokers(&mut self, name: &str, value: Option<&str>) {
        self.alter(4, "", name, value);
    }

    fn alter(&mut self, resource_type: i8, resource: &str, name: &str, value: Option<&str>) {
        let change = AlterableConfig {
            name: name.into(),
            config_operation: if value.is_some() { 0 } else { 1 },
            value: value.map(Into::into),
        };
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: resource.into(),
            configs: vec![change],
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource],
            validate_only: false,
        };
        let response = self.call(1, &request);
        let outcome = &response.responses[0];
        assert_eq!(outcome.error_code, 0, "{:?}", outcome.error_message);
    }

    /// Writes batches, as they are, to one partition with `acks=all`.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let request = produce_request(topic, partition, batch);
        let mut response = self.call(9, &request);
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Writes these values as one batch; gives the offset of the first.
    pub fn produce_values(&mut self, topic: &str, partition: i32, values: &[String]) -> i64 {
        let answer = self.produce(topic, partition, batch_of(values));
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// Reads once from one partition.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let mut response = self.call(11, &fetch_request(topic, partition, offset));
        assert_eq!(response.error_code, 0);
        response.responses.remove(0).partitions.remove(0)
    }

    /// Every record of a partition: its offset and its value.
    pub fn read_all(&mut self, topic: &str, partition: i32) -> Vec<(i64, String)> {
        let mut found: Vec<(i64, String)> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let next = found.last().map_or(0, |(offset, _)| offset + 1);
            let data = self.fetch(topic, partition, next);
            assert_eq!(data.error_code, 0, "reading {topic}-{partition} at {next}");
            for batch in split_batches(&data.records.unwrap_or_default()) {
                let batch = batch.expect("whole batches");
                let opened = records(&batch, 1 << 26).expect("a sound batch");
                let views = opened.iter().map(|record| record.expect("a sound record"));
                found.extend(views.filter(|record| record.offset >= next).map(|record| {
                    let value = record.value.expect("a value");
                    (record.offset, String::from_utf8_lossy(value).into_owned())
                }));
            }
            let next = found.last().map_or(0, |(offset, _)| offset + 1);
            if next == data.high_watermark {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{next} of {}",
                data.high_watermark
            );
        }
    }

    /// What the broker says about one topic.
    pub fn metadata(&mut self, topic: &str) -> MetadataResponse {
        let topic = MetadataRequestTopic {
            name: Some(topic.into()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.call(9, &request)
    }

    /// The leader epoch of a partition.
    pub fn leader_epoch(&mut self, topic: &str, partition: i32) -> i32 {
        let metadata = self.metadata(topic);
        let partitions = &metadata.topics[0].partitions;
        let found = partitions.iter().find(|p| p.partition_index == partition);
        found.expect("the partition is there").leader_epoch
    }

    /// Waits until the broker closes or has been silent for a while; true if it closed.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a timeout can be set");
        let mut buffer = [0; 65536];
        let closed = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        closed
    }
}

/// One batch of these values.
pub fn batch_of(values: &[String]) -> Bytes {
    let mut batch = BatchBuilder::new(Compression::None);
    for value in values {
        batch.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    }
    batch.build()
}

/// A request that writes batches to one partition with `acks=all`.
pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData {
        index: partition,
        records: Some(batch),
    };
    let topic = TopicProduceData {
        name: topic.into(),
        partition_data: vec![data],
        ..Default::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// A request that reads one partition from an offset on.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: topic.into(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_bytes: 1 << 24,
        topics: vec![topic],
        ..Default::default()
    }
}
