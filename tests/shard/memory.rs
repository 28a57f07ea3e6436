// SPDX-License-Identifier: Apache-2.0
//! The memory of a shard: what is kept, who gives up, who waits, and that everybody goes on.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::limits::FETCH_BYTES_UNDER_PRESSURE;
use furlong::model::ids::ConnectionId;
use furlong::model::memory_budget::MemoryBudget;
use furlong::wire::protocol::fetch::FetchRequest;
use furlong::wire::protocol::produce::ProduceRequest;

use crate::broker::{Broker, Hold};
use crate::client::{
    batch, call, fetch_request, frame, next, only_produced, produce, produce_request, values,
};

const BUDGET: MemoryBudget = MemoryBudget {
    tail_cache_bytes: 1024 * 1024,
    buffer_bytes: 1 << 20,
    append_bytes: 1024 * 1024,
    receive_bytes: 1024 * 1024,
    read_bytes: 512 * 1024,
    outbound_bytes: 512 * 1024,
};

fn broker(shards: u16, partitions: i32) -> Broker {
    let mut broker = Broker::with_memory(shards, BUDGET);
    broker.add_topic("t", partitions, &[]);
    broker
}

fn text(len: usize) -> String {
    "x".repeat(len)
}

fn fill(broker: &mut Broker, client: ConnectionId, partition: i32, count: usize, len: usize) {
    for _ in 0..count {
        let answer = produce(broker, client, "t", partition, batch(&[&text(len)]));
        assert_eq!(answer.error_code, 0);
    }
}

#[test]
fn all_logs_together_keep_no_more_than_their_part() {
    let mut broker = broker(1, 50);
    let client = broker.connect(0);
    let mut largest = 0;
    for round in 0..40 {
        for partition in 0..50 {
            let len = [10, 500, 4000, 20_000][(round + partition) as usize % 4];
            fill(&mut broker, client, partition, 1, len);
            let held = broker.shards[0].memory_use().tail_cache_bytes;
            assert!(held <= BUDGET.tail_cache_bytes, "{held}");
            largest = largest.max(held);
        }
    }
    assert!(
        largest > BUDGET.tail_cache_bytes * 3 / 4,
        "it is used: {largest}"
    );
}

#[test]
fn the_log_that_was_quiet_longest_goes_to_the_disk_and_the_others_do_not() {
    let mut broker = broker(1, 3);
    let client = broker.connect(0);
    for partition in 0..3 {
        fill(&mut broker, client, partition, 4, 100_000);
    }
    broker.advance_ms(3_600_000);
    // The old connection was idle for too long.
    let client = broker.connect(0);
    let before = broker.reads;
    for partition in [1, 2] {
        let response = call(
            &mut broker,
            client,
            12,
            &fetch_request("t", &[(partition, 1)]),
        );
        assert_eq!(values(&response, 0).len(), 3);
    }
    assert_eq!(broker.reads, before, "they fit");
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0).len(), 4);
    assert!(broker.reads > before);
}

#[test]
fn consumers_at_the_tip_never_touch_the_disk() {
    let mut broker = broker(2, 20);
    let writer = broker.connect(0);
    let reader = broker.connect(1);
    let mut places = [0i64; 20];
    let before = broker.reads;
    for round in 0..60usize {
        for (partition, place) in places.iter_mut().enumerate() {
            if (round + partition) % 3 == 0 {
                continue;
            }
            let index = i32::try_from(partition).expect("small");
            let len = 1 + (round * 997 + partition * 131) % 9000;
            fill(&mut broker, writer, index, 1, len);
            let from = [(index, *place)];
            let response = call(&mut broker, reader, 12, &fetch_request("t", &from));
            *place += values(&response, 0).len() as i64;
            let end = response.responses[0].partitions[0].high_watermark;
            assert_eq!(*place, end);
        }
        broker.advance_ms(5000);
    }
    assert_eq!(broker.reads, before);
}

/// Producers that send a frame as soon as they may.
struct Producers {
    clients: Vec<ConnectionId>,
    sent: i32,
    answered: i32,
}

impl Producers {
    /// One frame each from those who may. Gives how many did.
    fn send(&mut self, broker: &mut Broker, len: usize) -> usize {
        let mut count = 0;
        for client in &self.clients {
            if broker.wires[client].grants > 0 {
                let request = produce_request("t", self.sent % 4, 1, batch(&[&text(len)]));
                broker.send(*client, frame(self.sent, 9, &request));
                self.sent += 1;
                count += 1;
            }
        }
        count
    }

    fn take_answers(&mut self, broker: &mut Broker) {
        for client in &self.clients {
            while let Some((_, response)) = next::<ProduceRequest>(broker, *client, 9) {
                assert_eq!(only_produced(response).error_code, 0);
                self.answered += 1;
            }
        }
    }
}

#[test]
fn producers_with_large_frames_wait_for_room_and_all_go_on() {
    const LEN: usize = 100_000;
    let mut broker = broker(1, 4);
    broker.hold = Hold::Everything;
    let mut producers = Producers {
        clients: Vec::new(),
        sent: 0,
        answered: 0,
    };
    // Each has the right to one frame from its first moment on, unless there is no room already.
    for _ in 0..40 {
        let client = broker.connect(0);
        producers.clients.push(client);
        while producers.send(&mut broker, LEN) > 0 {}
        let held = broker.shards[0].memory_use().append_bytes;
        // A frame counts twice until it is flushed: as a frame and as an append.
        assert!(held <= BUDGET.append_bytes + 2 * (LEN + 1000), "{held}");
    }
    assert!(
        producers.sent < 8,
        "{} frames of 1 MiB in all",
        producers.sent
    );
    for _ in 0..20 {
        broker.release();
        producers.take_answers(&mut broker);
        assert_eq!(producers.answered, producers.sent, "nothing is left behind");
        broker.hold = Hold::Flushes;
        producers.send(&mut broker, LEN);
    }
    broker.release();
    producers.take_answers(&mut broker);
    assert!(producers.sent > 100, "{}", producers.sent);
    let every_one = producers
        .clients
        .iter()
        .all(|client| broker.wires[client].grants == 1);
    assert!(every_one, "everybody may send the next frame");
    assert_eq!(broker.shards[0].memory_use().append_bytes, 0);
}

#[test]
fn a_request_that_is_larger_than_the_whole_part_passes_alone() {
    let mut broker = broker(1, 1);
    let small = broker.connect(0);
    let large = broker.connect(0);
    let parts: Vec<_> = (0..4).map(|_| batch(&[&text(900_000)])).collect();
    let mut request = produce_request("t", 0, 1, batch(&["a"]));
    let data = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data.clear();
    for records in parts {
        let mut data = data.clone();
        data.records = Some(records);
        request.topic_data[0].partition_data.push(data);
    }
    broker.hold = Hold::Flushes;
    broker.send(large, frame(1, 9, &request));
    let held = broker.shards[0].memory_use().append_bytes;
    assert!(held > 3 * BUDGET.append_bytes, "{held}");
    assert_eq!(broker.wires[&large].grants, 0, "nobody else comes in");
    let late = broker.connect(0);
    assert_eq!(broker.wires[&late].grants, 0);
    broker.release();
    let (_, response) = next::<ProduceRequest>(&mut broker, large, 9).expect("answered");
    let answers = &response.responses[0].partition_responses;
    assert!(answers.iter().all(|one| one.error_code == 0));
    for client in [small, large, late] {
        assert_eq!(broker.wires[&client].grants, 1);
    }
}

#[test]
fn a_producer_that_went_away_holds_its_room_until_its_append_has_ended() {
    let mut broker = broker(1, 1);
    let gone = broker.connect(0);
    broker.hold = Hold::Everything;
    let request = produce_request("t", 0, 1, batch(&[&text(700_000)]));
    broker.send(gone, frame(1, 9, &request));
    broker.disconnect(gone);
    let waiting = broker.connect(0);
    assert_eq!(broker.wires[&waiting].grants, 0);
    broker.release();
    assert_eq!(broker.wires[&waiting].grants, 1);
    assert_eq!(broker.shards[0].memory_use().append_bytes, 0);
}

#[test]
fn a_waiting_connection_that_goes_away_is_passed_over() {
    let mut broker = broker(1, 1);
    let first = broker.connect(0);
    broker.hold = Hold::Everything;
    let request = produce_request("t", 0, 1, batch(&[&text(700_000)]));
    broker.send(first, frame(1, 9, &request));
    let waiting: Vec<ConnectionId> = (0..3).map(|_| broker.connect(0)).collect();
    broker.disconnect(waiting[0]);
    broker.disconnect(waiting[2]);
    broker.release();
    assert_eq!(broker.wires[&waiting[1]].grants, 1);
}

/// A broker with 4 MB in each of the partitions, most of it on the disk only.
fn cold(partitions: i32) -> (Broker, ConnectionId) {
    let mut broker = broker(1, partitions);
    let client = broker.connect(0);
    for partition in 0..partitions {
        fill(&mut broker, client, partition, 40, 100_000);
    }
    (broker, client)
}

#[test]
fn fetches_wait_for_reads_that_are_under_way_and_get_their_records() {
    let (mut broker, _) = cold(8);
    broker.hold = Hold::Everything;
    let readers: Vec<ConnectionId> = (0..8).map(|_| broker.connect(0)).collect();
    for (partition, reader) in (0..).zip(&readers) {
        broker.send(
            *reader,
            frame(1, 12, &fetch_request("t", &[(partition, 0)])),
        );
        let held = broker.shards[0].memory_use().read_bytes;
        assert!(held <= BUDGET.read_bytes + 8192, "{held}");
    }
    assert!(
        broker.held() < 3,
        "{} reads of 512 kB in all",
        broker.held()
    );
    broker.release();
    for reader in readers {
        let (_, response) = next::<FetchRequest>(&mut broker, reader, 12).expect("answered");
        assert!(!values(&response, 0).is_empty());
    }
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
}

#[test]
fn a_fetch_that_waits_for_memory_is_answered_empty_when_its_time_is_over() {
    let (mut broker, _) = cold(2);
    broker.hold = Hold::Everything;
    let first = broker.connect(0);
    let second = broker.connect(0);
    broker.send(first, frame(1, 12, &fetch_request("t", &[(0, 0)])));
    let patient = FetchRequest {
        max_wait_ms: 500,
        ..fetch_request("t", &[(1, 0)])
    };
    broker.send(second, frame(2, 12, &patient));
    broker.advance_ms(499);
    assert!(next::<FetchRequest>(&mut broker, second, 12).is_none());
    broker.advance_ms(1);
    let (_, response) = next::<FetchRequest>(&mut broker, second, 12).expect("its time is over");
    let partition = &response.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 40));
    assert!(values(&response, 0).is_empty());
    broker.release();
    let (_, response) = next::<FetchRequest>(&mut broker, first, 12).expect("answered");
    assert!(!values(&response, 0).is_empty());
    let response = call(&mut broker, second, 12, &patient);
    assert!(!values(&response, 0).is_empty(), "and it goes on");
}

#[test]
fn a_client_that_went_away_leaves_nothing_in_the_queue_for_memory() {
    let (mut broker, _) = cold(3);
    broker.hold = Hold::Everything;
    let clients: Vec<ConnectionId> = (0..3).map(|_| broker.connect(0)).collect();
    for (partition, client) in (0..).zip(&clients) {
        broker.send(
            *client,
            frame(1, 12, &fetch_request("t", &[(partition, 0)])),
        );
    }
    broker.disconnect(clients[1]);
    broker.release();
    for client in [clients[0], clients[2]] {
        let (_, response) = next::<FetchRequest>(&mut broker, client, 12).expect("answered");
        assert!(!values(&response, 0).is_empty());
    }
    assert_eq!(broker.shards[0].waiting_count(), (0, 0));
    broker.advance_ms(2000);
    assert_eq!(broker.shards[0].memory_use().read_bytes, 0);
}

#[test]
fn a_batch_that_is_larger_than_the_part_for_reads_passes_alone() {
    let mut broker = broker(1, 2);
    let client = broker.connect(0);
    for partition in 0..2 {
        fill(&mut broker, client, partition, 3, 900_000);
    }
    for partition in 0..2 {
        let response = call(
            &mut broker,
            client,
            12,
            &fetch_request("t", &[(partition, 0)]),
        );
        assert_eq!(values(&response, 0).len(), 1);
    }
}

#[test]
fn clients_that_take_nothing_get_less_and_others_still_get_something() {
    let mut broker = broker(1, 1);
    let client = broker.connect(0);
    fill(&mut broker, client, 0, 60, 10_000);
    broker.holds_sent = true;
    let mut sizes = Vec::new();
    for _ in 0..20 {
        let reader = broker.connect(0);
        let response = call(&mut broker, reader, 12, &fetch_request("t", &[(0, 0)]));
        assert_eq!(response.responses[0].partitions[0].error_code, 0);
        sizes.push(values(&response, 0).len());
    }
    assert!(sizes[0] > 40, "{sizes:?}");
    let least = FETCH_BYTES_UNDER_PRESSURE / 11_000;
    assert!(
        sizes[1..].iter().all(|size| (least..=12).contains(size)),
        "{sizes:?}"
    );
    broker.take_sent();
    assert_eq!(broker.shards[0].memory_use().outbound_bytes, 0);
    let response = call(&mut broker, client, 12, &fetch_request("t", &[(0, 0)]));
    assert_eq!(values(&response, 0).len(), sizes[0]);
}

#[test]
fn waiting_fetches_do_not_hold_producers_back() {
    let mut broker = broker(1, 1);
    // Fetches that wait a day, 70 frames of 30 kB: more than the whole part for appends.
    let mut readers = Vec::new();
    for _ in 0..10 {
        let reader = broker.connect(0);
        let request = FetchRequest {
            max_wait_ms: 86_400_000,
            rack_id: text(30_000).as_str().into(),
            ..fetch_request("t", &[(0, 0)])
        };
        broker.send(reader, frame(1, 12, &request));
        for _ in 0..6 {
            if broker.wires[&reader].grants > 0 {
                broker.send(reader, frame(2, 12, &request));
            }
        }
        readers.push(reader);
    }
    let held = broker.shards[0].memory_use().append_bytes;
    assert!(
        held <= BUDGET.append_bytes / 2,
        "the others were answered at once: {held}"
    );
    let producer = broker.connect(0);
    fill(&mut broker, producer, 0, 5, 100_000);
    for reader in readers {
        broker.disconnect(reader);
    }
    assert_eq!(broker.shards[0].memory_use().append_bytes, 0);
}
