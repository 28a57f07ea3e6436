// SPDX-License-Identifier: Apache-2.0
//! Fetch sessions through the wire (KIP-227), topics by id, and topics that are made again.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::ids::{ConnectionId, Uuid};
use furlong::wire::protocol::delete_topics::DeleteTopicsRequest;
use furlong::wire::protocol::fetch::{FetchRequest, FetchResponse, ForgottenTopic};
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::Broker;
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};

fn in_session(mut request: FetchRequest, id: i32, epoch: i32) -> FetchRequest {
    request.session_id = id;
    request.session_epoch = epoch;
    request
}

/// A request that goes on with a session and changes nothing.
fn goes_on(id: i32, epoch: i32) -> FetchRequest {
    let mut request = in_session(fetch_request("t", &[]), id, epoch);
    request.topics.clear();
    request
}

fn open(broker: &mut Broker, client: ConnectionId, version: i16, partitions: i32) -> i32 {
    let from: Vec<(i32, i64)> = (0..partitions).map(|partition| (partition, 0)).collect();
    let mut request = in_session(fetch_request("t", &from), 0, 0);
    if version >= 13 {
        request.topics[0].topic_id = Uuid([1; 16]);
    }
    let response = call(broker, client, version, &request);
    assert_eq!(response.error_code, 0);
    assert_ne!(response.session_id, 0);
    response.session_id
}

fn told(response: &FetchResponse) -> Vec<i32> {
    let topics = response.responses.iter();
    let partitions = topics.flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| partition.partition_index)
        .collect()
}

#[test]
fn a_session_tells_only_what_has_news_in_every_version() {
    for version in 7..=18 {
        let mut broker = Broker::with_topic(2, "t", 4);
        let client = broker.connect(0);
        let id = open(&mut broker, client, version, 4);
        let response = call(&mut broker, client, version, &goes_on(id, 1));
        assert_eq!((response.error_code, response.session_id), (0, id));
        assert!(response.responses.is_empty(), "version {version}");
        produce(&mut broker, client, "t", 2, batch(&["a"]));
        let response = call(&mut broker, client, version, &goes_on(id, 2));
        assert_eq!(told(&response), [2]);
        assert_eq!(values(&response, 0), ["a"]);
        // It has not moved on: the same records are told again.
        let response = call(&mut broker, client, version, &goes_on(id, 3));
        assert_eq!(told(&response), [2]);
        if version >= 13 {
            assert_eq!(response.responses[0].topic_id, Uuid([1; 16]));
        } else {
            assert_eq!(&*response.responses[0].topic, "t");
        }
    }
}

#[test]
fn a_waiting_fetch_of_a_session_is_woken_by_any_of_its_partitions() {
    let mut broker = Broker::with_topic(2, "t", 3);
    let client = broker.connect(0);
    let writer = broker.connect(0);
    let id = open(&mut broker, client, 12, 3);
    let mut waits = goes_on(id, 1);
    waits.max_wait_ms = 500;
    broker.send(client, frame(1, 12, &waits));
    assert!(next::<FetchRequest>(&mut broker, client, 12).is_none());
    produce(&mut broker, writer, "t", 1, batch(&["a"]));
    let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("woken");
    assert_eq!(told(&response), [1]);
    let mut waits = goes_on(id, 2);
    waits.max_wait_ms = 500;
    waits.topics = fetch_request("t", &[(1, 1)]).topics;
    broker.send(client, frame(1, 12, &waits));
    broker.advance_ms(500);
    let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("its time is over");
    assert!(response.responses.is_empty());
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn partitions_are_added_moved_on_and_forgotten() {
    let mut broker = Broker::with_topic(1, "t", 3);
    let client = broker.connect(0);
    let id = open(&mut broker, client, 12, 1);
    for partition in 0..3 {
        produce(&mut broker, client, "t", partition, batch(&["a"]));
    }
    let more = in_session(fetch_request("t", &[(0, 1), (2, 0)]), id, 1);
    let response = call(&mut broker, client, 12, &more);
    assert_eq!(told(&response), [0, 2], "the high watermark of 0 has moved");
    let mut less = goes_on(id, 2);
    less.forgotten_topics_data = vec![ForgottenTopic {
        topic: "t".into(),
        partitions: vec![2],
        ..ForgottenTopic::default()
    }];
    let response = call(&mut broker, client, 12, &less);
    assert!(response.responses.is_empty());
    less.session_epoch = 3;
    less.forgotten_topics_data[0].partitions = vec![0];
    let response = call(&mut broker, client, 12, &less);
    assert_eq!(response.session_id, 0, "nothing is left of it");
    let response = call(&mut broker, client, 12, &goes_on(id, 4));
    assert_eq!(response.error_code, 70);
}

#[test]
fn a_session_that_does_not_go_on_says_why() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let id = open(&mut broker, client, 12, 1);
    for (session_id, epoch, version, code) in [
        (id, 2, 12, 71),
        (id ^ 1, 1, 12, 70),
        (0, 1, 12, 70),
        (id, 1, 13, 106),
        (id, 1, 12, 0),
        (id, 1, 12, 71),
    ] {
        let response = call(&mut broker, client, version, &goes_on(session_id, epoch));
        let expected = (code, if code == 0 { id } else { 0 });
        assert_eq!(
            (response.error_code, response.session_id),
            expected,
            "{epoch} {version}"
        );
        assert!(response.responses.is_empty());
    }
    let response = call(
        &mut broker,
        client,
        12,
        &in_session(fetch_request("t", &[(0, 0)]), id, -1),
    );
    assert_eq!((response.error_code, response.session_id), (0, 0));
    assert_eq!(
        broker.shards[0].fetch_session_count(),
        0,
        "the last request ends it"
    );
}

#[test]
fn before_version_7_and_with_epoch_minus_1_no_session_is_made() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    for version in [4, 6, 12] {
        let response = call(&mut broker, client, version, &fetch_request("t", &[(0, 0)]));
        assert_eq!((response.error_code, response.session_id), (0, 0));
        assert_eq!(told(&response), [0]);
    }
    assert_eq!(broker.shards[0].fetch_session_count(), 0);
}

#[test]
fn an_error_is_told_in_every_answer_of_a_session_and_its_end_too() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut request = in_session(fetch_request("t", &[(0, 0)]), 0, 0);
    request
        .topics
        .push(fetch_request("later", &[(0, 0)]).topics.remove(0));
    let id = call(&mut broker, client, 12, &request).session_id;
    for epoch in 1..3 {
        let response = call(&mut broker, client, 12, &goes_on(id, epoch));
        assert_eq!(response.responses[0].partitions[0].error_code, 3);
        assert_eq!(&*response.responses[0].topic, "later");
    }
    broker.add_topic("later", 1, &[]);
    let response = call(&mut broker, client, 12, &goes_on(id, 3));
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    let response = call(&mut broker, client, 12, &goes_on(id, 4));
    assert!(response.responses.is_empty());
}

#[test]
fn a_session_belongs_to_its_shard() {
    let mut broker = Broker::with_topic(2, "t", 1);
    let (here, there) = (broker.connect(0), broker.connect(1));
    let id = open(&mut broker, here, 12, 1);
    let response = call(&mut broker, there, 12, &goes_on(id, 1));
    assert_eq!(response.error_code, 70, "the client makes a new one");
}

/// Deletes the topic `t` and makes it again with another id.
fn make_again(broker: &mut Broker, client: ConnectionId) -> Uuid {
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(call(broker, client, 5, &delete).responses[0].error_code, 0);
    broker.add_topic("t", 1, &[])
}

#[test]
fn a_topic_made_again_has_another_id_and_the_old_one_is_100() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let (old, by_name) = (Uuid([1; 16]), open(&mut broker, client, 12, 1));
    let by_id = open(&mut broker, client, 13, 1);
    let new = make_again(&mut broker, client);
    assert_ne!(old, new);
    for (id, code) in [(old, 100), (new, 0)] {
        let mut request: ProduceRequest = produce_request("", 0, -1, batch(&["a"]));
        request.topic_data[0].topic_id = id;
        let answer = only_produced(call(&mut broker, client, 13, &request));
        assert_eq!(answer.error_code, code);
        let mut request = fetch_request("", &[(0, 0)]);
        request.topics[0].topic_id = id;
        let response = call(&mut broker, client, 17, &request);
        assert_eq!(response.responses[0].partitions[0].error_code, code);
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                topic_id: id,
                name: None,
            }]),
            ..MetadataRequest::default()
        };
        let response = call(&mut broker, client, 12, &request);
        assert_eq!(response.topics[0].error_code, code);
    }
    let response = call(&mut broker, client, 13, &goes_on(by_id, 1));
    assert_eq!(response.responses[0].partitions[0].error_code, 100);
    let response = call(&mut broker, client, 12, &goes_on(by_name, 1));
    assert_eq!(values(&response, 0), ["a"], "the name means the new one");
}

#[test]
fn a_topic_that_goes_while_a_fetch_waits_is_100_and_one_made_again_is_103() {
    for (is_made_again, code) in [(false, 100), (true, 103)] {
        let mut broker = Broker::with_topic(1, "t", 1);
        let client = broker.connect(0);
        let mut request = fetch_request("", &[(0, 0)]);
        request.topics[0].topic_id = Uuid([1; 16]);
        request.max_wait_ms = 500;
        broker.send(client, frame(1, 13, &request));
        let image = &mut broker.controller.image;
        let topic = image.topics.remove("t").expect("there");
        image.topic_names.remove(&topic.id);
        if is_made_again {
            broker.controller.add_topic("t", 1, &[]);
        }
        broker.publish(|_| {});
        broker.settle();
        broker.advance_ms(500);
        let (_, response) = next::<FetchRequest>(&mut broker, client, 13).expect("over");
        assert_eq!(response.responses[0].partitions[0].error_code, code);
    }
}
