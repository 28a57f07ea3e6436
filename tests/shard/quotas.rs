// SPDX-License-Identifier: Apache-2.0
//! Quotas: rates that are held, clients that are muted and others that are not, shards that share a
//! quota.
//!
//! Owns: nothing. Invariants: each name states its rule; time is simulated, so bytes and waits are
//! exact. Runs on: the test's thread. Bounded by: the test.

use std::sync::Arc;

use bytes::Bytes;
use furlong::limits::QUOTA_EXCHANGE_MS;
use furlong::model::ids::ConnectionId;
use furlong::model::quota::{
    ANONYMOUS, ClientQuotas, EntityName, QuotaEntity, QuotaKind, QuotaValue,
};
use furlong::shard::contract::Event;
use furlong::wire::protocol::create_topics::{CreatableTopic, CreateTopicsRequest};
use furlong::wire::protocol::fetch::{FetchRequest, FetchResponse};
use furlong::wire::protocol::metadata::MetadataRequest;
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold, peer};
use crate::client::{batch, call, fetch_request, frame, next, produce, produce_request};

/// What the clients of these tests call themselves.
pub const CLIENT: &str = "test";

pub fn client_id(name: &'static str) -> QuotaEntity {
    QuotaEntity {
        client_id: Some(EntityName::Named(name.into())),
        ..QuotaEntity::default()
    }
}

pub fn user(name: &'static str) -> QuotaEntity {
    QuotaEntity {
        user: Some(EntityName::Named(name.into())),
        ..QuotaEntity::default()
    }
}

fn value(number: f64) -> QuotaValue {
    QuotaValue::new(number).expect("above zero")
}

/// Puts these quotas in force, and no others.
pub fn set(broker: &mut Broker, quotas: &[(QuotaEntity, QuotaKind, f64)]) {
    let mut all = ClientQuotas::new();
    for (entity, kind, number) in quotas {
        let values = all.entry(entity.clone()).or_default();
        values.insert(*kind, value(*number));
    }
    broker.publish(|image| image.quotas = Arc::new(all));
    broker.settle();
}

pub fn is_granted(broker: &Broker, connection: ConnectionId) -> bool {
    broker.wires[&connection].grants > 0
}

/// A batch whose value has so many bytes.
pub fn batch_of(bytes: usize) -> Bytes {
    batch(&["x".repeat(bytes).as_str()])
}

fn throttles(broker: &Broker, kind: QuotaKind) -> (u64, u64) {
    let numbers = broker.shards.iter().map(|shard| shard.numbers());
    let of_kind = numbers.flat_map(|numbers| numbers.throttles);
    let of_kind = of_kind.filter(|(known, _)| *known == kind);
    of_kind.fold((0, 0), |sum, (_, count)| {
        (sum.0 + count.requests, sum.1 + count.ms)
    })
}

/// All windows of a quota: a client that takes what it may as soon as it may does the same again
/// after this time, so its rate is seen over whole ones.
const CYCLE_MS: u64 = 11_000;

/// Lets these clients send what they may for so long, every 10 ms. Gives the bytes of frames.
fn produce_for(broker: &mut Broker, clients: &[ConnectionId], request: &Bytes, ms: u64) -> u64 {
    let mut bytes = 0;
    for _ in 0..ms / 10 {
        for client in clients {
            while is_granted(broker, *client) {
                broker.send(*client, request.clone());
                bytes += request.len() as u64;
                next::<ProduceRequest>(broker, *client, 9).expect("answered at once");
            }
        }
        broker.advance_ms(10);
    }
    bytes
}

#[test]
fn a_producer_is_held_at_its_rate() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 100_000.0)],
    );
    let client = broker.connect(0);
    let request = frame(1, 9, &produce_request("t", 0, -1, batch_of(8_000)));
    // The windows fill first: ten seconds may come at once.
    let first = produce_for(&mut broker, &[client], &request, 1_000);
    assert!((1_000_000..1_120_000).contains(&first), "{first}");
    produce_for(&mut broker, &[client], &request, 2 * CYCLE_MS - 1_000);
    let bytes = produce_for(&mut broker, &[client], &request, 5 * CYCLE_MS);
    assert!((5_400_000..5_600_000).contains(&bytes), "{bytes}");
    let (requests, ms) = throttles(&broker, QuotaKind::ProducerByteRate);
    // Over the whole time the client waits for nine tenths of it, a second or so each time.
    assert!(requests > 50 && ms > 60_000, "{requests} {ms}");
}

#[test]
fn the_answer_leaves_at_once_and_says_exactly_how_long_its_connection_is_muted() {
    for version in [3, 9, 13] {
        let mut broker = Broker::with_topic(1, "t", 1);
        set(
            &mut broker,
            &[(user(ANONYMOUS), QuotaKind::ProducerByteRate, 1_000.0)],
        );
        let (client, other) = (broker.connect(0), broker.connect(0));
        let mut request = produce_request("t", 0, -1, batch_of(11_000));
        request.topic_data[0].topic_id = broker.controller.image.topics["t"].id;
        let response = call(&mut broker, client, version, &request);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        let ms = u64::try_from(response.throttle_time_ms).expect("a time");
        assert!((1_000..2_000).contains(&ms), "{ms}");
        assert!(!is_granted(&broker, client));
        assert_eq!(broker.shards[0].numbers().muted, 1);
        assert!(
            is_granted(&broker, other),
            "others go on, as long as they send nothing"
        );
        broker.advance_us(ms * 1_000 - 1);
        assert!(!is_granted(&broker, client));
        broker.advance_us(1);
        assert!(is_granted(&broker, client));
        assert_eq!(broker.shards[0].numbers().muted, 0);
        // The same user elsewhere has used it up as well.
        let response = call(&mut broker, other, version, &request);
        assert!(response.throttle_time_ms > 9_000, "{response:?}");
    }
}

#[test]
fn no_frame_follows_one_that_is_too_much_while_it_is_under_way() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000.0)],
    );
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    let small = frame(1, 9, &produce_request("t", 0, -1, batch_of(100)));
    let large = frame(2, 9, &produce_request("t", 0, -1, batch_of(12_000)));
    broker.send(client, small);
    assert!(is_granted(&broker, client), "requests are pipelined");
    broker.send(client, large);
    assert!(!is_granted(&broker, client), "but not past the quota");
    broker.advance_ms(1_200);
    broker.release();
    let (_, first) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
    let (_, second) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
    let ms = first.throttle_time_ms;
    assert!((1_900..2_500).contains(&ms), "{first:?}");
    assert_eq!(second.throttle_time_ms, ms);
    broker.advance_ms(u64::try_from(ms).expect("a time"));
    assert!(is_granted(&broker, client));
}

#[test]
fn a_producer_without_answers_is_muted_all_the_same() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000.0)],
    );
    let client = broker.connect(0);
    broker.send(
        client,
        frame(1, 9, &produce_request("t", 0, 0, batch_of(15_000))),
    );
    assert!(!is_granted(&broker, client));
    broker.advance_ms(5_200);
    assert!(is_granted(&broker, client));
}

#[test]
fn a_consumer_is_held_at_its_rate_and_gets_nothing_meanwhile() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let writer = broker.connect(0);
    for _ in 0..100 {
        produce(&mut broker, writer, "t", 0, batch_of(9_900));
    }
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ConsumerByteRate, 20_000.0)],
    );
    let reader = broker.connect(0);
    let (mut offset, mut bytes, mut empty) = (0, 0, 0);
    let start = broker.now.monotonic_us;
    while offset < 100 {
        if !is_granted(&broker, reader) {
            broker.advance_ms(10);
            continue;
        }
        let response = call(&mut broker, reader, 12, &fetch_request("t", &[(0, offset)]));
        if response.throttle_time_ms > 0 {
            assert!(response.responses.is_empty(), "empty at once");
            assert!(!is_granted(&broker, reader));
            empty += 1;
            continue;
        }
        let records = response.responses[0].partitions[0].records.clone();
        let records = records.expect("never null");
        assert!(records.len() <= 200_000, "no more than the windows allow");
        assert!(!records.is_empty());
        bytes += records.len();
        offset += i64::try_from(records.len() / 9_900).expect("few");
    }
    assert!(bytes > 990_000 && empty > 0);
    // A million bytes at 20,000 a second, of which 200,000 came at once.
    let seconds = (broker.now.monotonic_us - start) as f64 / 1e6;
    assert!((38.0..48.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_consumer_that_asks_for_much_gets_what_there_is_room_for_and_waits_for_little() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let writer = broker.connect(0);
    for _ in 0..100 {
        produce(&mut broker, writer, "t", 0, batch_of(9_900));
    }
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ConsumerByteRate, 20_000.0)],
    );
    let reader = broker.connect(0);
    let mut offset = 0;
    let mut fetch = |broker: &mut Broker| -> (usize, i32) {
        let response = call(broker, reader, 12, &fetch_request("t", &[(0, offset)]));
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        let records = partitions.filter_map(|one| one.records.as_ref());
        let bytes: usize = records.map(|records| records.len()).sum();
        offset += i64::try_from(bytes / 9_900).expect("few");
        (bytes / 9_900, response.throttle_time_ms)
    };
    let (first, told) = fetch(&mut broker);
    assert!((18..=20).contains(&first) && told == 0, "{first}, {told}");
    // One more batch would pass half a second later at most, and only that is waited for.
    let (second, told) = fetch(&mut broker);
    assert!(second == 0 && (1..=500).contains(&told), "{second}, {told}");
    broker.advance_ms(u64::try_from(told).expect("positive"));
    assert_eq!(fetch(&mut broker), (1, 0));
    // The rest of this second brings less than a batch, and the next ones bring nothing, until all
    // that came at once is forgotten.
    broker.advance_ms(11_000);
    let (third, told) = fetch(&mut broker);
    assert!((18..=20).contains(&third) && told == 0, "{third}, {told}");
}

#[test]
fn a_batch_that_is_larger_than_the_windows_allow_is_read_when_nothing_else_is() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let writer = broker.connect(0);
    produce(&mut broker, writer, "t", 0, batch_of(50_000));
    produce(&mut broker, writer, "t", 0, batch_of(50_000));
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ConsumerByteRate, 1_000.0)],
    );
    let reader = broker.connect(0);
    let fetch = |broker: &mut Broker, offset| -> FetchResponse {
        call(broker, reader, 12, &fetch_request("t", &[(0, offset)]))
    };
    let first = fetch(&mut broker, 0);
    assert_eq!(first.throttle_time_ms, 0);
    let second = fetch(&mut broker, 1);
    assert!(
        (10_000..=11_000).contains(&second.throttle_time_ms),
        "{second:?}"
    );
    broker.advance_ms(11_000);
    let second = fetch(&mut broker, 1);
    assert_eq!(second.responses[0].partitions[0].error_code, 0);
}

#[test]
fn a_session_goes_on_behind_an_answer_that_was_held_back() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let writer = broker.connect(0);
    produce(&mut broker, writer, "t", 0, batch_of(8_000));
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ConsumerByteRate, 1_000.0)],
    );
    let reader = broker.connect(0);
    let ask = |id, epoch, offset| FetchRequest {
        session_id: id,
        session_epoch: epoch,
        ..fetch_request("t", &[(0, offset)])
    };
    let first = call(&mut broker, reader, 12, &ask(0, 0, 0));
    assert_ne!(first.session_id, 0);
    let id = first.session_id;
    // Nothing more may be read; the same session says so, and its epoch has moved.
    let second = call(&mut broker, reader, 12, &ask(id, 1, 0));
    assert!(second.throttle_time_ms > 0);
    assert_eq!((second.session_id, second.error_code), (id, 0));
    broker.advance_ms(12_000);
    let third = call(&mut broker, reader, 12, &ask(id, 2, 0));
    assert_eq!(
        (third.session_id, third.error_code, third.throttle_time_ms),
        (id, 0, 0)
    );
    assert_eq!(third.responses.len(), 1);
}

#[test]
fn clients_on_several_shards_share_one_rate() {
    for shards in [2u16, 4] {
        let mut broker = Broker::with_topic(shards, "t", i32::from(shards));
        let rate = 100_000.0;
        set(
            &mut broker,
            &[(client_id(CLIENT), QuotaKind::ProducerByteRate, rate)],
        );
        let clients: Vec<ConnectionId> = (0..usize::from(shards))
            .map(|shard| broker.connect(shard))
            .collect();
        let request = frame(1, 9, &produce_request("t", 0, -1, batch_of(4_000)));
        produce_for(&mut broker, &clients, &request, 2 * CYCLE_MS);
        let bytes = produce_for(&mut broker, &clients, &request, 5 * CYCLE_MS);
        assert!(
            (5_300_000..5_900_000).contains(&bytes),
            "{shards} shards: {bytes}"
        );
        // In the middle of a round all wait, whoever had the first part of it.
        produce_for(&mut broker, &clients, &request, CYCLE_MS / 2);
        let muted: usize = broker
            .shards
            .iter()
            .map(|shard| shard.numbers().muted)
            .sum();
        assert!(muted > 0);
    }
}

#[test]
fn a_client_that_moves_to_another_shard_takes_its_debt_along() {
    let mut broker = Broker::with_topic(2, "t", 2);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000.0)],
    );
    let first = broker.connect(0);
    let request = produce_request("t", 0, -1, batch_of(15_000));
    assert!(call(&mut broker, first, 9, &request).throttle_time_ms > 4_000);
    broker.disconnect(first);
    let second = broker.connect(1);
    assert!(is_granted(&broker, second), "who connects anew may ask");
    let response = call(&mut broker, second, 9, &request);
    assert!(
        response.throttle_time_ms > 19_000,
        "{}",
        response.throttle_time_ms
    );
}

#[test]
fn small_uses_are_told_in_time_and_once() {
    let mut broker = Broker::with_topic(2, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000_000.0)],
    );
    let client = broker.connect(0);
    broker.mesh_messages = 0;
    for _ in 0..10 {
        produce(&mut broker, client, "t", 0, batch_of(100));
    }
    assert_eq!(
        broker.mesh_messages, 0,
        "the partition is here, and little was used"
    );
    broker.advance_ms(QUOTA_EXCHANGE_MS);
    assert_eq!(broker.mesh_messages, 1);
    broker.advance_ms(10 * QUOTA_EXCHANGE_MS);
    assert_eq!(broker.mesh_messages, 1, "nothing new is nothing told");
    assert_eq!(broker.shards[1].numbers().quota_meters, 1);
}

#[test]
fn clients_without_a_quota_are_left_alone() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id("somebody else"), QuotaKind::ProducerByteRate, 1.0)],
    );
    let client = broker.connect(0);
    let request = frame(1, 9, &produce_request("t", 0, -1, batch_of(8_000)));
    for _ in 0..100 {
        broker.send(client, request.clone());
        let (_, response) = next::<ProduceRequest>(&mut broker, client, 9).expect("answered");
        assert_eq!(response.throttle_time_ms, 0);
    }
    assert_eq!(broker.shards[0].numbers().quota_meters, 0);
}

#[test]
fn a_quota_that_changes_frees_those_who_wait_and_counts_anew() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let tight = [(client_id(CLIENT), QuotaKind::ProducerByteRate, 10.0)];
    set(&mut broker, &tight);
    let client = broker.connect(0);
    let request = produce_request("t", 0, -1, batch_of(9_000));
    assert!(call(&mut broker, client, 9, &request).throttle_time_ms > 800_000);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000_000.0)],
    );
    assert!(is_granted(&broker, client));
    assert_eq!(call(&mut broker, client, 9, &request).throttle_time_ms, 0);
    set(&mut broker, &[]);
    assert_eq!(call(&mut broker, client, 9, &request).throttle_time_ms, 0);
    assert_eq!(
        broker.shards[0].numbers().quota_meters,
        0,
        "nothing is kept"
    );
}

#[test]
fn a_muted_client_that_goes_away_leaves_nothing_behind() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(client_id(CLIENT), QuotaKind::ProducerByteRate, 1_000.0)],
    );
    let client = broker.connect(0);
    call(
        &mut broker,
        client,
        9,
        &produce_request("t", 0, -1, batch_of(20_000)),
    );
    assert_eq!(broker.shards[0].numbers().muted, 1);
    broker.disconnect(client);
    assert_eq!(broker.shards[0].numbers().muted, 0);
    broker.advance_ms(60_000);
}

#[test]
fn time_that_requests_take_mutes_every_kind_of_them() {
    let mut broker = Broker::with_topic(1, "t", 1);
    // One percent of a core: ten windows allow 100 ms.
    set(
        &mut broker,
        &[(user(ANONYMOUS), QuotaKind::RequestPercentage, 1.0)],
    );
    let client = broker.connect(0);
    let request = MetadataRequest::default();
    let first = call(&mut broker, client, 12, &request);
    assert_eq!(first.throttle_time_ms, 0);
    broker.event(0, Event::Spent { took_us: 103_000 });
    for version in [3, 12] {
        let second = call(&mut broker, client, version, &request);
        // Three hundred milliseconds of pace for three of work.
        assert!((200..=300).contains(&second.throttle_time_ms), "{second:?}");
        assert!(!is_granted(&broker, client));
        broker.advance_us(u64::try_from(second.throttle_time_ms).expect("a time") * 1000);
        assert!(is_granted(&broker, client));
        broker.event(0, Event::Spent { took_us: 2_500 });
    }
    // It never waits for longer than one window.
    call(&mut broker, client, 12, &request);
    broker.advance_ms(1_000);
    broker.event(
        0,
        Event::Spent {
            took_us: 90_000_000,
        },
    );
    let last = call(&mut broker, client, 12, &request);
    assert_eq!(last.throttle_time_ms, 1_000);
    let (requests, ms) = throttles(&broker, QuotaKind::RequestPercentage);
    assert!(requests >= 3 && ms >= 1_500);
}

#[test]
fn a_version_that_cannot_say_it_is_muted_all_the_same() {
    let mut broker = Broker::with_topic(1, "t", 1);
    set(
        &mut broker,
        &[(user(ANONYMOUS), QuotaKind::RequestPercentage, 1.0)],
    );
    let client = broker.connect(0);
    let request = MetadataRequest::default();
    call(&mut broker, client, 0, &request);
    broker.event(0, Event::Spent { took_us: 500_000 });
    let answered = call(&mut broker, client, 0, &request);
    assert_eq!(answered.brokers.len(), 1, "the answer is whole");
    assert!(!is_granted(&broker, client));
}

#[test]
fn time_of_parts_on_other_shards_counts_for_the_connection() {
    let mut broker = Broker::with_topic(2, "t", 2);
    set(
        &mut broker,
        &[(user(ANONYMOUS), QuotaKind::RequestPercentage, 1.0)],
    );
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 1, batch_of(10));
    broker.event(1, Event::Spent { took_us: 300_000 });
    let response = call(
        &mut broker,
        client,
        9,
        &produce_request("t", 1, -1, batch_of(10)),
    );
    assert_eq!(response.throttle_time_ms, 1_000);
}

#[test]
fn changes_of_metadata_are_asked_with_who_asks() {
    let mut broker = Broker::new(1);
    set(
        &mut broker,
        &[(user(ANONYMOUS), QuotaKind::ControllerMutationRate, 1.0)],
    );
    let client = broker.connect(0);
    for (version, name, is_strict) in [(5, "a", false), (6, "b", true), (7, "c", true)] {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: 1,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        };
        let response = call(&mut broker, client, version, &request);
        assert_eq!(response.topics[0].error_code, 0);
        assert_eq!(response.throttle_time_ms, 250);
        assert!(!is_granted(&broker, client));
        broker.advance_ms(250);
        let asker = broker.controller.askers.pop().expect("it was said");
        assert_eq!((&*asker.user, &*asker.client_id), (ANONYMOUS, CLIENT));
        assert_eq!(asker.is_strict, is_strict, "version {version}");
    }
}

#[test]
fn an_address_that_connects_too_quickly_is_closed_after_a_while() {
    let mut broker = Broker::new(2);
    let ip = QuotaEntity {
        ip: Some(EntityName::Named("10.0.0.9".into())),
        ..QuotaEntity::default()
    };
    set(&mut broker, &[(ip, QuotaKind::ConnectionCreationRate, 1.0)]);
    let mut served = 0;
    let mut late = None;
    for number in 0..30 {
        let connection = broker.connect_from(number % 2, peer("10.0.0.9"));
        served += usize::from(is_granted(&broker, connection));
        late = Some(connection);
    }
    // Ten windows of one each, and what has passed of the current one.
    assert!((10..=11).contains(&served), "{served}");
    let late = late.expect("the last");
    assert!(!broker.wires[&late].closed, "not at once");
    let other = broker.connect_from(0, peer("10.0.0.8"));
    assert!(is_granted(&broker, other), "others are not concerned");
    broker.advance_ms(1_000);
    assert!(broker.wires[&late].closed);
    broker.advance_ms(11_000);
    let again = broker.connect_from(0, peer("10.0.0.9"));
    assert!(is_granted(&broker, again));
}
