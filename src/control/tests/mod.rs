// SPDX-License-Identifier: Apache-2.0
//! Tests of the controller: one per rule, and properties of replay, snapshots and batches.

mod configs;
mod moves;
mod partitions;
mod properties;
mod registration;
mod topics;

use bytestring::ByteString;

use super::controller::{Controller, ControllerConfig, Plan, Registration};
use super::request::{ControlAnswer, ControlRequest, NewTopic, Refusal};
use crate::config::layers::Settings;
use crate::config::server::BrokerDefaults;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{BrokerId, Uuid};
use crate::wire::schema::record::{MetadataRecord, RegisterBrokerRecord};

pub const NODE: BrokerId = BrokerId(1);

pub fn settings(pairs: &[(&'static str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

pub fn config(file: &[(&'static str, &str)]) -> ControllerConfig {
    ControllerConfig {
        node_id: NODE,
        defaults: BrokerDefaults::of(settings(file)).expect("valid settings"),
        entropy: [9; 32],
    }
}

pub fn registration(shard_count: u16) -> Registration {
    Registration {
        cluster_id: Uuid([1; 16]),
        incarnation_id: Uuid([2; 16]),
        directory_id: Uuid([3; 16]),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        shard_count,
    }
}

/// Commits these records at once.
pub fn commit(controller: &mut Controller, values: &[bytes::Bytes]) {
    for value in values {
        let offset = controller.state().version();
        controller
            .handle_committed_value(offset, value)
            .expect("what was planned replays");
    }
}

/// A controller of one registered broker with two shards.
pub fn started(file: &[(&'static str, &str)]) -> Controller {
    let mut controller = Controller::new(config(file));
    register(&mut controller, 2);
    controller
}

pub fn register(controller: &mut Controller, shard_count: u16) {
    let values = controller.handle_registration(&registration(shard_count));
    commit(controller, &values);
}

/// Registers a further broker, as a cluster would have it.
pub fn add_broker(controller: &mut Controller, id: i32) {
    let record = MetadataRecord::RegisterBrokerRecord(RegisterBrokerRecord {
        broker_id: BrokerId(id),
        incarnation_id: Uuid([4; 16]),
        directory_id: Uuid([5; 16]),
        host: "other".into(),
        port: 9092,
        rack: Some("r1".into()),
        shard_count: 4,
        epoch: 0,
    });
    let offset = controller.state().version();
    controller
        .handle_committed(offset, &record)
        .expect("a registration replays");
}

/// Plans and commits.
pub fn ask(controller: &mut Controller, request: &ControlRequest) -> ControlAnswer {
    let Plan { values, answer, .. } = controller.handle_request(request);
    commit(controller, &values);
    answer
}

pub fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

pub fn create_all(
    controller: &mut Controller,
    topics: Vec<NewTopic>,
) -> Vec<(ByteString, Result<super::request::CreatedTopic, Refusal>)> {
    let request = ControlRequest::CreateTopics {
        topics,
        validate_only: false,
    };
    match ask(controller, &request) {
        ControlAnswer::CreateTopics(outcomes) => outcomes,
        other => panic!("another answer: {other:?}"),
    }
}

/// Makes one topic and tells the error code, `None` for success.
pub fn create(controller: &mut Controller, topic: NewTopic) -> ErrorCode {
    let outcomes = create_all(controller, vec![topic]);
    code(&outcomes[0].1)
}

pub fn code<T>(outcome: &Result<T, Refusal>) -> ErrorCode {
    match outcome {
        Ok(_) => ErrorCode::None,
        Err(refusal) => {
            assert!(
                refusal.message.ends_with(['.', '?']),
                "a sentence: {}",
                refusal.message
            );
            refusal.code
        }
    }
}
