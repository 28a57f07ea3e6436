// SPDX-License-Identifier: Apache-2.0
//! One file per Kafka API, its versions first; this table is all that ties them to the shard.
//!
//! Owns: [`APIS`], the dispatch of frames. Invariants: exactly what the table names is offered; a
//! frame that names anything else, or cannot be decoded, closes its connection, except where Kafka
//! answers with a code.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod api_versions;
pub mod asks;
pub mod calls;
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
pub mod error;
pub mod fetch;
pub mod find_coordinator;
pub mod groups;
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
mod produce_before_v3;
mod resource;
pub mod sync_group;
pub mod transactions;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::connection::{Outcome, SlotId};
use super::contract::Effects;
use super::machine::Shard;
use super::request_table::Call;
use super::stage::{RequestTimes, Stage, Subject, Way};
use crate::model::time::{MonotonicUs, Now};
use crate::wire::codec::{DecodeError, EncodeError, ErrorCodes, Reader, Writer};
use crate::wire::protocol::{ApiKey, Message, decode_request_header, encode_response_into};

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// Its parts in order.
    pub parts: Vec<Bytes>,
    /// The error codes in it.
    pub error_codes: ErrorCodes,
}

/// How a handler leaves a request.
#[derive(Debug)]
pub enum Reply {
    /// Answered with a whole response.
    Send(Answer),
    /// Done, and no answer is wanted.
    Silent,
    /// The connection is to be closed.
    Close,
    /// The answer comes later.
    Pending,
}

/// Why a handler could not leave a request properly; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The body is not what its version says.
    Decode(DecodeError),
    /// The answer cannot be written.
    Encode(EncodeError),
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> ApiError {
        ApiError::Decode(error)
    }
}

impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> ApiError {
        ApiError::Encode(error)
    }
}

/// A request as its handler sees it.
pub struct Arrival<'a> {
    /// The moment.
    pub now: Now,
    /// Where the answer goes, and in which version.
    pub call: Call,
    /// Stands at the body.
    pub body: Reader,
    /// Where effects go.
    pub effects: &'a mut Effects,
}

impl Arrival<'_> {
    /// Decodes the body.
    pub fn decode<M: Message>(&mut self) -> Result<M, ApiError> {
        Ok(M::decode(&mut self.body, self.call.version)?)
    }

    /// Decodes the body over another one, whose lists keep their memory.
    pub fn decode_over<M: Message>(&mut self, message: &mut M) -> Result<(), ApiError> {
        Ok(message.decode_over(&mut self.body, self.call.version)?)
    }
}

impl Call {
    /// Encodes the answer.
    pub fn reply<M: Message>(&self, body: &M) -> Result<Reply, ApiError> {
        let (number, version) = (self.correlation_id, self.version);
        let encoded = encode_response_into(number, version, body, Writer::new())?;
        Ok(Reply::Send(Answer {
            parts: encoded.parts,
            error_codes: encoded.error_codes,
        }))
    }
}

/// Handles one request.
pub type Handler = fn(&mut Shard, Arrival<'_>) -> Result<Reply, ApiError>;

/// One API that this broker offers.
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// The versions that are served.
    pub versions: RangeInclusive<i16>,
    /// The lowest version that is advertised, which may be less than what is served.
    pub advertised_from: i16,
    /// Its handler.
    pub handler: Handler,
}

impl Api {
    const fn new(key: ApiKey, versions: RangeInclusive<i16>, handler: Handler) -> Api {
        let advertised_from = *versions.start();
        Api {
            key,
            versions,
            advertised_from,
            handler,
        }
    }
}

/// Every API that this broker offers, by rising key.
pub static APIS: &[Api] = &[
    Api {
        key: ApiKey::Produce,
        versions: produce::VERSIONS,
        advertised_from: produce::ADVERTISED_FROM,
        handler: produce::handle,
    },
    Api::new(ApiKey::Fetch, fetch::VERSIONS, fetch::handle),
    Api::new(
        ApiKey::ListOffsets,
        list_offsets::VERSIONS,
        list_offsets::handle,
    ),
    Api::new(ApiKey::Metadata, metadata::VERSIONS, metadata::handle),
    Api::new(
        ApiKey::OffsetCommit,
        offset_commit::VERSIONS,
        offset_commit::handle,
    ),
    Api::new(
        ApiKey::OffsetFetch,
        offset_fetch::VERSIONS,
        offset_fetch::handle,
    ),
    Api::new(
        ApiKey::FindCoordinator,
        find_coordinator::VERSIONS,
        find_coordinator::handle,
    ),
    Api::new(ApiKey::JoinGroup, join_group::VERSIONS, join_group::handle),
    Api::new(ApiKey::Heartbeat, heartbeat::VERSIONS, heartbeat::handle),
    Api::new(
        ApiKey::LeaveGroup,
        leave_group::VERSIONS,
        leave_group::handle,
    ),
    Api::new(ApiKey::SyncGroup, sync_group::VERSIONS, sync_group::handle),
    Api::new(
        ApiKey::DescribeGroups,
        describe_groups::VERSIONS,
        describe_groups::handle,
    ),
    Api::new(
        ApiKey::ListGroups,
        list_groups::VERSIONS,
        list_groups::handle,
    ),
    Api::new(
        ApiKey::ApiVersions,
        api_versions::VERSIONS,
        api_versions::handle,
    ),
    Api::new(
        ApiKey::CreateTopics,
        create_topics::VERSIONS,
        create_topics::handle,
    ),
    Api::new(
        ApiKey::DeleteTopics,
        delete_topics::VERSIONS,
        delete_topics::handle,
    ),
    Api::new(
        ApiKey::DeleteRecords,
        delete_records::VERSIONS,
        delete_records::handle,
    ),
    Api::new(
        ApiKey::InitProducerId,
        init_producer_id::VERSIONS,
        init_producer_id::handle,
    ),
    Api::new(
        ApiKey::OffsetForLeaderEpoch,
        offset_for_leader_epoch::VERSIONS,
        offset_for_leader_epoch::handle,
    ),
    Api::new(
        ApiKey::AddPartitionsToTxn,
        add_partitions_to_txn::VERSIONS,
        add_partitions_to_txn::handle,
    ),
    Api::new(
        ApiKey::AddOffsetsToTxn,
        add_offsets_to_txn::VERSIONS,
        add_offsets_to_txn::handle,
    ),
    Api::new(ApiKey::EndTxn, end_txn::VERSIONS, end_txn::handle),
    Api::new(
        ApiKey::WriteTxnMarkers,
        write_txn_markers::VERSIONS,
        write_txn_markers::handle,
    ),
    Api::new(
        ApiKey::TxnOffsetCommit,
        txn_offset_commit::VERSIONS,
        txn_offset_commit::handle,
    ),
    Api::new(
        ApiKey::DescribeConfigs,
        describe_configs::VERSIONS,
        describe_configs::handle,
    ),
    Api::new(
        ApiKey::AlterConfigs,
        alter_configs::VERSIONS,
        alter_configs::handle,
    ),
    Api::new(
        ApiKey::DescribeLogDirs,
        describe_log_dirs::VERSIONS,
        describe_log_dirs::handle,
    ),
    Api::new(
        ApiKey::CreatePartitions,
        create_partitions::VERSIONS,
        create_partitions::handle,
    ),
    Api::new(
        ApiKey::DeleteGroups,
        delete_groups::VERSIONS,
        delete_groups::handle,
    ),
    Api::new(
        ApiKey::IncrementalAlterConfigs,
        incremental_alter_configs::VERSIONS,
        incremental_alter_configs::handle,
    ),
    Api::new(
        ApiKey::OffsetDelete,
        offset_delete::VERSIONS,
        offset_delete::handle,
    ),
    Api::new(
        ApiKey::DescribeClientQuotas,
        describe_client_quotas::VERSIONS,
        describe_client_quotas::handle,
    ),
    Api::new(
        ApiKey::AlterClientQuotas,
        alter_client_quotas::VERSIONS,
        alter_client_quotas::handle,
    ),
    Api::new(
        ApiKey::DescribeUserScramCredentials,
        describe_user_scram_credentials::VERSIONS,
        describe_user_scram_credentials::handle,
    ),
    Api::new(
        ApiKey::DescribeQuorum,
        describe_quorum::VERSIONS,
        describe_quorum::handle,
    ),
    Api::new(
        ApiKey::UpdateFeatures,
        update_features::VERSIONS,
        update_features::handle,
    ),
    Api::new(
        ApiKey::DescribeCluster,
        describe_cluster::VERSIONS,
        describe_cluster::handle,
    ),
    Api::new(
        ApiKey::DescribeProducers,
        describe_producers::VERSIONS,
        describe_producers::handle,
    ),
    Api::new(
        ApiKey::DescribeTransactions,
        describe_transactions::VERSIONS,
        describe_transactions::handle,
    ),
    Api::new(
        ApiKey::ListTransactions,
        list_transactions::VERSIONS,
        list_transactions::handle,
    ),
    Api::new(
        ApiKey::ConsumerGroupHeartbeat,
        consumer_group_heartbeat::VERSIONS,
        consumer_group_heartbeat::handle,
    ),
    Api::new(
        ApiKey::ConsumerGroupDescribe,
        consumer_group_describe::VERSIONS,
        consumer_group_describe::handle,
    ),
    Api::new(
        ApiKey::ListConfigResources,
        list_config_resources::VERSIONS,
        list_config_resources::handle,
    ),
    Api::new(
        ApiKey::DescribeTopicPartitions,
        describe_topic_partitions::VERSIONS,
        describe_topic_partitions::handle,
    ),
];

impl Shard {
    /// Handles one request frame: decodes its header and calls the handler of its API.
    pub(super) fn handle_frame(
        &mut self,
        now: Now,
        arrived_us: MonotonicUs,
        slot: SlotId,
        frame: Bytes,
        effects: &mut Effects,
    ) {
        let waited_us = now.monotonic_us.saturating_sub(arrived_us);
        effects.note_stage(Stage::Queue, waited_us);
        let mut body = Reader::new(frame);
        let header = decode_request_header(&mut body).ok();
        let place = header.as_ref().and_then(|header| {
            let mut known = APIS.iter();
            known.position(|api| api.key.code() == header.api_key)
        });
        let (Some(header), Some(api)) = (header, place) else {
            self.counts.note_refused();
            let network = &mut effects.network;
            return self
                .connections
                .handle_outcome(slot, Outcome::Close, None, network);
        };
        self.counts.note_request(api);
        let client_id = header.client_id.as_deref();
        if self.connections.note_client(slot.connection, client_id) {
            self.quotas.forget(slot.connection);
        }
        let call = Call {
            slot,
            version: header.api_version,
            correlation_id: header.correlation_id,
            api,
            arrived_us: arrived_us.min(now.monotonic_us),
            handled_us: now.monotonic_us,
        };
        let reply = self.dispatch(now, call, body, effects);
        if matches!(reply, Err(_) | Ok(Reply::Close)) {
            self.counts.note_refused();
        }
        self.conclude(call, reply, effects);
    }

    /// Ends a request as its handler said.
    pub(super) fn conclude(
        &mut self,
        call: Call,
        reply: Result<Reply, ApiError>,
        effects: &mut Effects,
    ) {
        self.conclude_on_way(call, Way::default(), Subject::default(), reply, effects);
    }

    /// Ends a request as its handler said, whose work waited for that.
    pub(super) fn conclude_on_way(
        &mut self,
        call: Call,
        way: Way,
        subject: Subject,
        reply: Result<Reply, ApiError>,
        effects: &mut Effects,
    ) {
        let outcome = match reply {
            Ok(Reply::Pending) => return,
            Ok(Reply::Send(mut answer)) => {
                if self.quotas.is_active() {
                    self.throttle_answer(&call, &mut answer);
                }
                self.counts.note_errors(call.api, &answer.error_codes);
                Outcome::Send(answer.parts)
            }
            Ok(Reply::Silent) => Outcome::Silent,
            Ok(Reply::Close) | Err(_) => Outcome::Close,
        };
        let times = RequestTimes {
            api: call.api,
            arrived_us: call.arrived_us,
            handled_us: call.handled_us,
            ended_us: self.now_us,
            way,
            subject,
        };
        let network = &mut effects.network;
        self.connections
            .handle_outcome(call.slot, outcome, Some(times), network);
        self.note_left(effects);
    }

    fn dispatch(
        &mut self,
        now: Now,
        call: Call,
        body: Reader,
        effects: &mut Effects,
    ) -> Result<Reply, ApiError> {
        let api = &APIS[call.api];
        if api.versions.contains(&call.version) {
            let arrival = Arrival {
                now,
                call,
                body,
                effects,
            };
            return (api.handler)(self, arrival);
        }
        match api.key {
            ApiKey::ApiVersions => api_versions::fall_back(self, &call),
            ApiKey::Produce => produce_before_v3::refuse(&call, body),
            _ => Ok(Reply::Close),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_rises_and_offers_only_what_the_wire_can_speak() {
        let rising = APIS.windows(2).all(|pair| pair[0].key < pair[1].key);
        assert!(rising);
        for api in APIS {
            let spoken = api.key.versions();
            assert!(spoken.contains(api.versions.start()), "{}", api.key.name());
            assert!(spoken.contains(api.versions.end()), "{}", api.key.name());
            assert!(api.advertised_from <= *api.versions.start());
        }
    }
}
