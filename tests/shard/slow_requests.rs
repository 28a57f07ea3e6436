// SPDX-License-Identifier: Apache-2.0
//! Requests that take long are told, with their stages, and not too many of them.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use std::collections::BTreeMap;

use furlong::limits::{CLIENT_ID_BYTES_KEPT_MAX, SLOW_REQUESTS_TOLD_MAX};
use furlong::shard::contract::ProcessEffect;
use furlong::shard::slow_requests::SlowRequest;
use furlong::shard::stage::Stage;
use furlong::wire::protocol::ApiKey;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::encode_request;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use furlong::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, fetch_request, frame, next, produce_request};
use crate::groups::join_request;

/// A broker with a topic of as many partitions on as many shards.
fn broker(shard_count: u16, slow_ms: &'static str) -> Broker {
    let mut broker = Broker::with_settings(shard_count, &[("slow.request.ms", slow_ms)]);
    broker.add_topic("t", i32::from(shard_count), &[]);
    broker
}

/// The slow requests that were told since somebody asked, and how many were not.
fn told(broker: &mut Broker) -> (Vec<SlowRequest>, u64) {
    let (mut slow, mut untold) = (Vec::new(), 0);
    for (_, effect) in std::mem::take(&mut broker.process) {
        match effect {
            ProcessEffect::Slow(request) => slow.push(*request),
            ProcessEffect::SlowUntold { count } => untold += count,
            _ => {}
        }
    }
    (slow, untold)
}

#[test]
fn a_slow_produce_is_told_with_its_stages() {
    let mut broker = broker(2, "1");
    let client = broker.connect(0);
    told(&mut broker);
    broker.hold = Hold::Everything;
    broker.holds_mesh = true;
    broker.queued_us = 7;
    let mut request = produce_request("t", 1, -1, batch(&["a"]));
    let mut other = request.topic_data[0].partition_data[0].clone();
    other.index = 0;
    request.topic_data[0].partition_data.push(other);
    broker.send(client, frame(1, 9, &request));
    broker.advance_us(11);
    broker.deliver_mesh();
    broker.advance_us(300);
    broker.release_to(Hold::Flushes);
    broker.advance_us(900);
    broker.release();
    broker.advance_us(13);
    broker.deliver_mesh();
    let (slow, untold) = told(&mut broker);
    let [slow] = &slow[..] else {
        panic!("{slow:?}")
    };
    assert_eq!(
        (slow.api, slow.connection, untold),
        (ApiKey::Produce, client, 0)
    );
    assert_eq!(slow.client.as_deref(), Some("test"));
    assert_eq!(slow.partition.as_deref(), Some("t-1"));
    assert_eq!((slow.more_partitions, slow.is_answered), (1, true));
    assert_eq!(slow.total_us, 7 + 11 + 300 + 900 + 13);
    let expected = [
        (Stage::Queue, 7),
        (Stage::Hop, 24),
        (Stage::Gather, 0),
        (Stage::Write, 300),
        (Stage::Flush, 900),
        (Stage::Answer, 0),
    ];
    assert_eq!(slow.stages, expected);
    assert_eq!(slow.took_us(Stage::Flush), Some(900));
    assert_eq!(slow.took_us(Stage::Read), None);
}

#[test]
fn what_is_quick_is_not_told_and_waiting_for_records_is_not_slow() {
    let mut broker = broker(1, "100");
    let (reader, writer) = (broker.connect(0), broker.connect(0));
    let wait = FetchRequest {
        max_wait_ms: 500,
        ..fetch_request("t", &[(0, 0)])
    };
    broker.send(reader, frame(1, 12, &wait));
    broker.advance_ms(400);
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(writer, frame(1, 9, &request));
    broker.advance_us(99_999);
    broker.release();
    assert_eq!(told(&mut broker), (vec![], 0));
    // One more, whose append takes a moment longer.
    broker.hold = Hold::Flushes;
    broker.send(writer, frame(1, 9, &request));
    broker.advance_us(100_000);
    broker.release();
    let (slow, _) = told(&mut broker);
    assert_eq!((slow.len(), slow[0].total_us), (1, 100_000));
}

/// Asks for the assignment of a generation, as its leader with one for every member.
fn sync_request(joined: &JoinGroupResponse, members: &[&str]) -> SyncGroupRequest {
    let part = |id: &&str| SyncGroupRequestAssignment {
        member_id: (*id).into(),
        assignment: bytes::Bytes::from_static(b"all"),
    };
    SyncGroupRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: members.iter().map(part).collect(),
        ..SyncGroupRequest::default()
    }
}

#[test]
fn waiting_for_the_other_members_of_a_group_is_not_slow_and_waiting_for_the_log_is() {
    let (mut broker, first) = crate::groups::ready_with(&[("slow.request.ms", "100")]);
    let second = broker.connect(1);
    let mut joined = Vec::new();
    for client in [first, second] {
        let id = call(&mut broker, client, 9, &join_request("g", "")).member_id;
        broker.send(client, frame(1, 9, &join_request("g", &id)));
    }
    told(&mut broker);
    // The delay of the first generation, and once more because somebody came meanwhile.
    broker.advance_ms(3_000);
    broker.advance_ms(3_000);
    for client in [first, second] {
        let answer = next::<JoinGroupRequest>(&mut broker, client, 9);
        joined.push(answer.expect("a generation was formed").1);
    }
    assert_eq!(told(&mut broker), (vec![], 0));
    let ids: Vec<&str> = joined.iter().map(|one| &*one.member_id).collect();
    let leads = usize::from(joined[1].leader == joined[1].member_id);
    let (leader, follower) = (&joined[leads], &joined[1 - leads]);
    let clients = [first, second];
    broker.send(
        clients[1 - leads],
        frame(1, 5, &sync_request(follower, &[])),
    );
    broker.advance_ms(2_000);
    // The log takes long, too: that counts, for both of them.
    broker.hold = Hold::Flushes;
    broker.send(clients[leads], frame(1, 5, &sync_request(leader, &ids)));
    broker.advance_ms(150);
    broker.release();
    for client in clients {
        let (_, synced) = next::<SyncGroupRequest>(&mut broker, client, 5).expect("assigned");
        assert_eq!(&synced.assignment[..], b"all");
    }
    let (slow, _) = told(&mut broker);
    let slow: Vec<_> = slow.iter().map(|one| (one.api, one.total_us)).collect();
    assert_eq!(slow, [(ApiKey::SyncGroup, 150_000); 2]);
    // A second rebalance waits for those who have not joined again.
    broker.send(first, frame(1, 9, &join_request("g", &joined[0].member_id)));
    broker.advance_ms(1_000);
    let again = join_request("g", &joined[1].member_id);
    broker.send(second, frame(1, 9, &again));
    for client in clients {
        next::<JoinGroupRequest>(&mut broker, client, 9).expect("all have joined");
    }
    assert_eq!(told(&mut broker), (vec![], 0));
}

#[test]
fn a_request_is_told_whose_answer_waited_for_another_and_one_whose_client_has_gone() {
    let mut broker = broker(1, "10");
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    let request = produce_request("t", 0, -1, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
    broker.send(client, frame(2, 3, &ApiVersionsRequest::default()));
    broker.advance_ms(20);
    broker.release();
    let (slow, _) = told(&mut broker);
    let apis: Vec<ApiKey> = slow.iter().map(|slow| slow.api).collect();
    assert_eq!(apis, [ApiKey::Produce, ApiKey::ApiVersions]);
    assert_eq!(slow[1].took_us(Stage::Answer), Some(20_000));
    assert_eq!(slow[1].partition, None);
    broker.hold = Hold::Flushes;
    broker.send(client, frame(1, 9, &request));
    broker.disconnect(client);
    broker.advance_ms(30);
    broker.release();
    let (slow, _) = told(&mut broker);
    assert_eq!((slow.len(), slow[0].total_us), (1, 30_000));
    assert_eq!(
        (slow[0].is_answered, slow[0].client.as_deref()),
        (false, None)
    );
}

#[test]
fn only_some_are_told_each_second_and_the_others_counted() {
    let mut broker = broker(1, "0");
    let client = broker.connect(0);
    let ask = |broker: &mut Broker, count: usize| {
        for _ in 0..count {
            broker.send(client, frame(1, 3, &ApiVersionsRequest::default()));
        }
    };
    ask(&mut broker, SLOW_REQUESTS_TOLD_MAX + 5);
    let (slow, untold) = told(&mut broker);
    assert_eq!((slow.len(), untold), (SLOW_REQUESTS_TOLD_MAX, 0));
    broker.advance_ms(999);
    assert_eq!(told(&mut broker), (vec![], 0));
    broker.advance_ms(1);
    assert_eq!(told(&mut broker), (vec![], 5));
    ask(&mut broker, 1);
    let (slow, untold) = told(&mut broker);
    assert_eq!((slow.len(), untold), (1, 0));
    broker.advance_ms(5000);
    assert_eq!(told(&mut broker), (vec![], 0), "nothing is left to tell");
}

#[test]
fn what_is_slow_changes_while_the_broker_runs() {
    let mut broker = broker(1, "-1");
    let client = broker.connect(0);
    let ask = |broker: &mut Broker| {
        broker.send(client, frame(1, 3, &ApiVersionsRequest::default()));
        told(broker).0.len()
    };
    assert_eq!(ask(&mut broker), 0);
    broker.publish(|image| {
        let settings = BTreeMap::from([("slow.request.ms".into(), "0".into())]);
        image.broker_configs.insert(None, settings);
    });
    broker.settle();
    assert_eq!(ask(&mut broker), 1);
    broker.publish(|image| image.broker_configs.clear());
    broker.settle();
    assert_eq!(ask(&mut broker), 0);
}

#[test]
fn a_long_name_of_a_client_is_shortened_between_letters() {
    let mut broker = broker(1, "0");
    let client = broker.connect(0);
    let name = format!("x{}", "ä".repeat(CLIENT_ID_BYTES_KEPT_MAX));
    let request = ApiVersionsRequest::default();
    let parts = encode_request(1, &name, 3, &request).expect("encodes");
    broker.send(client, bytes::Bytes::from(parts.concat()).slice(4..));
    let (slow, _) = told(&mut broker);
    let told = slow[0].client.as_deref().expect("it has a name");
    assert_eq!(told.len(), CLIENT_ID_BYTES_KEPT_MAX - 1);
    assert!(name.starts_with(told));
}
