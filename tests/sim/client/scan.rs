// SPDX-License-Identifier: Apache-2.0
//! What readers that go through one partition after the other share: how they ask and what an
//! answer is about.
//!
//! Invariants: one partition of one topic to a request.

use bytes::Bytes;
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};

use super::Context;
use super::link::{Link, decode};
use crate::history::Place;

/// A request for what is behind a position; committed records alone, if that is wanted.
pub fn fetch<T>(
    link: &Link<T>,
    context: &mut Context<'_>,
    (place, position): (Place, i64),
    is_committed_only: bool,
) -> Option<(i16, FetchRequest)> {
    let topic = context.board.topic(place.topic)?.clone();
    let partition = FetchPartition {
        partition: place.partition,
        fetch_offset: position,
        partition_max_bytes: i32::try_from(context.prng.skewed(1, 100_000)).expect("small"),
        ..FetchPartition::default()
    };
    let at_most = if topic.id.is_zero() { 12 } else { i16::MAX };
    let body = FetchRequest {
        max_wait_ms: i32::try_from(context.prng.below(100)).expect("small"),
        min_bytes: 1,
        max_bytes: 1_000_000,
        isolation_level: i8::from(is_committed_only),
        topics: vec![FetchTopic {
            topic: topic.name.into(),
            topic_id: topic.id,
            partitions: vec![partition],
        }],
        ..FetchRequest::default()
    };
    let version = link.version_between::<FetchRequest>(context, 4, at_most);
    Some((version, body))
}

/// What an answer says of the partition.
pub fn fetched(context: &mut Context<'_>, version: i16, frame: Bytes) -> Option<PartitionData> {
    let body = decode::<FetchRequest>(context, version, frame)?;
    let topic = body.responses.into_iter().next()?;
    topic.partitions.into_iter().next()
}
