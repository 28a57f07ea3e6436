// SPDX-License-Identifier: Apache-2.0
//! Produce requests, from the frame to the answer: decoding, validation, the append, the round, its
//! flush, the acknowledgement.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::host::{Host, steady};

/// A batch of `count` records of 100 bytes.
pub fn batch(count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..count {
        builder.append(1_700_000_000_000, None, Some(&[7; 100]), &[]);
    }
    builder.build()
}

/// A produce request with these records for each of the partitions.
pub fn request(acks: i16, partitions: &[i32], records: &Bytes) -> ProduceRequest {
    let partition_data = partitions.iter().map(|index| PartitionProduceData {
        index: *index,
        records: Some(records.clone()),
    });
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: partition_data.collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// Sends the same request again and again. Gives what each allocated once it was warm.
fn produce(host: &mut Host, acks: i16, partitions: &[i32], records: &Bytes) -> Vec<usize> {
    let request = request(acks, partitions, records);
    steady(host, 2200, 500, |host| {
        if acks == 0 {
            return host.send(9, &request);
        }
        let response = host.call(9, &request);
        let answers = &response.responses[0].partition_responses;
        assert_eq!(answers.len(), partitions.len());
        assert!(answers.iter().all(|answer| answer.error_code == 0));
    })
}

#[test]
fn a_client_within_its_quota_allocates_nothing() {
    let mut host = Host::new(1, 1);
    host.set_wide_quotas();
    let counts = produce(&mut host, -1, &[0], &batch(3));
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

#[test]
fn a_small_request_allocates_nothing() {
    for acks in [-1, 1, 0] {
        let mut host = Host::new(1, 1);
        let counts = produce(&mut host, acks, &[0], &batch(3));
        assert_eq!(counts.iter().sum::<usize>(), 0, "acks={acks}: {counts:?}");
    }
}

#[test]
fn a_request_for_many_partitions_allocates_nothing() {
    let partitions: Vec<i32> = (0..20).collect();
    let counts = produce(&mut Host::new(1, 20), -1, &partitions, &batch(3));
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

#[test]
fn a_large_request_allocates_nothing_but_for_a_recovery_point_and_larger_indexes() {
    let counts = produce(&mut Host::new(1, 1), -1, &[0], &batch(400));
    // 22 MB of log: one recovery point is noted, and an index may double.
    let allocating = counts.iter().filter(|count| **count > 0).count();
    assert!(allocating <= 12, "{counts:?}");
}

#[test]
fn an_idempotent_producer_allocates_nothing() {
    let mut host = Host::new(1, 1);
    let mut sequence = 0;
    let counts = steady(&mut host, 4500, 300, |host| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(1_700_000_000_000, None, Some(&[7; 100]), &[]);
        builder.producer(7, 0, sequence);
        sequence += 1;
        let response = host.call(9, &request(-1, &[0], &builder.build()));
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    });
    assert_eq!(counts.iter().sum::<usize>(), 0, "{counts:?}");
}

#[test]
fn a_partition_of_another_core_costs_the_boxes_of_two_messages() {
    // One there, one back: a message is boxed, for it is larger than an effect may be.
    let counts = produce(&mut Host::new(2, 2), -1, &[1], &batch(3));
    assert!(counts.iter().all(|count| *count == 2), "{counts:?}");
}
