// SPDX-License-Identifier: Apache-2.0
//! Fetches of what is in memory, from the frame to the answer, and fetches that wait for it; with a
//! session and without.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};

use crate::allocation::take_count;
use crate::append::{batch, request};
use crate::host::{Host, steady};
use furlong::model::ids::Uuid;
use furlong::wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};

fn fetch(offset: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Produces and reads what came, again and again. Gives what the reads allocated.
fn follow(records: usize, max_wait_ms: i32, warm_up: usize, rounds: usize) -> Vec<usize> {
    let mut host = Host::new(1, 1);
    let records_of_batch = i64::try_from(records).expect("few");
    let produced = request(-1, &[0], &batch(records));
    let mut offset = 0;
    let mut counts = Vec::new();
    steady(&mut host, warm_up, rounds, |host| {
        host.call(9, &produced);
        take_count();
        let response = host.call(11, &fetch(offset, max_wait_ms));
        let partition = &response.responses[0].partitions[0];
        let bytes = partition.records.as_ref().map_or(0, bytes::Bytes::len);
        assert!(partition.error_code == 0 && bytes > 100 * records);
        offset += records_of_batch;
        counts.push(take_count());
    });
    counts.split_off(warm_up)
}

#[test]
fn a_consumer_at_the_tip_costs_nothing() {
    for max_wait_ms in [0, 500] {
        let counts = follow(3, max_wait_ms, 2200, 500);
        assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
    }
}

#[test]
fn larger_batches_are_shared_and_cost_nothing_either() {
    let counts = follow(400, 500, 200, 200);
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

#[test]
fn a_fetch_that_waits_and_the_produce_that_wakes_it_cost_nothing() {
    let mut host = Host::new(1, 1);
    let produced = request(0, &[0], &batch(3));
    let mut offset = 0;
    let counts = steady(&mut host, 2200, 500, |host| {
        host.send(11, &fetch(offset, 500));
        host.send(9, &produced);
        assert!(host.drop_answers() > 300, "the fetch was woken");
        offset += 3;
    });
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

/// A client with a session on all partitions of the topic, and what it has read of each.
struct Session {
    id: i32,
    epoch: i32,
    topic_id: Uuid,
    offsets: Vec<i64>,
}

impl Session {
    /// Opens a session on so many partitions. From version 13 on the topic goes by its id.
    fn open(host: &mut Host, version: i16, partitions: usize) -> Session {
        let asked = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some("t".into()),
                ..MetadataRequestTopic::default()
            }]),
            ..MetadataRequest::default()
        };
        let mut session = Session {
            id: 0,
            epoch: 0,
            topic_id: host.call(12, &asked).topics[0].topic_id,
            offsets: vec![0; partitions],
        };
        let all: Vec<i32> = (0..i32::try_from(partitions).expect("few")).collect();
        let answer = host.call(version, &session.request(&all));
        assert!(answer.session_id > 0, "a session is opened");
        (session.id, session.epoch) = (answer.session_id, 1);
        session
    }

    /// The next request, which names these partitions anew.
    fn request(&self, named: &[i32]) -> FetchRequest {
        let partitions = named.iter().map(|partition| FetchPartition {
            partition: *partition,
            fetch_offset: self.offsets[usize::try_from(*partition).expect("from 0 on")],
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        });
        let mut request = fetch(0, 0);
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        request.topics[0].topic_id = self.topic_id;
        request.topics[0].partitions = partitions.collect();
        if named.is_empty() {
            request.topics.clear();
        }
        request
    }
}

/// A client of a session reads what comes to one partition after the other; it names anew what it
/// read before, or nothing once in a while. Gives what its requests allocated.
fn follow_in_session(version: i16, partitions: usize, pauses: bool) -> Vec<usize> {
    let count = i32::try_from(partitions).expect("few");
    let mut host = Host::new(1, count);
    let mut session = Session::open(&mut host, version, partitions);
    let (mut partition, mut counts) = (0, Vec::new());
    steady(&mut host, 2200, 500, |host| {
        let before = partition;
        partition = (partition + 7) % count;
        host.call(9, &request(-1, &[partition], &batch(3)));
        take_count();
        let answer = host.call(version, &session.request(&[before]));
        let told = &answer.responses[0].partitions;
        assert_eq!((told.len(), told[0].partition_index), (1, partition));
        session.epoch += 1;
        session.offsets[usize::try_from(partition).expect("few")] += 3;
        let named = if pauses { vec![] } else { vec![partition] };
        let answer = host.call(version, &session.request(&named));
        let is_read_again = pauses && answer.responses.len() == 1;
        assert!(is_read_again || answer.responses.is_empty());
        assert_eq!((answer.error_code, answer.session_id), (0, session.id));
        session.epoch += 1;
        counts.push(take_count());
    });
    counts.split_off(2200)
}

#[test]
fn a_session_at_the_tip_costs_nothing() {
    for (version, partitions) in [(11, 1), (11, 20), (17, 1), (17, 20)] {
        let counts = follow_in_session(version, partitions, false);
        assert_eq!(counts.iter().sum::<usize>(), 0, "{version}: {counts:?}");
    }
}

#[test]
fn a_request_that_names_nothing_costs_the_next_one_a_list() {
    // Decoding a request without topics over another one drops the list of that one's topic.
    for version in [11, 17] {
        let counts = follow_in_session(version, 20, true);
        assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    }
}
