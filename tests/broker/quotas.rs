// SPDX-License-Identifier: Apache-2.0
//! Quotas of changes of metadata (KIP-599) over the wire: versions that know of it are told that
//! the quota is used up, older ones get what they asked for and have to wait; either way the
//! connection is held back for as long as the answer says, and others are not.

use std::time::{Duration, Instant};

use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::create_topics::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsResponse,
};
use furlong::wire::protocol::delete_topics::DeleteTopicsRequest;

use crate::client::Client;
use crate::commands::Garden;

/// Partitions a second.
const RATE: i32 = 2;

/// Two windows of a second: so many partitions may be made at once.
const FULL: i32 = 2 * RATE;

/// The last version whose clients do not know that a quota can be used up, and the first that do.
const OLD: i16 = 5;
const NEW: i16 = 6;

/// A broker where the clients of these tests have the quota.
fn start() -> Garden {
    let windows = [
        "--set",
        "controller.quota.window.num=2",
        "--set",
        "controller.quota.window.size.seconds=1",
    ];
    let garden = Garden::start(&windows);
    let quota = format!("controller_mutation_rate={RATE}");
    let said = garden.out(&["quota", "set", &quota, "--client-id", "test"]);
    assert!(said.contains("controller_mutation_rate"), "{said}");
    garden
}

fn create(client: &mut Client, version: i16, name: &str, count: i32) -> CreateTopicsResponse {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.into(),
            num_partitions: count,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    client.call(version, &request)
}

fn throttle(response: &CreateTopicsResponse) -> Duration {
    let ms = u64::try_from(response.throttle_time_ms).expect("a time");
    Duration::from_millis(ms)
}

/// How many partitions a topic has, as somebody sees who is not held back.
fn partitions(garden: &Garden, topic: &str) -> Option<usize> {
    let mut other = Client::connect(&garden.broker.address);
    let metadata = other.metadata(topic);
    let found = &metadata.topics[0];
    (found.error_code == 0).then_some(found.partitions.len())
}

#[test]
fn a_new_version_is_told_that_the_quota_is_used_up_and_may_try_again_behind_the_wait() {
    let garden = start();
    let mut client = Client::connect(&garden.broker.address);
    // What is left may be overdrawn once, here by three: one second and a half.
    let first = create(&mut client, NEW, "first", FULL + 3);
    assert_eq!(first.topics[0].error_code, 0, "{first:?}");
    assert_eq!(first.throttle_time_ms, 0);
    let asked = Instant::now();
    let second = create(&mut client, NEW, "second", 1);
    let refused = ErrorCode::ThrottlingQuotaExceeded.code();
    assert_eq!(second.topics[0].error_code, refused, "{second:?}");
    let wait = throttle(&second);
    assert!(wait > Duration::ZERO && wait <= Duration::from_millis(1_500));
    assert_eq!(partitions(&garden, "second"), None, "it was not made");
    let again = create(&mut client, NEW, "second", 1);
    assert!(asked.elapsed() >= wait, "the connection was held back");
    assert_eq!(again.topics[0].error_code, 0, "{again:?}");
    assert_eq!(partitions(&garden, "second"), Some(1));
}

#[test]
fn an_old_version_gets_what_it_asks_for_and_is_held_back() {
    let garden = start();
    let mut client = Client::connect(&garden.broker.address);
    let asked = Instant::now();
    let answer = create(&mut client, OLD, "old", FULL + 3);
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    let wait = throttle(&answer);
    // Three partitions at two a second, and no time has passed while they were planned.
    assert!(
        (Duration::from_millis(1_400)..=Duration::from_millis(1_500)).contains(&wait),
        "{wait:?}"
    );
    assert_eq!(partitions(&garden, "old"), usize::try_from(FULL + 3).ok());
    let request = DeleteTopicsRequest {
        topic_names: vec!["old".into()],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let deleted = client.call(4, &request);
    assert!(asked.elapsed() >= wait, "the connection was held back");
    // What is taken away counts as well, so it waits again, for all that it took.
    assert_eq!(deleted.responses[0].error_code, 0, "{deleted:?}");
    assert!(deleted.throttle_time_ms > 1_500, "{deleted:?}");
    assert_eq!(partitions(&garden, "old"), None);
}
