// SPDX-License-Identifier: Apache-2.0
//! One file per Kafka API, its versions first; this table is all that ties them to the shard.
//!
//! Owns: [`APIS`], the dispatch of frames. Invariants: exactly what the table names is offered; a
//! frame that names anything else, or cannot be decoded, closes its connection, except where Kafka
//! answers with a code.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

pub mod alter_configs;
pub mod api_versions;
pub mod asks;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod error;
pub mod fetch;
pub mod find_coordinator;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod list_config_resources;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;
mod produce_before_v3;
mod resource;
pub mod update_features;

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::connection::{Outcome, SlotId};
use super::contract::Effects;
use super::machine::Shard;
use super::request_table::Call;
use crate::model::time::Now;
use crate::wire::codec::{DecodeError, EncodeError, Reader};
use crate::wire::protocol::{ApiKey, Message, RequestHeader, decode_request_header};

/// How a handler leaves a request.
#[derive(Debug)]
pub enum Reply {
    /// Answered with a whole response.
    Send(Vec<Bytes>),
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
        let parts =
            crate::wire::protocol::encode_response(self.correlation_id, self.version, body)?;
        Ok(Reply::Send(parts))
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
        ApiKey::FindCoordinator,
        find_coordinator::VERSIONS,
        find_coordinator::handle,
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
        ApiKey::IncrementalAlterConfigs,
        incremental_alter_configs::VERSIONS,
        incremental_alter_configs::handle,
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
        slot: SlotId,
        frame: Bytes,
        effects: &mut Effects,
    ) {
        let mut body = Reader::new(frame);
        let reply = match decode_request_header(&mut body) {
            Ok(header) => self.dispatch(now, slot, &header, body, effects),
            Err(error) => Err(ApiError::Decode(error)),
        };
        if matches!(reply, Err(_) | Ok(Reply::Close)) {
            self.counts.note_refused();
        }
        self.conclude(slot, reply, effects);
    }

    /// Ends a request as its handler said.
    pub(super) fn conclude(
        &mut self,
        slot: SlotId,
        reply: Result<Reply, ApiError>,
        effects: &mut Effects,
    ) {
        let outcome = match reply {
            Ok(Reply::Pending) => return,
            Ok(Reply::Send(parts)) => Outcome::Send(parts),
            Ok(Reply::Silent) => Outcome::Silent,
            Ok(Reply::Close) | Err(_) => Outcome::Close,
        };
        self.connections
            .handle_outcome(slot, outcome, &mut effects.network);
    }

    fn dispatch(
        &mut self,
        now: Now,
        slot: SlotId,
        header: &RequestHeader,
        body: Reader,
        effects: &mut Effects,
    ) -> Result<Reply, ApiError> {
        let call = Call {
            slot,
            version: header.api_version,
            correlation_id: header.correlation_id,
        };
        let place = APIS.iter().position(|api| api.key.code() == header.api_key);
        let Some(place) = place else {
            return Ok(Reply::Close);
        };
        let api = &APIS[place];
        self.counts.note_request(place);
        if api.versions.contains(&header.api_version) {
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
