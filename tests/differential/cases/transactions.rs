// SPDX-License-Identifier: Apache-2.0
//! Transactions: who gets which epoch, what may be added and ended, and what is told of it.
//!
//! Owns: [`CASES`]. Invariants: an answer that only says "not yet" is asked for again, so what is
//! compared is the answer once the transaction before has ended everywhere. Runs on: one thread for
//! each broker.

use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListTransactionsRequest, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::{Case, case};
use crate::side::{Answer, Side};

/// What a client asks again for: a coordinator that loads, or is not known yet, or is at work.
const NOT_YET: [i16; 4] = [14, 15, 16, 51];

type Producer = (i64, i16);

fn id(side: &Side) -> TransactionalId {
    TransactionalId(side.name("tx").0)
}

/// Asks until there is an answer that a client does not ask again for; writes it down.
fn settled<R: Request>(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &R,
    code: impl Fn(&R::Response) -> i16,
) -> R::Response
where
    R::Response: Clone + std::fmt::Debug,
{
    let answer = side.until(version, request, |answer| !NOT_YET.contains(&code(answer)));
    side.take_down(step, Answer::Body(answer.clone()));
    answer
}

fn find(side: &mut Side) {
    let key: StrBytes = id(side).0;
    let request = FindCoordinatorRequest::default()
        .with_key_type(1)
        .with_coordinator_keys(vec![key]);
    side.until(4, &request, |answer| answer.coordinators[0].error_code == 0);
}

fn init_with(side: &mut Side, step: &str, version: i16, held: Producer) -> Producer {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id(side)))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(held.0))
        .with_producer_epoch(held.1);
    let answer = settled(side, step, version, &request, |answer| answer.error_code);
    (answer.producer_id.0, answer.producer_epoch)
}

/// A producer that begins.
fn init(side: &mut Side, step: &str) -> Producer {
    init_with(side, step, 4, (-1, -1))
}

fn add(side: &mut Side, step: &str, version: i16, producer: Producer, partitions: &[i32]) {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(side.name("t"))
        .with_partitions(partitions.into());
    let request = match version {
        4.. => {
            let transaction = AddPartitionsToTxnTransaction::default()
                .with_transactional_id(id(side))
                .with_producer_id(ProducerId(producer.0))
                .with_producer_epoch(producer.1)
                .with_topics(vec![topic]);
            AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
        }
        _ => AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id(side))
            .with_v3_and_below_producer_id(ProducerId(producer.0))
            .with_v3_and_below_producer_epoch(producer.1)
            .with_v3_and_below_topics(vec![topic]),
    };
    settled(side, step, version, &request, |answer| {
        let by_transaction = answer.results_by_transaction.first();
        let topics = by_transaction.map_or(&answer.results_by_topic_v3_and_below, |one| {
            &one.topic_results
        });
        topics[0].results_by_partition[0].partition_error_code
    });
}

fn end(side: &mut Side, step: &str, version: i16, producer: Producer, commits: bool) -> Producer {
    let request = EndTxnRequest::default()
        .with_transactional_id(id(side))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_committed(commits);
    let answer = settled(side, step, version, &request, |answer| answer.error_code);
    match version {
        5.. => (answer.producer_id.0, answer.producer_epoch),
        _ => producer,
    }
}

fn describe(side: &mut Side) {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id(side)]);
    side.ask("described", 0, &request);
}

/// The version of an addition that belongs to a version of the end.
fn add_version(end: i16) -> i16 {
    end.min(3)
}

fn ready(side: &mut Side) -> Producer {
    side.topic("t", 3, &[]);
    find(side);
    init(side, "init")
}

pub const CASES: &[Case] = &[
    case(
        "transaction/committed",
        &[0, 1, 2, 3, 4, 5],
        |side, version| {
            let one = ready(side);
            add(side, "add", add_version(version), one, &[2]);
            // Of several Kafka promises no order.
            describe(side);
            add(side, "add", add_version(version), one, &[0, 2, 1]);
            let next = end(side, "commit", version, one, true);
            end(side, "commit again", version, one, true);
            end(side, "abort after it", version, one, false);
            add(side, "next", add_version(version), next, &[1]);
            let next = end(side, "abort", version, next, false);
            end(side, "commit after it", version, next, true);
            init(side, "init again");
        },
    ),
    case(
        "transaction/ends without a begin",
        &[3, 5],
        |side, version| {
            let one = ready(side);
            end(side, "commit", version, one, true);
            let next = end(side, "abort", version, one, false);
            let next = end(side, "abort again", version, next, false);
            end(side, "commit again", version, next, true);
        },
    ),
    case("transaction/strangers", &[1, 3, 5], |side, version| {
        let (id, epoch) = ready(side);
        for stranger in [(id + 100, epoch), (id, epoch + 1), (id, epoch - 1)] {
            add(side, "add", add_version(version), stranger, &[0]);
            end(side, "end", version, stranger, true);
        }
        add(side, "begin", add_version(version), (id, epoch), &[0]);
        for stranger in [(id + 100, epoch), (id, epoch + 1), (id, epoch - 1)] {
            add(side, "add", add_version(version), stranger, &[0]);
            end(side, "end", version, stranger, false);
        }
    }),
    case("transaction/fenced by another", &[3, 5], |side, version| {
        let old = ready(side);
        add(side, "begin", add_version(version), old, &[0]);
        let new = init(side, "another");
        add(side, "add", add_version(version), old, &[0]);
        end(side, "end", version, old, true);
        init_with(side, "goes on", 4, old);
        add(side, "new", add_version(version), new, &[0]);
        end(side, "new", version, new, true);
    }),
    case(
        "transaction/goes on with an epoch",
        &[3, 4, 5],
        |side, version| {
            let one = ready(side);
            let two = init_with(side, "next", version, one);
            init_with(side, "again", version, one);
            let three = init_with(side, "next", version, two);
            init_with(side, "two before", version, one);
            init_with(side, "another id", version, (three.0 + 100, three.1));
            init_with(side, "a later epoch", version, (three.0, three.1 + 5));
        },
    ),
    case("transaction/odd timeouts", &[0, 4], |side, version| {
        find(side);
        for timeout in [0, -1, 900_001, i32::MAX] {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(id(side)))
                .with_transaction_timeout_ms(timeout)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            settled(side, "timeout", version, &request, |answer| {
                answer.error_code
            });
        }
    }),
    case(
        "transaction/no such partition",
        &[0, 3, 5],
        |side, version| {
            let one = ready(side);
            add(side, "some", version, one, &[0, 9]);
            add(side, "all", version, one, &[7]);
            describe(side);
        },
    ),
    case("transaction/no such id", &[3, 5], |side, version| {
        side.topic("t", 1, &[]);
        find(side);
        add(side, "add", add_version(version), (5, 0), &[0]);
        end(side, "end", version, (5, 0), true);
        describe(side);
    }),
    case("transaction/a group", &[0, 3], |side, version| {
        let one = ready(side);
        let offsets = |side: &mut Side, (id, epoch): Producer| {
            let transaction = TransactionalId(side.name("tx").0);
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(transaction)
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch)
                .with_group_id(kafka_protocol::messages::GroupId("g".into()));
            settled(side, "group", version, &request, |answer| answer.error_code);
        };
        offsets(side, one);
        offsets(side, (one.0, one.1 + 1));
        end(side, "commit", 3, one, true);
    }),
    case("transaction/listed", &[0, 1], |side, version| {
        let one = ready(side);
        add(side, "add", 3, one, &[0]);
        let list = |side: &mut Side, states: &[&str]| {
            let states = states.iter().map(|state| (*state).to_owned().into());
            let request = ListTransactionsRequest::default()
                .with_state_filters(states.collect())
                .with_producer_id_filters(vec![ProducerId(one.0)]);
            side.ask("list", version, &request);
        };
        list(side, &[]);
        list(side, &["Ongoing", "Nonsense"]);
        list(side, &["CompleteAbort"]);
        list(side, &["ongoing"]);
        end(side, "abort", 3, one, false);
    }),
];
