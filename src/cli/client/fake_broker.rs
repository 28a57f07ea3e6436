// SPDX-License-Identifier: Apache-2.0
//! A broker for tests: one topic in memory, on a loopback port, with faults on demand.
//!
//! Owns: the batches it took. Invariants: it checks sequence numbers as a broker does, so a client
//! that repeats or reorders batches is noticed. Runs on: a thread per connection.
//! Bounded by: what a test sends.

use crate::model::error_code::ErrorCode;
use crate::wire::codec::Reader;
use crate::wire::protocol::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::protocol::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use crate::wire::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::protocol::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::wire::protocol::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use crate::wire::protocol::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::wire::protocol::{ApiKey, Message, decode_request_header, encode_response};
use crate::wire::record::{
    BatchHeader, BatchRules, patch_offsets, records, split_batches, validate_batch,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The topic that it has.
pub(crate) const TOPIC: &str = "garden";

/// What goes wrong with one produce request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is answered with this code and not stored.
    Refuse(i16),
    /// The connection closes before it is stored.
    LoseRequest,
    /// It is stored, and the connection closes before the answer.
    LoseAnswer,
}

/// What the broker holds.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The batches of each partition, with their offsets.
    pub(crate) logs: BTreeMap<i32, Vec<Bytes>>,
    /// Faults by number of the produce request.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// Produce requests so far.
    pub(crate) produce_requests: u64,
    /// Fetches until the connection closes; `None` for never.
    pub(crate) fetches_left: Option<u64>,
    /// Answers ApiVersions 3 as brokers did that only knew older ones.
    pub(crate) is_old: bool,
    /// Answers to Metadata that do not know the topic yet.
    pub(crate) unknown_metadata: u64,
    next_sequence: BTreeMap<(i32, i64), i32>,
    port: i32,
}

/// A running fake broker. Its threads end with the test.
#[derive(Debug)]
pub(crate) struct FakeBroker {
    pub(crate) address: String,
    pub(crate) state: Arc<Mutex<State>>,
}

impl FakeBroker {
    pub(crate) fn start(partitions: i32) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            logs: (0..partitions)
                .map(|partition| (partition, Vec::new()))
                .collect(),
            port: i32::from(address.port()),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        FakeBroker {
            address: address.to_string(),
            state,
        }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().expect("no thread of it panics"))
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let Some(answer) = answer(Bytes::from(frame), state) else {
            return;
        };
        for part in answer {
            if stream.write_all(&part).is_err() {
                return;
            }
        }
    }
}

/// The answer to a request; none closes the connection, an empty one is that of acks=0.
fn answer(frame: Bytes, state: &Mutex<State>) -> Option<Vec<Bytes>> {
    let mut reader = Reader::new(frame);
    let header = decode_request_header(&mut reader).expect("the client writes headers");
    let (id, version) = (header.correlation_id, header.api_version);
    let api = ApiKey::from_code(header.api_key).expect("a known API");
    let mut state = state.lock().expect("no thread panics");
    let state = &mut *state;
    if api == ApiKey::ApiVersions && state.is_old && version > 2 {
        let old = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ApiVersionsResponse::default()
        };
        return Some(encode_response(id, 0, &old).expect("it encodes"));
    }
    macro_rules! handle {
        ($request:ty, $handler:expr) => {{
            let request = <$request>::decode(&mut reader, version).expect("it decodes");
            let answer = $handler(state, request)?;
            encode_response(id, version, &answer).expect("it encodes")
        }};
    }
    Some(match api {
        ApiKey::ApiVersions => handle!(ApiVersionsRequest, api_versions),
        ApiKey::Metadata => handle!(MetadataRequest, metadata),
        ApiKey::InitProducerId => handle!(InitProducerIdRequest, init_producer_id),
        ApiKey::ListOffsets => handle!(ListOffsetsRequest, list_offsets),
        ApiKey::Fetch => handle!(FetchRequest, fetch),
        ApiKey::Produce => {
            let request = ProduceRequest::decode(&mut reader, version).expect("it decodes");
            let acks = request.acks;
            let answer = produce(state, &request)?;
            if acks == 0 {
                return Some(Vec::new());
            }
            encode_response(id, version, &answer).expect("it encodes")
        }
        _ => return None,
    })
}

fn api_versions(_: &mut State, _: ApiVersionsRequest) -> Option<ApiVersionsResponse> {
    let api_keys = ApiKey::ALL.iter().map(|api| ApiVersion {
        api_key: api.code(),
        min_version: *api.versions().start(),
        max_version: *api.versions().end(),
    });
    Some(ApiVersionsResponse {
        api_keys: api_keys.collect(),
        ..ApiVersionsResponse::default()
    })
}

fn metadata(state: &mut State, request: MetadataRequest) -> Option<MetadataResponse> {
    let partitions = state
        .logs
        .keys()
        .map(|partition| MetadataResponsePartition {
            partition_index: *partition,
            leader_id: 1,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..MetadataResponsePartition::default()
        });
    let partitions: Vec<_> = partitions.collect();
    let is_known = state.unknown_metadata == 0;
    state.unknown_metadata = state.unknown_metadata.saturating_sub(1);
    let topic_of = |name: &str| MetadataResponseTopic {
        error_code: if name == TOPIC && is_known {
            0
        } else {
            ErrorCode::UnknownTopicOrPartition.code()
        },
        name: Some(name.into()),
        partitions: if name == TOPIC && is_known {
            partitions.clone()
        } else {
            Vec::new()
        },
        ..MetadataResponseTopic::default()
    };
    let names = request.topics.unwrap_or_default();
    Some(MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: "127.0.0.1".into(),
            port: state.port,
            ..MetadataResponseBroker::default()
        }],
        topics: names
            .iter()
            .map(|one| topic_of(one.name.as_deref().unwrap_or("")))
            .collect(),
        ..MetadataResponse::default()
    })
}

fn init_producer_id(_: &mut State, _: InitProducerIdRequest) -> Option<InitProducerIdResponse> {
    Some(InitProducerIdResponse {
        producer_id: 4000,
        ..InitProducerIdResponse::default()
    })
}

fn end_of(log: &[Bytes]) -> i64 {
    log.last().map_or(0, |batch| {
        BatchHeader::parse(batch).expect("stored").last_offset() + 1
    })
}

/// The first offset whose record is of this moment or later, -1 if there is none.
fn offset_at(log: &[Bytes], moment: i64) -> i64 {
    for batch in log {
        let opened = records(batch, 1 << 30).expect("stored batches are sound");
        for record in &opened {
            let record = record.expect("stored records are sound");
            if record.timestamp >= moment {
                return record.offset;
            }
        }
    }
    -1
}

fn list_offsets(state: &mut State, request: ListOffsetsRequest) -> Option<ListOffsetsResponse> {
    let asked = request
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let partitions = asked.map(|one| ListOffsetsPartitionResponse {
        partition_index: one.partition_index,
        offset: match one.timestamp {
            -1 => end_of(&state.logs[&one.partition_index]),
            -2 => 0,
            moment => offset_at(&state.logs[&one.partition_index], moment),
        },
        ..ListOffsetsPartitionResponse::default()
    });
    let partitions = partitions.collect();
    Some(ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: TOPIC.into(),
            partitions,
        }],
        ..ListOffsetsResponse::default()
    })
}

fn fetch(state: &mut State, request: FetchRequest) -> Option<FetchResponse> {
    if let Some(left) = &mut state.fetches_left {
        *left = left.checked_sub(1)?;
    }
    let mut is_empty = true;
    let asked = request
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let data = asked.map(|one| {
        let log = &state.logs[&one.partition];
        let wanted = |batch: &&Bytes| {
            BatchHeader::parse(batch).expect("stored").last_offset() >= one.fetch_offset
        };
        // Two batches at a time, so that a test needs several fetches; then half of a third.
        let mut found: Vec<Bytes> = log.iter().filter(wanted).take(3).cloned().collect();
        if let Some(third) = found.get_mut(2) {
            third.truncate(third.len() / 2);
        }
        is_empty &= found.is_empty();
        PartitionData {
            partition_index: one.partition,
            high_watermark: end_of(log),
            records: Some(Bytes::from(found.concat())),
            ..PartitionData::default()
        }
    });
    let partitions: Vec<_> = data.collect();
    if is_empty {
        std::thread::sleep(Duration::from_millis(5));
    }
    let topic = TOPIC.into();
    Some(FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic,
            partitions,
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    })
}

fn produce(state: &mut State, request: &ProduceRequest) -> Option<ProduceResponse> {
    let fault = state.faults.get(&state.produce_requests).copied();
    state.produce_requests += 1;
    if matches!(fault, Some(Fault::LoseRequest)) {
        return None;
    }
    let mut results = Vec::new();
    for data in request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
    {
        let error_code = match fault {
            Some(Fault::Refuse(code)) => code,
            _ => append(state, data.index, data.records.as_ref().expect("records")).code(),
        };
        results.push(PartitionProduceResponse {
            index: data.index,
            error_code,
            ..PartitionProduceResponse::default()
        });
    }
    if matches!(fault, Some(Fault::LoseAnswer)) {
        return None;
    }
    Some(ProduceResponse {
        responses: vec![TopicProduceResponse {
            name: TOPIC.into(),
            partition_responses: results,
            ..TopicProduceResponse::default()
        }],
        ..ProduceResponse::default()
    })
}

fn append(state: &mut State, partition: i32, records: &Bytes) -> ErrorCode {
    for batch in split_batches(records) {
        let batch = batch.expect("whole batches");
        let header = validate_batch(&batch, &BatchRules::CLIENT).expect("valid batches");
        if header.producer_id >= 0 {
            let next = state
                .next_sequence
                .entry((partition, header.producer_id))
                .or_default();
            if header.last_sequence() < *next {
                return ErrorCode::None;
            }
            if header.base_sequence != *next {
                return ErrorCode::OutOfOrderSequenceNumber;
            }
            *next = header.last_sequence() + 1;
        }
        let log = state.logs.get_mut(&partition).expect("a partition it has");
        let mut stored = batch.to_vec();
        patch_offsets(&mut stored, end_of(log), 0);
        log.push(Bytes::from(stored));
    }
    ErrorCode::None
}
