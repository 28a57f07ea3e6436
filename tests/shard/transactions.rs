// SPDX-License-Identifier: Apache-2.0
//! Transactions over the shards of one broker: begun, written, committed, aborted, fenced, timed
//! out, and gone on with after a restart.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::group::{OFFSETS_TOPIC, partition_of};
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::txn::{Producer, TRANSACTIONS_TOPIC};
use furlong::wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use furlong::wire::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use furlong::wire::protocol::describe_transactions::{
    DescribeTransactionsRequest, TransactionState,
};
use furlong::wire::protocol::end_txn::{EndTxnRequest, EndTxnResponse};
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::list_transactions::ListTransactionsRequest;
use furlong::wire::protocol::produce::ProduceRequest;
use furlong::wire::record::{BatchBuilder, Compression, records, split_batches};

use crate::broker::{Broker, Hold};
use crate::client::{call, fetch_request, frame, next, only_produced, produce_request};

const SHARDS: u16 = 3;

/// A version of produce whose clients add partitions themselves, and one whose clients do not.
const OLD_FLOW: i16 = 11;
const NEW_FLOW: i16 = 12;

/// A broker with a topic of three partitions on as many shards, and a client that has found the
/// coordinator of its transactions.
fn ready() -> (Broker, ConnectionId) {
    let mut broker = Broker::with_topic(SHARDS, "t", 3);
    let client = broker.connect(0);
    find(&mut broker, client);
    (broker, client)
}

fn find(broker: &mut Broker, client: ConnectionId) {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["tx".into()],
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    let found = call(broker, client, 6, &request).coordinators.remove(0);
    assert_eq!((found.error_code, found.node_id), (0, 7));
}

fn init(broker: &mut Broker, client: ConnectionId, timeout_ms: i32) -> Result<Producer, i16> {
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        transaction_timeout_ms: timeout_ms,
        ..InitProducerIdRequest::default()
    };
    let answer = call(broker, client, 5, &request);
    match answer.error_code {
        0 => Ok(Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        }),
        code => Err(code),
    }
}

/// What asks for one partition, in versions that clients speak.
fn add_request(producer: Producer, topic: &str, partition: i32) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "tx".into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: topic.into(),
            partitions: vec![partition],
        }],
        ..AddPartitionsToTxnRequest::default()
    }
}

/// The same in versions that brokers speak, which may only ask whether partitions were added.
fn batched_request(
    producer: Producer,
    verify_only: bool,
    partitions: &[i32],
) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        transactions: vec![AddPartitionsToTxnTransaction {
            transactional_id: "tx".into(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            verify_only,
            topics: vec![AddPartitionsToTxnTopic {
                name: "t".into(),
                partitions: partitions.to_vec(),
            }],
        }],
        ..AddPartitionsToTxnRequest::default()
    }
}

fn add(broker: &mut Broker, client: ConnectionId, producer: Producer, partition: i32) -> i16 {
    let request = add_request(producer, "t", partition);
    let answer = call(broker, client, 3, &request);
    answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

fn end_request(producer: Producer, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: "tx".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    }
}

fn end(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    producer: Producer,
    committed: bool,
) -> Result<Producer, i16> {
    let answer = call(broker, client, version, &end_request(producer, committed));
    ended(&answer)
}

fn ended(answer: &EndTxnResponse) -> Result<Producer, i16> {
    match answer.error_code {
        0 => Ok(Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        }),
        code => Err(code),
    }
}

fn batch(producer: Producer, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .producer(producer.id, producer.epoch, sequence)
        .transactional();
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    builder.build()
}

fn write(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    partition: i32,
    records: Bytes,
) -> i16 {
    let request = ProduceRequest {
        transactional_id: Some("tx".into()),
        ..produce_request("t", partition, -1, records)
    };
    only_produced(call(broker, client, version, &request)).error_code
}

/// The end of a partition, and what readers of committed records see of it.
fn seen(broker: &mut Broker, client: ConnectionId, partition: i32) -> (i64, Vec<String>) {
    let request = FetchRequest {
        isolation_level: 1,
        ..fetch_request("t", &[(partition, 0)])
    };
    let answer = call(broker, client, 11, &request);
    let partition = &answer.responses[0].partitions[0];
    let aborted = partition.aborted_transactions.iter().flatten();
    let aborted: Vec<(i64, i64)> = aborted
        .map(|one| (one.producer_id, one.first_offset))
        .collect();
    let mut values = Vec::new();
    let bytes = partition.records.clone().unwrap_or_default();
    for batch in split_batches(&bytes) {
        let batch = batch.expect("whole batches");
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).expect("opens");
        let header = opened.header();
        // As clients do: from its first offset to its marker all of a producer is aborted; no test
        // commits behind an abort in one partition.
        let is_aborted = aborted
            .iter()
            .any(|(id, first)| *id == header.producer_id && header.base_offset >= *first);
        if header.attributes.is_control() || is_aborted {
            continue;
        }
        for record in opened.iter() {
            let value = record.expect("well-formed").value.expect("has a value");
            values.push(String::from_utf8(value.to_vec()).expect("text"));
        }
    }
    (partition.high_watermark, values)
}

fn describe(broker: &mut Broker, client: ConnectionId) -> TransactionState {
    let request = DescribeTransactionsRequest {
        transactional_ids: vec!["tx".into()],
    };
    let mut answer = call(broker, client, 0, &request);
    let state = answer.transaction_states.remove(0);
    assert_eq!(state.error_code, 0);
    state
}

fn state(broker: &mut Broker, client: ConnectionId) -> String {
    describe(broker, client).transaction_state.to_string()
}

fn stop_and_restart(broker: &mut Broker) {
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.restart();
}

#[test]
fn what_the_old_flow_commits_is_read_and_what_it_aborts_is_not() {
    for is_commit in [true, false] {
        let (mut broker, client) = ready();
        let one = init(&mut broker, client, 60_000).expect("the first");
        for partition in 0..3 {
            assert_eq!(add(&mut broker, client, one, partition), 0);
            let records = batch(one, 0, "a value");
            assert_eq!(write(&mut broker, client, OLD_FLOW, partition, records), 0);
        }
        for partition in 0..3 {
            assert_eq!(
                seen(&mut broker, client, partition),
                (1, Vec::new()),
                "open"
            );
        }
        assert!(end(&mut broker, client, 3, one, is_commit).is_ok());
        let visible = if is_commit {
            vec!["a value".to_owned()]
        } else {
            Vec::new()
        };
        for partition in 0..3 {
            let (end, seen) = seen(&mut broker, client, partition);
            assert_eq!((end, &seen), (2, &visible), "a marker behind it");
        }
    }
}

#[test]
fn the_flow_of_kip_890_adds_partitions_by_writing_and_ends_epochs() {
    let (mut broker, client) = ready();
    let mut producer = init(&mut broker, client, 60_000).expect("the first");
    for (round, is_commit) in [true, false, true].into_iter().enumerate() {
        let partition = i32::try_from(round).expect("small");
        let records = batch(producer, 0, "a value");
        assert_eq!(write(&mut broker, client, NEW_FLOW, partition, records), 0);
        assert_eq!(state(&mut broker, client), "Ongoing");
        let next = end(&mut broker, client, 5, producer, is_commit).expect("it is open");
        assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 1));
        let again = end(&mut broker, client, 5, producer, is_commit);
        assert_eq!(again, Ok(next), "its answer was lost");
        let late = batch(producer, 1, "late");
        assert_ne!(write(&mut broker, client, NEW_FLOW, partition, late), 0);
        let (end, visible) = seen(&mut broker, client, partition);
        assert_eq!((end, visible.len()), (2, usize::from(is_commit)));
        producer = next;
    }
}

#[test]
fn two_transactions_follow_each_other_in_one_partition() {
    let (mut broker, client) = ready();
    let first = init(&mut broker, client, 60_000).expect("the first");
    let records = batch(first, 0, "first");
    assert_eq!(write(&mut broker, client, NEW_FLOW, 0, records), 0);
    let second = end(&mut broker, client, 5, first, true).expect("it is open");
    let records = batch(second, 0, "second");
    assert_eq!(write(&mut broker, client, NEW_FLOW, 0, records), 0);
    let third = end(&mut broker, client, 5, second, true).expect("it is open");
    assert_eq!(third.epoch, 2);
    let (end, visible) = seen(&mut broker, client, 0);
    assert_eq!(
        (end, visible),
        (4, vec!["first".to_owned(), "second".to_owned()])
    );
}

#[test]
fn a_batch_of_a_partition_that_was_not_added_is_refused() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 60_000).expect("the first");
    assert_eq!(add(&mut broker, client, one, 0), 0);
    let records = batch(one, 0, "a value");
    assert_ne!(write(&mut broker, client, OLD_FLOW, 1, records), 0);
    assert_eq!(seen(&mut broker, client, 1).0, 0);
}

#[test]
fn partitions_that_are_not_there_refuse_the_others() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 60_000).expect("the first");
    let request = batched_request(one, false, &[0, 9]);
    let answer = call(&mut broker, client, 5, &request);
    let result = &answer.results_by_transaction[0].topic_results[0];
    let codes = result.results_by_partition.iter();
    let codes: Vec<i16> = codes.map(|one| one.partition_error_code).collect();
    assert_eq!(codes, [55, 3]);
    assert_eq!(state(&mut broker, client), "Empty");
    assert_eq!(add(&mut broker, client, one, 9), 3);
}

#[test]
fn a_client_that_begins_again_fences_the_one_before() {
    let (mut broker, client) = ready();
    let old = init(&mut broker, client, 60_000).expect("the first");
    assert_eq!(add(&mut broker, client, old, 0), 0);
    let records = batch(old, 0, "a value");
    assert_eq!(write(&mut broker, client, OLD_FLOW, 0, records), 0);
    let other = broker.connect(1);
    assert_eq!(init(&mut broker, other, 60_000), Err(51), "it aborts first");
    let new = init(&mut broker, other, 60_000).expect("it has ended");
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 2));
    assert_eq!(add(&mut broker, client, old, 1), 90);
    assert_eq!(end(&mut broker, client, 3, old, true), Err(90));
    assert_eq!(
        end(&mut broker, client, 1, old, true),
        Err(47),
        "as old clients know it"
    );
    let records = batch(old, 1, "a value");
    assert_ne!(write(&mut broker, client, OLD_FLOW, 0, records), 0);
    assert_eq!(seen(&mut broker, client, 0), (2, Vec::new()));
}

#[test]
fn a_transaction_that_lasts_too_long_is_aborted() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 5_000).expect("the first");
    let records = batch(one, 0, "a value");
    assert_eq!(write(&mut broker, client, NEW_FLOW, 2, records), 0);
    broker.advance_ms(4_999);
    assert_eq!(state(&mut broker, client), "Ongoing");
    broker.advance_ms(1);
    assert_eq!(state(&mut broker, client), "CompleteAbort");
    assert_eq!(seen(&mut broker, client, 2), (2, Vec::new()));
    assert_eq!(end(&mut broker, client, 5, one, true), Err(48));
    assert_eq!(init(&mut broker, client, 900_001), Err(50));
}

/// Transactions that were committed, aborted, and timed out, and the ids that are in a state.
fn figures(broker: &Broker, state: &str) -> (u64, u64, u64, usize) {
    let shards = broker.shards.iter();
    let shards = shards.map(|shard| shard.numbers().coordinators);
    shards.fold((0, 0, 0, 0), |sum, one| {
        let mut states = one.transactional_ids.iter();
        let ids = states.find(|(name, _)| *name == state);
        let (_, ids) = ids.expect("every state is told");
        (
            sum.0 + one.ended.committed,
            sum.1 + one.ended.aborted,
            sum.2 + one.ended.timed_out,
            sum.3 + ids,
        )
    })
}

#[test]
fn transactions_are_counted_by_state_and_by_how_they_ended() {
    let (mut broker, client) = ready();
    assert_eq!(figures(&broker, "Empty"), (0, 0, 0, 0));
    let mut producer = init(&mut broker, client, 5_000).expect("the first");
    assert_eq!(figures(&broker, "Empty"), (0, 0, 0, 1));
    for committed in [true, false, true] {
        let records = batch(producer, 0, "a value");
        assert_eq!(write(&mut broker, client, NEW_FLOW, 2, records), 0);
        assert_eq!(figures(&broker, "Ongoing").3, 1);
        producer = end(&mut broker, client, 5, producer, committed).expect("it is open");
    }
    assert_eq!(figures(&broker, "CompleteCommit"), (2, 1, 0, 1));
    let records = batch(producer, 0, "a value");
    assert_eq!(write(&mut broker, client, NEW_FLOW, 0, records), 0);
    broker.advance_ms(5_000);
    assert_eq!(figures(&broker, "CompleteAbort"), (2, 2, 1, 1));
    assert_eq!(figures(&broker, "Ongoing").3, 0);
    // The coordinator moves; what was counted stays.
    let partition = usize::try_from(partition_of("tx", 50)).expect("positive");
    for to in 0..SHARDS {
        broker.shift(TRANSACTIONS_TOPIC, partition, to);
        assert_eq!(figures(&broker, "CompleteAbort"), (2, 2, 1, 1));
    }
    let partitions = broker.shards.iter();
    let producers = partitions.map(|shard| shard.numbers().coordinators.producers);
    assert_eq!(producers.sum::<usize>(), 2, "one on each of two partitions");
}

#[test]
fn what_was_told_is_true_after_a_restart() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 60_000).expect("the first");
    let records = batch(one, 0, "a value");
    assert_eq!(write(&mut broker, client, NEW_FLOW, 1, records), 0);
    stop_and_restart(&mut broker);
    let client = broker.connect(2);
    assert_eq!(state(&mut broker, client), "Ongoing");
    let second = end(&mut broker, client, 5, one, true).expect("it is open");
    stop_and_restart(&mut broker);
    let client = broker.connect(1);
    assert_eq!(end(&mut broker, client, 5, one, true), Ok(second));
    assert_eq!(state(&mut broker, client), "CompleteCommit");
    let (end, visible) = seen(&mut broker, client, 1);
    assert_eq!((end, visible), (2, vec!["a value".to_owned()]));
    assert_eq!(
        init(&mut broker, client, 60_000).map(|one| one.epoch),
        Ok(2)
    );
}

#[test]
fn nothing_is_answered_before_the_log_has_it() {
    let (mut broker, client) = ready();
    broker.hold = Hold::Flushes;
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    broker.send(client, frame(77, 5, &request));
    assert!(next::<InitProducerIdRequest>(&mut broker, client, 5).is_none());
    broker.release();
    let (_, answer) = next::<InitProducerIdRequest>(&mut broker, client, 5).expect("flushed");
    assert_eq!(answer.error_code, 0);
}

#[test]
fn transactions_are_listed_wherever_they_are() {
    let (mut broker, client) = ready();
    for id in ["tx", "other", "third", "fourth"] {
        let request = InitProducerIdRequest {
            transactional_id: Some(id.into()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        assert_eq!(call(&mut broker, client, 5, &request).error_code, 0);
    }
    let list = |broker: &mut Broker, request: &ListTransactionsRequest| {
        let answer = call(broker, client, 2, request);
        let states = answer.transaction_states.into_iter();
        let ids: Vec<String> = states.map(|one| one.transactional_id.to_string()).collect();
        (answer.error_code, ids.join(" "))
    };
    let all = ListTransactionsRequest::default();
    assert_eq!(list(&mut broker, &all), (0, "fourth other third tx".into()));
    let some = ListTransactionsRequest {
        transactional_id_pattern: Some("t.*".into()),
        ..all.clone()
    };
    assert_eq!(list(&mut broker, &some), (0, "third tx".into()));
    let bad = ListTransactionsRequest {
        transactional_id_pattern: Some("(".into()),
        ..all.clone()
    };
    assert_eq!(list(&mut broker, &bad), (128, String::new()));
    let unknown = ListTransactionsRequest {
        state_filters: vec!["Open".into()],
        ..all
    };
    let answer = call(&mut broker, client, 0, &unknown);
    assert_eq!(answer.unknown_state_filters, ["Open"]);
    assert!(answer.transaction_states.is_empty());
    let missing = DescribeTransactionsRequest {
        transactional_ids: vec!["nobody".into()],
    };
    let answer = call(&mut broker, client, 0, &missing);
    assert_eq!(answer.transaction_states[0].error_code, 105);
}

#[test]
fn the_topic_of_transactions_is_the_brokers_own() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 60_000).expect("the first");
    let request = add_request(one, TRANSACTIONS_TOPIC, 0);
    let answer = call(&mut broker, client, 3, &request);
    let result = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
    assert_eq!(result.partition_error_code, 29);
    // The topic of groups is not there, and made for the next time.
    let offsets = AddOffsetsToTxnRequest {
        transactional_id: "tx".into(),
        producer_id: one.id,
        producer_epoch: one.epoch,
        group_id: "g".into(),
    };
    assert_eq!(call(&mut broker, client, 4, &offsets).error_code, 14);
    assert_eq!(call(&mut broker, client, 4, &offsets).error_code, 0);
    let described = describe(&mut broker, client);
    assert_eq!(described.topics[0].topic, OFFSETS_TOPIC);
}

#[test]
fn a_partition_that_was_not_added_is_told_as_the_asker_knows_it() {
    let (mut broker, client) = ready();
    let one = init(&mut broker, client, 60_000).expect("the first");
    let request = batched_request(one, true, &[0]);
    for (version, code) in [(4, 48), (5, 120)] {
        let answer = call(&mut broker, client, version, &request);
        let result = &answer.results_by_transaction[0].topic_results[0];
        assert_eq!(result.results_by_partition[0].partition_error_code, code);
    }
}
