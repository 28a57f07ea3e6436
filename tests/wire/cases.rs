// SPDX-License-Identifier: Apache-2.0
//! Every message of every API in one table, beside its counterpart in the crate `kafka-protocol`.
//!
//! Owns: the table. Invariants: each described API has two rows, its request and its response.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use furlong::wire::codec::{DecodeError, EncodeError, Reader, Writer};
use furlong::wire::protocol::describe::{Layout, WireStruct};
use furlong::wire::protocol::{
    ApiKey, Message, Request, decode_request, decode_response, encode_request, encode_response,
};
use furlong::wire::protocol::{
    add_offsets_to_txn, add_partitions_to_txn, alter_client_quotas, alter_configs, api_versions,
    consumer_group_describe, consumer_group_heartbeat, create_partitions, create_topics,
    delete_groups, delete_records, delete_topics, describe_client_quotas, describe_cluster,
    describe_configs, describe_groups, describe_log_dirs, describe_producers, describe_quorum,
    describe_topic_partitions, describe_transactions, describe_user_scram_credentials, end_txn,
    fetch, find_coordinator, heartbeat, incremental_alter_configs, init_producer_id, join_group,
    leave_group, list_config_resources, list_groups, list_offsets, list_transactions, metadata,
    offset_commit, offset_delete, offset_fetch, offset_for_leader_epoch, produce, sync_group,
    txn_offset_commit, update_features, write_txn_markers,
};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};

/// A message as both implementations see it, its type forgotten.
pub struct Case {
    /// The name of the message.
    pub name: &'static str,
    /// Its API.
    pub api: ApiKey,
    /// Its layout.
    pub layout: &'static Layout,
    /// The versions described here.
    pub versions: RangeInclusive<i16>,
    /// The versions the other implementation knows.
    pub their_versions: RangeInclusive<i16>,
    /// Reads a body of one version and writes it in another; also says how it looks.
    pub convert: fn(Bytes, i16, i16) -> Result<Converted, DecodeError>,
    /// The same by the other implementation.
    pub convert_theirs: fn(Bytes, i16, i16) -> Option<Their>,
    /// Reads a body and gives back whether that worked.
    pub decode: fn(Bytes, i16) -> Result<(), DecodeError>,
    /// The whole frame of a body, with header and length prefix.
    pub frame: fn(Bytes, i16) -> Vec<u8>,
    /// Reads a whole frame behind its length prefix and writes it again.
    pub reframe: fn(Bytes, i16) -> Result<Vec<u8>, DecodeError>,
}

/// The correlation id of every frame of [`Case::frame`].
pub const CORRELATION_ID: i32 = 0x0102_0304;

/// The client id of every frame of [`Case::frame`].
pub const CLIENT_ID: &str = "furlong";

/// What became of a body.
pub struct Converted {
    /// The value in text.
    pub shown: String,
    /// The value in bytes of the other version.
    pub bytes: Result<Vec<u8>, EncodeError>,
}

/// What the other implementation made of a body.
pub struct Their {
    /// The value in text.
    pub shown: String,
    /// The value in bytes of the other version, or what it says.
    pub bytes: Result<Vec<u8>, String>,
}

impl Case {
    /// Whether lengths are compact in `version`.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.api.flexible_from()
    }
}

fn convert<M: Message + std::fmt::Debug>(
    body: Bytes,
    from: i16,
    to: i16,
) -> Result<Converted, DecodeError> {
    let message = M::decode(&mut Reader::new(body), from)?;
    let mut writer = Writer::new();
    let result = message.encode(&mut writer, to);
    let bytes = result.map(|()| writer.finish().concat());
    Ok(Converted {
        shown: format!("{message:?}"),
        bytes,
    })
}

fn convert_theirs<M: Decodable + Encodable + std::fmt::Debug>(
    mut body: Bytes,
    from: i16,
    to: i16,
) -> Option<Their> {
    let message = M::decode(&mut body, from).ok()?;
    assert!(
        body.is_empty(),
        "the other implementation leaves {} bytes",
        body.len()
    );
    let mut out = BytesMut::new();
    let bytes = message
        .encode(&mut out, to)
        .map(|()| out.to_vec())
        .map_err(|e| e.to_string());
    Some(Their {
        shown: format!("{message:?}"),
        bytes,
    })
}

fn decode<M: Message>(body: Bytes, version: i16) -> Result<(), DecodeError> {
    M::decode(&mut Reader::new(body), version).map(drop)
}

fn request_frame<M: Request>(body: Bytes, version: i16) -> Vec<u8> {
    let message = M::decode(&mut Reader::new(body), version).expect("the body is valid");
    let frame = encode_request(CORRELATION_ID, CLIENT_ID, version, &message);
    frame.expect("what was read can be written").concat()
}

fn request_reframe<M: Request>(frame: Bytes, version: i16) -> Result<Vec<u8>, DecodeError> {
    let (header, message) = decode_request::<M>(frame)?;
    assert_eq!((header.api_key, header.api_version), (M::API_KEY, version));
    assert_eq!(header.correlation_id, CORRELATION_ID);
    assert_eq!(header.client_id.as_deref(), Some(CLIENT_ID));
    let frame = encode_request(CORRELATION_ID, CLIENT_ID, version, &message);
    Ok(frame.expect("what was read can be written").concat())
}

fn response_frame<M: Request>(body: Bytes, version: i16) -> Vec<u8> {
    let message = M::Response::decode(&mut Reader::new(body), version).expect("the body is valid");
    let frame = encode_response(CORRELATION_ID, version, &message);
    frame.expect("what was read can be written").concat()
}

fn response_reframe<M: Request>(frame: Bytes, version: i16) -> Result<Vec<u8>, DecodeError> {
    let (correlation_id, message) = decode_response::<M>(frame, version)?;
    assert_eq!(correlation_id, CORRELATION_ID);
    let frame = encode_response(CORRELATION_ID, version, &message);
    Ok(frame.expect("what was read can be written").concat())
}

macro_rules! cases {
    ($($api:ident: $module:ident::{$request:ident, $response:ident};)*) => {
        /// The table.
        pub fn all() -> Vec<Case> {
            vec![ $(
                cases!(@row $api, $module::$request, $request,
                    request_frame::<$module::$request>, request_reframe::<$module::$request>),
                cases!(@row $api, $module::$response, $response,
                    response_frame::<$module::$request>, response_reframe::<$module::$request>),
            )* ]
        }
    };
    (@row $api:ident, $ours:path, $theirs:ident, $frame:expr, $reframe:expr) => {
        Case {
            name: stringify!($theirs),
            api: ApiKey::$api,
            layout: &<$ours>::LAYOUT,
            versions: <$ours>::VERSIONS,
            their_versions: {
                let range = <theirs::$theirs as TheirMessage>::VERSIONS;
                range.min..=range.max
            },
            convert: convert::<$ours>,
            convert_theirs: convert_theirs::<theirs::$theirs>,
            decode: decode::<$ours>,
            frame: $frame,
            reframe: $reframe,
        }
    };
}

cases! {
    Produce: produce::{ProduceRequest, ProduceResponse};
    Fetch: fetch::{FetchRequest, FetchResponse};
    ListOffsets: list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
    Metadata: metadata::{MetadataRequest, MetadataResponse};
    FindCoordinator: find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
    ApiVersions: api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    CreateTopics: create_topics::{CreateTopicsRequest, CreateTopicsResponse};
    DeleteTopics: delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
    InitProducerId: init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
    DescribeConfigs: describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
    IncrementalAlterConfigs: incremental_alter_configs::{
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse
    };
    DescribeCluster: describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
    DeleteRecords: delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
    OffsetForLeaderEpoch: offset_for_leader_epoch::{
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
    };
    AlterConfigs: alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
    DescribeLogDirs: describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
    CreatePartitions: create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
    DescribeClientQuotas: describe_client_quotas::{
        DescribeClientQuotasRequest, DescribeClientQuotasResponse
    };
    AlterClientQuotas: alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse};
    DescribeUserScramCredentials: describe_user_scram_credentials::{
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse
    };
    DescribeQuorum: describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
    UpdateFeatures: update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};
    DescribeProducers: describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
    ListConfigResources: list_config_resources::{
        ListConfigResourcesRequest, ListConfigResourcesResponse
    };
    DescribeTopicPartitions: describe_topic_partitions::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse
    };
    OffsetCommit: offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
    OffsetFetch: offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
    JoinGroup: join_group::{JoinGroupRequest, JoinGroupResponse};
    Heartbeat: heartbeat::{HeartbeatRequest, HeartbeatResponse};
    LeaveGroup: leave_group::{LeaveGroupRequest, LeaveGroupResponse};
    SyncGroup: sync_group::{SyncGroupRequest, SyncGroupResponse};
    DescribeGroups: describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
    ListGroups: list_groups::{ListGroupsRequest, ListGroupsResponse};
    DeleteGroups: delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
    OffsetDelete: offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
    ConsumerGroupHeartbeat: consumer_group_heartbeat::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse
    };
    ConsumerGroupDescribe: consumer_group_describe::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse
    };
    AddPartitionsToTxn: add_partitions_to_txn::{
        AddPartitionsToTxnRequest, AddPartitionsToTxnResponse
    };
    AddOffsetsToTxn: add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
    EndTxn: end_txn::{EndTxnRequest, EndTxnResponse};
    WriteTxnMarkers: write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
    TxnOffsetCommit: txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
    DescribeTransactions: describe_transactions::{
        DescribeTransactionsRequest, DescribeTransactionsResponse
    };
    ListTransactions: list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
}

#[test]
fn every_api_has_its_two_rows() {
    let cases = all();
    for api in ApiKey::ALL {
        assert_eq!(
            cases.iter().filter(|case| case.api == *api).count(),
            2,
            "{}",
            api.name()
        );
    }
    assert_eq!(cases.len(), 2 * ApiKey::ALL.len());
}
