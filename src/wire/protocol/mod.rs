// SPDX-License-Identifier: Apache-2.0
//! Kafka's request and response messages: one description per API, all versions of Apache Kafka 4.3
//! that are stable.
//!
//! Owns: the messages, their keys, the frames around them.
//! Invariants: decoding is total and bounded; what a version cannot say is dropped only where Kafka
//! drops it.
//! Runs on: every core. Bounded by: `limits`, by the `max` of each array field.

pub mod describe;
mod frame;

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use crate::wire::codec::{DecodeError, EncodeError, Reader, Writer};
use describe::{Place, WireStruct};

pub use frame::{
    EncodedResponse, RequestHeader, decode_request, decode_request_header, decode_response,
    encode_request, encode_response, encode_response_into,
};

/// The body of a request or a response.
pub trait Message: Default {
    /// The number of its API.
    const API_KEY: i16;
    /// The versions that can be read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// Reads a body, which must be all that is left.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Likewise, over this one, whose lists keep their memory. After an error it is any body.
    fn decode_over(&mut self, reader: &mut Reader, version: i16) -> Result<(), DecodeError>;

    /// Lets go of what it shares with a frame, and keeps the memory of its lists.
    fn release(&mut self);

    /// Writes a body.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// The body of a request.
pub trait Request: Message {
    /// The body of its answer.
    type Response: Message;
}

macro_rules! api_keys {
    ($($(#[$doc:meta])* $name:ident = $key:literal: $module:ident::$request:ident,)*) => {
        /// An API of this broker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey { $($(#[$doc])* $name = $key,)* }

        impl ApiKey {
            /// Every API, by rising number.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this number, if it is described here.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<ApiKey> {
                match code { $($key => Some(ApiKey::$name),)* _ => None }
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self { $(ApiKey::$name => $key,)* }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ApiKey::$name => stringify!($name),)* }
            }

            /// The versions that can be read and written.
            #[must_use]
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self { $(ApiKey::$name => <$module::$request as Message>::VERSIONS,)* }
            }

            /// True if the body of an answer in this version begins with the time for which its
            /// client is held back.
            #[must_use]
            pub fn begins_with_throttle_time(self, version: i16) -> bool {
                let layout = match self {
                    $(ApiKey::$name => {
                        <<$module::$request as Request>::Response as WireStruct>::LAYOUT
                    })*
                };
                let mut in_body = layout.fields.iter();
                let first = in_body.find(|field| field.rules.in_body(version));
                first.is_some_and(|field| field.name == "throttle_time_ms")
            }

            /// The first version with compact lengths and tagged fields.
            #[must_use]
            pub const fn flexible_from(self) -> i16 {
                match self { $(ApiKey::$name => <$module::$request as Message>::FLEXIBLE_FROM,)* }
            }
        }
    };
}

api_keys! {
    /// Appends record batches.
    Produce = 0: produce::ProduceRequest,
    /// Reads record batches.
    Fetch = 1: fetch::FetchRequest,
    /// Finds offsets by timestamp.
    ListOffsets = 2: list_offsets::ListOffsetsRequest,
    /// Names brokers, topics and leaders.
    Metadata = 3: metadata::MetadataRequest,
    /// Notes how far a group has come.
    OffsetCommit = 8: offset_commit::OffsetCommitRequest,
    /// Tells how far groups have come.
    OffsetFetch = 9: offset_fetch::OffsetFetchRequest,
    /// Names the broker that coordinates a group or transaction.
    FindCoordinator = 10: find_coordinator::FindCoordinatorRequest,
    /// Makes a client a member of a group.
    JoinGroup = 11: join_group::JoinGroupRequest,
    /// Keeps a client a member of its group.
    Heartbeat = 12: heartbeat::HeartbeatRequest,
    /// Takes members out of a group.
    LeaveGroup = 13: leave_group::LeaveGroupRequest,
    /// Hands out the assignment of a group.
    SyncGroup = 14: sync_group::SyncGroupRequest,
    /// Describes groups.
    DescribeGroups = 15: describe_groups::DescribeGroupsRequest,
    /// Lists groups.
    ListGroups = 16: list_groups::ListGroupsRequest,
    /// Names the versions of every API.
    ApiVersions = 18: api_versions::ApiVersionsRequest,
    /// Creates topics.
    CreateTopics = 19: create_topics::CreateTopicsRequest,
    /// Deletes topics.
    DeleteTopics = 20: delete_topics::DeleteTopicsRequest,
    /// Removes the oldest records.
    DeleteRecords = 21: delete_records::DeleteRecordsRequest,
    /// Hands out a producer id.
    InitProducerId = 22: init_producer_id::InitProducerIdRequest,
    /// Finds where leader epochs end.
    OffsetForLeaderEpoch = 23: offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    /// Adds partitions to a transaction.
    AddPartitionsToTxn = 24: add_partitions_to_txn::AddPartitionsToTxnRequest,
    /// Adds a group to a transaction.
    AddOffsetsToTxn = 25: add_offsets_to_txn::AddOffsetsToTxnRequest,
    /// Ends a transaction.
    EndTxn = 26: end_txn::EndTxnRequest,
    /// Ends transactions in partitions.
    WriteTxnMarkers = 27: write_txn_markers::WriteTxnMarkersRequest,
    /// Notes how far a group has come, in a transaction.
    TxnOffsetCommit = 28: txn_offset_commit::TxnOffsetCommitRequest,
    /// Reads configurations.
    DescribeConfigs = 32: describe_configs::DescribeConfigsRequest,
    /// Replaces configurations.
    AlterConfigs = 33: alter_configs::AlterConfigsRequest,
    /// Tells how much each partition takes of the disk.
    DescribeLogDirs = 35: describe_log_dirs::DescribeLogDirsRequest,
    /// Adds partitions to topics.
    CreatePartitions = 37: create_partitions::CreatePartitionsRequest,
    /// Deletes groups.
    DeleteGroups = 42: delete_groups::DeleteGroupsRequest,
    /// Changes configurations.
    IncrementalAlterConfigs = 44: incremental_alter_configs::IncrementalAlterConfigsRequest,
    /// Forgets how far a group has come.
    OffsetDelete = 47: offset_delete::OffsetDeleteRequest,
    /// Tells the quotas of users, client ids and addresses.
    DescribeClientQuotas = 48: describe_client_quotas::DescribeClientQuotasRequest,
    /// Changes them.
    AlterClientQuotas = 49: alter_client_quotas::AlterClientQuotasRequest,
    /// Tells which users have a password.
    DescribeUserScramCredentials = 50:
        describe_user_scram_credentials::DescribeUserScramCredentialsRequest,
    /// Tells who votes on the metadata.
    DescribeQuorum = 55: describe_quorum::DescribeQuorumRequest,
    /// Changes the levels of features.
    UpdateFeatures = 57: update_features::UpdateFeaturesRequest,
    /// Names the brokers and the controller.
    DescribeCluster = 60: describe_cluster::DescribeClusterRequest,
    /// Names the producers that partitions remember.
    DescribeProducers = 61: describe_producers::DescribeProducersRequest,
    /// Describes transactions.
    DescribeTransactions = 65: describe_transactions::DescribeTransactionsRequest,
    /// Lists transactions.
    ListTransactions = 66: list_transactions::ListTransactionsRequest,
    /// Makes and keeps a client a member of a group of the new protocol.
    ConsumerGroupHeartbeat = 68: consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    /// Describes groups of the new protocol.
    ConsumerGroupDescribe = 69: consumer_group_describe::ConsumerGroupDescribeRequest,
    /// Names the resources that have settings.
    ListConfigResources = 74: list_config_resources::ListConfigResourcesRequest,
    /// Describes topics page by page.
    DescribeTopicPartitions = 75: describe_topic_partitions::DescribeTopicPartitionsRequest,
}

/// Reads a described message. What follows it is left alone: Kafka does not look at bytes behind a
/// request, and librdkafka sends some (it counts the topics of a Metadata request for all of them
/// with four bytes where one is due).
pub(crate) fn decode_message<M: Message + WireStruct>(
    reader: &mut Reader,
    version: i16,
) -> Result<M, DecodeError> {
    let mut message = M::default();
    decode_message_over(&mut message, reader, version)?;
    Ok(message)
}

/// Likewise, over another message.
pub(crate) fn decode_message_over<M: Message + WireStruct>(
    message: &mut M,
    reader: &mut Reader,
    version: i16,
) -> Result<(), DecodeError> {
    if !M::VERSIONS.contains(&version) {
        return Err(DecodeError::Version {
            api_key: M::API_KEY,
            version,
        });
    }
    let place = Place::message(M::LAYOUT.name, version, version >= M::FLEXIBLE_FROM);
    message.read_over(reader, place)
}

/// Writes a described message.
pub(crate) fn encode_message<M: Message + WireStruct>(
    message: &M,
    writer: &mut Writer,
    version: i16,
) -> Result<(), EncodeError> {
    if !M::VERSIONS.contains(&version) {
        return Err(EncodeError::Version {
            api_key: M::API_KEY,
            version,
        });
    }
    let place = Place::message(M::LAYOUT.name, version, version >= M::FLEXIBLE_FROM);
    message.write(writer, place)
}
