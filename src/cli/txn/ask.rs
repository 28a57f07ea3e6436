// SPDX-License-Identifier: Apache-2.0
//! Questions about transactions: to every coordinator, to one of them, to leaders of partitions.
//!
//! Owns: those questions. Invariants: every broker is asked for its transactional ids, for each
//! knows those that it coordinates and no others. Runs on: the command's thread. Bounded by: the
//! transactions of a cluster, the producers of one broker's partitions.

use std::collections::BTreeMap;

use crate::cli::CliError;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::{self, Coordinator, Kind};
use crate::cli::client::offsets::{Place, by_topic};
use crate::cli::client::{RETRY_FOR, Retry};
use crate::cli::error::{ClientError, refusal};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::describe_producers::{
    DescribeProducersRequest, ProducerState, TopicRequest,
};
use crate::wire::protocol::describe_transactions::{
    DescribeTransactionsRequest, TransactionState as Described,
};
use crate::wire::protocol::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState as Listed,
};

/// The transactions that pass the filters, with the ids of their coordinators, sorted by name.
pub(super) fn list(
    cluster: &mut Cluster,
    request: &ListTransactionsRequest,
) -> Result<Vec<(Listed, i32)>, CliError> {
    let mut found = Vec::new();
    for (broker, _) in cluster.brokers()? {
        let answer = list_one(cluster, broker, request)?;
        if !answer.unknown_state_filters.is_empty() {
            return Err(CliError::usage(format!(
                "there is no state {}; there are Empty, Ongoing, PrepareCommit, PrepareAbort, \
                 CompleteCommit, CompleteAbort, Dead and PrepareEpochFence",
                answer.unknown_state_filters.join(", ")
            )));
        }
        let listed = answer.transaction_states.into_iter();
        found.extend(listed.map(|one| (one, broker)));
    }
    found.sort_by(|left, right| left.0.transactional_id.cmp(&right.0.transactional_id));
    Ok(found)
}

fn list_one(
    cluster: &mut Cluster,
    broker: i32,
    request: &ListTransactionsRequest,
) -> Result<ListTransactionsResponse, CliError> {
    let mut retry = Retry::lasting(RETRY_FOR);
    loop {
        let answer = cluster.call_broker(broker, request)?;
        let code = answer.error_code;
        if code == ErrorCode::None.code() {
            return Ok(answer);
        }
        if !coordinator::passes(code) || !retry.pause() {
            let what = format!("listing the transactions of broker {broker}");
            return Err(CliError::new(refusal(&what, code, None)));
        }
    }
}

/// The coordinator of a transactional id.
pub(super) fn coordinator_of(id: &str) -> Coordinator {
    Coordinator::of(Kind::Transaction, id)
}

/// A transaction as its coordinator describes it.
pub(super) fn describe(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    id: &str,
) -> Result<Described, ClientError> {
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![id.into()],
    };
    let answer = coordinator.call(cluster, &request, |answer| {
        answer
            .transaction_states
            .first()
            .map_or(0, |one| one.error_code)
    })?;
    let found = answer.transaction_states.into_iter().next();
    let found = found.unwrap_or(Described {
        error_code: ErrorCode::TransactionalIdNotFound.code(),
        ..Described::default()
    });
    match found.error_code == ErrorCode::None.code() {
        true => Ok(found),
        false => Err(coordinator.refused(found.error_code, None)),
    }
}

/// Where a described transaction has written, or where its markers are missing.
pub(super) fn places(found: &Described) -> Vec<Place> {
    let topics = found.topics.iter();
    let places = topics.flat_map(|topic| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(move |one| (name.clone(), *one))
    });
    let mut places: Vec<Place> = places.collect();
    places.sort();
    places
}

/// The producers that a leader knows in some of its partitions.
pub(super) fn producers(
    cluster: &mut Cluster,
    leader: i32,
    places: &[Place],
) -> Result<BTreeMap<Place, Vec<ProducerState>>, CliError> {
    let one = |(name, partition_indexes): (&str, Vec<i32>)| TopicRequest {
        name: name.into(),
        partition_indexes,
    };
    let request = DescribeProducersRequest {
        topics: by_topic(places).into_iter().map(one).collect(),
    };
    let answer = cluster.call_broker(leader, &request)?;
    let mut found = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            let (name, index) = (topic.name.to_string(), partition.partition_index);
            if partition.error_code != ErrorCode::None.code() {
                let what = format!("partition {index} of topic {name}");
                let message = partition.error_message.as_deref();
                return Err(CliError::new(refusal(&what, partition.error_code, message)));
            }
            found.insert((name, index), partition.active_producers);
        }
    }
    Ok(found)
}

/// The transactional ids that coordinators know for a producer id.
pub(super) fn ids_of_producer(
    cluster: &mut Cluster,
    producer_id: i64,
) -> Result<Vec<String>, CliError> {
    let request = ListTransactionsRequest {
        producer_id_filters: vec![producer_id],
        ..ListTransactionsRequest::default()
    };
    let found = list(cluster, &request)?.into_iter();
    Ok(found
        .map(|(one, _)| one.transactional_id.to_string())
        .collect())
}

/// The transactional id whose coordinator still has to end what this producer has open in a
/// partition, if there is one.
pub(super) fn keeper(
    cluster: &mut Cluster,
    place: &Place,
    producer: &ProducerState,
) -> Result<Option<String>, CliError> {
    for id in ids_of_producer(cluster, producer.producer_id)? {
        let mut coordinator = coordinator_of(&id);
        match describe(cluster, &mut coordinator, &id) {
            Ok(found) if will_end(&found, place, producer) => return Ok(Some(id)),
            Ok(_) => {}
            // It was forgotten meanwhile.
            Err(ClientError::Refused { code, .. })
                if code == ErrorCode::TransactionalIdNotFound.code() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Whether the coordinator has a transaction of this producer that is open or ending, and that the
/// partition belongs to. An epoch of the coordinator that is higher is that of the fence which ends
/// the transaction.
fn will_end(found: &Described, place: &Place, producer: &ProducerState) -> bool {
    let is_open = [
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "PrepareEpochFence",
    ]
    .contains(&&*found.transaction_state);
    is_open
        && found.producer_id == producer.producer_id
        && i32::from(found.producer_epoch) >= producer.producer_epoch
        && places(found).contains(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::describe_transactions::TopicData;

    #[test]
    fn only_an_open_transaction_with_the_partition_will_end_it() {
        let place = ("t".to_owned(), 1);
        let producer = ProducerState {
            producer_id: 7,
            producer_epoch: 3,
            ..ProducerState::default()
        };
        let described = |state: &str, id, epoch, partition| Described {
            transaction_state: state.into(),
            producer_id: id,
            producer_epoch: epoch,
            topics: vec![TopicData {
                topic: "t".into(),
                partitions: vec![0, partition],
            }],
            ..Described::default()
        };
        for (state, id, epoch, partition, ends) in [
            ("Ongoing", 7, 3, 1, true),
            ("PrepareAbort", 7, 4, 1, true),
            ("PrepareCommit", 7, 3, 1, true),
            ("CompleteCommit", 7, 3, 1, false),
            ("Empty", 7, 3, 1, false),
            ("Ongoing", 8, 3, 1, false),
            ("Ongoing", 7, 2, 1, false),
            ("Ongoing", 7, 3, 2, false),
        ] {
            let found = described(state, id, epoch, partition);
            assert_eq!(
                will_end(&found, &place, &producer),
                ends,
                "{state} {id} {epoch}"
            );
        }
    }
}
