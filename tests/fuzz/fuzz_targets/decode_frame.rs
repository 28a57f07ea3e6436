// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a whole request frame: the header picks API and version, as it does on a socket.
//!
//! Owns: one fuzz target.
//! Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz decode_frame -- -max_total_time=60`.

#![no_main]

use bytes::Bytes;
use furlong::wire::codec::{DecodeError, Reader};
use furlong::wire::protocol::{
    ApiKey, Message, api_versions, create_topics, decode_request_header, delete_topics,
    describe_cluster, describe_configs, fetch, find_coordinator, incremental_alter_configs,
    init_producer_id, list_offsets, metadata, produce,
};
use libfuzzer_sys::fuzz_target;

fn body<M: Message>(reader: &mut Reader, version: i16) -> Result<(), DecodeError> {
    M::decode(reader, version).map(drop)
}

fn frame(data: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let header = decode_request_header(&mut reader)?;
    let read = match ApiKey::from_code(header.api_key) {
        Some(ApiKey::Produce) => body::<produce::ProduceRequest>,
        Some(ApiKey::Fetch) => body::<fetch::FetchRequest>,
        Some(ApiKey::ListOffsets) => body::<list_offsets::ListOffsetsRequest>,
        Some(ApiKey::Metadata) => body::<metadata::MetadataRequest>,
        Some(ApiKey::FindCoordinator) => body::<find_coordinator::FindCoordinatorRequest>,
        Some(ApiKey::ApiVersions) => body::<api_versions::ApiVersionsRequest>,
        Some(ApiKey::CreateTopics) => body::<create_topics::CreateTopicsRequest>,
        Some(ApiKey::DeleteTopics) => body::<delete_topics::DeleteTopicsRequest>,
        Some(ApiKey::InitProducerId) => body::<init_producer_id::InitProducerIdRequest>,
        Some(ApiKey::DescribeConfigs) => body::<describe_configs::DescribeConfigsRequest>,
        Some(ApiKey::IncrementalAlterConfigs) => {
            body::<incremental_alter_configs::IncrementalAlterConfigsRequest>
        }
        Some(ApiKey::DescribeCluster) => body::<describe_cluster::DescribeClusterRequest>,
        None => return Ok(()),
    };
    read(&mut reader, header.api_version)
}

fuzz_target!(|data: &[u8]| {
    let _ = frame(data);
});
