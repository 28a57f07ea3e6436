// SPDX-License-Identifier: Apache-2.0
//! The stages of requests: each sample is exactly the time that passed between its events, and who
//! waits for another waits in the right stage.
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::ids::ConnectionId;
use furlong::shard::contract::Event;
use furlong::shard::stage::Stage;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::fetch::FetchRequest;

use crate::broker::{Broker, Hold};
use crate::client::{batch, fetch_request, frame, produce_request};

fn send_produce(broker: &mut Broker, client: ConnectionId, partition: i32, acks: i16) {
    let request = produce_request("t", partition, acks, batch(&["a"]));
    broker.send(client, frame(1, 9, &request));
}

fn send_fetch(broker: &mut Broker, client: ConnectionId, from: &[(i32, i64)], min_bytes: i32) {
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes,
        ..fetch_request("t", from)
    };
    broker.send(client, frame(1, 12, &request));
}

/// A broker with one topic whose earlier stages are forgotten.
fn broker(shard_count: u16, partitions: i32) -> Broker {
    let mut broker = Broker::with_topic(shard_count, "t", partitions);
    broker.stages.clear();
    broker
}

/// The sum of the stages of a kind, all of which are taken.
fn sum(broker: &mut Broker, stage: Stage) -> u64 {
    broker.take_stages(stage).into_iter().sum()
}

#[test]
fn the_queue_is_the_time_from_the_whole_frame_to_its_handling() {
    let mut broker = broker(1, 1);
    let client = broker.connect(0);
    broker.queued_us = 123;
    broker.send(client, frame(1, 3, &ApiVersionsRequest::default()));
    broker.queued_us = 0;
    send_produce(&mut broker, client, 0, -1);
    assert_eq!(broker.take_stages(Stage::Queue), [123, 0]);
}

#[test]
fn a_round_is_written_and_flushed_and_who_comes_meanwhile_gathers() {
    let mut broker = broker(1, 1);
    let (first, second) = (broker.connect(0), broker.connect(0));
    broker.hold = Hold::Everything;
    send_produce(&mut broker, first, 0, -1);
    broker.advance_us(100);
    send_produce(&mut broker, second, 0, 1);
    broker.advance_us(200);
    // The first round is written, and the second one, which had to wait for that, at once.
    broker.release_to(Hold::Flushes);
    assert_eq!(broker.take_stages(Stage::Write), [0; 0], "not durable yet");
    broker.advance_us(701);
    broker.release();
    assert_eq!(broker.take_stages(Stage::Gather), [0, 200]);
    assert_eq!(broker.take_stages(Stage::Write), [300, 0]);
    assert_eq!(broker.take_stages(Stage::Flush), [701, 701]);
    assert_eq!(broker.take_stages(Stage::Produce), [1001, 901]);
    assert_eq!(broker.take_stages(Stage::Answer), [0, 0]);
    assert_eq!(broker.take_stages(Stage::Hop), [0; 0]);
}

#[test]
fn without_a_flush_there_is_no_stage_of_one_and_without_an_answer_no_gathering() {
    let mut broker = Broker::new(1);
    broker.add_topic("t", 1, &[("flush.mode", "never")]);
    let client = broker.connect(0);
    broker.hold = Hold::Everything;
    send_produce(&mut broker, client, 0, 0);
    assert_eq!(broker.take_stages(Stage::Produce), [0], "nobody waits");
    broker.advance_us(40);
    send_produce(&mut broker, client, 0, 1);
    broker.advance_us(10);
    broker.release();
    assert_eq!(broker.take_stages(Stage::Write), [50, 0]);
    assert_eq!(
        broker.take_stages(Stage::Gather),
        [10],
        "of the second alone"
    );
    assert_eq!(broker.take_stages(Stage::Flush), [0; 0]);
}

#[test]
fn an_answer_that_waits_for_those_before_it_waits_there() {
    let mut broker = broker(1, 1);
    let client = broker.connect(0);
    broker.hold = Hold::Everything;
    send_produce(&mut broker, client, 0, -1);
    broker.advance_us(300);
    broker.send(client, frame(2, 3, &ApiVersionsRequest::default()));
    broker.advance_us(50);
    assert_eq!(broker.take_stages(Stage::Answer), [0; 0]);
    broker.release();
    assert_eq!(broker.take_stages(Stage::Answer), [0, 50]);
    assert_eq!(broker.take_stages(Stage::Produce), [350]);
}

#[test]
fn each_crossing_is_a_hop() {
    let mut broker = broker(2, 2);
    let client = broker.connect(0);
    broker.take_stages(Stage::Hop);
    broker.holds_mesh = true;
    send_produce(&mut broker, client, 1, -1);
    broker.advance_us(50);
    broker.deliver_mesh();
    broker.advance_us(70);
    broker.deliver_mesh();
    assert_eq!(broker.take_stages(Stage::Hop), [50, 70]);
    assert_eq!(broker.take_stages(Stage::Produce), [120]);
    send_fetch(&mut broker, client, &[(1, 0)], 1);
    broker.advance_us(5);
    broker.deliver_mesh();
    broker.advance_us(6);
    broker.deliver_mesh();
    assert_eq!(broker.take_stages(Stage::Hop), [5, 6]);
    assert_eq!(broker.take_stages(Stage::Fetch), [11]);
}

#[test]
fn a_fetch_that_waits_for_records_waits_there_and_its_own_time_goes_on() {
    let mut broker = broker(1, 1);
    let (reader, writer) = (broker.connect(0), broker.connect(0));
    send_fetch(&mut broker, reader, &[(0, 0)], 1);
    broker.advance_us(40_000);
    send_produce(&mut broker, writer, 0, -1);
    assert_eq!(broker.take_stages(Stage::Wait), [40_000]);
    assert_eq!(broker.take_stages(Stage::Fetch), [40_000]);
    // One that finds records, or finds none in time, did not wait, or waited all the time.
    send_fetch(&mut broker, reader, &[(0, 0)], 1);
    assert_eq!(broker.take_stages(Stage::Wait), [0; 0]);
    assert_eq!(broker.take_stages(Stage::Fetch), [0]);
    send_fetch(&mut broker, reader, &[(0, 1)], 1);
    broker.advance_ms(500);
    assert_eq!(broker.take_stages(Stage::Wait), [500_000]);
}

#[test]
fn a_fetch_of_several_shards_waits_for_records_once() {
    let mut broker = broker(2, 2);
    let (reader, writer) = (broker.connect(0), broker.connect(0));
    let one = i32::try_from(batch(&["a"]).len()).expect("small");
    send_fetch(&mut broker, reader, &[(0, 0), (1, 0)], 2 * one);
    broker.advance_us(100);
    send_produce(&mut broker, writer, 1, -1);
    broker.advance_us(200);
    send_produce(&mut broker, writer, 0, -1);
    assert_eq!(broker.take_stages(Stage::Fetch), [300]);
    assert_eq!(broker.take_stages(Stage::Wait), [300]);
    // Its time is over: what one shard told is what there is.
    send_fetch(&mut broker, reader, &[(0, 1), (1, 1)], 1);
    broker.advance_ms(500);
    assert_eq!(broker.take_stages(Stage::Wait), [500_000]);
}

#[test]
fn a_read_is_the_time_that_the_disk_took() {
    let mut broker = broker(1, 1);
    let client = broker.connect(0);
    send_produce(&mut broker, client, 0, -1);
    broker.event(0, Event::Stop);
    broker.restart();
    let client = broker.connect(0);
    broker.stages.clear();
    broker.hold = Hold::Everything;
    send_fetch(&mut broker, client, &[(0, 0)], 1);
    assert!(broker.held() > 0, "nothing is in memory");
    broker.advance_us(250);
    broker.release();
    assert_eq!(broker.take_stages(Stage::Read), [250]);
    assert_eq!(broker.take_stages(Stage::Fetch), [250]);
    assert_eq!(broker.take_stages(Stage::Wait), [0; 0]);
    // What was read is not read again at once: that fetch has no such stage.
    let count = broker.reads;
    send_produce(&mut broker, client, 0, -1);
    send_fetch(&mut broker, client, &[(0, 1)], 1);
    assert_eq!((broker.reads, sum(&mut broker, Stage::Read)), (count, 0));
}

#[test]
fn a_client_that_has_gone_has_no_answer_and_no_time_of_one() {
    let mut broker = broker(1, 1);
    let client = broker.connect(0);
    broker.hold = Hold::Flushes;
    send_produce(&mut broker, client, 0, -1);
    broker.disconnect(client);
    broker.advance_us(9);
    broker.release();
    assert_eq!(broker.take_stages(Stage::Flush), [9], "its round went on");
    assert_eq!(broker.take_stages(Stage::Produce), [0; 0]);
    assert_eq!(broker.take_stages(Stage::Answer), [0; 0]);
}
