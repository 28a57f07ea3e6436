// SPDX-License-Identifier: Apache-2.0
//! Frames on disk: one of every API, direction and version, and some written by hand from Kafka's
//! message definitions.
//!
//! Owns: `tests/golden/wire/`. `FURLONG_REWRITE_GOLDEN=1` writes the generated ones anew; those
//! under `by_hand` are the work of a human and are never rewritten.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic, ListOffsetsTopicResponse,
};
use furlong::wire::protocol::metadata::MetadataRequest;
use furlong::wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use furlong::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use furlong::wire::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopic, WritableTxnMarkerTopicResult, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};
use furlong::wire::protocol::{
    Request, decode_request, decode_response, encode_request, encode_response,
};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::Decodable;

use super::cases::{self, CORRELATION_ID, Case};
use super::generate::{self, Source};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire")
}

/// `FetchRequest` becomes `fetch_request.hex`.
fn file_name(message: &str) -> String {
    let mut name = String::new();
    for letter in message.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name + ".hex"
}

fn hex_lines(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").expect("a string takes all text");
        }
        text.push('\n');
    }
    text
}

/// Bytes of hexadecimal text; `#` begins a comment and blanks do not count.
fn parse_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("the text was ASCII");
        u8::from_str_radix(pair, 16).expect("a golden file holds hexadecimal digits")
    };
    digits.chunks(2).map(pair).collect()
}

/// A frame of `version` with every field set and none at its default.
fn sample_frame(case: &Case, version: i16) -> Vec<u8> {
    let mut source = Source::Counter(0);
    let body = generate::message(&mut source, case.layout, version, case.is_flexible(version));
    (case.frame)(Bytes::from(body), version)
}

fn sample_file(case: &Case) -> String {
    let mut text = format!(
        "# {}: one frame per version, with length and header.\n",
        case.name
    );
    for version in case.versions.clone() {
        write!(
            text,
            "# v{version}\n{}",
            hex_lines(&sample_frame(case, version))
        )
        .expect("a string takes all text");
    }
    text
}

#[test]
fn every_message_of_every_version_is_written_as_it_was() {
    let rewrite = std::env::var_os("FURLONG_REWRITE_GOLDEN").is_some();
    for case in cases::all() {
        let path = folder().join(file_name(case.name));
        let now = sample_file(&case);
        if rewrite {
            std::fs::write(&path, &now).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            before == now,
            "{} has changed: {}",
            case.name,
            path.display()
        );
    }
}

#[test]
fn every_golden_frame_is_read_as_it_was_written() {
    for case in cases::all() {
        let text = std::fs::read_to_string(folder().join(file_name(case.name))).unwrap();
        let frames: Vec<&str> = text.split("# v").skip(1).collect();
        assert_eq!(frames.len(), case.versions.clone().count(), "{}", case.name);
        for (version, frame) in case.versions.clone().zip(frames) {
            let (number, digits) = frame.split_once('\n').unwrap();
            assert_eq!(number, version.to_string(), "{}", case.name);
            let frame = Bytes::from(parse_hex(digits));
            let length = i32::try_from(frame.len() - 4).unwrap();
            assert_eq!(frame[..4], length.to_be_bytes(), "{} v{version}", case.name);
            let again = (case.reframe)(frame.slice(4..), version).unwrap();
            assert_eq!(again, frame, "{} v{version}", case.name);
        }
    }
}

#[test]
fn the_other_implementation_reads_the_headers_of_all_golden_frames() {
    for case in cases::all() {
        for version in case.versions.clone() {
            let mut frame = Bytes::from(sample_frame(&case, version)).slice(4..);
            let flexible = i16::from(case.is_flexible(version));
            if case.name.ends_with("Request") {
                let header = RequestHeader::decode(&mut frame, 1 + flexible).unwrap();
                assert_eq!(header.request_api_key, case.api.code());
                assert_eq!(header.request_api_version, version);
                assert_eq!(header.correlation_id, CORRELATION_ID);
                assert_eq!(header.client_id.unwrap().as_str(), cases::CLIENT_ID);
            } else {
                let old = case.name == "ApiVersionsResponse";
                let header_version = if old { 0 } else { flexible };
                let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
                assert_eq!(header.correlation_id, CORRELATION_ID);
            }
            let body = (case.decode)(frame, version);
            assert_eq!(body, Ok(()), "{} v{version}", case.name);
        }
    }
}

fn by_hand(name: &str) -> Bytes {
    let path = folder().join("by_hand").join(name);
    Bytes::from(parse_hex(
        &std::fs::read_to_string(path).expect("the file is there"),
    ))
}

fn check_request<M: Request + PartialEq + std::fmt::Debug>(name: &str, version: i16, body: &M) {
    let frame = by_hand(name);
    let written = encode_request(7, "hand", version, body)
        .expect("the version has it all")
        .concat();
    assert_eq!(hex_lines(&written), hex_lines(&frame), "{name}");
    let (header, read) = decode_request::<M>(frame.slice(4..)).expect("the frame is valid");
    assert_eq!((header.api_version, header.correlation_id), (version, 7));
    assert_eq!(&read, body, "{name}");
}

#[test]
fn a_list_offsets_request_of_version_11_by_hand() {
    let partition = ListOffsetsPartition {
        partition_index: 2,
        current_leader_epoch: 5,
        timestamp: -6,
    };
    let topic = ListOffsetsTopic {
        name: "orders".into(),
        partitions: vec![partition],
    };
    let body = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![topic],
        timeout_ms: 30_000,
    };
    check_request("list_offsets_request_v11.hex", 11, &body);
}

#[test]
fn a_list_offsets_response_of_version_11_by_hand() {
    let partition = ListOffsetsPartitionResponse {
        partition_index: 2,
        error_code: 0,
        timestamp: 1_700_000_000_000,
        offset: 42,
        leader_epoch: 5,
    };
    let topic = ListOffsetsTopicResponse {
        name: "orders".into(),
        partitions: vec![partition],
    };
    let body = ListOffsetsResponse {
        throttle_time_ms: 0,
        topics: vec![topic],
    };
    let frame = by_hand("list_offsets_response_v11.hex");
    let written = encode_response(7, 11, &body).unwrap().concat();
    assert_eq!(hex_lines(&written), hex_lines(&frame));
    let (correlation_id, read) =
        decode_response::<ListOffsetsRequest>(frame.slice(4..), 11).unwrap();
    assert_eq!((correlation_id, read), (7, body));
}

#[test]
fn a_describe_log_dirs_response_of_version_5_by_hand() {
    let partition = DescribeLogDirsPartition {
        partition_index: 2,
        partition_size: 4096,
        ..DescribeLogDirsPartition::default()
    };
    let topic = DescribeLogDirsTopic {
        name: "orders".into(),
        partitions: vec![partition],
    };
    let directory = DescribeLogDirsResult {
        log_dir: "/var/logs".into(),
        topics: vec![topic],
        total_bytes: 8192,
        usable_bytes: 2048,
        is_cordoned: true,
        ..DescribeLogDirsResult::default()
    };
    let body = DescribeLogDirsResponse {
        results: vec![directory],
        ..DescribeLogDirsResponse::default()
    };
    let frame = by_hand("describe_log_dirs_response_v5.hex");
    let written = encode_response(7, 5, &body).unwrap().concat();
    assert_eq!(hex_lines(&written), hex_lines(&frame));
    let (correlation_id, read) =
        decode_response::<DescribeLogDirsRequest>(frame.slice(4..), 5).unwrap();
    assert_eq!((correlation_id, read), (7, body));
}

#[test]
fn a_metadata_request_for_all_topics_by_hand() {
    let body = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    check_request("metadata_request_v1.hex", 1, &body);
    check_request("metadata_request_v12.hex", 12, &body);
}

#[test]
fn an_api_versions_request_of_version_3_by_hand() {
    let body = ApiVersionsRequest {
        client_software_name: "librdkafka".into(),
        client_software_version: "2.16.0".into(),
    };
    check_request("api_versions_request_v3.hex", 3, &body);
}

#[test]
fn markers_of_version_2_by_hand() {
    let topic = WritableTxnMarkerTopic {
        name: "t".into(),
        partition_indexes: vec![3],
    };
    let marker = WritableTxnMarker {
        producer_id: 1000,
        producer_epoch: 5,
        transaction_result: true,
        topics: vec![topic],
        coordinator_epoch: 9,
        transaction_version: 2,
    };
    let body = WriteTxnMarkersRequest {
        markers: vec![marker],
    };
    check_request("write_txn_markers_request_v2.hex", 2, &body);
    let topic = WritableTxnMarkerTopicResult {
        name: "t".into(),
        partitions: vec![WritableTxnMarkerPartitionResult {
            partition_index: 3,
            error_code: 47,
        }],
    };
    let answer = WriteTxnMarkersResponse {
        markers: vec![WritableTxnMarkerResult {
            producer_id: 1000,
            topics: vec![topic],
        }],
    };
    let frame = by_hand("write_txn_markers_response_v2.hex");
    let written = encode_response(7, 2, &answer).expect("the version has it all");
    assert_eq!(hex_lines(&written.concat()), hex_lines(&frame));
    let read = decode_response::<WriteTxnMarkersRequest>(frame.slice(4..), 2);
    assert_eq!(read.expect("the frame is valid"), (7, answer));
}

#[test]
fn a_fetch_of_a_follower_by_hand() {
    let partition = FetchPartition {
        partition: 3,
        current_leader_epoch: 9,
        fetch_offset: 1000,
        last_fetched_epoch: 8,
        log_start_offset: 10,
        partition_max_bytes: 1 << 20,
        replica_directory_id: Uuid([0xd1; 16]),
        high_watermark: 990,
    };
    let topic = FetchTopic {
        topic_id: Uuid([0x70; 16]),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    let body = FetchRequest {
        replica_state: ReplicaState {
            replica_id: 2,
            replica_epoch: 77,
        },
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 10 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    check_request("fetch_request_v18.hex", 18, &body);
}

#[test]
fn an_offset_commit_request_of_version_10_by_hand() {
    let partition = OffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 42,
        committed_leader_epoch: 5,
        committed_metadata: Some("m".into()),
    };
    let topic = OffsetCommitRequestTopic {
        topic_id: Uuid([0x70; 16]),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let body = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 7,
        member_id: "me".into(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    check_request("offset_commit_request_v10.hex", 10, &body);
}

#[test]
fn an_offset_fetch_of_version_10_by_hand() {
    let topic = OffsetFetchRequestTopics {
        topic_id: Uuid([0x70; 16]),
        partition_indexes: vec![3],
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let body = OffsetFetchRequest {
        groups: vec![group],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    check_request("offset_fetch_request_v10.hex", 10, &body);
    let partition = OffsetFetchResponsePartitions {
        partition_index: 3,
        committed_offset: 42,
        committed_leader_epoch: 5,
        metadata: Some("m".into()),
        error_code: 0,
    };
    let topic = OffsetFetchResponseTopics {
        topic_id: Uuid([0x70; 16]),
        partitions: vec![partition],
        ..OffsetFetchResponseTopics::default()
    };
    let group = OffsetFetchResponseGroup {
        group_id: "g".into(),
        topics: vec![topic],
        error_code: 0,
    };
    let body = OffsetFetchResponse {
        groups: vec![group],
        ..OffsetFetchResponse::default()
    };
    let frame = by_hand("offset_fetch_response_v10.hex");
    let written = encode_response(7, 10, &body).unwrap().concat();
    assert_eq!(hex_lines(&written), hex_lines(&frame));
    let (correlation_id, read) =
        decode_response::<OffsetFetchRequest>(frame.slice(4..), 10).unwrap();
    assert_eq!((correlation_id, read), (7, body));
}
