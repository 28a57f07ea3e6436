// SPDX-License-Identifier: Apache-2.0
//! What a shard counts: records and bytes by topic, error codes by API.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::error_code::ErrorCode;
use furlong::shard::numbers::{ShardNumbers, TopicCounts};
use furlong::wire::protocol::ApiKey;
use furlong::wire::protocol::fetch::FetchRequest;

use crate::broker::Broker;
use crate::client::{batch, call, fetch_request, produce, produce_request};

/// The figures of all shards of a topic, and of everything.
fn counts(broker: &Broker, topic: &str) -> (TopicCounts, TopicCounts) {
    let (mut found, mut all) = (TopicCounts::default(), TopicCounts::default());
    for shard in &broker.shards {
        let numbers = shard.numbers();
        all.add(numbers.all_topics);
        for (name, counts) in numbers.topics {
            if name == topic {
                found.add(counts);
            }
        }
    }
    (found, all)
}

fn error_count(numbers: &ShardNumbers, key: ApiKey, code: ErrorCode) -> u64 {
    let errors = numbers.errors.iter();
    let found = errors.filter(|(api, error, _)| *api == key && *error == Some(code.code()));
    found.map(|(_, _, count)| count).sum()
}

#[test]
fn records_and_bytes_are_counted_by_topic_whichever_shard_has_them() {
    let mut broker = Broker::with_topic(2, "t", 2);
    broker.add_topic("other", 1, &[]);
    let client = broker.connect(0);
    let records = batch(&["a", "b", "c"]);
    let bytes = u64::try_from(records.len()).expect("small");
    for partition in 0..2 {
        produce(&mut broker, client, "t", partition, records.clone());
    }
    produce(&mut broker, client, "other", 0, batch(&["x"]));
    let request = fetch_request("t", &[(0, 0), (1, 0), (7, 0)]);
    call::<FetchRequest>(&mut broker, client, 12, &request);
    let (topic, all) = counts(&broker, "t");
    let expected = TopicCounts {
        messages_in: 6,
        bytes_in: 2 * bytes,
        bytes_out: 2 * bytes,
    };
    assert_eq!(topic, expected);
    assert_eq!((all.messages_in, all.bytes_out), (7, 2 * bytes));
    // A fetch that waits and is woken tells its records once.
    let wait = FetchRequest {
        max_wait_ms: 500,
        min_bytes: i32::try_from(2 * bytes).expect("small"),
        ..fetch_request("t", &[(0, 3), (1, 3)])
    };
    broker.send(client, crate::client::frame(1, 12, &wait));
    let writer = broker.connect(1);
    for partition in 0..2 {
        produce(&mut broker, writer, "t", partition, records.clone());
    }
    let (topic, _) = counts(&broker, "t");
    assert_eq!((topic.messages_in, topic.bytes_out), (12, 4 * bytes));
}

#[test]
fn what_is_refused_or_sent_again_is_not_counted() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    let mut damaged = batch(&["a"]).to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    let answer = produce(&mut broker, client, "t", 0, damaged.into());
    assert_eq!(answer.error_code, ErrorCode::CorruptMessage.code());
    assert_eq!(counts(&broker, "t").0, TopicCounts::default());
}

#[test]
fn a_deleted_topic_leaves_its_counts_to_the_whole() {
    let mut broker = Broker::with_topic(1, "t", 1);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    let before = counts(&broker, "t").1;
    assert_eq!(before.messages_in, 1);
    broker.publish(|image| {
        image.topics.clear();
        image.topic_names.clear();
    });
    broker.settle();
    assert_eq!(broker.shards[0].partition_count(), 0);
    assert_eq!(counts(&broker, "t"), (TopicCounts::default(), before));
    broker.publish(|_| {});
    broker.settle();
    assert_eq!(counts(&broker, "t").1, before, "and keeps them there");
}

#[test]
fn error_codes_of_answers_are_counted_by_api() {
    let mut broker = Broker::with_topic(1, "t", 2);
    let client = broker.connect(0);
    produce(&mut broker, client, "t", 0, batch(&["a"]));
    produce(&mut broker, client, "t", 9, batch(&["a"]));
    call::<FetchRequest>(
        &mut broker,
        client,
        12,
        &fetch_request("t", &[(0, 0), (1, 5), (9, 0)]),
    );
    broker.send(
        client,
        crate::client::frame(1, 9, &produce_request("t", 0, 0, batch(&["a"]))),
    );
    let numbers = broker.shards[0].numbers();
    let count = |key, code| error_count(&numbers, key, code);
    assert_eq!(
        count(ApiKey::Produce, ErrorCode::None),
        1,
        "acks=0 has no answer"
    );
    assert_eq!(
        count(ApiKey::Produce, ErrorCode::UnknownTopicOrPartition),
        1
    );
    // One for the whole answer, one for the partition that was read.
    assert_eq!(count(ApiKey::Fetch, ErrorCode::None), 2);
    assert_eq!(count(ApiKey::Fetch, ErrorCode::OffsetOutOfRange), 1);
    assert_eq!(count(ApiKey::Fetch, ErrorCode::UnknownTopicOrPartition), 1);
}

#[test]
fn groups_are_counted_by_kind_and_state_with_their_members() {
    let (mut broker, client) = crate::groups::ready();
    let count = |broker: &Broker, state: &str| {
        let shards = broker.shards.iter();
        let shards = shards.map(|shard| shard.numbers().coordinators);
        shards.fold((0, 0), |sum, one| {
            let mut groups = one.groups.iter();
            let found = groups.find(|(kind, name, _)| (*kind, *name) == ("classic", state));
            let (_, _, groups) = found.expect("every state is told");
            let mut members = one.members.iter();
            let members = members.find(|(kind, _)| *kind == "classic");
            let (_, members) = members.expect("every kind is told");
            (sum.0 + groups, sum.1 + members)
        })
    };
    assert_eq!(count(&broker, "Stable"), (0, 0));
    for group in crate::groups::GROUPS {
        crate::groups::stable(&mut broker, client, group);
    }
    assert_eq!(count(&broker, "Stable"), (3, 3));
    assert_eq!(count(&broker, "Empty"), (0, 3));
    crate::groups::commit(&mut broker, client, "offsets alone", ("t", 0), 5);
    assert_eq!(count(&broker, "Empty"), (1, 3));
    broker.advance_ms(60_000);
    assert_eq!(count(&broker, "Stable"), (0, 0), "nobody was heard of");
    assert_eq!(count(&broker, "Empty"), (4, 0));
}
