// SPDX-License-Identifier: Apache-2.0
//! Any bytes as the body of any message of any version. What is accepted must survive being written
//! and read again.
//!
//! Owns: one fuzz target. The first byte picks the message, the second its version.
//! Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz decode_message -- -max_total_time=60`.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use furlong::wire::codec::{Reader, Writer};
use furlong::wire::protocol::{
    Message, api_versions, create_topics, delete_topics, describe_cluster, describe_configs, fetch,
    find_coordinator, incremental_alter_configs, init_producer_id, list_offsets, metadata, produce,
};
use libfuzzer_sys::fuzz_target;

fn digest<M: Message + PartialEq + Debug>(body: Bytes, pick: u8) {
    let (first, last) = (*M::VERSIONS.start(), *M::VERSIONS.end());
    let version = first + i16::from(pick) % (last - first + 1);
    let Ok(message) = M::decode(&mut Reader::new(body), version) else {
        return;
    };
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("what was read can be written");
    let written = Bytes::from(writer.finish().concat());
    let again =
        M::decode(&mut Reader::new(written), version).expect("what was written can be read");
    assert_eq!(again, message);
}

macro_rules! messages {
    ($($module:ident::$message:ident,)*) => {
        const MESSAGES: &[fn(Bytes, u8)] = &[$(digest::<$module::$message>),*];
    };
}

messages! {
    produce::ProduceRequest, produce::ProduceResponse,
    fetch::FetchRequest, fetch::FetchResponse,
    list_offsets::ListOffsetsRequest, list_offsets::ListOffsetsResponse,
    metadata::MetadataRequest, metadata::MetadataResponse,
    find_coordinator::FindCoordinatorRequest, find_coordinator::FindCoordinatorResponse,
    api_versions::ApiVersionsRequest, api_versions::ApiVersionsResponse,
    create_topics::CreateTopicsRequest, create_topics::CreateTopicsResponse,
    delete_topics::DeleteTopicsRequest, delete_topics::DeleteTopicsResponse,
    init_producer_id::InitProducerIdRequest, init_producer_id::InitProducerIdResponse,
    describe_configs::DescribeConfigsRequest, describe_configs::DescribeConfigsResponse,
    incremental_alter_configs::IncrementalAlterConfigsRequest,
    incremental_alter_configs::IncrementalAlterConfigsResponse,
    describe_cluster::DescribeClusterRequest, describe_cluster::DescribeClusterResponse,
}

fuzz_target!(|data: &[u8]| {
    if let [which, version, body @ ..] = data {
        let message = MESSAGES[usize::from(*which) % MESSAGES.len()];
        message(Bytes::copy_from_slice(body), *version);
    }
});
