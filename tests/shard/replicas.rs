// SPDX-License-Identifier: Apache-2.0
//! Partitions with more than one replica in sync, as far as one broker sees them.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::sync::Arc;

use furlong::model::ids::BrokerId;
use furlong::wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::Broker;
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce_request, values,
};
use crate::controller::NODE;

/// One topic whose partition has a second replica that never reports.
fn two_replicas(settings: &[(&str, &str)]) -> Broker {
    let mut broker = Broker::new(1);
    broker.controller.add_topic("t", 1, settings);
    in_sync(&mut broker, &[NODE, BrokerId(8)]);
    broker
}

fn in_sync(broker: &mut Broker, isr: &[BrokerId]) {
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        let partition = &mut Arc::make_mut(topic).partitions[0];
        partition.replicas = vec![NODE, BrokerId(8)];
        partition.isr = isr.to_vec();
        partition.partition_epoch += 1;
    });
    broker.settle();
}

#[test]
fn acks_all_waits_for_the_whole_in_sync_set_and_acks_1_for_the_own_disk() {
    let mut broker = two_replicas(&[]);
    let client = broker.connect(0);
    let request = produce_request("t", 0, 1, batch(&["a"]));
    let answer = only_produced(call(&mut broker, client, 9, &request));
    assert_eq!(answer.error_code, 0);
    let request = produce_request("t", 0, -1, batch(&["b"]));
    broker.send(client, frame(1, 9, &request));
    assert!(next::<ProduceRequest>(&mut broker, client, 9).is_none());
    let reader = broker.connect(0);
    let response = call(&mut broker, reader, 12, &fetch_request("t", &[(0, 0)]));
    assert!(values(&response, 0).is_empty(), "nothing is committed");
    in_sync(&mut broker, &[NODE]);
    let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("committed");
    assert_eq!(only_produced(response).error_code, 0);
    let response = call(&mut broker, reader, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0), ["a", "b"]);
}

#[test]
fn acks_all_is_not_confirmed_once_the_in_sync_set_is_too_small() {
    let mut broker = two_replicas(&[("min.insync.replicas", "2")]);
    let client = broker.connect(0);
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
    in_sync(&mut broker, &[NODE]);
    // The watermark stands still, so that the batch is answered by its time and no later one
    // enters.
    assert!(next::<ProduceRequest>(&mut broker, client, 9).is_none());
    broker.advance_ms(5_001);
    let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("timed out");
    assert_eq!(only_produced(response).error_code, 7);
    let request = produce_request("t", 0, -1, batch(&["b"]));
    let answer = only_produced(call(&mut broker, client, 9, &request));
    assert_eq!(answer.error_code, 19);
}

#[test]
fn a_new_leader_names_no_latest_offset_before_its_followers_are_known() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    crate::client::produce(&mut broker, client, "t", 0, batch(&["a"]));
    for shard in 0..1 {
        broker.event(shard, furlong::shard::contract::Event::Stop);
    }
    broker.controller.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        let partition = &mut Arc::make_mut(topic).partitions[0];
        partition.replicas = vec![NODE, BrokerId(8)];
        partition.isr = vec![NODE, BrokerId(8)];
        partition.leader_epoch += 1;
    });
    broker.restart();
    let client = broker.connect(0);
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    for (version, code) in [(4, 5), (5, 78)] {
        let response = call(&mut broker, client, version, &request);
        assert_eq!(response.topics[0].partitions[0].error_code, code, "KIP-207");
    }
}
