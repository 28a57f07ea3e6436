// SPDX-License-Identifier: Apache-2.0
//! Transactions as the partitions see them: batches whose coordinators are asked, markers, offsets
//! of groups, over the shards of one broker.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use furlong::wire::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use furlong::wire::protocol::end_txn::EndTxnRequest;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest};
use furlong::wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use furlong::wire::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use furlong::wire::record::{BatchBuilder, Compression};

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};
use crate::groups::offsets;

const SHARDS: u16 = 3;

/// The transactional id of most tests.
const ID: &str = "x";

/// A producer of a transaction.
#[derive(Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
}

/// A broker with a topic of three partitions, a shard each, where coordinators of groups and
/// transactions are known.
fn ready() -> (Broker, ConnectionId) {
    let mut broker = Broker::with_topic(SHARDS, "t", 3);
    let client = broker.connect(0);
    for key_type in [0, 1] {
        let find = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec![ID.into()],
            ..FindCoordinatorRequest::default()
        };
        let found = call(&mut broker, client, 4, &find);
        assert_eq!(found.coordinators[0].error_code, 0);
    }
    (broker, client)
}

fn init(broker: &mut Broker, client: ConnectionId, id: &str) -> Producer {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let response = call(broker, client, 4, &request);
    assert_eq!(response.error_code, 0);
    Producer {
        id: response.producer_id,
        epoch: response.producer_epoch,
    }
}

/// Adds partitions of "t", as clients did before KIP-890.
fn add(broker: &mut Broker, client: ConnectionId, producer: Producer, partitions: &[i32]) {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: "t".into(),
            partitions: partitions.to_vec(),
        }],
        ..AddPartitionsToTxnRequest::default()
    };
    let response = call(broker, client, 3, &request);
    let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
    assert!(results.iter().all(|one| one.partition_error_code == 0));
}

fn end(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    producer: Producer,
    committed: bool,
) -> Producer {
    let request = EndTxnRequest {
        transactional_id: ID.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    };
    let response = call(broker, client, version, &request);
    assert_eq!(response.error_code, 0);
    Producer {
        id: response.producer_id,
        epoch: response.producer_epoch,
    }
}

fn part(producer: Producer, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .producer(producer.id, producer.epoch, sequence)
        .transactional();
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    builder.build()
}

fn in_transaction(partition: i32, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        transactional_id: Some(ID.into()),
        ..produce_request("t", partition, -1, records)
    }
}

/// Produces in a transaction; the code.
fn send(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    partition: i32,
    records: Bytes,
) -> i16 {
    let mut request = in_transaction(partition, records);
    if version >= 13 {
        request.topic_data[0].topic_id = broker.controller.image.topics["t"].id;
    }
    only_produced(call(broker, client, version, &request)).error_code
}

/// What a reader of committed records gets of each partition of "t", and the last stable offsets.
fn committed(broker: &mut Broker, client: ConnectionId) -> (Vec<Vec<String>>, Vec<i64>) {
    let request = FetchRequest {
        isolation_level: 1,
        ..fetch_request("t", &[(0, 0), (1, 0), (2, 0)])
    };
    let response = call(broker, client, 11, &request);
    let partitions = &response.responses[0].partitions;
    let stable = partitions.iter().map(|one| one.last_stable_offset);
    let stable = stable.collect();
    let mut all = Vec::new();
    for (place, partition) in partitions.iter().enumerate() {
        let aborted = partition.aborted_transactions.as_ref();
        let has_aborted = aborted.is_some_and(|list| !list.is_empty());
        let read = values(&response, place).into_iter();
        // Markers have no text; of what was aborted the tests write nothing else.
        let read = read.filter(|value| !value.starts_with('\0') && !has_aborted);
        all.push(read.collect());
    }
    (all, stable)
}

fn code(code: ErrorCode) -> i16 {
    code.code()
}

#[test]
fn before_kip_890_a_partition_has_to_be_added_before_its_first_batch() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    let stranger = part(producer, 0, "a");
    assert_eq!(
        send(&mut broker, client, 9, 0, stranger.clone()),
        code(ErrorCode::InvalidTxnState),
        "there is no transaction"
    );
    add(&mut broker, client, producer, &[0, 2]);
    for partition in [0, 2] {
        let first = part(producer, 0, "a");
        assert_eq!(send(&mut broker, client, 9, partition, first), 0);
        let second = part(producer, 1, "b");
        assert_eq!(send(&mut broker, client, 11, partition, second), 0);
    }
    let not_added = part(producer, 0, "a");
    for (version, expected) in [
        (10, ErrorCode::InvalidTxnState),
        (11, ErrorCode::TransactionAbortable),
    ] {
        let got = send(&mut broker, client, version, 1, not_added.clone());
        assert_eq!(got, code(expected), "version {version}");
    }
    assert_eq!(committed(&mut broker, client).1, [0, 0, 0]);
    end(&mut broker, client, 3, producer, true);
    let (read, stable) = committed(&mut broker, client);
    assert_eq!(
        (&read[0][..], &read[2][..]),
        (&["a".into(), "b".into()][..], &read[0][..])
    );
    assert_eq!((read[1].len(), stable), (0, vec![3, 0, 3]));
}

#[test]
fn from_version_12_on_a_batch_adds_its_partition_by_itself() {
    let (mut broker, client) = ready();
    let first = init(&mut broker, client, ID);
    for partition in 0..3 {
        assert_eq!(
            send(&mut broker, client, 12, partition, part(first, 0, "a")),
            0
        );
        assert_eq!(
            send(&mut broker, client, 12, partition, part(first, 1, "b")),
            0
        );
    }
    let second = end(&mut broker, client, 5, first, true);
    assert_eq!((second.id, second.epoch), (first.id, first.epoch + 1));
    assert_eq!(committed(&mut broker, client).1, [3, 3, 3]);
    assert_eq!(send(&mut broker, client, 13, 1, part(second, 0, "c")), 0);
    let old = send(&mut broker, client, 12, 0, part(first, 2, "late"));
    assert_eq!(old, code(ErrorCode::InvalidProducerEpoch));
    end(&mut broker, client, 5, second, false);
    assert_eq!(
        committed(&mut broker, client).1,
        [3, 5, 3],
        "no transaction hangs"
    );
}

#[test]
fn the_batches_of_a_transaction_are_of_one_producer_and_its_request_names_it() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    let other = Producer {
        id: producer.id + 77,
        epoch: 0,
    };
    let nameless = produce(&mut broker, client, "t", 0, part(producer, 0, "a"));
    assert_eq!(
        nameless.error_code,
        code(ErrorCode::TransactionalIdAuthorizationFailed)
    );
    let mut request = in_transaction(0, part(producer, 0, "a"));
    request.topic_data[0]
        .partition_data
        .push(PartitionProduceData {
            index: 1,
            records: Some(part(other, 0, "a")),
        });
    let response = call(&mut broker, client, 12, &request);
    let codes = response.responses[0].partition_responses.iter();
    let codes: Vec<i16> = codes.map(|one| one.error_code).collect();
    assert_eq!(codes, [code(ErrorCode::InvalidProducerIdMapping); 2]);
    assert_eq!(
        send(&mut broker, client, 12, 0, part(other, 0, "a")),
        code(ErrorCode::InvalidProducerIdMapping),
        "the transactional id is somebody else's"
    );
    // What is not part of the transaction goes its own way.
    assert_eq!(send(&mut broker, client, 12, 0, batch(&["plain"])), 0);
    assert_eq!(committed(&mut broker, client).0[0], ["plain"]);
}

#[test]
fn what_is_sent_behind_the_first_batch_keeps_its_order_while_the_coordinator_is_asked() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    broker.hold = Hold::Flushes;
    for partition in 0..3 {
        for sequence in 0..3 {
            let records = part(producer, sequence, "a");
            let request = in_transaction(partition, records);
            broker.send(client, frame(partition * 10 + sequence, 12, &request));
        }
    }
    assert!(next::<ProduceRequest>(&mut broker, client, 12).is_none());
    broker.release();
    for partition in 0..3 {
        for sequence in 0..3 {
            let answer = next::<ProduceRequest>(&mut broker, client, 12);
            let (number, response) = answer.expect("all are answered");
            assert_eq!(number, partition * 10 + sequence);
            let produced = only_produced(response);
            let offset = i64::from(sequence);
            assert_eq!((produced.error_code, produced.base_offset), (0, offset));
        }
    }
    end(&mut broker, client, 5, producer, true);
    assert_eq!(committed(&mut broker, client).1, [4, 4, 4]);
}

#[test]
fn a_batch_that_a_marker_overtakes_opens_nothing() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    for partition in 0..3 {
        // The word of a coordinator is under way to a shard that gets the end of the transaction.
        let admin = broker.connect(usize::try_from(partition).expect("small"));
        broker.hold = Hold::Flushes;
        let records = part(producer, 0, "late");
        broker.send(client, frame(1, 12, &in_transaction(partition, records)));
        let markers = markers(producer, &[("t", partition)], false);
        broker.send(admin, frame(2, 1, &markers));
        broker.release();
        let (_, written) = next::<WriteTxnMarkersRequest>(&mut broker, admin, 1).expect("answered");
        assert_eq!(written.markers[0].topics[0].partitions[0].error_code, 0);
        let (_, late) = next::<ProduceRequest>(&mut broker, client, 12).expect("answered");
        let late = only_produced(late);
        assert_eq!(
            late.error_code,
            code(ErrorCode::InvalidTxnState),
            "{partition}"
        );
    }
    assert_eq!(
        committed(&mut broker, client).1,
        [1, 1, 1],
        "the markers alone"
    );
}

#[test]
fn while_no_coordinator_is_there_producers_are_told_to_send_again() {
    let mut broker = Broker::with_topic(SHARDS, "t", 3);
    let client = broker.connect(0);
    let producer = Producer { id: 5, epoch: 0 };
    for version in [9, 12] {
        let refused = send(&mut broker, client, version, 1, part(producer, 0, "a"));
        assert_eq!(refused, code(ErrorCode::NotEnoughReplicas));
    }
    // What is sent behind the refused one does not pass for the first.
    let find = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec![ID.into()],
        ..FindCoordinatorRequest::default()
    };
    call(&mut broker, client, 4, &find);
    let producer = init(&mut broker, client, ID);
    broker.hold = Hold::Everything;
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.release();
    broker.hold = Hold::Everything;
    broker.restart();
    let client = broker.connect(0);
    let early = send(&mut broker, client, 12, 1, part(producer, 0, "a"));
    assert_eq!(
        early,
        code(ErrorCode::NotLeaderOrFollower),
        "nothing is open"
    );
    broker.release();
    let overtaking = send(&mut broker, client, 12, 1, part(producer, 1, "b"));
    assert_eq!(overtaking, code(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(send(&mut broker, client, 12, 1, part(producer, 0, "a")), 0);
    assert_eq!(send(&mut broker, client, 12, 1, part(producer, 1, "b")), 0);
}

#[test]
fn a_partition_that_moves_away_answers_what_waits_there() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    broker.hold = Hold::Flushes;
    let waiting = in_transaction(1, part(producer, 0, "a"));
    broker.send(client, frame(1, 12, &waiting));
    broker.shift("t", 1, 2);
    let (_, moved) = next::<ProduceRequest>(&mut broker, client, 12).expect("answered");
    let moved = only_produced(moved);
    assert_eq!(moved.error_code, code(ErrorCode::NotLeaderOrFollower));
    broker.release();
    let overtaking = send(&mut broker, client, 12, 1, part(producer, 1, "b"));
    assert_eq!(overtaking, code(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(send(&mut broker, client, 12, 1, part(producer, 0, "a")), 0);
    end(&mut broker, client, 5, producer, true);
    assert_eq!(committed(&mut broker, client).0[1], ["a"]);
}

fn markers(producer: Producer, at: &[(&str, i32)], commit: bool) -> WriteTxnMarkersRequest {
    let topics = at.iter().map(|(topic, partition)| WritableTxnMarkerTopic {
        name: (*topic).into(),
        partition_indexes: vec![*partition],
    });
    WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            transaction_result: commit,
            topics: topics.collect(),
            coordinator_epoch: 3,
            ..WritableTxnMarker::default()
        }],
    }
}

/// Writes markers; the codes.
fn write(broker: &mut Broker, client: ConnectionId, request: &WriteTxnMarkersRequest) -> Vec<i16> {
    let response = call(broker, client, 1, request);
    let topics = response.markers.iter().flat_map(|marker| &marker.topics);
    let partitions = topics.flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

#[test]
fn markers_are_refused_each_by_itself() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    for partition in 0..2 {
        assert_eq!(
            send(&mut broker, client, 12, partition, part(producer, 0, "a")),
            0
        );
    }
    let all = [("t", 0), ("t", 7), ("nobody", 0), ("t", 1)];
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    let written = write(&mut broker, client, &markers(producer, &all, true));
    assert_eq!(written, [0, unknown, unknown, 0]);
    assert_eq!(committed(&mut broker, client).1, [2, 2, 0]);
    let mut old = markers(producer, &[("t", 0)], true);
    old.markers[0].coordinator_epoch = 2;
    let fenced = write(&mut broker, client, &old);
    assert_eq!(fenced, [code(ErrorCode::TransactionCoordinatorFenced)]);
    old.markers[0].producer_epoch = -1;
    let odd = write(&mut broker, client, &old);
    assert_eq!(odd, [code(ErrorCode::InvalidRequest)]);
    let newer = Producer {
        epoch: producer.epoch + 1,
        ..producer
    };
    assert_eq!(
        write(&mut broker, client, &markers(newer, &[("t", 0)], true)),
        [0]
    );
    let stale = write(&mut broker, client, &markers(producer, &[("t", 0)], true));
    assert_eq!(stale, [code(ErrorCode::InvalidProducerEpoch)]);
}

fn commit_offset(
    broker: &mut Broker,
    client: ConnectionId,
    version: i16,
    producer: Producer,
    (group, offset): (&str, i64),
) -> i16 {
    let request = TxnOffsetCommitRequest {
        transactional_id: ID.into(),
        group_id: group.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..TxnOffsetCommitRequestPartition::default()
            }],
        }],
        ..TxnOffsetCommitRequest::default()
    };
    let response = call(broker, client, version, &request);
    response.topics[0].partitions[0].error_code
}

/// Offset and code for somebody who wants it stable.
fn stable_offset(broker: &mut Broker, client: ConnectionId, group: &str) -> (i64, i16) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".into(),
                partition_indexes: vec![0],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let response = call(broker, client, 8, &request);
    let told = &response.groups[0].topics[0].partitions[0];
    (told.committed_offset, told.error_code)
}

fn add_group(broker: &mut Broker, client: ConnectionId, producer: Producer, group: &str) {
    let request = AddOffsetsToTxnRequest {
        transactional_id: ID.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: group.into(),
    };
    let response = call(broker, client, 3, &request);
    assert_eq!(response.error_code, 0);
}

/// Groups on each of the shards.
const GROUPS: [&str; 3] = ["a", "b", "c"];

const UNSTABLE: i16 = ErrorCode::UnstableOffsetCommit as i16;

#[test]
fn offsets_of_a_transaction_count_with_its_end_in_both_flows() {
    for (version, end_version) in [(0, 1), (3, 3), (5, 5)] {
        let (mut broker, client) = ready();
        let first = init(&mut broker, client, ID);
        for group in GROUPS {
            if version < 5 {
                let early = commit_offset(&mut broker, client, version, first, (group, 4));
                assert_eq!(early, code(ErrorCode::InvalidTxnState), "it was not added");
                add_group(&mut broker, client, first, group);
            }
            let taken = commit_offset(&mut broker, client, version, first, (group, 5));
            assert_eq!(taken, 0, "version {version}");
            let told = offsets(&mut broker, client, &[group], ("t", 0));
            assert_eq!(told, [(0, -1)]);
            assert_eq!(stable_offset(&mut broker, client, group), (-1, UNSTABLE));
        }
        let second = end(&mut broker, client, end_version, first, true);
        let second = if version == 5 { second } else { first };
        for group in GROUPS {
            assert_eq!(stable_offset(&mut broker, client, group), (5, 0));
            if version < 5 {
                add_group(&mut broker, client, second, group);
            }
            let taken = commit_offset(&mut broker, client, version, second, (group, 9));
            assert_eq!(taken, 0);
        }
        end(&mut broker, client, end_version, second, false);
        for group in GROUPS {
            assert_eq!(stable_offset(&mut broker, client, group), (5, 0));
        }
    }
}

#[test]
fn open_committed_and_aborted_offsets_are_what_they_were_after_a_restart() {
    let (mut broker, client) = ready();
    let mut producer = init(&mut broker, client, ID);
    for (group, is_commit) in [("a", true), ("b", false)] {
        commit_offset(&mut broker, client, 5, producer, (group, 5));
        producer = end(&mut broker, client, 5, producer, is_commit);
    }
    commit_offset(&mut broker, client, 5, producer, ("a", 8));
    commit_offset(&mut broker, client, 5, producer, ("c", 8));
    for shard in 0..usize::from(SHARDS) {
        broker.event(shard, Event::Stop);
    }
    broker.restart();
    let client = broker.connect(1);
    let told = offsets(&mut broker, client, &GROUPS, ("t", 0));
    assert_eq!(told, [(0, 5), (0, -1), (0, -1)]);
    let unstable = (-1, UNSTABLE);
    let told = GROUPS.map(|group| stable_offset(&mut broker, client, group));
    assert_eq!(told, [unstable, (-1, 0), unstable]);
    let fenced = Producer {
        epoch: producer.epoch - 1,
        ..producer
    };
    let old = commit_offset(&mut broker, client, 5, fenced, ("a", 9));
    assert_eq!(old, code(ErrorCode::InvalidProducerEpoch));
    end(&mut broker, client, 5, producer, true);
    let told = GROUPS.map(|group| stable_offset(&mut broker, client, group));
    assert_eq!(told, [(8, 0), (-1, 0), (8, 0)]);
}

#[test]
fn a_commit_of_offsets_that_a_marker_overtakes_is_refused() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    let partition = furlong::group::partition_of("a", 50);
    let shard = usize::try_from(partition).expect("positive") % usize::from(SHARDS);
    let admin = broker.connect(shard);
    broker.hold = Hold::Flushes;
    let request = TxnOffsetCommitRequest {
        transactional_id: ID.into(),
        group_id: "a".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition::default()],
        }],
        ..TxnOffsetCommitRequest::default()
    };
    broker.send(client, frame(1, 5, &request));
    let at = [(furlong::group::OFFSETS_TOPIC, partition)];
    broker.send(admin, frame(2, 1, &markers(producer, &at, false)));
    broker.release();
    let (_, late) = next::<TxnOffsetCommitRequest>(&mut broker, client, 5).expect("answered");
    let late = late.topics[0].partitions[0].error_code;
    assert_eq!(late, code(ErrorCode::InvalidTxnState));
    assert_eq!(stable_offset(&mut broker, client, "a"), (-1, 0));
}

#[test]
fn partitions_that_are_not_there_are_refused_by_themselves() {
    let (mut broker, client) = ready();
    let producer = init(&mut broker, client, ID);
    let partitions = [0, 9].map(|partition_index| TxnOffsetCommitRequestPartition {
        partition_index,
        committed_offset: 3,
        ..TxnOffsetCommitRequestPartition::default()
    });
    let request = TxnOffsetCommitRequest {
        transactional_id: ID.into(),
        group_id: "a".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: partitions.into(),
        }],
        ..TxnOffsetCommitRequest::default()
    };
    let response = call(&mut broker, client, 5, &request);
    let codes = response.topics[0].partitions.iter();
    let codes: Vec<i16> = codes.map(|one| one.error_code).collect();
    assert_eq!(codes, [0, code(ErrorCode::UnknownTopicOrPartition)]);
    end(&mut broker, client, 5, producer, true);
    assert_eq!(stable_offset(&mut broker, client, "a"), (3, 0));
}
