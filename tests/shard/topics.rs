// SPDX-License-Identifier: Apache-2.0
//! Published metadata and what it does to partitions.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::sync::Arc;

use furlong::model::ids::BrokerId;

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, fetch_request, frame, next, produce, produce_request, values};
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::produce::ProduceRequest;

#[test]
fn an_image_is_answered_once_its_partitions_are_open() {
    let mut broker = Broker::new(2);
    broker.hold = Hold::Everything;
    broker.controller.add_topic("t", 2, &[]);
    broker.publish(|_| {});
    broker.settle();
    assert!(!broker.controller.is_applied());
    broker.release();
    assert!(broker.controller.is_applied());
}

#[test]
fn a_partition_that_is_not_open_yet_answers_6() {
    let mut broker = Broker::new(1);
    broker.hold = Hold::Everything;
    broker.controller.add_topic("t", 1, &[]);
    broker.publish(|_| {});
    broker.settle();
    let client = broker.connect(0);
    let answer = produce(&mut broker, client, "t", 0, batch(&["a"]));
    assert_eq!(answer.error_code, 6);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(response.responses[0].partitions[0].error_code, 6);
}

#[test]
fn a_new_leader_epoch_is_written_into_batches_from_then_on() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        Arc::make_mut(topic).partitions[0].leader_epoch = 4;
    });
    broker.settle();
    produce(&mut broker, client, "t", 0, batch(&["b"]));
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    let records = response.responses[0].partitions[0].records.clone();
    let records = records.expect("never null");
    let epochs: Vec<i32> = furlong::wire::record::split_batches(&records)
        .map(|batch| {
            let batch = batch.expect("whole");
            let header = furlong::wire::record::BatchHeader::parse(&batch).expect("parses");
            header.partition_leader_epoch
        })
        .collect();
    assert_eq!(epochs, [3, 4]);
}

#[test]
fn a_leader_that_is_not_one_any_more_answers_what_waits_with_6() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let reader = broker.connect(0);
    let writer = broker.connect(0);
    let mut waiting = fetch_request("t", &[(0, 0)]);
    waiting.max_wait_ms = 60_000;
    broker.send(reader, frame(1, 12, &waiting));
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(writer, frame(1, 10, &request));
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        let partition = &mut Arc::make_mut(topic).partitions[0];
        partition.leader = Some(BrokerId(8));
        partition.leader_epoch = 4;
    });
    broker.settle();
    let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("woken");
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 6);
    assert_eq!(partition.current_leader.leader_id, 8, "KIP-951");
    let (_, response) = next::<ProduceRequest>(&mut broker, writer, 10).expect("answered");
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 6);
    assert_eq!(
        (
            answer.current_leader.leader_id,
            answer.current_leader.leader_epoch
        ),
        (8, 4)
    );
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn a_topic_made_again_under_its_name_waits_for_the_directory_of_the_old_one() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["old"]));
    broker.hold = Hold::Everything;
    broker.publish(|image| {
        let topic = image.topics.remove("t").expect("there");
        image.topic_names.remove(&topic.id);
    });
    broker.settle();
    broker.controller.add_topic("t", 1, &[]);
    broker.publish(|_| {});
    broker.settle();
    broker.release();
    assert!(broker.controller.is_applied());
    produce(&mut broker, client, "t", 0, batch(&["new"]));
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0), ["new"]);
}

#[test]
fn changed_settings_hold_for_the_next_append() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    broker.publish(|image| {
        let topic = image.topics.get_mut("t").expect("there");
        Arc::make_mut(topic).config.max_message_bytes = 100;
    });
    broker.settle();
    let long = "x".repeat(200);
    let answer = produce(&mut broker, client, "t", 0, batch(&[&long]));
    assert_eq!(answer.error_code, 10);
}

#[test]
fn many_partitions_open_a_bounded_number_at_a_time() {
    let mut broker = Broker::new(1);
    broker.hold = Hold::Everything;
    broker.controller.add_topic("t", 500, &[]);
    broker.publish(|_| {});
    broker.settle();
    let bound = furlong::limits::OPENING_PARTITIONS_MAX;
    assert!(broker.held() <= bound * 4, "{}", broker.held());
    broker.release();
    assert!(broker.controller.is_applied());
    assert_eq!(broker.shards[0].partition_count(), 500);
}
