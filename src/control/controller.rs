// SPDX-License-Identifier: Apache-2.0
//! The controller.
//!
//! Owns: [`Controller`]: the replayed state, and the rules that turn a request into records.
//! Invariants: `handle_request` and `handle_registration` change no metadata; the records of a plan
//! are committed as one batch before anyone is told the answer; only `handle_committed` changes the
//! state. A plan is made on the state that its records will meet: one plan is under way at a time.
//! Runs on: the control shard. Bounded by: its requests (`METADATA_BATCH_BYTES_MAX`).

use std::sync::Arc;

use bytes::Bytes;

use super::allowance::Allowance;
use super::batches::{self, BatchesError};
use super::configs;
use super::record_list::RecordList;
pub use super::registration::Registration;
use super::request::{ControlAnswer, ControlRequest};
use super::state::{MetadataState, ReplayError};
use super::{moves, partitions, quotas, registration, topics};
use crate::config::server::BrokerDefaults;
use crate::limits::PRODUCER_ID_BLOCK_LEN;
use crate::model::id_source::IdSource;
use crate::model::ids::{BrokerId, Offset};
use crate::model::image::MetadataImage;
use crate::wire::schema::record::{MetadataRecord, ProducerIdsRecord};

/// What the controller is told once.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// This broker.
    pub node_id: BrokerId,
    /// Settings that it reads.
    pub defaults: BrokerDefaults,
    /// Seed of the topic ids.
    pub entropy: [u8; 32],
}

/// What a request leads to, once its records are committed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The records, in order; none if the request changes nothing.
    pub records: Vec<MetadataRecord>,
    /// Their bytes.
    pub values: Vec<Bytes>,
    /// The answer that they make true.
    pub answer: ControlAnswer,
    /// What it has taken of what it might.
    pub allowance: Allowance,
}

/// The controller.
#[derive(Clone, Debug)]
pub struct Controller {
    defaults: BrokerDefaults,
    state: MetadataState,
    ids: IdSource,
}

impl Controller {
    /// A controller without metadata.
    #[must_use]
    pub fn new(config: ControllerConfig) -> Controller {
        Controller {
            state: MetadataState::empty(config.node_id, config.defaults.file.clone()),
            defaults: config.defaults,
            ids: IdSource::new(config.entropy),
        }
    }

    /// The replayed metadata.
    #[must_use]
    pub fn state(&self) -> &MetadataState {
        &self.state
    }

    /// The metadata as every shard sees it.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(self.state.image())
    }

    /// Begins with the state of a snapshot.
    pub fn handle_snapshot(&mut self, state: MetadataState) {
        assert!(
            self.state.version() == 0,
            "a snapshot is loaded before the log"
        );
        self.state = state;
    }

    /// Plans a request.
    pub fn handle_request(&mut self, request: &ControlRequest) -> Plan {
        self.handle_request_within(request, Allowance::default())
    }

    /// Plans a request that may make or take away so many partitions.
    pub fn handle_request_within(
        &mut self,
        request: &ControlRequest,
        allowance: Allowance,
    ) -> Plan {
        let mut list = RecordList::within(allowance);
        let state = &self.state;
        let answer = match request {
            ControlRequest::CreateTopics {
                topics,
                validate_only,
            } => {
                let (ids, defaults) = (&mut self.ids, &self.defaults);
                let only = *validate_only;
                let outcomes = topics::create(state, defaults, ids, topics, only, &mut list);
                ControlAnswer::CreateTopics(outcomes)
            }
            ControlRequest::CreatePartitions {
                topics,
                validate_only,
            } => {
                let outcomes = partitions::add(state, topics, *validate_only, &mut list);
                ControlAnswer::CreatePartitions(outcomes)
            }
            ControlRequest::DeleteTopics { topics } => {
                let outcomes = topics::delete(state, &self.defaults, topics, &mut list);
                ControlAnswer::DeleteTopics(outcomes)
            }
            ControlRequest::AlterConfigs {
                resources,
                validate_only,
            } => {
                let outcomes = configs::alter(state, resources, *validate_only, &mut list);
                ControlAnswer::AlterConfigs(outcomes)
            }
            ControlRequest::AlterQuotas {
                entities,
                validate_only,
            } => {
                let outcomes = quotas::alter(state, entities, *validate_only, &mut list);
                ControlAnswer::AlterQuotas(outcomes)
            }
            ControlRequest::MovePartition {
                topic,
                partition,
                to,
            } => {
                let outcome = moves::plan(state, topic, *partition, *to, &mut list);
                ControlAnswer::MovePartition(outcome)
            }
            ControlRequest::AllocateProducerIds => producer_ids(state, &mut list),
            // The quorum answers that, and what is metered is unpacked, before it comes here.
            ControlRequest::DescribeQuorum | ControlRequest::Metered { .. } => {
                ControlAnswer::Unavailable
            }
        };
        let allowance = list.allowance;
        let (records, values) = list.into_parts();
        Plan {
            records,
            values,
            answer,
            allowance,
        }
    }

    /// Plans the registration of this broker: its record and a new leader epoch for every partition
    /// that it leads. It is committed whole, whatever its size allows; the answer has no meaning.
    #[must_use]
    pub fn handle_registration(&self, registration: &Registration) -> Vec<Bytes> {
        let records = registration::records(&self.state, registration);
        records.iter().map(MetadataRecord::encode).collect()
    }

    /// Replays one committed record.
    pub fn handle_committed(
        &mut self,
        offset: Offset,
        record: &MetadataRecord,
    ) -> Result<(), ReplayError> {
        self.state.replay(offset, record)
    }

    /// Replays one committed record from its bytes.
    pub fn handle_committed_value(
        &mut self,
        offset: Offset,
        value: &[u8],
    ) -> Result<(), ReplayError> {
        self.state.replay_bytes(offset, value)
    }

    /// Replays committed batches. Returns how many bytes of records they held.
    pub fn handle_committed_batches(&mut self, batches: &Bytes) -> Result<u64, BatchesError> {
        batches::replay(&mut self.state, batches)
    }
}

fn producer_ids(state: &MetadataState, list: &mut RecordList) -> ControlAnswer {
    let first = state.next_producer_id();
    let Some(next_producer_id) = first.checked_add(PRODUCER_ID_BLOCK_LEN) else {
        return ControlAnswer::Unavailable;
    };
    let broker_id = state.node_id();
    let record = ProducerIdsRecord {
        broker_id,
        next_producer_id,
    };
    match list.extend(vec![MetadataRecord::ProducerIdsRecord(record)]) {
        Ok(()) => ControlAnswer::ProducerIds {
            first,
            count: PRODUCER_ID_BLOCK_LEN,
        },
        Err(_) => ControlAnswer::Unavailable,
    }
}
