// SPDX-License-Identifier: Apache-2.0
//! ApiVersions: what is offered, and the way back for clients that are newer than this broker.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the table of APIs.

use bytes::Bytes;
use furlong::shard::api::APIS;
use furlong::wire::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use furlong::wire::protocol::decode_response;

use crate::broker::Broker;
use crate::client::{call, frame};

fn offered(response: &ApiVersionsResponse) -> Vec<(i16, i16, i16)> {
    let keys = response.api_keys.iter();
    keys.map(|one| (one.api_key, one.min_version, one.max_version))
        .collect()
}

#[test]
fn exactly_the_table_is_offered_and_produce_from_zero() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    for version in 0..=4 {
        let response = call(&mut broker, client, version, &ApiVersionsRequest::default());
        assert_eq!(response.error_code, 0);
        let offered = offered(&response);
        assert_eq!(offered.len(), APIS.len());
        assert!(offered.contains(&(0, 0, 13)), "KAFKA-18659");
        assert!(offered.contains(&(1, 4, 18)));
        assert!(offered.contains(&(18, 0, 4)));
        assert!(
            offered.iter().all(|one| one.0 != 71),
            "clients push telemetry where it is offered"
        );
        if version >= 3 {
            assert!(
                response.finalized_features_epoch > 0,
                "the metadata has a version"
            );
            let finalized = response.finalized_features.iter();
            let names: Vec<&str> = finalized.map(|one| &*one.name).collect();
            assert_eq!(
                names,
                ["group.version", "metadata.version", "transaction.version"]
            );
        }
    }
}

#[test]
fn an_unknown_version_gets_the_known_ones_in_version_0_with_error_35() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    // Version 127 with a body that no version of ours has.
    let mut bytes = frame(5, 4, &ApiVersionsRequest::default()).to_vec();
    bytes[2..4].copy_from_slice(&127i16.to_be_bytes());
    bytes.extend_from_slice(&[1, 2, 3, 4]);
    broker.send(client, Bytes::from(bytes));
    let wire = broker.wires.get_mut(&client).expect("connected");
    assert!(!wire.closed);
    let response = wire.responses.pop_front().expect("answered");
    let (correlation_id, response) =
        decode_response::<ApiVersionsRequest>(response, 0).expect("version 0");
    assert_eq!(correlation_id, 5);
    assert_eq!(response.error_code, 35);
    assert_eq!(offered(&response), [(18, 0, 4)]);
}

#[test]
fn the_response_header_has_no_tagged_fields_in_any_version() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    broker.send(client, frame(9, 4, &ApiVersionsRequest::default()));
    let wire = broker.wires.get_mut(&client).expect("connected");
    let response = wire.responses.pop_front().expect("answered");
    assert_eq!(&response[..4], &9i32.to_be_bytes());
    assert_eq!(&response[4..6], &[0, 0], "the error code follows at once");
}
