// SPDX-License-Identifier: Apache-2.0
//! DescribeProducers (61): the idempotent producers that partitions remember (KIP-664).
//!
//! Owns: its handler. Invariants: a topic that cannot be is told apart from one that is not there.
//! Runs on: the shard that accepted the connection. Bounded by: the frame times
//! `PRODUCERS_PER_PARTITION_MAX`.

use std::ops::RangeInclusive;

use super::asks::{AskPlan, Outcome};
use super::{ApiError, Arrival, Reply};
use crate::control::topic_name;
use crate::model::error_code::ErrorCode;
use crate::partition::ProducerFact;
use crate::shard::machine::Shard;
use crate::shard::parts::asks::{Question, Said};
use crate::wire::protocol::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Asks the partitions.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeProducersRequest = arrival.decode()?;
    let mut plan = AskPlan::default();
    for topic in &request.topics {
        let is_valid = topic_name::check(&topic.name).is_ok();
        for index in &topic.partition_indexes {
            let routed = match is_valid {
                true => shard.route_by_name(&topic.name, *index),
                false => Err(ErrorCode::InvalidTopicException),
            };
            plan.push(routed, Question::Producers);
        }
    }
    plan.put(
        shard,
        arrival.call,
        arrival.effects,
        move |call, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let topics = request.topics.into_iter().map(|topic| {
                let partitions = topic.partition_indexes.iter().zip(outcomes.by_ref());
                TopicResponse {
                    partitions: partitions
                        .map(|(index, outcome)| producers(*index, outcome))
                        .collect(),
                    name: topic.name,
                }
            });
            let topics = topics.collect();
            call.reply(&DescribeProducersResponse {
                topics,
                ..DescribeProducersResponse::default()
            })
        },
    )
}

fn producers(partition_index: i32, outcome: Outcome) -> PartitionResponse {
    let mut answer = PartitionResponse {
        partition_index,
        ..PartitionResponse::default()
    };
    match outcome {
        Ok(Said::Producers(facts)) => {
            answer.active_producers = facts.iter().map(producer).collect();
        }
        Ok(_) => answer.error_code = ErrorCode::UnknownServerError.code(),
        Err(code) => answer.error_code = code.code(),
    }
    answer
}

fn producer(fact: &ProducerFact) -> ProducerState {
    ProducerState {
        producer_id: fact.id,
        producer_epoch: i32::from(fact.epoch),
        last_sequence: fact.last_sequence,
        last_timestamp: fact.last_timestamp,
        coordinator_epoch: fact.coordinator_epoch,
        current_txn_start_offset: fact.open_since,
    }
}
